"""Medians, ratios, verdicts and what is left out, on jobs that were never run."""

from math import inf

from tests.bench.figures import estimate, ratio, reached, rows, used, verdict
from tests.bench.items import ITEMS, MIB, Goal
from tests.bench.results import Line
from tests.bench.tables import cells, judged, markdown, text

ITEM = ITEMS["64m-loss1"]


def line(peer: str = "securecp", run: int = 1, seconds: float = 6.0, **more: object) -> Line:
    usual = Line(ITEM.name, peer, run, seconds, (1.0, 2.0), (30 * MIB, 40 * MIB), 0)
    return usual._replace(**more)  # type: ignore[arg-type]


def seconds(one: Line) -> float:
    return one.seconds


def test_ratios_are_taken_run_by_run() -> None:
    ours = [line(run=run, seconds=value) for run, value in enumerate((1, 2, 40))]
    theirs = [line("udx", run=run, seconds=value) for run, value in enumerate((2, 4, 40))]
    assert ratio(ours, theirs, seconds) == 0.5


def test_a_ratio_needs_runs_that_both_did() -> None:
    assert ratio([line(run=1)], [line("udx", run=2)], seconds) is None


def test_disturbed_jobs_are_left_out_if_enough_others_remain() -> None:
    quiet = [line(run=run) for run in range(3)]
    loud = [line(run=3, other_cpu=6.0), line(run=4, late_share=0.5)]
    assert used(quiet + loud) == quiet
    assert used(quiet[:2] + loud) == quiet[:2] + loud
    assert rows(ITEM, quiet[:2] + loud)[0].disturbed == 2


def test_failed_jobs_count_for_nothing() -> None:
    jobs = [line(run=1), line(run=2, seconds=0.1, fault="the two sides differ")]
    row = rows(ITEM, jobs)[0]
    assert (row.runs, row.used, row.seconds) == (2, 1, 6.0)


def test_what_was_given_up_is_estimated_at_the_pace_it_had() -> None:
    jobs = [line("scp (cubic)", seconds=60.0, fault="not done in 60 s", received=16 * MIB)]
    assert estimate(ITEM, jobs) == 240.0
    assert cells(ITEM, rows(ITEM, jobs)[0])[2] == "gave up; about 240"


def test_the_fastest_comes_first_and_those_given_up_after_it() -> None:
    slow = line("scp (cubic)", seconds=60.0, fault="not done in 60 s", received=MIB)
    found = rows(ITEM, [slow, line("iroh", seconds=9.0), line(), line("srt", fault="broken")])
    assert [row.peer for row in found] == ["securecp", "iroh", "scp (cubic)", "srt"]


def test_a_goal_is_held_against_the_rival_that_is_hardest_to_beat() -> None:
    goal = Goal("ratio", 0.95, "scp")
    jobs = [line(), line("scp (cubic)", seconds=60.0), line("scp (bbr)", seconds=6.0)]
    assert reached(ITEM, goal, jobs) == 1.0
    assert verdict(goal, 1.0) == "NOT met"


def test_every_kind_of_goal_is_reckoned() -> None:
    jobs = [line(wire=2 * ITEM.total), line("udx", seconds=12.0, cpu=(1.0, 1.0))]
    found = {
        goal: reached(ITEM, Goal(goal, 1.0, "udx"), jobs)
        for goal in ("seconds", "ratio", "cpu", "wire", "memory")
    }
    assert found == {"seconds": 6.0, "ratio": 0.5, "cpu": 1.5, "wire": 2.0, "memory": 40.0}


def test_a_goal_is_missed_by_whoever_never_arrives() -> None:
    goal = ITEM.goals[0]
    assert reached(ITEM, goal, []) is None
    assert verdict(goal, None) == "not measured"
    assert reached(ITEM, goal, [line(fault="not done in 60 s")]) == inf
    assert judged(ITEM, [line(fault="not done in 60 s")])[0][1] == "NOT met, never done"


def test_tables_say_who_was_measured_and_which_goals_were_met() -> None:
    jobs = [line(wire=70 * MIB), line("udx", seconds=8.0)]
    for table in (text(ITEM, jobs), markdown(ITEM, jobs)):
        assert "6.00 (6.00–6.00)" in table
        assert "0.75" in table
        assert "at most 6.4 s" in table
        assert "1.094" in table
        assert "NOT met" in table
