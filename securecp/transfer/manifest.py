"""What is offered, as one value: entries, content space, chunks, pages, digest (SPEC §8.3, §8.4).

Content space is the files in manifest order, laid end to end; it has 2^63 bytes at most. Chunks
are pieces of 1 MiB of one file, numbered through the whole manifest. What is no file, or empty,
owns no byte and no chunk.

On the wire a manifest is a row of PAGE messages, made when they are sent and checked entry by entry
as they come (`ManifestReader`); its digest is BLAKE3 over the pages as they stand on the wire.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgpack
from blake3 import blake3

from securecp import codec
from securecp.errors import ProtocolError
from securecp.transfer.entries import CHUNK, DIRECTORY, FILE, LINK, STREAM, Entries, Entry

__all__ = [
    "CHUNK",
    "DIRECTORY",
    "FILE",
    "LINK",
    "STREAM",
    "Chunk",
    "Entry",
    "Manifest",
    "ManifestReader",
]

PAGE = 2
"""Message type of a page (`messages.py` has the others)."""
PAGE_LIMIT = 60 * 1024
"""Bytes of one page, its head included."""
_HEAD_ROOM = 16


class Chunk(NamedTuple):
    """A piece of one file, the unit of digests."""

    number: int
    entry: int
    """Index of the file in the manifest."""
    start: int
    """First byte within the file."""
    length: int
    offset: int
    """First byte in content space."""


class Manifest:
    """Entries that have been checked; never changes.

    Raises `ValueError` if the entries break a rule: ours must not, and `ManifestReader` turns
    theirs into `ProtocolError`.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        if isinstance(entries, Entries):
            self._entries = entries
        else:
            self._entries = Entries()
            for entry in entries:
                self._entries.add(entry)
        self._entries.freeze()
        self._pages: int | None = None
        self._digest = b""

    @property
    def entries(self) -> Sequence[Entry]:
        return self._entries

    @property
    def columns(self) -> Entries:
        """The same entries, for whoever looks at one field of many."""
        return self._entries

    @property
    def files(self) -> int:
        return self._entries.files

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return self._entries.starts[-1]

    @property
    def chunk_count(self) -> int:
        return self._entries.first_chunks[-1]

    def offset(self, entry_index: int) -> int:
        """Where the entry's first byte stands, or would stand, in content space."""
        return self._entries.starts[entry_index]

    def locate(self, offset: int) -> int:
        """Index of the file that owns the byte at `offset`; `IndexError` outside content space."""
        if not 0 <= offset < self.size:
            raise IndexError("outside content space")
        # Those that own no byte share their start with the next; the last of them owns it.
        return bisect_right(self._entries.starts, offset) - 1

    def path(self, entry_index: int) -> tuple[bytes, ...]:
        """The file path, component by component."""
        parts = []
        entry = entry_index + 1
        while entry:
            parts.append(self._entries.name(entry - 1))
            entry = self._entries.parent(entry - 1)
        return tuple(reversed(parts))

    def chunks(self, entry_index: int) -> range:
        """Numbers of the entry's chunks."""
        first = self._entries.first_chunks
        return range(first[entry_index], first[entry_index + 1])

    def chunk(self, number: int) -> Chunk:
        """Chunk `number`; `IndexError` if there is none."""
        firsts = self._entries.first_chunks
        if not 0 <= number < firsts[-1]:
            raise IndexError("no such chunk")
        entry = bisect_right(firsts, number) - 1
        return self._piece(entry, (number - firsts[entry]) * CHUNK)

    def after(self, chunk: Chunk) -> Chunk:
        """The next chunk; quicker than `chunk`."""
        entries, number, entry = self._entries, chunk.number + 1, chunk.entry
        offset = chunk.offset + chunk.length
        if number < entries.first_chunks[entry + 1]:
            left = entries.starts[entry + 1] - offset
            start, full = chunk.start + chunk.length, chunk.length
            return Chunk(number, entry, start, min(left, full), offset)
        return self.chunk(number)

    def chunk_at(self, offset: int) -> Chunk:
        """The chunk that holds the byte at `offset` of content space."""
        entry = self.locate(offset)
        within = offset - self._entries.starts[entry]
        return self._piece(entry, within - within % CHUNK)

    def span(self, numbers: range) -> tuple[int, int]:
        """Begin and end in content space of consecutive chunks, at least one."""
        last = self.chunk(numbers[-1])
        return self.chunk(numbers[0]).offset, last.offset + last.length

    def by_file(self, numbers: range) -> Iterator[tuple[int, range]]:
        """Consecutive chunks file by file: the entry, and which of its chunks."""
        firsts = self._entries.first_chunks
        start, entry = numbers.start, bisect_right(firsts, numbers.start) - 1
        while start < numbers.stop:
            while firsts[entry + 1] <= start:  # those without chunks
                entry += 1
            stop = min(numbers.stop, firsts[entry + 1])
            yield entry, range(start, stop)
            start = stop

    def weight(self, entry_index: int, marked: bytes | bytearray) -> int:
        """Bytes of those chunks of the entry that are `marked`: 1 for each that is, else 0."""
        count = marked.count(1)
        if not count:
            return 0
        chunks = self.chunks(entry_index)
        full, last = (self.chunk(chunks[end]).length for end in (0, -1))
        return count * full - (full - last) * marked[-1]

    def pages(self) -> Iterator[bytes]:
        """The PAGE messages, each made when it is asked for."""
        packer = msgpack.Packer(use_bin_type=True)
        rows: list[bytes] = []
        length = number = 0
        for entry in self._entries:
            row = packer.pack(entry if entry.kind == LINK else entry[:_PLAIN_FIELDS])
            if length + len(row) > PAGE_LIMIT - _HEAD_ROOM:
                yield _page(packer, number, rows)
                rows, length, number = [], 0, number + 1
            rows.append(row)
            length += len(row)
        if rows:
            yield _page(packer, number, rows)

    @property
    def page_count(self) -> int:
        return self._measure()

    @property
    def digest(self) -> bytes:
        """BLAKE3 over all pages as they stand on the wire: 32 bytes."""
        self._measure()
        return self._digest

    def _piece(self, entry: int, start: int) -> Chunk:
        entries = self._entries
        offset = entries.starts[entry] + start
        length = entries.starts[entry + 1] - offset
        number = entries.first_chunks[entry] + start // CHUNK
        return Chunk(number, entry, start, min(CHUNK, length), offset)

    def _measure(self) -> int:
        if self._pages is None:
            hasher = blake3()
            self._pages = 0
            for page in self.pages():
                hasher.update(page)
                self._pages += 1
            self._digest = hasher.digest()
        return self._pages

    @classmethod
    def _received(cls, entries: Entries, pages: int, digest: bytes) -> "Manifest":
        """As read from pages: the digest is of what came, not of what we would write."""
        manifest = cls(entries)
        manifest._pages = pages
        manifest._digest = digest
        return manifest


