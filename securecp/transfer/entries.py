"""The entries of a manifest, kept in columns and checked one by one as they are added (SPEC §8.3).

Columns of machine numbers and one run of names: about 40 bytes an entry besides its name, where an
object each would take 250. An `Entry` is made when somebody asks for it.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, overload

from securecp.transfer import links, names

FILE = 0
DIRECTORY = 1
LINK = 2
STREAM = 3
"""A file whose length nobody knows yet; then it is all that is offered."""
_KINDS = (FILE, DIRECTORY, LINK, STREAM)
LINK_MODE = 0o777

ENTRY_LIMIT = 1_000_000
PATH_LIMIT = 4_096
"""Bytes of a whole file path, separators counted."""
DEPTH_LIMIT = 64
"""Components of a file path."""
SIZE_LIMIT = 2**63 - 1
"""Bytes of a file, and of all files together."""
MODE_LIMIT = 0o7777
CHUNK = 1 << 20
"""Bytes of a chunk; the last of a file may be shorter."""


class Entry(NamedTuple):
    """One file, directory, symbolic link or stream that is offered."""

    kind: int
    """`FILE`, `DIRECTORY`, `LINK` or `STREAM`."""
    parent: int
    """0 at the top, else the index plus 1 of an earlier directory."""
    name: bytes
    """One component, as the sender's file system has it."""
    size: int
    """Bytes; 0 for all but a file."""
    mode: int
    """Permission bits as the sender has them; the receiver decides which of them count."""
    mtime_ns: int
    """Nanoseconds since 1970, negative before."""
    target: bytes = b""
    """Where a link leads; nothing else has one."""


class Entries(Sequence[Entry]):
    """Entries in manifest order: grows by `add`, then stands still after `freeze`."""

    def __init__(self) -> None:
        self.kinds = bytearray()
        self.starts = array("Q", [0])
        """Where each entry's bytes begin in content space; one more for the end."""
        self.first_chunks = array("Q", [0])
        """Number of each entry's first chunk; one more for the end."""
        self.files = 0
        """Files, or the one stream."""
        self.links = 0
        self.stream = False
        """Whether it is one stream and nothing else."""
        self._targets: dict[int, bytes] = {}
        self._target_bytes = 0
        self._parents = array("I")
        self._modes = array("H")
        self._mtimes = array("q")
        self._names = bytearray()
        self._name_ends = array("I", [0])
        self._depths = bytearray()
        self._path_lengths = array("H")
        self._taken: set[bytes] = set()

    def add(self, entry: Entry) -> None:
        """Check and keep one entry; `ValueError` says what is wrong with it and keeps nothing."""
        kind, parent, name, size, mode, mtime, target = entry
        self._check_numbers(kind, size, mode)
        depth, path_length = self._place(parent, name)
        self._check_kind(entry, depth)
        taken = parent.to_bytes(4, "big") + name
        if taken in self._taken:
            raise ValueError(f"two entries have one name: {names.shown(name)}")
        self._taken.add(taken)
        self.kinds.append(kind)
        self._parents.append(parent)
        self._modes.append(mode)
        self._mtimes.append(min(max(mtime, -(2**63)), 2**63 - 1))
        self._names += name
        self._name_ends.append(len(self._names))
        self._depths.append(depth)
        self._path_lengths.append(path_length)
        self.starts.append(self.starts[-1] + size)
        self.first_chunks.append(self.first_chunks[-1] + (size + CHUNK - 1) // CHUNK)
        self.files += kind in (FILE, STREAM)
        self.stream = kind == STREAM
        if target:
            self._targets[len(self.kinds) - 1] = target
            self._target_bytes += len(target)
            self.links += 1

    def freeze(self) -> None:
        """Forget what only `add` needs; nothing can be added from now on."""
        self._taken = _FROZEN

    def name(self, index: int) -> bytes:
        return bytes(self._names[self._name_ends[index] : self._name_ends[index + 1]])

    def parent(self, index: int) -> int:
        return self._parents[index]

    def mode(self, index: int) -> int:
        return self._modes[index]

    def mtime_ns(self, index: int) -> int:
        return self._mtimes[index]

    def target(self, index: int) -> bytes:
        """Where a link leads; nothing for other kinds."""
        return self._targets.get(index, b"")

    def depth(self, index: int) -> int:
        """Components of the entry's file path."""
        return self._depths[index]

    def size(self, index: int) -> int:
        return self.starts[index + 1] - self.starts[index]

    def __len__(self) -> int:
        return len(self.kinds)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError("no such entry")
        return Entry(
            self.kinds[index],
            self._parents[index],
            self.name(index),
            self.size(index),
            self._modes[index],
            self._mtimes[index],
            self.target(index),
        )

    def __iter__(self) -> Iterator[Entry]:
        """All in order; a third of the cost of one index after the other."""
        names = (bytes(self._names[start:end]) for start, end in pairwise(self._name_ends))
        sizes = (end - start for start, end in pairwise(self.starts))
        columns = (self.kinds, self._parents, names, sizes, self._modes, self._mtimes)
        if self._targets:
            return map(Entry, *columns, map(self.target, range(len(self))))
        return map(Entry, *columns)

    def _check_numbers(self, kind: int, size: int, mode: int) -> None:
        if self._taken is _FROZEN:
            raise ValueError("the manifest is complete")
        if len(self.kinds) >= ENTRY_LIMIT:
            raise ValueError(f"more than {ENTRY_LIMIT} entries")
        if kind not in _KINDS:
            raise ValueError(f"entries of kind {kind} are not known here")
        if size < 0 or self.starts[-1] + size > SIZE_LIMIT:
            raise ValueError("a size, or the sum of sizes, is out of range")
        if kind != FILE and size:
            raise ValueError("a size of something that is no file")
        if not 0 <= mode <= MODE_LIMIT:
            raise ValueError("a mode is out of range")

    def _check_kind(self, entry: Entry, depth: int) -> None:
        """What is asked of links and streams beyond what is asked of all."""
        if self.stream or (entry.kind == STREAM and self.kinds):
            raise ValueError("a stream beside other entries")
        if entry.kind != LINK:
            if entry.target:
                raise ValueError("a target of something that is no link")
            return
        problem = links.problem(entry.target, depth)
        if problem:
            raise ValueError(f"{problem}: {names.shown(entry.name)}")
        if entry.mode != LINK_MODE:
            raise ValueError("a mode of a link is out of range")
        if self._target_bytes + len(entry.target) > links.TARGETS_LIMIT:
            raise ValueError("the targets of links are too long together")

    def _place(self, parent: int, name: bytes) -> tuple[int, int]:
        """Depth and path length of a new entry, if its place and its name are allowed."""
        problem = names.problem(name)
        if problem:
            raise ValueError(f"{problem}: {names.shown(name)}")
        if not parent:
            return 1, len(name)
        if not 0 < parent <= len(self.kinds) or self.kinds[parent - 1] != DIRECTORY:
            raise ValueError(f"an entry outside any earlier directory: {names.shown(name)}")
        depth = self._depths[parent - 1] + 1
        path_length = self._path_lengths[parent - 1] + 1 + len(name)
        if depth > DEPTH_LIMIT or path_length > PATH_LIMIT:
            raise ValueError(f"a file path too deep or too long: {names.shown(name)}")
        return depth, path_length


_FROZEN: set[bytes] = set()


def sizes(entries: Entries) -> list[int]:
    """All sizes at once, for sums and tests."""
    return [end - start for start, end in pairwise(entries.starts)]
