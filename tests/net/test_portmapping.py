"""The sockets and the thread of port mapping, against routers in this process."""

import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from random import Random
from types import ModuleType

import pytest

from securecp.endpoint import Endpoint
from securecp.nat.portmap import LIFETIME, Event, Mapped, Unmapped
from securecp.net import portmapping, upnp
from securecp.net.interfaces import Gateway
from securecp.net.portmapping import PortMapping
from securecp.net.upnp import Upnp
from tests.nat.test_portmap import EXTERNAL
from tests.nat.test_portmap import Gateway as Router

PATIENCE = 5.0
HERE = Gateway("127.0.0.9", "127.0.0.1", "lo")


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket that is the router, on a port that is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind((HERE.address, 0))
        door.settimeout(PATIENCE)
        port = door.getsockname()[1]
        monkeypatch.setattr(portmapping, "PORT", port)
        monkeypatch.setattr("securecp.nat.portmap.PORT", port)
        yield door


def serve(door: socket.socket, router: Router, requests: int) -> None:
    for _ in range(requests):
        request, source = door.recvfrom(2_000)
        if answer := router.answer(request):
            door.sendto(answer, source)


def turn(mapping: PortMapping) -> list[Event]:
    """Wait for the router's answer, and take it."""
    assert select.select([mapping], [], [], PATIENCE)[0]
    return mapping.turn(time.monotonic())


def test_a_port_is_mapped_and_given_back(router: socket.socket) -> None:
    speaks = Router("PCP")
    mapping = PortMapping(time.monotonic(), HERE, 5_000, Random(1).randbytes)
    assert mapping.turn(time.monotonic()) == []
    serve(router, speaks, 2)
    assert turn(mapping) == [Mapped(EXTERNAL, LIFETIME)]
    deadline = mapping.deadline()
    assert deadline and deadline > time.monotonic() + LIFETIME / 3
    mapping.close(time.monotonic())
    serve(router, speaks, 1)
    assert speaks.mapped == {}


def test_a_new_network_gets_a_new_socket(router: socket.socket) -> None:
    mapping = PortMapping(time.monotonic(), HERE, 5_000, Random(1).randbytes)
    mapping.restart(time.monotonic(), HERE)
    mapping.turn(time.monotonic())
    serve(router, Router("PCP"), 2)
    assert turn(mapping) == [Mapped(EXTERNAL, LIFETIME)]
    mapping.close(time.monotonic())


def test_a_router_that_is_not_there_is_silence(router: socket.socket) -> None:
    mapping = PortMapping(time.monotonic(), HERE, 5_000, Random(1).randbytes)
    router.close()
    now = time.monotonic()
    for step in range(10):  # each send brings an ICMP error, which the next read must pass over
        assert mapping.turn(now + step / 2) == []
    assert mapping.deadline() is None
    mapping.close(now)


def test_strangers_are_not_even_read(router: socket.socket) -> None:
    mapping = PortMapping(time.monotonic(), HERE, 5_000, Random(1).randbytes)
    mapping.turn(time.monotonic())
    request, source = router.recvfrom(2_000)
    answer = Router("PCP").answer(request)
    assert answer
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.10", 0))
        stranger.sendto(answer, source)
    assert not select.select([mapping], [], [], 0.02)[0]
    mapping.close(time.monotonic())


def test_no_socket_is_left_where_none_can_be_had() -> None:
    with pytest.raises(OSError):
        PortMapping(0.0, HERE._replace(source="192.0.2.99"), 5_000, Random(1).randbytes)


# UPnP


