"""Checkpoints: what is good is flushed, and only then written down (SPEC §9.7).

The loop's thread reports what happens, in order, into one queue and goes on; a worker saves:

    take the queue ─► flush the parts concerned, stat them ─► take the queue again ─► append, fsync
        chunks that became good        │                        what was withdrawn meanwhile
        before the flush               │                        does not count; later good ones
                                       ▼                        wait for the next time
                        whatever is written down was flushed

The second look is what makes the stat safe: bytes that come while we flush either change the file's
times after our stat, or belong to chunks that were withdrawn before.
"""

import errno
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from securecp.disk import claims as claiming
from securecp.disk import flush, records
from securecp.disk.calls import at
from securecp.disk.claims import Claims
from securecp.disk.descent import Descent
from securecp.disk.journal import Journal
from securecp.disk.layout import Layout
from securecp.disk.parts import Parts
from securecp.disk.records import PartRecord
from securecp.transfer.manifest import Manifest

_OPEN_DIRECTORIES = 8
_SURE = frozenset((claiming.GOOD, claiming.ZEROS))

NO_MORE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Says nothing about the file that was to be opened."""

_Event = tuple[int, bytes | None]
"""(chunk, digest): good; (chunk, b""): zeros, good; (chunk, None): withdrawn; (-1 - entry, None):
the file is forgotten."""


class Saving:
    """The journal's writer. `good`, `withdraw`, `forget` from the loop's thread, without a lock."""

    def __init__(
        self,
        journal: Journal,
        manifest: Manifest,
        claims: Claims,
        layout: Layout,
        parts: Parts,
        root: int,
    ) -> None:
        self._journal = journal
        self._manifest = manifest
        self._claims = claims
        self._layout = layout
        self._parts = parts
        self._root = root
        self._events: deque[_Event] = deque()
        self._appending = threading.Lock()
        self._unsettled: set[int] = set()
        """Files whose claims the journal doubts, all of them."""
        self._named = bytearray(len(manifest.entries))
        """By entry, whether the name of its part is durable."""
        self._reached: set[int] = set()
        """Directories whose own names are."""
        self._kept = journal.before.header is not None
        self.damaged = False
        """A flush has failed: nothing after the last checkpoint counts, and nothing is saved."""

    @property
    def worthless(self) -> bool:
        """Whether a flush failed before anything could be kept: nobody will go on from here."""
        return self.damaged and not self._kept

    def __bool__(self) -> bool:
        """Whether there is anything new."""
        return bool(self._events)

    def good(self, number: int, digest: bytes) -> None:
        """A chunk is in its part and right; an empty digest: it is zeros and may be a hole."""
        self._events.append((number, digest))

    def withdraw(self, number: int) -> None:
        """A chunk is about to be written again."""
        self._events.append((number, None))

    def forget(self, entry: int) -> None:
        """Nothing of this file counts."""
        self._events.append((-1 - entry, None))

    def kept(self) -> set[int]:
        """Files of which something is good, saved or not."""
        batch = _Batch(self._manifest)
        batch.take(list(self._events), fresh=True)
        claimed = {entry for entry in self._claims.entries() if entry not in batch.forgotten}
        return claimed | batch.entries()

    def checkpoint(self) -> list[tuple[int, OSError]]:
        """Save; returns the files whose parts cannot be read any more, of which nothing counts.

        OSError if the flush fails: that is final.
        """
        if self.damaged:
            raise OSError("an earlier flush has failed")
        batch = _Batch(self._manifest)
        batch.take(self._taken(), fresh=True)
        try:
            stats, lost = self._flush(sorted(batch.entries()))
            for entry, _ in lost:
                batch.forget(entry)
            self._write(batch, stats)
        except OSError:
            self.damaged = True
            raise
        return lost

    def publishing(self) -> None:
        """All that is ready has been flushed: write it down before anything gets its name."""
        batch = _Batch(self._manifest)
        batch.take(self._taken(), fresh=True)
        self._write(batch, {}, extra=[*self._parts.inode_records(), records.NAMING], count=False)

    def published(self, finals: Iterable[records.FinalRecord]) -> None:
        """All files have their names. A crash before this is durable is told from inode numbers."""
        blocks = [*records.places(self._layout.records()), *records.finals(finals)]
        self._journal.append([*blocks, records.COMPLETE], durable=False)

    def begin(self, *, lost: Sequence[int], doubted: Sequence[int]) -> None:
        """Write down where things are, and which claims of the last session hold no more."""
        for entry in lost:
            self._claims.forget(entry)
        for entry in doubted:
            self._claims.doubt(entry)
        blocks = [
            *records.forgotten(lost),
            *records.doubted(doubted),
            *records.places(self._layout.records()),
            records.kept(self._claims.size()),
        ]
        self._journal.append(blocks, durable=bool(lost))  # before their names are used again

    def unsettle(self, entry: int) -> None:
        """Bytes that may be claimed are about to be written over: durably doubt them first.

        A crash could keep the new bytes, and of the times only the old ones. OSError: it is not
        certain, and nothing may be written over.
        """
        with self._appending:
            if entry in self._unsettled or not _SURE.intersection(self._claims.flags(entry)):
                return
            if self.damaged:
                raise OSError("an earlier flush has failed")
            try:
                self._journal.append(records.doubted([entry]), durable=True)
            except OSError:
                self.damaged = True
                raise
            self._unsettled.add(entry)

    def _taken(self) -> list[_Event]:
        return [self._events.popleft() for _ in range(len(self._events))]

    def _flush(self, entries: list[int]) -> tuple[dict[int, PartRecord], list[tuple[int, OSError]]]:
        """Flush these parts through descriptors of our own: the loop goes on with its own."""
        walk = Descent(self._layout.places, _OPEN_DIRECTORIES, pinned=self._root)
        stats: dict[int, PartRecord] = {}
        lost: list[tuple[int, OSError]] = []
        try:
            one_by_one = len(entries) <= flush.FEW or not self._layout.sync_all(walk)
            for entry in entries:
                if not self._parts.inode(entry):  # all zeros so far, or gone with its file
                    continue
                try:
                    found = self._look(entry, walk, sync=one_by_one)
                except _GoneError as gone:
                    lost.append((entry, gone.why))
                    continue
                stats[entry] = self._parts.record(entry, found)
            self.keep_names(stats, walk, sync=one_by_one)
        finally:
            walk.close()
        return stats, lost

    def keep_names(self, entries: Iterable[int], walk: Descent, *, sync: bool) -> None:
        """Flush the names of new parts as well, or with `sync` false know that this is done.

        A part that nobody finds again is lost. Most file systems flush a name with what has it,
        but none has promised to.
        """
        columns = self._manifest.columns
        keys = {columns.parent(entry) for entry in entries if not self._named[entry]}
        for entry in entries:
            self._named[entry] = 1
        for key in list(keys):
            above = key
            while above and above not in self._reached:
                self._reached.add(above)
                above = self._layout.places[above].parent
                keys.add(above)
        if sync:
            for key in keys:
                flush.sync_directory(walk.take(key))

    def _look(self, entry: int, walk: Descent, *, sync: bool) -> os.stat_result:
        """The part's stat once it is flushed; `_GoneError` if it is not there any more."""
        try:
            if not sync:
                return self._parts.status(entry, walk)
            descriptor = self._parts.open_aside(entry, walk)
        except OSError as error:
            if error.errno in NO_MORE:
                raise
            raise _GoneError(error) from error
        return _sync(descriptor)

    def _write(
        self,
        batch: "_Batch",
        stats: dict[int, PartRecord],
        *,
        extra: Iterable[bytes] = (),
        count: bool = True,
    ) -> None:
        """`count`: tell how much is good by now, for people."""
        with self._appending:
            batch.take(self._taken(), fresh=False)
            self._events.extendleft(reversed(batch.later.items()))
            runs = list(records.in_runs(batch.good.items()))
            self._keep_books(batch, runs)
            blocks = [
                *records.forgotten(batch.forgotten),
                *records.withdrawn(batch.withdrawn),
                *records.good(runs),
                *records.parts(
                    record for entry, record in stats.items() if entry not in batch.late_forgotten
                ),
                *extra,
            ]
            if count:
                blocks.append(records.kept(self._claims.size()))
            self._journal.append(blocks, durable=True)
            self._kept = True

    def _keep_books(self, batch: "_Batch", runs: list[records.Run]) -> None:
        for entry in batch.forgotten:
            self._claims.forget(entry)
        for number in batch.withdrawn:
            self._claims.withdraw(number)
        for run in runs:
            self._claims.keep(run)
        if self._unsettled:
            self._unsettled -= batch.entries()