class ManifestReader:
    """Reads pages as they come; the first bad entry refuses the whole offer (`ProtocolError`)."""

    def __init__(self) -> None:
        self._entries = Entries()
        self._hasher = blake3()
        self._pages = 0

    @property
    def read(self) -> int:
        """Entries read so far."""
        return len(self._entries)

    def page(self, raw: bytes) -> None:
        """Read one PAGE message, the next in order."""
        message = codec.array(codec.decode(raw), 3)
        codec.integer(message[0], PAGE, PAGE)
        codec.integer(message[1], self._pages, self._pages)
        for row in codec.array(message[2], 1, codec.LIMIT):
            self._entry(row)
        self._hasher.update(raw)
        self._pages += 1

    def finish(self) -> Manifest:
        """The manifest, when all pages have come; whoever offered it must have told its digest."""
        return Manifest._received(self._entries, self._pages, self._hasher.digest())

    def _entry(self, row: object) -> None:
        fields = codec.array(row, _PLAIN_FIELDS, _PLAIN_FIELDS + 1)
        count = _PLAIN_FIELDS + (fields[0] == LINK)
        if [type(field) for field in fields] != _ENTRY_TYPES[:count]:
            raise ProtocolError("an entry has a field of the wrong type, or too few or many")
        try:
            self._entries.add(Entry(*fields))
        except ValueError as error:
            raise ProtocolError(f"the offer is refused: {error}") from None


_ENTRY_TYPES = [int, int, bytes, int, int, int, bytes]
_PLAIN_FIELDS = 6
"""Fields of every entry but a link, which has one more."""


def _page(packer: msgpack.Packer, number: int, rows: list[bytes]) -> bytes:
    head: bytes = packer.pack_array_header(3) + packer.pack(PAGE) + packer.pack(number)
    count: bytes = packer.pack_array_header(len(rows))
    return b"".join((head, count, *rows))
