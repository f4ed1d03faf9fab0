"""One leg of a circuit, by WebSocket and by UDP (SPEC §13.5)."""

import pytest

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat import relay
from securecp.nat.actions import Action, CloseDoors, OpenCircuit, OpenDoors, Shoot, Tell
from securecp.nat.leg import MOST, REFRESH, RETRY, Leg, Legs
from securecp.nat.rendezvous import Join, Leave, parse_from_client

SERVER = Endpoint("11.0.113.1", 443)
RELAY = Endpoint("11.0.113.1", 3_478)
HERE = RELAY._replace(via=21)
ID, TICKET, COOKIE = b"i" * 8, b"t" * 16, relay.encode_cookie(b"c" * 16)


def leg(*, udp: bool = True, via: int = 20) -> Leg:
    return Leg(0, SERVER, RELAY if udp else None, TICKET, via, via + 1)


def took(one: Leg) -> list[Action]:
    actions = list(one.actions)
    one.actions.clear()
    return actions


def kinds(one: Leg) -> list[int]:
    return [action.data[0] for action in took(one) if isinstance(action, Shoot)]


def attached() -> Leg:
    one = leg()
    one.joined(0.0, ID)
    one.wake(0.0)
    one.receive(0.02, HERE, COOKIE)
    one.wake(0.02)
    one.receive(0.04, HERE, relay.encode_attached(ID))
    one.opened()
    took(one)
    return one


def test_the_websocket_way_is_there_at_once() -> None:
    one = leg()
    opened, told = took(one)
    assert opened == OpenCircuit(20, 0)
    assert isinstance(told, Tell)
    assert parse_from_client(told.message) == Join(20, TICKET)
    assert [way.endpoint for way in one.ways()] == [SERVER._replace(via=20)]


def test_rl02_the_udp_way_takes_a_cookie_and_a_proof() -> None:
    one = leg()
    took(one)
    one.joined(0.0, ID)
    one.wake(0.0)
    door, request = took(one)
    assert door == OpenDoors((21,), ipv6=False, small=False)
    assert request == Shoot(HERE, relay.encode_cookie_request())
    one.receive(0.02, HERE, COOKIE)
    one.wake(0.02)
    (attach,) = took(one)
    assert isinstance(attach, Shoot)
    assert relay.parse_attach(attach.data).proves(TICKET)
    one.receive(0.04, HERE, relay.encode_attached(ID))
    assert len(one.ways()) == 1  # the peer is not there yet
    one.opened()
    assert [way.endpoint.via for way in one.ways()] == [21, 20]


def test_what_is_not_the_relays_is_refused() -> None:
    one = leg()
    one.joined(0.0, ID)
    one.wake(0.0)
    for endpoint in (RELAY, HERE._replace(port=1), HERE._replace(address="11.9.9.9")):
        with pytest.raises(ProtocolError):
            one.receive(0.0, endpoint, COOKIE)
    with pytest.raises(ProtocolError):
        leg(udp=False).receive(0.0, HERE, COOKIE)
    one.receive(0.0, HERE, relay.encode_attached(ID))  # before any ATTACH
    one.opened()
    assert len(one.ways()) == 1


def test_dg05_one_attach_for_each_cookie_that_was_asked_for() -> None:
    one = leg()
    one.joined(0.0, ID)
    one.wake(0.0)
    took(one)
    one.receive(0.01, HERE, COOKIE)
    one.wake(0.01)
    for _ in range(20):
        with pytest.raises(ProtocolError):
            one.receive(0.01, HERE, COOKIE)
        one.wake(0.01)
    assert kinds(one) == [relay.ATTACH]


def test_without_an_answer_it_asks_four_times_and_then_seldom() -> None:
    one = leg()
    one.joined(0.0, ID)
    took(one)
    times, now = [], 0.0
    while now < 60.0:
        one.wake(now)
        times += [now] * len(kinds(one))
        assert one.deadline() is not None
        assert one.deadline() > now  # type: ignore[operator]
        now = one.deadline() or 0.0
    assert times[:4] == [0.0, *(sum(RETRY[:n]) for n in (1, 2, 3))]
    assert len(times) <= 4 * 3
    assert len(one.ways()) == 1


