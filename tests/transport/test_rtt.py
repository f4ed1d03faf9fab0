"""The RTT estimate of RFC 9002 §5, and what a peer cannot do to it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.transport.rtt import (
    GRANULARITY,
    LARGEST_PTO,
    LONGEST_BACKOFF,
    MINIMUM_LIFE,
    SMALLEST_PTO,
    Rtt,
)


def test_the_first_sample_replaces_the_guess() -> None:
    rtt = Rtt()
    rtt.update(1.0, 0.1, 0.0, 0.025)
    assert (rtt.latest, rtt.smoothed, rtt.variance, rtt.minimum) == (0.1, 0.1, 0.05, 0.1)


def test_before_the_first_sample_a_third_of_a_second_is_assumed() -> None:
    rtt = Rtt()
    assert not rtt.sampled
    assert (rtt.latest, rtt.smoothed) == (0.333, 0.333)
    assert rtt.pto(0.025) == pytest.approx(0.333 + 4 * 0.333 / 2 + 0.025)


def test_smoothing_follows_rfc_9002() -> None:
    rtt = Rtt()
    rtt.update(1.0, 0.1, 0.0, 0.025)
    rtt.update(1.1, 0.2, 0.02, 0.025)
    assert rtt.latest == 0.2
    assert rtt.smoothed == pytest.approx(7 / 8 * 0.1 + 1 / 8 * 0.18)
    assert rtt.variance == pytest.approx(3 / 4 * 0.05 + 1 / 4 * 0.08)


def test_tr16_a_claimed_delay_is_believed_only_up_to_the_agreed_maximum() -> None:
    honest, liar = Rtt(), Rtt()
    for rtt, claim in ((honest, 0.025), (liar, 60.0)):
        rtt.update(1.0, 0.1, 0.0, 0.025)
        rtt.update(1.1, 0.2, claim, 0.025)
    assert liar.smoothed == honest.smoothed


def test_tr16_a_negative_delay_counts_as_none() -> None:
    honest, liar = Rtt(), Rtt()
    for rtt, claim in ((honest, 0.0), (liar, -5.0)):
        rtt.update(1.0, 0.1, 0.0, 0.025)
        rtt.update(1.1, 0.2, claim, 0.025)
    assert liar.smoothed == honest.smoothed


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0.0001, 3.0), st.floats(-10, 100)), min_size=1, max_size=40))
def test_tr16_no_claim_brings_the_estimate_below_the_path(
    samples: list[tuple[float, float]],
) -> None:
    rtt = Rtt()
    for step, (sample, claim) in enumerate(samples):
        rtt.update(float(step) / 10, sample, claim, 0.025)
    assert rtt.smoothed >= min(sample for sample, _ in samples) * 0.999
    assert SMALLEST_PTO <= rtt.pto(0.025) <= LARGEST_PTO


def test_tr16_the_probe_timeout_stays_within_its_limits() -> None:
    fast, slow = Rtt(), Rtt()
    fast.update(0.0, 0.0001, 0.0, 0.0)
    slow.update(0.0, 50.0, 0.0, 0.025)
    assert fast.pto(0.0) == SMALLEST_PTO == 0.2
    assert slow.pto(0.025) == LARGEST_PTO == 60.0
    assert fast.pto(0.0, backoff=500) == LONGEST_BACKOFF
    assert slow.pto(0.0, backoff=500) == LARGEST_PTO


def test_the_probe_timeout_doubles_with_each_backoff() -> None:
    rtt = Rtt()
    rtt.update(0.0, 0.1, 0.0, 0.0)
    assert rtt.pto(0.025) == pytest.approx(0.1 + 4 * 0.05 + 0.025)
    assert rtt.pto(0.025, backoff=2) == pytest.approx(4 * rtt.pto(0.025))


def test_f33_no_doubling_makes_a_probe_wait_for_longer_than_two_seconds() -> None:
    """Nor does the limit make one leave before the path could have answered."""
    short, long = Rtt(0.05), Rtt(3.0)
    assert short.pto(0.025, backoff=9) == LONGEST_BACKOFF == 2.0
    assert long.pto(0.025, backoff=9) == long.pto(0.025) == 3.0 + 4 * 1.5 + 0.025


def test_the_minimum_forgets_a_path_that_has_become_longer() -> None:
    rtt = Rtt()
    now = 0.0
    rtt.update(now, 0.01, 0.0, 0.0)
    while now < 3 * MINIMUM_LIFE:
        now += 0.1
        rtt.update(now, 0.2, 0.0, 0.0)
        if now < MINIMUM_LIFE:
            assert rtt.minimum == 0.01
    assert rtt.minimum == 0.2


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 9.0), st.floats(0.001, 3.0)), min_size=1, max_size=40))
def test_the_minimum_is_that_of_the_last_ten_to_twenty_seconds(
    samples: list[tuple[float, float]],
) -> None:
    rtt, now, seen = Rtt(), 1_000.0, list[tuple[float, float]]()
    for pause, sample in samples:
        now += pause
        rtt.update(now, sample, 0.0, 0.0)
        seen.append((now, sample))
        short = min(value for at, value in seen if at >= now - MINIMUM_LIFE)
        # A period ends with the first sample after it: at most one pause late.
        long = min(value for at, value in seen if at >= now - 2 * MINIMUM_LIFE - 9.0)
        assert long <= rtt.minimum <= short


def test_the_minimum_forgets_within_two_periods() -> None:
    rtt = Rtt()
    rtt.update(1_000.0, 0.01, 0.0, 0.0)
    forgotten = 0
    while rtt.minimum == 0.01:
        forgotten += 1
        rtt.update(1_000.0 + forgotten, 0.2, 0.0, 0.0)
    assert MINIMUM_LIFE < forgotten <= 2 * MINIMUM_LIFE + 3


def test_a_delay_that_leads_exactly_to_the_minimum_is_taken_off() -> None:
    rtt = Rtt()
    rtt.update(1.0, 0.25, 0.0, 0.025)
    rtt.update(1.1, 0.5, 0.25, 0.25)
    assert rtt.smoothed == 0.25


def test_the_time_threshold_is_nine_eighths_of_the_rtt() -> None:
    rtt = Rtt()
    rtt.update(0.0, 0.08, 0.0, 0.0)
    assert rtt.loss_delay() == pytest.approx(0.09)
    quick = Rtt()
    quick.update(0.0, 0.00001, 0.0, 0.0)
    assert quick.loss_delay() == GRANULARITY


def test_a_clock_that_stands_still_is_no_division_by_zero() -> None:
    rtt = Rtt()
    rtt.update(0.0, 0.0, 0.0, 0.0)
    assert rtt.smoothed > 0
