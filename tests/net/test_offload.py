"""Whole transfers where the kernel does not cut or join bursts, or stops doing so half-way."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from securecp.endpoint import Endpoint
from securecp.net import udp as module
from securecp.net.pace import Pace
from securecp.net.udp import UDP_GRO, UdpSocket
from securecp.transport.wire import LARGEST_DATAGRAM
from tests.net.transfers import transfer

LOOPBACK = Endpoint("127.0.0.1", 0)
STOCK = 212_992
"""net.core.rmem_max and wmem_max of Linux, of which it grants twice as much."""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def opened(stack: ExitStack, *, offload: bool = True) -> UdpSocket:
    udp = UdpSocket(LOOPBACK, offload=offload)
    stack.callback(udp.close)
    return udp


class Refusing:
    """A real socket that takes `sent` bursts with UDP_SEGMENT and refuses all that follow."""

    def __init__(self, real: socket.socket, code: int, after: int) -> None:
        self._real = real
        self._code = code
        self._left = after
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def sendmsg(self, buffers: Any, ancillary: Any, flags: int, endpoint: Any) -> int:
        if ancillary and not self._left:
            self.refused += 1
            raise OSError(self._code, errno.errorcode[self._code])
        self._left -= bool(ancillary)
        return self._real.sendmsg(buffers, ancillary, flags, endpoint)


def refuse(udp: UdpSocket, code: int, after: int) -> Refusing:
    """From the `after`th segmented burst on, this socket's kernel says `code` to each."""
    if not udp.segmentation:
        pytest.skip("this kernel has no UDP_SEGMENT")
    fake = Refusing(udp._socket, code, after)
    udp._socket = fake  # type: ignore[assignment]
    return fake


@pytest.mark.parametrize("after", [0, 1, 8], ids=["first", "second", "later"])
@pytest.mark.parametrize("code", [errno.EIO, errno.EINVAL, errno.ENOPROTOOPT, errno.EOPNOTSUPP])
def test_a_kernel_that_refuses_to_cut_bursts_is_asked_no_more(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, after: int
) -> None:
    """The burst that it refused leaves datagram by datagram; nothing is lost for it."""
    left, right = opened(stack), opened(stack)
    fake = refuse(left, code, after)
    transfer(tmp_path, monkeypatch, left, right)
    assert fake.refused == 1
    assert not left.segmentation


def test_a_stride_that_is_too_long_to_cut_does_not_end_cutting(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EINVAL, and EMSGSIZE for each datagram alone: the path became narrow, the kernel did not."""
    left, right = opened(stack), opened(stack)
    if not left.segmentation:
        pytest.skip("this kernel has no UDP_SEGMENT")
    narrow = Narrow(left._socket)
    left._socket = narrow  # type: ignore[assignment]
    transfer(tmp_path, monkeypatch, left, right, size=6_000_000)
    assert narrow.refused > 0
    assert left.too_long > 0
    assert left.segmentation


class Narrow:
    """A real socket whose interface turns from jumbo frames to Ethernet's on the way."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self._bytes = 0
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def _too_long(self, size: int, total: int) -> bool:
        self._bytes += total
        return size > (8_972 if self._bytes < 2_000_000 else 1_472)

    def sendmsg(self, buffers: Any, ancillary: Any, flags: int, endpoint: Any) -> int:
        stride = int.from_bytes(ancillary[0][2], "little") if ancillary else len(buffers[0])
        if self._too_long(stride, len(buffers[0])):
            self.refused += 1
            raise OSError(errno.EINVAL if ancillary else errno.EMSGSIZE, "planned")
        return self._real.sendmsg(buffers, ancillary, flags, endpoint)

    def sendto(self, data: Any, endpoint: Any) -> int:
        if self._too_long(len(data), len(data)):
            raise OSError(errno.EMSGSIZE, "planned")
        return self._real.sendto(data, endpoint)


class Watching:
    """A real socket that remembers the longest datagram that left."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self.longest = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def sendto(self, data: Any, endpoint: Any) -> int:
        sent = self._real.sendto(data, endpoint)
        self.longest = max(self.longest, sent)
        return sent


def test_over_loopback_datagrams_grow_to_the_longest_there_are(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = opened(stack), opened(stack)
    watching = Watching(left._socket)
    left._socket = watching  # type: ignore[assignment]
    done = transfer(tmp_path, monkeypatch, left, right, size=8_000_000).done
    assert watching.longest == LARGEST_DATAGRAM
    assert done.sent < 1.2 * done.size


class Old(socket.socket):
    """A socket of a kernel that knows nothing of UDP_GRO."""

    def setsockopt(self, *arguments: Any) -> None:
        if arguments[:2] == (socket.IPPROTO_UDP, UDP_GRO):
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")
        super().setsockopt(*arguments)


def without_gro(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> UdpSocket:
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", Old)
        udp = opened(stack)
    assert not udp._coalescing
    return udp


def test_without_gro_datagrams_come_one_by_one(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = without_gro(stack, monkeypatch), without_gro(stack, monkeypatch)
    transfer(tmp_path, monkeypatch, left, right)
    if module._LINUX:
        assert left.segmentation, "only joining is missing, not cutting"


@pytest.mark.parametrize("sender", [True, False], ids=["sender has", "sender has not"])
@pytest.mark.parametrize("receiver", [True, False], ids=["receiver has", "receiver has not"])
def test_offload_on_either_side_or_none(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sender: bool, receiver: bool
) -> None:
    left, right = opened(stack, offload=sender), opened(stack, offload=receiver)
    transfer(tmp_path, monkeypatch, left, right)
    assert (left.segmentation, right.segmentation) == (
        sender and module._LINUX, receiver and module._LINUX,
    )  # fmt: skip


@pytest.mark.parametrize("offload", [True, False])
def test_stock_socket_buffers_will_do(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offload: bool
) -> None:
    left, right = opened(stack, offload=offload), opened(stack, offload=offload)
    for udp in (left, right):
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            udp._socket.setsockopt(socket.SOL_SOCKET, option, STOCK)
    done = transfer(tmp_path, monkeypatch, left, right, size=8_000_000).done
    # How much is dropped where buffers are short depends on who runs when; a storm is more.
    assert done.sent < 4 * done.size


def test_other_controllers_and_limits_work_over_real_sockets(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (pace, limit) in enumerate(
        ((Pace("cubic"), None), (Pace(background=True), None), (Pace(limit=20_000_000), None),
         (Pace(), 20_000_000))
    ):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        transfer(folder, monkeypatch, opened(stack), opened(stack), pace=pace, limit=limit)


def test_a_limit_is_kept_over_real_sockets(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine can only make it slower, so this cannot fail by chance."""
    for number, (pace, limit) in enumerate(((Pace(limit=1_000_000), None), (Pace(), 1_000_000))):
        folder = tmp_path / str(number)
        folder.mkdir()
        left, right = opened(stack), opened(stack)
        done = transfer(
            folder, monkeypatch, left, right, size=1_000_000, pace=pace, limit=limit
        ).done
        assert done.sent >= 1_000_000
        assert done.seconds > 0.9 * done.sent / 1_000_000 - 0.3
