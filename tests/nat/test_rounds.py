"""When a caller begins again, and how the new round differs (SPEC §12.8)."""

from itertools import pairwise

from securecp.nat.prospects import Part, Prospects
from securecp.nat.rounds import LONGEST_PAUSE, PAUSE, UPGRADE_AFTER, Kind, Rounds

EASY = Prospects(Part.NONE, hopeless=False, repairable=True)
GUESS = Prospects(Part.GUESS, hopeless=False, repairable=False)
HOPELESS = Prospects(Part.NONE, hopeless=True, repairable=False)


def run(prospects: Prospects, count: int, rtt: float = 0.04) -> list[tuple[Kind, float]]:
    """Rounds that lead to nothing: what follows, and after how long."""
    rounds, now, seen = Rounds(0.0, caller=True), 0.0, []
    for _ in range(count):
        rounds.started(now, prospects, rtt)
        rounds.guess_at = None
        due = rounds.deadline()
        assert due is not None
        kind = rounds.due(due)
        assert kind is not None
        seen.append((kind, round(due - now, 3)))
        now = due
        rounds.began(now)
    return seen


def test_two_repairs_then_guesses_then_the_same_again_but_seldom() -> None:
    assert run(EASY, 6) == [
        (Kind.FRESH, 0.66), (Kind.FRESH, 0.66), (Kind.GUESS, 0.66),
        (Kind.PLAIN, 10.0), (Kind.PLAIN, 60.0), (Kind.PLAIN, 60.0),
    ]  # fmt: skip


def test_what_cannot_be_repaired_is_tried_seldom() -> None:
    for prospects in (GUESS, HOPELESS):
        waits = [UPGRADE_AFTER[0], UPGRADE_AFTER[1], UPGRADE_AFTER[1]]
        assert run(prospects, 3) == [(Kind.PLAIN, wait) for wait in waits]


def test_a_number_says_what_the_round_is_and_only_grows() -> None:
    number, numbers = 0, []
    for kind in (Kind.FRESH, Kind.FRESH, Kind.GUESS, Kind.PLAIN, Kind.PLAIN, Kind.FRESH):
        number = kind.after(number)
        numbers.append(number)
        assert Kind.of(number) is kind
    assert numbers == [1, 2, 3, 4, 8, 9]


def test_probes_have_their_chance_before_ports_are_guessed() -> None:
    for rtt, wait in ((0.0, 0.1), (0.04, 0.1), (0.4, 0.5)):
        rounds = Rounds(0.0, caller=False)
        rounds.started(0.0, GUESS, rtt)
        assert rounds.deadline() == wait
        assert not rounds.guessing(wait - 0.01)
        assert rounds.guessing(wait)
        assert not rounds.guessing(wait)


def test_the_called_one_begins_nothing() -> None:
    rounds = Rounds(0.0, caller=False)
    rounds.started(0.0, EASY, 0.0)
    rounds.hope(0.0)
    rounds.hope(0.0, at_once=True)
    assert rounds.deadline() is None
    assert rounds.due(1e9) is None


def test_a_direct_path_ends_it() -> None:
    rounds = Rounds(0.0, caller=True)
    rounds.started(0.0, GUESS, 0.0)
    rounds.direct()
    assert rounds.deadline() is None


def test_f06_a_path_that_stays_silent_asks_less_and_less_often() -> None:
    rounds, now, times = Rounds(0.0, caller=True), 100.0, []
    while now < 200.0:
        rounds.hope(now)
        if rounds.due(now) is not None:
            times.append(now)
            rounds.began(now)
        now += 0.25
    pauses = [b - a for a, b in pairwise(times)]
    assert pauses == [4.0, 8.0, *[16.0] * 5]
    assert PAUSE < LONGEST_PAUSE == 16.0
    rounds.heard()
    rounds.hope(times[-1] + PAUSE)
    assert rounds.due(times[-1] + PAUSE) is Kind.PLAIN


def test_another_network_is_a_reason_to_begin_at_once_and_anew() -> None:
    rounds = Rounds(0.0, caller=True)
    for _ in range(4):
        rounds.started(0.0, EASY, 0.0)
    rounds.hope(0.1, at_once=True)
    assert rounds.due(0.1) is Kind.PLAIN
    rounds.began(0.1)
    rounds.started(0.2, EASY, 0.0)
    assert rounds.due(0.7) is Kind.FRESH


def test_rv09_a_peer_that_moves_all_the_time_makes_us_begin_every_two_seconds() -> None:
    rounds, begun = Rounds(0.0, caller=True), 0
    for tick in range(1_000):
        rounds.hope(tick / 10, anew=True)
        if rounds.due(tick / 10) is not None:
            begun += 1
            rounds.began(tick / 10)
    assert begun <= 50
