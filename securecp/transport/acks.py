"""Which counters have come, and when to say so (SPEC §6.1).

The faster datagrams come, the more of them one ACK answers for: some sixteen ACKs in a round trip
tell a sender all it needs, and a way back that is fifty times slower carries them. What is out of
order is told at once, but no oftener than thirty-two times in a round trip; nothing is held for
longer than an eighth of one. A sender with a small window makes few datagrams in a round trip, so
it never waits: then every second one is answered at once. The shell reads several bursts before it
sends, so that under load one ACK answers for many anyway.
Ranges are forgotten once the peer has acknowledged an ACK that named them.
"""

from securecp.transport.frames import ACK_RANGES, Ack
from securecp.transport.ranges import RangeSet

MAX_DELAY = 0.025
"""Longest that an ACK is held, in seconds; and how long, as long as there is no RTT."""
LEAST_DELAY = 0.001
PER_RTT = 16
"""ACKs in a round trip, where more than twice as many datagrams come in it."""
URGENT_PER_RTT = 32
_EVERY = 2


class Acks:
    """Counters to acknowledge."""

    def __init__(self) -> None:
        self._received = RangeSet()
        self._largest_at = 0.0
        self._owed = 0
        self._every = _EVERY
        """Datagrams that one ACK answers for."""
        self._came = 0
        self._came_since = 0.0
        self._said_at = -1.0
        self.due_at: float | None = None
        """When an ACK must leave; None if none is owed."""

    def note(
        self, now: float, counters: list[tuple[int, int]], *, eliciting: bool, rtt: float = 0.0
    ) -> None:
        """These half-open runs of counters have come, verified; `rtt` is 0 if it is unknown."""
        received = self._received
        gaps = len(received)
        largest = received.last()[1] if gaps else 0
        came = 0
        for start, end in counters:
            received.add(start, end)
            came += end - start
        if received.last()[1] > largest:
            self._largest_at = now
        if len(received) > 2 * ACK_RANGES:
            received.remove(0, received.descending(ACK_RANGES)[-1][0])
        if eliciting:
            self._owed += came
            self._judge_rate(now, came, rtt)
            due = self._due(now, rtt, reordered=len(received) != max(gaps, 1))
            self.due_at = due if self.due_at is None else min(self.due_at, due)

    def _judge_rate(self, now: float, came: int, rtt: float) -> None:
        """How many come in a round trip, reckoned anew once in each."""
        self._came += came
        elapsed = now - self._came_since
        if elapsed >= rtt:
            share = rtt / elapsed if elapsed else 0.0
            self._every = max(_EVERY, int(self._came * share) // PER_RTT)
            self._came, self._came_since = 0, now

    def _due(self, now: float, rtt: float, *, reordered: bool) -> float:
        if self._owed >= self._every:
            return now
        if reordered:
            return max(now, self._said_at + rtt / URGENT_PER_RTT)
        return now + min(max(rtt / 8, LEAST_DELAY), MAX_DELAY) if rtt else now + MAX_DELAY

    def frame(self, now: float) -> Ack | None:
        """The ACK to send now, if anything has come at all; nothing is owed after it."""
        if not len(self._received):
            return None
        self._owed = 0
        self._said_at = now
        self.due_at = None
        delay = min(int((now - self._largest_at) * 1e6), (1 << 32) - 1)
        return Ack(tuple(self._received.descending(ACK_RANGES)), max(delay, 0))

    def known(self, below: int) -> None:
        """The peer knows of everything below this counter: say no more of it."""
        if len(self._received) > 1:
            self._received.remove(0, min(below, self._received.last()[0]))