class _GoneError(Exception):
    def __init__(self, why: OSError) -> None:
        super().__init__(why)
        self.why = why


def _sync(descriptor: int) -> os.stat_result:
    try:
        flush.sync_data(descriptor)
        return os.fstat(descriptor)
    finally:
        at.close(descriptor)


class _Batch:
    """Events brought down to what they come to, in the order in which a journal says it."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self.good: dict[int, bytes] = {}
        self.withdrawn: set[int] = set()
        self.forgotten: set[int] = set()
        self.late_forgotten: set[int] = set()
        """Files that were forgotten while we flushed."""
        self.later: dict[int, bytes] = {}
        """Chunks that became good after the flush had begun."""

    def take(self, events: Iterable[_Event], *, fresh: bool) -> None:
        for number, digest in events:
            if digest is not None:
                (self.good if fresh else self.later)[number] = digest
            elif number >= 0:
                self.withdrawn.add(number)
                self.good.pop(number, None)
                self.later.pop(number, None)
            else:
                self.forget(-1 - number)
                if not fresh:
                    self.late_forgotten.add(-1 - number)

    def forget(self, entry: int) -> None:
        self.forgotten.add(entry)
        chunks = self._manifest.chunks(entry)
        for some in (self.good, self.later):
            for number in [number for number in some if number in chunks]:
                del some[number]

    def entries(self) -> set[int]:
        """Files of the chunks that are good; about 0.5 µs a chunk."""
        return set(self._entries())

    def _entries(self) -> Iterator[int]:
        end = -1
        for number in sorted(self.good):
            if number >= end:
                entry = self._manifest.chunk(number).entry
                end = self._manifest.chunks(entry).stop
                yield entry


def close_quietly(journal: Journal | None) -> None:
    """Let go of a journal; what it says stays."""
    if journal is not None:
        with suppress(OSError):
            journal.close()
