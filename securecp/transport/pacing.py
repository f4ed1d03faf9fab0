"""Pacing: when the next burst may leave, and how many datagrams it may hold (RFC 9002 §7.7).

Bursts hold about a millisecond of the rate, so that a fast path costs few system calls and a slow
one no queue. Time lost to a late wake-up may be made up for, but only `ALLOWANCE` of it: after
idleness or a stall nothing leaves faster than that (no burst on wake).
"""

import math

BURST_TIME = 0.001
LARGEST_BURST = 64
"""Datagrams: what the kernel segments in one call (UDP_MAX_SEGMENTS)."""
ALLOWANCE = 0.002
"""Seconds of the rate that may be caught up on: twice the resolution of the system's timers."""
LONGEST_WAIT = 1.0
"""Seconds that pacing may hold a burst back: a rate measured over an outage is no rate, and the
window bounds what leaves in any case."""


def burst_length(rate: float, stride: int) -> int:
    """Datagrams of `stride` bytes in a burst at `rate` bytes per second: 1 to 64."""
    if math.isinf(rate):
        return LARGEST_BURST
    return min(max(int(rate * BURST_TIME / stride), 1), LARGEST_BURST)


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

    def on_sent(self, now: float, size: int, rate: float) -> None:
        """A burst of `size` bytes has left; the next waits for as long as it lasts at `rate`."""
        if rate <= 0:
            raise ValueError("a rate is above zero")
        due = max(self.ready_at, now - ALLOWANCE) + size / rate
        self.ready_at = min(due, now + LONGEST_WAIT)
        self._rate = rate
