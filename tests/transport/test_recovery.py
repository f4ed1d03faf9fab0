"""Loss detection and probe timeouts as RFC 9002 has them, with a controller that takes notes."""

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.errors import ProtocolError
from securecp.transport.acks import MAX_DELAY
from securecp.transport.congestion import Delivery
from securecp.transport.flight import Part, Record, runs
from securecp.transport.frames import Ack
from securecp.transport.recovery import (
    LARGEST_PACKET_THRESHOLD,
    PACKET_THRESHOLD,
    Outcome,
    Recovery,
)
from securecp.transport.rtt import LONGEST_BACKOFF, SMALLEST_PTO, Rtt

RTT = 0.1


class Notes:
    """A controller that never gives way and remembers what it was told."""

    window = 1 << 30
    pacing_rate = math.inf

    def __init__(self) -> None:
        self.sent = 0
        self.acked = 0
        self.lost = 0
        self.spurious = 0
        self.persistent = 0
        self.limited: list[bool] = []

    def on_sent(self, now: float, size: int, in_flight: int) -> None:
        assert in_flight >= size
        self.sent += size

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
        assert in_flight >= 0
        self.acked += size
        self.limited.append(app_limited)

    def on_loss(self, now: float, sent_at: float, size: int, in_flight: int) -> None:
        self.lost += size

    def on_spurious_loss(self, now: float, sent_at: float, size: int) -> None:
        self.spurious += size

    def on_persistent_congestion(self, now: float) -> None:
        self.persistent += 1

    def on_datagram_size(self, size: int) -> None:
        """Not of interest."""


class Bench:
    """A recovery, its notes, and counters that only grow."""

    def __init__(self) -> None:
        self.notes = Notes()
        self.recovery = Recovery(self.notes)
        self.following = 0

    def send(self, now: float, count: int = 1, *, probe: int = 0) -> int:
        """A burst of datagrams of 1,000 bytes; its first counter."""
        first = self.following
        record = Record(first, count, 1_000, 1_000 * count, now)
        record.probe = probe
        self.recovery.sent(record)
        self.following += count
        return first

    def ack(self, now: float, *ranges: tuple[int, int], delay: int = 0) -> Outcome:
        return self.recovery.on_ack(now, Ack(ranges, delay), self.following)

    def warm(self, rtt: float = RTT) -> None:
        """A first sample, so that the estimate is settled."""
        for number in range(40):
            first = self.send(number * rtt)
            self.ack((number + 1) * rtt, (first, first + 1))


def counters(parts: list[Part]) -> list[int]:
    return [
        record.first + at
        for record, bits in parts
        for start, end in runs(bits)
        for at in range(start, end)
    ]


# losses


@pytest.mark.parametrize("distance", [1, 2, 3, 4])
def test_three_later_datagrams_make_a_loss(distance: int) -> None:
    """RFC 9002 §6.1.1."""
    bench = Bench()
    bench.warm()
    now = 5.0
    first = bench.send(now)
    last = [bench.send(now) for _ in range(distance)][-1]
    outcome = bench.ack(now + RTT, (last, last + 1))
    assert counters(outcome.lost) == ([first] if distance >= PACKET_THRESHOLD else []) + [
        counter for counter in range(first + 1, last) if last - counter >= PACKET_THRESHOLD
    ]


def test_time_makes_a_loss_at_nine_eighths_of_the_rtt_and_not_before() -> None:
    """RFC 9002 §6.1.2."""
    bench = Bench()
    bench.warm()
    first, second = bench.send(5.0), bench.send(5.01)
    outcome = bench.ack(5.01 + RTT, (second, second + 1))
    assert outcome.lost == []
    deadline = bench.recovery.loss_deadline()
    assert deadline == pytest.approx(5.0 + RTT * 9 / 8, abs=1e-3)
    assert deadline is not None
    assert bench.recovery.on_loss_timer(deadline - 1e-4).lost == []
    assert bench.recovery.loss_deadline() == deadline
    assert counters(bench.recovery.on_loss_timer(deadline).lost) == [first]
    assert bench.recovery.loss_deadline() is None


@settings(max_examples=200)
@given(st.floats(0, 1e7), st.floats(1e-4, 5.0), st.floats(0, 1))
def test_the_loss_timer_always_finds_what_it_was_set_for(
    start: float, rtt: float, share: float
) -> None:
    """Whatever the rounding: no deadline stays in the past."""
    bench = Bench()
    bench.send(start)
    first = bench.send(start)
    second = bench.send(start + rtt * share)
    bench.ack(start + rtt * (1 + share), (second, second + 1))
    for _ in range(5):
        deadline = bench.recovery.loss_deadline()
        if deadline is None:
            break
        assert counters(bench.recovery.on_loss_timer(deadline).lost)
    assert bench.recovery.loss_deadline() is None
    assert first not in counters([(r, r.missing) for r in bench.recovery.flight])


