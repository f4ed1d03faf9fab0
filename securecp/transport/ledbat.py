"""LEDBAT++: a controller that yields (draft-irtf-iccrg-ledbat-plus-plus-01; SPEC §7.10).

    START ─ queue or loss ─► STEADY ◄─ window as before, or queue ─ REGAIN
                               │ first after 2 RTT, then for a tenth of the time ▲
                               └──────► SLOWDOWN: 2 datagrams for 2 RTT ─────────┘

It keeps the queueing delay, which is the round trip less the least one known, at a target: whoever
else wants the path makes the queue longer and gets it. The slowdowns let the queue run empty, so
that the least round trip is known and no two such flows take each other's queue for the path.
"""

import math
from collections import deque
from enum import Enum

from securecp.transport.congestion import Delivery
from securecp.transport.rtt import Rtt
from securecp.transport.wire import BASE_DATAGRAM

TARGET = 0.06
"""Seconds of queue that we bear; less where the queue cannot hold twice as much."""
SMALLEST_TARGET = 0.005
SMALLEST_DATAGRAMS = 2
LARGEST_DIVISOR = 16
SLOW_START_EXIT = 0.75
"""Share of the target at which slow start ends."""
SLOWDOWN_RTTS = 2
REGAIN_LIMIT = 2
"""Times the former window up to which slow start goes after a slowdown, if the queue was short
before it: where others have gone, the path is ours again within seconds. (1 in the draft.)"""
SLOWDOWN_SHARE = 9
"""Times as long as a slowdown and its recovery took, until the next one."""
FILTER = 4
"""Samples of which the least counts: an ACK may be late for other reasons."""
HISTORY_PERIOD = 60.0
HISTORY = 10
"""Periods for which a least round trip counts."""
_SLOW_START_PACE = 2.0
_PACE = 1.25


class Phase(Enum):
    """What the controller is about."""

    START = "start"
    STEADY = "steady"
    SLOWDOWN = "slowdown"
    REGAIN = "regain"


class QueueDelay:
    """How long datagrams wait in queues: the round trip less the least one known."""

    __slots__ = ("_base", "_period_until", "_recent", "current", "peak")

    def __init__(self) -> None:
        self._base: deque[float] = deque(maxlen=HISTORY)
        self._recent: deque[float] = deque(maxlen=FILTER)
        self._period_until = -math.inf
        self.current = 0.0
        """Seconds, by the least of the last samples."""
        self.peak = 0.0
        """Seconds, by the greatest of the last samples."""

    @property
    def base(self) -> float:
        """The least round trip in seconds; 0 before the first."""
        return min(self._base, default=0.0)

    def on_sample(self, now: float, rtt: float) -> None:
        """Take a round trip."""
        if now >= self._period_until:
            self._period_until = now + HISTORY_PERIOD
            self._base.append(rtt)
        self._base[-1] = min(self._base[-1], rtt)
        self._recent.append(rtt)
        base = self.base
        self.current = min(self._recent) - base
        self.peak = max(self._recent) - base


