"""Both call at once (HS-13): one session, whatever the network does with the datagrams."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from unittest import mock

from keys.identity import Identity
from securecp.noise import state as noise
from securecp.noise.keypairs import Entropy, KeyPair, MlKem768
from securecp.transport.wire import DATA
from tests.transport.handshakes import (
    ALICE,
    BOB,
    Flight,
    Node,
    World,
    only,
    pair,
    place,
    same_session,
)


def one_session(alice: Node, bob: Node) -> bool:
    """Whether both have announced the same session and nothing else; who called in it."""
    ours, theirs = only(alice.connected).keys, only(bob.connected).keys
    assert same_session(ours, theirs)
    assert not alice.failed
    assert not bob.failed
    return ours.initiator


def test_hs13_at_the_same_instant_the_smaller_key_stays_initiator() -> None:
    world, alice, bob = pair()
    world.call(alice, bob)
    world.call(bob, alice)
    world.run(20.0)
    assert one_session(alice, bob)
    assert alice.exchange.deadline() is None
    assert bob.exchange.deadline() is None


def test_hs13_the_smaller_key_does_not_answer_the_endpoint_that_it_calls() -> None:
    world, alice, bob = pair()
    world.call(alice, bob)
    world.call(bob, alice)
    dropped = alice.exchange.dropped
    world.run(0.011)
    assert alice.exchange.dropped == dropped + 2
    assert len(alice.exchange._half_open) == 0


def test_hs13_the_smaller_key_answers_when_its_own_call_goes_elsewhere() -> None:
    """Alice calls an address where nobody is; Bob's call must not suffer for it."""
    world, alice, bob = pair()
    nobody = Node(bob.exchange, place(99), BOB)
    world.call(alice, nobody)
    world.call(bob, alice)
    world.run(20.0)
    assert not one_session(alice, bob)


def test_hs13_when_both_have_answered_the_larger_waits_and_nothing_is_lost() -> None:
    """Bob is called at a second address, so that Alice answers him as well; no time goes by."""
    world, alice, bob = pair()
    world.nodes[place(BOB, 4401)] = bob
    world.call(alice, Node(bob.exchange, place(BOB, 4401), BOB))
    world.call(bob, alice)
    world.run(0.05)
    assert len(alice.channels) + len(bob.channels) > 2, "two sessions had keys"
    assert one_session(alice, bob), "the smaller key's call stays"


def test_hs13_a_call_that_begins_after_the_answer_does_not_double_the_session() -> None:
    """Every moment between HELLO and confirmation, both ways round."""
    for first in (ALICE, BOB):
        for step in range(45):
            world, alice, bob = pair(seed=("late", step))
            nodes = {ALICE: alice, BOB: bob}
            early, late = nodes[first], nodes[BOB if first == ALICE else ALICE]
            world.call(early, late)
            world.run(step / 1000)
            if late.connected:
                break
            world.call(late, early)
            world.run(20.0)
            one_session(alice, bob)
        assert step == 30, "confirmed after three one-way delays"


class Rough:
    """A network that delays, loses, doubles and reorders for as long as it is rough."""

    def __init__(self, seed: int, world: World) -> None:
        self.random = random.Random(seed)
        self.loss = self.random.choice([0.0, 0.0, 0.1, 0.3])
        self.doubling = self.random.choice([0.0, 0.2])
        self.slowest = self.random.choice([0.001, 0.02, 0.3])
        self.world = world
        world.route = self.route
        world.delay = lambda: self.random.uniform(0.0005, self.slowest)

    def route(self, flight: Flight) -> list[Flight]:
        if self.random.random() < self.loss:
            return []
        if self.random.random() < self.doubling:
            later = Flight(
                flight.at + self.random.uniform(0, 0.5),
                flight.number,
                flight.source,
                flight.target,
                flight.data,
            )
            return [flight, later]
        return [flight]


