"""Bursts to and from a UDP socket: one system call each where the kernel can, else a loop.

    send       sendmsg with UDP_SEGMENT: the kernel cuts the burst into datagrams      (Linux 4.18)
    receive    recvmsg_into with UDP_GRO: the kernel lays datagrams of one flow together (Linux 5.0)

Nothing here knows what is in a datagram. Errors of the network are losses, never exceptions: what
ICMP tells us can be forged (DG-16), and what did not leave is sent again as anything lost (TR-22).
Only a full socket is no loss: then `send` gives back what is left, and `select` says when.
"""

import contextlib
import errno
import socket
import struct
import sys
from array import array
from typing import TYPE_CHECKING, Any

from securecp.endpoint import Burst, Endpoint
from securecp.transport.wire import per_call

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

UDP_SEGMENT = 103
UDP_GRO = 104
IP_MTU_DISCOVER = 10
IP_PMTUDISC_PROBE = 3
IPV6_MTU_DISCOVER = 23
SO_ATTACH_FILTER = 26
IP_TTL = 2
IPV6_HOPLIMIT = 52
SHORTEST = 20
"""Bytes of the shortest datagram of any protocol that may share this socket (STUN's header)."""
BUFFER = 65_536
SOCKET_BUFFER = 4 << 20
"""Asked for; a stock Linux grants 212,992 bytes, and that must do as well."""
KEPT = 4
"""Bursts that can be read before the first of them is overwritten."""
_VIEWS_KEPT = 1_024
_ANCILLARY = 64
_LINUX = sys.platform.startswith("linux")
_SEGMENT = struct.Struct("=H")
_INT = struct.Struct("=i")
_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("HP")
_UDP_HEADER = 8
_LONG_ENOUGH = (
    (0x80, 0, 0, 0),  # A = length of the datagram, with its UDP header
    (0x35, 0, 1, _UDP_HEADER + SHORTEST),  # if A < this, skip the next
    (0x06, 0, 0, 0xFFFF_FFFF),  # keep all of it
    (0x06, 0, 0, 0),  # drop it
)
"""A filter for the kernel, in the classic Berkeley packet filter language."""

_FULL = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR}
"""Not ENOBUFS and ENOMEM: the socket stays writable all the while, so waiting would be spinning."""
_NO_SEGMENTATION = {errno.EINVAL, errno.EIO, errno.EOPNOTSUPP, errno.ENOPROTOOPT}
"""EIO: the device cannot compute checksums. EINVAL: an old kernel, or a stride beyond its MTU."""


def bound(endpoint: Endpoint) -> socket.socket:
    """A socket there that does not block, and nothing more; OSError if it cannot be bound."""
    family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:  # an IPv4 socket may have the same port
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((endpoint.address, endpoint.port))
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def sender_of(address: tuple[Any, ...], via: int) -> Endpoint:
    """The endpoint of what `recvfrom` calls an address; link-local ones keep their interface."""
    host, port = address[:2]
    if len(address) > 2 and address[3]:
        host = f"{host}%{address[3]}"
    return Endpoint(host, port, via)


