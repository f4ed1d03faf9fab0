"""The beacon: only the contact that is meant can tell a query, and answers it once."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.errors import ProtocolError
from securecp.nat import beacon
from securecp.nat.beacon import (
    ANSWER_LENGTH,
    HERE_LENGTH,
    NONCES_KEPT,
    OPEN_QUERIES,
    QUERY_LENGTH,
    SHORTEST_PAUSE,
    TAGS_A_SECOND,
    Asking,
    LanQuery,
    Ports,
    Waiting,
)
from securecp.nat.tags import PairKeys
from tests.transport.handshakes import identity, public, seeded

ALICE, BOB, CAROL = 1, 2, 3
DAY = 20_783
PORTS = Ports(50_001, 0)


def pair(us: int, them: int) -> PairKeys:
    return PairKeys.of(identity(us), public(them))


def asking(seed: object = 0, us: int = ALICE, them: int = BOB) -> Asking:
    return Asking(pair(us, them), seeded(("asking", seed)))


BOBS = [pair(BOB, CAROL), pair(BOB, ALICE)]


def test_the_contact_that_is_meant_answers() -> None:
    ask, waiting = asking(), Waiting()
    query = waiting.match(0.0, ask.query(0.0, DAY), BOBS, DAY)
    assert query and query.pair.peer == public(ALICE)
    assert ask.open(query.answer(PORTS)) == PORTS


def test_rv10_bystanders_see_neither_who_asks_nor_for_whom() -> None:
    ask = asking()
    query = ask.query(0.0, DAY)
    assert LanQuery.match(query, [pair(CAROL, ALICE), pair(CAROL, BOB)], DAY) is None
    assert LanQuery.match(query, [pair(ALICE, BOB)], DAY) is None
    again = ask.query(1.0, DAY)
    assert not {query[at : at + 8] for at in range(4, 36, 8)} & {
        again[at : at + 8] for at in range(4, 36, 8)
    }
    for key in (public(ALICE), public(BOB)):
        assert key[:8] not in query + again


@pytest.mark.parametrize(
    ("ahead", "found"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
def test_clocks_may_differ_by_one_day(ahead: int, *, found: bool) -> None:
    query = LanQuery.match(asking().query(0.0, DAY + ahead), BOBS, DAY)
    assert (query is not None) == found


def test_rl02_an_answer_is_shorter_than_its_query() -> None:
    query = asking().query(0.0, DAY)
    found = LanQuery.match(query, BOBS, DAY)
    assert found and len(found.answer(PORTS)) == ANSWER_LENGTH < len(query) == QUERY_LENGTH


def test_rv03_each_nonce_is_answered_once() -> None:
    ask, waiting = asking(), Waiting()
    first, second = ask.query(0.0, DAY), ask.query(1.0, DAY)
    assert waiting.match(0.0, first, BOBS, DAY)
    assert waiting.match(1.0, first, BOBS, DAY) is None
    assert waiting.match(1.0, second, BOBS, DAY)
    assert waiting.match(2.0, first, BOBS, DAY + 1) is None


def test_what_is_remembered_of_nonces_is_bounded_and_no_stranger_can_fill_it() -> None:
    ask, waiting = asking(), Waiting()
    first = ask.query(0.0, DAY)
    assert waiting.match(0.0, first, BOBS, DAY)
    stranger = asking("stranger", CAROL, ALICE)
    for now in range(NONCES_KEPT + 10):
        waiting.match(now, stranger.query(now, DAY), BOBS[1:], DAY)
    later = NONCES_KEPT + 10
    assert waiting.match(later, first, BOBS, DAY) is None
    for now in range(later, later + NONCES_KEPT + 10):
        assert waiting.match(now, ask.query(now, DAY), BOBS[1:], DAY)
    assert len(waiting._answered) == NONCES_KEPT


def test_dg01_a_flood_of_queries_is_mostly_not_compared() -> None:
    ask, waiting = asking(), Waiting()
    flood = [ask.query(0.0, DAY) for _ in range(TAGS_A_SECOND // 3)]
    answered = [waiting.match(0.0, query, BOBS, DAY) for query in flood]
    assert sum(1 for query in answered if query) == -(-TAGS_A_SECOND // (3 * len(BOBS)))
    assert answered[-1] is None
    assert waiting.match(0.5, flood[-1], BOBS, DAY)


def test_more_contacts_than_the_budget_are_still_asked_for_now_and_then() -> None:
    ask, waiting = asking(), Waiting()
    many = BOBS[:1] * TAGS_A_SECOND
    assert waiting.match(0.0, ask.query(0.0, DAY), many, DAY) is None
    assert waiting.match(1.0, ask.query(0.0, DAY), BOBS, DAY) is None
    assert waiting.match(9.0, ask.query(0.0, DAY), BOBS, DAY)


def test_rv04_every_flipped_bit_of_a_query_is_noticed() -> None:
    data = bytearray(asking().query(0.0, DAY))
    for at in range(len(data) * 8):
        data[at >> 3] ^= 1 << (at & 7)
        with suppress(ProtocolError):
            assert LanQuery.match(bytes(data), BOBS, DAY) is None
        data[at >> 3] ^= 1 << (at & 7)
    assert LanQuery.match(bytes(data), BOBS, DAY)


def test_rv04_every_flipped_bit_of_an_answer_is_noticed() -> None:
    ask = asking()
    query = LanQuery.match(ask.query(0.0, DAY), BOBS, DAY)
    assert query
    data = bytearray(query.answer(PORTS))
    for at in range(len(data) * 8):
        data[at >> 3] ^= 1 << (at & 7)
        with pytest.raises(ProtocolError):
            ask.open(bytes(data))
        data[at >> 3] ^= 1 << (at & 7)
    assert ask.open(bytes(data)) == PORTS


def test_rv04_nobody_but_the_contact_answers() -> None:
    ask = asking()
    nonce = ask.query(0.0, DAY)[4:20]
    for other in (pair(CAROL, ALICE), pair(BOB, CAROL), pair(ALICE, BOB)):
        with pytest.raises(ProtocolError):
            ask.open(LanQuery(other, nonce).answer(PORTS))
    assert ask.open(LanQuery(pair(BOB, ALICE), nonce).answer(PORTS)) == PORTS


def test_rv03_an_answer_is_taken_once() -> None:
    ask = asking()
    answer = LanQuery(pair(BOB, ALICE), ask.query(0.0, DAY)[4:20]).answer(PORTS)
    assert ask.open(answer) == PORTS
    with pytest.raises(ProtocolError):
        ask.open(answer)
    again = LanQuery(pair(BOB, ALICE), ask.query(1.0, DAY)[4:20]).answer(PORTS)
    assert ask.open(again) == PORTS


def test_rv03_an_answer_to_no_query_of_ours_is_refused() -> None:
    ask, other = asking(), asking("other")
    bob = pair(BOB, ALICE)
    with pytest.raises(ProtocolError):
        ask.open(LanQuery(bob, other.query(0.0, DAY)[4:20]).answer(PORTS))
    oldest, old = (ask.query(0.0, DAY)[4:20] for _ in range(2))
    for _ in range(OPEN_QUERIES - 1):
        ask.query(0.0, DAY)
    with pytest.raises(ProtocolError):
        ask.open(LanQuery(bob, oldest).answer(PORTS))
    assert ask.open(LanQuery(bob, old).answer(PORTS)) == PORTS


def test_rl02_here_makes_callers_ask_again_but_a_flood_of_it_does_not() -> None:
    ask = asking()
    here = beacon.here(seeded("here"))
    assert len(here) == HERE_LENGTH
    asked = 0
    for step in range(1_000):
        now = step / 1_000
        if ask.heard(now, here):
            ask.query(now, DAY)
            asked += 1
    assert asked == 1 / SHORTEST_PAUSE


@given(
    st.binary(max_size=140)
    | st.binary(min_size=19, max_size=19).map(lambda data: b"\x64" + data)
    | st.binary(min_size=39, max_size=39).map(lambda data: b"\x63" + data)
    | st.binary(min_size=35, max_size=35).map(
        lambda data: b"\x62" + data[:3] + data[3:] + bytes(92)
    )
)
def test_dg11_any_bytes_are_refused_or_for_nobody(data: bytes) -> None:
    ask, waiting = asking(), Waiting()
    ask.query(0.0, DAY)
    with pytest.raises(ProtocolError):
        ask.open(data)
    with suppress(ProtocolError):
        assert LanQuery.match(data, BOBS, DAY) is None
    with suppress(ProtocolError):
        assert waiting.match(0.0, data, BOBS, DAY) is None
    with suppress(ProtocolError):
        ask.heard(0.0, data)
        assert len(data) == HERE_LENGTH and data.startswith(b"\x64\0\0\0")