def test_the_rest_of_a_burst_on_a_slow_link_is_not_lost() -> None:
    """Its first datagrams are acknowledged long before the last can have arrived."""
    bench = Bench()
    bench.warm(0.05)
    first = bench.send(5.0, 10)
    bench.ack(5.06, (first, first + 2))
    assert bench.recovery.loss_deadline() is None
    assert bench.recovery.on_loss_timer(6.0).lost == []
    assert bench.recovery.probe_deadline() is not None
    outcome = bench.ack(6.0, (first, first + 10))
    assert counters(outcome.acked) == list(range(first + 2, first + 10))
    assert bench.notes.lost == 0


def test_what_arrives_after_it_was_lost_makes_us_patient() -> None:
    bench = Bench()
    bench.warm()
    first = bench.send(5.0, 11)
    outcome = bench.ack(5.0 + RTT, (first + 10, first + 11))
    assert counters(outcome.lost) == list(range(first, first + 8))
    outcome = bench.ack(5.001 + RTT, (first, first + 11))
    assert counters(outcome.late) == list(range(first, first + 8))
    assert bench.notes.spurious == 8_000
    second = bench.send(6.0, 11)
    outcome = bench.ack(6.0 + RTT, (second + 10, second + 11))
    assert outcome.lost == []


def test_patience_has_an_end() -> None:
    bench = Bench()
    bench.warm()
    first = bench.send(5.0, 400)
    bench.ack(5.0 + RTT, (first + 399, first + 400))
    bench.ack(5.1 + RTT, (first, first + 400))
    assert bench.recovery._threshold == LARGEST_PACKET_THRESHOLD


def test_a_lost_mtu_probe_is_no_congestion() -> None:
    bench = Bench()
    bench.warm()
    probe = bench.send(5.0, probe=9_000)
    last = bench.send(5.0, 4) + 3
    outcome = bench.ack(5.0 + RTT, (last, last + 1))
    assert probe in counters(outcome.lost)
    assert bench.notes.lost == 1_000
    assert bench.recovery.lost_bytes == 1_000


def test_an_acknowledged_mtu_probe_is_no_delivery_of_content() -> None:
    bench = Bench()
    bench.warm()
    before = bench.notes.acked
    probe = bench.send(5.0, probe=9_000)
    outcome = bench.ack(5.0 + RTT, (probe, probe + 1))
    assert counters(outcome.acked) == [probe]
    assert bench.notes.acked == before


def test_everything_lost_over_three_ptos_is_persistent_congestion() -> None:
    """RFC 9002 §7.6."""
    bench = Bench()
    bench.warm()
    pto = bench.recovery.rtt.pto(MAX_DELAY)
    bench.send(10.0, 4)
    bench.send(10.0 + 3.5 * pto, 4)
    last = bench.send(10.0 + 4 * pto, 4) + 3
    bench.ack(10.0 + 4 * pto + RTT, (last, last + 1))
    assert bench.notes.persistent == 1


def test_less_than_three_ptos_is_not() -> None:
    bench = Bench()
    bench.warm()
    pto = bench.recovery.rtt.pto(MAX_DELAY)
    bench.send(10.0, 4)
    bench.send(10.0 + 2.5 * pto, 4)
    last = bench.send(10.0 + 3 * pto, 4) + 3
    bench.ack(10.0 + 3 * pto + RTT, (last, last + 1))
    assert bench.notes.persistent == 0


def test_a_delivery_between_the_losses_is_not() -> None:
    bench = Bench()
    bench.warm()
    pto = bench.recovery.rtt.pto(MAX_DELAY)
    bench.send(10.0, 2)
    middle = bench.send(10.0 + 2 * pto)
    bench.ack(10.0 + 2 * pto + RTT, (middle, middle + 1))
    bench.send(10.0 + 3.5 * pto, 4)
    last = bench.send(10.0 + 4 * pto, 4) + 3
    bench.ack(10.0 + 4 * pto + RTT, (last, last + 1))
    assert bench.notes.persistent == 0


