"""The called side against strangers, recordings and those who sit on the way."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from unittest import mock

from keys.identity import Identity
from securecp.endpoint import Burst
from securecp.transport.exchange import SILENCE
from securecp.transport.halfopen import (
    HALF_OPEN_LIFE,
    REPLY_LIFE,
)
from securecp.transport.wire import DATA, HELLO_A, HELLO_B, REPLY, SessionKeys
from tests.transport.handshakes import (
    ALICE,
    BOB,
    EVE,
    Confirming,
    Node,
    World,
    give,
    initiator,
    listener,
    only,
    pair,
    place,
    silent,
    with_new_mac1,
)


def test_hs07_an_unknown_caller_gets_the_silence_that_garbage_gets() -> None:
    node = listener(knows=(ALICE,))
    for datagram in initiator(EVE).hello():
        assert silent(node, place(EVE), datagram)
        assert silent(node, place(EVE), bytes([datagram[0]]) + bytes(len(datagram) - 1))
    assert node.exchange.deadline() is None, "nothing is kept"


def test_hs07_known_and_unknown_callers_cost_the_same_exchanges() -> None:
    """One code path: the contacts are asked only when all the computing is done."""
    counts = []
    for caller in (ALICE, EVE):
        node = listener()
        hello_a, _ = initiator(caller).hello()
        with mock.patch.object(
            Identity, "exchange", autospec=True, side_effect=Identity.exchange
        ) as exchange:
            give(node, place(1), hello_a, 0.0)
            counts.append(exchange.call_count)
    assert counts == [2, 2]


def test_hs06_another_key_at_the_endpoint_gets_and_gives_nothing() -> None:
    """Alice means Bob, Eve sits there: not a byte that Eve can open, and the call fails."""
    world = World()
    alice = world.add(ALICE)
    eve = world.add(EVE)
    world.nodes[place(BOB)] = eve
    world.call(alice, Node(eve.exchange, place(BOB), BOB))
    world.run(20.0)
    assert len(alice.failed) == 1
    assert not alice.connected
    assert not eve.connected
    assert not eve.channels
    assert {flight.data[0] for flight in world.sent} == {HELLO_A, HELLO_B}


def test_hs06_a_reply_made_with_another_key_is_dropped() -> None:
    """Eve even knows what was called: she answers a HELLO made for her in Bob's place."""
    world = World()
    alice, eve = world.add(ALICE, knows=(BOB, EVE)), world.add(EVE)
    world.call(alice, world.add(BOB))
    theirs = [flight.data for flight in world.sent[:2]]
    world.nodes.clear()
    _, to_eve = World(), initiator(ALICE, EVE, index=int.from_bytes(theirs[0][4:8]))
    (reply,) = itertools.chain(*(give(eve, alice.endpoint, d, 0.0) for d in to_eve.hello()))
    assert reply[0] == REPLY
    assert silent(alice, place(BOB), reply)


def test_hs08_our_own_hello_coming_back_is_silence() -> None:
    world = World()
    alice = world.add(ALICE, knows=(ALICE, BOB))
    world.call(alice, world.add(BOB))
    for flight in world.sent:
        assert silent(alice, place(BOB), flight.data)
        assert silent(alice, place(BOB), with_new_mac1(flight.data, ALICE))


def test_hs08_our_own_key_is_refused_as_a_caller_even_if_it_is_a_contact() -> None:
    node = World().add(ALICE, knows=(ALICE,))
    hello_a, hello_b = initiator(ALICE, ALICE).hello()
    assert silent(node, place(9), hello_a)
    assert silent(node, place(9), hello_b)


def test_hs08_a_reply_reflected_to_its_sender_is_silence() -> None:
    world, alice, node = pair()
    world.call(alice, node)
    world.run(1.0)
    (reply,) = [flight.data for flight in world.sent if flight.data[0] == REPLY]
    assert silent(node, alice.endpoint, reply, 1.0)
    assert silent(node, alice.endpoint, with_new_mac1(reply, BOB), 1.0)


def test_hs02_a_recorded_call_leads_to_a_half_open_handshake_and_no_further() -> None:
    """Replayed during and after the session, from the same place and from another."""
    world, alice, node = pair()
    world.call(alice, node)
    world.run(1.0)
    recorded = [flight.data for flight in world.sent]
    session = only(node.connected)
    for replay_at, source in ((2.0, place(77)), (3.0, alice.endpoint), (30.0, place(78))):
        world.run(replay_at)
        made = len(node.channels)
        for datagram in recorded:
            world.put(source, node.endpoint, datagram)
        world.run(replay_at + 1.0)
        assert len(node.connected) == 1
        assert len(node.channels) == made
        world.run(replay_at + HALF_OPEN_LIFE + 1.0)
        assert node.exchange.deadline() is None
    data = alice.channels[0].seal(b"still here")
    opened = session.channel.opened
    node.exchange.receive(world.now, data._replace(endpoint=alice.endpoint))
    assert session.channel.opened == opened + 1, "the live session was not displaced"


