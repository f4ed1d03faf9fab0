"""A stream: one file whose length nobody knows before its end (SPEC §8.10).

    sender    content from 0 on, as it is read;  PIECE for every stretch of it;  FINISHED at the end
    receiver  content ─► Assembly ─► whole piece, digest right ─► append, in order

Nothing is told twice, so nothing is resumed: a stream cannot be read again. What the receiver has
not appended yet is in memory, and the window of the transport bounds it.
"""

from collections import deque
from typing import ClassVar

from blake3 import blake3

from securecp.errors import ProtocolError
from securecp.transfer import messages
from securecp.transfer.effects import StreamAccepted
from securecp.transfer.entries import SIZE_LIMIT
from securecp.transfer.offering import Offering, State
from securecp.transfer.party import Party, Routes

PIECE = messages.PIECE_LIMIT
PIECES_AHEAD = 16_384
"""Pieces that may be told before their bytes are here."""
RUNS = 32_768
"""Runs of bytes behind gaps; a window of ordinary datagrams makes half as many at the worst."""
_SMALL = 4_096
"""Shorter runs are joined, since each of them costs more than its bytes."""


class StreamDigest:
    """The content digest, from the digests of pieces: as if they were the chunks of one file."""

    def __init__(self) -> None:
        self._hash = blake3()

    def add(self, digest: bytes) -> None:
        self._hash.update(digest)

    def digest(self) -> bytes:
        return blake3(self._hash.digest()).digest()


class StreamSender(Offering):
    """One stream, seen by who has it; the session cuts it into pieces and queues the content."""

    told = 0
    """Bytes of which the digest has been told."""

    def piece(self, length: int, digest: bytes) -> None:
        """The next bytes, 1 to `PIECE` of them."""
        if self.state is not State.SENDING:
            return
        self._put(messages.Piece(self.told, length, digest))
        self._digest.add(digest)
        self.told += length

    def end(self) -> None:
        """There are no more."""
        if self.state is State.SENDING:
            self._put(messages.Finished(self._digest.digest()))
            self.state = State.FINISHED

    def _accepted(self, accept: messages.Accept) -> None:
        super()._accepted(accept)
        self._digest = StreamDigest()
        self._effects.append(StreamAccepted())

    def _received(self, message: messages.Received) -> None:
        if message.content_digest != self._digest.digest():
            raise ProtocolError("a receipt for other content")
        figures = message.files, message.skipped, message.size
        if figures not in ((1, 0, self.told), (0, 1, 0)):
            raise ProtocolError("a receipt that does not fit the stream")
        self._deliver(message, ())

    routes: ClassVar[Routes] = {
        State.IDLE: {},
        State.LISTING: {messages.Decline: Offering._declined, messages.Abort: Party._peer_aborted},
        State.ASKING: {
            messages.Accept: _accepted,
            messages.Decline: Offering._declined,
            messages.Abort: Party._peer_aborted,
        },
        State.SENDING: {messages.Abort: Party._peer_aborted},
        State.FINISHED: {messages.Received: _received, messages.Abort: Party._peer_aborted},
        State.DELIVERED: {},
    }


class Assembly:
    """The receiver's side: bytes in any order and told pieces in, verified bytes in order out."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes that have been given out."""
        self.held = 0
        """Bytes that are here and cannot be given out yet."""
        self._front: deque[bytearray] = deque()
        """What comes next, without a gap, and so many bytes of it."""
        self._ready = 0
        self._later: dict[int, bytearray] = {}
        """What lies behind a gap, by where it begins."""
        self._told = 0
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._digest = StreamDigest()

    @property
    def complete(self) -> bool:
        """Whether all that was told has been given out."""
        return not self._pieces

    def digest(self) -> bytes:
        """The content digest of what was told."""
        return self._digest.digest()

    def told(self, piece: messages.Piece) -> None:
        """Take a PIECE: each begins where the last ended."""
        if piece.offset != self._told or piece.offset + piece.length > SIZE_LIMIT:
            raise ProtocolError("a PIECE that does not follow the last")
        if len(self._pieces) >= PIECES_AHEAD:
            raise ProtocolError("more pieces than may be told ahead")
        self._told += piece.length
        self._digest.add(piece.digest)
        self._pieces.append((piece.length, piece.digest))

    def store(self, offset: int, data: bytearray) -> None:
        """Bytes of the stream, each of which comes once; they are ours from now on."""
        self.held += len(data)
        self._later[offset] = data
        while (run := self._later.pop(self.size + self._ready, None)) is not None:
            self._ready += len(run)
            if self._front and len(run) < _SMALL and len(self._front[-1]) < PIECE:
                self._front[-1] += run
            else:
                self._front.append(run)
        if len(self._later) > RUNS:
            raise ProtocolError("a stream in too many pieces")

    def take(self) -> list[memoryview]:
        """What can be given out now, in order."""
        out: list[memoryview] = []
        while self._pieces and self._pieces[0][0] <= self._ready:
            length, digest = self._pieces.popleft()
            runs = list(self._cut(length))
            hasher = blake3()
            for run in runs:
                hasher.update(run)
            if hasher.digest() != digest:
                raise ProtocolError("a piece of the stream does not match its digest")
            self.size += length
            self.held -= length
            out += runs
        return out

    def _cut(self, length: int) -> list[memoryview]:
        """The next bytes, taken from the front."""
        self._ready -= length
        runs: list[memoryview] = []
        while length:
            run = self._front.popleft()
            if len(run) > length:
                self._front.appendleft(run[length:])
                del run[length:]
            runs.append(memoryview(run))
            length -= len(run)
        return runs
