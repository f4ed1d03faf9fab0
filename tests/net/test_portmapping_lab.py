"""Samples and mappings through real routers: a home behind each kind of NAT, miniupnpd on it."""

import importlib.util
import os
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from securecp.endpoint import Endpoint
from securecp.nat.gather import SILENCE, Door, Gatherer
from securecp.nat.portmap import Mapped
from securecp.nat.sampling import Nat
from securecp.net.interfaces import Gateway, default_gateway, interfaces, snapshot
from securecp.net.portmapping import PortMapping
from securecp.net.upnp import GOODBYE, Upnp
from tests.lab import tinystun
from tests.lab.needs import needs_lab
from tests.lab.routers import Kind
from tests.lab.services import port_mapping
from tests.lab.topology import SRV, SRV_TOO, Lab

pytestmark = needs_lab("miniupnpd")

PATIENCE = 5.0
ROUTER = "192.168.1.1"
SERVERS = tuple(
    tuple(Endpoint(address, port) for port in tinystun.PORTS) for address in (SRV, SRV_TOO)
)


@pytest.fixture
def home() -> Iterator[Lab]:
    """A host behind a hard NAT whose router maps ports when asked."""
    with Lab() as lab:
        lab.nat("na", kind="hard")
        lab.host("a", "na")
        port_mapping(lab, "na")
        yield lab


def mapped(mapping: PortMapping, within: float = PATIENCE) -> Mapped:
    end = time.monotonic() + within
    while (now := time.monotonic()) < end:
        for event in mapping.turn(now):
            assert isinstance(event, Mapped)
            return event
        deadline = mapping.deadline()
        until = min(end, end if deadline is None else deadline)
        select.select([mapping], [], [], max(until - time.monotonic(), 0))
    raise AssertionError("no mapping")


def reaches(lab: Lab, endpoint: Endpoint, door: socket.socket, within: float = 1.0) -> bool:
    """Whether a stranger's datagram to that endpoint comes to our door."""
    with lab.udp("srv") as stranger:
        stranger.sendto(b"anybody there?", endpoint[:2])
        if not select.select([door], [], [], within)[0]:
            return False
        return door.recv(100) == b"anybody there?"


def gather(door: socket.socket, servers: tuple[tuple[Endpoint, ...], ...] = SERVERS) -> Gatherer:
    port = door.getsockname()[1]
    gatherer = Gatherer(time.monotonic(), [Door(0, 4, port)], servers, os.urandom)
    end = time.monotonic() + SILENCE + 1
    while not gatherer.done and time.monotonic() < end:
        gatherer.wake(time.monotonic())
        while sent := gatherer.transmit(time.monotonic()):
            door.sendto(sent[1], sent[0][:2])
        deadline = gatherer.deadline()
        assert deadline is not None
        select.select([door], [], [], min(max(deadline - time.monotonic(), 0), SILENCE))
        while select.select([door], [], [], 0)[0]:
            data, source = door.recvfrom(2_000)
            gatherer.receive(time.monotonic(), Endpoint(*source), data)
    return gatherer


@pytest.mark.parametrize(
    ("kind", "nat", "step", "preserved"),
    [
        ("easy", Nat.EASY, 0, True),
        ("remap", Nat.EASY, 0, False),
        ("fullcone", Nat.EASY, 0, True),
        ("hard", Nat.HARD, 0, False),
        ("hard-addr", Nat.HARD, 0, False),
        ("hard-seq", Nat.SEQUENTIAL, 1, False),
    ],
)
def test_each_kind_of_nat_is_told(kind: Kind, nat: Nat, step: int, preserved: bool) -> None:
    with Lab() as lab, tinystun.Server(lab):
        lab.nat("na", kind=kind)
        lab.host("a", "na")
        with lab.udp("a") as door:
            view = gather(door).view(0)
            assert (view.nat, view.step, view.preserved) == (nat, step, preserved)
            assert view.reflexive and view.reflexive.address == lab.nodes["na"].address


def test_the_next_port_of_a_sequence_is_predicted() -> None:
    with Lab() as lab, tinystun.Server(lab):
        lab.nat("na", kind="hard-seq")
        lab.host("a", "na")
        with lab.udp("a") as door:
            view = gather(door, (SERVERS[0], SERVERS[1][:1])).view(0)
            peer = SERVERS[1][1]
            assert tinystun.ask(door, peer[:2]) == (lab.nodes["na"].address, view.predicted[0])


