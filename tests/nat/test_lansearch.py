"""Peers in one network find each other without any server (SPEC §12.10)."""

from random import Random

import pytest

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat import beacon
from securecp.nat.actions import AnswerLan, AskLan
from securecp.nat.beacon import Ports
from securecp.nat.lansearch import MOST_WAYS, LanSearch
from securecp.nat.tags import PairKeys
from tests.keys.samples import identity

US, THEM, STRANGER = identity("us"), identity("them"), identity("stranger")
HERE, THERE = Endpoint("192.168.1.10", 40_000), Endpoint("192.168.1.11", 40_000)
OURS = PairKeys.of(US, bytes(THEM.public))
THEIRS = PairKeys.of(THEM, bytes(US.public))
SESSION = b"s" * 16


def caller(seed: int = 1) -> LanSearch:
    search = LanSearch(Random(seed).randbytes, lambda: 20_000, None)
    search.search(0.0, SESSION, OURS)
    return search


def called(*pairs: PairKeys, day: int = 20_000) -> LanSearch:
    search = LanSearch(Random(2).randbytes, lambda: day, lambda: pairs)
    search.ports = Ports(40_000, 0)
    return search


def asked(search: LanSearch) -> list[bytes]:
    sent = [action.data for action in search.actions if isinstance(action, AskLan)]
    search.actions.clear()
    return sent


def answer_to(query: bytes, by: LanSearch) -> bytes | None:
    by.actions.clear()
    by.receive(0.0, HERE, query)
    answers = [action for action in by.actions if isinstance(action, AnswerLan)]
    assert all(one.endpoint == HERE for one in answers)
    return answers[0].data if answers else None


def found(search: LanSearch, answer: bytes | None) -> list[Endpoint]:
    if answer is not None:
        search.receive(0.1, THERE, answer)
    return [way.endpoint for way in search.ways(SESSION)]


@pytest.mark.parametrize("day", [19_999, 20_000, 20_001])
def test_a_contact_is_found(day: int) -> None:
    search = caller()
    search.wake(0.0)
    (query,) = asked(search)
    assert found(search, answer_to(query, called(THEIRS, day=day))) == [THERE]
    assert [way.kind for way in search.ways(SESSION)] == ["lan"]


def test_rv01_nobody_else_answers() -> None:
    search = caller()
    search.wake(0.0)
    (query,) = asked(search)
    assert answer_to(query, called(PairKeys.of(STRANGER, bytes(US.public)))) is None
    assert answer_to(query, called()) is None
    silent = LanSearch(Random(3).randbytes, lambda: 20_000, None)
    assert answer_to(query, silent) is None
    assert not asked(silent)  # nor does it say that it is there


def test_a_nonce_is_answered_once() -> None:
    search, other = caller(), called(THEIRS)
    search.wake(0.0)
    (query,) = asked(search)
    assert answer_to(query, other) is not None
    assert answer_to(query, other) is None


def test_a_forged_answer_is_nothing() -> None:
    search = caller()
    search.wake(0.0)
    (query,) = asked(search)
    answer = answer_to(query, called(THEIRS))
    assert answer is not None
    for at in range(4, 40, 3):
        forged = bytearray(answer)
        forged[at] ^= 1
        with pytest.raises(ProtocolError):
            search.receive(0.1, THERE, bytes(forged))
    assert not search.ways(SESSION)


def test_ways_of_one_peer_are_few() -> None:
    search, other = caller(), called(THEIRS)
    for n in range(3 * MOST_WAYS):
        search.wake(n * 0.3)
        for query in asked(search):
            answer = answer_to(query, other)
            if answer is not None:
                search.receive(n * 0.3, THERE._replace(port=n + 1), answer)
    assert len(search.ways(SESSION)) == MOST_WAYS


def queries(search: LanSearch, begin: float, end: float) -> int:
    now, count = begin, 0
    while now < end:
        search.wake(now)
        count += len(asked(search))
        due = search.deadline()
        if due is None:
            break
        assert due > now
        now = due
    return count


def test_it_asks_often_at_first_and_seldom_later() -> None:
    search = caller()
    assert queries(search, 0.0, 5.0) in {25, 26}
    assert queries(search, 5.0, 60.0) in range(54, 58)
    assert queries(search, 60.0, 600.0) <= 110


def test_somebody_who_begins_to_wait_is_asked_at_once() -> None:
    search = caller()
    queries(search, 0.0, 70.0)
    other = called(THEIRS)
    (here,) = asked(other)
    search.receive(70.5, THERE, here)
    assert search.deadline() == 70.5


def test_a_flood_of_here_makes_no_flood_of_queries() -> None:
    search, sent = caller(), 0
    for tick in range(1_000):
        now = 100.0 + tick / 100
        search.receive(now, THERE, beacon.here(Random(tick).randbytes))
        search.wake(now)
        sent += len(asked(search))
    assert sent <= 45


def test_with_a_direct_path_it_rests_until_that_is_silent() -> None:
    search = caller()
    search.wake(0.0)
    (query,) = asked(search)
    found(search, answer_to(query, called(THEIRS)))
    search.rest(SESSION)
    assert search.deadline() is None
    search.doubt(50.0, SESSION, THERE)
    assert not search.ways(SESSION)
    assert search.deadline() == 50.0


def test_in_another_network_everything_begins_anew() -> None:
    search = caller()
    queries(search, 0.0, 100.0)
    search.moved(200.0)
    assert search.deadline() == 200.0
    search.end(SESSION)
    assert search.deadline() is None


def test_other_datagrams_are_refused() -> None:
    for datagram in (b"", b"\x61" + bytes(40), bytes([beacon.QUERY]) + bytes(10)):
        with pytest.raises(ProtocolError):
            called(THEIRS).receive(0.0, THERE, datagram)
    with pytest.raises(ProtocolError):
        caller().receive(0.0, THERE, bytes([beacon.ANSWER]) + bytes(39))
