"""The receiver's disk in memory: what survives a crash, and a store over it.

Data and journal are apart, as on a real disk. What was stored reaches the platter some time or
other; a checkpoint writes out the data first and the journal then. A crash takes any part of what
is newer. A flush that fails leaves what it was to write in doubt until it is written anew. So a
resumed transfer finds what a real one would find.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from blake3 import blake3

from securecp.errors import FullError, StorageError
from securecp.transfer.holdings import Holdings, zero_digest
from securecp.transfer.manifest import FILE, Chunk, Manifest
from tests.sim.host import SimulationError
from tests.sim.options import DiskFaults, Harm, Scale
from tests.sim.tree import Tree


@dataclass(frozen=True)
class MemoryReport:
    """What publishing came to."""

    published: int
    size: int
    skipped: tuple[int, ...] = ()
    renamed: tuple[tuple[int, bytes], ...] = ()
    present: tuple[int, ...] = ()
    failed: tuple[tuple[int, str], ...] = ()


@dataclass
class MemoryDisk:
    """What is on the receiver's disk, whoever runs. `before` was there before anything came."""

    tree: Tree
    rng: Random
    scale: Scale
    before: dict[int, bytes] = field(default_factory=dict)
    """Files that have offered names already."""
    unwanted: set[int] = field(default_factory=set)
    """Files among these that stay as they are."""
    breaks: int = -1
    """A file that cannot be written."""
    published: dict[int, bytes] | None = None
    good_before: int = 0
    """Bytes that were good when the latest session ended."""
    harm: Harm = field(default_factory=Harm)
    note: Callable[[str], None] = lambda _: None
    saved: Callable[[], None] = lambda: None
    """Called after each checkpoint."""
    published_now: Callable[[], None] = lambda: None
    """Called when all is published, and nobody has been told."""

    def __post_init__(self) -> None:
        size = self.tree.manifest.size
        self.data, self.platter = bytearray(size), bytearray(size)
        self.written: set[int] = set()
        """Chunks that were written since the last checkpoint."""
        self.journal: dict[int, bytes] = {}
        self.pending: dict[int, bytes] = {}
        """Good, and not in the journal yet."""
        self.doubtful: set[int] = set()
        """Chunks that a flush could not write, and that nobody will flush again."""
        self.touched = False
        """The parts are newer than what the journal says."""
        self.copies: list[dict[int, bytes]] = []
        self._flushes = 0

    def fails(self, what: str) -> bool:
        """Whether this flush fails; what it was to write is in doubt."""
        self._flushes += what == "flush"
        harm = self.harm
        if (what == "flush" and self._flushes == harm.flush) or (what == "naming" and harm.naming):
            self.harm = replace(harm, naming=harm.naming and what != "naming")
            self.note(f"{what} failed")
            self.doubtful |= self.written
            self.written.clear()
            self.pending.clear()
            self.good_before = self.weight(self.journal)
            return True
        return False

    def checkpoint(self) -> None:
        if self.journal:
            self.copies.append(dict(self.journal))
        for number in self.written:
            start, end = self.tree.manifest.span(range(number, number + 1))
            self.platter[start:end] = self.data[start:end]
        self.written.clear()
        self.journal.update(self.pending)
        self.pending.clear()

    def forget(self, number: int) -> None:
        """It is written over: the journal is told before."""
        self.journal.pop(number, None)
        self.pending.pop(number, None)

    def crash(self) -> None:
        """Of what is newer than the checkpoint, anything may be lost."""
        self.note_end()
        for number in sorted(self.written | self.doubtful):
            start, end = self.tree.manifest.span(range(number, number + 1))
            if number in self.doubtful or self.rng.random() < 0.5:
                self.data[start:end] = self.platter[start:end]
            else:
                self.platter[start:end] = self.data[start:end]
        self.written.clear()
        self.pending.clear()
        self._harm_journal()

    def _harm_journal(self) -> None:
        """Somebody loses the journal, or puts an older copy of it back."""
        if not self.harm.journal or not self.journal or self.published is not None:
            return
        older = self.harm.journal == "older" and self.copies
        self.note("journal older" if older else "journal lost")
        self.journal = dict(self.rng.choice(self.copies)) if older else {}
        self.touched = True
        self.good_before = self.weight(self.journal)
        self.harm = replace(self.harm, journal="")

    def finished(self, published: dict[int, bytes]) -> None:
        """The journal is forgotten; what was published stands there like any other file."""
        self.journal.clear()
        self.pending.clear()
        self.good_before = 0
        self.before.update(published)

    def note_end(self) -> None:
        """A session ends, however: so much was good."""
        self.good_before = self.weight({**self.journal, **self.pending})

    def weight(self, numbers: dict[int, bytes]) -> int:
        return sum(self.tree.manifest.chunk(number).length for number in numbers)