def test_blocked_udp_is_told() -> None:
    with Lab() as lab, tinystun.Server(lab):
        lab.nat("na", blocks="udp")
        lab.host("a", "na")
        with lab.udp("a") as door:
            gatherer = gather(door)
            assert gatherer.blocked(time.monotonic())
            assert gatherer.view(0).nat is Nat.NO_UDP


def test_a_host_knows_its_addresses_and_its_router(home: Lab) -> None:
    with home.inside("a"):
        assert default_gateway() == Gateway(ROUTER, home.nodes["a"].address, "eth0")
        ours = [one for one in interfaces() if one.family == 4]
        assert [(one.name, one.address) for one in ours] == [("eth0", home.nodes["a"].address)]
        before = snapshot()
    home.renumber("a")
    with home.inside("a"):
        assert snapshot() != before
    home.unplug("a")
    with home.inside("a"):
        assert default_gateway() is None
        assert interfaces() == []


def test_a_hard_nat_is_made_reachable_and_closed_again(home: Lab) -> None:
    with home.udp("a") as door, home.inside("a"):
        gateway = default_gateway()
        assert gateway
        start = time.monotonic()
        mapping = PortMapping(start, gateway, door.getsockname()[1], os.urandom)
        endpoint = mapped(mapping).endpoint
        assert time.monotonic() - start < 0.25
        assert endpoint.address == home.nodes["na"].address
        assert reaches(home, endpoint, door)
        mapping.close(time.monotonic())
        # The router takes its time to hear of it, and has no word to say that it has.
        end = time.monotonic() + PATIENCE
        while reaches(home, endpoint, door, within=0.05):
            assert time.monotonic() < end


def test_where_pcp_is_refused_natpmp_does_it(home: Lab) -> None:
    with home.udp("a") as door, home.inside("a"):
        gateway = default_gateway()
        assert gateway
        now = time.monotonic()
        mapping = PortMapping(now, gateway, door.getsockname()[1], os.urandom)
        mapping.mapper._address = "192.168.1.99"  # as if there were one more NAT in between
        endpoint = mapped(mapping).endpoint
        assert reaches(home, endpoint, door)
        mapping.close(time.monotonic())
        end = time.monotonic() + PATIENCE
        while reaches(home, endpoint, door, within=0.05):
            assert time.monotonic() < end


def test_a_router_without_port_mapping_is_given_up_in_two_seconds() -> None:
    with Lab() as lab:
        lab.nat("na", kind="hard")
        lab.host("a", "na")
        with lab.inside("a"):
            gateway = default_gateway()
            assert gateway
            mapping = PortMapping(time.monotonic(), gateway, 5_000, os.urandom)
            start = time.monotonic()
            while (deadline := mapping.deadline()) is not None:
                select.select([mapping], [], [], max(deadline - time.monotonic(), 0))
                assert mapping.turn(time.monotonic()) == []
            assert time.monotonic() - start < 2.0
            mapping.close(time.monotonic())


@pytest.mark.skipif(not importlib.util.find_spec("miniupnpc"), reason="not tested: no miniupnpc")
def test_upnp_makes_it_reachable_too(home: Lab) -> None:
    rung = threading.Event()
    with home.udp("a") as door, home.inside("a"):
        mapping = Upnp(door.getsockname()[1], rung.set, os.urandom)
        assert rung.wait(PATIENCE)
        (event,) = mapping.events()
        assert isinstance(event, Mapped)
        assert event.endpoint.address == home.nodes["na"].address
        assert reaches(home, event.endpoint, door)
        start = time.monotonic()
        mapping.close()
        assert time.monotonic() - start < GOODBYE + 0.3
        assert not reaches(home, event.endpoint, door, within=0.2)


@pytest.mark.skipif(not importlib.util.find_spec("miniupnpc"), reason="not tested: no miniupnpc")
def test_an_end_while_upnp_still_searches_is_not_held_up(home: Lab) -> None:
    with home.inside("a"):
        mapping = Upnp(5_000, lambda: None, os.urandom)
        start = time.monotonic()
        mapping.close()
        assert time.monotonic() - start < 0.1
        mapping._thread.join(PATIENCE)
        assert mapping.events() == []