class FakeLibrary(ModuleType):
    """miniupnpc, with one router."""

    def __init__(self) -> None:
        super().__init__("miniupnpc")
        self.outside = "11.0.113.21"
        self.taken = {5_000}
        self.mapped: dict[int, tuple[str, int, int]] = {}
        self.routers = 1
        self.hold = threading.Event()
        self.hold.set()
        self.lanaddr = "192.168.1.10"
        self.discoverdelay = 0

    def UPnP(self) -> "FakeLibrary":
        return self

    def discover(self) -> int:
        return self.routers

    def selectigd(self) -> str:
        return ""

    def addportmapping(
        self, port: int, protocol: str, host: str, inner: int, what: str, whence: str, lease: int
    ) -> bool:
        assert (protocol, whence) == ("UDP", "")
        if port in self.taken:
            raise OSError("ConflictInMappingEntry")
        self.mapped[port] = (host, inner, lease)
        return True

    def deleteportmapping(self, port: int, protocol: str) -> bool:
        self.hold.wait(PATIENCE)
        del self.mapped[port]
        return True

    def externalipaddress(self) -> str:
        return self.outside


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    made = FakeLibrary()
    monkeypatch.setitem(sys.modules, "miniupnpc", made)
    return made


class Bell:
    """Counts, and can be waited for."""

    def __init__(self) -> None:
        self.rung = threading.Semaphore(0)

    def __call__(self) -> None:
        self.rung.release()

    def wait(self) -> None:
        assert self.rung.acquire(timeout=PATIENCE)


def ended(mapping: Upnp) -> bool:
    mapping._thread.join(PATIENCE)
    return mapping.done


def test_upnp_maps_another_port_if_ours_is_taken_and_gives_it_back(library: FakeLibrary) -> None:
    bell = Bell()
    mapping = Upnp(5_000, bell, Random(1).randbytes)
    bell.wait()
    (port,) = library.mapped
    assert port >= 0x4000
    assert library.mapped == {port: ("192.168.1.10", 5_000, LIFETIME)}
    assert mapping.events() == [Mapped(Endpoint("11.0.113.21", port), LIFETIME)]
    assert mapping.events() == []
    mapping.close()
    assert library.mapped == {}
    assert mapping.done


def test_upnp_renews_and_tells_when_the_address_changes(
    library: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upnp, "LIFETIME", 0.02)
    bell = Bell()
    mapping = Upnp(6_000, bell, Random(1).randbytes)
    bell.wait()
    assert len(mapping.events()) == 1
    library.outside = "11.0.113.99"
    bell.wait()
    old, new = mapping.events()
    assert old == Unmapped(Endpoint("11.0.113.21", 6_000))
    assert isinstance(new, Mapped) and new.endpoint == Endpoint("11.0.113.99", 6_000)
    library.taken = {6_000}  # from now on it refuses
    bell.wait()
    assert mapping.events() == [Unmapped(new.endpoint)]
    assert ended(mapping)


@pytest.mark.parametrize("outside", ["", "0.0.0.0", "224.0.0.1", "nonsense"])
def test_upnp_is_nothing_where_the_router_makes_no_sense(
    library: FakeLibrary, outside: str
) -> None:
    library.outside = outside
    mapping = Upnp(6_000, Bell(), Random(1).randbytes)
    assert ended(mapping)
    assert mapping.events() == []
    assert library.mapped == {}


def test_upnp_is_nothing_without_router_or_library(
    library: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.routers = 0
    assert ended(Upnp(6_000, Bell(), Random(1).randbytes))
    library.taken = set(range(65_536))
    library.routers = 1
    assert ended(Upnp(6_000, Bell(), Random(1).randbytes))
    monkeypatch.setitem(sys.modules, "miniupnpc", None)
    assert ended(Upnp(6_000, Bell(), Random(1).randbytes))


def test_a_router_that_sleeps_does_not_hold_us_up(library: FakeLibrary) -> None:
    bell = Bell()
    mapping = Upnp(6_000, bell, Random(1).randbytes)
    bell.wait()
    library.hold.clear()
    start = time.monotonic()
    mapping.close()
    assert time.monotonic() - start < upnp.GOODBYE + 0.3
    library.hold.set()
    assert ended(mapping)
