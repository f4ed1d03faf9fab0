"""Several doors: who is read and when, what leaves by which, and sockets that guess ports."""

import errno
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest

from securecp.endpoint import Burst, Endpoint
from securecp.net import doors as module
from securecp.net import probesocket, udp
from securecp.net.bind import bind_both
from securecp.net.doors import FULL_LIMIT, Doors
from securecp.net.probesocket import MOST, SPARE
from securecp.net.udp import KEPT, UdpSocket
from tests.net.fakes import THERE, FakeUdp, burst_to

PATIENCE = 5.0
IP_RECVTTL = 12
LONGEST = 40 * 1_200


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def alone(stack: ExitStack, address: str = "127.0.0.1") -> UdpSocket:
    udp = UdpSocket(Endpoint(address, 0))
    stack.callback(udp.close)
    return udp


def station(stack: ExitStack, *addresses: str) -> Doors:
    """Doors with main sockets at these addresses."""
    mains = [UdpSocket(Endpoint(address, 0)) for address in addresses or ("127.0.0.1",)]
    doors = Doors(*mains)
    stack.callback(doors.close)
    return doors


def where(doors: Doors, via: int) -> Endpoint:
    endpoint = doors.endpoint(via)
    assert endpoint is not None
    return endpoint


def read(doors: Doors, count: int) -> list[Burst]:
    """So many bursts, as copies; more would show in the next read."""
    found: list[Burst] = []
    while len(found) < count:
        doors.wait(PATIENCE)
        bursts = doors.read()
        assert bursts
        found += [b._replace(data=memoryview(bytes(b.data))) for b in bursts]
    assert len(found) == count
    return found


def names(bursts: list[Burst]) -> list[tuple[int, bytes]]:
    return sorted((burst.endpoint.via, bytes(burst.data)) for burst in bursts)


def data(name: str) -> bytes:
    return name.encode().ljust(40, b".")


def test_what_comes_in_bears_the_number_of_its_door_and_goes_back_through_it(
    stack: ExitStack,
) -> None:
    doors, peer = station(stack), alone(stack)
    assert doors.open_udp(2)
    assert doors.open_probe_sockets([3]) == [3]
    for via in (0, 2, 3):
        peer.send(burst_to(where(doors, via), data(f"to {via}"), 40))
    bursts = read(doors, 3)
    assert names(bursts) == [(0, data("to 0")), (2, data("to 2")), (3, data("to 3"))]
    for burst in bursts:
        assert burst.endpoint[:2] == peer.endpoint[:2]
        doors.send(burst)
        answer = next(iter(read(Doors(peer), 1)))
        assert (answer.endpoint.port, bytes(answer.data)) == (
            where(doors, burst.endpoint.via).port,
            bytes(burst.data),
        )


def test_ipv6_is_door_1(stack: ExitStack) -> None:
    try:
        doors = station(stack, "127.0.0.1", "::1")
    except OSError:
        pytest.skip("no IPv6 on loopback")
    peer = alone(stack, "::1")
    peer.send(burst_to(where(doors, 1), data("six"), 40))
    (burst,) = read(doors, 1)
    assert burst.endpoint == Endpoint("::1", peer.endpoint.port, 1)
    assert not where(doors, 0).address.count(":")


def test_a_number_is_given_once(stack: ExitStack) -> None:
    doors = station(stack)
    with pytest.raises(ValueError):
        doors.add(0, alone(stack))


def test_a_burst_for_a_door_that_is_gone_is_a_loss(stack: ExitStack) -> None:
    doors = station(stack)
    doors.open_udp(2)
    doors.remove(2, 7)
    assert 2 not in doors and len(doors) == 1
    assert doors.send(Burst(THERE._replace(via=2), memoryview(b"x"), 1)) is None
    doors.shoot(THERE._replace(via=2), b"x")
    assert doors.lost == 1
    assert doors.endpoint(2) is None


def test_what_came_for_a_door_that_is_removed_is_not_read(stack: ExitStack) -> None:
    doors, peer = station(stack), alone(stack)
    doors.open_probe_sockets([2])
    for via in (0, 2):
        peer.send(burst_to(where(doors, via), data("late"), 40))
    doors.wait(PATIENCE)
    doors.remove(2)
    assert [burst.endpoint.via for burst in read(doors, 1)] == [0]


