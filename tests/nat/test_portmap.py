"""The port mapper against routers made of a few lines, on virtual time."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.endpoint import Endpoint
from securecp.nat import natpmp, pcp
from securecp.nat.portmap import (
    HEAD_START,
    LIFETIME,
    PORT,
    WAITS,
    Event,
    Mapped,
    PortMapper,
    Refused,
    Unmapped,
)

GATEWAY = "192.168.1.1"
ROUTER = Endpoint(GATEWAY, PORT)
US = "192.168.1.10"
INTERNAL = 5_000
OUTSIDE = "11.0.113.21"
EXTERNAL = Endpoint(OUTSIDE, 60_000)


class Gateway:
    """Speaks what it is told to; `mapped` is what stands, by protocol."""

    def __init__(self, speaks: str = "PCP NAT-PMP") -> None:
        self.speaks = speaks
        self.outside = OUTSIDE
        self.lifetime = LIFETIME
        self.refuses = 0
        self.heard: list[str] = []
        self.mapped: dict[str, int] = {}

    def answer(self, request: bytes) -> bytes | None:
        if request[0] == pcp.VERSION:
            return self._pcp(request)
        if "NAT-PMP" not in self.speaks:
            self.heard.append("-")
            return None
        if request == natpmp.ADDRESS_REQUEST:
            self.heard.append("address")
            octets = bytes(map(int, self.outside.split(".")))
            return bytes((0, 128, 0, 0, 0, 0, 0, 1)) + octets
        lifetime = int.from_bytes(request[8:])
        self.heard.append(f"NAT-PMP {lifetime}")
        if self.refuses:
            return bytes((0, 129)) + self.refuses.to_bytes(2) + bytes(12)
        self._keep("NAT-PMP", lifetime)
        head = bytes((0, 129, 0, 0, 0, 0, 0, 1)) + request[4:6] + EXTERNAL.port.to_bytes(2)
        return head + min(lifetime, self.lifetime).to_bytes(4)

    def _pcp(self, request: bytes) -> bytes | None:
        lifetime = int.from_bytes(request[4:8])
        self.heard.append(f"PCP {lifetime}")
        if "refuse version" in self.speaks:
            return bytes((0, 129, 0, 1, 0, 0, 0, 1))
        if "PCP" not in self.speaks:
            return None
        if self.refuses:
            return bytes((2, 0x81, 0, self.refuses)) + bytes(20)
        self._keep("PCP", lifetime)
        granted = min(lifetime, self.lifetime)
        head = bytes((2, 0x81, 0, 0)) + granted.to_bytes(4) + bytes(16)
        octets = bytes(map(int, self.outside.split(".")))
        tail = EXTERNAL.port.to_bytes(2) + bytes(10) + b"\xff\xff" + octets
        return head + request[24:42] + tail

    def _keep(self, protocol: str, lifetime: int) -> None:
        self.mapped[protocol] = lifetime
        if not lifetime:
            del self.mapped[protocol]


class World:
    """Virtual time, one mapper, and a gateway 4 ms away."""

    def __init__(self, gateway: Gateway) -> None:
        self.now = 50.0
        self.gateway = gateway
        self.mapper = PortMapper(self.now, GATEWAY, US, INTERNAL, Random(1).randbytes)
        self.events: list[Event] = []
        self.sent: list[tuple[float, bytes]] = []
        self.under_way: list[tuple[float, bytes]] = []

    def turn(self) -> None:
        self.mapper.wake(self.now)
        while sent := self.mapper.transmit(self.now):
            assert sent[0] == ROUTER
            self.sent.append((round(self.now - 50, 3), sent[1]))
            if answer := self.gateway.answer(sent[1]):
                self.under_way.append((self.now + 0.004, answer))
        self.events += self.mapper.events()

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            self.turn()
            deadline = self.mapper.deadline()
            assert deadline is None or deadline > self.now
            times = [at for at, _ in self.under_way] + ([deadline] if deadline else [])
            following = min(times, default=end + 1)
            if following > end:
                self.now = end
                return
            self.now = following
            due = [item for item in self.under_way if item[0] <= self.now]
            self.under_way = [item for item in self.under_way if item[0] > self.now]
            for _, answer in due:
                self.mapper.receive(self.now, ROUTER, answer)


def test_pcp_maps_in_one_round_trip() -> None:
    world = World(Gateway("PCP"))
    world.run(0.01)
    assert world.events == [Mapped(EXTERNAL, LIFETIME)]
    assert world.mapper.mapping == Mapped(EXTERNAL, LIFETIME)
    assert world.gateway.heard == [f"PCP {LIFETIME}", "-"]
    assert world.mapper.done


def test_where_both_are_spoken_pcp_alone_maps() -> None:
    world = World(Gateway())
    world.run(2)
    assert world.gateway.mapped == {"PCP": LIFETIME}
    assert world.gateway.heard == [f"PCP {LIFETIME}", "address"]


def test_natpmp_maps_after_the_head_start_where_pcp_is_silent() -> None:
    world = World(Gateway("NAT-PMP"))
    world.run(HEAD_START + 0.01)
    assert world.events == [Mapped(EXTERNAL, LIFETIME)]
    assert world.gateway.mapped == {"NAT-PMP": LIFETIME}


def test_natpmp_maps_at_once_where_the_version_of_pcp_is_refused() -> None:
    world = World(Gateway("NAT-PMP, refuse version"))
    world.run(0.01)
    assert world.events == [Mapped(EXTERNAL, LIFETIME)]


def test_no_router_that_maps_is_given_up_until_the_network_changes() -> None:
    world = World(Gateway(""))
    world.run(3_600)
    assert sorted({at for at, _ in world.sent}) == [0, 0.25, 0.75]
    assert world.mapper.deadline() is None
    assert world.mapper.done
    assert world.events == []
    world.gateway.speaks = "PCP"
    world.mapper.restart(world.now, GATEWAY, US)
    world.run(0.01)
    assert world.events == [Mapped(EXTERNAL, LIFETIME)]


@pytest.mark.parametrize("speaks", ["PCP", "NAT-PMP", "PCP NAT-PMP", "NAT-PMP, refuse version"])
def test_a_mapping_is_renewed_at_half_its_life_and_given_back_at_the_end(speaks: str) -> None:
    world = World(Gateway(speaks))
    world.run(4 * LIFETIME)
    assert world.events == [Mapped(EXTERNAL, LIFETIME)]
    maps = [entry for entry in world.gateway.heard if entry.endswith(str(LIFETIME))]
    assert len([entry for entry in maps if entry.startswith(next(iter(world.gateway.mapped)))]) == 8
    world.mapper.close()
    world.mapper.close()
    before = len(world.sent)
    world.run(10)
    assert world.gateway.mapped == {}
    assert len(world.sent) == before + 1
    assert world.mapper.deadline() is None


@pytest.mark.parametrize("speaks", ["PCP", "NAT-PMP"])
def test_closing_while_asking_gives_back_what_may_have_been_granted(speaks: str) -> None:
    world = World(Gateway(speaks))
    world.run(0.005)
    world.mapper.close()
    world.turn()
    assert world.gateway.mapped == {}


@pytest.mark.parametrize("speaks", ["PCP", "NAT-PMP"])
def test_a_short_life_is_renewed_in_time(speaks: str) -> None:
    gateway = Gateway(speaks)
    gateway.lifetime = 20
    world = World(gateway)
    world.run(100)
    assert world.events == [Mapped(EXTERNAL, 20)]


@pytest.mark.parametrize("speaks", ["PCP", "NAT-PMP"])
def test_a_router_that_falls_silent_is_asked_on_until_the_mapping_ends(speaks: str) -> None:
    world = World(Gateway(speaks))
    world.run(1)
    world.gateway.speaks = ""
    world.run(LIFETIME + 10)
    assert world.events == [Mapped(EXTERNAL, LIFETIME), Unmapped(EXTERNAL)]
    rounds = len({round(at) for at, _ in world.sent if at > 1})
    assert 4 <= rounds <= 40
    assert world.mapper.mapping is None


@pytest.mark.parametrize("speaks", ["PCP", "NAT-PMP"])
def test_a_new_address_outside_is_told_at_the_renewal(speaks: str) -> None:
    world = World(Gateway(speaks))
    world.run(1)
    world.gateway.outside = "11.0.113.99"
    world.run(LIFETIME)
    moved = EXTERNAL._replace(address="11.0.113.99")
    assert world.events[1:] == [Unmapped(EXTERNAL), Mapped(moved, LIFETIME)]


@pytest.mark.parametrize("outside", ["100.64.7.10", "10.0.0.7"])
@pytest.mark.parametrize("speaks", ["PCP", "NAT-PMP"])
def test_an_address_within_a_carriers_network_is_a_candidate(speaks: str, outside: str) -> None:
    gateway = Gateway(speaks)
    gateway.outside = outside
    world = World(gateway)
    world.run(1)
    assert world.events == [Mapped(EXTERNAL._replace(address=outside), LIFETIME)]


@pytest.mark.parametrize("outside", ["0.0.0.0", "224.0.0.1", "127.0.0.1"])
@pytest.mark.parametrize("speaks", ["PCP", "NAT-PMP"])
def test_dg15_an_address_that_cannot_be_reached_is_none(speaks: str, outside: str) -> None:
    gateway = Gateway(speaks)
    gateway.outside = outside
    world = World(gateway)
    world.run(5)
    assert world.events == []


@pytest.mark.parametrize(
    ("speaks", "refusal"), [("PCP", Refused("PCP", 2)), ("NAT-PMP", Refused("NAT-PMP", 2))]
)
def test_a_refusal_is_told_once_and_ends_the_asking(speaks: str, refusal: Refused) -> None:
    gateway = Gateway(speaks)
    gateway.refuses = 2
    world = World(gateway)
    world.run(1_000)
    assert world.events == [refusal]


def test_where_pcp_is_refused_natpmp_is_tried() -> None:
    class Grudging(Gateway):
        def _pcp(self, request: bytes) -> bytes | None:
            return bytes((2, 0x81, 0, 4)) + bytes(20)

    world = World(Grudging())
    world.run(0.02)
    assert world.events == [Mapped(EXTERNAL, LIFETIME)]


def test_over_ipv6_only_pcp_is_asked() -> None:
    mapper = PortMapper(0.0, "fe80::1%eth0", "2600:ab8::5", INTERNAL, Random(1).randbytes)
    sent = mapper.transmit(0.0)
    assert sent and sent[0] == Endpoint("fe80::1%eth0", PORT)
    assert sent[1][0] == pcp.VERSION
    assert mapper.transmit(0.0) is None


def test_dg15_only_the_router_itself_and_the_right_nonce_count() -> None:
    world = World(Gateway("PCP"))
    request = world.mapper.transmit(world.now)
    assert request
    answer = world.gateway.answer(request[1])
    assert answer
    receive = world.mapper.receive
    assert not receive(world.now, Endpoint("192.168.1.77", PORT), answer)
    assert not receive(world.now, Endpoint(GATEWAY, PORT + 1), answer)
    assert not receive(world.now, ROUTER, answer[:24] + bytes(12) + answer[36:])
    assert not receive(world.now, ROUTER, answer[:40] + b"\0\1" + answer[42:])
    assert not receive(world.now, ROUTER, answer[:59])
    assert not receive(world.now, ROUTER, b"")
    assert not receive(world.now, ROUTER, request[1])
    assert world.mapper.mapping is None
    assert receive(world.now, ROUTER, answer)
    assert not receive(world.now, ROUTER, answer)


def drawn(seed: int) -> bytes:
    """Something that begins like an answer."""
    random = Random(seed)
    head = random.choice((b"\0\x80\0\0", b"\0\x81\0\0", b"\0\x81\0\1", b"\2\x81\0\0"))
    return head + random.randbytes(random.choice((0, 4, 8, 12, 20, 56)))


@given(st.lists(st.binary(max_size=64) | st.integers(0, 2**32), max_size=6), st.booleans())
def test_dg11_whatever_the_router_says_we_stand_and_ask_no_more_than_three_times(
    said: list[bytes | int], both: bool
) -> None:
    world = World(Gateway("" if not both else "NAT-PMP"))
    world.turn()
    for what in said:
        world.mapper.receive(world.now, ROUTER, what if isinstance(what, bytes) else drawn(what))
        world.run(0.1)
    world.run(sum(WAITS) + 1)
    assert world.mapper.done
    assert len(world.sent) <= 8 + 2 * len(said)
