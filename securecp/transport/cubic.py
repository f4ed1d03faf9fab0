"""CUBIC (RFC 9438) with HyStart++ (RFC 9406), paced; in bytes instead of segments.

    slow start ── RTT grows ──> conservative slow start ── 5 rounds ──> avoidance
        │  ^─────── RTT shrinks again ──────┘  │                            │
        └────────────── loss ──────────────────┴───────> avoidance <── loss ┘

Rounds are told by time: a round ends with the first ack of a burst that left after it began.
"""

import math
from dataclasses import dataclass

from securecp.transport.congestion import Delivery
from securecp.transport.rtt import Rtt
from securecp.transport.wire import BASE_DATAGRAM

INITIAL_DATAGRAMS = 10
SMALLEST_DATAGRAMS = 2
_C = 0.4
_BETA = 0.7
_ALPHA = 3 * (1 - _BETA) / (1 + _BETA)
"""As fast as Reno on average, given that we give way by 0.7 and not by half (RFC 9438 §4.3)."""
_AVOIDANCE_GAIN = 1.25
_SLOW_START_GAIN = 2.0


class HyStart:
    """When to leave slow start: the RTT of a round exceeds that of the last (RFC 9406 §4.2)."""

    __slots__ = ("_baseline", "_css_rounds", "_last_minimum", "_minimum", "_round_from", "_samples")

    LEAST_THRESHOLD = 0.004
    LARGEST_THRESHOLD = 0.016
    SAMPLES = 8
    GROWTH_DIVISOR = 4
    ROUNDS = 5

    def __init__(self) -> None:
        self._round_from = 0.0
        self._last_minimum = math.inf
        self._minimum = math.inf
        self._samples = 0
        self._baseline = math.inf
        self._css_rounds = 0

    @property
    def divisor(self) -> int:
        """Growth is divided by this: 1 in slow start, 4 in its conservative form."""
        return self.GROWTH_DIVISOR if self._css_rounds else 1

    def on_ack(self, now: float, sent_at: float, latest_rtt: float) -> bool:
        """Take an RTT sample; True when slow start is over."""
        if sent_at >= self._round_from and self._next_round(now):
            return True
        self._minimum = min(self._minimum, latest_rtt)
        self._samples += 1
        if self._samples >= self.SAMPLES:
            self._judge()
        return False

    def _next_round(self, now: float) -> bool:
        self._round_from = now
        self._last_minimum, self._minimum, self._samples = self._minimum, math.inf, 0
        if self._css_rounds:
            self._css_rounds += 1
        return self._css_rounds > self.ROUNDS

    def _judge(self) -> None:
        if self._css_rounds:
            if self._minimum < self._baseline:
                self._css_rounds = 0
                self._baseline = math.inf
            return
        if math.isinf(self._last_minimum):
            return
        threshold = min(max(self.LEAST_THRESHOLD, self._last_minimum / 8), self.LARGEST_THRESHOLD)
        if self._minimum >= self._last_minimum + threshold:
            self._baseline = self._minimum
            self._css_rounds = 1


@dataclass(slots=True)
class _Curve:
    """The cubic curve since the last reduction; all sizes in bytes (RFC 9438 §4.1)."""

    began: float
    maximum: float
    """W_max: where the last loss was; the plateau of the curve."""
    estimate: float
    """W_est: what Reno would have by now."""
    prior: float
    """Window before the last reduction: from here on the estimate grows as fast as Reno."""
    delay: float
    """K: seconds until the curve reaches `maximum`."""

    def at(self, elapsed: float, datagram: int) -> float:
        return _C * datagram * (elapsed - self.delay) ** 3 + self.maximum


@dataclass(slots=True)
class _Saved:
    """What a reduction replaced, in case it proves to be spurious (RFC 9438 §4.9.2)."""

    window: float
    threshold: float
    maximum: float
    curve: _Curve | None
    recovery_from: float


