"""The exchange when all goes well, or nobody answers: calls, routing, turns, deadlines."""

from collections.abc import Callable

import pytest

from securecp.endpoint import Burst
from securecp.transport.exchange import Exchange
from securecp.transport.wire import DATA, HELLO_A, HELLO_B, REPLY, SessionKeys
from tests.transport.handshakes import (
    ALICE,
    BOB,
    EVE,
    PARAMETERS,
    Confirming,
    World,
    give,
    identity,
    initiator,
    listener,
    only,
    pair,
    place,
    public,
    same_session,
    seeded,
)


def test_a_call_makes_one_session_with_the_same_keys() -> None:
    world, alice, bob = pair()
    world.call(alice, bob)
    world.run(1.0)
    ours, theirs = only(alice.connected).keys, only(bob.connected).keys
    assert same_session(ours, theirs)
    assert (ours.peer, theirs.peer) == (public(BOB), public(ALICE))
    assert ours.initiator
    assert not theirs.initiator
    assert ours.send_root != ours.receive_root
    assert alice.exchange.deadline() is None
    assert bob.exchange.deadline() is None


def test_one_round_trip_and_the_fewest_datagrams() -> None:
    world, alice, bob = pair()
    world.call(alice, bob)
    world.run(1.0)
    kinds = world.kinds()
    assert kinds[alice.endpoint] == [HELLO_A, HELLO_B, DATA]
    assert kinds[bob.endpoint] == [REPLY, DATA]
    lengths = [len(flight.data) for flight in world.sent[:3]]
    assert lengths == [1200, 208, 1200]


def test_the_hello_goes_out_as_one_burst() -> None:
    _, alice, bob = pair()
    alice.exchange.call(0.0, identity(BOB).public, bob.endpoint)
    burst = alice.exchange.transmit(0.0)
    assert burst is not None
    assert (len(burst.data), burst.stride, burst.endpoint) == (1408, 1200, bob.endpoint)
    assert alice.exchange.transmit(0.0) is None
    bob.exchange.receive(0.0, burst._replace(endpoint=alice.endpoint))
    reply = bob.exchange.transmit(0.0)
    assert reply is not None
    assert reply.data[0] == REPLY


def test_hellos_are_sent_again_and_then_the_call_fails() -> None:
    world = World()
    alice = world.add(ALICE)
    nobody = world.add(BOB)
    del world.nodes[nobody.endpoint]
    world.call(alice, nobody)
    world.run(20.0)
    times = [flight.at - 0.01 for flight in world.sent if flight.data[0] == HELLO_A]
    assert times == pytest.approx([0, 0.25, 0.75, 1.75, 3.75, 5.75, 7.75, 9.75])
    (failure,) = alice.failed
    assert (failure.peer, failure.endpoint) == (public(BOB), nobody.endpoint)
    assert not alice.connected
    assert alice.exchange.deadline() is None


def test_a_call_ends_at_its_own_timeout() -> None:
    world = World()
    alice, nobody = world.add(ALICE), world.add(BOB)
    del world.nodes[nobody.endpoint]
    world.call(alice, nobody, timeout=0.5)
    world.run(0.49)
    assert not alice.failed
    world.run(0.51)
    assert len(alice.failed) == 1


def test_retransmissions_are_the_same_bytes() -> None:
    world = World()
    alice, nobody = world.add(ALICE), world.add(BOB)
    del world.nodes[nobody.endpoint]
    world.call(alice, nobody)
    world.run(5.0)
    assert len({flight.data for flight in world.sent}) == 2


def test_calls_at_several_endpoints_make_one_session() -> None:
    world = World()
    alice, bob = world.add(ALICE), world.add(BOB)
    nobody = world.add(BOB, port=9)
    del world.nodes[nobody.endpoint]
    world.call(alice, nobody)
    world.call(alice, bob)
    world.run(20.0)
    assert only(alice.connected).endpoint == bob.endpoint
    assert len(bob.connected) == 1
    assert not alice.failed


