"""Small sockets for guessing the ports of a hard NAT: 256 at once, and one of them wins.

A full socket has 256 KiB of buffers and options for bulk; these share a few buffers of a datagram
each, and are made in about ten microseconds. The one that wins is promoted to a full socket.
"""

import contextlib
import socket
from typing import TYPE_CHECKING

from securecp.endpoint import Burst, Endpoint
from securecp.net.udp import KEPT, bound, sender_of, shoot

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

MOST = 512
"""At once; files and connections need some too, of the 1,024 that are usual."""
SPARE = 32
"""Files to leave when the system has no more."""
_LENGTH = 2_048


class Buffers:
    """What the small sockets of one station read into, in turn."""

    def __init__(self) -> None:
        self._buffers = [memoryview(bytearray(_LENGTH)) for _ in range(KEPT)]
        self._turn = 0

    def read(self, small: socket.socket, via: int) -> Burst:
        """OSError if there is nothing."""
        buffer = self._buffers[self._turn]
        length, sender = small.recvfrom_into(buffer)
        self._turn = (self._turn + 1) % KEPT
        return Burst(sender_of(sender, via), buffer[:length], max(length, 1))


class ProbeSocket:
    """A bound socket for a few short datagrams."""

    __slots__ = ("_buffers", "_socket", "via")

    def __init__(self, at: Endpoint, buffers: Buffers) -> None:
        """OSError if there is no such endpoint, or no file left."""
        self._socket = bound(at)
        self._buffers = buffers
        self.via = 0

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def filenos(self) -> list[int]:
        """What to watch for reading."""
        return [self._socket.fileno()]

    @property
    def endpoint(self) -> Endpoint:
        """Where it is bound."""
        return sender_of(self._socket.getsockname(), self.via)

    def receive(self) -> Burst | None:
        """One datagram, or None; one that is too long comes cut, and will not open."""
        for _ in range(2):
            try:
                return self._buffers.read(self._socket, self.via)
            except BlockingIOError:
                return None
            except OSError:  # an ICMP error of an earlier send: reading has cleared it
                continue
        return None

    def send(self, burst: Burst) -> None:
        """What does not leave is lost."""
        for at in range(0, len(burst.data), burst.stride):
            with contextlib.suppress(OSError):
                self._socket.sendto(burst.data[at : at + burst.stride], burst.endpoint[:2])

    def shoot(self, endpoint: Endpoint, data: "Buffer", ttl: int | None = None) -> None:
        """One datagram, now or not at all; `ttl` holds for it alone."""
        shoot(self._socket, endpoint, data, ttl)

    def release(self) -> socket.socket:
        """The socket itself, for whoever adopts it."""
        return self._socket

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()
