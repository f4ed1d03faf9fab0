"""Which bytes of content have come, which digests, and what follows from both (SPEC §8.6).

    missing ──bytes──► stored ──┐
    of earlier ──────► held ────┼──► asked (verify it) ──► good
    nothing ──digest─► told  ───┘         └─ it was held, and differs ──► missing, and told

Zeros are stored and told at once: nothing comes for them.

One flag byte a chunk, a count of missing bytes for chunks that are partly here, and 32 bytes for
each digest: 1 TiB costs 33 MiB, 100,000 small files cost 3.3 MiB.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from blake3 import blake3

from securecp.errors import ProtocolError
from securecp.transfer import entries
from securecp.transfer.entries import FILE
from securecp.transfer.holdings import zero_digest
from securecp.transfer.manifest import Chunk, Manifest

DIGEST_LENGTH = 32

STORED = 1
TOLD = 2
ASKED = 4
GOOD = 8
HELD = 16
"""It may have been here before; nobody has compared it yet."""
ZERO = 32
"""It was said to be zeros, and nothing comes for it."""
_SAVED = bytes(1 if flags & (HELD | ZERO) else 0 for flags in range(256))
_TOLD_OR_NOT = bytes(1 if flags & TOLD else 0 for flags in range(256))
_NOW_TOLD = bytes(flags | TOLD for flags in range(256))
UNDER_WAY = 1_024
"""Chunks that were held and are being verified at once, so that memory stays bounded."""


class Digests:
    """The digest of every chunk, as it becomes known, and which files have failed."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._digests = bytearray(manifest.chunk_count * DIGEST_LENGTH)
        self._failed: set[int] = set()
        self._files: bytearray | None = None
        """The digest of every file, once the content's has been asked for twice."""
        self._stale = bytearray()
        """By entry, whether a chunk has become known since that was made."""
        self._asked = False

    def put(self, first: int, digests: bytes) -> None:
        """Keep the digests of consecutive chunks from number `first` on."""
        start = first * DIGEST_LENGTH
        self._digests[start : start + len(digests)] = digests
        if self._files is not None:
            last = first + len(digests) // DIGEST_LENGTH
            for entry, _ in self._manifest.by_file(range(first, last)):
                self._stale[entry] = 1

    def put_zeros(self, numbers: range) -> None:
        """Keep the digests of zeros for consecutive chunks; the last of a file may be shorter."""
        columns = self._manifest.columns
        for entry, here in self._manifest.by_file(numbers):
            chunks = self._manifest.chunks(entry)
            last = columns.size(entry) - (len(chunks) - 1) * entries.CHUNK
            ends = here.stop == chunks.stop
            if len(here) > ends:
                self.put(here.start, zero_digest(entries.CHUNK) * (len(here) - ends))
            if ends:
                self.put(here.stop - 1, zero_digest(last))

    def fail(self, entry: int) -> None:
        """This file or link will not come."""
        self._failed.add(entry)
        if self._files is not None and self._manifest.columns.kinds[entry] == FILE:
            self._keep(self._files, entry)

    def of(self, number: int) -> bytes:
        return bytes(self._digests[number * DIGEST_LENGTH : (number + 1) * DIGEST_LENGTH])

    def content(self) -> bytes:
        """The content digest; about 1.5 µs a file, and 0.02 when it is asked for again and again.

        BLAKE3 over one digest for each file in order: BLAKE3 of its chunks' digests, or 32 zero
        bytes if it has failed.
        """
        if not self._asked:
            self._asked = True
            whole = blake3()
            for digest in self._of_files():
                whole.update(digest)
            return whole.digest()
        if self._files is None:
            self._files = bytearray().join(self._of_files())
            self._stale = bytearray(len(self._manifest.entries))
        entry = -1
        while (entry := self._stale.find(1, entry + 1)) >= 0:
            self._stale[entry] = 0
            self._keep(self._files, entry)
        return blake3(self._files).digest()

    def _of_files(self) -> Iterator[bytes]:
        with memoryview(self._digests) as view:
            for entry, kind in enumerate(self._manifest.columns.kinds):
                if kind == FILE:
                    yield self._of_file(view, entry)

    def _of_file(self, view: memoryview, entry: int) -> bytes:
        if entry in self._failed:
            return bytes(DIGEST_LENGTH)
        first = self._manifest.columns.first_chunks
        return blake3(
            view[first[entry] * DIGEST_LENGTH : first[entry + 1] * DIGEST_LENGTH]
        ).digest()

    def _keep(self, files: bytearray, entry: int) -> None:
        start = self._manifest.columns.kinds.count(FILE, 0, entry) * DIGEST_LENGTH
        with memoryview(self._digests) as view:
            files[start : start + DIGEST_LENGTH] = self._of_file(view, entry)


