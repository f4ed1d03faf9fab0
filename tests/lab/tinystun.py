"""STUN as small as can be, both ends (RFC 8489 binding, RFC 5780 change request).

For the laboratory's own check of its routers, which must not depend on the code under test.
"""

import os
import select
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

from tests.lab.topology import SRV, SRV_TOO, Lab

COOKIE = 0x2112A442
BINDING, SUCCESS = 0x0001, 0x0101
CHANGE_REQUEST, XOR_MAPPED = 0x0003, 0x0020
CHANGE_ADDRESS, CHANGE_PORT = 4, 2
PORTS = (3478, 3479)
AGAIN = 0.1

Mapped = tuple[str, int]


class Server:
    """Answers at two addresses and two ports of the node `srv`, from a thread."""

    def __init__(self, lab: Lab) -> None:
        self._sockets = {(a, p): lab.udp("srv", p, a) for a in (SRV, SRV_TOO) for p in PORTS}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join()
        for each in self._sockets.values():
            each.close()

    def _serve(self) -> None:
        where = {each: place for place, each in self._sockets.items()}
        while not self._stopped.is_set():
            for each in select.select(list(where), [], [], 0.02)[0]:
                data, source = each.recvfrom(2048)
                if len(data) >= 20 and data[:2] == BINDING.to_bytes(2):
                    self._sockets[_door(where[each], data)].sendto(_answer(data, source), source)


def _door(asked: Mapped, data: bytes) -> Mapped:
    """From which of our sockets the answer must go."""
    change = data[27] if len(data) >= 28 and data[20:22] == CHANGE_REQUEST.to_bytes(2) else 0
    address, port = asked
    if change & CHANGE_ADDRESS:
        address = SRV_TOO if address == SRV else SRV
    if change & CHANGE_PORT:
        port = PORTS[0] if port == PORTS[1] else PORTS[1]
    return address, port


def _answer(data: bytes, source: Mapped) -> bytes:
    address = bytes(a ^ b for a, b in zip(socket.inet_aton(source[0]), data[4:8], strict=True))
    body = struct.pack("!HHBBH", XOR_MAPPED, 8, 0, 1, source[1] ^ (COOKIE >> 16)) + address
    return struct.pack("!HH", SUCCESS, len(body)) + data[4:20] + body


def ask(
    door: socket.socket, server: Mapped = (SRV, PORTS[0]), change: int = 0, within: float = 1.0
) -> Mapped | None:
    """Our endpoint as the server sees it; None if it is silent. Other datagrams are thrown away."""
    extra = struct.pack("!HHI", CHANGE_REQUEST, 4, change) if change else b""
    request = struct.pack("!HHI", BINDING, len(extra), COOKIE) + os.urandom(12) + extra
    end = time.monotonic() + within
    while time.monotonic() < end:
        door.sendto(request, server)
        if select.select([door], [], [], AGAIN)[0]:
            data = door.recv(2048)
            if data[8:20] == request[8:20]:
                port = struct.unpack_from("!H", data, 26)[0] ^ (COOKIE >> 16)
                plain = (a ^ b for a, b in zip(data[28:32], data[4:8], strict=True))
                return socket.inet_ntoa(bytes(plain)), port
    return None


def samples(door: socket.socket) -> list[Mapped]:
    """Our endpoint as seen from both addresses and both ports of the server."""
    places = ((SRV, PORTS[0]), (SRV_TOO, PORTS[0]), (SRV_TOO, PORTS[1]), (SRV, PORTS[1]))
    seen = [ask(door, place) for place in places]
    return [each for each in seen if each is not None]


def mapping(seen: list[Mapped]) -> str:
    """The class of RFC 4787 by such samples."""
    if len(seen) < 4:
        return "no UDP"
    if len(set(seen)) == 1:
        return "endpoint-independent"
    same = seen[0] == seen[3] and seen[1] == seen[2]
    return "address-dependent" if same else "address-and-port-dependent"


def filtering(door: socket.socket, silence: float) -> str:
    """The class by which a fresh socket's mapping lets strangers in."""
    assert ask(door) is not None
    if ask(door, change=CHANGE_ADDRESS | CHANGE_PORT, within=silence):
        return "endpoint-independent"
    if ask(door, change=CHANGE_PORT, within=silence):
        return "address-dependent"
    return "address-and-port-dependent"
