"""Which chunks a journal says are good, and with what digest.

One byte a chunk, and 32 more for each once any digest is claimed: 1 TiB takes 33 MiB.
"""

import re
import struct
from bisect import bisect_right
from collections.abc import Iterable

from securecp.disk import records
from securecp.transfer.entries import CHUNK
from securecp.transfer.holdings import zero_digest
from securecp.transfer.manifest import Manifest

NOT, GOOD, ZEROS, DOUBTED, DOUBTED_ZEROS = range(5)
"""Doubted: it was good, but the part has been touched since."""
_DOUBT = bytes((NOT, DOUBTED, DOUBTED_ZEROS, DOUBTED, DOUBTED_ZEROS)).ljust(256, b"\0")
_DIGEST = records.DIGEST
_CLAIMED = re.compile(rb"[^\0]")


class Claims:
    """The chunks of one manifest; what is claimed of chunks that do not exist is left out."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._flags = bytearray(manifest.chunk_count)
        self._digests = bytearray()

    def replay(self, blocks: Iterable[bytes]) -> None:
        """Take what a journal says, oldest first; ends at what does not parse."""
        for block in blocks:
            try:
                self._take(block)
            except struct.error:
                return

    def has(self, number: int) -> bool:
        return self._flags[number] != NOT

    def zero(self, number: int) -> bool:
        """Whether the chunk is claimed to be zeros, which need not be in the part."""
        return self._flags[number] in (ZEROS, DOUBTED_ZEROS)

    def claimed(self, entry: int) -> list[int]:
        """Chunks of a file of which anything is claimed."""
        chunks = self._manifest.chunks(entry)
        return [number for number in chunks if self._flags[number]]

    def of(self, number: int) -> bytes:
        """The digest that is claimed of a chunk."""
        if self.zero(number):
            return zero_digest(self._manifest.chunk(number).length)
        return bytes(self._digests[number * _DIGEST : (number + 1) * _DIGEST])

    def flags(self, entry: int) -> bytearray:
        """What is claimed of each chunk of a file."""
        chunks = self._manifest.chunks(entry)
        return self._flags[chunks.start : chunks.stop]

    def doubt(self, entry: int) -> None:
        """The part is not as it was left."""
        chunks = self._manifest.chunks(entry)
        self._flags[chunks.start : chunks.stop] = self.flags(entry).translate(_DOUBT)

    def keep(self, run: records.Run) -> None:
        """Chunks have become good; their digests are known elsewhere."""
        first, count, digests = run
        self._flags[first : first + count] = bytes([GOOD if digests else ZEROS]) * count

    def withdraw(self, number: int) -> None:
        """The chunk counts no more."""
        self._flags[number] = NOT

    def forget(self, entry: int) -> None:
        """Nothing of the file counts any more."""
        chunks = self._manifest.chunks(entry)
        self._flags[chunks.start : chunks.stop] = bytes(len(chunks))

    def entries(self) -> list[int]:
        """Files of which anything is claimed."""
        firsts = self._manifest.columns.first_chunks
        found: list[int] = []
        number = 0
        while True:
            match = _CLAIMED.search(self._flags, number)
            if match is None:
                return found
            found.append(bisect_right(firsts, match.start()) - 1)
            number = firsts[found[-1] + 1]

    def size(self) -> int:
        """Bytes of all that is claimed; quick where whole files are."""
        columns = self._manifest.columns
        total = len(self._flags) - self._flags.count(NOT)
        size = total * CHUNK
        for entry, (start, end) in enumerate(zip(columns.starts, columns.starts[1:], strict=False)):
            rest = (end - start) % CHUNK  # the last chunk of a file may be shorter
            if rest and self._flags[columns.first_chunks[entry + 1] - 1]:
                size -= CHUNK - rest
        return size

    def _take(self, block: bytes) -> None:
        kind = block[:1]
        if kind in (records.GOOD, records.ZEROS):
            for first, count, digests in records.runs(block):
                self._take_run(first, count, digests)
        elif kind == records.WITHDRAWN:
            for number in records.numbers(block):
                if number < len(self._flags):
                    self.withdraw(number)
        else:
            change = self.doubt if kind == records.DOUBTED else self.forget
            for entry in records.numbers(block):
                if entry < len(self._manifest.entries):
                    change(entry)

    def _take_run(self, first: int, count: int, digests: bytes) -> None:
        if first + count > len(self._flags):
            raise struct.error("a chunk that does not exist")
        self._flags[first : first + count] = bytes([GOOD if digests else ZEROS]) * count
        if digests:
            if not self._digests:
                self._digests = bytearray(len(self._flags) * _DIGEST)
            self._digests[first * _DIGEST : (first + count) * _DIGEST] = digests
