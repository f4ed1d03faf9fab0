"""Circuits: tickets, attaching, what passes where, and when it ends."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from securecp.endpoint import Endpoint
from securecp.nat import relay
from securecp.nat.rendezvous import Code, FromServer, Join, Joined, Leave, Left, Open, Refused, What
from securecp.server import circuits
from securecp.server.circuits import Caps, Circuits, Doubt, Pass, Tell, carriable
from securecp.server.desk import Visitor
from securecp.server.tally import Tally
from tests.server.people import House, entropy, same, told

TICKET = bytes(range(16))
DATA = b"\x50" * 1_000
ALICE, BOB = Endpoint("192.0.2.1", 1001), Endpoint("192.0.2.2", 1002)


def opened() -> tuple[House, Visitor, Visitor, bytes, bytes]:
    """A house with an open circuit: leg 1 of Alice, leg 2 of Bob, their attach ids."""
    house = House()
    alice, bob = house.visit("192.0.2.1"), house.visit("192.0.2.2")
    first = joined(house.say(alice, Join(1, TICKET)))
    second = joined(house.say(bob, Join(2, TICKET)))
    return house, alice, bob, first, second


def joined(messages: list[tuple[Visitor, FromServer]]) -> bytes:
    [attach] = [message.attach for _, message in messages if isinstance(message, Joined)]
    return attach


def send(house: House, visitor: Visitor, leg: int, data: bytes = DATA, stride: int = 1_000) -> (
    list[Pass[Visitor]]
):  # fmt: skip
    effects = house.desk.circuit(house.now, visitor, relay.encode_circuit(leg, stride, data))
    return [one for one in effects if isinstance(one, Pass)]


def test_what_one_leg_sends_comes_out_at_the_other() -> None:
    house, alice, bob, _, _ = opened()
    [passed] = send(house, alice, 1)
    assert (passed.leg.owner, passed.leg.number, passed.leg.endpoint) == (bob, 2, None)
    assert bytes(passed.data) == DATA
    [passed] = send(house, bob, 2)
    assert (passed.leg.owner, passed.leg.number) == (alice, 1)


def test_an_attached_socket_takes_the_place_of_the_websocket() -> None:
    house, alice, _, _, second = opened()
    assert house.attach(BOB, second, TICKET)
    [passed] = send(house, alice, 1)
    assert passed.leg.endpoint == BOB
    back = house.udp(BOB, DATA * 3, 1_000)
    assert isinstance(back, Pass)
    assert (back.leg.owner, back.leg.endpoint, back.stride) == (alice, None, 1_000)
    assert bytes(back.data) == DATA * 3


def test_rl01_only_legs_that_dialled_in_get_anything() -> None:
    house, _, _, first, second = opened()
    assert house.attach(ALICE, first, TICKET) and house.attach(BOB, second, TICKET)
    for source in (ALICE, BOB):
        passed = house.udp(source, DATA)
        assert isinstance(passed, Pass)
        assert passed.leg.endpoint == (BOB if source is ALICE else ALICE)
    assert house.udp(Endpoint("192.0.2.3", 1003), DATA) == []
    assert house.udp(BOB._replace(port=1), DATA) == []


def test_rl05_a_third_leg_is_refused_while_both_are_there() -> None:
    house, alice, _, _, _ = opened()
    mallory = house.visit("203.0.113.1")
    effects = house.desk.receive(house.now, mallory, Join(1, TICKET).encode())
    assert {effect.owner for effect in effects if isinstance(effect, Doubt)} == {
        *(leg.owner for leg in house.desk.circuits.legs)
    }
    refused = Refused(What.JOIN, Code.TOO_MANY, circuits.SILENT_RETRY)
    assert same(told(effects), (mallory, refused), (mallory, Left(1)))
    assert len(send(house, alice, 1)) == 1 and send(house, mallory, 1) == []


def test_rl05_a_ticket_waits_60_s_for_its_second_leg() -> None:
    house = House()
    alice, bob = house.visit(), house.visit()
    house.say(alice, Join(1, TICKET))
    house.now += circuits.JOIN_LIFE - 1
    assert house.sweep() == []
    house.now += 1
    assert same(house.sweep(), (alice, Left(1)))
    [(who, message)] = house.say(bob, Join(2, TICKET))
    assert who is bob and isinstance(message, Joined)  # and waits alone, for 60 s


def test_rl05_a_socket_attaches_with_the_ticket_of_the_leg_only() -> None:
    house, _, _, first, _ = opened()
    assert not house.attach(ALICE, first, bytes(16))
    assert not house.attach(ALICE, bytes(8), TICKET)
    assert house.udp(ALICE, DATA) == []
    assert house.attach(ALICE, first, TICKET)


def test_rv08_rl02_a_cookie_is_good_for_its_endpoint_alone_and_for_two_minutes() -> None:
    house, _, _, first, _ = opened()
    cookie = relay.parse_cookie(house.answer(ALICE, relay.encode_cookie_request()))
    attach = relay.encode_attach(first, cookie, TICKET)
    for spoofed in (BOB, ALICE._replace(port=7), ALICE._replace(via=1)):
        assert house.answer(spoofed, attach) == b""
    assert house.answer(ALICE, attach) == relay.encode_attached(first)
    house.now += 59
    assert house.answer(ALICE, attach) == relay.encode_attached(first)
    house.now += 61
    house.answer(BOB, relay.encode_cookie_request())
    house.now += 60
    assert house.answer(ALICE, attach) == b""


def test_a_new_attach_moves_the_leg() -> None:
    house, alice, _, _, second = opened()
    assert house.attach(BOB, second, TICKET)
    moved = BOB._replace(port=2_000)
    assert house.attach(moved, second, TICKET)
    [passed] = send(house, alice, 1)
    assert passed.leg.endpoint == moved
    assert house.udp(BOB, DATA) == []


def test_a_socket_that_attaches_to_another_leg_leaves_the_first() -> None:
    house, alice, bob, first, second = opened()
    assert house.attach(BOB, first, TICKET) and house.attach(BOB, second, TICKET)
    [passed] = send(house, bob, 2)
    assert passed.leg.endpoint is None
    [passed] = send(house, alice, 1)
    assert passed.leg.endpoint == BOB


def test_what_comes_before_the_second_leg_is_kept_a_little() -> None:
    house = House()
    alice, bob = house.visit(), house.visit()
    house.say(alice, Join(1, TICKET))
    assert send(house, alice, 1, DATA * 3) == []
    assert send(house, alice, 1, DATA * 9) == []
    effects = house.desk.receive(house.now, bob, Join(2, TICKET).encode())
    early = [effect for effect in effects if isinstance(effect, Pass)]
    assert [bytes(one.data) for one in early] == [DATA * 3, DATA * 5]
    assert all(one.leg.owner is bob for one in early)


def test_a_leg_with_a_live_socket_outlives_its_websocket() -> None:
    house, alice, bob, _, second = opened()
    assert house.attach(BOB, second, TICKET)
    assert house.leave(bob) == []
    for _ in range(10):
        house.now += circuits.ORPHAN_IDLE - 1
        assert house.sweep() == []
        assert isinstance(house.udp(BOB, DATA), Pass)
        [passed] = send(house, alice, 1)
        assert passed.leg.endpoint == BOB
    house.now += circuits.ORPHAN_IDLE
    send(house, alice, 1)
    assert same(house.sweep(), (alice, Left(1)))
    assert house.udp(BOB, DATA) == []


def test_whoever_lost_the_websocket_joins_the_same_leg_again() -> None:
    house, alice, bob, _, second = opened()
    assert house.attach(BOB, second, TICKET)
    house.leave(bob)
    again = house.visit("192.0.2.2")
    assert same(house.say(again, Join(77, TICKET)), (again, Joined(77, second)), (again, Open(77)))
    [passed] = send(house, alice, 1)
    assert (passed.leg.owner, passed.leg.number, passed.leg.endpoint) == (again, 77, BOB)
    assert same(house.say(alice, Leave(1)), (again, Left(77)))
    assert again.legs == set()


def test_of_two_lost_websockets_each_finds_its_own_leg() -> None:
    house, alice, bob, first, second = opened()
    assert house.attach(ALICE, first, TICKET) and house.attach(BOB, second, TICKET)
    house.leave(alice)
    house.leave(bob)
    again = house.visit("192.0.2.2")
    assert same(house.say(again, Join(3, TICKET)), (again, Joined(3, second)), (again, Open(3)))


def test_a_leg_without_socket_ends_with_its_websocket() -> None:
    house, alice, bob, _, second = opened()
    assert house.attach(BOB, second, TICKET)
    assert same(house.leave(alice), (bob, Left(2)))
    assert len(house.desk.circuits) == 0 and house.udp(BOB, DATA) == []


def test_a_silent_socket_gives_way_to_the_websocket() -> None:
    house, alice, _, _, second = opened()
    assert house.attach(BOB, second, TICKET)
    house.now += circuits.UDP_IDLE
    send(house, alice, 1)
    assert house.sweep() == []
    [passed] = send(house, alice, 1)
    assert passed.leg.endpoint is None


def test_a_circuit_through_which_nothing_comes_ends() -> None:
    house, alice, bob, _, _ = opened()
    house.now += circuits.IDLE
    assert same(house.sweep(), (alice, Left(1)), (bob, Left(2)))


@pytest.mark.parametrize(
    ("stride", "data", "passes"),
    [
        (1_000, b"\x50" * 3_000, True),
        (1_000, b"\x60" + bytes(999) + b"\xff" * 20, True),
        (1_000, b"\x50" * 1_000 + b"\x72" + bytes(43), False),
        (1_000, b"\x00" * 1_000, False),
        (1_000, b"\x73" * 1_000, False),
        (19, b"\x50" * 19, False),
        (1, b"\x50" * 60_000, False),
    ],
)
def test_rl06_a_leg_says_to_the_other_nothing_that_only_the_relay_may_say(
    stride: int, data: bytes, passes: bool
) -> None:
    assert carriable(stride, memoryview(data)) is passes


def test_rl06_what_the_relay_says_passes_no_circuit() -> None:
    house, alice, _, _, second = opened()
    assert house.attach(BOB, second, TICKET)
    forged = relay.encode_attached(bytes(8))
    assert send(house, alice, 1, forged, len(forged)) == []
    assert house.udp(BOB, DATA + forged, 1_000) == []


def test_rl04_a_circuit_is_held_to_its_rate_in_both_directions_together() -> None:
    table: Circuits[str] = Circuits(Caps(rate=1e6, total_rate=1e9), entropy(), Tally())
    table.join(0.0, "a", 1, TICKET, "here")
    table.join(0.0, "b", 1, TICKET, "there")
    one, two = table.legs
    passed = 0
    for step in range(20_000):
        for leg in (one, two):
            passed += table.from_owner(step * 0.0005, leg, 1_000, memoryview(DATA)) is not None
    assert 9.5e6 <= passed * 1_028 <= 10.5e6


def test_rl08_nothing_of_a_circuit_can_be_printed_by_accident() -> None:
    house, _, _, _, second = opened()
    assert house.attach(BOB, second, TICKET)
    for leg in house.desk.circuits.legs:
        for thing in (leg, leg.circuit):
            assert "192.0.2" not in repr(thing) and TICKET.hex() not in repr(thing)


OWNERS = "abc"
NUMBERS = [1, 2]
TICKETS = [b"%016d" % number for number in range(2)]
SOURCES = [Endpoint("192.0.2.9", port) for port in (1, 2, 3)]


class CircuitsMachine(RuleBasedStateMachine):
    """Whatever clients do, what comes in goes to the other holder of the ticket, or nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Circuits[str] = Circuits(Caps(circuits=3), entropy(), Tally())
        self.numbers: dict[tuple[str, int], bytes] = {}
        self.attached: dict[Endpoint, bytes] = {}
        self.now = 0.0

    def note(self, effects: list[circuits.Effect[str]]) -> None:
        for effect in effects:
            if isinstance(effect, Tell) and isinstance(effect.message, Left):
                self.numbers.pop((effect.owner, effect.message.leg), None)

    @rule(who=st.sampled_from(OWNERS), number=st.sampled_from(NUMBERS),
          ticket=st.sampled_from(TICKETS))  # fmt: skip
    def join(self, who: str, number: int, ticket: bytes) -> None:
        if (who, number) not in self.numbers:
            effects = self.table.join(self.now, who, number, ticket, who)
            self.numbers[who, number] = ticket
            self.note(effects)

    @rule(who=st.sampled_from(OWNERS), number=st.sampled_from(NUMBERS))
    def leave(self, who: str, number: int) -> None:
        self.note(self.table.leave(who, number))
        self.numbers.pop((who, number), None)

    @rule(who=st.sampled_from(OWNERS))
    def go(self, who: str) -> None:
        self.note(self.table.gone(who, NUMBERS))
        for number in NUMBERS:
            self.numbers.pop((who, number), None)

    @rule(source=st.sampled_from(SOURCES), ticket=st.sampled_from(TICKETS), pick=st.integers(0, 9))
    def attach(self, source: Endpoint, ticket: bytes, pick: int) -> None:
        legs = list(self.table.legs)
        if legs:
            leg = legs[pick % len(legs)]
            attach = relay.parse_attach(relay.encode_attach(leg.attach, bytes(16), ticket))
            right = leg.circuit.ticket == ticket
            assert self.table.attach(self.now, source, attach) is right
            if right:
                self.attached[source] = ticket

    @rule(source=st.sampled_from(SOURCES))
    def datagram(self, source: Endpoint) -> None:
        leg = self.table.leg_at(source)
        if leg is not None:
            assert leg.circuit.ticket == self.attached[source]
            passed = self.table.from_udp(self.now, leg, 1_000, memoryview(DATA))
            if passed is not None:
                assert passed.leg.circuit is leg.circuit and passed.leg is not leg

    @rule(seconds=st.sampled_from([1.0, 59.0, 301.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.note(self.table.sweep(self.now))

    @invariant()
    def books_agree(self) -> None:
        legs = list(self.table.legs)
        assert len(legs) <= 6
        assert all(1 <= len(leg.circuit.legs) <= 2 for leg in legs)
        for leg in legs:
            if leg.owner is not None:
                assert self.table.leg(leg.owner, leg.number) is leg
                assert self.numbers[leg.owner, leg.number] == leg.circuit.ticket
            if leg.endpoint is not None:
                assert self.table.leg_at(leg.endpoint) is leg
            assert leg.other is None or leg.other.other is leg
        assert all(self.table.leg(*key) is not None for key in self.numbers)


TestCircuits = CircuitsMachine.TestCase
TestCircuits.settings = settings(stateful_step_count=40)
