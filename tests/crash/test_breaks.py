"""The model itself: each deliberate break of the order is found by seeds that are green."""

from pathlib import Path

import pytest

from tests.crash.breaks import BREAKS, broken
from tests.crash.judge import Bench, Wrong

SEEDS = 60
"""States looked at, at most; the rarest break shows in one of twenty."""


@pytest.mark.parametrize("name", BREAKS)
def test_f17_f14_a_break_of_the_order_turns_states_red(name: str, memory: Path) -> None:
    with broken(name) as case:
        bench = Bench(case, memory / "place")
        for seed in range(SEEDS):
            try:
                bench.run(seed)
            except Wrong:
                return
    pytest.fail("no state was wrong")