class Ledbat:
    """A `Controller`: delay-based, and with less right to the path than anyone."""

    def __init__(self, datagram: int = BASE_DATAGRAM) -> None:
        self._datagram = datagram
        self._window = float(SMALLEST_DATAGRAMS * datagram)
        self.phase = Phase.START
        self.queue = QueueDelay()
        self._threshold = math.inf
        """The window to regain after a slowdown."""
        self._floor = 0.0
        """What the path held without its queue when slow start ended: the least to regain once."""
        self._capacity: float | None = None
        """The longest queue at which anything was lost, in seconds."""
        self._smoothed = 0.0
        self._recovery_from = -math.inf
        self._before_loss: tuple[float, float] | None = None
        self._slowdown_at = math.inf
        self._slowdown_began = 0.0

    @property
    def window(self) -> int:
        return int(self._window)

    @property
    def pacing_rate(self) -> float:
        if not self._smoothed:
            return math.inf
        slow_start = self.phase in {Phase.START, Phase.REGAIN}
        return (_SLOW_START_PACE if slow_start else _PACE) * self._window / self._smoothed

    @property
    def target(self) -> float:
        """Seconds of queue that we bear.

        Half of a queue that cannot hold `TARGET` twice: else it would overflow before we yielded,
        and we would compete by losses. (Not in the draft.)
        """
        if self._capacity is None:
            return TARGET
        return min(TARGET, max(self._capacity / 2, SMALLEST_TARGET))

    @property
    def gain(self) -> float:
        """How much slower than TCP we grow: 1 to 1/16, so that a short path is no advantage."""
        if not self.queue.base:
            return 1.0
        return 1 / min(LARGEST_DIVISOR, math.ceil(2 * TARGET / self.queue.base))

    def on_sent(self, now: float, size: int, in_flight: int) -> None:
        """Sending tells nothing here."""

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
        self.queue.on_sample(now, rtt.adjusted)
        match self.phase:
            case Phase.START | Phase.REGAIN:
                self._on_slow_start(now, size, app_limited)
            case Phase.STEADY:
                self._on_steady(now, sent_at, size, app_limited)
            case Phase.SLOWDOWN:
                if now - self._slowdown_began >= SLOWDOWN_RTTS * self._smoothed:
                    self.phase = Phase.REGAIN

    def _on_slow_start(self, now: float, size: int, app_limited: bool) -> None:
        if not app_limited:
            self._window += size * self.gain
        regained = self._window >= self._threshold
        share = SLOW_START_EXIT if self.phase is Phase.START else 1.0
        if regained or self.queue.current > share * self.target:
            self._end_slow_start(now, self._window)

    def _end_slow_start(self, now: float, reached: float) -> None:
        """The next slowdown: soon after the start, and for a tenth of the time later."""
        if self.phase is Phase.START:
            base = self.queue.base
            self._floor = reached * base / max(base + self.queue.peak, 1e-6)
            wait = SLOWDOWN_RTTS * self._smoothed
        else:
            wait = SLOWDOWN_SHARE * (now - self._slowdown_began)
        self._slowdown_at = now + wait
        self.phase = Phase.STEADY

    def _on_steady(self, now: float, sent_at: float, size: int, app_limited: bool) -> None:
        if now >= self._slowdown_at:
            self._slow_down(now)
            return
        excess = self.queue.current / self.target - 1
        if excess > 0:
            # What is acknowledged left under an older window; a whole one of it is a round trip.
            change = max(self.gain * self._datagram - self._window * excess, -self._window / 2)
        elif app_limited or sent_at <= self._recovery_from:
            return
        else:
            change = self.gain * self._datagram
        self._window = max(self._window + change * size / self._window, self._smallest)

    def _slow_down(self, now: float) -> None:
        self.phase = Phase.SLOWDOWN
        free = self.queue.current < self.target / 2
        self._threshold = max(self._window * (REGAIN_LIMIT if free else 1), self._floor)
        self._floor = 0.0
        self._window = self._smallest
        self._slowdown_began = now

    def on_loss(self, now: float, sent_at: float, size: int, in_flight: int) -> None:  # noqa: ARG002
        """Halve the window, once for all bursts that left before; learn what the queue holds."""
        if sent_at <= self._recovery_from:
            return
        if self.queue.peak >= 2 * SMALLEST_TARGET:  # else it was no queue that lost it
            self._capacity = max(self._capacity or 0.0, self.queue.peak)
        self._recovery_from = now
        if self.phase is Phase.SLOWDOWN:
            self._threshold = max(self._threshold / 2, self._smallest)
            return
        self._before_loss = (sent_at, self._window)
        reached, self._window = self._window, max(self._window / 2, self._smallest)
        if self.phase is not Phase.STEADY:
            self._end_slow_start(now, reached)

    def on_spurious_loss(self, now: float, sent_at: float, size: int) -> None:  # noqa: ARG002
        """Undo the last halving if this burst caused it."""
        if self._before_loss is None or sent_at != self._before_loss[0]:
            return
        self._window = max(self._window, self._before_loss[1])
        self._before_loss = None

    def on_persistent_congestion(self, now: float) -> None:
        """Begin again from the smallest window, up to half of what was."""
        self._threshold = max(self._window / 2, 2 * self._smallest)
        self._window = self._smallest
        self._before_loss = None
        self._recovery_from = self._slowdown_began = now
        self.phase = Phase.REGAIN

    def on_datagram_size(self, size: int) -> None:
        self._datagram = size
        self._window = max(self._window, self._smallest)

    @property
    def _smallest(self) -> float:
        return float(SMALLEST_DATAGRAMS * self._datagram)
