"""Where each chunk of an offer is found before it has come, and which need not be looked at.

    RECEIVED  comes over the wire, or is not here at all: in the part
    CLAIMED   in the part, says the journal
    FINAL     in a file of an earlier session that has its name already
    BASE      in a file that had the offered name before us
    ZERO      nowhere: zeros, a hole in the part
    UNSURE    zeros as well, where something else may stand in the part

One byte a chunk. The bit SURE: nobody has touched the file since the digest was written down.
"""

from collections.abc import Callable, Iterator

from securecp.disk import claims as claiming
from securecp.disk.base import Base
from securecp.disk.claims import Claims
from securecp.disk.recovery import Recovery
from securecp.transfer.entries import CHUNK
from securecp.transfer.holdings import zero_digest
from securecp.transfer.manifest import Manifest

RECEIVED, CLAIMED, FINAL, BASE, ZERO, UNSURE = range(6)
SURE = 8
_SOURCE = 7

_SURE_OF = frozenset((claiming.GOOD, claiming.ZEROS))
_UNTOUCHED = bytes((RECEIVED, CLAIMED | SURE, ZERO, CLAIMED, UNSURE)).ljust(256, b"\0")
_TOUCHED = bytes((RECEIVED, CLAIMED, UNSURE, CLAIMED, UNSURE)).ljust(256, b"\0")
_NO_PART = bytes((RECEIVED, RECEIVED, ZERO, RECEIVED, ZERO)).ljust(256, b"\0")
_FINAL_UNTOUCHED = bytes((RECEIVED, FINAL | SURE, FINAL | SURE, FINAL, FINAL)).ljust(256, b"\0")
_FINAL_TOUCHED = bytes((RECEIVED, FINAL, FINAL, FINAL, FINAL)).ljust(256, b"\0")


class Holding:
    """The chunks of one manifest. For the loop's thread; others may read `source`."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._firsts = manifest.columns.first_chunks
        self.where = bytearray(manifest.chunk_count)
        """By chunk, for whoever is in a hurry: 0 means RECEIVED."""
        self._claims: Claims | None = None
        self._soiled: dict[int, int] = {}
        """Files whose parts may hold something else below this many bytes."""
        self.mixed: set[int] = set()
        """Files of which not every chunk is to be received."""

    def source(self, number: int) -> int:
        return self.where[number] & _SOURCE

    def sure(self, number: int) -> bool:
        """Whether the journal says of the chunk what is so, and need not be told again."""
        return bool(self.where[number] & SURE)

    def known(self, number: int) -> bytes | None:
        """The digest of a chunk that need not be read."""
        where = self.where[number]
        if where == ZERO:
            return zero_digest(self._manifest.chunk(number).length)
        if where & SURE and self._claims is not None:
            return self._claims.of(number)
        return None

    def recover(self, claims: Claims, found: Recovery, *, verify: bool) -> None:
        """Take what a journal claims and what there still is."""
        self._claims = claims
        for entry in claims.entries():
            sure = entry in found.sure and not verify
            if entry in found.finals:
                table = _FINAL_UNTOUCHED if sure else _FINAL_TOUCHED
            elif entry in found.sizes:
                table = _UNTOUCHED if sure else _TOUCHED
            elif found.needs_no_part(claims, entry):
                table = _NO_PART
            else:
                continue
            chunks = self._manifest.chunks(entry)
            self.where[chunks.start : chunks.stop] = claims.flags(entry).translate(table)
            self.mixed.add(entry)
        for entry, size in found.sizes.items():
            self._soiled[entry] = size
            if size < self._manifest.columns.size(entry):
                self._cut(entry, size)

    def add_base(self, base: Base) -> None:
        """Take what stands in files that had the names before us, where nothing else does."""
        for chunks in base.chunks():
            for number in chunks:
                if self.where[number] == RECEIVED:
                    self.where[number] = BASE
        for entry, there in enumerate(base.files):
            if there:
                self.mixed.add(entry)

    def drop_base(self, entry: int) -> None:
        """The file that had the name is not to be looked at."""
        for number in self._manifest.chunks(entry):
            if self.where[number] == BASE:
                self.where[number] = RECEIVED

    def held(self) -> tuple[range, ...]:
        """Numbers of the chunks that may be here, ascending and disjoint."""
        return tuple(self._held())

    def zeros(self, numbers: range) -> Iterator[int]:
        """These are zeros that will not come; returns the files they belong to."""
        number = numbers.start
        while number < numbers.stop:
            chunk = self._manifest.chunk(number)
            entry, end = chunk.entry, min(numbers.stop, self._firsts[chunk.entry + 1])
            soiled = self._soiled.get(entry, 0) // CHUNK + 1 if self._soiled.get(entry) else 0
            clean = min(max(number, self._firsts[entry] + soiled), end)
            self.where[number:clean] = bytes([UNSURE]) * (clean - number)
            self.where[clean:end] = bytes([ZERO]) * (end - clean)
            self.mixed.add(entry)
            yield entry
            number = end

    def received(
        self, entry: int, start: int, count: int, withdraw: Callable[[int, int], None]
    ) -> None:
        """Bytes of the file come after all; `withdraw(number, source)` for chunks held so far."""
        first = self._firsts[entry] + start // CHUNK
        last = self._firsts[entry] + (start + count - 1) // CHUNK
        for number in range(first, last + 1):
            where = self.where[number]
            if where:
                self.where[number] = RECEIVED
                withdraw(number, where & _SOURCE)

    def cleared(self, number: int) -> None:
        """An unsure chunk is zeros for certain."""
        self.where[number] = ZERO

    def forget(self, entry: int, size: int) -> None:
        """All of the file comes anew, over a part that has `size` bytes at most."""
        chunks = self._manifest.chunks(entry)
        self.where[chunks.start : chunks.stop] = bytes(len(chunks))
        self._soiled[entry] = size

    def _cut(self, entry: int, size: int) -> None:
        """The part ends early: only zeros may be beyond its end."""
        for number in range(self._firsts[entry] + size // CHUNK, self._firsts[entry + 1]):
            if self.where[number] & _SOURCE == CLAIMED:
                self.where[number] = RECEIVED

    def _held(self) -> Iterator[range]:
        start = -1
        for number, where in enumerate(self.where):
            if where and start < 0:
                start = number
            elif not where and start >= 0:
                yield range(start, number)
                start = -1
        if start >= 0:
            yield range(start, len(self.where))


def claims_lost(claims: Claims, found: Recovery) -> list[int]:
    """Files of which nothing is here: what is claimed of them, and where their parts were."""
    there = found.sizes.keys() | found.finals.keys()
    lost = {
        entry
        for entry in claims.entries()
        if entry not in there and not found.needs_no_part(claims, entry)
    }
    return sorted(lost | found.gone)


def claims_doubted(claims: Claims, found: Recovery) -> list[int]:
    """Files that were touched since their claims were written down."""
    touched = (found.sizes.keys() | found.finals.keys()) - found.sure
    return [
        entry
        for entry in claims.entries()
        if entry in touched and _SURE_OF.intersection(claims.flags(entry))
    ]
