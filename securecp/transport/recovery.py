"""Acks in, losses out: RFC 9002 over the ledger of bursts (SPEC §7).

It feeds the round-trip estimate and the congestion controller and says what was delivered and what
was lost; what to do with the content of a lost burst is the connection's business.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import groupby

from securecp.errors import ProtocolError
from securecp.transport.acks import MAX_DELAY
from securecp.transport.congestion import Controller, DeliveryMeter
from securecp.transport.flight import Flight, Part, Record
from securecp.transport.frames import Ack
from securecp.transport.rtt import Rtt

PACKET_THRESHOLD = 3
LARGEST_PACKET_THRESHOLD = 300
"""Reordering that we learn to bear, in datagrams."""
PERSISTENT = 3
"""PTOs without any delivery that count as persistent congestion."""
_SKIPPED_KEPT = 128
_STRAYS_KEPT = 32
_ROUNDING = 1e-6
"""`sent_at + delay - delay` may be a hair less than `sent_at`: the timer must find its loss."""


class Outcome:
    """What one event said of our bursts."""

    __slots__ = ("acked", "late", "lost")

    def __init__(self) -> None:
        self.acked: list[Part] = []
        self.lost: list[Part] = []
        self.late: list[Part] = []
        """Taken for lost before, and acknowledged now."""


class Recovery:
    """Loss detection of one path."""

    def __init__(self, controller: Controller, rtt: Rtt | None = None) -> None:
        self.controller = controller
        self.rtt = Rtt() if rtt is None else rtt
        self.flight = Flight()
        self.meter = DeliveryMeter()
        self.probes = 0
        """PTOs in a row without an answer."""
        self.lost_bytes = 0
        self.app_limited = False
        self.answered_at = -math.inf
        """When something was newly acknowledged, for the last time."""
        self._end: int | None = None
        """What bears this counter or a higher one went by another path."""
        self._strays: list[int] = []
        """Counters below that which went by another path all the same."""
        self._newest_acked_at = 0.0
        self._threshold = PACKET_THRESHOLD
        self._skipped: list[int] = []
        self._loss_at: float | None = None
        self._eliciting_at = 0.0
        """When something that asks for an ACK was sent, or the PTO expired, for the last time."""

    def share(self, skipped: list[int]) -> None:
        """Take part in what all paths of a connection know of counters left out."""
        self._skipped = skipped

    def retire(self, end: int, controller: Controller) -> None:
        """Nothing more is sent here: all from counter `end` on goes by another path."""
        self._end = end
        self.controller = controller

    def strayed(self, counter: int) -> None:
        """A datagram under this counter went by another path: it says nothing of the order here."""
        self._strays.append(counter)
        if len(self._strays) > _STRAYS_KEPT:
            del self._strays[0]

    def give_up(self) -> Outcome:
        """All that is in flight counts as lost; what is acknowledged after that is late."""
        outcome = Outcome()
        outcome.lost = self.flight.drain()
        self._loss_at = None
        return outcome

    def skipped(self, counter: int) -> None:
        """This counter was never used: an ACK that names it is a lie."""
        self._skipped.append(counter)
        if len(self._skipped) > _SKIPPED_KEPT:
            del self._skipped[0]

    def sent(self, record: Record) -> None:
        """A burst that asks for an ACK has left."""
        self.flight.add(record)
        self._eliciting_at = record.sent_at
        record.stamp = self.meter.on_sent(record.sent_at, record.size, self.flight.bytes)
        self.controller.on_sent(record.sent_at, record.size, self.flight.bytes)

    def on_ack(self, now: float, ack: Ack, next_counter: int) -> Outcome:
        """Take an ACK; ProtocolError if it names what was never sent (TR-01, TR-02)."""
        self._check(ack.ranges, next_counter)
        outcome = Outcome()
        ranges = ack.ranges
        if self._end is not None or self._strays:
            ranges = self._ours(ranges)
            if not ranges:
                return outcome
        largest = ranges[0][1] - 1
        newly_largest = largest > self.flight.largest_acked
        outcome.acked, outcome.late = self.flight.acknowledge(ranges)
        if outcome.acked:
            self.answered_at = now
            newest = max((record for record, _ in outcome.acked), key=lambda record: record.first)
            if newly_largest and newest.first + newest.count > largest:
                self.rtt.update(now, now - newest.sent_at, ack.delay / 1e6, MAX_DELAY)
            self.probes = 0
            self._credit(now, outcome.acked)
        if outcome.late:
            self._bear_reordering(now, outcome.late)
        self._detect(now, outcome)
        for record, _ in outcome.acked:
            self._newest_acked_at = max(self._newest_acked_at, record.sent_at)
        return outcome

    def on_loss_timer(self, now: float) -> Outcome:
        """Time has passed: something may be overdue."""
        outcome = Outcome()
        self._detect(now, outcome)
        return outcome

    def on_probe_timer(self, now: float) -> None:
        """The PTO has expired: the caller sends a probe; nothing counts as lost for that alone.

        The next PTO counts from here, even if the socket is too full to take the probe.
        """
        self.probes += 1
        self._eliciting_at = now

    def loss_deadline(self) -> float | None:
        """When the next datagram becomes lost by age."""
        return self._loss_at

    def probe_deadline(self) -> float | None:
        """When to ask for a sign of life, if anything is in flight (RFC 9002 §6.2.1)."""
        if not len(self.flight) or self._loss_at is not None:
            return None
        return self._eliciting_at + self.rtt.pto(MAX_DELAY, self.probes)

    def unanswered_since(self) -> float | None:
        """Since when what is in flight has had no answer; None if nothing is."""
        oldest = self.flight.oldest()
        return None if oldest is None else max(oldest.sent_at, self.answered_at)

    def _ours(self, ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        """Ranges that end with what was sent on this path, so that the largest tells its order."""
        strays = self._strays = [at for at in self._strays if at > self.flight.largest_acked]
        found = []
        for start, stop in ranges:
            end = stop if self._end is None else min(stop, self._end)
            while end > start and end - 1 in strays:
                end -= 1
            if end > start:
                found.append((start, end))
        return tuple(found)

    def _check(self, ranges: tuple[tuple[int, int], ...], next_counter: int) -> None:
        if ranges[0][1] > next_counter:
            raise ProtocolError("ACK for a datagram that was never sent")
        skipped = self._skipped
        for start, end in ranges:
            at = bisect_left(skipped, start)
            if at < len(skipped) and skipped[at] < end:
                raise ProtocolError("ACK for a counter that was left out")

    def _credit(self, now: float, acked: Iterable[Part]) -> None:
        """Tell the controller once an ACK: all that came through, and what its newest burst shows.

        A sample at each burst would count those before it, but not those behind it, at one instant.
        """
        newest, total = None, 0
        for record, bits in acked:
            if record.stamp is None or record.probe:
                continue
            total += record.bytes_of(bits)
            if newest is None or record.first > newest.first:
                newest = record
        if newest is None or newest.stamp is None:
            return
        delivery = self.meter.on_ack(now, total, newest.stamp)
        self.controller.on_ack(
            now, newest.sent_at, total, self.rtt, self.flight.bytes, self.app_limited, delivery
        )

    def _bear_reordering(self, now: float, late: Iterable[Part]) -> None:
        for record, bits in late:
            distance = self.flight.largest_acked - record.first + 1
            self._threshold = min(max(self._threshold, distance), LARGEST_PACKET_THRESHOLD)
            size = record.bytes_of(bits)
            self.meter.on_late(size)
            self.controller.on_spurious_loss(now, record.sent_at, size)

    def _detect(self, now: float, outcome: Outcome) -> None:
        """Packet and time thresholds (RFC 9002 §6.1), then the time of the next one."""
        self._loss_at = None
        largest = self.flight.largest_acked
        if largest < 0:
            return
        delay = self.rtt.loss_delay()
        outcome.lost = self.flight.overdue(largest - self._threshold + 1, now - delay + _ROUNDING)
        congested = [part for part in outcome.lost if not part[0].probe]
        for record, bits in congested:
            size = record.bytes_of(bits)
            self.lost_bytes += size
            self.meter.on_loss(size)
            self.controller.on_loss(now, record.sent_at, size, self.flight.bytes)
        if congested:
            self._judge_persistence(now, congested, outcome.acked)
        oldest = self.flight.oldest()
        if oldest is not None and oldest.missing_below(largest):
            self._loss_at = oldest.sent_at + delay

    def _judge_persistence(self, now: float, lost: list[Part], acked: list[Part]) -> None:
        """RFC 9002 §7.6: everything sent over several PTOs was lost, with nothing between."""
        times = sorted(r.sent_at for r, _ in lost if r.sent_at > self._newest_acked_at)
        long = PERSISTENT * self.rtt.pto(MAX_DELAY)
        if not self.rtt.sampled or not times or times[-1] - times[0] <= long:
            return
        delivered = sorted(record.sent_at for record, _ in acked)
        for _, run in groupby(times, lambda at: bisect_right(delivered, at)):
            undelivered = list(run)
            if undelivered[-1] - undelivered[0] > long:
                self.controller.on_persistent_congestion(now)
                return
