"""Part files: hidden, ours alone, under a random name in the directory where the file will be.

A part is made when its first bytes come, and recognised by its inode number when it is opened
again; another file under its name is neither written, published nor removed.
"""

import contextlib
import os
from array import array

from securecp.disk.calls import at
from securecp.disk.descent import Descent
from securecp.disk.descriptors import Descriptors
from securecp.disk.layout import Layout
from securecp.disk.names import PartNames
from securecp.transfer.entries import Entries

_OPEN_FILES = 32


class Parts:
    """The parts of one transfer, by entry. Methods raise OSError; 8 bytes of memory an entry."""

    def __init__(self, entries: Entries, layout: Layout, names: PartNames) -> None:
        self._entries = entries
        self._layout = layout
        self._names = names
        self._inodes = array("Q", bytes(8 * len(entries)))  # 0: there is no part
        self._files = Descriptors(_OPEN_FILES, self._open, at.close)

    def name(self, entry: int) -> bytes:
        return self._names.of(entry)

    def take(self, entry: int) -> int:
        """A descriptor to read and write the part, made if need be; see `Descriptors.take`."""
        return self._files.take(entry)

    def open_to_read(self, entry: int, descent: Descent) -> int:
        """A descriptor of one's own, for a thread with its own descent."""
        directory = self._directory(entry, descent)
        return at.open_file(directory, self._names.of(entry), self._inodes[entry])

    def inode(self, entry: int) -> int:
        """Inode number of the part, 0 if there is none."""
        return self._inodes[entry]

    def settled(self, entry: int) -> None:
        """The part has become a file, or has gone: not ours to remove any more."""
        self._inodes[entry] = 0

    def remove(self, entry: int) -> None:
        """Remove the part, if what is under its name is still ours."""
        self._files.drop(entry)
        inode, self._inodes[entry] = self._inodes[entry], 0
        if not inode:
            return
        with contextlib.suppress(OSError):
            directory = self._directory(entry, self._layout.walk)
            name = self._names.of(entry)
            if at.status(directory, name).st_ino == inode:
                at.remove(directory, name)

    def remove_all(self) -> None:
        for entry, inode in enumerate(self._inodes):
            if inode:
                self.remove(entry)

    def close(self) -> None:
        self._files.close()

    def _directory(self, entry: int, descent: Descent) -> int:
        return descent.take(self._entries.parent(entry))

    def _open(self, entry: int) -> int:
        directory = self._directory(entry, self._layout.walk)
        name = self._names.of(entry)
        if self._inodes[entry]:
            return at.open_file(directory, name, self._inodes[entry], writing=True)
        descriptor = at.create(directory, name)
        self._inodes[entry] = os.fstat(descriptor).st_ino
        return descriptor
