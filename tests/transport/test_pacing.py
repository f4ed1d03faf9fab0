"""Pacing: bursts of a millisecond, and no flood after a stall."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.transport.pacing import (
    LARGEST_BURST,
    LEAST_ALLOWANCE,
    LONGEST_WAIT,
    MOST_ALLOWANCE,
    Pacer,
    allowance,
    burst_length,
)


def test_a_burst_is_a_millisecond_of_the_rate_within_1_and_64() -> None:
    assert burst_length(10_000_000, 1_000) == 10
    assert burst_length(1_000, 1_200) == 1
    assert burst_length(1e12, 1_200) == LARGEST_BURST == 256
    assert burst_length(math.inf, 1_200) == LARGEST_BURST


def test_the_first_burst_leaves_at_once() -> None:
    assert Pacer().allowed(0.0, 1e6, 1_000) == 1


def test_nothing_leaves_before_its_time() -> None:
    pacer = Pacer()
    pacer.on_sent(10.0, 10_000, 1e6)
    assert pacer.ready_at == pytest.approx(10.01 - LEAST_ALLOWANCE)
    pacer.on_sent(10.0, 10_000, 1e6)
    assert pacer.allowed(10.01, 1e6, 1_000) == 0
    assert pacer.allowed(pacer.ready_at, 1e6, 1_000) == 1


def test_without_a_rate_nothing_waits() -> None:
    pacer = Pacer()
    pacer.on_sent(1.0, 12_000, math.inf)
    assert pacer.allowed(1.0, math.inf, 1_200) == LARGEST_BURST


def test_a_better_rate_shortens_the_wait() -> None:
    pacer = Pacer()
    pacer.on_sent(10.0, 4_000, 10_000.0)
    assert pacer.ready_at == pytest.approx(10.4 - LEAST_ALLOWANCE)
    assert pacer.allowed(10.1, 10_000.0, 1_000) == 0
    assert pacer.allowed(10.1, 100_000.0, 1_000) == 0
    assert pacer.ready_at == pytest.approx(10.13, abs=LEAST_ALLOWANCE)
    assert pacer.allowed(10.11, math.inf, 1_000) == LARGEST_BURST


def test_a_worse_rate_lengthens_the_wait() -> None:
    pacer = Pacer()
    pacer.on_sent(10.0, 4_000, 100_000.0)
    assert pacer.allowed(10.0, 50_000.0, 1_000) == 0
    assert pacer.ready_at == pytest.approx(10.08 - 2 * LEAST_ALLOWANCE)


def test_a_rate_measured_over_an_outage_does_not_hold_us_for_ever() -> None:
    pacer = Pacer()
    for _ in range(100):
        pacer.on_sent(10.0, 1_200, 60.0)
    assert pacer.ready_at == 10.0 + LONGEST_WAIT


def test_a_rate_of_zero_is_a_bug() -> None:
    with pytest.raises(ValueError, match="above zero"):
        Pacer().on_sent(0.0, 1, 0.0)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    rate=st.floats(1e5, 1e9),
    stride=st.integers(1_200, 65_000),
    stalls=st.lists(st.floats(0, 8), min_size=1, max_size=60),
)
def test_f22_no_stall_is_followed_by_more_than_the_allowance(
    rate: float, stride: int, stalls: list[float]
) -> None:
    """In any time, no more than rate x (time + allowance) plus the burst that may overshoot.

    At rates where one datagram takes less than `LONGEST_WAIT`.
    """
    pacer = Pacer()
    sent: list[tuple[float, int]] = []
    now = 100.0
    for stall in stalls:
        now += stall**4 / 4096
        for _ in range(50):
            count = pacer.allowed(now, rate, stride)
            if not count:
                break
            pacer.on_sent(now, count * stride, rate)
            sent.append((now, count * stride))
    largest = burst_length(rate, stride) * stride
    for first in range(0, len(sent), 7):
        total = 0
        for at, size in sent[first:]:
            total += size
            time = at - sent[first][0]
            assert total <= rate * (time + LEAST_ALLOWANCE) * 1.0001 + largest


def test_on_a_long_path_an_eighth_of_the_round_trip_may_be_caught_up_on() -> None:
    assert allowance(0.0001) == LEAST_ALLOWANCE == 0.002
    assert allowance(0.05) == 0.05 / 8
    assert allowance(0.5) == MOST_ALLOWANCE == 0.01
    pacer = Pacer()
    pacer.on_sent(10.0, 20_000, 1e6, 0.05)
    assert pacer.ready_at == pytest.approx(10.02 - 0.05 / 8)


def test_a_late_wake_up_does_not_cost_rate() -> None:
    """Woken a millisecond late every time, the sender still keeps 97 % of its rate."""
    pacer, now, total, rate = Pacer(), 0.0, 0, 20e6
    while now < 1.0:
        while count := pacer.allowed(now, rate, 1_200):
            pacer.on_sent(now, count * 1_200, rate)
            total += count * 1_200
        now = max(now, pacer.ready_at) + 0.001
    assert total > 0.97 * rate
