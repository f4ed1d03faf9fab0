"""One round of probing between two ends that share keys (SPEC §12.6)."""

from random import Random

import pytest

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat.actions import Shoot
from securecp.nat.guessing import FAN, LOW_TTL
from securecp.nat.pairs import FAREWELLS
from securecp.nat.probe import Ping, ProbeKeys
from securecp.nat.puncher import Puncher
from securecp.nat.tags import PairKeys
from tests.keys.samples import identity

US, THEM = identity("us"), identity("them")
THERE = Endpoint("11.0.1.1", 50_000)
ELSEWHERE = Endpoint("11.0.1.1", 50_001)


def ends(*, gently: bool = False) -> tuple[Puncher, ProbeKeys]:
    """Our puncher and the keys of the peer."""
    secrets = b"s" * 16, b"a" * 32, b"b" * 32
    ours = ProbeKeys.derive(PairKeys.of(US, bytes(THEM.public)), *secrets, caller=True)
    theirs = ProbeKeys.derive(PairKeys.of(THEM, bytes(US.public)), *secrets, caller=False)
    return Puncher(ours, gently=gently), theirs


def pong(keys: ProbeKeys, *shots: Shoot) -> bytes:
    """To the first PING among them."""
    for shot in shots:
        asked = keys.open(shot.data)
        if isinstance(asked, Ping):
            return keys.pong(asked.counter, shot.endpoint)
    raise AssertionError("there is no PING")


def all_shots(puncher: Puncher, begin: float, end: float) -> list[tuple[float, Shoot]]:
    now, sent = begin, []
    while True:
        sent += [(now, shot) for shot in puncher.shots(now)]
        due = puncher.deadline()
        if due is None or due >= end:
            return sent
        assert due > now
        now = due


def test_openers_die_early_and_are_sent_once() -> None:
    puncher, _ = ends()
    puncher.add(0.0, [(THERE, "reflexive")])
    puncher.open(0.0)
    assert [shot.ttl for _, shot in all_shots(puncher, 0.0, 60.0)] == [LOW_TTL]
    puncher.add(1.0, [(ELSEWHERE, "host")])  # another that was named meanwhile
    assert [shot[:1] + shot[2:] for _, shot in all_shots(puncher, 1.0, 60.0)] == [
        (ELSEWHERE, LOW_TTL)
    ]


def test_a_path_is_what_has_answered() -> None:
    puncher, theirs = ends()
    puncher.add(0.0, [(THERE, "reflexive")])
    puncher.start(0.0)
    (shot,) = puncher.shots(0.0)
    puncher.receive(0.03, THERE, pong(theirs, shot))
    (valid,) = puncher.valid
    assert valid[:2] == (THERE, "reflexive")
    assert valid.rtt == pytest.approx(0.03)
    assert len(all_shots(puncher, 0.03, 60.0)) == FAREWELLS


def test_a_pong_is_counted_once_and_only_for_a_ping_of_ours() -> None:
    puncher, theirs = ends()
    puncher.add(0.0, [(THERE, "reflexive")])
    puncher.start(0.0)
    (shot,) = puncher.shots(0.0)
    puncher.receive(0.03, THERE, pong(theirs, shot))
    with pytest.raises(ProtocolError):
        puncher.receive(0.04, THERE, theirs.pong(0, THERE))
    assert len(puncher.valid) == 1


def test_a_pong_from_elsewhere_is_no_path_but_another_endpoint() -> None:
    puncher, theirs = ends()
    puncher.add(0.0, [(THERE, "reflexive")])
    puncher.start(0.0)
    (shot,) = puncher.shots(0.0)
    puncher.receive(0.03, ELSEWHERE, pong(theirs, shot))
    assert not puncher.valid
    assert [one.endpoint for one in puncher.shots(0.03)] == [ELSEWHERE]


def test_a_ping_is_answered_and_asked_back_at_once() -> None:
    puncher, theirs = ends()
    puncher.receive(0.0, ELSEWHERE, theirs.ping()[1])
    shots = puncher.shots(0.0)
    assert [one.endpoint for one in shots] == [ELSEWHERE, ELSEWHERE]
    assert {one.ttl for one in shots} == {None}
    puncher.receive(0.1, ELSEWHERE, pong(theirs, *shots))
    assert [valid.kind for valid in puncher.valid] == ["learnt"]


