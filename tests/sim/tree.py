"""A tree of files in memory: what is offered, and where it is read from (`memorydisk.py` stores).

Files may be sparse, and one may change while it is sent.
"""

from collections.abc import Callable
from random import Random
from typing import Protocol

from blake3 import blake3

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
        self.note: Callable[[str], None] = lambda _: None

    def dig(self, rng: Random) -> None:
        """Make holes: runs of zeros, in some of the chunks of some files."""
        for entry, content in list(self.contents.items()):
            data = bytearray(content)
            for number in self.manifest.chunks(entry):
                chunk = self.manifest.chunk(number)
                if rng.random() < 0.3:
                    data[chunk.start : chunk.start + chunk.length] = bytes(chunk.length)
            self.versions[entry].clear()
            self._put(entry, bytes(data))

    def holes(self) -> tuple[range, ...]:
        """Numbers of the chunks that hold only zeros."""
        found = []
        for number in range(self.manifest.chunk_count):
            chunk = self.manifest.chunk(number)
            if not any(self.contents[chunk.entry][chunk.start : chunk.start + chunk.length]):
                found.append(range(number, number + 1))
        return tuple(found)

    def altered(self, entry: int, rng: Random) -> bytes:
        """What a file may be that is like this one: a few bytes or the length differ."""
        data = bytearray(self.contents[entry])
        for _ in range(rng.randrange(3) if data else 0):
            data[rng.randrange(len(data))] ^= 1
        return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data)

    def _put(self, entry: int, content: bytes) -> None:
        self.contents[entry] = content
        self.versions.setdefault(entry, set()).add(content)

    def change(self, entry: int, content: bytes) -> None:
        """Another process writes this file."""
        self._put(entry, content)


class Judge(Protocol):
    """Says which chunks must not be sent."""

    def had(self, number: int) -> bool: ...


class Memory:
    """Digests that were told before; the content that each is of stands for its stat."""

    def __init__(self) -> None:
        self.digests: dict[int, tuple[bytes, bytes]] = {}
        self.filled = 0
        """Content bytes that were read to be sent, in all sessions."""


class MemorySource:
    """Reads a tree as the disk would: what it finds now, not what was scanned."""

    def __init__(
        self, tree: Tree, faults: DiskFaults, rng: Random, memory: Memory | None = None
    ) -> None:
        self._memory = memory or Memory()
        self.judge: Judge | None = None
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
            self._check(offset, offset + len(slot))
            slot[:] = self._read(offset, len(slot))
            offset += len(slot)
            self._filled += len(slot)
            self._memory.filled += len(slot)
        if self._filled > self._fault_at >= 0:
            self._fault_at = -1
            self._strike(offset - 1)

    def _check(self, offset: int, end: int) -> None:
        """What the receiver has is not sent, unless it said that it has another."""
        while self.judge is not None and offset < end:
            chunk = self._tree.manifest.chunk_at(offset)
            if self.judge.had(chunk.number):
                raise SimulationError(f"chunk {chunk.number} is sent, and is there already")
            offset = chunk.offset + chunk.length

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
        if self._pending.grows or self._pending.changes:
            self._tree.note("source grows" if self._pending.grows else "source changes")
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

    def known(self, chunk: Chunk) -> bytes | None:
        of, digest = self._memory.digests.get(chunk.number, (None, None))
        return digest if of is self._tree.contents[chunk.entry] else None

    def holes(self) -> tuple[range, ...]:
        return self._tree.holes()

    def learned(self, number: int, digest: bytes) -> None:
        entry = self._tree.manifest.chunk(number).entry
        if self._seen[entry] is self._tree.contents[entry]:
            self._memory.digests[number] = self._seen[entry], digest

    def due(self, now: float) -> bool:
        return False

    def save(self) -> None:
        raise SimulationError("there is nothing to save")

    def finish(self) -> None:
        self._memory.digests.clear()

    def close(self) -> None:
        self.closed = True
