"""A tree of files in memory: what is offered, where it is read from, where it is stored.

Disks can be wrong, too: a file may change while it is sent, a stored chunk may come back rotten
once, the disk may be full once.
"""

from dataclasses import dataclass
from random import Random

from blake3 import blake3

from securecp.errors import StorageError
from securecp.transfer.manifest import DIRECTORY, FILE, Chunk, Entry, Manifest
from tests.sim.host import SimulationError
from tests.sim.options import DiskFaults


class Tree:
    """The sender's files: entries, and the content of each in its present version."""

    def __init__(self, size: int, rng: Random) -> None:
        count = rng.choice((1, 1, 3, 12)) if size else rng.choice((0, 1, 2))
        cuts = sorted(rng.randrange(size + 1) for _ in range(count - 1))
        sizes = [end - begin for begin, end in zip([0, *cuts], [*cuts, size], strict=True)]
        entries = [Entry(DIRECTORY, 0, b"folder", 0, 0o755, 0)]
        self.contents: dict[int, bytes] = {}
        self.versions: dict[int, set[bytes]] = {}
        for number, length in enumerate(sizes if count else []):
            self._put(len(entries), rng.randbytes(length))
            entries.append(Entry(FILE, number % 2, b"file %d" % number, length, 0o644, number))
        self.manifest = Manifest(entries)
        self.size = size

    def _put(self, entry: int, content: bytes) -> None:
        self.contents[entry] = content
        self.versions.setdefault(entry, set()).add(content)

    def change(self, entry: int, content: bytes) -> None:
        """Another process writes this file."""
        self._put(entry, content)


class MemorySource:
    """Reads a tree as the disk would: what it finds now, not what was scanned."""

    def __init__(self, tree: Tree, faults: DiskFaults, rng: Random) -> None:
        self._tree = tree
        self._rng = rng
        self._seen = dict(tree.contents)
        self._filled = 0
        self._fault_at = rng.randrange(tree.size) if tree.size else -1
        self._pending = faults
        self.closed = False

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        if self.closed:
            raise SimulationError("the source is read after it was closed")
        for slot in slots:
            slot[:] = self._read(offset, len(slot))
            offset += len(slot)
            self._filled += len(slot)
        if self._filled > self._fault_at >= 0:
            self._fault_at = -1
            self._strike(offset - 1)

    def _read(self, offset: int, length: int) -> bytes:
        """Bytes of content space, from as many files as they span; what is gone reads as zeros."""
        data = bytearray()
        manifest = self._tree.manifest
        while len(data) < length:
            entry = manifest.locate(offset)
            start = offset - manifest.columns.starts[entry]
            size = manifest.columns.starts[entry + 1] - manifest.columns.starts[entry]
            piece = self._tree.contents[entry][
                start : start + min(length - len(data), size - start)
            ]
            whole = min(length - len(data), size - start)
            data += piece.ljust(whole, b"\0")
            offset += whole
        return bytes(data)

    def _strike(self, offset: int) -> None:
        entry = self._tree.manifest.locate(offset)
        before = self._tree.contents[entry]
        if self._pending.grows:
            self._tree.change(entry, before + b"more")
        elif self._pending.changes:
            self._tree.change(entry, self._rng.randbytes(len(before)))

    def digest(self, chunk: Chunk) -> bytes | None:
        content = self._tree.contents[chunk.entry]
        return blake3(content[chunk.start : chunk.start + chunk.length]).digest()

    @property
    def changed(self) -> set[int]:
        return set()

    def unchanged(self, entry: int) -> bool:
        return self._seen[entry] is self._tree.contents[entry]

    def renew(self, entry: int) -> bool:
        same_size = len(self._seen[entry]) == len(self._tree.contents[entry])
        self._seen[entry] = self._tree.contents[entry]
        return same_size

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class MemoryReport:
    """What publishing came to."""

    published: int
    size: int
    skipped: tuple[int, ...] = ()
    failed: tuple[tuple[int, str], ...] = ()


class MemoryStore:
    """The receiver's disk. Publishing checks that every file is one whole version of its source."""

    def __init__(self, tree: Tree, faults: DiskFaults, rng: Random) -> None:
        self._tree = tree
        self._rotten = faults.rots
        self._full_at = rng.randrange(tree.size) if faults.full and tree.size else -1
        self._rng = rng
        self._failed: set[int] = set()
        self._ready: set[int] = set()
        self._data = bytearray()
        self._stored = 0
        self._prepared = False
        self.published: dict[int, bytes] | None = None
        self.abandoned = False

    def prepare(self, manifest: Manifest) -> None:
        if manifest.digest != self._tree.manifest.digest or self._prepared:
            raise SimulationError("another manifest than was offered, or twice")
        self._prepared = True
        self._data = bytearray(manifest.size)

    def store(self, offset: int, slices: list[memoryview]) -> None:
        if not self._prepared or self.abandoned:
            raise SimulationError("content before consent or after the end")
        data = b"".join(slices)
        if not data or offset + len(data) > len(self._data):
            raise SimulationError(f"store outside the content: {offset} and {len(data)} more")
        self._check_waiting(offset, offset + len(data))
        self._data[offset : offset + len(data)] = data
        self._stored += len(data)
        if self._stored > self._full_at >= 0:
            raise StorageError("no room on the disk")

    def _check_waiting(self, offset: int, end: int) -> None:
        """Only files that are neither verified nor published may get bytes; late ones may fail."""
        starts = self._tree.manifest.columns.starts
        while offset < end:
            entry = self._tree.manifest.locate(offset)
            late = entry in self._ready or self.published is not None
            if late and entry not in self._failed:
                raise SimulationError(f"bytes for file {entry} after it was verified")
            offset = starts[entry + 1]

    def digest(self, chunk: Chunk) -> bytes:
        data = self._data[chunk.offset : chunk.offset + chunk.length]
        if self._rotten and self._rng.random() < 0.5:
            self._rotten = False
            data[0] ^= 1
        return blake3(data).digest()

    def ready(self, entry: int) -> None:
        if entry in self._ready:
            raise SimulationError(f"file {entry} is ready twice")
        self._ready.add(entry)

    def failed(self, entry: int) -> None:
        self._failed.add(entry)

    def publish(self) -> MemoryReport:
        starts = self._tree.manifest.columns.starts
        published = {}
        for entry, versions in self._tree.versions.items():
            if entry in self._failed:
                continue
            content = bytes(self._data[starts[entry] : starts[entry + 1]])
            if content not in versions:
                raise SimulationError(f"file {entry} is no version of its source")
            published[entry] = content
        self.published = published
        return MemoryReport(len(published), sum(map(len, published.values())))

    def abandon(self) -> None:
        self.abandoned = True
