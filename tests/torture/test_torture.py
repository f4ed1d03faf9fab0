"""Two hundred deaths of real processes, and no byte lost; thousands by `make torture`."""

import itertools
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture import report, straces
from tests.torture.__main__ import enough, plans, ride_all, scene
from tests.torture.base import Base, Outcome
from tests.torture.census import SCENES, census
from tests.torture.plan import Plan, drawn
from tests.torture.program import MOMENTS
from tests.torture.ride import resumes

JOBS = 4
RANDOM, AT_CALLS = 8, 4
"""How many tests share the work, so that all workers of pytest have some."""
POINTS, CALLS = 16, 18
"""Deaths in each of them."""


@pytest.fixture(scope="module")
def base() -> Iterator[Base]:
    with tempfile.TemporaryDirectory(prefix="securecp-torture-") as name:  # not kept: it is large
        base = Base(Path(name))
        yield base
        base.close()


@pytest.fixture(scope="module")
def moments(base: Base) -> list[Plan]:
    """Every call of both sides that changes something, in an order by chance."""
    if reason := straces.lacking():
        pytest.skip(f"NOBODY IS KILLED AT THE N-TH CALL: {reason}")
    found = list(census(base, map(scene, SCENES)))
    random.Random(1).shuffle(found)
    return found


def verify(outcomes: list[Outcome]) -> None:
    failures = [report.failure(outcome) for outcome in outcomes if outcome.failure]
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("part", range(RANDOM))
def test_f01_f02_f03_killed_at_any_moment(base: Base, part: int) -> None:
    outcomes = ride_all(base, plans(1_000 * part), JOBS, enough(POINTS))
    verify(outcomes)
    assert sum(len(outcome.points) for outcome in outcomes) >= POINTS


@pytest.mark.parametrize("part", range(AT_CALLS))
def test_f01_killed_at_a_call_that_changes_something(
    base: Base, moments: list[Plan], part: int
) -> None:
    chosen: Iterator[Plan] = itertools.islice(moments, part, None, AT_CALLS)
    outcomes = ride_all(base, chosen, JOBS, enough(CALLS))
    verify(outcomes)
    assert sum(len(outcome.points) for outcome in outcomes) >= CALLS


@pytest.mark.parametrize("conflict", ["rename", "skip", "overwrite"])
@pytest.mark.parametrize("place", ["new", "old"])
def test_f04_killed_between_publishing_and_the_receipt(
    base: Base, place: str, conflict: str
) -> None:
    """The repetition says that it is delivered; a second copy is not made."""
    outcome = base.ride(Plan.parse(f"few/{place}/{conflict}/receiver@published"))
    verify([outcome])
    assert len(outcome.points) == 1
    if resumes():
        assert (outcome.points[0].lost or 0) < 10_000, "more than words was sent again"


@pytest.mark.parametrize("place", ["new", "old"])
def test_f05_killed_with_the_receipt_in_hand(base: Base, place: str) -> None:
    """The sender had it and said nothing; the repetition says that it is delivered."""
    outcome = base.ride(Plan.parse(f"few/{place}/rename/sender@delivered"))
    verify([outcome])
    assert len(outcome.points) == 1


def test_plans_are_text_that_repeats_them() -> None:
    for seed in range(200):
        plan = drawn(seed)
        assert str(Plan.parse(str(plan))) == str(plan)
    for moment in MOMENTS:
        assert str(Plan.parse(f"few/new/skip/both@{moment}")) == f"few/new/skip/both@{moment}"
    with pytest.raises(ValueError):
        Plan.parse("few/new/skip/mallory@40%")