def test_it_is_attached_anew_all_the_time() -> None:
    one = attached()
    one.wake(0.04 + REFRESH)
    assert kinds(one) == [relay.COOKIE_REQUEST]
    one.receive(20.1, HERE, COOKIE)
    one.wake(20.1)
    assert kinds(one) == [relay.ATTACH]
    one.receive(20.2, HERE, relay.encode_attached(ID))
    assert len(one.ways()) == 2
    assert one.deadline() == pytest.approx(20.2 + REFRESH)


def test_a_relay_that_has_forgotten_us_is_no_way() -> None:
    one = attached()
    now = 20.04
    for _ in RETRY:
        one.wake(now)
        now = one.deadline() or 0.0
    one.wake(now)
    assert [way.endpoint.via for way in one.ways()] == [20]
    assert not one.gone


def test_when_the_link_is_gone_the_udp_way_lives_on() -> None:
    one = attached()
    one.link_down()
    assert [way.endpoint.via for way in one.ways()] == [21]
    now = 20.04
    for _ in range(len(RETRY) + 1):
        one.wake(now)
        now = one.deadline() or now
    assert one.gone
    assert CloseDoors((20, 21)) in took(one)


def test_when_the_link_is_gone_and_nothing_is_attached_it_is_over() -> None:
    one = leg()
    took(one)
    one.link_down()
    assert one.gone
    assert took(one) == [CloseDoors((20,))]
    assert not one.ways()
    assert one.deadline() is None


def test_a_doubted_udp_way_is_attached_again() -> None:
    one = attached()
    one.doubt(5.0)
    assert [way.endpoint.via for way in one.ways()] == [20]
    one.wake(5.0)
    assert kinds(one) == [relay.COOKIE_REQUEST]


def test_f23_an_attached_way_is_confirmed_at_once_and_stays_one() -> None:
    one = attached()
    for now in (5.0, 5.1):  # not anew while it is under way
        one.confirm(now)
        one.wake(now)
        assert len(one.ways()) == 2
    assert kinds(one) == [relay.COOKIE_REQUEST]


def test_f23_a_way_that_is_being_attached_outlives_its_link() -> None:
    one = attached()
    one.doubt(5.0)
    one.link_down()
    assert not one.gone
    one.wake(5.0)
    one.receive(5.02, HERE, COOKIE)
    one.wake(5.02)
    one.receive(5.04, HERE, relay.encode_attached(ID))
    assert [way.endpoint.via for way in one.ways()] == [21]


def test_f06_a_way_that_cannot_be_attached_and_has_no_link_is_over() -> None:
    one = attached()
    one.doubt(5.0)
    one.link_down()
    for _ in range(len(RETRY) + 1):
        now = one.deadline()
        assert now is not None
        one.wake(now)
    assert one.gone


def test_f23_all_legs_are_confirmed_when_a_path_falls_silent() -> None:
    legs, one = Legs(), attached()
    legs.add(one, None)
    legs.doubt(5.0, Endpoint("11.0.2.2", 50_000))
    legs.wake(5.0)
    assert kinds(one) == [relay.COOKIE_REQUEST]
    assert len(one.ways()) == 2


def test_giving_up_leaves_and_closes() -> None:
    one = attached()
    one.close()
    left, closed = took(one)
    assert isinstance(left, Tell)
    assert parse_from_client(left.message) == Leave(20)
    assert closed == CloseDoors((20, 21))
    one.close()
    one.left()
    assert not took(one)


def test_a_second_joined_changes_nothing() -> None:
    one = attached()
    one.joined(1.0, b"x" * 8)
    assert not took(one)
    assert len(one.ways()) == 2


def test_a_meeting_keeps_few_legs_and_the_one_in_use() -> None:
    legs, all_legs = Legs(), [leg(via=20 + 2 * n) for n in range(8)]
    in_use = SERVER._replace(via=20)
    for one in all_legs:
        legs.add(one, in_use)
        legs.drain()
    assert len(legs) == MOST
    assert all_legs[0] in list(legs)
    assert all_legs[-1] in list(legs)
    assert [way.endpoint.via for way in legs.ways()] == [34, 32, 20]


def test_a_circuit_is_lost_when_it_was_open_and_no_other_is() -> None:
    legs, first, second = Legs(), leg(via=20), leg(via=30)
    legs.add(first, None)
    first.left()
    legs.drain()
    assert not legs.lost()  # refused
    legs.add(second, None)
    second.opened()
    second.left()
    legs.drain()
    assert legs.lost()
    assert not legs.lost()
