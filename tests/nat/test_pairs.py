"""Which endpoints are probed when, and how often at most (SPEC §12.6)."""

from securecp.endpoint import Endpoint
from securecp.nat.pairs import CREDIT, FAREWELLS, MOST, RATE, Pairs

NAMED = Endpoint("11.0.1.1", 1)
OTHER = Endpoint("11.0.1.1", 2)
FALSE = Endpoint("11.9.9.9", 1)


def probes(pairs: Pairs, begin: float, end: float) -> list[tuple[float, Endpoint]]:
    """All that fall due."""
    now, sent = begin, []
    while now < end:
        sent += [(now, pair.endpoint) for pair in pairs.due(now)]
        due = pairs.deadline()
        if due is None:
            break
        assert due > now
        now = due
    return sent


def test_nothing_is_due_before_the_start() -> None:
    pairs = Pairs()
    pairs.add(NAMED, "reflexive")
    assert pairs.deadline() is None
    assert not pairs.due(1e9)


def test_probes_come_close_at_first_and_seldom_later() -> None:
    pairs = Pairs()
    pairs.add(NAMED, "reflexive")
    pairs.start(10.0)
    times = [at - 10.0 for at, _ in probes(pairs, 10.0, 40.0)]
    assert times[0] == 0.0
    assert sum(at < 1.0 for at in times) in {20, 21}
    assert sum(1.0 <= at < 3.0 for at in times) in {19, 20, 21}
    assert sum(3.0 <= at < 8.0 for at in times) in {9, 10, 11}
    assert sum(8.0 <= at for at in times) in {5, 6, 7}


def test_a_path_gets_three_more_and_then_none() -> None:
    pairs = Pairs()
    pair = pairs.add(NAMED, "reflexive")
    assert pair is not None
    pairs.start(0.0)
    pairs.due(0.0)
    pair.answered = 1
    assert len(probes(pairs, 0.0, 60.0)) == FAREWELLS


def test_rv05_all_together_stay_below_the_rate() -> None:
    pairs = Pairs()
    for port in range(1, MOST + 1):
        pairs.add(Endpoint("11.0.1.1", port), "host")
    pairs.start(0.0)
    times = [at for at, _ in probes(pairs, 0.0, 5.0)]
    for at in times:
        assert sum(at <= other < at + 1.0 for other in times) <= RATE + MOST


def test_rv05_there_is_room_for_so_many_and_the_vainest_gives_way() -> None:
    pairs = Pairs()
    for port in range(1, MOST + 1):
        assert pairs.add(Endpoint("11.0.1.1", port), "host") is not None
    pairs.start(0.0)
    pairs.due(0.0)
    heard = pairs.learn(Endpoint("11.0.1.1", 1), "learnt")
    assert heard is not None
    for port in range(100, 100 + 2 * MOST):
        assert pairs.add(Endpoint("11.0.1.1", port), "host") is not None
    assert len(list(pairs)) == MOST
    assert heard in list(pairs)
    assert pairs.add(Endpoint("11.0.1.1", 100 + 2 * MOST - 1), "host") is None  # known


def test_when_all_have_been_heard_there_is_no_room() -> None:
    pairs = Pairs()
    for port in range(1, MOST + 1):
        assert pairs.learn(Endpoint("11.0.1.1", port), "learnt") is not None
    assert pairs.learn(Endpoint("11.0.1.1", 9_999), "learnt") is None


def test_dg05_where_only_a_probe_came_from_gets_three_times_as_much() -> None:
    pairs = Pairs()
    pairs.add(NAMED, "reflexive")
    pairs.start(0.0)
    for count in (1, 2):
        pair = pairs.learn(FALSE, "learnt")
        assert pair is not None
        pair.next_at = 0.0
        sent = [at for at, endpoint in probes(pairs, 0.0, 60.0) if endpoint == FALSE]
        assert len(sent) == CREDIT
        assert pair.sent == CREDIT * count


def test_a_port_of_an_address_that_is_named_may_be_tried_freely() -> None:
    pairs = Pairs()
    pairs.add(NAMED, "reflexive")
    pairs.start(0.0)
    pair = pairs.learn(OTHER, "learnt")
    assert pair is not None
    pair.next_at = 0.0
    assert sum(endpoint == OTHER for _, endpoint in probes(pairs, 0.0, 1.0)) > 10


def test_at_rest_whoever_speaks_is_asked_once() -> None:
    pairs = Pairs()
    pair = pairs.add(NAMED, "reflexive")
    assert pair is not None
    pairs.start(0.0)
    pairs.rest()
    assert pairs.deadline() is None
    pair.next_at = 1.0
    assert len(probes(pairs, 1.0, 60.0)) == 1


def test_at_rest_but_for_one_that_is_doubted() -> None:
    pairs = Pairs()
    doubted = pairs.add(NAMED, "reflexive")
    pairs.add(OTHER, "host")
    assert doubted is not None
    pairs.start(0.0)
    pairs.again(doubted, 5.0)
    pairs.rest(but=NAMED)
    assert {endpoint for _, endpoint in probes(pairs, 5.0, 6.0)} == {NAMED}
