"""A rate that we do not exceed, whatever the path could carry (SPEC §7.9).

    sending      `Limited` wraps any controller: pace at most `rate`, window at most what that needs
    receiving    `Credit` says how many content bytes we let the peer send in all by now

The sender's own pacer does the rest, so that a limit is as smooth as any other pace, and no queue
builds anywhere: what is not sent has not been read from the disk either.
"""

from securecp.transport.congestion import Controller, Delivery
from securecp.transport.rtt import INITIAL_RTT, Rtt
from securecp.transport.wire import BASE_DATAGRAM, LARGEST_DATAGRAM

SLACK = 0.1
"""Seconds of the rate that may be in flight beyond what a round trip holds: ACKs may be late."""
FEWEST = 4
"""Datagrams that may always be in flight, so that a small limit does not wait for single ACKs."""
HEADROOM = 2
"""The wrapped controller may know of a window so many times as large as we use (RFC 7661 §4.3)."""


class Limited:
    """A `Controller` that keeps another one to `rate` bytes per second."""

    def __init__(self, controller: Controller, rate: float) -> None:
        if rate <= 0:
            raise ValueError("a rate is above zero")
        self._controller = controller
        self._rate = rate
        self._datagram = BASE_DATAGRAM
        self._rtt = INITIAL_RTT

    @property
    def window(self) -> int:
        return min(self._controller.window, self._needed)

    @property
    def pacing_rate(self) -> float:
        return min(self._controller.pacing_rate, self._rate)

    @property
    def _needed(self) -> int:
        """Bytes in flight at the rate, if the path keeps up with it."""
        return max(int(self._rate * (self._rtt + SLACK)), FEWEST * self._datagram)

    def on_sent(self, now: float, size: int, in_flight: int) -> None:
        self._controller.on_sent(now, size, in_flight)

    def on_ack(
        self,
        now: float,
        sent_at: float,
        size: int,
        rtt: Rtt,
        in_flight: int,
        app_limited: bool,
        delivery: Delivery | None = None,
    ) -> None:
        """Pass it on; a window far larger than what is used would be a guess: it grows no more."""
        self._rtt = rtt.smoothed
        unused = self._controller.window >= HEADROOM * self._needed
        self._controller.on_ack(now, sent_at, size, rtt, in_flight, app_limited or unused, delivery)

    def on_loss(self, now: float, sent_at: float, size: int, in_flight: int) -> None:
        self._controller.on_loss(now, sent_at, size, in_flight)

    def on_spurious_loss(self, now: float, sent_at: float, size: int) -> None:
        self._controller.on_spurious_loss(now, sent_at, size)

    def on_persistent_congestion(self, now: float) -> None:
        self._controller.on_persistent_congestion(now)

    def on_datagram_size(self, size: int) -> None:
        self._datagram = size
        self._controller.on_datagram_size(size)


ETHERNET_DATAGRAM = 1_472
CREDIT_TIME = 0.25
"""Seconds of the rate that a peer may send before we have said more; a quarter of it is a step."""
SMALLEST_CREDIT = 4 * BASE_DATAGRAM
"""So that each step of a small limit is worth a datagram."""


DATAGRAM_TIME = 0.05
"""Seconds of the rate that one datagram may take, so that probes for long ones cost little."""


def largest_datagram(rate: float) -> int:
    """Bytes of the longest datagram that we take at this rate: the largest of the handshake."""
    return min(max(int(rate * DATAGRAM_TIME), ETHERNET_DATAGRAM), LARGEST_DATAGRAM)


def first_credit(rate: float) -> int:
    """Bytes of content that a peer may send before it is told more: the window of the handshake."""
    return max(int(rate * CREDIT_TIME), SMALLEST_CREDIT)


class Credit:
    """Content bytes that a peer may have sent in all, so that no more than `rate` reaches us.

    Whatever else comes is taken off: heads of datagrams, frames, copies. What the peer does not use
    in time is gone: if it was slower, it may make up for no more than a round trip and
    `CREDIT_TIME`.
    """

    def __init__(self, rate: float, now: float, received: int) -> None:
        """From `now` on; `received` bytes have come before, of whatever."""
        self._rate = rate
        self._first = first_credit(rate)
        self._total = float(self._first)
        self._earned = float(received)
        self._at = now

    @property
    def step(self) -> float:
        """Seconds until it is worth telling the peer again."""
        return self._first / 4 / self._rate

    def total(self, now: float, received: int, content: int, rtt: float) -> int:
        """The total by now.

        `received` bytes have come so far, `content` of them as content; a round trip takes `rtt`.
        """
        self._earned += (now - self._at) * self._rate
        self._at = now
        self._earned = min(self._earned, received + self._rate * rtt + self._first)
        self._total = max(self._total, self._earned - (received - content))
        return int(self._total)
