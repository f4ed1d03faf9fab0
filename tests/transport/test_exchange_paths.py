"""Calls that move, calls that belong to a rendezvous session, and what is not ours at all."""

import pytest

from securecp.endpoint import Burst, Endpoint
from securecp.errors import ProtocolError
from securecp.transport.cookie import MAC_LENGTH, Gate, Proof, mac1_key, open_cookie, with_macs
from securecp.transport.halfopen import BUSY_NETWORK
from securecp.transport.wire import COOKIE, DATA, HEADER
from tests.transport.handshakes import ALICE, BOB, World, identity, initiator, place, public, seeded

SESSION = bytes(range(16))


# the rendezvous session


def test_hs09_the_session_id_is_known_to_both_sides_and_in_the_hash() -> None:
    marks, hashes = set(), set()
    for session_id in (SESSION, SESSION, SESSION[::-1]):
        world = World()
        alice, bob = world.add(ALICE), world.add(BOB)
        alice.called.add(bob.endpoint)
        alice.exchange.call(0.0, identity(BOB).public, bob.endpoint, session_id=session_id)
        world.run(3.0)
        (ours,), (theirs,) = alice.connected, bob.connected
        assert ours.keys.mark == theirs.keys.mark == session_id[:12]
        assert ours.keys.hash == theirs.keys.hash
        marks.add(ours.keys.mark)
        hashes.add(ours.keys.hash)
    assert len(marks) == 2
    assert len(hashes) >= 2


def test_hs09_without_a_session_the_mark_is_random() -> None:
    world = World()
    alice, bob = world.add(ALICE), world.add(BOB)
    world.call(alice, bob)
    world.run(3.0)
    (ours,), (theirs,) = alice.connected, bob.connected
    assert ours.keys.mark == theirs.keys.mark
    assert len(set(ours.keys.mark)) > 3


# calls that move


def test_a_call_that_nobody_answers_goes_on_elsewhere() -> None:
    world = World()
    alice, bob = world.add(ALICE), world.add(BOB)
    nowhere = place(77)
    alice.called |= {nowhere, bob.endpoint}
    alice.exchange.call(0.0, identity(BOB).public, nowhere, session_id=SESSION)
    world.drain(alice)
    world.run(1.0)
    alice.exchange.move_call(1.0, identity(BOB).public, bob.endpoint)
    world.drain(alice)
    world.run(1.1)
    (event,) = alice.connected
    assert event.endpoint == bob.endpoint
    assert event.keys.mark == SESSION[:12]


def test_only_the_call_that_is_named_moves() -> None:
    world = World()
    alice, bob = world.add(ALICE), world.add(BOB)
    for number in (77, 78):
        alice.exchange.call(0.0, identity(BOB).public, place(number))
    alice.exchange.move_call(0.0, identity(BOB).public, bob.endpoint, old=place(78))
    endpoints = {call.endpoint for call in alice.exchange._calls.values()}
    assert endpoints == {place(77), bob.endpoint}
    alice.exchange.move_call(0.0, identity(ALICE).public, place(79))
    assert {call.endpoint for call in alice.exchange._calls.values()} == endpoints


def test_the_end_of_a_call_does_not_move() -> None:
    world = World()
    alice = world.add(ALICE)
    alice.called |= {place(77), place(78)}
    alice.exchange.call(0.0, identity(BOB).public, place(77), timeout=2.0)
    world.drain(alice)
    alice.exchange.move_call(1.9, identity(BOB).public, place(78))
    world.run(2.5)
    (failed,) = alice.failed
    assert failed.endpoint == place(78)


def test_hs01_a_late_cookie_of_the_former_endpoint_is_not_used() -> None:
    """It would prove nothing there, and whoever shows a wrong one is answered by nobody."""
    world = World()
    alice = world.add(ALICE)
    alice.exchange.call(0.0, identity(BOB).public, place(77))
    (call,) = alice.exchange._calls.values()
    hello = call.hello(0.0)
    assert hello is not None
    cookie = Gate(public(BOB), seeded("gate")).make_cookie(0.0, place(ALICE), 1, hello[:1200])
    alice.exchange.move_call(0.1, identity(BOB).public, place(78))
    assert call.hello(0.1) is not None
    with pytest.raises(ProtocolError):
        call.take_cookie(0.2, place(77), cookie)
    call.take_cookie(0.2, place(78), cookie)