class MemoryStore:
    """One session's store. Publishing checks that every file is one whole version of its source."""

    def __init__(self, disk: MemoryDisk, faults: DiskFaults, rng: Random) -> None:
        tree = disk.tree
        self.disk = disk
        self._tree = tree
        self._rotten = faults.rots
        self._full_at = rng.randrange(tree.size) if faults.full and tree.size else -1
        self._rng = rng
        self._failed: set[int] = set()
        self._ready: set[int] = set()
        self._broken: list[tuple[int, str]] = []
        self._prepared = False
        self._held: set[int] = set()
        self._stat_unchanged = rng.random() < 0.7 and not disk.touched
        self._damaged = False
        self._stored = 0
        self._saved_at = 0.0
        self.unsaved = 0
        self.kept = 0
        self.published: dict[int, bytes] | None = None
        self.suspended = False
        self.zeroed: set[int] = set()

    @property
    def data(self) -> bytearray:
        return self.disk.data

    def prepare(self, manifest: Manifest) -> Holdings:
        if manifest.digest != self._tree.manifest.digest or self._prepared:
            raise SimulationError("another manifest than was offered, or twice")
        self._prepared = True
        disk = self.disk
        kept = disk.weight(disk.journal)
        lost = disk.good_before - kept
        if lost > disk.scale.unsaved + disk.scale.window:
            raise SimulationError(f"I5: {lost} bytes that were good are sent again")
        self.kept = kept
        self._held = set(disk.journal) | self._take_files()
        return Holdings(_runs(self._held), tuple(sorted(disk.unwanted)))

    def _take_files(self) -> set[int]:
        """Chunks of files that have the names already; they are compared like any others."""
        manifest, disk = self._tree.manifest, self.disk
        found = set()
        for entry, content in disk.before.items():
            if entry in disk.unwanted:
                continue
            for number in manifest.chunks(entry):
                chunk = manifest.chunk(number)
                piece = content[chunk.start : chunk.start + chunk.length]
                if number not in disk.journal and len(piece) == chunk.length:
                    self._write(chunk.offset, piece)
                    found.add(number)
        return found

    def store(self, offset: int, slices: list[memoryview]) -> None:
        if not self._prepared or self.suspended:
            raise SimulationError("content before consent or after the end")
        data = b"".join(slices)
        if not data or offset + len(data) > len(self.data):
            raise SimulationError(f"store outside the content: {offset} and {len(data)} more")
        self._check_waiting(offset, offset + len(data))
        self._write(offset, data)
        self._stored += len(data)
        self.unsaved += len(data)
        if self._stored > self._full_at >= 0:
            self.disk.note("disk full")
            raise FullError("no room on the disk", needed=self._tree.size - self._stored)

    def _write(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data
        manifest = self._tree.manifest
        first, last = manifest.chunk_at(offset), manifest.chunk_at(offset + len(data) - 1)
        for number in range(first.number, last.number + 1):
            if number in self.disk.journal:
                raise SimulationError(f"chunk {number} is written over, and the journal has it")
            self.disk.written.add(number)
            self.disk.doubtful.discard(number)
            if manifest.chunk(number).entry == self.disk.breaks and not self._broken:
                self._broken.append((self.disk.breaks, "a bad sector"))
                self.disk.note("file broken")

    def _check_waiting(self, offset: int, end: int) -> None:
        """Only files that are neither verified nor published may get bytes."""
        manifest = self._tree.manifest
        while offset < end:
            chunk = manifest.chunk_at(offset)
            if chunk.entry in self._ready | self._failed or self.published is not None:
                raise SimulationError(f"bytes for file {chunk.entry} after it was settled")
            if chunk.number in self._held | self.zeroed:
                raise SimulationError(f"bytes for chunk {chunk.number}, which is here")
            offset = chunk.offset + chunk.length

    def known(self, number: int) -> bytes | None:
        if number in self.zeroed:
            return zero_digest(self._tree.manifest.chunk(number).length)
        return self.disk.journal.get(number) if self._stat_unchanged else None

    def digest(self, chunk: Chunk) -> bytes:
        data = self.data[chunk.offset : chunk.offset + chunk.length]
        if self._rotten and self._rng.random() < 0.5:
            self._rotten = False
            self.disk.note("rotten")
            data[0] ^= 0x80  # unlike what `Tree.altered` does
        return blake3(data).digest()

    def zeros(self, chunks: range) -> None:
        self.disk.note("zeros")
        start, end = self._tree.manifest.span(chunks)
        self._write(start, bytes(end - start))
        self.zeroed |= set(chunks)

    def good(self, number: int, digest: bytes) -> None:
        start, end = self._tree.manifest.span(range(number, number + 1))
        if blake3(self.data[start:end]).digest() != digest:
            raise SimulationError(f"chunk {number} is called good, and is not")
        if number not in self.disk.journal:
            self.disk.pending[number] = digest

    def missed(self, number: int) -> None:
        if number not in self._held:
            raise SimulationError(f"chunk {number} was missed, and was not held")
        self._held.remove(number)
        self.disk.note("missed")
        self.disk.forget(number)

    def forget(self, entry: int) -> None:
        for number in self._tree.manifest.chunks(entry):
            self._held.discard(number)
            self.zeroed.discard(number)
            self.disk.forget(number)

    def ready(self, entry: int) -> None:
        if entry in self._ready:
            raise SimulationError(f"file {entry} is ready twice")
        self._ready.add(entry)

    def failed(self, entry: int) -> None:
        self._failed.add(entry)
        for number in self._tree.manifest.chunks(entry):
            self.disk.forget(number)

    def broken(self) -> list[tuple[int, str]]:
        if not self._broken or self.disk.breaks < 0:
            return []
        self.disk.breaks = -1
        return self._broken

    def due(self, now: float) -> bool:
        if not self.disk.pending or self._damaged:
            self._saved_at = now
            return False
        return self.unsaved >= self.disk.scale.interval or now - self._saved_at >= 10

    def checkpoint(self) -> None:
        if self.suspended:
            raise StorageError("it is closed")
        if self.published is not None:
            return  # it was asked for before
        self._flush("flush")
        self.unsaved = 0
        self.disk.checkpoint()
        self.disk.saved()

    def _flush(self, what: str) -> None:
        if self._damaged:
            raise StorageError("an earlier flush has failed")
        if self.disk.fails(what):
            self._damaged = True
            raise StorageError("the disk reports an error")

    def publish(self) -> MemoryReport:
        self._flush("naming")
        manifest, disk = self._tree.manifest, self.disk
        starts = manifest.columns.starts
        published: dict[int, bytes] = {}
        for entry, versions in self._tree.versions.items():
            if entry in self._failed:
                continue
            content = bytes(self.data[starts[entry] : starts[entry + 1]])
            if content not in versions or entry not in self._ready:
                raise SimulationError(f"file {entry} is no version of its source, or not ready")
            published[entry] = content
        self.published = published
        present = tuple(published) if disk.published == published else ()
        disk.published = published
        disk.checkpoint()
        disk.published_now()
        return MemoryReport(len(published), sum(map(len, published.values())), present=present)

    def suspend(self) -> None:
        if self.suspended:
            raise SimulationError("suspended twice")
        self.suspended = True
        if not self._damaged:
            self.disk.checkpoint()
            self.disk.note_end()

    def finished(self) -> None:
        if self.published is None:
            raise SimulationError("finished without anything published")
        self.disk.note("finished")
        self.disk.finished(self.published)

    @property
    def files(self) -> int:
        return sum(kind == FILE for kind in self._tree.manifest.columns.kinds)


def _runs(numbers: set[int]) -> tuple[range, ...]:
    """The same as ranges, ascending."""
    runs: list[range] = []
    for number in sorted(numbers):
        if runs and runs[-1].stop == number:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return tuple(runs)
