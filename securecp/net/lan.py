"""The groups of the LAN beacon as a door: what is sent there goes out on every interface.

Queries leave from the main sockets and not from those that hear the groups: so an answer comes to
a main socket, from a main socket, and its source is where to call. The groups' port is shared by
all programs of the machine that listen there, and each of them hears everything.

    send       doors 0 and 1, once for each interface; needs no route, goes one hop far
    receive    queries and HEREs, from whomever: to be answered through door 0 or 1

An interface that cannot is left out: errors are losses here too.
"""

import contextlib
import socket
import struct
import sys
from typing import TYPE_CHECKING

from securecp.endpoint import Burst
from securecp.nat.beacon import GROUP_V4, GROUP_V6, HERE, PORT, QUERY
from securecp.net.udp import sender_of

if TYPE_CHECKING:
    from securecp.net.doors import Doors

INTERFACES = 32
"""A machine full of containers has more; those with the least to say come last, and are cut."""
NOWHERE, OURSELVES = "0.0.0.0", "127.0.0.1"  # noqa: S104
"""The source on a machine without any network, and where that is."""
_LENGTH = 2_048
_IN_VAIN = 16
"""Datagrams of other programs that are read before it is somebody else's turn."""
_WINDOWS = sys.platform == "win32"
_MEMBER = struct.Struct("=4s4si")
_MEMBER_V6 = struct.Struct("=16sI")
_KINDS = (QUERY, HERE)


class LanSockets:
    """A door; where multicast does not work it is deaf and dumb, which is no error."""

    def __init__(self, doors: "Doors") -> None:
        self.via = 0
        self._doors = doors
        self._indices: list[int] = []
        found = ((0, _ear(socket.AF_INET)), (1, _ear(socket.AF_INET6)))
        self._ears = {via: ear for via, ear in found if ear is not None}
        self.refresh()

    def refresh(self) -> None:
        """Join on interfaces that are new; the kernel forgets those that are gone."""
        named = socket.if_nameindex()
        named.sort(key=lambda item: item[1].startswith("veth"))  # a container's, as a rule
        self._indices = [index for index, _ in named[:INTERFACES]]
        for via, ear in self._ears.items():
            for index in self._indices:
                with contextlib.suppress(OSError):  # joined already, or cannot
                    _join(ear, index, v6=via == 1)

    def send(self, burst: Burst) -> None:
        """To both groups on all interfaces, whatever the burst's endpoint."""
        for at in range(0, len(burst.data), burst.stride):
            self._spread(burst.data[at : at + burst.stride])

    def receive(self) -> Burst | None:
        """A query or a HERE; its endpoint is a main socket's, and leads there through ours."""
        for via, ear in self._ears.items():
            for _ in range(_IN_VAIN):
                try:
                    data, sender = ear.recvfrom(_LENGTH)
                except OSError:
                    break
                if data[:1] and data[0] in _KINDS:
                    view = memoryview(bytearray(data))
                    source = sender_of(sender, via)
                    if source.address == NOWHERE:
                        source = source._replace(address=OURSELVES)
                    return Burst(source, view, len(view))
        return None

    def filenos(self) -> list[int]:
        """What to watch for reading."""
        return [ear.fileno() for ear in self._ears.values()]

    def close(self) -> None:
        """Leave the groups."""
        for ear in self._ears.values():
            ear.close()

    def _spread(self, data: memoryview) -> None:
        v4, v6 = self._doors.main(0), self._doors.main(1)
        for index in self._indices:
            if v4 is not None:
                v4.spread((GROUP_V4, PORT), data, _interface(index))
            if v6 is not None:
                v6.spread((GROUP_V6, PORT, 0, index), data, None)


def _ear(family: socket.AddressFamily) -> socket.socket | None:
    """A socket at the groups' port, beside those of other programs."""
    try:
        ear = socket.socket(family, socket.SOCK_DGRAM)
    except OSError:
        return None
    try:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not sys.platform.startswith("linux") and hasattr(socket, "SO_REUSEPORT"):
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        ear.setblocking(False)
        if family == socket.AF_INET6:
            ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            ear.bind(("::", PORT))
        else:  # at the group itself: what is sent to our address alone is not for us
            ear.bind(("" if _WINDOWS else GROUP_V4, PORT))
    except OSError:
        ear.close()
        return None
    return ear


def _join(ear: socket.socket, index: int, *, v6: bool) -> None:
    if v6:
        group = socket.inet_pton(socket.AF_INET6, GROUP_V6)
        ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, _MEMBER_V6.pack(group, index))
    else:
        group = socket.inet_aton(GROUP_V4)
        member = group + _interface(index) if _WINDOWS else _MEMBER.pack(group, bytes(4), index)
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)


def _interface(index: int) -> bytes:
    """An interface by number, as IP_MULTICAST_IF takes it."""
    return index.to_bytes(4, "big") if _WINDOWS else _MEMBER.pack(bytes(4), bytes(4), index)
