"""Received files: content into hidden parts, digests back out, publishing when all is proved.

    prepare      check the offer and the room, lay out directories, find what is here already
    store        bytes of content space into parts, in any order          (the transfer's thread)
    good         a chunk was verified: it counts after the next checkpoint
    digest       BLAKE3 of a chunk as the disk has it                      (worker threads)
    checkpoint   flush what is good, then write it down                    (one worker thread)
    ready        every chunk of a file was verified;  failed: it will not come
    publish      flush, give the files their names, then the directories   (one worker thread)
    suspend      close, and keep what the next session can go on with
    abandon      remove what we made, and nothing else

Nothing is reached by path: the destination is one descriptor from the start, so that renaming or
replacing it changes nothing (SPEC §9). Every error is a StorageError.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from securecp.disk import holding, offer, space, zeroing
from securecp.disk.calls import at
from securecp.disk.descent import Descent
from securecp.disk.digests import Digester
from securecp.disk.journal import Journal, Journals
from securecp.disk.opening import Opening, current_umask, pin
from securecp.disk.publishing import Held, Plan, Publisher, Report
from securecp.disk.saving import Saving
from securecp.disk.settle import Conflict
from securecp.disk.spans import cut, write_span
from securecp.errors import StorageError
from securecp.transfer.entries import FILE, LINK
from securecp.transfer.holdings import Holdings
from securecp.transfer.manifest import Chunk, Manifest

__all__ = ["Report", "Store"]

_LOOK_EVERY = 64 << 20
"""Bytes stored between two looks at the free space."""
CHECKPOINT_BYTES = 64 << 20
CHECKPOINT_SECONDS = 10.0
"""What may be lost at most when the receiver is killed."""

_pin, _current_umask = pin, current_umask  # `streamstore` has always found them here

_WAITING, _READY, _FAILED, _BROKEN = range(4)


class Store:
    """The files of one offer on their way into a destination directory, which must exist.

    `reserve` is the bytes to leave free (None: `space.default_reserve`), `executable` whether a
    published file may keep the user's execute bit, `umask` the process's unless given. With
    `journals` a transfer from `peer` that was cut off goes on; `verify` reads all that is here of
    it again. `symlinks`: whether links are made.
    """

    def __init__(
        self,
        destination: Path,
        *,
        conflict: Conflict = "rename",
        reserve: int | None = None,
        executable: bool = True,
        umask: int | None = None,
        journals: Journals | None = None,
        peer: bytes = b"",
        symlinks: bool = False,
        verify: bool = False,
    ) -> None:
        self._destination = destination
        self._conflict = conflict
        self._reserve = reserve
        self._executable = executable
        self._umask = current_umask() if umask is None else umask
        self._journals = journals
        self._peer = peer
        self._symlinks = symlinks
        self._verify = verify
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        self._saving: Saving | None = None
        self._prepared = self._published = self._closed = False
        self._first = self._end = self._file = 0  # the part written last, in content space
        self._stored = self._looked = self._saved = self._here = 0
        self._since: float | None = None
        self._busy = False
        self._broken: deque[tuple[int, str]] = deque()
        if journals is not None:
            journals.expire(time.time())
        self._root = pin(destination, journals)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abandon()

    # Before anything comes

    def prepare(self, manifest: Manifest) -> Holdings:
        """Refuse what cannot fit or must not be, make the directories, and find what is here."""
        offer.check(manifest.columns)
        self._manifest = manifest
        self._entries = manifest.columns
        self._states = bytearray(len(self._entries))
        self._verified: dict[tuple[int, int], tuple[list[int], list[bytes]]] = {}
        with self._lock:
            opening = Opening(
                manifest,
                self._root,
                conflict=self._conflict,
                reserve=self._reserve,
                symlinks=self._symlinks,
                verify=self._verify,
            )
            try:
                with self._explained():
                    if self._journals is not None:
                        opening.open_journal(self._journals, self._peer, self._destination)
                    holdings = opening.run()
            except BaseException:
                opening.undo()
                self._closed = True
                at.close(self._root)
                raise
            self._take(opening)
        return holdings

    def _take(self, opening: Opening) -> None:
        self._layout, self._parts, self._base = opening.layout, opening.parts, opening.base
        self._holding, self._finals = opening.holding, opening.finals
        self._journal, self._saving = opening.journal, opening.saving
        self._reserve, self._here, self._uneven = opening.reserve, opening.here, opening.uneven
        self._mixed, self._where = self._holding.mixed, self._holding.where
        self._digester = Digester(
            lambda capacity: Descent(self._layout.places, capacity, pinned=self._root),
            self._parts.open_to_read,
        )
        self._prepared = True

    # Content

    def store(self, offset: int, slices: list[memoryview]) -> None:
        """Write one contiguous run of content space that begins at `offset`.

        Hot: once per burst. Beside `pwritev` 1 µs for 64 slices into the same file as last time.
        A file of 4 KiB costs 9 µs of Python here, 7 in `digest` and 14 in `publish`, beside about
        12, 9 and 12 µs of system calls on tmpfs (ext4 takes two to five times those).
        """
        length = sum(map(len, slices))
        if self._first <= offset and offset + length <= self._end:
            try:
                write_span(self._file, offset - self._first, slices, length)
            except OSError as error:
                self._write_failed(self._manifest.locate(offset), error)
        else:
            self._store_across(offset, slices, length)
        self._stored += length
        if self._stored - self._looked >= _LOOK_EVERY:
            self._looked = self._stored
            space.check_reserve(self._root, self._reserve or 0, self._missing())

    def known(self, number: int) -> bytes | None:
        """The digest of a chunk that is here and need not be read."""
        return self._holding.known(number)

    def digest(self, chunk: Chunk) -> bytes:
        """BLAKE3 of the chunk as it is here; from any thread but not during `publish`.

        StorageError if what is held cannot be read. A part that cannot be read breaks its file.
        """
        source = self._holding.source(chunk.number)
        try:
            if source == holding.UNSURE:
                return self._clear(chunk)
            if source == holding.BASE:
                return self._base.digest(chunk)
            if source == holding.FINAL:
                return self._finals.digest(chunk)
            return self._digester.digest(chunk)
        except OSError as error:
            if source or not space.concerns_one_file(error):
                raise self._storage_error(error, chunk.entry) from error
            self._break(chunk.entry, error)
            return b""

    def zeros(self, numbers: range) -> None:
        """These chunks are zeros and will not come: holes."""
        self._end = self._first
        self._uneven.update(self._holding.zeros(numbers))

    def good(self, number: int, digest: bytes) -> None:
        """The chunk was verified; the next checkpoint makes it count."""
        if not self._where[number]:  # it came over the wire, like nearly all
            if self._saving is not None:
                self._saving.good(number, digest)
            return
        source = self._holding.source(number)
        if source in (holding.BASE, holding.FINAL):
            entry = self._manifest.chunk(number).entry
            numbers, digests = self._verified.setdefault((entry, source), ([], []))
            numbers.append(number)
            digests.append(digest)
        if self._saving is not None and source != holding.BASE and not self._holding.sure(number):
            self._saving.good(number, b"" if source == holding.ZERO else digest)

    def missed(self, number: int) -> None:
        """A chunk that was held is not what the sender has; it comes anew."""
        if self._holding.source(number) not in (holding.BASE, holding.FINAL):
            self._unsettle(self._manifest.chunk(number).entry)

    def forget(self, entry: int) -> None:
        """The file comes anew, all of it: nothing that is here of it counts."""
        self._unsettle(entry)
        if self._states[entry] == _READY:
            self._states[entry] = _WAITING
        self._end = self._first
        self._holding.forget(entry, self._entries.size(entry))
        self._uneven.add(entry)
        for source in (holding.BASE, holding.FINAL):
            self._verified.pop((entry, source), None)
        if self._saving is not None:
            self._saving.forget(entry)

    def ready(self, entry: int) -> None:
        """All of the file has been stored and verified: publish it. Nothing may be stored after."""
        if self._states[entry] == _BROKEN:
            return
        if self._states[entry] != _WAITING or self._entries.kinds[entry] != FILE:
            raise ValueError("not a file that is being received")
        self._states[entry] = _READY
        self._end = self._first

    def failed(self, entry: int) -> None:
        """The file or link will not come: its part goes, and late bytes of it are dropped."""
        if self._states[entry] != _FAILED:
            self._states[entry] = _FAILED
            self._end = self._first
            self._parts.remove(entry)
            if self._saving is not None:
                self._saving.forget(entry)

    def broken(self) -> list[tuple[int, str]]:
        """Files that cannot be stored here any more, each told once, with the reason."""
        while self._prepared and self._parts.spoiled:
            self._break(*self._parts.spoiled.pop())
        return [self._broken.popleft() for _ in range(len(self._broken))]

    # Checkpoints

    @property
    def unsaved(self) -> int:
        """Bytes that came since the last checkpoint."""
        return self._stored - self._saved if self._saving is not None else 0

    @property
    def resumable(self) -> bool:
        """Whether a later session could go on from here."""
        saving = self._saving
        return saving is not None and not saving.worthless and not self._published

    def due(self, now: float) -> bool:
        """Whether it is time for a checkpoint."""
        if self._saving is None or self._saving.damaged or self._busy:
            return False
        if self.unsaved >= CHECKPOINT_BYTES:
            return True
        if not self._saving:
            self._since = None
        elif self._since is None:
            self._since = now
        return self._since is not None and now - self._since >= CHECKPOINT_SECONDS

    def checkpoint(self) -> None:
        """Flush what is good and write it down. A flush that fails is never tried again."""
        with self._lock:
            if self._saving is not None and not self._closed:
                self._checkpoint(self._saving)

    def _checkpoint(self, saving: Saving) -> None:
        self._busy = True
        stored = self._stored
        try:
            with self._explained():
                lost = saving.checkpoint()
        finally:
            self._busy = False
            self._since = None
        self._saved = stored
        for entry, error in lost:
            self._break(entry, error)

    # The end

    def publish(self) -> Report:
        """Flush all that is ready, give it its names, flush those; what is not ready goes.

        A file that cannot be published is reported; StorageError means that nothing was published
        or that what was published may not survive a power cut.
        """
        with self._lock:
            self._end = self._first
            self._digester.close()
            plan = Plan(
                self._entries,
                self._root,
                self._layout,
                self._parts,
                self._base,
                self._finals,
                self._saving,
                [entry for entry, state in enumerate(self._states) if state == _READY],
                self._held(),
                self._uneven,
                set(self._wanted_links()),
                self._conflict,
                self._umask,
                self._executable,
            )
            with self._explained():
                report = Publisher(plan).run()
            self._published = True
            self._layout.made.clear()
            self._release()
        return report

    def finished(self) -> None:
        """The receipt has arrived: nothing of the transfer need be remembered."""
        if self._published and self._journals is not None and self._journal is not None:
            self._journals.forget(self._journal.id)

    def suspend(self) -> None:
        """Close, and keep parts and journal for the next session; never raises."""
        if self._saving is None or self._saving.worthless:
            self.abandon()
            return
        with self._lock:
            if self._closed:
                return
            kept = self._saving.kept()
            self._parts.remove_all(but=kept)
            if not self._saving.damaged:
                with suppress(StorageError):
                    self._checkpoint(self._saving)
            if not kept:
                self._layout.remove()
            self._release()

    def abandon(self) -> None:
        """Remove the parts and empty directories that we made, and close; harmless when done."""
        with self._lock:
            if self._closed:
                return
            if self._prepared:
                self._parts.remove_all()
                self._layout.remove()
            self._release(keep=False)

    # Storing

    def _store_across(self, offset: int, slices: Sequence[memoryview], length: int) -> None:
        """Cut the run at the borders of files; also selects the part for the next run."""
        starts = self._entries.starts
        entry = self._manifest.locate(offset)
        while True:
            first, end = starts[entry], starts[entry + 1]
            count = min(length, end - offset)
            mine, slices = cut(slices, count) if count < length else (list(slices), [])
            state = self._states[entry]
            if state == _WAITING and entry in self._mixed:
                self._store_mixed(entry, offset - first, mine, count)
            elif state == _WAITING:
                self._end = self._first  # if the next lines fail, nothing is selected
                try:
                    self._file = self._parts.take(entry)
                    write_span(self._file, offset - first, mine, count)
                except OSError as error:
                    self._write_failed(entry, error)
                else:
                    self._first, self._end = first, end
            elif state == _READY:
                raise ValueError("bytes for a file that was verified already")
            offset += count
            length -= count
            if not length:
                return
            entry += 1
            while starts[entry + 1] == offset:  # those that own no byte
                entry += 1

    def _store_mixed(self, entry: int, start: int, mine: list[memoryview], count: int) -> None:
        """A run for a file that is partly here; each of them comes by here."""
        self._end = self._first
        self._holding.received(entry, start, count, self._withdraw)
        try:
            write_span(self._parts.take(entry), start, mine, count)
        except OSError as error:
            self._write_failed(entry, error)

    def _withdraw(self, number: int, source: int) -> None:
        """A chunk that was held comes after all: what is claimed of it must not count."""
        if self._saving is None or source == holding.BASE:
            return
        if source == holding.FINAL:  # the claims are of another file than the part
            self._saving.forget(self._manifest.chunk(number).entry)
        else:
            self._saving.withdraw(number)
            self._unsettle(self._manifest.chunk(number).entry)

    def _unsettle(self, entry: int) -> None:
        """What is here of a file is about to be written over; never before the journal says so."""
        if self._saving is not None:
            with self._explained():
                self._saving.unsettle(entry)

    def _write_failed(self, entry: int, error: OSError) -> None:
        if not space.concerns_one_file(error):
            raise self._storage_error(error, entry) from error
        self._break(entry, error)

    def _break(self, entry: int, error: OSError) -> None:
        """The file cannot be stored; the others go on."""
        if self._states[entry] in (_WAITING, _READY):
            self._states[entry] = _BROKEN
            self._end = self._first
            self._broken.append((entry, space.reason(error)))
            if self._saving is not None:
                self._saving.forget(entry)

    def _clear(self, chunk: Chunk) -> bytes:
        """See to it that the part has zeros there, and return their digest."""
        if self._parts.inode(chunk.entry):
            walk = Descent(self._layout.places, 1, pinned=self._root)
            try:
                part = self._parts.open_aside(chunk.entry, walk)
            finally:
                walk.close()
            try:
                zeroing.clear(part, chunk.start, chunk.length)
            finally:
                at.close_written(part)
        self._holding.cleared(chunk.number)
        digest = self._holding.known(chunk.number)
        assert digest is not None
        return digest

    def _held(self) -> dict[int, list[Held]]:
        held: dict[int, list[Held]] = {}
        for (entry, source), (numbers, digests) in self._verified.items():
            existing = self._base if source == holding.BASE else self._finals
            held.setdefault(entry, []).append(Held(existing, numbers, digests))
        return held

    def _wanted_links(self) -> Iterator[int]:
        if self._symlinks and LINK in self._entries.kinds:
            for entry, kind in enumerate(self._entries.kinds):
                if kind == LINK and self._states[entry] == _WAITING:
                    yield entry

    def _missing(self) -> int:
        return max(0, self._manifest.size - self._here - self._stored)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._storage_error(error) from error

    def _storage_error(self, error: OSError, entry: int | None = None) -> StorageError:
        name = b"" if entry is None else self._entries.name(entry)
        return space.storage_error(error, name, self._missing())

    def _release(self, *, keep: bool = True) -> None:
        self._closed = True
        if self._prepared:
            self._digester.close()
            self._finals.close()
            self._base.close()
            self._parts.close()
            self._layout.walk.close()
        if self._journal is not None:
            with suppress(OSError):
                if not keep:
                    self._journal.remove()
                self._journal.close()
        at.close(self._root)