def test_a_reply_from_another_address_does_not_move_the_session() -> None:
    world, alice, bob = pair()
    world.route = lambda flight: (
        [flight.__class__(flight.at, flight.number, place(99), flight.target, flight.data)]
        if flight.data[0] == REPLY
        else [flight]
    )
    world.call(alice, bob)
    world.run(1.0)
    assert only(alice.connected).endpoint == bob.endpoint


def test_sessions_take_turns_to_transmit() -> None:
    world, bob = World(), None
    bob = world.add(BOB, knows=(ALICE, EVE))
    for number in (ALICE, EVE):
        world.call(world.add(number), bob)
    world.run(1.0)
    first, second = bob.channels

    def always(channel: Confirming) -> Callable[[float], Burst | None]:
        return lambda now: channel.seal(b"more")

    for channel in (first, second):
        channel.transmit = always(channel)  # type: ignore[method-assign, assignment]
    bursts = [bob.exchange.transmit(2.0) for _ in range(6)]
    endpoints = [burst.endpoint for burst in bursts if burst is not None]
    assert len(set(endpoints[:2])) == 2
    assert endpoints == endpoints[:2] * 3


def test_closed_channels_are_forgotten() -> None:
    world, alice, bob = pair()
    world.call(alice, bob)
    world.run(1.0)
    bob.channels[0].closed = True
    bob.exchange.wake(1.0)
    before = bob.exchange.dropped
    bob.exchange.receive(1.0, alice.channels[0].seal(b"late")._replace(endpoint=alice.endpoint))
    assert bob.exchange.dropped == before + 1
    assert bob.channels[0].opened == 1


def test_a_burst_with_datagrams_of_two_sessions_reaches_both() -> None:
    world = World()
    bob, alice = world.add(BOB), world.add(ALICE)
    for _ in range(2):
        world.call(alice, bob)
        world.run(world.now + 1.0)
    first, second = alice.channels
    parts = [bytes(channel.seal(b"mixed").data) for channel in (first, second, first, second)]
    joined = memoryview(b"".join(parts))
    before = [channel.opened for channel in bob.channels]
    bob.exchange.receive(3.0, Burst(alice.endpoint, joined, len(parts[0])))
    assert [channel.opened for channel in bob.channels] == [n + 2 for n in before]


def test_a_burst_for_one_session_arrives_in_one_piece() -> None:
    world, alice, bob = pair()
    world.call(alice, bob)
    world.run(1.0)
    pieces: list[int] = []

    def receive(now: float, *bursts: Burst) -> None:
        pieces.extend(len(burst.data) for burst in bursts)

    bob.channels[0].receive = receive  # type: ignore[method-assign]
    datagram = bytes(alice.channels[0].seal(b"x" * 400).data)
    joined = datagram * 64 + datagram[:100]
    bob.exchange.receive(2.0, Burst(alice.endpoint, memoryview(joined), len(datagram)))
    assert pieces == [len(joined)]


def test_bursts_for_one_session_arrive_together_and_others_apart() -> None:
    world = World()
    bob, alice = world.add(BOB), world.add(ALICE)
    for _ in range(2):
        world.call(alice, bob)
        world.run(world.now + 1.0)
    calls: list[tuple[int, int]] = []
    for number, channel in enumerate(bob.channels):

        def receive(now: float, *bursts: Burst, number: int = number) -> None:
            calls.append((number, len(bursts)))

        channel.receive = receive  # type: ignore[method-assign]
    ours, others = (
        channel.seal(b"x")._replace(endpoint=alice.endpoint) for channel in alice.channels
    )
    bob.exchange.receive(3.0, ours, ours, ours)
    bob.exchange.receive(3.0, ours, others, ours)
    bob.exchange.receive(3.0, ours, Burst(alice.endpoint, memoryview(b"?"), 1))
    assert calls == [(0, 3), (0, 1), (1, 1), (0, 1), (0, 1)]


def test_own_key_cannot_be_called() -> None:
    world = World()
    alice = world.add(ALICE)
    with pytest.raises(ValueError, match="own"):
        alice.exchange.call(0.0, identity(ALICE).public, place(7))