@contextmanager
def remembered_keys() -> Iterator[None]:
    """Key generation and X25519 are pure: compute each once, for a thousand calls cost seconds."""
    from_seed = cache(KeyPair.from_seed)
    exchange = cache(Identity.exchange)

    @cache
    def pair_of(seed: bytes) -> KeyPair:
        return KeyPair(from_seed(seed).public, cache(from_seed(seed).exchange))

    @cache
    def generate(seed: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
        return MlKem768().generate(lambda _: seed)

    class Kem(MlKem768):
        def generate(self, entropy: Entropy) -> tuple[bytes, Callable[[bytes], bytes]]:
            return generate(entropy(64))

    with (
        mock.patch.object(Identity, "exchange", exchange),
        mock.patch.object(noise, "KeyPair", mock.Mock(from_seed=pair_of)),
        mock.patch.object(noise, "MlKem768", Kem),
    ):
        yield


def test_hs13_a_thousand_crossing_calls_make_exactly_one_session_each() -> None:
    """In every third seed Bob has a second address, so that the general rule decides."""
    winners: Counter[bool] = Counter()
    with remembered_keys():
        for seed in range(1000):
            winners[cross(seed)] += 1
    assert winners[True] > 0
    assert winners[False] > 0


def cross(seed: int) -> bool:
    world, alice, bob = pair(seed=seed % 10)
    rough = Rough(seed, world)
    called = bob
    if seed % 3 == 0:
        world.nodes[place(BOB, 4401)] = bob
        called = Node(bob.exchange, place(BOB, 4401), BOB)
    first, second = (alice, called), (bob, alice)
    if rough.random.random() < 0.5:
        first, second = second, first
    world.call(*first, timeout=30.0)
    world.run(rough.random.uniform(0, 2 * rough.slowest) if seed % 2 else 0.0)
    if not (alice.connected or bob.connected):
        world.call(*second, timeout=30.0)
    world.run(60.0)
    assert len(alice.connected) == len(bob.connected) == 1, f"seed {seed}"
    for node in (alice, bob):
        assert node.exchange.deadline() is None, f"seed {seed}: something is left"
    return one_session(alice, bob)


def test_hs13_a_recorded_call_of_the_peer_does_not_end_our_own() -> None:
    """Bob, the larger key, has a recording of Alice played to him while he calls her."""
    world, alice, bob = pair()
    world.call(alice, bob)
    world.run(1.0)
    recorded = [flight.data for flight in world.sent[:2]]
    for node in (alice, bob):
        node.channels[0].closed = True
        node.exchange.wake(1.0)
        node.connected.clear()
    for start in (0.0, 0.005, 0.015, 0.025):
        world.call(bob, alice)
        for datagram in recorded:
            world.put(place(66), bob.endpoint, datagram, delay=start)
        world.run(world.now + 1.0)
        assert same_session(only(alice.connected).keys, only(bob.connected).keys)
        for node in (alice, bob):
            node.channels[-1].closed = True
            node.connected.clear()
        world.run(world.now + 10.0)


def test_hs13_a_peer_that_restarts_may_call_again() -> None:
    """Alice answers Bob and vanishes; her next program's calls are heard within 5 s."""
    world, alice, bob = pair()
    world.route = lambda flight: [] if flight.data[0] == DATA else [flight]
    world.call(bob, alice)
    world.run(0.1)
    assert not bob.connected
    restarted = world.add(ALICE, seed="restarted")
    world.call(restarted, bob)
    world.run(0.2)
    world.route = lambda flight: [flight]
    assert not restarted.connected, "Bob's own call was answered by that very key just now"
    world.run(10.0)
    one_session(restarted, bob)


def test_a_session_that_the_peer_forgot_is_begun_anew() -> None:
    """Nothing but handshake datagrams arrives for 7 s: the half-open handshake is gone by then."""
    world, alice, bob = pair()
    world.route = lambda flight: [] if flight.data[0] == DATA and world.now < 7 else [flight]
    world.call(alice, bob, timeout=20.0)
    world.run(30.0)
    assert one_session(alice, bob)
    assert alice.exchange.deadline() is None
    assert bob.exchange.deadline() is None


def test_a_call_that_is_answered_but_never_confirmed_fails_once() -> None:
    world, alice, bob = pair()
    world.route = lambda flight: [] if flight.data[0] == DATA else [flight]
    world.call(alice, bob)
    world.run(30.0)
    assert len(alice.failed) == 1
    assert not alice.connected
    assert not bob.connected
    assert alice.exchange.deadline() is None
    assert bob.exchange.deadline() is None
