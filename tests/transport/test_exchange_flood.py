"""The called side under load: gates, caps, cookies (HS-01)."""

from unittest import mock

import pytest

from securecp.endpoint import Endpoint
from securecp.transport import reception
from securecp.transport.calls import Call
from securecp.transport.cookie import COOKIE_LIFE, Gate, mac1_key, open_cookie, with_macs
from securecp.transport.halfopen import (
    BUSY,
    BUSY_NETWORK,
    HALF_OPEN,
    HALF_OPEN_LIFE,
    HALF_OPEN_PER_NETWORK,
)
from securecp.transport.handshake import Responder
from securecp.transport.load import HELLOS_PER_SECOND, TRIES_PER_SECOND
from securecp.transport.wire import COOKIE, HELLO_A, REPLY
from tests.transport.handshakes import (
    ALICE,
    BOB,
    EVE,
    Node,
    World,
    give,
    initiator,
    listener,
    only,
    pair,
    place,
    public,
    same_session,
    seeded,
    silent,
    with_new_mac1,
)


def flood(node: Node, number: int, *, now: float, spoofed: bool = True) -> list[bytes]:
    """HELLO-A datagrams with a right mac1 and nothing else right."""
    hello_a, _ = initiator(EVE).hello()
    sent = []
    for i in range(number):
        noise = i.to_bytes(4, "big")
        datagram = with_new_mac1(hello_a[:4] + noise + hello_a[8:], BOB)
        sent += give(node, place(i if spoofed else 1), datagram, now)
    return sent


def test_hs01_garbage_costs_no_exchange_and_is_no_load() -> None:
    node = listener()
    hello_a, hello_b = initiator().hello()
    with mock.patch.object(reception, "Responder", side_effect=AssertionError):
        for i in range(1000):
            assert silent(node, place(i), hello_a[:-1] + bytes([hello_a[-1] ^ 1]))
    give(node, place(1), hello_a, 0.0)
    (reply,) = give(node, place(1), hello_b, 0.0)
    assert reply[0] == REPLY


def test_hs01_a_flood_is_computed_up_to_the_threshold_and_then_gets_cookies() -> None:
    node = listener()
    with mock.patch.object(reception, "Responder", side_effect=Responder) as computed:
        sent = flood(node, 1000, now=10.0)
    assert computed.call_count == HELLOS_PER_SECOND
    assert {datagram[0] for datagram in sent} == {COOKIE}
    assert len(sent) == 1000 - HELLOS_PER_SECOND
    assert node.exchange.deadline() is None, "nothing is kept of any"


def test_hs01_under_load_a_caller_with_a_cookie_gets_through() -> None:
    world, alice, node = pair()
    world.run(10.0)
    flood(node, 1000, now=10.0)
    world.call(alice, node)
    world.run(11.0)
    assert same_session(only(alice.connected).keys, only(node.connected).keys)
    assert COOKIE in world.kinds()[node.endpoint]
    hellos = [f.at for f in world.sent if f.data[0] == HELLO_A]
    assert hellos == pytest.approx([10.01, 10.03]), "at once, in one more round trip"


def test_hs01_without_the_right_cookie_under_load_nothing_but_a_cookie() -> None:
    node = listener()
    flood(node, 1000, now=10.0)
    call = initiator()
    for cookie in (None, bytes(16), b"\1" * 16):
        hello_a, hello_b = call.hello(cookie)
        (answer,) = give(node, place(1), hello_a, 10.0)
        assert answer[0] == COOKIE
        assert silent(node, place(1), hello_b, 10.0), "no half-open handshake, no cookie"
    assert node.exchange.deadline() is None
    # A cookie for another endpoint is none.
    hello_a, _ = call.hello()
    (answer,) = give(node, place(2), hello_a, 10.0)
    stolen = open_cookie(answer, public(BOB), hello_a[-16:])
    (answer,) = give(node, place(1), call.hello(stolen)[0], 10.0)
    assert answer[0] == COOKIE


def test_hs01_hello_b_needs_the_cookie_too() -> None:
    node = listener()
    hello_a, hello_b = initiator().hello()
    give(node, place(1), hello_a, 10.0)
    flood(node, 1000, now=10.0)
    (answer,) = give(node, place(1), hello_b, 10.0)
    assert answer[0] == COOKIE


def test_hs01_one_network_with_cookies_gets_few_tries() -> None:
    node = listener()
    flood(node, 1000, now=10.0)
    with mock.patch.object(reception, "Responder", side_effect=Responder) as computed:
        for i in range(3 * TRIES_PER_SECOND):
            call = initiator(EVE, seed=0, index=i)
            hello_a, _ = call.hello()
            (answer,) = give(node, place(1, port=i + 1), hello_a, 10.0)
            cookie = open_cookie(answer, public(BOB), hello_a[-16:])
            assert silent(node, place(1, port=i + 1), call.hello(cookie)[0], 10.0)
    assert computed.call_count == TRIES_PER_SECOND


