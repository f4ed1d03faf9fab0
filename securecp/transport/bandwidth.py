"""What a path can do, as far as samples tell: its rate, its round trip, its lumps.

Three estimates of which `bbr.py` makes a window and a pace (draft-ietf-ccwg-bbr §5.5). They forget:
a path that has changed is believed after ten rounds (rate) or ten seconds (round trip).
"""

import math
from collections import deque

ROUNDS = 10
"""Round trips for which a rate counts: longer than a cycle of probing takes."""
MINIMUM_LIFE = 10.0
"""Seconds for which a least round trip counts."""
_AS_GOOD = 1.125
"""A sample this near the least one confirms it, since an ACK may be held for a sixteenth of a round
trip: no need to drain the path to see it again."""


class MaxRate:
    """The greatest delivery rate of the last rounds, in bytes per second."""

    __slots__ = ("_best", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self._best: deque[tuple[int, float]] = deque()
        """Round and rate; later ones are smaller."""

    def update(self, number: int, rate: float) -> None:
        """A sample of round `number`; only samples make older ones expire."""
        best = self._best
        while best and best[-1][1] <= rate:
            best.pop()
        best.append((number, rate))
        while best[0][0] <= number - ROUNDS:
            best.popleft()
        self.value = best[0][1]


class Train:
    """The rate of what came since this round began: the newest word on a path that is being filled.

    While every round carries twice the last one and more, a rate measured over a whole round trip
    is an old one. This one takes the datagrams of the present round only. It is never above the
    rate at which they left, so ACKs that come all at once do not raise it.
    """

    __slots__ = ("_acked", "_acked_at", "_sent_at")

    SHARE = 1 / 4
    """Of a round trip: what took less time to come says nothing yet."""
    SHORTEST = 0.002
    FEWEST = 16
    """Datagrams."""

    def __init__(self) -> None:
        self._acked = 0
        self._acked_at = self._sent_at = 0.0

    def begin(self, now: float, sent_at: float) -> None:
        """The first ACK of a round has come, for a burst that left at `sent_at`."""
        self._acked, self._acked_at, self._sent_at = 0, now, sent_at

    def update(self, now: float, sent_at: float, size: int) -> tuple[int, float]:
        """`size` bytes more, the newest of which left at `sent_at`: (bytes, seconds) of all."""
        self._acked += size
        return self._acked, max(now - self._acked_at, sent_at - self._sent_at)


class MinRtt:
    """The least round trip of the last ten seconds, and when it was last seen."""

    __slots__ = ("seen_at", "value")

    def __init__(self) -> None:
        self.value = math.inf
        self.seen_at = 0.0

    def update(self, now: float, sample: float) -> bool:
        """Take a sample; True if the least one had become too old, and this one stands for it."""
        if sample <= self.value * _AS_GOOD:
            self.value = min(self.value, sample)
            self.seen_at = now
        elif now - self.seen_at > MINIMUM_LIFE:
            self.value = sample
            self.seen_at = now
            return True
        return False


class Aggregation:
    """How much more than the rate allows is acknowledged at once (§5.5.9 there).

    Receivers, radio links and busy peers acknowledge in lumps. What a lump holds must be in flight
    besides what the path holds, or the sender runs dry between two of them.
    """

    __slots__ = ("_acked", "_began", "_largest", "_round", "value")

    def __init__(self) -> None:
        self.value = 0.0
        """Bytes: the largest excess of this and the last spell of rounds."""
        self._largest = 0.0
        self._round = 0
        self._began = 0.0
        self._acked = 0.0

    def update(self, now: float, number: int, acked: int, rate: float) -> None:
        """`acked` bytes have been acknowledged at once, in round `number`."""
        expected = rate * (now - self._began)
        if self._acked <= expected:
            self._acked, self._began, expected = 0.0, now, 0.0
        self._acked += acked
        excess = self._acked - expected
        if number - self._round >= ROUNDS // 2:
            self.value, self._largest, self._round = self._largest, 0.0, number
        self._largest = max(self._largest, excess)
        self.value = max(self.value, excess)
