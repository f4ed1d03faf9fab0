"""Guessing ports: each once, in an order of chance, at a bounded rate (SPEC §12.7)."""

from collections import Counter
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.nat.guessing import (
    BUDGET_FOR,
    FAN,
    FAN_BATCH,
    FULL_AFTER,
    GUESSES,
    HIGHER_AFTER,
    HIGHER_TTL,
    LOW_TTL,
    REFRESH,
    ROUNDS,
    Budget,
    Fan,
    Guesser,
    ports,
)


@given(st.lists(st.integers(1, 65_535), max_size=5), st.integers(0, 1_000))
def test_every_port_comes_once(seen: list[int], seed: int) -> None:
    found = list(ports(seen, Random(seed).randbytes))
    assert len(found) == len(set(found))
    assert set(range(1_024, 65_536)) <= set(found) | set(range(1_024))
    assert min(found) >= 1_024


def test_orders_differ() -> None:
    orders = {tuple(islice(ports([], Random(seed).randbytes), 10)) for seed in range(50)}
    assert len(orders) == 50


def test_a_block_of_ports_is_tried_first_but_not_alone() -> None:
    found = list(islice(ports([30_000, 30_400, 30_100], Random(1).randbytes), 1_000))
    near = sum(28_000 < port < 33_000 for port in found)
    assert 450 < near < 560


def rate(times: list[float], window: float) -> int:
    return max(sum(at <= other < at + window for other in times) for at in times[::7])


def test_rv05_guesses_are_bounded_in_rate_and_number() -> None:
    guesser = Guesser(0.0, [], Random(1).randbytes)
    times: list[float] = []
    now: float | None = 0.0
    while now is not None:
        times += [now] * len(guesser.due(now))
        assert guesser.deadline() is None or guesser.deadline() > now  # type: ignore[operator]
        now = guesser.deadline()
    assert len(times) == GUESSES == guesser.made
    assert guesser.over
    assert rate(times, 1.0) <= 400 + 20
    assert sum(at < 0.5 for at in times) <= 110
    assert times[-1] < 6.0


def test_a_guesser_that_was_not_woken_does_not_catch_up_at_once() -> None:
    guesser = Guesser(0.0, [], Random(1).randbytes)
    guesser.due(0.0)
    assert len(guesser.due(60.0)) <= 16


def test_a_guesser_stops() -> None:
    guesser = Guesser(0.0, [], Random(1).randbytes)
    guesser.stop()
    assert not guesser.due(1.0)
    assert guesser.deadline() is None


def volleys(fan: Fan, until: float) -> list[tuple[float, int, int | None]]:
    now: float | None = 0.0
    sent = []
    while now is not None and now < until:
        part = fan.due(now)
        assert len(part) <= FAN_BATCH
        sent += [(now, via, ttl) for via, ttl in part]
        due = fan.deadline()
        assert due is None or due > now
        now = due
    return sent


def test_a_fan_dies_early_at_first_and_goes_all_the_way_later() -> None:
    sent = volleys(Fan(0.0, tuple(range(100, 100 + FAN))), 30.0)
    first = [ttl for at, _, ttl in sent if at < HIGHER_AFTER]
    assert Counter(first) == {LOW_TTL: FAN}
    second = [(via, ttl) for at, via, ttl in sent if HIGHER_AFTER <= at < FULL_AFTER]
    assert {ttl for _, ttl in second} == {HIGHER_TTL}
    assert len({via for via, _ in second}) == len(second) == FAN // 2
    late = [(at, ttl) for at, _, ttl in sent if at >= FULL_AFTER]
    assert {ttl for _, ttl in late} == {None}
    assert len(late) == 3 * FAN  # at once, and every ten seconds
    assert late[FAN][0] - late[FAN - 1][0] == pytest.approx(REFRESH, abs=0.1)


def test_a_fan_stops() -> None:
    fan = Fan(0.0, (1, 2, 3))
    fan.stop()
    assert not fan.due(0.0)
    assert fan.deadline() is None


def test_rv05_a_peer_has_a_budget_of_rounds() -> None:
    budget = Budget()
    assert [budget.take(float(n), b"one") for n in range(ROUNDS + 2)] == [True] * ROUNDS + [
        False
    ] * 2
    assert budget.take(0.0, b"two")
    assert budget.take(BUDGET_FOR + 1.0, b"one")
