"""Which chunks the sender's worker digests next, and how the digests become messages (SPEC §8.5).

Two lines of work: all chunks once in order, and those of restarted files again. What is under way
is bounded, and the work waits for the content: what passes by on its way out is digested then, and
only what did not pass in order is read again.
"""

from collections import deque
from collections.abc import Iterator

from securecp.transfer.chunks import DIGEST_LENGTH, Digests
from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.messages import DIGESTS_LIMIT

UNDER_WAY_CHUNKS = 1_024
UNDER_WAY_BYTES = 64 << 20
"""What the worker may have at once, so that results and memory stay bounded."""


class Digesting:
    """The worker's order book. Chunks are given out and come back; digests are kept or not."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._cursor = 0
        """Number of the first chunk that has not been given out for the first time."""
        self._again: deque[range] = deque()
        self._left: set[int] = set()
        """Files that the first round passes over from now on."""
        self._open: dict[int, int] = {}
        """Files that have begun: how many digests are to come."""
        self._under_way: dict[int, Chunk] = {}
        self._bytes = 0
        self._limit: int | None = None
        self.digests = Digests(manifest)

    @property
    def done(self) -> bool:
        """Nothing is under way and nothing is to be given out."""
        return (
            not self._under_way and not self._again and self._cursor == self._manifest.chunk_count
        )

    def content_sent(self, offset: int) -> None:
        """Content has gone out up to here; the first round may run this far."""
        self._limit = max(offset, self._limit or 0)

    def begun(self, entry: int) -> bool:
        """Whether some digests of the file are out or known, but not all known."""
        return entry in self._open

    def completes(self, entry: int) -> bool:
        """Whether one more digest is all that the file lacks."""
        return self._open.get(entry) == 1

    def busy_with(self, entry: int) -> bool:
        """Whether a chunk of the file is under way."""
        return any(chunk.entry == entry for chunk in self._under_way.values())

    def drop(self, entry: int) -> None:
        """Give out no more of this file."""
        self._left.add(entry)
        self._open.pop(entry, None)
        chunks = self._manifest.chunks(entry)
        self._again = deque(rest for rest in self._again if rest.start not in chunks)
        if self._cursor in chunks:
            self._cursor = chunks.stop

    def again(self, entry: int) -> None:
        """Give out all of this file once more."""
        self._again.append(self._manifest.chunks(entry))

    def take(self) -> tuple[Chunk, ...]:
        """The next work, once the worker has done half of what it had."""
        if len(self._under_way) > UNDER_WAY_CHUNKS // 2 or self._bytes > UNDER_WAY_BYTES // 2:
            return ()
        return tuple(self._give())

    def returned(self, number: int) -> Chunk:
        """The worker is done with a chunk; `ValueError` if it never had it."""
        chunk = self._under_way.pop(number, None)
        if chunk is None:
            raise ValueError(f"chunk {number} was not to be digested")
        self._bytes -= chunk.length
        return chunk

    def keep(self, chunk: Chunk, digest: bytes) -> None:
        """The digest of a chunk is known."""
        self.digests.put(chunk.number, digest)
        self._open[chunk.entry] -= 1
        if not self._open[chunk.entry]:
            del self._open[chunk.entry]

    def _give(self) -> Iterator[Chunk]:
        while len(self._under_way) < UNDER_WAY_CHUNKS and self._bytes < UNDER_WAY_BYTES:
            chunk = self._next_again() or self._next_first()
            if chunk is None:
                return
            self._under_way[chunk.number] = chunk
            self._bytes += chunk.length
            if chunk.start == 0:
                self._open[chunk.entry] = len(self._manifest.chunks(chunk.entry))
            yield chunk

    def _next_again(self) -> Chunk | None:
        if not self._again:
            return None
        numbers = self._again.popleft()
        if len(numbers) > 1:
            self._again.appendleft(numbers[1:])
        return self._manifest.chunk(numbers[0])

    def _next_first(self) -> Chunk | None:
        while self._cursor < self._manifest.chunk_count:
            chunk = self._manifest.chunk(self._cursor)
            if chunk.entry in self._left:
                self._cursor = self._manifest.chunks(chunk.entry).stop
                continue
            if self._limit is not None and chunk.offset + chunk.length > self._limit:
                return None
            self._cursor += 1
            return chunk
        return None


class Run:
    """Digests of consecutive chunks that wait to become one message."""

    def __init__(self) -> None:
        self.first = 0
        self.digests = bytearray()

    def add(self, number: int, digest: bytes) -> bool:
        """Append if it is the next and there is room; else False, and nothing is kept."""
        held = len(self.digests) // DIGEST_LENGTH
        if not held:
            self.first = number
        elif number != self.first + held or held >= DIGESTS_LIMIT:
            return False
        self.digests += digest
        return True