def test_hs02_a_recorded_first_data_does_not_confirm_a_replayed_call() -> None:
    world, alice, node = pair()
    world.call(alice, node)
    world.run(1.0)
    hello_a, hello_b, _, data, *_ = [flight.data for flight in world.sent]
    fresh = World().add(BOB, seed="restarted")
    give(fresh, alice.endpoint, hello_a, 0.0)
    (reply,) = give(fresh, alice.endpoint, hello_b, 0.0)
    assert silent(fresh, alice.endpoint, data)
    edited = data[:4] + reply[4:8] + data[8:]
    assert silent(fresh, alice.endpoint, edited)
    assert not fresh.channels[0].established


def test_hs02_hs03_the_contacts_are_asked_and_nothing_else_is_called() -> None:
    """The whole of what a HELLO may do to the program: one question, no channel, no event."""
    node = listener()
    hello_a, hello_b = initiator().hello()
    give(node, place(1), hello_a, 0.0)
    give(node, place(1), hello_b, 0.0)
    assert not node.channels
    assert not node.exchange.events()


def test_hs17_a_half_open_handshake_lives_5_seconds_whatever_comes() -> None:
    node = listener()
    hello_a, hello_b = initiator().hello()
    give(node, place(1), hello_a, 0.0)
    (reply,) = give(node, place(1), hello_b, 0.0)
    for step in range(1, 100):
        give(node, place(1), hello_a, step * 0.04)
        give(node, place(1), hello_b, step * 0.04)
        assert node.exchange.deadline() == HALF_OPEN_LIFE
    node.exchange.wake(HALF_OPEN_LIFE)
    assert node.exchange.deadline() is None
    late = bytes([DATA]) + bytes(3) + reply[4:8] + bytes(40)
    assert silent(node, place(1), late, HALF_OPEN_LIFE)


def test_hs17_confirmation_after_expiry_is_silence_even_before_wake() -> None:
    node = listener()
    call = initiator()
    hello_a, hello_b = call.hello()
    give(node, place(1), hello_a, 0.0)
    (reply,) = give(node, place(1), hello_b, 0.0)
    channel = confirming(call.read_reply(reply))
    data = bytes(channel(b"ping").data)
    assert silent(node, place(1), data, HALF_OPEN_LIFE)
    assert not node.channels
    assert give(node, place(1), data, HALF_OPEN_LIFE - 0.01), "in time it is a session"


def confirming(keys: SessionKeys) -> Callable[[bytes], Burst]:
    return Confirming(keys, place(1), 0.0).seal


def test_hs17_no_reply_is_sent_that_could_not_be_used_in_time() -> None:
    node = listener()
    hello_a, hello_b = initiator().hello()
    give(node, place(1), hello_a, 0.0)
    assert give(node, place(1), hello_b, REPLY_LIFE - 0.01)
    for datagram in (hello_a, hello_b):
        assert give(node, place(1), datagram, REPLY_LIFE) == []
    other = listener()
    give(other, place(1), hello_a, 0.0)
    assert silent(other, place(1), hello_b, REPLY_LIFE), "nor a first one"


def test_dg05_never_more_bytes_out_than_in() -> None:
    """HELLO-B alone, again and again, from a spoofed source."""
    node = listener()
    hello_a, hello_b = initiator().hello()
    took, gave = len(hello_a), 0
    give(node, place(1), hello_a, 0.0)
    for i in range(40):
        took += len(hello_b)
        gave += sum(map(len, give(node, place(1), hello_b, i * 0.01)))
        assert gave <= took
    assert gave >= 1200


def test_dg05_a_lone_hello_b_is_silence() -> None:
    node = listener()
    _, hello_b = initiator().hello()
    assert silent(node, place(1), hello_b)


def test_every_retransmission_gets_the_same_reply_once() -> None:
    node = listener()
    hello_a, hello_b = initiator().hello()
    replies = []
    for i in range(4):
        sent = give(node, place(1), hello_a, i * 0.2) + give(node, place(1), hello_b, i * 0.2)
        assert len(sent) == 1
        replies += sent
    assert len(set(replies)) == 1


