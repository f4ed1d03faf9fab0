"""What is found out about our own network, and how long letters wait for it (SPEC §12.2)."""

from math import inf
from random import Random

import pytest

from securecp.endpoint import Endpoint
from securecp.nat import stun
from securecp.nat.actions import CloseDoors, OpenDoors, Shoot
from securecp.nat.gather import Door
from securecp.nat.surroundings import FIRST_VIA, PATIENCE, Surroundings, may_ask

SERVERS = [Endpoint("11.0.113.1", port) for port in (3_478, 3_479)]
DIALLED = Endpoint("11.0.113.1", 443)


def surroundings(now: float = 10.0) -> Surroundings:
    made = Surroundings(now, Random(1).randbytes)
    made.doors(now, [Door(0, 4, 40_000)])
    return made


def answer(one: Surroundings, now: float, port: int = 40_000) -> None:
    """Everything that has been asked."""
    one.wake(now)
    for action in one.actions:
        if isinstance(action, Shoot):
            request = stun.parse(action.data)
            seen = Endpoint("11.0.2.1", port)
            data = stun.encode_response(request.transaction, seen)
            assert one.gatherer.receive(now, action.endpoint, data)
    one.actions.clear()


def test_with_nobody_to_ask_no_letter_waits() -> None:
    assert surroundings().ripe_at(None) == -inf


def test_a_letter_waits_until_all_have_answered() -> None:
    one = surroundings()
    one.ask(12.0, SERVERS)
    assert one.ripe_at(None) == 12.0 + PATIENCE
    answer(one, 12.02)
    assert one.ripe_at(None) == -inf


def test_a_letter_does_not_wait_for_an_answer_that_was_lost() -> None:
    one = surroundings()
    more = [*SERVERS, Endpoint("11.0.113.2", 3_478), Endpoint("11.0.113.2", 3_479)]
    one.ask(12.0, more)
    one.wake(12.0)
    shots = [action for action in one.actions if isinstance(action, Shoot)]
    for count, shot in enumerate(shots[:3]):
        assert one.ripe_at(None) == pytest.approx(12.0 + PATIENCE if count < 2 else 12.15)
        data = stun.encode_response(stun.parse(shot.data).transaction, Endpoint("11.0.2.1", 1))
        assert one.receive(12.1, shot.endpoint, data)
    assert not one.receive(12.1, shots[0].endpoint, b"nonsense")
    assert one.ripe_at(None) == pytest.approx(12.15)
    one.moved(20.0, (), changed=True)
    assert one.ripe_at(None) == 20.0 + PATIENCE


def test_after_a_change_it_waits_anew() -> None:
    one = surroundings()
    one.ask(12.0, SERVERS)
    answer(one, 12.02)
    one.moved(50.0, ("10.0.0.5",), changed=True)
    assert one.ripe_at(None) == 50.0 + PATIENCE
    assert not [c for c in one.situation(50.0, None).candidates if c.port == 40_001]


def test_where_the_server_is_far_it_waits_longer() -> None:
    one = surroundings()
    one.rtt = 0.6
    one.ask(12.0, SERVERS)
    assert one.ripe_at(None) == pytest.approx(12.9)


def test_fresh_doors_are_numbered_asked_for_and_forgotten() -> None:
    one = surroundings()
    one.ask(12.0, SERVERS)
    answer(one, 12.02)
    doors = one.fresh(20.0)
    assert doors == {False: FIRST_VIA}
    assert OpenDoors((FIRST_VIA,), ipv6=False, small=False) in one.actions
    assert one.ripe_at(doors) == 20.0 + PATIENCE
    assert one.ripe_at(None) == -inf
    answer(one, 20.02, port=41_000)
    assert one.situation(20.02, doors).candidates[0].port == 41_000
    one.close(doors.values())
    assert one.actions == [CloseDoors((FIRST_VIA,))]
    assert one.gatherer.concluded(FIRST_VIA)


def test_no_two_doors_have_one_number() -> None:
    one = surroundings()
    drawn = [via for count in (1, 256, 2, 0, 7) for via in one.draw(count)]
    assert len(set(drawn)) == len(drawn) == 266
    assert min(drawn) == FIRST_VIA


def test_rl10_what_is_ours_or_a_servers() -> None:
    one = surroundings()
    one.ask(12.0, SERVERS)
    one.moved(12.0, ("192.168.1.10", "2600::1"), changed=False)
    one.mapped([Endpoint("11.0.2.1", 50_000)])
    assert set(one.own()) >= {
        *SERVERS, Endpoint("192.168.1.10", 40_000), Endpoint("11.0.2.1", 50_000)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("stun_address", "dialled", "may"),
    [
        ("11.0.113.1", "11.0.113.1", True),
        ("11.0.114.1", "11.0.113.1", True),
        ("2600::1", "11.0.113.1", True),
        ("192.168.1.1", "11.0.113.1", False),
        ("100.64.0.1", "11.0.113.1", False),
        ("127.0.0.1", "11.0.113.1", False),
        ("224.0.0.1", "11.0.113.1", False),
        ("255.255.255.255", "11.0.113.1", False),
        ("fe80::1", "11.0.113.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("192.168.1.1", "192.168.1.1", True),
        ("192.168.1.1", "10.0.0.1", True),
        ("::1", "::1", True),
        ("no address", "11.0.113.1", False),
    ],
)
def test_rv05_a_server_may_not_name_just_anybody(
    stun_address: str, dialled: str, may: bool
) -> None:
    assert may_ask(Endpoint(stun_address, 3_478), Endpoint(dialled, 443)) is may
    assert not may_ask(Endpoint(stun_address, 0), Endpoint("8.8.8.8", 443))
