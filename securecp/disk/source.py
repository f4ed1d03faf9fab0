"""Content space read from the files that were scanned: slots for the wire, digests, changes.

A file that shrank, vanished or was replaced still fills its slots, with zeros: the transport cannot
wait. It is remembered as changed, and neither its digests nor `unchanged` will agree.
"""

import errno
import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence

from securecp.disk.calls import at
from securecp.disk.descent import Descent
from securecp.disk.descriptors import Descriptors
from securecp.disk.digests import Digester
from securecp.disk.found import Scan
from securecp.disk.holes import holes
from securecp.disk.memory import SAVE_BYTES, SAVE_SECONDS, Memory
from securecp.disk.spans import clear, cut, read_span
from securecp.disk.stamps import Stamp, offered
from securecp.transfer.manifest import Chunk

_OPEN_FILES = 32
_OPEN_DIRECTORIES = 16
_RACY = 100_000_000
"""Nanoseconds: a file that changed so shortly before it was looked at may change once more and keep
its times, so nothing is remembered of it."""
_NO_DIGEST = bytes(32)


class TreeSource:
    """The transport's content source over a scan; all but `digest` and `save` from one thread.

    `memory` is what earlier runs and other recipients have told of the same files; `to` is who gets
    them. With `verify` everything is read, holes too.
    """

    def __init__(
        self,
        scan: Scan,
        *,
        memory: Memory | None = None,
        verify: bool = False,
        to: bytes = b"",
    ) -> None:
        self._scan = scan
        self._memory = memory
        self._verify = verify
        self._to = to
        self._holes: tuple[range, ...] | None = None
        self._told: list[tuple[int, bytes]] = []
        """Chunks and digests that the memory has yet to hear of."""
        self._told_since: float | None = None
        self._telling = threading.Lock()
        if memory:
            memory.attach(to)
        self._manifest = scan.manifest
        self._starts = scan.manifest.columns.starts
        self._walk = Descent(scan.places, _OPEN_DIRECTORIES)
        self._files = Descriptors(
            _OPEN_FILES, lambda entry: self._open(entry, self._walk), at.close
        )
        self._digester = Digester(lambda capacity: Descent(scan.places, capacity), self._open)
        self._first = self._end = self._file = self._entry = 0  # the file read last
        self._renewed: dict[int, tuple[Stamp, int]] = {}
        """Files taken as they were later, each with the time when that was looked at."""
        self._trusted: dict[int, bool] = {}
        """Whether the memory's digests of a file hold, as far as that was asked."""
        self._recalled: set[int] = set()
        """Files of which digests came from the memory."""
        self.changed: set[int] = set()
        """Entries of which not everything could be read, or not from the file that was offered."""

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        """Fill all slots with the content from `offset` on; never raises for a bad file.

        Hot: once per burst. Beside `preadv` 1 µs for 64 slots in the same file as last time; each
        further file costs about 12 µs, opening and closing included.
        """
        length = sum(map(len, slots))
        if self._first <= offset and offset + length <= self._end:
            self._read(offset, slots, length)
        else:
            self._fill_across(offset, slots, length)

    def digest(self, chunk: Chunk) -> bytes | None:
        """BLAKE3 of the chunk as the file is now, None if it cannot be read; from any thread.

        If another file has its name, that one may be sent: then the file counts as changed.
        """
        try:
            return self._digester.digest(chunk)
        except OSError as error:
            if error.errno != errno.ESTALE:
                return None
            self.changed.add(chunk.entry)
            return _NO_DIGEST

    def known(self, chunk: Chunk) -> bytes | None:
        """The digest that was told of this chunk before, if its file is as it was then."""
        if self._memory is None or self._verify:
            return None
        entry = chunk.entry
        trusted = self._trusted.get(entry)
        if trusted is None:
            trusted = self._trusted[entry] = self._is_remembered(entry, self._memory)
        digest = self._memory.known(chunk.number) if trusted else None
        if digest:
            self._recalled.add(entry)
        return digest

    def holes(self) -> tuple[range, ...]:
        """Numbers of the chunks that lie wholly in holes of sparse files, in ascending order."""
        if self._holes is None:
            self._holes = () if self._verify else tuple(self._find_holes())
        return self._holes

    def learned(self, number: int, digest: bytes) -> None:
        """The digest of this chunk was told. Kept until it is time to `save`, or to `close`."""
        if self._memory is not None:
            with self._telling:
                self._told.append((number, digest))

    def due(self, now: float) -> bool:
        """Whether it is time for `save`."""
        if not self._told:
            return False
        if self._told_since is None:
            self._told_since = now
        # By their average size: it need not be exact, and costs nothing.
        size = len(self._told) * self._manifest.size // self._manifest.chunk_count
        return size >= SAVE_BYTES or now - self._told_since >= SAVE_SECONDS

    def save(self) -> None:
        """Make durable what was learned; from any thread."""
        memory = self._memory
        if memory is not None:
            self._learn(memory)
            memory.save()

    def finish(self) -> None:
        """Delivered: nothing of it need be remembered for this recipient."""
        if self._memory is not None:
            self._told = []
            self._memory.finished(self._to)

    def unchanged(self, entry: int) -> bool:
        """Whether the file still has the size, time and inode number that it was offered with.

        If some of it was not read this time, it must not have been touched at all.
        """
        if entry in self.changed:
            return False
        try:
            found = self._look(entry)
        except OSError:
            return False
        if entry in self._recalled:
            return Stamp.of(found) == offered(self._scan, entry)
        renewed = self._renewed.get(entry)
        if renewed:
            size, mtime_ns, inode = renewed[0].size, renewed[0].mtime_ns, renewed[0].inode
        else:
            columns = self._manifest.columns
            size, mtime_ns = columns.size(entry), columns.mtime_ns(entry)
            inode = self._scan.inodes[entry]
        return (found.st_size, found.st_mtime_ns, found.st_ino) == (size, mtime_ns, inode)

    def renew(self, entry: int) -> bool:
        """Take a changed file as it is now, to send it again; False if its size is another."""
        if self._memory is not None:
            self._learn(self._memory)  # as it was until now
        self._files.drop(entry)
        self._end = self._first
        self._digester.forget()
        looked_at = time.time_ns()
        try:
            stamp = Stamp.of(self._look(entry))
        except OSError:
            return False
        if stamp.size != self._manifest.columns.size(entry):
            return False
        self._renewed[entry] = stamp, looked_at
        self._trusted[entry] = False
        self._recalled.discard(entry)
        self.changed.discard(entry)
        return True

    def close(self) -> None:
        """Close every descriptor; nothing can be read from now on. What was learned is saved."""
        if self._memory is not None:
            self._learn(self._memory)
            self._memory.detach()
            self._memory = None
        self._files.close()
        self._walk.close()
        self._digester.close()
        self._end = self._first

    def _fill_across(self, offset: int, slots: Sequence[memoryview], length: int) -> None:
        starts = self._starts
        entry = self._manifest.locate(offset)
        while True:
            first, end = starts[entry], starts[entry + 1]
            count = min(length, end - offset)
            mine, slots = cut(slots, count) if count < length else (list(slots), [])
            self._select(entry, first, end)
            self._read(offset, mine, count)
            offset += count
            length -= count
            if not length:
                return
            entry += 1
            while starts[entry + 1] == offset:  # those that own no byte
                entry += 1

    def _select(self, entry: int, first: int, end: int) -> None:
        self._entry = entry
        try:
            self._file = self._files.take(entry)
        except OSError:
            self._file = -1
            self.changed.add(entry)
        self._first, self._end = first, end

    def _read(self, offset: int, slots: Sequence[memoryview], length: int) -> None:
        got = 0
        try:
            if self._file >= 0:
                got = read_span(self._file, offset - self._first, slots, length)
        except OSError:
            got = 0
        if got < length:
            self.changed.add(self._entry)
            clear(slots, got)

    def _find_holes(self) -> Iterator[range]:
        columns = self._manifest.columns
        for entry in self._scan.sparse:
            first = columns.first_chunks[entry]
            try:
                found = holes(self._files.take(entry), columns.size(entry))
            except OSError:
                continue  # reading it will tell
            yield from (range(first + each.start, first + each.stop) for each in found)

    def _learn(self, memory: Memory) -> None:
        """Tell the memory, each digest with the state that its file was in before it was read."""
        with self._telling:
            for number, digest in self._told:
                chunk = self._manifest.chunk(number)
                if chunk.entry in self.changed:
                    continue
                stamp, looked_at = self._state(chunk.entry)
                if stamp.changed_at < looked_at - _RACY:
                    memory.learn(chunk, digest, stamp)
            self._told, self._told_since = [], None

    def _is_remembered(self, entry: int, memory: Memory) -> bool:
        stamp = offered(self._scan, entry)
        if not memory.remembers(entry, stamp):
            return False
        try:
            return Stamp.of(self._look(entry)) == stamp
        except OSError:
            return False

    def _open(self, entry: int, descent: Descent) -> int:
        directory = descent.take(self._directory(entry))
        renewed = self._renewed.get(entry)
        inode = renewed[0].inode if renewed else self._scan.inodes[entry]
        return at.open_file(directory, self._name(entry), inode)

    def _name(self, entry: int) -> bytes:
        return self._scan.actual.get(entry) or self._manifest.columns.name(entry)

    def _directory(self, entry: int) -> int:
        return self._manifest.columns.parent(entry) or self._scan.tops[entry]

    def _look(self, entry: int) -> os.stat_result:
        """The file as it is now; OSError if there is none."""
        found = at.status(self._walk.take(self._directory(entry)), self._name(entry))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return found

    def _state(self, entry: int) -> tuple[Stamp, int]:
        """The state that the file is sent in, and when it was found to be so."""
        return self._renewed.get(entry) or (offered(self._scan, entry), self._scan.at)
