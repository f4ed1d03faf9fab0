"""Content space read from the files that were scanned: slots for the wire, digests, changes.

A file that shrank, vanished or was replaced still fills its slots, with zeros: the transport cannot
wait. It is remembered as changed, and neither its digests nor `unchanged` will agree.
"""

import errno
import os
import stat
from collections.abc import Sequence

from securecp.disk.calls import at
from securecp.disk.descent import Descent
from securecp.disk.descriptors import Descriptors
from securecp.disk.digests import Digester
from securecp.disk.spans import clear, cut, read_span
from securecp.disk.tree import Scan
from securecp.transfer.manifest import Chunk

_OPEN_FILES = 32
_OPEN_DIRECTORIES = 16


class TreeSource:
    """The transport's content source over a scan; all but `digest` from one thread."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._manifest = scan.manifest
        self._starts = scan.manifest.columns.starts
        self._walk = Descent(scan.places, _OPEN_DIRECTORIES)
        self._files = Descriptors(
            _OPEN_FILES, lambda entry: self._open(entry, self._walk), at.close
        )
        self._digester = Digester(lambda capacity: Descent(scan.places, capacity), self._open)
        self._first = self._end = self._file = self._entry = 0  # the file read last
        self._renewed: dict[int, tuple[int, int]] = {}
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
        """BLAKE3 of the chunk as the file is now, None if it cannot be read; from any thread."""
        try:
            return self._digester.digest(chunk)
        except OSError:
            return None

    def unchanged(self, entry: int) -> bool:
        """Whether the file still has the size, time and inode number that it was offered with."""
        if entry in self.changed:
            return False
        try:
            return self._stamp(entry) == self._expected(entry)
        except OSError:
            return False

    def renew(self, entry: int) -> bool:
        """Take a changed file as it is now, to send it again; False if its size is another."""
        self._files.drop(entry)
        self._end = self._first
        self._digester.forget()
        try:
            size, mtime_ns, inode = self._stamp(entry)
        except OSError:
            return False
        if size != self._manifest.columns.size(entry):
            return False
        self._renewed[entry] = (mtime_ns, inode)
        self.changed.discard(entry)
        return True

    def close(self) -> None:
        """Close every descriptor; nothing can be read from now on."""
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

    def _open(self, entry: int, descent: Descent) -> int:
        directory = descent.take(self._directory(entry))
        name = self._manifest.columns.name(entry)
        return at.open_file(directory, name, self._inode(entry))

    def _directory(self, entry: int) -> int:
        return self._manifest.columns.parent(entry) or self._scan.tops[entry]

    def _stamp(self, entry: int) -> tuple[int, int, int]:
        directory = self._walk.take(self._directory(entry))
        found = at.status(directory, self._manifest.columns.name(entry))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return found.st_size, found.st_mtime_ns, found.st_ino

    def _inode(self, entry: int) -> int:
        renewed = self._renewed.get(entry)
        return renewed[1] if renewed else self._scan.inodes[entry]

    def _expected(self, entry: int) -> tuple[int, int, int]:
        columns = self._manifest.columns
        renewed = self._renewed.get(entry)
        mtime_ns = renewed[0] if renewed else columns.mtime_ns(entry)
        return columns.size(entry), mtime_ns, self._inode(entry)