def shoot(through: socket.socket, endpoint: Endpoint, data: "Buffer", ttl: int | None) -> None:
    """Send one datagram if that can be done now; `ttl` hops far at most, where one is given."""
    v6 = through.family == socket.AF_INET6
    with contextlib.suppress(OSError):
        if ttl is None:
            through.sendto(data, endpoint[:2])
        elif _LINUX:
            kind = (socket.IPPROTO_IPV6, IPV6_HOPLIMIT) if v6 else (socket.IPPROTO_IP, IP_TTL)
            through.sendmsg([data], [(*kind, _INT.pack(ttl))], 0, endpoint[:2])
        else:
            option = (
                (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
                if v6
                else (socket.IPPROTO_IP, socket.IP_TTL)
            )
            usual = through.getsockopt(*option)
            through.setsockopt(*option, ttl)
            try:
                through.sendto(data, endpoint[:2])
            finally:
                through.setsockopt(*option, usual)


class UdpSocket:
    """A bound UDP socket that does not block and speaks in bursts."""

    def __init__(
        self, endpoint: Endpoint, *, offload: bool = True, adopted: socket.socket | None = None
    ) -> None:
        """OSError if the endpoint cannot be bound; `adopted` is a socket that is bound there."""
        self._socket = bound(endpoint) if adopted is None else adopted
        family = self._socket.family
        self.via = 0
        """The door's number, which the endpoint of all that comes in bears."""
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
        self._never_fragment(family)
        if offload and _LINUX:
            self._refuse_short()
        self.segmentation = offload and _LINUX
        self._coalescing = offload and _LINUX and self._switch_coalescing_on()
        self._buffers = [memoryview(bytearray(BUFFER)) for _ in range(KEPT)]
        self._turn = 0
        self._views: dict[tuple[int, int], memoryview] = {}
        self.errors = 0
        """Sends that the system refused for good: counted as losses."""
        self.too_long = 0
        """Those of them that were longer than the interface carries."""

    def _never_fragment(self, family: socket.AddressFamily) -> None:
        """Path MTU is ours to find; a datagram too long for the interface must fail, not split."""
        if not _LINUX:
            return
        level, option = (socket.IPPROTO_IP, IP_MTU_DISCOVER)
        if family == socket.AF_INET6:
            level, option = socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER
        with contextlib.suppress(OSError):
            self._socket.setsockopt(level, option, IP_PMTUDISC_PROBE)

    def _refuse_short(self) -> None:
        """What is too short for anything is dropped by the kernel and never wakes us (DG-01)."""
        code = array("B", b"".join(_INSTRUCTION.pack(*step) for step in _LONG_ENOUGH))
        program = _PROGRAM.pack(len(_LONG_ENOUGH), code.buffer_info()[0])
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def _switch_coalescing_on(self) -> bool:
        try:
            self._socket.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        except OSError:
            return False
        return True

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def filenos(self) -> list[int]:
        """What to watch for reading."""
        return [self._socket.fileno()]

    @property
    def v6(self) -> bool:
        """Whether it speaks IPv6, and that only."""
        return self._socket.family == socket.AF_INET6

    @property
    def endpoint(self) -> Endpoint:
        """Where we are bound."""
        return Endpoint(*self._socket.getsockname()[:2])

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    def receive(self) -> Burst | None:
        """What has come, or None; the bytes are valid until the fourth call from here."""
        for _ in range(2):
            try:
                return self._read()
            except OSError as error:
                if error.errno in _FULL:
                    return None
                # An ICMP error of an earlier send: reading has cleared it, so once more.
        return None

    def _read(self) -> Burst:
        buffer = self._buffers[self._turn]
        length, ancillary, _, sender = self._socket.recvmsg_into([buffer], _ANCILLARY)
        stride = length
        for level, kind, data in ancillary if self._coalescing else ():
            if level == socket.IPPROTO_UDP and kind == UDP_GRO:
                stride = _INT.unpack(data)[0] or length
        return Burst(sender_of(sender, self.via), self._view(length), max(stride, 1))

    def _view(self, length: int) -> memoryview:
        """The same object for the same length, so that slices made of it can be kept."""
        turn = self._turn
        self._turn = (turn + 1) % KEPT
        view = self._views.get((turn, length))
        if view is None:
            if len(self._views) >= _VIEWS_KEPT:
                self._views.clear()
            view = self._views[turn, length] = self._buffers[turn][:length]
        return view

    def shoot(self, endpoint: Endpoint, data: "Buffer", ttl: int | None = None) -> None:
        """One datagram, now or not at all; `ttl` holds for it alone."""
        shoot(self._socket, endpoint, data, ttl)

    def spread(self, address: tuple[Any, ...], data: "Buffer", interface: bytes | None) -> None:
        """One datagram to a group, through the interface that the option's value names."""
        with contextlib.suppress(OSError):
            if interface is not None:
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
            self._socket.sendto(data, address)

    def send(self, burst: Burst) -> Burst | None:
        """Send it; if the socket is full, what is left: try that again once it is writable."""
        if self.segmentation and len(burst.data) > burst.stride:
            return self._send_segmented(burst)
        return self._send_singly(burst)

    def _send_segmented(self, burst: Burst) -> Burst | None:
        data, stride, endpoint = burst.data, burst.stride, burst.endpoint[:2]
        segment = [(socket.IPPROTO_UDP, UDP_SEGMENT, _SEGMENT.pack(stride))]
        size = per_call(stride) * stride
        for at in range(0, len(data), size):
            try:
                self._socket.sendmsg([data[at : at + size]], segment, 0, endpoint)
            except OSError as error:
                if error.errno in _FULL:
                    return burst._replace(data=data[at:])
                if error.errno in _NO_SEGMENTATION:
                    return self._send_unsegmented(burst._replace(data=data[at:]))
                self.errors += 1
        return None

    def _send_unsegmented(self, burst: Burst) -> Burst | None:
        """The kernel refused: for good, unless the datagrams are too long for it singly as well."""
        too_long = self.too_long
        left = self._send_singly(burst)
        self.segmentation = self.too_long > too_long
        return left

    def _send_singly(self, burst: Burst) -> Burst | None:
        """One call a datagram."""
        data, stride = burst.data, burst.stride
        for at in range(0, len(data), stride):
            try:
                self._socket.sendto(data[at : at + stride], burst.endpoint[:2])
            except OSError as error:
                if error.errno in _FULL:
                    return burst._replace(data=data[at:])
                self.errors += 1
                self.too_long += error.errno == errno.EMSGSIZE
        return None
