"""HS-12: drop, double, reorder, splice and readdress; three exchanges, any order of events.

Safety after every step: sessions only with who is named in them, both ends of one session agree,
bounds hold. Liveness at the end: nothing is half-open for ever, and a new call works.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from securecp.transport.halfopen import HALF_OPEN_LIFE, HALF_OPEN_PER_NETWORK
from tests.transport.handshakes import (
    ALICE,
    BOB,
    EVE,
    Flight,
    World,
    only,
    public,
    same_session,
    with_new_mac1,
)

PEOPLE = st.sampled_from([ALICE, BOB, EVE])


class Handshakes(RuleBasedStateMachine):
    """The network is in the hands of the test: nothing arrives but by a rule."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        everyone = (ALICE, BOB, EVE)
        self.nodes = {number: self.world.add(number, knows=everyone) for number in everyone}
        self.held: list[Flight] = []
        self.world.route = self.hold

    def hold(self, flight: Flight) -> list[Flight]:
        self.held.append(flight)
        return []

    def give(self, target: int, source: int, data: bytes) -> None:
        node = self.nodes[target]
        self.world._deliver(
            Flight(self.world.now, 0, self.nodes[source].endpoint, node.endpoint, data)
        )

    @rule(caller=PEOPLE, called=PEOPLE)
    def call(self, caller: int, called: int) -> None:
        if caller != called:
            self.world.call(self.nodes[caller], self.nodes[called])

    @rule(choice=st.integers(0, 1 << 16), keep=st.booleans())
    def arrive(self, choice: int, keep: bool) -> None:
        """Any datagram that was ever kept, now; `keep` makes it come again later."""
        if self.held:
            place = choice % len(self.held)
            flight = self.held[place] if keep else self.held.pop(place)
            self.world._deliver(flight)

    @rule()
    def arrive_in_order(self) -> None:
        if self.held:
            self.world._deliver(self.held.pop(0))

    @rule(choice=st.integers(0, 1 << 16))
    def lose(self, choice: int) -> None:
        if self.held:
            del self.held[choice % len(self.held)]

    @rule(
        one=st.integers(0, 1 << 16),
        other=st.integers(0, 1 << 16),
        cut=st.sampled_from([4, 8, 12, 40, 44, 88, 136, 176, 192, 1148, 1168]),
        to=PEOPLE,
        source=PEOPLE,
    )
    def splice(self, one: int, other: int, cut: int, to: int, source: int) -> None:
        """The head of one datagram, the rest of another, the macs made right again."""
        if self.held:
            head = self.held[one % len(self.held)].data
            tail = self.held[other % len(self.held)].data
            self.give(to, source, with_new_mac1(head[:cut] + tail[cut:], to))

    @rule(choice=st.integers(0, 1 << 16), to=PEOPLE, source=PEOPLE)
    def readdress(self, choice: int, to: int, source: int) -> None:
        if self.held:
            self.give(to, source, self.held[choice % len(self.held)].data)

    @rule(seconds=st.sampled_from([0.01, 0.25, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    @invariant()
    def sessions_are_with_whom_they_name(self) -> None:
        if not hasattr(self, "nodes"):
            return
        ends = {
            (number, event.keys.hash): event.keys
            for number, node in self.nodes.items()
            for event in node.connected
        }
        numbers = {public(number): number for number in self.nodes}
        for (number, name), keys in ends.items():
            peer = numbers[keys.peer]
            assert peer != number
            made = [channel.keys for channel in self.nodes[peer].channels]
            (other,) = [theirs for theirs in made if theirs.hash == name]
            assert other.peer == public(number)
            assert same_session(keys, other)
            assert not keys.initiator or (peer, name) in ends, "the called one knew first"

    @invariant()
    def bounds_hold(self) -> None:
        for node in getattr(self, "nodes", {}).values():
            table = list(node.exchange._half_open)
            assert len(table) <= HALF_OPEN_PER_NETWORK * len(self.nodes)
            assert all(self.world.now <= half.opened_at + 2 * HALF_OPEN_LIFE for half in table)
            hashes = [event.keys.hash for event in node.connected]
            assert len(set(hashes)) == len(hashes)

    def teardown(self) -> None:
        """The network mends; what is half-open ends, and a new call makes one session."""
        if not hasattr(self, "nodes"):
            return
        self.world.route = lambda flight: [flight]
        self.world.run(self.world.now + 30.0)
        for node in self.nodes.values():
            for channel in node.channels:
                channel.closed = True
            node.exchange.wake(self.world.now)
            assert node.exchange.deadline() is None, "something is left"
            assert len(node.exchange._half_open) == 0
            node.connected.clear()
        alice, bob = self.nodes[ALICE], self.nodes[BOB]
        self.world.call(alice, bob)
        self.world.run(self.world.now + 10.0)
        assert same_session(only(alice.connected).keys, only(bob.connected).keys)


TestHs12 = Handshakes.TestCase
TestHs12.settings = settings(max_examples=60, stateful_step_count=40)
