"""States that a power cut may leave, some of each case; `python -m tests.crash` makes more."""

from pathlib import Path

import pytest

from tests.crash.cases import CASES
from tests.crash.judge import Bench

STATES = 13
"""Of each case: some 300 in all."""


@pytest.mark.parametrize("case", CASES)
def test_f17_i1_i3_i4_i5_i8_what_a_power_cut_leaves_becomes_the_right_thing(
    case: str, memory: Path
) -> None:
    bench = Bench(case, memory / "place")
    for seed in range(STATES):
        bench.run(seed)
