"""What a congestion controller is told and what it answers; delivery rate (no algorithm here).

A controller says how many bytes may be in flight (`window`) and how fast they may leave
(`pacing_rate`). It is told of bursts, not datagrams, each event with `now`. Loss-based controllers
(`cubic.py`) look at losses; model-based ones need to know how fast the path delivers:
`DeliveryMeter` gives each burst a stamp when it leaves and turns that into a `Delivery` when it is
acknowledged (draft-ietf-ccwg-bbr §4.1, delivery rate estimation).
"""

from typing import NamedTuple, Protocol

from securecp.transport.rtt import Rtt


class Delivery(NamedTuple):
    """What the newest burst that an ACK names says of the path."""

    delivered: int
    """Bytes acknowledged between the burst's leaving and its acknowledgement."""
    interval: float
    """Seconds they took: the longer of sending them and of acknowledging them."""
    app_limited: bool
    """We had too little to send to fill the path: the rate is only a lower bound."""
    rtt: float
    """Seconds from leaving to acknowledgement of this burst."""
    lost: int
    """Bytes found lost in the same time."""
    in_flight: int
    """Bytes in flight when the burst left, itself included."""
    round_start: bool
    """The first sample of a new round trip."""

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.delivered / self.interval if self.interval > 0 else 0.0


class Controller(Protocol):
    """Decides how much may be in flight and how fast it leaves.

    `size` is in datagram bytes. `in_flight` is the count after the event (a burst sent is in it,
    bytes acknowledged or lost are not). `sent_at` names the burst: losses of bursts that left
    before the last reduction belong to the same congestion.
    """

    @property
    def window(self) -> int:
        """Bytes that may be in flight."""

    @property
    def pacing_rate(self) -> float:
        """Bytes per second; `math.inf` before there is an RTT to pace by."""

    def on_sent(self, now: float, size: int, in_flight: int) -> None:
        """A burst has left."""

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
        """One ACK for `size` bytes, the newest of which left at `sent_at`.

        `app_limited`: the window had room left.
        """

    def on_loss(self, now: float, sent_at: float, size: int, in_flight: int) -> None:
        """`size` bytes of a burst are taken for lost."""

    def on_spurious_loss(self, now: float, sent_at: float, size: int) -> None:
        """Bytes taken for lost have been acknowledged after all."""

    def on_persistent_congestion(self, now: float) -> None:
        """Nothing got through for several PTO (RFC 9002 §7.6)."""

    def on_datagram_size(self, size: int) -> None:
        """The path now carries datagrams of `size` bytes."""


class Stamp(NamedTuple):
    """State of the meter when a burst left; kept in its ledger record."""

    delivered: int
    delivered_at: float
    first_sent_at: float
    sent_at: float
    lost: int
    in_flight: int
    app_limited: bool


class DeliveryMeter:
    """Counts what is delivered and lost, and measures the rate between two points of that count."""

    __slots__ = (
        "_app_limited_until",
        "_delivered_at",
        "_first_sent_at",
        "_round_ends",
        "delivered",
        "lost",
    )

    def __init__(self) -> None:
        self.delivered = 0
        self.lost = 0
        self._delivered_at = 0.0
        self._first_sent_at = 0.0
        self._app_limited_until = 0
        self._round_ends = 0

    def on_sent(self, now: float, size: int, in_flight: int) -> Stamp:
        """Stamp a burst of `size` bytes; `in_flight` counts it already."""
        if in_flight <= size:
            self._first_sent_at = self._delivered_at = now
        return Stamp(
            self.delivered,
            self._delivered_at,
            self._first_sent_at,
            now,
            self.lost,
            in_flight,
            self._app_limited_until > self.delivered,
        )

    def on_app_limited(self, in_flight: int) -> None:
        """There is nothing more to send: samples of what is in flight are lower bounds."""
        self._app_limited_until = self.delivered + max(in_flight, 1)

    def on_loss(self, size: int) -> None:
        """`size` bytes are taken for lost."""
        self.lost += size

    def on_late(self, size: int) -> None:
        """`size` bytes taken for lost were delivered after all; too late for a sample."""
        self.delivered += size

    def on_ack(self, now: float, size: int, stamp: Stamp) -> Delivery:
        """`size` bytes are acknowledged at once; the newest burst among them has this stamp."""
        self.delivered += size
        self._delivered_at = now
        self._first_sent_at = max(self._first_sent_at, stamp.sent_at)
        round_start = stamp.delivered >= self._round_ends
        if round_start:
            self._round_ends = self.delivered
        return Delivery(
            delivered=self.delivered - stamp.delivered,
            interval=max(now - stamp.delivered_at, stamp.sent_at - stamp.first_sent_at),
            app_limited=stamp.app_limited,
            rtt=now - stamp.sent_at,
            lost=self.lost - stamp.lost,
            in_flight=stamp.in_flight,
            round_start=round_start,
        )
