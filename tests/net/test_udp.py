"""Bursts over real sockets on loopback, with and without the help of the kernel."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from securecp.endpoint import Burst, Endpoint
from securecp.net import udp as module
from securecp.net.udp import BUFFER, KEPT, SHORTEST, UdpSocket
from securecp.transport.wire import LARGEST_DATAGRAM
from tests.net.fakes import HERE, burst_to

PATIENCE = 5.0

SHAPES = {
    "one datagram": (700, 700),
    "the shortest": (SHORTEST, SHORTEST),
    "two datagrams": (2_400, 1_200),
    "a short last one": (3_000, 1_200),
    "a last one as short as can be": (2_400 + SHORTEST, 1_200),
    "64 datagrams": (64 * 1_000, 1_000),
    "64 datagrams, the last short": (64 * 1_000 - 970, 1_000),
    "the longest burst": (44 * 1_472, 1_472),
    "two long ones": (40_000, 20_000),
    "the longest datagram": (LARGEST_DATAGRAM, LARGEST_DATAGRAM),
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def opened(stack: ExitStack, *, offload: bool, address: str = "127.0.0.1") -> UdpSocket:
    udp = UdpSocket(Endpoint(address, 0), offload=offload)
    stack.callback(udp.close)
    return udp


def wait_for(udp: UdpSocket) -> Burst:
    """The next burst; loopback delivers within the system call, but let the kernel be slow."""
    burst = udp.receive()
    if burst is None:
        udp._socket.settimeout(PATIENCE)
        udp._socket.recvfrom_into(bytearray(0), 0, socket.MSG_PEEK)
        udp._socket.setblocking(False)
        burst = udp.receive()
    assert burst is not None
    return burst


def datagrams(udp: UdpSocket, count: int) -> list[bytes]:
    """The next `count` datagrams, however they are laid together."""
    out: list[bytes] = []
    while len(out) < count:
        burst = wait_for(udp)
        data = bytes(burst.data)
        out += [data[at : at + burst.stride] for at in range(0, len(data), burst.stride)]
    return out


@pytest.mark.parametrize("joined", [True, False], ids=["GRO", "no GRO"])
@pytest.mark.parametrize("cut", [True, False], ids=["GSO", "no GSO"])
@pytest.mark.parametrize(("length", "stride"), SHAPES.values(), ids=SHAPES.keys())
def test_a_burst_arrives_datagram_by_datagram(
    stack: ExitStack, length: int, stride: int, cut: bool, joined: bool
) -> None:
    left, right = opened(stack, offload=cut), opened(stack, offload=joined)
    data = bytes(number * 31 % 251 for number in range(length))
    assert left.send(burst_to(right.endpoint, data, stride)) is None
    expected = [data[at : at + stride] for at in range(0, length, stride)]
    assert datagrams(right, len(expected)) == expected
    assert right.receive() is None
    assert left.errors == 0


def test_one_call_each_way_where_the_kernel_can(stack: ExitStack) -> None:
    left, right = opened(stack, offload=True), opened(stack, offload=True)
    if not (left.segmentation and right._coalescing):
        pytest.skip("this kernel has no UDP_SEGMENT or no UDP_GRO")
    assert left.send(burst_to(right.endpoint, bytes(40 * 1_200 - 7), 1_200)) is None
    burst = wait_for(right)
    assert (len(burst.data), burst.stride) == (40 * 1_200 - 7, 1_200)
    assert burst.endpoint == left.endpoint
    assert left.segmentation


def test_the_same_length_is_handed_out_as_the_same_view(stack: ExitStack) -> None:
    """So that slices made of it once can be kept."""
    left, right = opened(stack, offload=True), opened(stack, offload=True)
    views = []
    for length in (500, 600, 700, 800, 500):
        left.send(burst_to(right.endpoint, bytes(length), length))
        views.append(wait_for(right).data)
    assert views[0] is views[KEPT]


def test_the_last_few_bursts_stay_as_they_are(stack: ExitStack) -> None:
    left, right = opened(stack, offload=True), opened(stack, offload=True)
    views = []
    for number in range(KEPT):
        left.send(burst_to(right.endpoint, bytes([number]) * 500, 500))
        views.append(wait_for(right).data)
    assert [view[0] for view in views] == list(range(KEPT))


def test_views_of_many_lengths_do_not_pile_up(stack: ExitStack) -> None:
    left, right = opened(stack, offload=True), opened(stack, offload=True)
    for length in range(SHORTEST, 3 * module._VIEWS_KEPT):
        left.send(burst_to(right.endpoint, bytes(length), length))
        assert len(wait_for(right).data) == length
        assert len(right._views) <= module._VIEWS_KEPT


@pytest.mark.parametrize("length", range(SHORTEST + 2))
def test_dg01_what_is_too_short_for_anything_does_not_even_wake_us(
    stack: ExitStack, length: int
) -> None:
    """The kernel drops it: a flood costs us nothing."""
    left, right = opened(stack, offload=True), opened(stack, offload=True)
    if not module._LINUX:
        pytest.skip("the filter is Linux's")
    left._socket.sendto(bytes(length), right.endpoint[:2])
    left._socket.sendto(b"long enough for anything", right.endpoint[:2])
    expected = [bytes(length)] if length >= SHORTEST else []
    assert [*expected, b"long enough for anything"] == datagrams(right, 1 + len(expected))
    assert right.receive() is None


def test_dg01_an_empty_datagram_is_an_empty_burst(stack: ExitStack) -> None:
    """Where the kernel lets it through; it is no end of anything, and counts like any other."""
    left, right = opened(stack, offload=False), opened(stack, offload=False)
    left._socket.sendto(b"", right.endpoint[:2])
    left.send(burst_to(right.endpoint, b"after", 5))
    empty = wait_for(right)
    assert (len(empty.data), empty.stride) == (0, 1)
    assert bytes(wait_for(right).data) == b"after"


def test_dg06_the_longest_datagram_fits_and_the_buffer_is_one_burst(stack: ExitStack) -> None:
    left, right = opened(stack, offload=True), opened(stack, offload=True)
    for _ in range(3):
        left._socket.sendto(bytes(LARGEST_DATAGRAM), right.endpoint[:2])
        assert len(wait_for(right).data) == LARGEST_DATAGRAM
    assert len(right._buffers[0]) == BUFFER == 65_536


def test_tr22_a_datagram_too_long_for_the_interface_is_a_loss(stack: ExitStack) -> None:
    """EMSGSIZE of a real socket; what follows leaves as ever."""
    left, right = opened(stack, offload=True), opened(stack, offload=True)
    assert left.send(burst_to(right.endpoint, bytes(65_508), 65_508)) is None
    assert (left.errors, left.too_long) == (1, 1)
    assert left.send(burst_to(right.endpoint, bytes(40), 40)) is None
    assert bytes(wait_for(right).data) == bytes(40)


def test_tr22_a_port_where_nobody_listens_is_a_loss(stack: ExitStack) -> None:
    """ECONNREFUSED by real ICMP: neither sending nor receiving minds."""
    left, right = opened(stack, offload=True), opened(stack, offload=True)
    gone = opened(stack, offload=True)
    endpoint = gone.endpoint
    gone.close()
    for _ in range(3):
        assert left.send(burst_to(endpoint, bytes(3_000), 1_200)) is None
        assert left.receive() is None
    right.send(burst_to(left.endpoint, b"we are all still there", 22))
    assert bytes(wait_for(left).data) == b"we are all still there"


def test_an_address_of_the_other_family_is_a_loss(stack: ExitStack) -> None:
    left = opened(stack, offload=True)
    assert left.send(burst_to(Endpoint("::1", 9), b"x", 1)) is None
    assert left.errors == 1


def test_ipv6_works_the_same(stack: ExitStack) -> None:
    try:
        left = opened(stack, offload=True, address="::1")
    except OSError:
        pytest.skip("no IPv6 on loopback")
    right = opened(stack, offload=True, address="::1")
    left.send(burst_to(right.endpoint, bytes(3_000), 1_200))
    assert [len(datagram) for datagram in datagrams(right, 3)] == [1_200, 1_200, 600]
    assert right.endpoint.address == "::1"


def test_a_port_that_is_taken_is_an_error_and_leaks_nothing(stack: ExitStack) -> None:
    taken = opened(stack, offload=True)
    with pytest.raises(OSError, match="in use"):
        UdpSocket(taken.endpoint)


def test_the_socket_does_not_fragment(stack: ExitStack) -> None:
    """Path MTU is found by probing: what is too long must not arrive in pieces."""
    if not module._LINUX:
        pytest.skip("the option is Linux's")
    for address, level, option in (
        ("127.0.0.1", socket.IPPROTO_IP, module.IP_MTU_DISCOVER),
        ("::1", socket.IPPROTO_IPV6, module.IPV6_MTU_DISCOVER),
    ):
        try:
            udp = opened(stack, offload=True, address=address)
        except OSError:
            continue  # no IPv6 here
        assert udp._socket.getsockopt(level, option) == module.IP_PMTUDISC_PROBE


def test_without_linux_there_is_no_offload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINUX", False)
    udp = UdpSocket(HERE)
    try:
        assert not udp.segmentation
        assert not udp._coalescing
        assert udp.send(burst_to(udp.endpoint, bytes(3_000), 1_200)) is None
        assert [len(datagram) for datagram in datagrams(udp, 3)] == [1_200, 1_200, 600]
    finally:
        udp.close()
