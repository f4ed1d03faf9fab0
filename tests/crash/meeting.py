"""One session on a watched disk, and what it may claim: how far it came at which step."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from unittest import mock

from securecp.disk.journal import Journals
from securecp.errors import StorageError
from securecp.transfer.entries import CHUNK, Entry
from securecp.transfer.manifest import Manifest
from tests.crash.disk import Disk
from tests.disk.session import KEY, Session

SMALL = 8_192
"""Bytes of a chunk: two pages."""


@contextlib.contextmanager
def small_chunks() -> Iterator[None]:
    """Files of a few pages have several chunks, and are worth a look when they have their names."""
    with contextlib.ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            parts = ("securecp.transfer", "securecp.disk")
            if name.startswith(parts) and getattr(module, "CHUNK", None) == CHUNK:
                stack.enter_context(mock.patch.object(module, "CHUNK", SMALL))
        stack.enter_context(mock.patch("securecp.disk.publishing._WORTH_A_LOOK", 2 * SMALL))
        yield


@dataclass(frozen=True)
class Case:
    """What is sent, how, and what stands in the destination before."""

    entries: tuple[Entry, ...]
    conflict: str = "rename"
    before: dict[str, bytes] = field(default_factory=dict)
    every: int = 2
    """Chunks between two checkpoints."""
    backwards: bool = False
    """Chunks come in the other order."""
    restarts: bool = False
    """The sender's file changes under way, and changes back."""
    fails: bool = False
    """One flush fails."""
    symlinks: bool = False
    holes: tuple[int, ...] = ()
    """Chunks of zeros."""
    verify: bool = False
    edited: bool = False
    """Somebody writes into parts while nobody is at work."""
    older: bool = False
    """Somebody puts an older copy of the journal back."""
    coarse: int = 1
    """Calls between two ticks of the clock for files."""


@dataclass
class Marks:
    """What the program had promised, and at which step."""

    saved: list[tuple[int, frozenset[int]]] = field(default_factory=list)
    naming: int = sys.maxsize
    published: int = sys.maxsize
    finished: int = sys.maxsize
    came: int = 0
    held: frozenset[int] = frozenset()
    failed: bool = False

    def saved_at(self, step: int) -> frozenset[int]:
        """Chunks that a checkpoint has promised by then, and that did not change later."""
        found: frozenset[int] = frozenset()
        for at, chunks in self.saved:
            if at <= step:
                found = chunks
        return found

    @property
    def first_saved(self) -> int:
        return self.saved[0][0] if self.saved else sys.maxsize


class Meeting(Session):
    """A session that says what it has."""

    marks: Marks
    disk: Disk
    holes: tuple[int, ...] = ()

    def hole(self, number: int) -> None:
        """The sender says that the chunk is zeros."""
        self.store.zeros(range(number, number + 1))
        digest = self.store.known(number) or self.store.digest(self.manifest.chunk(number))
        assert digest == self.told(number)
        self._keep(number, digest)

    def send(self, number: int, pieces: int = 3) -> bool:
        if number in self.holes and number not in self.held:
            self.hole(number)
            return True
        return super().send(number, pieces)

    def compare(self, number: int) -> bool:
        if super().compare(number):
            return True
        self.good.discard(number)
        if hasattr(self.store, "missed"):
            self.store.missed(number)
        return False

    def save(self) -> None:
        """A checkpoint, and what it promises from the moment that it returns."""
        self.store.checkpoint()
        self.promise()

    def promise(self) -> None:
        self.marks.saved.append(
            (self.disk.record.step, frozenset(self.good.difference(self.holes)))
        )

    def restart(self, entry: int) -> None:
        super().restart(entry)
        self.good -= set(self.manifest.chunks(entry))
        self.promise()  # not any more

    def rewrite(self, entry: int) -> None:
        """The file is another one by now, and half of it comes."""
        self.restart(entry)
        chunks = self.manifest.chunks(entry)
        for number in chunks[: len(chunks) // 2 + 1]:
            chunk = self.manifest.chunk(number)
            other = bytes(byte ^ 0xFF for byte in self.data[chunk.offset :][: chunk.length])
            self.store.store(chunk.offset, [memoryview(other)])


def meet(disk: Disk, case: Case, data: bytes, *, first: bool = True, seed: int = 0) -> Marks:
    """A whole session, from whatever is there to the receipt, or to an error of the disk."""
    marks = Marks()
    with disk.watched(seed):
        try:
            journals = Journals(disk.place / "home" / "state", KEY)
        except StorageError:
            assert case.fails
            marks.failed = True
            return marks
        session = Meeting(
            disk.place / "into",
            Manifest(case.entries),
            data,
            journals,
            conflict=case.conflict,
            symlinks=case.symlinks,
            verify=case.verify,
            umask=0o022,
        )
        session.marks, session.disk, session.holes = marks, disk, case.holes
        try:
            _meet(session, case, first=first)
        except StorageError:
            assert case.fails
            marks.failed = True
        finally:
            session.store.suspend()
            journals.close()
    marks.came = session.came
    return marks


def _meet(session: Meeting, case: Case, *, first: bool) -> None:
    session.prepare()
    session.marks.held = frozenset(session.held)
    order = list(range(session.manifest.chunk_count))
    if case.backwards:
        order.reverse()
    for count, number in enumerate(order, 1):
        session.run([number])
        if count % case.every == 0:
            session.save()
        if first and case.restarts and count == len(order) // 2:
            session.save()
            session.rewrite(session.manifest.chunk(order[0]).entry)
            return  # this is where it ends
    session.marks.naming = session.disk.record.step
    report = session.store.publish()
    assert not report.failed, report
    session.marks.published = session.disk.record.step
    session.store.finished()
    session.marks.finished = session.disk.record.step
