"""Stand-ins for what the system does only on bad days."""

import errno
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from securecp.endpoint import Burst, Endpoint
from securecp.net.udp import UdpSocket

HERE = Endpoint("127.0.0.1", 0)
THERE = Endpoint("127.0.0.1", 9)


def burst_to(endpoint: Endpoint, data: bytes, stride: int) -> Burst:
    return Burst(endpoint, memoryview(bytearray(data)), stride)


class FakeSocket:
    """A socket whose calls go as planned: each plan is an errno, or 0 for success.

    When the plan is used up everything succeeds; `sent` holds (stride or 0, bytes).
    """

    def __init__(self, *plan: int) -> None:
        self.plan = deque(plan)
        self.sent: list[tuple[int, bytes]] = []
        self.arrived: deque[bytes | int] = deque()
        self.calls = 0

    def _step(self) -> None:
        self.calls += 1
        code = self.plan.popleft() if self.plan else 0
        if code:
            raise OSError(code, errno.errorcode.get(code, "unknown"))

    def sendmsg(
        self, buffers: list[Any], ancillary: list[Any], _flags: int, _endpoint: object
    ) -> int:
        self._step()
        stride = int.from_bytes(ancillary[0][2], "little")
        self.sent.append((stride, bytes(buffers[0])))
        return len(buffers[0])

    def sendto(self, data: Any, _endpoint: object) -> int:
        self._step()
        self.sent.append((0, bytes(data)))
        return len(data)

    def recvmsg_into(self, buffers: list[memoryview], _size: int) -> Any:
        self.calls += 1
        item = self.arrived.popleft() if self.arrived else errno.EAGAIN
        if isinstance(item, int):
            raise OSError(item, "planned")
        buffers[0][: len(item)] = item
        return len(item), [], 0, ("127.0.0.1", 4_000)

    def close(self) -> None:
        """Nothing is held."""


def on_fake(*plan: int, offload: bool = True) -> tuple[UdpSocket, FakeSocket]:
    """A UdpSocket whose system calls go to a FakeSocket."""
    udp = UdpSocket(HERE, offload=offload)
    udp._socket.close()
    fake = FakeSocket(*plan)
    udp._socket = fake  # type: ignore[assignment]
    return udp, fake


class FakeUdp:
    """What the driver needs of a UdpSocket; `full` datagrams are not taken at first."""

    via = 0

    def __init__(self, receive: Callable[[], Burst | None] = lambda: None) -> None:
        self.receive = receive
        self.sent: list[bytes] = []
        self.taken: deque[int | None] = deque()
        """For each call of `send`, how many bytes go out; None for all."""
        self._pair = socket.socketpair()

    def filenos(self) -> list[int]:
        return [self._pair[0].fileno()]

    def send(self, burst: Burst) -> Burst | None:
        count = self.taken.popleft() if self.taken else None
        if count is None:
            self.sent.append(bytes(burst.data))
            return None
        if count:
            self.sent.append(bytes(burst.data[:count]))
        return burst._replace(data=burst.data[count:])

    def ring(self) -> None:
        """From now on there seems to be something to read."""
        self._pair[1].send(b"!")

    @property
    def closed(self) -> bool:
        return self._pair[0].fileno() < 0

    def close(self) -> None:
        for end in self._pair:
            end.close()
