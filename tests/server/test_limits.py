"""Budgets per network: rates, places, bounded tables."""

from hypothesis import given
from hypothesis import strategies as st

from securecp.server.limits import Bucket, Buckets, Places


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(rate=2.0, burst=3.0)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(10.0) == 0.5
    assert bucket.take(10.5) and not bucket.take(10.5)
    assert not bucket.recovered(11.9) and bucket.recovered(12.0)


def test_a_clock_that_stands_still_or_turns_back_gives_nothing() -> None:
    bucket = Bucket(rate=1.0, burst=1.0)
    assert bucket.take(5.0)
    assert not bucket.take(4.0) and not bucket.take(5.0) and bucket.take(6.0)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 200)), max_size=60))
def test_what_is_spent_is_at_most_rate_and_burst_and_one_more(
    steps: list[tuple[float, int]],
) -> None:
    bucket, now, spent = Bucket(rate=100.0, burst=50.0), 1.0, 0
    for wait, amount in steps:
        now += wait
        spent += amount if bucket.spend(now, amount) else 0
    assert spent <= 50 + 100 * (now - 1.0) + 200 + 1e-6


def test_rv06_a_flood_from_many_networks_takes_nothing_from_those_who_are_there() -> None:
    buckets = Buckets(rate=1.0, burst=2.0, most=100)
    passed = 0
    for number in range(10_000):
        if number % 990 == 0:
            assert buckets.of(0.001 * number, "friend").take(0.001 * number)
        passed += buckets.of(0.001 * number, f"flood {number}").take(0.001 * number)
    assert len(buckets) <= 100
    assert passed <= 100 + 10 * 100 + 20 + 10 * 10  # places, each free again after 1 s; shared


def test_a_network_is_forgotten_when_it_is_owed_nothing() -> None:
    buckets = Buckets(rate=1.0, burst=2.0, most=100)
    for number in range(50):
        buckets.of(0.0, f"{number}").take(0.0)
    buckets.sweep(0.5)
    assert len(buckets) == 50
    buckets.sweep(1.0)
    assert len(buckets) == 0


def test_rl04_places_are_limited_in_all_and_for_each_network() -> None:
    places = Places(most=3, most_of_one=2)
    assert [places.enter(where) for where in "aaabc"] == [True, True, False, True, False]
    assert places.full and places.full_for("a") and len(places) == 3
    places.leave("a")
    assert places.enter("c") and not places.enter("a")
