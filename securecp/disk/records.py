"""What a journal says, block by block, and what all of it comes to (SPEC §9.7).

    H  once, first: whose transfer, where to, for whom to show, the key of the part names
    D  directories: made under hidden names, or found there
    C  chunks that are good, with their digests;  Z  chunks of zeros that are good
    W  chunks that count no more;  F  files of which nothing counts any more
    R  files that were not as they had been left: what is said of their chunks needs another look
    P  parts: name, inode number, size and times when their chunks were flushed
    I  inode numbers alone, of parts that follow each other in one directory
    K  how many bytes are good
    B  from here on parts get their names
    N  files under their names, as they were left;  X  all of them have theirs

A later block overrides what an earlier one says of the same thing. The blocks are authentic
(`log`); still nothing but numbers and names is read from them, and whatever does not parse ends
the reading.
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from securecp import codec
from securecp.errors import ProtocolError

BLOCK = 1 << 19
"""About how long a block may become."""
DIGEST = 32
SHOWN_NAMES = 5
"""Names at the top that are kept for people."""

(
    HEADER,
    PLACES,
    GOOD,
    ZEROS,
    WITHDRAWN,
    FORGOTTEN,
    DOUBTED,
    PARTS,
    INODES,
    KEPT,
    NAMING,
    FINALS,
    COMPLETE,
) = (bytes([letter]) for letter in b"HDCZWFRPIKBNX")
_RUN = struct.Struct(">QI")
_NUMBER = struct.Struct(">Q")
_PART = struct.Struct(">IIHQQqq")
_ROW = struct.Struct(">III")
_INODE = struct.Struct("<Q")
_PLACE = struct.Struct(">IIQ?HH")
_FINAL = struct.Struct(">IIQqqH")


Run = tuple[int, int, bytes]
"""First chunk, how many, and their digests one after another; none if they are zeros."""


class Header(NamedTuple):
    """What the transfer is, as it was approved."""

    peer: bytes
    digest: bytes
    destination: bytes
    names: tuple[bytes, ...]
    size: int
    entries: int
    key: bytes
    """Of the part names."""
    at: int
    """When it was approved, milliseconds since 1970."""


class PartRecord(NamedTuple):
    """A part, as it was when its chunks had been flushed; `ctime_ns` 0: nobody looked."""

    entry: int
    parent: int
    attempt: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class PlaceRecord(NamedTuple):
    """A directory of the offer by key (entry + 1): ours if `made`, else found there."""

    key: int
    parent: int
    inode: int
    made: bool
    attempt: int
    name: bytes


class FinalRecord(NamedTuple):
    """A file under its name, as it was left."""

    entry: int
    parent: int
    inode: int
    mtime_ns: int
    ctime_ns: int
    name: bytes


def header(value: Header) -> bytes:
    names = list(value.names[:SHOWN_NAMES])
    return HEADER + codec.encode([*value[:3], names, *value[4:]])


def parse_header(block: bytes) -> Header | None:
    """The header in the first block of a journal, None if it holds none."""
    if block[:1] != HEADER:
        return None
    try:
        fields = codec.array(codec.decode(block[1:]), 8)
        peer, digest = codec.binary(fields[0], 0, 64), codec.binary(fields[1], 32)
        destination = codec.binary(fields[2], 1, 1 << 15)
        names = tuple(codec.binary(name, 0, 255) for name in codec.array(fields[3], 0, SHOWN_NAMES))
        size, entries = codec.integer(fields[4], 0, 1 << 63), codec.integer(fields[5], 0, 1 << 32)
        key, at = codec.binary(fields[6], 32), codec.integer(fields[7], 0, 1 << 63)
    except ProtocolError:
        return None
    return Header(peer, digest, destination, names, size, entries, key, at)


def good(chunks: Iterable[Run]) -> Iterator[bytes]:
    """Blocks for chunks with their digests; an empty digest: they are all zeros."""
    block = bytearray(GOOD)
    zeros = bytearray(ZEROS)
    for first, count, digests in chunks:
        if digests:
            block += _RUN.pack(first, count) + digests
        else:
            zeros += _RUN.pack(first, count)
        if len(block) + len(zeros) > BLOCK:
            yield from _filled(block, zeros)
            block, zeros = bytearray(GOOD), bytearray(ZEROS)
    yield from _filled(block, zeros)


def withdrawn(numbers: Iterable[int]) -> Iterator[bytes]:
    yield from _blocks(WITHDRAWN, map(_NUMBER.pack, numbers))


def forgotten(entries: Iterable[int]) -> Iterator[bytes]:
    yield from _blocks(FORGOTTEN, map(_NUMBER.pack, entries))


def doubted(entries: Iterable[int]) -> Iterator[bytes]:
    yield from _blocks(DOUBTED, map(_NUMBER.pack, entries))


def parts(some: Iterable[PartRecord]) -> Iterator[bytes]:
    yield from _blocks(PARTS, (_PART.pack(*part) for part in some))


def inodes(first: int, parent: int, some: "array[int]") -> Iterator[bytes]:
    """Parts of consecutive entries in one directory; 0: there is none."""
    step = BLOCK // _INODE.size
    for start in range(0, len(some), step):
        row = some[start : start + step]
        if sys.byteorder == "big":
            row.byteswap()
        yield INODES + _ROW.pack(first + start, parent, len(row)) + row.tobytes()


def places(some: Iterable[PlaceRecord]) -> Iterator[bytes]:
    yield from _blocks(PLACES, (_PLACE.pack(*p[:5], len(p.name)) + p.name for p in some))


def finals(some: Iterable[FinalRecord]) -> Iterator[bytes]:
    yield from _blocks(FINALS, (_FINAL.pack(*f[:5], len(f.name)) + f.name for f in some))


def kept(size: int) -> bytes:
    return KEPT + _NUMBER.pack(size)


class Remembered:
    """What a journal comes to; chunks stand apart, in `claims`, since most readers need none."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self.header: Header | None = None
        self.parts: dict[int, PartRecord] = {}
        self.places: dict[int, PlaceRecord] = {}
        self.finals: dict[int, FinalRecord] = {}
        self.chunks: list[bytes] = []
        """Blocks about chunks, in order."""
        self.kept = 0
        self.naming = self.complete = False
        for number, block in enumerate(blocks):
            if number == 0:
                self.header = parse_header(block)
            if self.header is None or not self._take(block):
                return

    def _take(self, block: bytes) -> bool:
        kind, rest = block[:1], block[1:]
        try:
            if kind in (GOOD, ZEROS, WITHDRAWN, FORGOTTEN, DOUBTED):
                self.chunks.append(block)
                if kind == FORGOTTEN:
                    self._forget(block)
            elif kind == PARTS:
                self.parts.update((row[0], PartRecord(*row)) for row in _PART.iter_unpack(rest))
            elif kind == INODES:
                self.parts.update(_inode_rows(rest))
            elif kind == PLACES:
                self.places.update((row[0], PlaceRecord(*row)) for row in _named(_PLACE, rest))
            elif kind == FINALS:
                self.finals.update((row[0], FinalRecord(*row)) for row in _named(_FINAL, rest))
            else:
                return self._take_mark(kind, rest)
        except struct.error:
            return False
        return True

    def _forget(self, block: bytes) -> None:
        for entry in numbers(block):
            self.parts.pop(entry, None)
            self.finals.pop(entry, None)

    def _take_mark(self, kind: bytes, rest: bytes) -> bool:
        if kind == KEPT:
            (self.kept,) = _NUMBER.unpack(rest)
            self.complete = False  # another session has begun since
        elif kind == NAMING:
            self.naming = True
        elif kind == COMPLETE:
            self.complete = True
        return kind in (HEADER, KEPT, NAMING, COMPLETE)