def flipped(datagram: bytes, bits: Iterable[int]) -> Iterator[bytes]:
    for i in bits:
        edited = bytearray(datagram)
        edited[i // 8] ^= 1 << i % 8
        yield bytes(edited)


def test_hs11_every_flip_of_every_handshake_datagram_is_the_same_silence() -> None:
    """All bits of all four, as they come from the network, and then all is well."""
    world = World()
    alice, node = world.add(ALICE), world.add(BOB)
    world.call(alice, node)
    hello_a, hello_b = (flight.data for flight in world.sent)
    index = int.from_bytes(hello_a[4:8])
    cookie = node.exchange._gate.make_cookie(0.0, alice.endpoint, index, hello_a)
    for edited in flipped(hello_a, range(1200 * 8)):
        assert silent(node, alice.endpoint, edited)
    assert give(node, alice.endpoint, hello_a, 0.0) == []
    for edited in flipped(hello_b, range(208 * 8)):
        assert silent(node, alice.endpoint, edited)
    (reply,) = give(node, alice.endpoint, hello_b, 0.0)
    for edited in itertools.chain(flipped(reply, range(1200 * 8)), flipped(cookie, range(52 * 8))):
        assert silent(alice, node.endpoint, edited)
    (data,) = give(alice, node.endpoint, reply, 0.0)
    assert give(node, alice.endpoint, data, 0.0)
    assert [event.__class__.__name__ for event in node.exchange.events()] == ["Connected"]


def test_hs11_every_flip_of_mac2_is_silence_behind_mac1() -> None:
    node = listener()
    hello_a, hello_b = initiator().hello()
    for i, edited in enumerate(flipped(hello_a, range(1168 * 8, 1184 * 8))):
        # Not all at once: that would be load, and a cookie the answer.
        assert silent(node, place(1), with_new_mac1(edited, BOB), i * 0.02)
    give(node, place(1), hello_a, 5.0)
    for edited in flipped(hello_b, range(176 * 8, 192 * 8)):
        assert silent(node, place(1), with_new_mac1(edited, BOB), 5.0)
    assert give(node, place(1), hello_b, 5.0)


def test_hs12_a_forged_head_of_e1_does_not_shut_out_the_true_one() -> None:
    """Eve on the way sends HELLO-A first, edited where only HELLO-B can tell."""
    node = listener()
    hello_a, hello_b = initiator().hello()
    edited = bytearray(hello_a)
    edited[500] ^= 1
    give(node, place(1), with_new_mac1(bytes(edited), BOB), 0.0)
    assert silent(node, place(1), hello_b)
    give(node, place(1), hello_a, 0.25)
    (reply,) = give(node, place(1), hello_b, 0.25)
    assert reply[0] == REPLY
    assert silent(node, place(1), with_new_mac1(bytes(edited), BOB), 0.3), "answered: no more"


def test_hs12_hello_b_of_another_endpoint_or_call_is_silence() -> None:
    node = listener()
    hello_a, hello_b = initiator().hello()
    other_a, other_b = initiator(seed="other", index=9).hello()
    give(node, place(1), hello_a, 0.0)
    give(node, place(1), other_a, 0.0)
    assert silent(node, place(2), hello_b)
    spliced = with_new_mac1(hello_b[:8] + other_b[8:], BOB)
    assert silent(node, place(1), spliced)
    assert give(node, place(1), hello_b, 0.0)[0][0] == REPLY
    assert silent(node, place(1), spliced)


def test_a_contact_with_four_sessions_is_not_answered() -> None:
    world, alice, node = pair()
    for _ in range(4):
        world.call(alice, node)
        world.run(world.now + 2.0)
    hello_a, _ = initiator(seed="fifth").hello()
    assert silent(node, place(9), hello_a, world.now)
    assert node.exchange.deadline() is None


def test_of_many_calls_answered_at_once_four_are_confirmed() -> None:
    node = listener()
    confirmations = []
    for i in range(6):
        call = initiator(seed=i, index=i)
        source = place(i)
        hello_a, hello_b = call.hello()
        give(node, source, hello_a, 0.0)
        (reply,) = give(node, source, hello_b, 0.0)
        confirmations.append((source, bytes(confirming(call.read_reply(reply))(b"ping").data)))
    answered = [bool(give(node, source, data, 0.1)) for source, data in confirmations]
    assert answered == [True] * 4 + [False] * 2
    assert len(node.exchange.events()) == 4


def test_a_contact_has_at_most_four_sessions() -> None:
    world, alice, node = pair()
    for i in range(6):
        world.call(alice, node, timeout=2.0)
        world.run(world.now + 2.5)
        assert len(node.connected) == min(i + 1, 4)
    assert len(alice.failed) == 2
    node.channels[0].closed = True
    world.call(alice, node)
    world.run(world.now + 1.0)
    assert len(node.connected) == 5


def test_tr19_of_four_sessions_the_most_silent_one_gives_way() -> None:
    """Their program was killed, again and again: its sessions must not shut it out."""
    world, alice, node = pair()
    for _ in range(4):
        world.call(alice, node)
        world.run(world.now + 1.0)
    silent_one, *others = node.channels
    for channel in others:
        channel.heard_at = world.now + SILENCE
    world.run(world.now + SILENCE)
    world.call(alice, node)
    world.run(world.now + 1.0)
    assert len(node.connected) == 5
    assert silent_one.closed
    assert not any(channel.closed for channel in others)


def test_answers_wait_in_a_short_queue() -> None:
    node = listener()
    hello_a, hello_b = initiator().hello()
    for i in range(20):
        for datagram in (hello_a, hello_b):
            burst = Burst(place(i), memoryview(datagram), len(datagram))
            node.exchange.receive(0.0, burst)
    sent = 0
    while node.exchange.transmit(0.0) is not None:
        sent += 1
    assert sent == 8
