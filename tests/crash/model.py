"""A file system as a power cut sees it: what was called, what was made durable, what may be left.

Every call that changes the disk is one step. A crash after step `t` leaves all that was durable by
then; of what is newer it may leave anything that a kernel could have written back on its own:

    data      each page (or sector: torn) of a file as of any moment since its last flush
    size      any that the file had since; where data is missing below it, there are zeros
    times     any since the last fsync; fdatasync need not write them
    names     depends on the file system, see `Names`

A flush that fails leaves the data that it was to write in doubt for good, also if a later one
succeeds: the kernel calls those pages clean.
"""

import enum
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

PAGE = 4_096
SECTOR = 512


class Kind(enum.Enum):
    """What an inode is."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


class Change(NamedTuple):
    """Bytes written at a position; without data: the file is cut, or grows, to that size."""

    at: int
    position: int
    data: bytes | None

    def size(self, before: int) -> int:
        """Size of the file after it."""
        if self.data is None:
            return self.position
        return max(before, self.position + len(self.data))


class Stamp(NamedTuple):
    """What is said of a file beside its size."""

    at: int
    mode: int
    mtime_ns: int
    ctime_ns: int


class Naming(NamedTuple):
    """Names of one directory that change together: all of them or none."""

    at: int
    directory: "Node"
    names: "tuple[tuple[bytes, Node | None], ...]"


@dataclass(eq=False)
class Node:
    """An inode, with all that happened to it."""

    number: int
    kind: Kind
    target: bytes = b""
    changes: list[Change] = field(default_factory=list)
    stamps: list[Stamp] = field(default_factory=list)
    data_synced: list[int] = field(default_factory=list)
    synced: list[int] = field(default_factory=list)
    """Steps after which all of it was durable; of a directory: its names."""
    failed: list[int] = field(default_factory=list)
    """Steps of flushes that failed."""

    @property
    def stamp(self) -> Stamp:
        """The latest."""
        return self.stamps[-1]

    def content(self, until: int) -> bytes:
        """As a running program saw it after this step."""
        data = bytearray()
        for change in self.changes[: bisect_right(self.changes, until, key=lambda c: c.at)]:
            _apply(data, change)
        return bytes(data)


class Names(enum.Enum):
    """Which names may be left."""

    JOURNAL = "as ext4: all metadata in order, and any flush makes all of it durable"
    ORDER = "in order within each directory; durable by a flush of the directory alone"
    ANY = "each change for itself; durable by a flush of the directory alone"


class Style(NamedTuple):
    """How a crash state is drawn: chances that what is not durable is there all the same."""

    names: Names
    name: float
    data: float
    size: float
    stamp: float
    unit: int

    @classmethod
    def drawn(cls, rng: Random) -> "Style":
        """All or nothing is as likely as a mixture: most bugs want one of the extremes."""
        name, data, size, stamp = (rng.choice((0.0, 0.5, 1.0)) for _ in range(4))
        names = rng.choice((Names.JOURNAL, Names.ORDER, Names.ANY))
        return cls(names, name, data, size, stamp, rng.choice((PAGE, SECTOR)))


@dataclass
class Image:
    """What is on the disk after the power is back."""

    names: dict[Node, dict[bytes, Node]]
    content: dict[Node, bytes]
    stamps: dict[Node, Stamp]


@dataclass
class Record:
    """All calls of one run."""

    root: Node
    step: int = 0
    namings: list[Naming] = field(default_factory=list)
    everything: list[int] = field(default_factory=list)
    """Steps of flushes of the whole file system."""
    flushes: list[int] = field(default_factory=list)
    """Steps of all flushes that succeeded, of whatever."""
    calls: list[str] = field(default_factory=list)
    """What each step was, for people."""

    def crash(self, at: int, style: Style, rng: Random) -> Image:
        """One state that a power cut after step `at` may leave."""
        return _Crash(self, at, style, rng).image()


class _Crash:
    def __init__(self, record: Record, at: int, style: Style, rng: Random) -> None:
        self._record = record
        self._at = at
        self._style = style
        self._rng = rng
        self._whole = _last(record.everything, at)
        self._commit = at
        if style.names is Names.JOURNAL:
            self._commit = self._moment(_last(record.flushes, at), at, style.name)

    def image(self) -> Image:
        names: dict[Node, dict[bytes, Node]] = {self._record.root: {}}
        for naming in self._kept():
            there = names.setdefault(naming.directory, {})
            for name, node in naming.names:
                if node is None:
                    there.pop(name, None)
                else:
                    there[name] = node
        image = Image({}, {}, {})
        self._reach(self._record.root, names, image)
        return image

    def _reach(self, node: Node, names: dict[Node, dict[bytes, Node]], image: Image) -> None:
        if node in image.stamps:
            return
        image.stamps[node] = self._stamp(node)
        if node.kind is Kind.FILE:
            image.content[node] = self._content(node)
        if node.kind is Kind.DIRECTORY:
            image.names[node] = names.get(node, {})
            for inner in image.names[node].values():
                self._reach(inner, names, image)

    def _kept(self) -> Iterator[Naming]:
        cuts: dict[Node, int] = {}
        for naming in self._record.namings:
            if naming.at > self._at:
                return
            if self._style.names is Names.JOURNAL:
                if naming.at <= self._commit:
                    yield naming
                continue
            directory = naming.directory
            durable = max(self._whole, _last(directory.synced, self._at))
            if directory not in cuts:
                cuts[directory] = self._moment(durable, self._at, self._style.name)
            kept = naming.at <= durable
            if self._style.names is Names.ORDER:
                kept = naming.at <= cuts[directory]
            if kept or (self._style.names is Names.ANY and self._rng.random() < self._style.name):
                yield naming

    def _moment(self, first: int, last: int, chance: float) -> int:
        """A step from `first` to `last`; the ends for the chances 0 and 1."""
        if chance in (0.0, 1.0):
            return last if chance else first
        return self._rng.randint(first, last)

    def _stamp(self, node: Node) -> Stamp:
        durable = max(self._whole, _last(node.synced, self._at))
        moment = self._commit
        if self._style.names is not Names.JOURNAL:
            moment = self._moment(durable, self._at, self._style.stamp)
        found = [stamp for stamp in node.stamps if stamp.at <= max(moment, durable)]
        return found[-1] if found else node.stamps[0]

    def _content(self, node: Node) -> bytes:
        at, style = self._at, self._style
        durable = max(self._whole, _last(node.synced, at), _last(node.data_synced, at))
        grown = max(durable, self._commit)
        if style.names is not Names.JOURNAL:
            grown = self._moment(durable, at, style.size)
        data, size, cuts = bytearray(), 0, _Cuts(self, durable, at)
        for change in node.changes[: bisect_right(node.changes, at, key=lambda c: c.at)]:
            if change.at <= grown:
                size = change.size(size)
                if change.data is None:
                    _apply(data, change)
            for part in self._parts(node, change, durable):
                # Growth is written down only after its data, where the file system says so.
                ordered = style.names is Names.JOURNAL and change.at <= grown
                if cuts.keep(part, ordered=ordered):
                    _apply(data, part.change)
        del data[size:]
        return bytes(data.ljust(size, b"\0"))

    def _parts(self, node: Node, change: Change, durable: int) -> "Iterator[_Part]":
        """The bytes of one call, cut where they may come apart."""
        if change.data is None:
            return
        lost = self._lost(node, change.at)
        if change.at <= durable and not lost:
            yield _Part(change, certain=True, lost=False)
            return
        for piece in _pieces(change, self._style.unit):
            doubt = bool(lost) and not _written_again(node, piece, lost, durable)
            yield _Part(piece, certain=change.at <= durable and not doubt, lost=doubt)

    def _lost(self, node: Node, at: int) -> int:
        """Step of the flush that was to write this and failed, 0 if there was none."""
        if not node.failed:
            return 0
        syncs = [*node.data_synced, *node.synced, *self._record.everything]
        after = min((step for step in syncs if step >= at), default=self._at + 1)
        return next((step for step in node.failed if at <= step < after), 0)


def _written_again(node: Node, part: Change, failed: int, durable: int) -> bool:
    """Whether the page was made dirty once more after a flush had failed, and then flushed."""
    page = part.position // PAGE
    return any(
        change.position // PAGE <= page <= (change.size(0) - 1) // PAGE
        for change in node.changes
        if failed < change.at <= durable
    )


class _Part(NamedTuple):
    """Bytes that are kept or lost together."""

    change: Change
    certain: bool
    lost: bool
    """The flush that was to write them has failed."""


class _Cuts:
    """Up to which moment each page of one file was written back."""

    def __init__(self, crash: _Crash, durable: int, at: int) -> None:
        self._crash = crash
        self._durable = durable
        self._at = at
        self._moments: dict[int, int] = {}

    def keep(self, part: _Part, *, ordered: bool) -> bool:
        if part.certain or (ordered and not part.lost):
            return True
        crash, change = self._crash, part.change
        if part.lost:
            return crash._rng.random() < crash._style.data
        unit = change.position // crash._style.unit
        if unit not in self._moments:
            moment = crash._moment(self._durable, self._at, crash._style.data)
            self._moments[unit] = moment
        return change.at <= self._moments[unit]


def _pieces(change: Change, unit: int) -> Iterator[Change]:
    assert change.data is not None
    position, data = change.position, change.data
    while data:
        count = unit - position % unit
        yield Change(change.at, position, data[:count])
        position, data = position + count, data[count:]


def _apply(content: bytearray, change: Change) -> None:
    if change.data is None:
        del content[change.position :]
        content.extend(bytes(change.position - len(content)))
        return
    if len(content) < change.position:
        content.extend(bytes(change.position - len(content)))
    content[change.position : change.position + len(change.data)] = change.data


def _last(steps: list[int], at: int) -> int:
    """The last of the ascending steps that is not after `at`; 0 if there is none."""
    index = bisect_right(steps, at)
    return steps[index - 1] if index else 0
