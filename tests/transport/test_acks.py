"""What we acknowledge, and when."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.transport.acks import MAX_DELAY, PER_RTT, URGENT_PER_RTT, Acks
from securecp.transport.frames import ACK_RANGES, DELAY_LIMIT, encode, parse


def named(acks: Acks, now: float = 0.0) -> set[int]:
    ack = acks.frame(now)
    assert ack is not None
    return {counter for start, end in ack.ranges for counter in range(start, end)}


@settings(max_examples=100)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 400), st.integers(1, 20)), min_size=1, max_size=4),
        min_size=1,
        max_size=30,
    )
)
def test_tr01_it_never_names_what_has_not_come(steps: list[list[tuple[int, int]]]) -> None:
    """What it names has come; the newest 32 runs are always named; every ACK can be sent."""
    acks, come = Acks(), set[int]()
    for number, step in enumerate(steps):
        counters = [(start, start + length) for start, length in step]
        acks.note(float(number), counters, eliciting=True)
        come |= {counter for start, end in counters for counter in range(start, end)}
        ack = acks.frame(float(number))
        assert ack is not None
        assert parse(encode(ack)) == [ack]
        assert 1 <= len(ack.ranges) <= ACK_RANGES
        said = {counter for start, end in ack.ranges for counter in range(start, end)}
        assert said <= come
        assert max(said) == max(come)
        assert said == {counter for counter in come if counter >= min(said)}
        assert len(acks._received) <= 2 * ACK_RANGES


def test_nothing_is_said_before_anything_came() -> None:
    assert Acks().frame(0.0) is None
    assert Acks().due_at is None


def test_the_second_datagram_makes_an_ack_due_at_once() -> None:
    acks = Acks()
    acks.note(1.0, [(0, 1)], eliciting=True)
    assert acks.due_at == 1.0 + MAX_DELAY
    acks.note(1.001, [(1, 2)], eliciting=True)
    assert acks.due_at == 1.001
    acks.frame(1.001)
    assert acks.due_at is None


def test_a_burst_makes_an_ack_due_at_once() -> None:
    acks = Acks()
    acks.note(1.0, [(0, 64)], eliciting=True)
    assert acks.due_at == 1.0


def test_a_gap_and_its_filling_make_an_ack_due_at_once() -> None:
    acks = Acks()
    acks.note(0.0, [(0, 2)], eliciting=True)
    acks.frame(0.0)
    acks.note(1.0, [(3, 4)], eliciting=True)
    assert acks.due_at == 1.0
    acks.frame(1.0)
    acks.note(2.0, [(2, 3)], eliciting=True)
    assert acks.due_at == 2.0


def test_what_asks_for_no_ack_gets_none() -> None:
    """Two peers that only acknowledge each other fall silent."""
    acks = Acks()
    for number in range(100):
        acks.note(float(number), [(2 * number, 2 * number + 1)], eliciting=False)
        assert acks.due_at is None
    assert 198 in named(acks)


def test_an_ack_that_is_due_is_not_put_off() -> None:
    acks = Acks()
    acks.note(1.0, [(0, 1)], eliciting=True)
    acks.note(1.02, [(1, 2)], eliciting=False)
    assert acks.due_at == 1.0 + MAX_DELAY


def test_the_delay_is_that_of_the_largest() -> None:
    acks = Acks()
    acks.note(1.0, [(5, 6)], eliciting=True)
    acks.note(1.5, [(3, 4)], eliciting=True)
    ack = acks.frame(1.75)
    assert ack is not None
    assert ack.delay == 750_000
    acks.note(9.0, [(6, 7)], eliciting=True)
    late, early = acks.frame(1e9), acks.frame(8.0)
    assert late is not None
    assert early is not None
    assert (late.delay, early.delay) == (DELAY_LIMIT - 1, 0)


def test_what_the_peer_knows_is_said_no_more() -> None:
    acks = Acks()
    acks.note(0.0, [(0, 2), (4, 6), (8, 10)], eliciting=True)
    acks.known(8)
    assert named(acks) == {8, 9}
    acks.note(0.0, [(12, 13)], eliciting=True)
    assert named(acks) == {8, 9, 12}


def test_the_newest_is_always_said_whatever_the_peer_knows() -> None:
    acks = Acks()
    acks.note(0.0, [(0, 2), (4, 6)], eliciting=True)
    acks.known(1 << 40)
    assert named(acks) == {4, 5}
    acks.known(1 << 40)
    assert named(acks) == {4, 5}


def test_tr03_gaps_without_end_cost_64_ranges() -> None:
    acks = Acks()
    for counter in range(0, 20_000, 2):
        acks.note(0.0, [(counter, counter + 1)], eliciting=True)
        assert len(acks._received) <= 2 * ACK_RANGES
    assert len(named(acks)) == ACK_RANGES


def stream(acks: Acks, rate: int, rtt: float, seconds: float = 1.0) -> list[float]:
    """When ACKs leave while `rate` datagrams a second come one by one, each once it is due."""
    left = []
    for number in range(int(rate * seconds)):
        now = number / rate
        if acks.due_at is not None and acks.due_at <= now:
            left.append(acks.due_at)
            acks.frame(acks.due_at)
        acks.note(now, [(number, number + 1)], eliciting=True, rtt=rtt)
        if acks.due_at == now:
            left.append(now)
            acks.frame(now)
    return left


def test_a_fast_stream_gets_sixteen_acks_in_a_round_trip() -> None:
    """Once the rate is known: 400 datagrams a round trip, one ACK for 25 of them."""
    left = stream(Acks(), 8_000, 0.05)
    assert sum(at >= 0.5 for at in left) / 10 == pytest.approx(PER_RTT, rel=0.1)


def test_a_small_window_never_waits() -> None:
    """Up to 32 datagrams in a round trip, every second one is answered at once."""
    left = stream(Acks(), 600, 0.05)
    assert len(left) == 300


def test_without_an_rtt_every_second_datagram_is_answered() -> None:
    assert len(stream(Acks(), 8_000, 0.0)) == 4_000


def test_a_window_that_has_collapsed_is_answered_within_an_eighth_of_a_round_trip() -> None:
    acks = Acks()
    stream(acks, 8_000, 0.05)
    acks.frame(1.0)
    acks.note(1.01, [(8_000, 8_004)], eliciting=True, rtt=0.05)
    assert acks.due_at is not None
    assert acks.due_at <= 1.01 + 0.05 / 8


def test_gaps_are_told_at_once_but_no_oftener_than_32_times_in_a_round_trip() -> None:
    acks, left = Acks(), 0
    for number in range(4_000):
        now = number / 4_000
        acks.note(now, [(2 * number, 2 * number + 1)], eliciting=True, rtt=0.1)
        if acks.due_at is not None and acks.due_at <= now:
            left += 1
            acks.frame(now)
    assert left <= 10 * (URGENT_PER_RTT + PER_RTT)
    assert left >= 10 * PER_RTT