def test_hs01_a_cookie_is_for_one_door() -> None:
    """Behind a relay many share one address."""
    gate, here = Gate(public(BOB), seeded("gate")), place(ALICE)
    call = initiator()
    hello, _ = call.hello()
    relayed = here._replace(via=7)
    sealed = gate.make_cookie(0.0, relayed, 1, hello)
    cookie = open_cookie(sealed, public(BOB), hello[-MAC_LENGTH:])
    proved = with_macs(hello[: -2 * MAC_LENGTH], mac1_key(public(BOB)), cookie)
    assert gate.proof(0.0, relayed, proved) is Proof.RIGHT
    assert gate.proof(0.0, here, proved) is Proof.WRONG
    assert gate.proof(0.0, here._replace(via=8), proved) is Proof.WRONG


def test_hs01_callers_of_one_address_count_together_whatever_the_door() -> None:
    world = World()
    bob = world.add(BOB)
    for number in range(BUSY_NETWORK + 1):
        source = Endpoint("10.9.9.9", 4_400, via=number)
        hello, _ = initiator(seed=number, index=number + 1).hello()
        bob.exchange.receive(0.0, Burst(source, memoryview(hello), len(hello)))
    answers = []
    while (burst := bob.exchange.transmit(0.0)) is not None:
        answers.append((burst.endpoint, bytes(burst.data)))
    assert [(endpoint.via, data[0]) for endpoint, data in answers] == [(BUSY_NETWORK, COOKIE)]


def test_a_reply_leaves_by_the_door_that_its_call_came_through() -> None:
    world = World()
    bob = world.add(BOB)
    for via in (0, 5):
        source = Endpoint("10.9.9.9", 4_400, via=via)
        for hello in initiator().hello():
            bob.exchange.receive(0.0, Burst(source, memoryview(hello), len(hello)))
    vias = []
    while (burst := bob.exchange.transmit(0.0)) is not None:
        vias.append(burst.endpoint.via)
    assert vias == [0, 5]


# other protocols


def test_other_protocols_get_their_datagrams_one_by_one() -> None:
    got: list[tuple[float, Endpoint, bytes]] = []
    world = World()
    node = world.add(
        BOB, other=lambda now, burst: got.append((now, burst.endpoint, bytes(burst.data)))
    )
    source = place(9)
    for first in range(256):
        data = bytes([first]) + bytes(67)
        node.exchange.receive(1.0, Burst(source, memoryview(data), len(data)))
    assert [data[0] for _, _, data in got] == [*range(0x40), *range(0x60, 0x80)]
    assert {(now, endpoint, len(data)) for now, endpoint, data in got} == {(1.0, source, 68)}
    assert node.exchange.dropped == 256 - len(got)


@pytest.mark.parametrize("place_of_probe", [0, 1, 2])
def test_a_probe_beside_data_in_one_read_is_found(place_of_probe: int) -> None:
    got: list[bytes] = []
    world = World()
    alice = world.add(ALICE)
    bob = world.add(BOB, other=lambda _now, burst: got.append(bytes(burst.data)))
    world.call(alice, bob)
    world.run(3.0)
    (channel,) = [event.channel for event in bob.connected]
    (sender,) = [event.channel for event in alice.connected]
    before = channel.opened
    pieces = [bytes(sender.seal(b"x" * 36).data) for _ in range(2)]
    assert len(pieces[0]) == 68
    pieces.insert(place_of_probe, bytes([0x60]) + bytes(67))
    bob.exchange.receive(3.0, Burst(alice.endpoint, memoryview(b"".join(pieces)), 68))
    assert [data[0] for data in got] == [0x60]
    assert channel.opened == before + 2


def test_an_error_of_another_protocol_is_a_datagram_dropped() -> None:
    def refuse(_now: float, _burst: Burst) -> None:
        raise ProtocolError("no")

    node = World().add(BOB, other=refuse)
    node.exchange.receive(0.0, Burst(place(9), memoryview(bytes(20)), 20))
    assert node.exchange.dropped == 1


def test_without_another_protocol_they_are_dropped() -> None:
    node = World().add(BOB)
    head = HEADER.pack(DATA + 0x10, 0, 0, 1, 1)
    node.exchange.receive(0.0, Burst(place(9), memoryview(head), len(head)))
    assert node.exchange.dropped == 1
