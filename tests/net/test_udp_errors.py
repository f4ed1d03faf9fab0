"""What a socket does with each answer of the system (TR-22, DG-16)."""

import errno
import socket
from collections import deque

import pytest

from securecp.endpoint import Burst
from securecp.net.udp import UdpSocket
from securecp.transport.wire import per_call
from tests.net.fakes import THERE, burst_to, on_fake

DATA = bytes(range(250)) * 20
STRIDE = 1_000
PIECES = [DATA[at : at + STRIDE] for at in range(0, len(DATA), STRIDE)]

FULL = [errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR]
REFUSED = [errno.EINVAL, errno.EIO, errno.EOPNOTSUPP, errno.ENOPROTOOPT]
LOSSES = [
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.EMSGSIZE,
    errno.ECONNREFUSED,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EPERM,
    errno.EACCES,
    errno.EADDRNOTAVAIL,
    errno.EDESTADDRREQ,
    errno.EBADF,
    errno.EPIPE,
]


def names(code: int) -> str:
    return errno.errorcode[code]


def burst() -> Burst:
    return burst_to(THERE, DATA, STRIDE)


@pytest.mark.parametrize("code", FULL, ids=names)
@pytest.mark.parametrize("offload", [True, False])
def test_tr22_a_full_socket_keeps_the_burst(code: int, offload: bool) -> None:
    udp, fake = on_fake(code, offload=offload)
    left = udp.send(burst())
    assert left is not None
    assert bytes(left.data) == DATA
    assert fake.sent == []
    assert udp.errors == 0
    assert udp.send(left) is None
    assert b"".join(data for _, data in fake.sent) == DATA


@pytest.mark.parametrize("taken", range(1, len(PIECES)))
def test_tr22_a_socket_that_fills_up_half_way_keeps_the_rest(taken: int) -> None:
    udp, fake = on_fake(*[0] * taken, errno.EAGAIN, offload=False)
    left = udp.send(burst())
    assert left is not None
    assert (left.endpoint, left.stride) == (THERE, STRIDE)
    assert [data for _, data in fake.sent] == PIECES[:taken]
    assert udp.send(left) is None
    assert [data for _, data in fake.sent] == PIECES


@pytest.mark.parametrize("taken", range(4))
def test_tr22_a_socket_that_fills_up_in_a_volley_keeps_the_rest(taken: int) -> None:
    """More than one call's worth: each call sends as much as the kernel cuts at once."""
    udp, fake = on_fake(*[0] * taken, errno.EAGAIN)
    call = per_call(STRIDE) * STRIDE
    data = bytes(number % 251 for number in range(4 * call))
    calls = [(STRIDE, data[at : at + call]) for at in range(0, len(data), call)]
    left = udp.send(burst_to(THERE, data, STRIDE))
    assert left is not None
    assert fake.sent == calls[:taken]
    assert udp.send(left) is None
    assert fake.sent == calls


@pytest.mark.parametrize("code", LOSSES, ids=names)
def test_tr22_any_other_error_of_a_segmented_burst_is_a_loss(code: int) -> None:
    udp, fake = on_fake(code)
    assert udp.send(burst()) is None
    assert fake.calls == 1
    assert udp.errors == 1
    assert udp.segmentation


@pytest.mark.parametrize("code", LOSSES, ids=names)
def test_tr22_any_other_error_of_one_datagram_is_the_loss_of_that_one(code: int) -> None:
    udp, fake = on_fake(0, code, offload=False)
    assert udp.send(burst()) is None
    assert [data for _, data in fake.sent] == [PIECES[0], *PIECES[2:]]
    assert udp.errors == 1


@pytest.mark.parametrize("code", REFUSED, ids=names)
def test_a_kernel_that_refuses_segmentation_gets_the_same_burst_singly(code: int) -> None:
    udp, fake = on_fake(code)
    assert udp.send(burst()) is None
    assert fake.sent == [(0, piece) for piece in PIECES]
    assert not udp.segmentation
    assert udp.errors == 0
    udp.send(burst())
    assert fake.sent[len(PIECES) :] == [(0, piece) for piece in PIECES]


def test_a_full_socket_after_a_refusal_keeps_the_rest_too() -> None:
    udp, fake = on_fake(errno.EINVAL, 0, errno.EAGAIN)
    left = udp.send(burst())
    assert left is not None
    assert bytes(left.data) == DATA[STRIDE:]
    udp.send(left)
    assert fake.sent == [(0, piece) for piece in PIECES]


def test_a_refusal_because_of_the_length_does_not_switch_segmentation_off() -> None:
    """Older kernels say EINVAL where the stride exceeds the interface's MTU."""
    udp, fake = on_fake(errno.EINVAL, *[errno.EMSGSIZE] * len(PIECES))
    assert udp.send(burst()) is None
    assert udp.too_long == udp.errors == len(PIECES)
    assert udp.segmentation
    udp.send(burst())
    assert fake.sent == [(STRIDE, DATA)]


def test_one_datagram_needs_no_segmentation() -> None:
    udp, fake = on_fake()
    udp.send(burst_to(THERE, b"one", 3))
    udp.send(burst_to(THERE, b"short", 1_000))
    assert fake.sent == [(0, b"one"), (0, b"short")]


@pytest.mark.parametrize("code", [*LOSSES, errno.EPROTO, errno.ECONNRESET, 10_054])
def test_dg16_an_icmp_error_on_receiving_is_passed_over(code: int) -> None:
    udp, fake = on_fake()
    fake.arrived = deque[bytes | int]([code, b"next"])
    got = udp.receive()
    assert got is not None
    assert bytes(got.data) == b"next"


@pytest.mark.parametrize("code", [errno.ECONNREFUSED, errno.ENETDOWN, errno.EBADF])
def test_dg16_a_storm_of_errors_ends_the_turn_and_not_the_program(code: int) -> None:
    udp, fake = on_fake()
    fake.arrived = deque[bytes | int]([code] * 100)
    for _ in range(50):
        assert udp.receive() is None
    assert fake.calls == 100
    assert udp.receive() is None


@pytest.mark.parametrize("code", FULL, ids=names)
def test_nothing_to_read_is_none(code: int) -> None:
    udp, fake = on_fake()
    fake.arrived = deque[bytes | int]([code, b"later"])
    assert udp.receive() is None
    assert fake.calls == 1


def test_a_system_that_grants_no_option_still_gives_a_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stubborn(socket.socket):
        def setsockopt(self, *_: object) -> None:
            raise OSError(errno.ENOPROTOOPT, "no")

    monkeypatch.setattr(socket, "socket", Stubborn)
    udp = UdpSocket(THERE._replace(port=0))
    try:
        assert not udp._coalescing
    finally:
        udp.close()
