"""Files that are there already under the names of an offer: what of them need not be sent.

An offered file is compared with the regular file of its wanted name, in the destination or below a
real directory of the wanted name; chunks whose bytes lie wholly in that file are candidates. Only
their digests decide, which the sender tells (SPEC §9). Nothing here writes to what exists, follows
a link, or opens anything but a regular file; all is reached down from the destination's descriptor,
and what was looked at first must be what is opened later.

What is remembered of a file (inode number, size, times) tells whether it was touched since. It may
change all the same while it is read, so whoever copies from it hashes the very bytes it copies.
"""

import errno
import os
import stat
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence

from securecp.disk.calls import at
from securecp.disk.descent import Descent, Place
from securecp.disk.digests import Digester, copy_chunks
from securecp.transfer.entries import CHUNK, DIRECTORY, FILE
from securecp.transfer.manifest import Chunk, Manifest

_OPEN_DIRECTORIES = 8

ABSENT, OTHER_SIZE, SAME_SIZE = range(3)


class Base:
    """The existing files that an offer is compared with; `root` stays its owner's.

    `look` first. `digest` is for any thread, the others for one at a time.
    """

    def __init__(self, root: int, manifest: Manifest) -> None:
        self._root = root
        self._manifest = manifest
        self._entries = manifest.columns
        count = len(self._entries)
        self.files = bytearray(count)
        """By entry: whether a regular file has its name, and whether it has its size."""
        # 24 bytes an entry, whether or not it is there: less than an object for those that are.
        self._inodes = array("Q", bytes(8 * count))
        self._sizes = array("Q", bytes(8 * count))
        self._stamps = array("q", bytes(8 * count))
        self._places: dict[int, Place] = {}
        self._walk = self._descent(_OPEN_DIRECTORIES)
        self._digester = Digester(self._descent, self._open)
        self._lock = threading.Lock()
        self._tops: array[int] | None = None

    @property
    def directories(self) -> "dict[int, Place]":
        """Offered directories (entry index + 1) that are real directories there."""
        return self._places

    def look(self) -> None:
        """See what is there under the wanted names; about 5 µs for each that could be.

        What cannot be looked at counts as not there.
        """
        entries = self._entries
        parents = list(map(entries.parent, range(len(entries))))
        # One directory after the other, so that the order of an offer cannot have us open deep
        # directories again and again. A directory always comes before what is in it.
        for index in sorted(range(len(entries)), key=parents.__getitem__):
            parent = parents[index]
            if parent and parent not in self._places:
                continue
            try:
                if entries.kinds[index] == DIRECTORY:
                    self._find_directory(index, parent)
                elif entries.kinds[index] == FILE:
                    self._find_file(index, parent)
            except OSError:
                continue

    def chunks(self) -> tuple[range, ...]:
        """Numbers of the chunks whose bytes may be there: ascending, disjoint, joined."""
        return tuple(_joined(map(self._held, range(len(self._entries)))))

    def has(self, number: int) -> bool:
        """Whether the file there reaches to the end of this chunk."""
        return number in self._held(self._manifest.chunk(number).entry)

    def digest(self, chunk: Chunk) -> bytes:
        """BLAKE3 of these bytes of the existing file as they are now; OSError if it is gone."""
        return self._digester.digest(chunk)

    def identical(self, entry: int) -> bool:
        """Whether a file of the same size is there, not touched since `look`.

        It is the offered one if each of its chunks had the digest that was told.
        """
        if self.files[entry] != SAME_SIZE:
            return False
        with self._lock:
            try:
                found = at.status(self._directory(entry, self._walk), self._entries.name(entry))
            except OSError:
                return False
            return (
                stat.S_ISREG(found.st_mode)
                and found.st_ino == self._inodes[entry]
                and found.st_size == self._sizes[entry]
                and _stamp(found) == self._stamps[entry]
            )

    def top(self, entry: int) -> int:
        """Key of the entry at the top that this one is below, or is."""
        if self._tops is None:
            tops = array("I", [0])
            for key in range(1, len(self._entries) + 1):
                parent = self._entries.parent(key - 1)
                tops.append(tops[parent] if parent else key)
            self._tops = tops
        return self._tops[entry + 1]

    def whole_trees(self, same: Callable[[int], bool]) -> set[int]:
        """Keys of the entries at the top that are there with all that is offered below them.

        `same(entry)` is asked for each file and link, until one of its tree is not.
        """
        missing = set()
        for entry, kind in enumerate(self._entries.kinds):
            top = self.top(entry)
            if top in missing:
                continue
            found = entry + 1 in self._places if kind == DIRECTORY else same(entry)
            if not found:
                missing.add(top)
        return {self.top(entry) for entry in range(len(self._entries))} - missing

    def copy(
        self, entry: int, numbers: Sequence[int], digests: Sequence[bytes], part: int
    ) -> list[int]:
        """Copy chunks of the existing file to their place in the part.

        Each is hashed in memory and written from there. Those that do not have their digest any
        more, or cannot be read, are not written; their numbers are returned. OSError is the part's.
        """
        with self._lock:
            try:
                file = self._open(entry, self._walk)
            except OSError:
                return list(numbers)
            try:
                return copy_chunks(file, self._manifest, numbers, digests, part)
            finally:
                at.close(file)

    def close(self) -> None:
        """Close every descriptor but the destination's."""
        self._digester.close()
        with self._lock:
            self._walk.close()

    def _find_directory(self, index: int, parent: int) -> None:
        name = self._entries.name(index)
        found = at.open_directory(self._walk.take(parent), name)
        try:
            self._places[index + 1] = Place(parent, name, at.identity(found))
        finally:
            at.close(found)

    def _find_file(self, index: int, parent: int) -> None:
        found = at.status(self._walk.take(parent), self._entries.name(index))
        if not stat.S_ISREG(found.st_mode):
            return
        self.files[index] = SAME_SIZE if found.st_size == self._entries.size(index) else OTHER_SIZE
        self._inodes[index] = found.st_ino
        self._sizes[index] = found.st_size
        self._stamps[index] = _stamp(found)

    def _held(self, entry: int) -> range:
        """Those chunks of an entry that end within the existing file."""
        mine = self._manifest.chunks(entry)
        if not self.files[entry]:
            return mine[:0]
        size = self._sizes[entry]
        return mine if size >= self._entries.size(entry) else mine[: size // CHUNK]

    def _open(self, entry: int, descent: Descent) -> int:
        if not self.files[entry]:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        directory = self._directory(entry, descent)
        return at.open_file(directory, self._entries.name(entry), self._inodes[entry])

    def _directory(self, entry: int, descent: Descent) -> int:
        return descent.take(self._entries.parent(entry))

    def _descent(self, capacity: int) -> Descent:
        return Descent(self._places, capacity, pinned=self._root)


def _stamp(found: os.stat_result) -> int:
    """The times of a file as one number: they need only be compared."""
    return hash((found.st_mtime_ns, found.st_ctime_ns))


def _joined(ranges: Iterator[range]) -> Iterator[range]:
    """Without the empty ones, and touching ones made one."""
    start = end = 0
    for each in ranges:
        if not each:
            continue
        if each.start != end and end > start:
            yield range(start, end)
            start = each.start
        elif end == start:
            start = each.start
        end = each.stop
    if end > start:
        yield range(start, end)