def test_one_socket_alone_costs_no_further_call(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as there is nothing but the bell beside it."""
    doors = station(stack)
    left, right = socket.socketpair()
    stack.enter_context(left)
    stack.enter_context(right)
    doors.watch(left.fileno(), lambda: None)

    def never(*_: Any) -> Any:
        raise AssertionError("asked before reading")

    monkeypatch.setattr(select, "select", never)
    assert doors.read() == []
    doors.open_udp(2)
    with pytest.raises(AssertionError, match="asked"):
        doors.read()


def test_the_last_few_bursts_stay_as_they_are_at_small_sockets_too(stack: ExitStack) -> None:
    doors, peer = station(stack), alone(stack)
    vias = doors.open_probe_sockets(range(2, 2 + KEPT))
    for via in vias:
        peer.send(burst_to(where(doors, via), data(f"{via}"), 40))
    doors.wait(PATIENCE)
    bursts = doors.read()
    assert names(bursts) == [(via, data(f"{via}")) for via in vias]


def fakes(*receives: Callable[[], Burst | None]) -> tuple[Doors, list[FakeUdp], list[float]]:
    now = [0.0]
    doors = Doors(clock=lambda: now[0])
    made = [FakeUdp(receive) for receive in receives]
    for via, fake in enumerate(made):
        doors.add(via, cast(UdpSocket, fake))
        fake.ring()
    return doors, made, now


def test_tr21_a_flood_at_one_door_does_not_shut_the_other() -> None:
    flood = Burst(THERE, memoryview(b"flood"), 5)
    trickle = Burst(THERE, memoryview(b"drip"), 4)
    drops = [trickle] * 3
    doors, made, _ = fakes(lambda: flood, lambda: drops.pop() if drops else None)
    read = [bytes(burst.data) for _ in range(3) for burst in doors.read()]
    assert read.count(b"drip") == 3
    assert len(read) == 3 * KEPT - 1 or len(read) == 3 * KEPT
    doors.close()
    assert all(fake.closed for fake in made)


def test_tr21_a_door_that_stays_full_does_not_block_the_others() -> None:
    """It is waited for at first, and after that its bursts are losses until it takes one."""
    doors, made, now = fakes(lambda: None, lambda: None)
    burst = burst_to(THERE, data("stuck"), 40)
    made[0].taken.extend([0] * 4)
    assert doors.send(burst) is not None
    now[0] = FULL_LIMIT / 2
    assert doors.send(burst) is not None
    now[0] = FULL_LIMIT
    assert doors.send(burst) is None
    now[0] = 2 * FULL_LIMIT
    assert doors.send(burst) is None
    assert (doors.lost, made[0].sent) == (2, [])
    assert doors.send(burst) is None
    made[0].taken.append(0)
    assert doors.send(burst) is not None
    assert (doors.lost, made[0].sent) == (2, [data("stuck")])
    doors.close()


def test_tr22_a_lone_door_is_waited_for_as_long_as_it_takes() -> None:
    doors, made, now = fakes(lambda: None)
    made[0].taken.extend([0] * 3)
    for second in range(3):
        now[0] = float(second)
        assert doors.send(burst_to(THERE, data("patient"), 40)) is not None
    assert doors.lost == 0
    doors.close()


def test_what_is_watched_is_called_back_when_there_is_something(stack: ExitStack) -> None:
    doors = station(stack)
    left, right = socket.socketpair()
    stack.enter_context(left)
    stack.enter_context(right)
    heard: list[bytes] = []
    doors.watch(left.fileno(), lambda: heard.append(left.recv(9)))
    doors.wait(0)
    right.send(b"ring")
    doors.wait(PATIENCE)
    assert heard == [b"ring"]
    right.send(b"again")
    doors.wait(PATIENCE, patient=True)
    doors.unwatch(left.fileno())
    right.send(b"unheard")
    doors.wait(0)
    assert heard == [b"ring", b"again"]


def test_datagrams_may_gather_but_not_what_is_watched(stack: ExitStack) -> None:
    doors, peer = station(stack), alone(stack)
    left, right = socket.socketpair()
    stack.enter_context(left)
    stack.enter_context(right)
    heard: list[bytes] = []
    doors.watch(left.fileno(), lambda: heard.append(left.recv(9)))
    peer.send(burst_to(where(doors, 0), data("early"), 40))
    doors.wait(0.01, patient=True)
    assert not heard
    assert len(doors.read()) == 1


# sockets that guess


def test_256_small_sockets_hear_and_one_becomes_a_full_one(stack: ExitStack) -> None:
    doors, peer = station(stack), alone(stack)
    vias = list(range(10, 266))
    assert doors.open_probe_sockets(vias) == vias
    ports = {where(doors, via).port for via in vias}
    assert len(ports) == 256
    assert {where(doors, via).address for via in vias} == {"127.0.0.1"}
    peer.send(burst_to(where(doors, 99), data("guessed"), 40))
    (burst,) = read(doors, 1)
    assert burst.endpoint.via == 99
    port = where(doors, 99).port
    assert doors.promote(99)
    assert not doors.promote(99) and not doors.promote(0) and not doors.promote(1_000)
    doors.remove(*(via for via in vias if via != 99))
    assert len(doors) == 2
    assert where(doors, 99).port == port
    peer.send(burst_to(where(doors, 99), bytes(LONGEST), 1_200))
    assert sum(len(burst.data) for burst in read(doors, 1)) == LONGEST


def test_a_promoted_socket_has_what_has_come_before(stack: ExitStack) -> None:
    doors, peer = station(stack), alone(stack)
    doors.open_probe_sockets([5])
    peer.send(burst_to(where(doors, 5), data("first"), 40))
    doors.promote(5)
    assert names(read(doors, 1)) == [(5, data("first"))]


def test_small_sockets_are_made_quickly(stack: ExitStack) -> None:
    """Each with its first shot: some 10 ms in all."""
    doors = station(stack)
    begun = time.perf_counter()
    for via in doors.open_probe_sockets(range(2, 258)):
        doors.shoot(Endpoint("127.0.0.1", 9, via), bytes(68), ttl=2)
    assert time.perf_counter() - begun < 0.5


def test_there_is_a_limit_to_small_sockets(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST <= 768
    monkeypatch.setattr(module, "MOST", 3)
    doors = station(stack)
    assert doors.open_probe_sockets(range(2, 9)) == [2, 3, 4]
    doors.remove(3)
    assert doors.open_probe_sockets(range(20, 29)) == [20]
    assert doors.open_probe_sockets([30], like=1) == []


def test_when_no_file_is_left_some_are_given_back(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver has files to write, too."""
    doors = station(stack)
    left = 100

    def bound(at: Endpoint) -> socket.socket:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.EMFILE, "planned")
        return udp.bound(at)

    monkeypatch.setattr(probesocket, "bound", bound)
    assert doors.open_probe_sockets(range(2, 300)) == list(range(2, 102 - SPARE))
    assert len(doors) == 1 + 100 - SPARE