def test_without_load_a_wrong_cookie_is_silence_and_a_right_one_is_fine() -> None:
    """An answer would tell anyone who knows our public key that we are here."""
    node = listener()
    call = initiator()
    assert silent(node, place(1), call.hello(b"\1" * 16)[0])
    guard = node.exchange._gate
    hello_a, _ = call.hello()
    cookie = open_cookie(guard.make_cookie(0.0, place(1), 1, hello_a), public(BOB), hello_a[-16:])
    hello_a, hello_b = call.hello(cookie)
    assert give(node, place(1), hello_a, 0.0) == []
    assert give(node, place(1), hello_b, 0.0)[0][0] == REPLY


def half_open(node: Node, source: Endpoint, now: float) -> bool:
    """Open one handshake of Alice's from `source`, with a cookie if asked; whether it worked."""
    hello_a, _ = CALL.hello()
    before = len(node.exchange._half_open)
    answer = give(node, source, hello_a, now)
    if answer:
        cookie = open_cookie(answer[0], public(BOB), hello_a[-16:])
        give(node, source, CALL.hello(cookie)[0], now)
    return len(node.exchange._half_open) == before + 1


CALL = initiator(seed="half open", index=5)


def test_hs01_hs17_at_most_8_half_open_of_one_network() -> None:
    node = listener()
    opened = [half_open(node, place(1, port=i + 1), 0.0) for i in range(20)]
    assert sum(opened) == HALF_OPEN_PER_NETWORK
    assert half_open(node, place(2), 0.0), "others are not affected"


def test_hs01_hs17_at_most_256_half_open_in_all_and_they_expire() -> None:
    node = listener()
    opened = [half_open(node, place(i), 1.0) for i in range(HALF_OPEN + 20)]
    assert sum(opened) == HALF_OPEN
    assert not half_open(node, place(999), 1.0 + HALF_OPEN_LIFE - 0.01)
    assert node.exchange.deadline() == 1.0 + HALF_OPEN_LIFE
    node.exchange.wake(1.0 + HALF_OPEN_LIFE)
    assert node.exchange.deadline() is None
    assert half_open(node, place(999), 1.0 + HALF_OPEN_LIFE)


def test_hs17_newcomers_find_room_before_the_next_wake() -> None:
    node = listener()
    assert half_open(node, place(1), 0.0)
    hello_a, _ = CALL.hello()
    give(node, place(2), hello_a, HALF_OPEN_LIFE)
    assert [half.endpoint for half in node.exchange._half_open] == [place(2)]


def test_a_cookie_is_used_for_120_seconds() -> None:
    call = Call(0.0, initiator(), place(BOB), ends_at=1000.0)
    hello = call.hello(0.0)
    assert hello is not None
    gate = Gate(public(BOB), seeded("gate"))
    call.take_cookie(1.0, place(BOB), gate.make_cookie(1.0, place(ALICE), 1, hello[:1200]))
    for now, used in ((1.0, True), (1.0 + COOKIE_LIFE - 0.1, True), (1.0 + COOKIE_LIFE, False)):
        call._next_at = now
        hello = call.hello(now)
        assert hello is not None
        assert any(hello[1168:1184]) is used


def test_hs01_many_half_open_handshakes_ask_newcomers_for_a_cookie() -> None:
    hello_a, _ = CALL.hello()
    node = listener()
    for i in range(BUSY):
        assert give(node, place(i), hello_a, i * 0.05) == []
    (answer,) = give(node, place(500), hello_a, BUSY * 0.05)
    assert answer[0] == COOKIE
    node = listener()
    for i in range(BUSY_NETWORK):
        assert give(node, place(1, port=i + 1), hello_a, 0.0) == []
    (answer,) = give(node, place(1, port=100), hello_a, 0.0)
    assert answer[0] == COOKIE
    assert give(node, place(2), hello_a, 0.0) == []


def test_dg05_cookies_are_shorter_than_what_they_answer() -> None:
    node = listener()
    hello_a, hello_b = initiator().hello()
    give(node, place(1), hello_a, 10.0)
    flood(node, 300, now=10.0)
    answers = [give(node, place(1), hello_b, 10.0) for _ in range(20)]
    assert all(len(answer) <= len(hello_b) for (answer,) in answers)


def test_the_first_cookie_hastens_the_call_and_later_ones_do_not() -> None:
    world = World()
    alice, called = world.add(ALICE), world.add(BOB)
    del world.nodes[called.endpoint]
    world.call(alice, called)
    gate = called.exchange._gate
    hellos = 0
    for i in range(5):
        hello_a = next(f.data for f in reversed(world.sent) if f.data[0] == HELLO_A)
        index = int.from_bytes(hello_a[4:8])
        world.put(
            called.endpoint, alice.endpoint, gate.make_cookie(0.0, alice.endpoint, index, hello_a)
        )
        world.run(0.02 * (i + 1))
        hellos = sum(f.data[0] == HELLO_A for f in world.sent)
    assert hellos == 2


def test_a_cookie_for_no_call_is_silence() -> None:
    node = listener()
    hello_a = with_macs(bytes(176), mac1_key(public(BOB)), None)
    datagram = node.exchange._gate.make_cookie(0.0, place(1), 1, hello_a)
    assert silent(node, place(1), datagram)
