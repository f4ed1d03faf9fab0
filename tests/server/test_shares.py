"""Rates of circuits: a limit for each, a limit for all, the same for everyone who wants more."""

import math

from hypothesis import given
from hypothesis import strategies as st

from securecp.server.shares import Account, Shares, level

BURST = 64_000


def run(wishes: list[float], rate: float, total: float, seconds: float = 4.0) -> list[float]:
    """What circuits get, in bytes per second, that want so much; bursts in turn."""
    shares, accounts = Shares(rate, total), [Account() for _ in wishes]
    due = [0.0] * len(wishes)
    now = 1.0
    while now < 1.0 + seconds:
        for number, wish in enumerate(wishes):
            while due[number] <= now:
                due[number] = max(due[number], now - 0.1) + BURST / wish
                shares.spend(now, accounts[number], BURST)
        now += 0.001
    return [account.total / seconds for account in accounts]


def near(got: float, expected: float) -> bool:
    return abs(got - expected) <= 0.08 * expected + 2 * BURST


def test_rl04_one_circuit_gets_its_rate_and_no_more() -> None:
    assert near(run([100e6], rate=10e6, total=500e6)[0], 10e6)
    assert near(run([5e6], rate=10e6, total=500e6)[0], 5e6)


def test_a_rate_below_one_burst_a_turn_is_kept_as_well() -> None:
    assert near(run([10e6], rate=200e3, total=500e6, seconds=20.0)[0], 200e3)


def test_rl04_who_wants_little_gets_it_and_the_rest_share_alike() -> None:
    got = run([1e6, 50e6, 200e6], rate=100e6, total=41e6)
    assert near(got[0], 1e6)
    assert near(got[1], 20e6) and near(got[2], 20e6)


def test_rl04_all_together_get_the_total() -> None:
    got = run([50e6] * 10, rate=20e6, total=60e6)
    assert near(sum(got), 60e6)
    assert max(got) < 1.3 * min(got)


@given(st.lists(st.floats(0.0, 1e6), max_size=20), st.floats(1.0, 1e6))
def test_the_level_fills_to_the_total_and_no_further(wishes: list[float], total: float) -> None:
    found = level(wishes, total)
    filled = sum(min(wish, found) for wish in wishes)
    if math.isinf(found):
        assert sum(wishes) <= total * (1 + 1e-9)
    else:
        assert math.isclose(filled, total, rel_tol=1e-6)