@pytest.mark.parametrize("delivered", [False, True])
def test_a_delivery_that_the_same_ack_tells_of_counts_as_well(delivered: bool) -> None:
    """The way back was cut: one ACK tells of what was lost and of what came between."""
    bench = Bench()
    bench.warm()
    pto = bench.recovery.rtt.pto(MAX_DELAY)
    bench.send(10.0, 4)
    middle = bench.send(10.0 + 2 * pto)
    bench.send(10.0 + 3.5 * pto, 4)
    last = bench.send(10.0 + 4 * pto, 4) + 3
    ranges = [(last, last + 1)] + [(middle, middle + 1)] * delivered
    bench.ack(10.0 + 4 * pto + RTT, *ranges)
    assert bench.notes.persistent == (not delivered)


def test_the_controller_and_the_meter_hear_of_everything() -> None:
    bench = Bench()
    bench.warm()
    first = bench.send(5.0, 10)
    bench.ack(5.0 + RTT, (first + 9, first + 10))
    assert bench.notes.sent == 50_000
    assert bench.notes.acked == 41_000
    assert bench.notes.lost == bench.recovery.meter.lost == bench.recovery.lost_bytes == 7_000


# samples


def test_only_an_ack_that_names_its_largest_anew_is_a_sample() -> None:
    bench = Bench()
    bench.warm()
    before = bench.recovery.rtt.latest
    first = bench.send(5.0, 3)
    bench.ack(5.5, (first + 2, first + 3))
    assert bench.recovery.rtt.latest == pytest.approx(0.5)
    bench.ack(7.0, (first, first + 3))
    assert bench.recovery.rtt.latest == pytest.approx(0.5) != before


def test_an_ack_whose_largest_asked_for_none_is_no_sample() -> None:
    bench = Bench()
    first = bench.send(1.0)
    bench.following += 1  # an ACK of ours: a counter that is not in the ledger
    bench.ack(3.0, (first, first + 2))
    assert not bench.recovery.rtt.sampled


def test_tr16_the_delay_that_is_claimed_is_believed_up_to_the_maximum() -> None:
    honest, liar = Bench(), Bench()
    for bench, delay in ((honest, int(MAX_DELAY * 1e6)), (liar, (1 << 32) - 1)):
        bench.warm()
        for number in range(20):
            first = bench.send(10.0 + number)
            bench.ack(10.5 + number, (first, first + 1), delay=delay)
    assert liar.recovery.rtt.smoothed == honest.recovery.rtt.smoothed


def test_whether_the_application_had_enough_is_passed_on() -> None:
    bench = Bench()
    for limited in (True, False):
        bench.recovery.app_limited = limited
        first = bench.send(1.0)
        bench.ack(1.1, (first, first + 1))
    assert bench.notes.limited == [True, False]


# probe timeouts


def test_a_pto_is_due_after_the_last_that_asked_for_an_ack() -> None:
    bench = Bench()
    assert bench.recovery.probe_deadline() is None
    bench.warm()
    assert bench.recovery.probe_deadline() is None
    pto = bench.recovery.rtt.pto(MAX_DELAY)
    bench.send(5.0)
    assert bench.recovery.probe_deadline() == 5.0 + pto
    bench.send(5.1)
    assert bench.recovery.probe_deadline() == 5.1 + pto


def test_tr16_ptos_back_off_and_keep_to_their_limits() -> None:
    bench = Bench()
    bench.warm(1e-4)
    bench.send(5.0)
    now, waits = 5.0, []
    for _ in range(20):
        deadline = bench.recovery.probe_deadline()
        assert deadline is not None
        waits.append(deadline - now)
        now = deadline
        bench.recovery.on_probe_timer(now)
    assert waits[0] == pytest.approx(SMALLEST_PTO)
    assert waits[-1] == pytest.approx(LONGEST_BACKOFF)
    assert [round(wait, 6) for wait in waits] == sorted(round(wait, 6) for wait in waits)
    assert waits[3] == pytest.approx(8 * waits[0])


def test_a_pto_whose_probe_cannot_leave_does_not_ring_for_ever() -> None:
    """The socket is full all the while: each deadline lies ahead of the one before."""
    bench = Bench()
    bench.warm()
    bench.send(5.0)
    now = 1_000.0
    for _ in range(10):
        bench.recovery.on_probe_timer(now)
        deadline = bench.recovery.probe_deadline()
        assert deadline is not None
        assert deadline >= now + SMALLEST_PTO
        now = deadline


def test_any_ack_of_something_new_ends_the_backing_off() -> None:
    bench = Bench()
    bench.warm()
    first = bench.send(5.0, 2)
    for number in range(4):
        bench.recovery.on_probe_timer(6.0 + number)
    bench.ack(10.0, (first - 1, first))
    assert bench.recovery.probes == 4
    bench.ack(10.0, (first, first + 1))
    assert bench.recovery.probes == 0


