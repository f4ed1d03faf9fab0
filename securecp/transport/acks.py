"""Which counters have come, and when to say so (SPEC §6.1).

An ACK goes out at once for every second datagram that asks for one, for anything out of order, and
otherwise within `MAX_DELAY`. The shell reads several bursts before it sends, so that under load one
ACK answers for many. Ranges are forgotten once the peer has acknowledged an ACK that named them.
"""

from securecp.transport.frames import ACK_RANGES, Ack
from securecp.transport.ranges import RangeSet

MAX_DELAY = 0.025
"""Longest that an ACK is held, in seconds."""
_EVERY = 2


class Acks:
    """Counters to acknowledge."""

    def __init__(self) -> None:
        self._received = RangeSet()
        self._largest_at = 0.0
        self._owed = 0
        self.due_at: float | None = None
        """When an ACK must leave; None if none is owed."""

    def note(self, now: float, counters: list[tuple[int, int]], *, eliciting: bool) -> None:
        """These half-open runs of counters have come, verified."""
        received = self._received
        gaps = len(received)
        largest = received.last()[1] if gaps else 0
        for start, end in counters:
            received.add(start, end)
            self._owed += eliciting and end - start
        if received.last()[1] > largest:
            self._largest_at = now
        if len(received) > 2 * ACK_RANGES:
            received.remove(0, received.descending(ACK_RANGES)[-1][0])
        if eliciting:
            reordered = len(received) != max(gaps, 1)
            soon = now if reordered or self._owed >= _EVERY else now + MAX_DELAY
            self.due_at = soon if self.due_at is None else min(self.due_at, soon)

    def frame(self, now: float) -> Ack | None:
        """The ACK to send now, if anything has come at all; nothing is owed after it."""
        if not len(self._received):
            return None
        self._owed = 0
        self.due_at = None
        delay = min(int((now - self._largest_at) * 1e6), (1 << 32) - 1)
        return Ack(tuple(self._received.descending(ACK_RANGES)), max(delay, 0))

    def known(self, below: int) -> None:
        """The peer knows of everything below this counter: say no more of it."""
        if len(self._received) > 1:
            self._received.remove(0, min(below, self._received.last()[0]))