def test_a_repair_round_stays_near_home_until_the_peer_is_heard() -> None:
    puncher, theirs = ends(gently=True)
    puncher.add(0.0, [(THERE, "reflexive"), (ELSEWHERE, "host")])
    puncher.start(0.0)
    assert {shot.ttl for _, shot in all_shots(puncher, 0.0, 0.09)} == {LOW_TTL}
    puncher.receive(0.1, THERE, theirs.ping()[1])
    shots = puncher.shots(0.1)
    assert {shot.ttl for shot in shots if shot.endpoint == THERE} == {None}
    assert {shot.ttl for shot in shots if shot.endpoint == ELSEWHERE} <= {LOW_TTL}
    assert {shot.ttl for at, shot in all_shots(puncher, 0.2, 1.0)} == {None}


def test_guessing_ends_with_the_first_path() -> None:
    puncher, theirs = ends()
    puncher.add(0.0, [(THERE, "reflexive")])
    puncher.start(0.0)
    puncher.guess(0.0, THERE, [], Random(1).randbytes)
    shots = puncher.shots(0.0)
    guess = next(shot for shot in shots if shot.endpoint != THERE)
    puncher.receive(0.05, guess.endpoint, pong(theirs, guess))
    assert [valid.kind for valid in puncher.valid] == ["guessed"]
    later = [shot for _, shot in all_shots(puncher, 0.06, 60.0)]
    assert {shot.endpoint.port for shot in later} <= {THERE.port, guess.endpoint.port}


def test_a_fan_ends_with_the_first_path_and_does_not_begin_again_when_it_is_doubted() -> None:
    puncher, theirs = ends()
    puncher.start(0.0)
    puncher.spread(0.0, THERE, tuple(range(100, 100 + FAN)))
    puncher.shots(0.0)
    via = THERE._replace(via=120)
    puncher.receive(0.1, via, theirs.ping()[1])
    hit = [shot for shot in puncher.shots(0.1) if shot.endpoint == via]
    puncher.receive(0.2, via, pong(theirs, *hit))
    assert [valid.endpoint for valid in puncher.valid] == [via]
    puncher.doubt(1.0, via)
    assert not puncher.valid
    assert {shot.endpoint for _, shot in all_shots(puncher, 1.0, 30.0)} == {via}


def test_a_doubted_path_is_one_again_when_it_answers() -> None:
    puncher, theirs = ends()
    puncher.add(0.0, [(THERE, "reflexive")])
    puncher.start(0.0)
    puncher.receive(0.1, THERE, pong(theirs, puncher.shots(0.0)[0]))
    puncher.rest()
    puncher.doubt(5.0, THERE)
    assert not puncher.valid
    puncher.receive(5.1, THERE, pong(theirs, puncher.shots(5.0)[0]))
    assert [valid.endpoint for valid in puncher.valid] == [THERE]


def test_at_rest_nothing_goes_but_answers() -> None:
    puncher, theirs = ends()
    puncher.add(0.0, [(THERE, "reflexive")])
    puncher.start(0.0)
    puncher.guess(0.0, THERE, [], Random(1).randbytes)
    puncher.spread(0.0, THERE, tuple(range(100, 100 + FAN)))
    puncher.shots(0.0)
    puncher.rest()
    assert not all_shots(puncher, 0.1, 60.0)
    puncher.receive(60.0, THERE, theirs.ping()[1])
    assert len(all_shots(puncher, 60.0, 90.0)) == 2


def test_when_the_counters_are_spent_it_is_silent() -> None:
    puncher, _ = ends()
    puncher.add(0.0, [(THERE, "reflexive")])
    puncher.start(0.0)
    puncher.keys._counter = 65_535
    assert len(all_shots(puncher, 0.0, 5.0)) == 1


def test_pings_that_wait_for_an_answer_are_bounded() -> None:
    puncher, _ = ends()
    puncher.start(0.0)
    for port in range(10_000):
        puncher._ping(0.0, THERE._replace(port=port))
    assert len(puncher._pings) == 4_096
