"""Part files: hidden, ours alone, under a random name in the directory where the file will be.

A part is made when its first bytes come, and recognised by its inode number when it is opened
again; another file under its name is neither written, published nor removed.
"""

import contextlib
import errno
import os
from array import array
from collections.abc import Container, Iterator
from functools import partial
from itertools import groupby

from securecp.disk import records
from securecp.disk.calls import at
from securecp.disk.descent import Descent
from securecp.disk.descriptors import Descriptors
from securecp.disk.layout import Layout
from securecp.disk.names import PartNames
from securecp.disk.records import PartRecord
from securecp.transfer.entries import Entries

_OPEN_FILES = 32


class Parts:
    """The parts of one transfer, by entry. Methods raise OSError; 8 bytes of memory an entry."""

    def __init__(self, entries: Entries, layout: Layout, names: PartNames) -> None:
        self._entries = entries
        self._layout = layout
        self.names = names
        self._inodes = array("Q", bytes(8 * len(entries)))  # 0: there is no part
        self._files = Descriptors(_OPEN_FILES, self._open, at.close_written, self._spoil)
        self.spoiled: list[tuple[int, OSError]] = []
        """Entries whose parts could not be closed without an error: what they hold is unknown."""

    def name(self, entry: int) -> bytes:
        return self.names.of(entry)

    def take(self, entry: int) -> int:
        """A descriptor to read and write the part, made if need be; see `Descriptors.take`."""
        return self._files.take(entry)

    def open_to_read(self, entry: int, descent: Descent) -> int:
        """A descriptor of one's own, for a thread with its own descent."""
        directory = self._directory(entry, descent)
        return at.open_file(directory, self.names.of(entry), self._inodes[entry])

    def open_aside(self, entry: int, descent: Descent) -> int:
        """The same for writing and flushing; to be closed by whoever asked."""
        directory = self._directory(entry, descent)
        return at.open_file(directory, self.names.of(entry), self._inodes[entry], writing=True)

    def status(self, entry: int, descent: Descent) -> os.stat_result:
        """What the part is like; OSError if it is gone or another file."""
        found = at.status(self._directory(entry, descent), self.names.of(entry))
        if found.st_ino != self._inodes[entry]:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return found

    def inode(self, entry: int) -> int:
        """Inode number of the part, 0 if there is none."""
        return self._inodes[entry]

    def adopt(self, entry: int, inode: int) -> None:
        """The part of an earlier session is still there, under the name that it has here."""
        self._inodes[entry] = inode

    def record(self, entry: int, found: os.stat_result | None = None) -> PartRecord:
        """For the journal; `found` is what the part was like once it had been flushed."""
        attempt = self.names.attempts.get(entry, 0)
        parent, inode = self._entries.parent(entry), self._inodes[entry]
        if found is None:
            return PartRecord(entry, parent, attempt, inode, 0, 0, 0)
        times = found.st_mtime_ns, found.st_ctime_ns
        return PartRecord(entry, parent, attempt, inode, found.st_size, *times)

    def inode_records(self) -> Iterator[bytes]:
        """For the journal: all parts, in as few words as possible."""
        start = 0
        for parent, some in groupby(range(len(self._inodes)), self._entries.parent):
            end = start + sum(1 for _ in some)
            if any(self._inodes[start:end]):
                yield from records.inodes(start, parent, self._inodes[start:end])
            start = end
        other = (entry for entry in self.names.attempts if self._inode_of(entry))
        yield from records.parts(map(self.record, other))

    def settled(self, entry: int) -> None:
        """The part has become a file, or has gone: not ours to remove any more."""
        self._inodes[entry] = 0

    def _inode_of(self, number: int) -> int:
        return self._inodes[number] if number < len(self._inodes) else 0

    def remove(self, entry: int) -> None:
        """Remove the part, if what is under its name is still ours."""
        self._files.drop(entry)
        inode, self._inodes[entry] = self._inodes[entry], 0
        if not inode:
            return
        with contextlib.suppress(OSError):
            directory = self._directory(entry, self._layout.walk)
            name = self.names.of(entry)
            if at.status(directory, name).st_ino == inode:
                at.remove(directory, name)

    def remove_all(self, but: Container[int] = ()) -> None:
        for entry, inode in enumerate(self._inodes):
            if inode and entry not in but:
                self.remove(entry)

    def close(self) -> None:
        self._files.close()

    def _directory(self, entry: int, descent: Descent) -> int:
        return descent.take(self._entries.parent(entry))

    def _spoil(self, entry: int, error: OSError) -> None:
        self.spoiled.append((entry, error))

    def _open(self, entry: int) -> int:
        directory = self._directory(entry, self._layout.walk)
        inode = self._inodes[entry]
        if inode:
            return at.open_file(directory, self.names.of(entry), inode, writing=True)
        try:
            descriptor = at.create(directory, self.names.of(entry))
        except FileExistsError:  # one in thousands of millions, or somebody means it
            _, descriptor = self.names.make(entry, partial(at.create, directory))
        self._inodes[entry] = os.fstat(descriptor).st_ino
        return descriptor