class Compared(NamedTuple):
    """Chunks of one file that were here, and whether they are what was told."""

    entry: int
    good: list[int]
    missed: list[Chunk]
    complete: bool
    """The file is good with them."""


class Arrivals:
    """The receiver's side of every chunk; `verify` is called with each that can be verified."""

    def __init__(self, manifest: Manifest, verify: Callable[[Chunk], None]) -> None:
        self._manifest = manifest
        self._verify = verify
        self._flags = bytearray(manifest.chunk_count)
        self._left: dict[int, int] = {}
        """Chunks that are partly here: bytes that are not."""
        self._asked: dict[int, Chunk] = {}
        self._asked_of: dict[int, int] = {}
        """Files with chunks among these: how many."""
        self._waiting: deque[range] = deque()
        """Held and told: to be asked for, a few at a time."""
        self._bad: dict[int, int] = {}
        """Files with chunks that are not good yet, of those with more than one: how many."""
        self._current = Chunk(-1, -1, 0, 0, 0)
        self.digests = Digests(manifest)
        self.untold = manifest.chunk_count
        """Chunks whose digests have not come."""
        self.saved = 0
        """Bytes that need not come: they are here, or are zeros."""

    # What was here before.

    def hold(self, chunks: Iterable[range]) -> None:
        """These may be here; before anything has come."""
        for numbers in chunks:
            if not 0 <= numbers.start < numbers.stop <= len(self._flags) or numbers.step != 1:
                raise ValueError("held chunks that do not exist")
            self._flags[numbers.start : numbers.stop] = bytes([HELD]) * len(numbers)
            start, end = self._manifest.span(numbers)
            self.saved += end - start

    def held(self) -> Iterator[range]:
        """Runs of chunks that may be here; before anything has come."""
        flags, end = self._flags, 0
        while (start := flags.find(HELD, end)) >= 0:
            end = flags.find(0, start)
            end = len(flags) if end < 0 else end
            yield range(start, end)

    def compare(
        self, open_entry: Callable[[int], bool], known: Callable[[int], bytes | None]
    ) -> Iterator[Compared]:
        """Compare what is held and told, as far as its digests are `known`; ask for others.

        About 1 µs a chunk whose digest is known. Of the others no more are asked for than may be
        under way.
        """
        while self._waiting and len(self._asked) < UNDER_WAY:
            numbers = self._waiting.popleft()
            if len(numbers) > UNDER_WAY:
                self._waiting.appendleft(numbers[UNDER_WAY:])
            for entry, here in self._manifest.by_file(numbers[:UNDER_WAY]):
                if open_entry(entry):
                    yield self._compare(entry, here, known)

    def _compare(
        self, entry: int, numbers: range, known: Callable[[int], bytes | None]
    ) -> Compared:
        flags, of = self._flags, self.digests.of
        good: list[int] = []
        missed: list[Chunk] = []
        for number in numbers:
            state = flags[number]
            # It may have been forgotten meanwhile, and even have come anew.
            if not state & TOLD or not state & (HELD | STORED) or state & (ASKED | GOOD):
                continue
            digest = known(number)
            if digest is not None and digest == of(number):
                flags[number] = state | GOOD
                good.append(number)
            elif digest is not None and state & HELD:
                missed.append(self._manifest.chunk(number))
            else:
                self._ask(self._manifest.chunk(number))
        return Compared(entry, good, missed, bool(good) and self._fewer_bad(entry, len(good)))

    def missed(self, chunk: Chunk) -> bool:
        """The chunk is not what was told; True if it was only held, and is missing from now on."""
        if not self._flags[chunk.number] & HELD:
            return False
        self._flags[chunk.number] = TOLD
        self.saved -= chunk.length
        return True

    def had(self, number: int) -> bool:
        """Whether the chunk was here before, as far as is known."""
        return bool(self._flags[number] & HELD)

    # What comes.

    def stored(self, offset: int, length: int, open_entry: Callable[[int], bool]) -> None:
        """Count a run of bytes, each of which comes once; those of closed entries do not count.

        About 1 µs for a run inside the same chunk as last time, else 2 µs a chunk.
        """
        end = offset + length
        chunk = self._current
        while offset < end:
            if not chunk.offset <= offset < chunk.offset + chunk.length:
                chunk = self._current = self._manifest.chunk_at(offset)
            here = min(end, chunk.offset + chunk.length) - offset
            offset += here
            if open_entry(chunk.entry):
                self._count(chunk, here)

    def told(self, first: int, digests: bytes, open_entry: Callable[[int], bool]) -> None:
        """Take the digests of consecutive chunks; each comes once, unless its file restarts."""
        last = first + len(digests) // DIGEST_LENGTH
        before = self._tell(first, last)
        self.digests.put(first, digests)
        if before.count(HELD) == len(before):
            self._wait(range(first, last))
            return
        for number, flags in enumerate(before, first):
            if flags & HELD:
                self._wait(range(number, number + 1))
            elif flags & STORED:
                chunk = self._manifest.chunk(number)
                if open_entry(chunk.entry):
                    self._ask(chunk)

    def zeros(self, numbers: range, *, counts: bool) -> None:
        """Chunks that are zeros, if their files `count`: as if they were stored and told.

        Nothing may be known of them yet.
        """
        if any(self._tell(numbers.start, numbers.stop)) or self._partly(numbers):
            raise ProtocolError("zeros where something was, or is to come")
        self.digests.put_zeros(numbers)
        if counts:
            self._flags[numbers.start : numbers.stop] = bytes([TOLD | STORED | ZERO]) * len(numbers)
            start, end = self._manifest.span(numbers)
            self.saved += end - start
            self._wait(numbers)

    # What becomes of it.

    def answered(self, number: int) -> Chunk:
        """A chunk that was asked for has been digested."""
        chunk = self._asked.pop(number, None)
        if chunk is None:
            raise ValueError(f"chunk {number} was not to be verified")
        left = self._asked_of[chunk.entry] - 1
        if left:
            self._asked_of[chunk.entry] = left
        else:
            del self._asked_of[chunk.entry]
        return chunk

    def good(self, chunk: Chunk) -> bool:
        """Keep that the chunk is right; True if that makes its file complete."""
        self._flags[chunk.number] |= GOOD
        return self._fewer_bad(chunk.entry, 1)

    def _fewer_bad(self, entry: int, count: int) -> bool:
        """So many chunks more of a file are good; True if that makes it complete."""
        left = self._bad.pop(entry, None)
        if left is None:
            left = len(self._manifest.chunks(entry))
        if left > count:
            self._bad[entry] = left - count
        return left == count

    def asked(self, entry: int) -> int:
        """How many chunks of the file are being verified."""
        return self._asked_of.get(entry, 0)

    def forget(self, entry: int) -> None:
        """Nothing of the file is here, neither bytes nor digests."""
        chunks = self._manifest.chunks(entry)
        flags = self._flags[chunks.start : chunks.stop]
        self.untold += flags.translate(_TOLD_OR_NOT).count(1)
        self.saved -= self._manifest.weight(entry, flags.translate(_SAVED))
        self._flags[chunks.start : chunks.stop] = bytes(len(chunks))
        for number in list(self._partly(chunks)):
            del self._left[number]
        self._bad.pop(entry, None)

    def release(self, entry: int) -> None:
        """What may be here of the file is not wanted; before anything has come."""
        self.forget(entry)

    def close(self, entry: int) -> None:
        """The file will not come: as if all its digests had."""
        self.digests.fail(entry)
        self.forget(entry)
        chunks = self._manifest.chunks(entry)
        self._flags[chunks.start : chunks.stop] = bytes([TOLD]) * len(chunks)
        self.untold -= len(chunks)

    def _tell(self, first: int, last: int) -> bytearray:
        """Digests of these are here; what was known of them before."""
        if last > len(self._flags):
            raise ProtocolError("a digest of a chunk that does not exist")
        before = self._flags[first:last]
        if before.translate(_TOLD_OR_NOT).count(1):
            raise ProtocolError("a digest that came before")
        self._flags[first:last] = before.translate(_NOW_TOLD)
        self.untold -= last - first
        return before

    def _partly(self, chunks: range) -> list[int]:
        """Those of them that are partly here; quick if either are few."""
        if len(chunks) < len(self._left):
            return [number for number in chunks if number in self._left]
        return [number for number in self._left if number in chunks]

    def _wait(self, numbers: range) -> None:
        if self._waiting and self._waiting[-1].stop == numbers.start:
            numbers = range(self._waiting.pop().start, numbers.stop)
        self._waiting.append(numbers)

    def _count(self, chunk: Chunk, length: int) -> None:
        number = chunk.number
        left = self._left.get(number, chunk.length) - length
        if left < 0 or self._flags[number] & (STORED | HELD):
            raise ValueError("bytes were stored twice")
        if left:
            self._left[number] = left
            return
        self._left.pop(number, None)
        self._flags[number] |= STORED
        if self._flags[number] & TOLD:
            self._ask(chunk)

    def _ask(self, chunk: Chunk) -> None:
        self._flags[chunk.number] |= ASKED
        self._asked[chunk.number] = chunk
        self._asked_of[chunk.entry] = self._asked_of.get(chunk.entry, 0) + 1
        self._verify(chunk)