def test_dg08_an_index_in_use_is_drawn_again() -> None:
    draws = iter([b"\0\0\0\1", b"\0\0\0\1", b"\0\0\0\1", b"\0\0\0\2"])
    other = seeded("rest")

    def entropy(n: int) -> bytes:
        return next(draws) if n == 4 else other(n)

    def connect(keys: SessionKeys, endpoint: object, now: float) -> Confirming:
        raise AssertionError

    exchange = Exchange(identity(ALICE), lambda _: True, connect, entropy, PARAMETERS)
    exchange.call(0.0, identity(BOB).public, place(1))
    exchange.call(0.0, identity(EVE).public, place(2))
    bursts = [exchange.transmit(0.0), exchange.transmit(0.0)]
    indices = [bytes(burst.data[4:8]) for burst in bursts if burst is not None]
    assert indices == [b"\0\0\0\1", b"\0\0\0\2"]


def test_dg08_the_responder_draws_again_too_for_calls_half_open_and_sessions() -> None:
    world = World()
    bob = world.add(BOB, knows=(ALICE, EVE))
    alice, eve = world.add(ALICE), world.add(EVE)
    world.call(alice, bob)
    world.run(1.0)
    taken = only(bob.connected).keys.our_index.to_bytes(4, "big")
    draws = iter([taken, taken, b"\7\7\7\7"])
    other = seeded("rest")
    bob.exchange._entropy = lambda n: next(draws) if n == 4 else other(n)
    world.call(eve, bob)
    world.run(2.0)
    assert bob.connected[1].keys.our_index == 0x07070707


def test_dg08_half_open_handshakes_share_no_index() -> None:
    node = listener((ALICE, EVE))
    draws = iter([b"\7\7\7\7", b"\7\7\7\7", b"\7\7\7\7", b"\1\1\1\1"])
    other = seeded("rest")
    for caller in (ALICE, EVE):
        hello_a, hello_b = initiator(caller).hello()
        give(node, place(caller), hello_a, 0.0)
        node.exchange._entropy = lambda n: next(draws) if n == 4 else other(n)
        (reply,) = give(node, place(caller), hello_b, 0.0)
        assert reply[4:8] == (b"\7\7\7\7" if caller == ALICE else b"\1\1\1\1")


def test_a_caller_is_connected_by_authentic_data_only() -> None:
    world, alice, bob = pair()
    world.route = lambda flight: [] if flight.data[0] == DATA else [flight]
    world.call(alice, bob)
    world.run(0.1)
    index = alice.channels[0].index.to_bytes(4, "big")
    forged = bytes([DATA, 0, 0, 0]) + index + bytes(40)
    assert give(alice, bob.endpoint, forged, 0.1) == []
    assert not alice.exchange.events()


def test_a_call_is_answered_by_the_reply_and_connected_by_data() -> None:
    world, alice, bob = pair()
    world.call(alice, bob)
    world.run(0.025)
    assert [event.keys.peer for event in alice.answered] == [bytes(identity(BOB).public)]
    assert not alice.connected
    world.run(1.0)
    assert only(alice.connected).channel is alice.answered[0].channel
    assert not bob.answered, "who is called has heard the caller, or knows nothing"


def test_after_hanging_up_nothing_is_said_and_nothing_is_heard() -> None:
    for moment in (0.0, 0.015, 0.025):
        world, alice, bob = pair(seed=moment)
        world.call(alice, bob)
        world.run(moment)
        alice.exchange.hang_up()
        sent = len(world.sent)
        world.run(20.0)
        from_alice = [flight for flight in world.sent[sent:] if flight.source == alice.endpoint]
        assert not from_alice and not alice.connected and not alice.failed
        assert not alice.exchange.deadline()


def test_hanging_up_leaves_sessions_alone() -> None:
    world, alice, bob = pair()
    world.call(alice, bob)
    world.run(1.0)
    alice.exchange.hang_up()
    assert alice.exchange._sessions