class Cubic:
    """A `Controller`: loss-based, grows by time since the last loss and not by round trips."""

    def __init__(self, datagram: int = BASE_DATAGRAM) -> None:
        self._datagram = datagram
        self._window = float(INITIAL_DATAGRAMS * datagram)
        self._threshold = math.inf
        self._hystart: HyStart | None = HyStart()
        self._curve: _Curve | None = None
        self._maximum = 0.0
        self._prior = 0.0
        self._recovery_from = -math.inf
        self._last_ack = -math.inf
        self._smoothed = 0.0
        self._saved: _Saved | None = None

    @property
    def window(self) -> int:
        return int(self._window)

    @property
    def slow_start(self) -> bool:
        """Whether the window still grows by what is acknowledged."""
        return self._window < self._threshold

    @property
    def pacing_rate(self) -> float:
        # Without an RTT the initial window leaves at once, as RFC 9002 §7.7 allows.
        if not self._smoothed:
            return math.inf
        gain = _SLOW_START_GAIN if self.slow_start else _AVOIDANCE_GAIN
        return gain * self._window / self._smoothed

    def on_sent(self, now: float, size: int, in_flight: int) -> None:
        """A burst after idleness: the time without data does not count for the curve."""
        if in_flight <= size and self._curve is not None and self._last_ack > self._curve.began:
            self._curve.began += max(0.0, now - self._last_ack)
            self._last_ack = now

    def on_ack(
        self,
        now: float,
        sent_at: float,
        size: int,
        rtt: Rtt,
        in_flight: int,  # noqa: ARG002 - part of the protocol
        app_limited: bool,
        delivery: Delivery | None = None,  # noqa: ARG002 - for controllers that model the path
    ) -> None:
        self._smoothed = rtt.smoothed
        elapsed, self._last_ack = now - self._last_ack, now
        if sent_at <= self._recovery_from:
            return
        if self.slow_start:
            self._grow_slow_start(now, sent_at, size, rtt, app_limited)
        elif not app_limited:
            self._grow_avoidance(now, size)
        elif self._curve is not None:
            self._curve.began = min(now, self._curve.began + elapsed)

    def _grow_slow_start(
        self, now: float, sent_at: float, size: int, rtt: Rtt, app_limited: bool
    ) -> None:
        if self._hystart is None:
            self._window += 0 if app_limited else size
            return
        if self._hystart.on_ack(now, sent_at, rtt.adjusted):
            self._threshold = self._window
            self._hystart = None
        elif not app_limited:
            self._window += size / self._hystart.divisor

    def _grow_avoidance(self, now: float, size: int) -> None:
        curve = self._curve
        if curve is None:
            curve = self._curve = self._begin_curve(now)
        window, elapsed = self._window, now - curve.began
        gain = 1.0 if curve.estimate >= curve.prior else _ALPHA
        curve.estimate += gain * self._datagram * size / window
        if curve.at(elapsed, self._datagram) < curve.estimate:
            self._window = max(window, curve.estimate)
            return
        target = curve.at(elapsed + self._smoothed, self._datagram)
        target = min(max(target, window), 1.5 * window)
        self._window += (target - window) * size / window

    def _begin_curve(self, now: float) -> _Curve:
        maximum = max(self._maximum, self._window)
        missing = (maximum - self._window) / self._datagram
        return _Curve(now, maximum, self._window, self._prior, math.cbrt(missing / _C))

    def on_loss(self, now: float, sent_at: float, size: int, in_flight: int) -> None:  # noqa: ARG002
        """Reduce the window, once for all bursts that left before the reduction."""
        if sent_at <= self._recovery_from:
            return
        self._saved = _Saved(
            self._window, self._threshold, self._maximum, self._curve, self._recovery_from
        )
        # Fast convergence (RFC 9438 §4.7): below the last maximum others want room; give more.
        shrunk = self._window < self._maximum
        self._maximum = self._window * ((1 + _BETA) / 2 if shrunk else 1)
        self._prior = self._window
        self._window = self._threshold = max(self._window * _BETA, self._smallest)
        self._recovery_from = now
        self._curve = None
        self._hystart = None

    def on_spurious_loss(self, now: float, sent_at: float, size: int) -> None:  # noqa: ARG002
        """Undo the last reduction if this burst belongs to it."""
        saved = self._saved
        if saved is None or not saved.recovery_from < sent_at <= self._recovery_from:
            return
        self._saved = None
        self._window = max(self._window, saved.window)
        self._threshold, self._maximum, self._curve = saved.threshold, saved.maximum, saved.curve
        self._recovery_from = saved.recovery_from

    def on_persistent_congestion(self, now: float) -> None:
        """Begin again from the smallest window, in slow start up to the threshold."""
        self._saved = None
        self._window = self._smallest
        self._threshold = max(self._threshold, 2 * self._smallest)
        self._recovery_from = now
        self._curve = None

    def on_datagram_size(self, size: int) -> None:
        """Until the first loss the initial window is counted in the new size (RFC 9002 §7.2)."""
        self._datagram = size
        floor = INITIAL_DATAGRAMS * size if math.isinf(self._threshold) else self._smallest
        self._window = max(self._window, floor)

    @property
    def _smallest(self) -> float:
        return float(SMALLEST_DATAGRAMS * self._datagram)