def test_the_loss_timer_goes_before_the_pto() -> None:
    bench = Bench()
    bench.warm()
    bench.send(5.0)
    second = bench.send(5.0)
    bench.ack(5.0 + RTT, (second, second + 1))
    assert bench.recovery.loss_deadline() is not None
    assert bench.recovery.probe_deadline() is None


# lies


def test_tr01_what_was_never_sent_is_a_breach_and_changes_nothing() -> None:
    bench = Bench()
    bench.send(0.0, 5)
    for ranges in (
        ((0, 6),),
        ((5, 6),),
        ((100, 200),),
        ((5, 6), (0, 4)),
        ((1 << 62, 1 << 62 | 1),),
    ):
        with pytest.raises(ProtocolError):
            bench.ack(1.0, *ranges)
    assert bench.recovery.flight.bytes == 5_000
    assert bench.recovery.flight.largest_acked == -1
    assert not bench.recovery.rtt.sampled
    assert len(bench.ack(1.0, (0, 5)).acked) == 1


@settings(max_examples=200)
@given(
    st.sets(st.integers(0, 200), max_size=40),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=6),
)
def test_tr02_any_range_that_holds_a_skipped_counter_is_a_breach(
    skipped: set[int], steps: list[tuple[int, int]]
) -> None:
    bench = Bench()
    bench.following = 1_000
    for counter in sorted(skipped):
        bench.recovery.skipped(counter)
    end, ranges = 200, []
    for gap, length in steps:
        start = max(end - length, 0)
        if start < end:
            ranges.append((start, end))
        end = start - gap - 1
        if end <= 0:
            break
    named = {counter for start, stop in ranges for counter in range(start, stop)}
    if named & skipped:
        with pytest.raises(ProtocolError, match="left out"):
            bench.ack(1.0, *ranges)
    else:
        bench.ack(1.0, *ranges)


def test_tr02_the_memory_of_skipped_counters_is_bounded() -> None:
    bench = Bench()
    for counter in range(10_000):
        bench.recovery.skipped(counter)
    assert len(bench.recovery._skipped) == 128


def test_tr04_old_and_repeated_acks_change_nothing() -> None:
    bench = Bench()
    bench.warm()
    first = bench.send(5.0, 20)
    bench.ack(5.0 + RTT, (first + 5, first + 12), (0, first))
    rtt = bench.recovery.rtt.smoothed
    state = bench.recovery.flight.bytes, bench.notes.acked, bench.notes.lost
    for ranges in (((first + 5, first + 12),), ((0, 3),), ((first + 6, first + 7), (0, 1))):
        for _ in range(10):
            outcome = bench.ack(5.001 + RTT, *ranges)
            assert (outcome.acked, outcome.late, outcome.lost) == ([], [], [])
    assert bench.recovery.rtt.smoothed == rtt
    assert state == (bench.recovery.flight.bytes, bench.notes.acked, bench.notes.lost)


# all together


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_every_byte_ends_acknowledged_or_lost_and_no_deadline_stays_behind(seed: int) -> None:
    """A random path: what left is in flight, acknowledged or lost, never two of them."""
    rng = Random(seed)
    bench = Bench()
    recovery, notes = bench.recovery, bench.notes
    now, sent, come = 0.0, 0, set[int]()
    for _ in range(150):
        now += rng.random() * 0.05
        if rng.random() < 0.6:
            count = rng.randrange(1, 9)
            first = bench.send(now, count)
            sent += 1_000 * count
            come |= {first + at for at in range(count) if rng.random() < 0.8}
        elif come:
            top = end = rng.choice(sorted(come)[-20:]) + 1
            ranges: list[tuple[int, int]] = []
            while end > max(0, top - 60) and len(ranges) < 32:
                start = end
                while start - 1 in come:
                    start -= 1
                if start < end:
                    ranges.append((start, end))
                end = start - 1
                while end > 0 and end - 1 not in come:
                    end -= 1
            bench.ack(now, *ranges)
        for deadline in (recovery.loss_deadline(), recovery.probe_deadline()):
            assert deadline is None or deadline > now - 0.06
        deadline = recovery.loss_deadline()
        if deadline is not None and deadline <= now:
            recovery.on_loss_timer(now)
            following = recovery.loss_deadline()
            assert following is None or following > now
        assert notes.acked + notes.lost + recovery.flight.bytes == sent
        assert notes.lost == recovery.lost_bytes
        assert recovery.flight.bytes == sum(
            record.bytes_of(record.missing) for record in recovery.flight
        )