def runs(block: bytes) -> Iterator[Run]:
    """(first chunk, count, digests) of a C block, (first, count, b"") of a Z block."""
    zeros = block[:1] == ZEROS
    position = 1
    while position < len(block):
        first, count = _RUN.unpack_from(block, position)
        position += _RUN.size
        end = position if zeros else position + count * DIGEST
        if end > len(block):
            raise struct.error("a run without all of its digests")
        yield first, count, block[position:end]
        position = end


def numbers(block: bytes) -> Iterator[int]:
    """The numbers of a W, F or R block."""
    return (row[0] for row in _NUMBER.iter_unpack(block[1:]))


def in_runs(chunks: Iterable[tuple[int, bytes]]) -> Iterator[Run]:
    """Chunks with digests as runs of consecutive ones of one kind, each at most half a block."""
    first = count = 0
    digests = bytearray()
    for number, digest in chunks:
        if number != first + count or bool(digests) != bool(digest) or len(digests) > BLOCK // 2:
            if count:
                yield first, count, bytes(digests)
            first, count = number, 0
            digests.clear()
        digests += digest
        count += 1
    if count:
        yield first, count, bytes(digests)


def _inode_rows(data: bytes) -> Iterator[tuple[int, PartRecord]]:
    first, parent, count = _ROW.unpack_from(data)
    if len(data) != _ROW.size + count * _INODE.size:
        raise struct.error("a row of another length")
    rows = _INODE.iter_unpack(data[_ROW.size :])
    for entry, (inode,) in enumerate(rows, first):
        if inode:
            yield entry, PartRecord(entry, parent, 0, inode, 0, 0, 0)


def _filled(*blocks: bytearray) -> Iterator[bytes]:
    return (bytes(block) for block in blocks if len(block) > 1)


def _blocks(kind: bytes, rows: Iterable[bytes]) -> Iterator[bytes]:
    block = bytearray(kind)
    for row in rows:
        block += row
        if len(block) > BLOCK:
            yield bytes(block)
            block = bytearray(kind)
    yield from _filled(block)


def _named(form: struct.Struct, data: bytes) -> Iterator[tuple[Any, ...]]:
    position = 0
    while position < len(data):
        *fields, length = form.unpack_from(data, position)
        position += form.size
        name = data[position : position + length]
        if len(name) != length:
            raise struct.error("a name that is cut off")
        position += length
        yield (*fields, name)
