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


def burst_length(rate: float, stride: int) -> int:
    """Datagrams of `stride` bytes in a burst at `rate` bytes per second: 1 to 64."""
    if math.isinf(rate):
        return LARGEST_BURST
    return min(max(int(rate * BURST_TIME / stride), 1), LARGEST_BURST)


class Pacer:
    """Spaces bursts at the rate it is told with each."""

    __slots__ = ("ready_at",)

    def __init__(self) -> None:
        self.ready_at = -math.inf
        """When the next burst may leave; -inf before the first."""

    def allowed(self, now: float, rate: float, stride: int) -> int:
        """How many datagrams may leave now; 0 before `ready_at`."""
        return burst_length(rate, stride) if now >= self.ready_at else 0

    def on_sent(self, now: float, size: int, rate: float) -> None:
        """A burst of `size` bytes has left; the next waits for as long as it lasts at `rate`."""
        if rate <= 0:
            raise ValueError("a rate is above zero")
        self.ready_at = max(self.ready_at, now - ALLOWANCE) + size / rate
