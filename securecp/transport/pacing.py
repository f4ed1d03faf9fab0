"""Pacing: when the next burst may leave, and how many datagrams it may hold (RFC 9002 §7.7).

Bursts hold about a millisecond of the rate, so that a fast path costs few system calls and a slow
one no queue. Time lost to a late wake-up may be made up for, but only a little of it (`allowance`):
after idleness or a stall nothing leaves faster than that (no burst on wake).
"""

import math

BURST_TIME = 0.001
LARGEST_BURST = 256
"""Datagrams: four times what the kernel segments in one call (UDP_MAX_SEGMENTS)."""
LEAST_ALLOWANCE = 0.002
MOST_ALLOWANCE = 0.01
ALLOWANCE_SHARE = 1 / 8
"""Of a round trip: a queue that the path needs anyway takes that much at once."""
LONGEST_WAIT = 1.0
"""Seconds that pacing may hold a burst back: a rate measured over an outage is no rate, and the
window bounds what leaves in any case."""


def burst_length(rate: float, stride: int) -> int:
    """Datagrams of `stride` bytes in a burst at `rate` bytes per second: 1 to 256."""
    if math.isinf(rate):
        return LARGEST_BURST
    return min(max(int(rate * BURST_TIME / stride), 1), LARGEST_BURST)


def allowance(rtt: float) -> float:
    """Seconds of the rate that may be caught up on after a late wake-up, on a path of this `rtt`.

    Twice the resolution of the system's timers at least. Other threads and programs hold us up for
    longer than that, and what is not caught up on is lost: nothing asks us to be faster later.
    """
    return min(max(ALLOWANCE_SHARE * rtt, LEAST_ALLOWANCE), MOST_ALLOWANCE)


class Pacer:
    """Spaces bursts at the rate it is told with each."""

    __slots__ = ("_rate", "ready_at")

    def __init__(self) -> None:
        self.ready_at = -math.inf
        """When the next burst may leave; -inf before the first."""
        self._rate = math.inf
        """At which `ready_at` was reckoned."""

    def allowed(self, now: float, rate: float, stride: int) -> int:
        """How many datagrams may leave now; 0 before `ready_at`, which moves if the rate has."""
        if now < self.ready_at:
            if rate != self._rate:
                self.ready_at = now + (self.ready_at - now) * self._rate / rate
                self._rate = rate
            if now < self.ready_at:
                return 0
        return burst_length(rate, stride)

    def on_sent(self, now: float, size: int, rate: float, rtt: float = 0.0) -> None:
        """A burst of `size` bytes has left; the next waits for as long as it lasts at `rate`."""
        if rate <= 0:
            raise ValueError("a rate is above zero")
        due = max(self.ready_at, now - allowance(rtt)) + size / rate
        self.ready_at = min(due, now + LONGEST_WAIT)
        self._rate = rate