def test_without_the_family_no_socket_is_opened(stack: ExitStack) -> None:
    doors = station(stack)
    assert not doors.open_udp(4, like=1)
    assert doors.open_probe_sockets([5], like=1) == []
    assert len(doors) == 1


def test_dg16_an_icmp_error_at_a_small_socket_is_a_loss(stack: ExitStack) -> None:
    doors, peer = station(stack), alone(stack)
    doors.open_probe_sockets([2])
    gone = alone(stack)
    at = gone.endpoint
    gone.close()
    doors.shoot(at._replace(via=2), bytes(40))
    doors.send(Burst(at._replace(via=2), memoryview(bytes(40)), 20))
    peer.send(burst_to(where(doors, 2), data("all is well"), 40))
    assert names(read(doors, 1)) == [(2, data("all is well"))]


def test_a_long_datagram_at_a_small_socket_comes_cut_and_alone(stack: ExitStack) -> None:
    doors, peer = station(stack), alone(stack)
    doors.open_probe_sockets([2])
    peer.send(burst_to(where(doors, 2), bytes(9_000), 9_000))
    peer.send(burst_to(where(doors, 2), data("next"), 40))
    first, second = read(doors, 2)
    assert (len(first.data), bytes(second.data)) == (2_048, data("next"))


# one shot


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize(
    ("address", "asked", "level", "option"),
    [
        ("127.0.0.1", IP_RECVTTL, socket.IPPROTO_IP, socket.IP_TTL),
        ("::1", socket.IPV6_RECVHOPLIMIT, socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT),
    ],
    ids=["IPv4", "IPv6"],
)
def test_a_ttl_holds_for_one_datagram(
    stack: ExitStack, address: str, asked: int, level: int, option: int, small: bool
) -> None:
    like = int(":" in address)
    try:
        doors = station(stack, address)
    except OSError:
        pytest.skip("no IPv6 on loopback")
    door = like
    if small:
        door = 5
        doors.open_probe_sockets([door], like)
    peer = stack.enter_context(
        socket.socket(socket.AF_INET6 if like else socket.AF_INET, socket.SOCK_DGRAM)
    )
    peer.bind((address, 0))
    peer.setsockopt(level, asked, 1)
    peer.settimeout(PATIENCE)
    at = Endpoint(address, peer.getsockname()[1], door)
    for ttl in (3, None, 200):
        doors.shoot(at, bytes(30), ttl)
    doors.send(Burst(at, memoryview(bytes(30)), 30))
    seen = [int.from_bytes(peer.recvmsg(99, 99)[1][0][2], "little") for _ in range(4)]
    assert seen == [3, 64, 200, 64]


def test_a_shot_through_a_full_door_is_a_loss(stack: ExitStack) -> None:
    doors = station(stack)
    for _ in range(3):
        doors.shoot(Endpoint("127.0.0.1", 9), bytes(70_000))
        doors.shoot(Endpoint("::1", 9), b"x", ttl=1)


# two families


def test_both_families_have_one_port() -> None:
    mains = bind_both()
    try:
        assert len({udp.endpoint.port for udp in mains}) == 1
        assert [udp.v6 for udp in mains] in ([False, True], [False], [True])
        doors = Doors(*mains)
        assert len(doors) == len(mains)
    finally:
        for udp in mains:
            udp.close()
