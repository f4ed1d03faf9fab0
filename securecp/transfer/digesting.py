"""Which chunks the sender's worker digests next, and how the digests become messages (SPEC §8.5).

    again      all chunks of files that restarted
    in order   chunks that are sent; they wait for the content, and are digested as it passes
    ahead      chunks that the receiver may have: it waits for their digests, and for nothing else

What is under way is bounded. Zeros (ZEROS) are in none of these lines.
"""

from collections import Counter, deque
from collections.abc import Iterator

from securecp.transfer.chunks import DIGEST_LENGTH, Digests
from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.messages import DIGESTS_LIMIT

UNDER_WAY_CHUNKS = 1_024
UNDER_WAY_BYTES = 64 << 20
"""What the worker may have at once, so that results and memory stay bounded."""

AHEAD_SHARE = 8
"""What the receiver may have counts for so much less: its digests are mostly known."""

# What the sender knows of each chunk, a byte each.
PLAIN = 0
"""It is sent, and digested as it goes."""
HAVE = 1
"""The receiver may have it; its digest has not been told."""
COMPARED = 2
"""The receiver may have it, and has been told its digest."""
WANTED = 3
"""The receiver had another: it is sent after all."""
ZERO = 4
"""It was told to be zeros."""
GONE = 5
"""Its file has failed or restarts."""


class Digesting:
    """The worker's order book. Chunks are given out and come back; digests are kept or not."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self.marks = bytearray(manifest.chunk_count)
        """Of each chunk, what is known of it; the sender sets it."""
        self._cursor = 0
        """Where the first round looks for its next chunk."""
        self._ahead = 0
        """Where the chunks that the receiver may have are looked for."""
        self._last: Chunk | None = None
        """The last of these that was given out."""
        self._again: deque[range] = deque()
        self._open: dict[int, int] = {}
        """Files that have begun: how many digests are to come."""
        self._under_way: dict[int, tuple[Chunk, int]] = {}
        """Each with the bytes that it counts for."""
        self._bytes = 0
        self._busy: Counter[int] = Counter()
        """Files with chunks under way: how many."""
        self._limit: int | None = None
        self.digests = Digests(manifest)

    @property
    def done(self) -> bool:
        """Nothing is under way and nothing is to be given out."""
        if self._under_way or self._again:
            return False
        return self.marks.find(PLAIN, self._cursor) < 0 and self.marks.find(HAVE, self._ahead) < 0

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
        return entry in self._busy

    def drop(self, entry: int) -> None:
        """Give out no more of this file."""
        self._open.pop(entry, None)
        chunks = self._manifest.chunks(entry)
        self.marks[chunks.start : chunks.stop] = bytes([GONE]) * len(chunks)
        if self._again:
            self._again = deque(rest for rest in self._again if rest.start not in chunks)

    def again(self, entry: int) -> None:
        """Give out all of this file once more."""
        self._again.append(self._manifest.chunks(entry))

    def zeros(self, numbers: range) -> None:
        """These chunks of one file are told to be zeros: nothing of them is given out."""
        self.marks[numbers.start : numbers.stop] = bytes([ZERO]) * len(numbers)
        self.digests.put_zeros(numbers)

    def take(self) -> tuple[Chunk, ...]:
        """The next work, once the worker has done half of what it had."""
        if len(self._under_way) > UNDER_WAY_CHUNKS // 2 or self._bytes > UNDER_WAY_BYTES // 2:
            return ()
        return tuple(self._give())

    def returned(self, number: int) -> Chunk:
        """The worker is done with a chunk; `ValueError` if it never had it."""
        found = self._under_way.pop(number, None)
        if found is None:
            raise ValueError(f"chunk {number} was not to be digested")
        chunk, weight = found
        self._bytes -= weight
        self._busy[chunk.entry] -= 1
        if not self._busy[chunk.entry]:
            del self._busy[chunk.entry]
        return chunk

    def keep(self, chunk: Chunk, digest: bytes) -> None:
        """The digest of a chunk is known."""
        number, entry = chunk.number, chunk.entry
        self.digests.put(number, digest)
        if self.marks[number] == HAVE:
            self.marks[number] = COMPARED
        left = self._open[entry] - 1
        if left:
            self._open[entry] = left
        else:
            del self._open[entry]

    def _give(self) -> Iterator[Chunk]:
        while len(self._under_way) < UNDER_WAY_CHUNKS and self._bytes < UNDER_WAY_BYTES:
            chunk = self._next_again() or self._next_first() or self._next_ahead()
            if chunk is None:
                return
            ahead = self.marks[chunk.number] == HAVE
            weight = chunk.length // AHEAD_SHARE if ahead else chunk.length
            self._under_way[chunk.number] = chunk, weight
            self._busy[chunk.entry] += 1
            self._bytes += weight
            if chunk.entry not in self._open:
                chunks = self._manifest.chunks(chunk.entry)
                told = self.marks.count(ZERO, chunks.start, chunks.stop)
                self._open[chunk.entry] = len(chunks) - told
            yield chunk

    def _next_again(self) -> Chunk | None:
        if not self._again:
            return None
        numbers = self._again.popleft()
        if len(numbers) > 1:
            self._again.appendleft(numbers[1:])
        return self._manifest.chunk(numbers[0])

    def _next_ahead(self) -> Chunk | None:
        number = self.marks.find(HAVE, self._ahead)
        if number < 0:
            self._ahead = len(self.marks)
            return None
        self._ahead = number + 1
        last, manifest = self._last, self._manifest
        follows = last is not None and last.number + 1 == number
        self._last = chunk = manifest.after(last) if last and follows else manifest.chunk(number)
        return chunk

    def _next_first(self) -> Chunk | None:
        number = self.marks.find(PLAIN, self._cursor)
        if number < 0:
            self._cursor = len(self.marks)
            return None
        self._cursor = number
        chunk = self._manifest.chunk(number)
        if self._limit is not None and chunk.offset + chunk.length > self._limit:
            return None
        self._cursor = number + 1
        return chunk


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
