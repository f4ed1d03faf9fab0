"""BBR: a controller by a model of the path (draft-ietf-ccwg-bbr-04, with differences in SPEC §7.4).

    STARTUP ── rate grows no more, or congestion ──► DRAIN ── queue gone ──► PROBE_BW
      pace 2.77                                        0.36           cycle 1.25, 0.75, 1 …
                                                                          │       ▲
                                             least RTT not seen for 10 s  ▼       │  0.2 s
                                                       PROBE_RTT: half of what the path holds

The model is the greatest delivery rate and the least round trip (`bandwidth.py`): their product is
what the path holds. It paces by the rate, keeps about twice the product as the most that may be in
flight, and gives way where losses mean congestion (`lossbound.py`), not wherever there are some.
Nothing is drawn by lot: where chance would spread the cycles of flows, the digits of `now` do.
"""

import math
from enum import Enum

from securecp.transport.acks import PER_RTT
from securecp.transport.bandwidth import Aggregation, MaxRate, MinRtt, Train
from securecp.transport.congestion import Delivery
from securecp.transport.lossbound import LossBound
from securecp.transport.pacing import burst_length
from securecp.transport.rtt import Rtt
from securecp.transport.wire import BASE_DATAGRAM

INITIAL_DATAGRAMS = 64
"""Paced over a part of the first round trip, so no burst."""
INITIAL_TIME = 0.025
"""Seconds over which the initial window leaves while there is no sample to pace by."""
SMALLEST_DATAGRAMS = 4
STARTUP_GAIN = 2.77
"""4 ln 2: the least that doubles the rate every round trip."""
STARTUP_GROWTH = 4
"""Times that the window may grow in a round trip, however fast a train came through."""
WINDOW_GAIN = 2.0
REPAIR = 0.8
"""Of what the path loses anyway, so much is sent in addition. Not all of it: what we lose by
sending too much then dies away by itself."""
CYCLE = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""Pacing gains, one least RTT each: ask for more, give it back, keep to it."""
DRAIN_TRIPS = 4
"""Round trips that the second of them takes at most. Without a limit we starve beside a BBR of
version 1, which never lets the queue go; with 2, CUBIC keeps less than a third of its share."""
PLATEAU_GROWTH = 1.25
PLATEAU_ROUNDS = 3
PROBE_GROWTH = 1.15
"""More than this after asking for a quarter more: nobody stands in the way, so ask again."""
PROBE_RTT_TIME = 0.2
HEADROOM_BURSTS = 3
"""One being filled by us, one under way in the kernel, one being read (§5.6.4.2 there)."""
GRAIN = 0.002
"""Least round trip to reckon with, in seconds: below that, timers and other threads of two busy
programs decide when an ACK comes, and not the path."""
QUEUED = 1.25
"""Round trips longer than the least by this have waited in a queue."""


class Phase(Enum):
    """What the controller is about."""

    STARTUP = "startup"
    DRAIN = "drain"
    PROBE_BW = "probe bandwidth"
    PROBE_RTT = "probe round trip"


class Bbr:
    """A `Controller`: paces by what the path has shown that it delivers.

    Cost: about 3.5 µs for each ACK; `window` and `pacing_rate` are plain values between two ACKs.
    """

    def __init__(self, datagram: int = BASE_DATAGRAM) -> None:
        self.phase = Phase.STARTUP
        self.rate = MaxRate()
        self.least = MinRtt()
        self.bound = LossBound()
        self._lumps = Aggregation()
        self._train = Train()
        self._train_rate = 0.0
        self._datagram = datagram
        self._round = 0
        self._delivered = 0
        self._plateau_rate = 0.0
        self._plateau_rounds = 0
        self._growth = float(STARTUP_GROWTH * INITIAL_DATAGRAMS * datagram)
        self._full = False
        """Whether start-up has found what the path carries."""
        self._revival = math.inf
        self._gain = STARTUP_GAIN
        self._step = 0
        self._probed_from = 0.0
        self._step_began = 0.0
        self._drained_at: float | None = None
        initial = INITIAL_DATAGRAMS * datagram
        self.window = initial
        self.pacing_rate = initial / INITIAL_TIME

    @property
    def path(self) -> float:
        """Bytes that fill the path without a queue."""
        return self._best * max(self.least.value, GRAIN) if self._best else 0.0

    @property
    def _best(self) -> float:
        """Bytes per second that the path has shown; trains count until start-up is over."""
        return max(self.rate.value, self._train_rate)

    # events

    def on_sent(self, now: float, size: int, in_flight: int) -> None:
        """After idleness the path is empty: no probing for more, no doubt of the least RTT."""
        if in_flight <= size and self.phase is Phase.PROBE_BW:
            self._enter_step(now, 2)
            self.least.seen_at = max(self.least.seen_at, now - 1.0)
            self._set()

    def on_ack(
        self,
        now: float,
        sent_at: float,
        size: int,
        rtt: Rtt,  # noqa: ARG002 - samples carry their own
        in_flight: int,
        app_limited: bool,
        delivery: Delivery | None = None,
    ) -> None:
        self._delivered += 0 if app_limited else size
        if self._revival < math.inf:
            self._revival += size
        if delivery is None:
            self._set()
            return
        self.bound.on_ack(size, delivery.in_flight, delivery.rtt)
        expired = self.least.update(now, delivery.rtt)
        self._take_rate(delivery)
        if self._full:
            self._lumps.update(now, self._round, size, self.rate.value)
        elif not delivery.app_limited:
            self._take_train(now, sent_at, size, delivery)
        if delivery.round_start:
            self._on_round(now, delivery)
        self._move_on(now, in_flight)
        if expired and self.phase is not Phase.PROBE_RTT and self.least.value > GRAIN:
            self.phase = Phase.PROBE_RTT
            self._drained_at = None
        self._set()

    def on_loss(self, now: float, sent_at: float, size: int, in_flight: int) -> None:  # noqa: ARG002
        """Counted; judged at the end of the round."""
        self.bound.on_loss(size)

    def on_spurious_loss(self, now: float, sent_at: float, size: int) -> None:  # noqa: ARG002
        self.bound.on_loss(-size)

    def on_persistent_congestion(self, now: float) -> None:  # noqa: ARG002
        """Begin again from the smallest window; what is acknowledged opens it up to the model's."""
        self._revival = SMALLEST_DATAGRAMS * self._datagram
        self._set()

    def on_datagram_size(self, size: int) -> None:
        self._datagram = size
        self._set()

    # the model

    def _take_rate(self, delivery: Delivery) -> None:
        """A rate over less than a round trip is one of the lumps, not of the path."""
        if delivery.round_start and not delivery.app_limited:
            self._round += 1
        if delivery.interval < self.least.value:
            return
        rate = delivery.rate
        if not delivery.app_limited or rate >= self.rate.value:
            self.rate.update(self._round, rate)

    def _take_train(self, now: float, sent_at: float, size: int, delivery: Delivery) -> None:
        if delivery.round_start:
            self._train.begin(now, sent_at)
            return
        acked, seconds = self._train.update(now, sent_at, size)
        long = max(Train.SHARE * self.least.value, Train.SHORTEST)
        # What has waited, in a queue or for a reader, comes in lumps.
        waited = delivery.rtt > self._queued_rtt
        if acked >= Train.FEWEST * self._datagram and seconds >= long and not waited:
            self._train_rate = max(self._train_rate, acked / seconds)

    @property
    def _queued_rtt(self) -> float:
        """A round trip from here on has waited in a queue."""
        return QUEUED * max(self.least.value, GRAIN)

    def _on_round(self, now: float, delivery: Delivery) -> None:
        queued = self.bound.least_rtt > self._queued_rtt
        congested = self.bound.judge(self._datagram, queued=queued)
        if congested:
            self.bound.floor(max(self.path, SMALLEST_DATAGRAMS * self._datagram))
        if self.phase is not Phase.STARTUP:
            return
        self._growth = STARTUP_GROWTH * max(self.window, INITIAL_DATAGRAMS * self._datagram)
        if congested:
            self._leave_startup(now)
        elif not delivery.app_limited:
            if self._best >= PLATEAU_GROWTH * self._plateau_rate:
                self._plateau_rate = self._best
                self._plateau_rounds = 0
                return
            # A round that waited in a queue all along need not be seen again.
            self._plateau_rounds += PLATEAU_ROUNDS if queued else 1
            if self._plateau_rounds >= PLATEAU_ROUNDS:
                self._leave_startup(now)

    # the phases

    def _move_on(self, now: float, in_flight: int) -> None:
        """On to the next step or phase, when this one has done what it is for."""
        if self.phase is Phase.PROBE_BW:
            self._cycle(now, in_flight)
        elif self.phase is Phase.PROBE_RTT:
            self._probe_rtt(now, in_flight)
        elif self.phase is Phase.DRAIN and self._drained(in_flight):
            self._enter_probe_bw(now)

    def _leave_startup(self, now: float) -> None:
        self._full = True
        self._train_rate = 0.0
        self.phase = Phase.DRAIN
        self._step_began = now
        self._gain = 1 / STARTUP_GAIN

    def _enter_probe_bw(self, now: float) -> None:
        """Anywhere in the cycle but in the step that gives back what was never taken."""
        self.phase = Phase.PROBE_BW
        self._enter_step(now, (0, 2, 3, 4, 5, 6, 7)[_digits(now) % 7])

    def _enter_step(self, now: float, step: int) -> None:
        self._step = step
        self._step_began = now
        self._gain = CYCLE[step]
        if not step:
            self._probed_from = self.rate.value

    def _drained(self, in_flight: int) -> bool:
        """Whether there is no queue of ours: besides what is on the path, an ACK may be held."""
        return in_flight <= (1 + 1 / PER_RTT) * self.path + self._burst

    def _cycle(self, now: float, in_flight: int) -> None:
        """The next step, when this one has lasted and done what it is for."""
        trips = (now - self._step_began) / max(self.least.value, GRAIN)
        over = trips > 1
        if self._gain > 1:
            # Long enough to have the larger amount in flight, or to see that it is too much.
            over = trips > 2 or (over and in_flight >= self._gain * self.path)
        elif self._gain < 1:
            # No longer than that: if the queue is not ours, giving way to it would never end.
            over = trips > DRAIN_TRIPS or self._drained(in_flight)
            if over and self.rate.value >= PROBE_GROWTH * self._probed_from:
                # The path had room: ask for more at once instead of a cycle later.
                self._enter_step(now, 0)
                return
        if over:
            self._enter_step(now, (self._step + 1) % len(CYCLE))

    def _probe_rtt(self, now: float, in_flight: int) -> None:
        """Half the path for a while, so that queues drain and every flow sees the least RTT."""
        if self._drained_at is None:
            if in_flight <= self._half + self._burst:
                self._drained_at = now
        elif now - self._drained_at >= max(PROBE_RTT_TIME, self.least.value):
            self.least.seen_at = now
            if self._full:
                self._enter_probe_bw(now)
            else:
                self.phase = Phase.STARTUP
                self._gain = STARTUP_GAIN

    # what follows from it

    @property
    def _burst(self) -> int:
        return burst_length(self.pacing_rate, self._datagram) * self._datagram

    @property
    def _half(self) -> float:
        return max(self.path / 2, SMALLEST_DATAGRAMS * self._datagram)

    def _set(self) -> None:
        """Window and pace, from model and phase."""
        rate, datagram = self._best, self._datagram
        if not rate:
            return
        initial = INITIAL_DATAGRAMS * datagram
        gain = self._gain
        startup = self.phase is Phase.STARTUP
        if self.phase is Phase.PROBE_RTT:
            gain = 1.0
        elif startup:
            rate = max(rate, initial / max(self.least.value, GRAIN))
        self.pacing_rate = gain * rate / (1 - REPAIR * self.bound.share)
        path = self.path
        window = WINDOW_GAIN * path
        window += HEADROOM_BURSTS * self._burst + min(self._lumps.value, path)
        if startup:
            window = max(window, min(initial + self._delivered, 2 * initial))
            window = min(window, self._growth)
        self.bound.lift(window)
        if self.phase is Phase.PROBE_RTT:
            window = self._half
        window = min(window, self.bound.value, self._revival)
        if self._revival > window:
            self._revival = math.inf
        self.window = max(int(window), SMALLEST_DATAGRAMS * datagram)


def _digits(now: float) -> int:
    """A number that two flows hardly share."""
    return int(now * 1e6)
