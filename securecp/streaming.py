"""Sessions of a stream, and the receiver's end of one (SPEC §8.10).

    input ─► StreamSource ─► content, PIECE ─► Assembly ─► StreamSink ─► file or pipe

Both sides wait for each other: the source reads no further than a window ahead of what has been
acknowledged, and the receiver lets in no more than a window beyond what its sink has taken. So a
reader that stops stops the writer at the other end, for as long as it likes.
"""

from collections.abc import Callable
from typing import ClassVar, Protocol

from blake3 import blake3

from securecp.errors import SecurecpError
from securecp.intake import StreamSink
from securecp.offering import SMALL, OfferSession, verify
from securecp.session import Handlers, Workshop, stopped
from securecp.transfer import messages
from securecp.transfer.effects import Aborted, Declined, Delivered, StreamAccepted
from securecp.transfer.manifest import Manifest
from securecp.transfer.streaming import PIECE, StreamSender
from securecp.transport import connection as transport
from securecp.transport.connection import Connection

__all__ = ["SendStreamSession", "StreamSink", "StreamSource"]

IDLE = 0.05
"""Seconds without input after which what there is makes a piece."""


class StreamSource(Protocol):
    """What is read once, from the beginning to the end, as it comes."""

    @property
    def available(self) -> int:
        """Bytes that have been read so far."""

    @property
    def ended(self) -> bool:
        """Whether that is all."""

    @property
    def error(self) -> SecurecpError | None:
        """Why no more can be read."""

    @property
    def idle_since(self) -> float | None:
        """Since when nothing has come, though we would take it."""

    def fill(self, offset: int, slots: list[memoryview]) -> None: ...
    def peek(self, offset: int, length: int) -> memoryview: ...

    def release(self, offset: int) -> None:
        """What lies before is not needed any more."""

    def close(self) -> None: ...


class SendStreamSession(OfferSession):
    """Offers a stream to the peer and sees it through to the receipt."""

    party: StreamSender

    def __init__(
        self,
        connection: Connection,
        workshop: Workshop,
        now: float,
        *,
        manifest: Manifest,
        source: StreamSource,
        ours: bytes,
        entropy: Callable[[int], bytes],
    ) -> None:
        super().__init__(connection, workshop, now)
        self._source = source
        self._queued = 0
        transfer_id = entropy(16)
        self.party = StreamSender(
            manifest, transfer_id=transfer_id, ours=ours, theirs=self.peer, verify=verify
        )
        connection.source = source
        connection.content_out.patient = True
        self._offer(transfer_id)

    def advance(self, now: float) -> None:
        if not self.over and self._begun:
            self._feed(now)
        super().advance(now)

    def deadline(self) -> float | None:
        """When what there is makes a piece."""
        idle = self._source.idle_since
        waits = self._begun and not self.over and self._source.available > self.party.told
        return idle + IDLE if waits and idle is not None and self._heard else None

    @property
    def _heard(self) -> bool:
        """Whether the peer has all that was told: so short pieces never pile up."""
        return self.connection.content_out.acked_to >= self.party.told

    def _feed(self, now: float) -> None:
        """Pass on what has been read, and tell its digests."""
        source, party = self._source, self.party
        if source.error is not None:
            self._stop(source.error, transport.CLOSE_FAILED, "the input cannot be read")
            return
        ended, available = source.ended, source.available
        if available > self._queued:
            self.connection.send_content(self._queued, available)
            self._queued = available
        while available - party.told >= PIECE:
            self._tell(PIECE)
        idle = source.idle_since
        rests = idle is not None and now - idle >= IDLE and self._heard
        if available > party.told and (ended or rests):
            self._tell(available - party.told)
        if ended:
            party.end()
            if available <= SMALL:
                self.connection.hold = False
        source.release(min(self.connection.content_out.acked_to, party.told))

    def _tell(self, length: int) -> None:
        data = self._source.peek(self.party.told, length)
        self.party.piece(length, blake3(data).digest())

    def _progress(self) -> tuple[int, int]:
        return self.connection.content_out.acked, 0

    def _started(self, _: StreamAccepted) -> None:
        self._begin()
        self._feed(self._now)

    def _aborted(self, effect: Aborted) -> None:
        """A stream cannot be sent again: only a person who stopped it is told apart."""
        self._ended(effect, _stopped)

    def _delivered(self, effect: Delivered) -> None:
        self._done(effect)

    def _clean_up(self) -> None:
        self._source.close()

    handlers: ClassVar[Handlers] = {
        StreamAccepted: _started,
        Delivered: _delivered,
        Declined: OfferSession._declined,
        Aborted: _aborted,
    }


def _stopped(code: int, reason: str) -> SecurecpError:
    if code == messages.CODE_INTERRUPTED:
        return stopped(code, reason)
    return SecurecpError(f"the peer gave up: {reason}")
