"""The sockets of `securecp serve`: TCP and UDP at one port, STUN at another, or why there are none.

All are bound before anything is served, so that a port that is taken costs one line, not half a
server.
"""

import contextlib
import errno
import os
import socket
from dataclasses import dataclass, field

from securecp.cli import endpoints
from securecp.cli.failures import UsageError
from securecp.cli.text import quoted
from securecp.endpoint import Endpoint
from securecp.errors import SecurecpError
from securecp.nat.rendezvous import DIALLED
from securecp.nat.serveraddress import DEFAULT_PORT
from securecp.net.bind import ALL_V4, ALL_V6, bind, bind_both
from securecp.net.udp import UdpSocket

NOTSENT = 64 << 10
"""Bytes that the kernel takes ahead of what it sends; the rest waits where it can be counted."""
BACKLOG = 1_024
_TRIES = 16
_TCP_NOTSENT_LOWAT = 25


@dataclass
class Sockets:
    """All that a server listens at."""

    tcp: list[socket.socket] = field(default_factory=list)
    udp: list[UdpSocket] = field(default_factory=list)
    stun: list[Endpoint] = field(default_factory=list)
    """As clients are told."""
    port: int = 0

    def close(self) -> None:
        """Give all ports back."""
        for tcp in self.tcp:
            tcp.close()
        for udp in self.udp:
            udp.close()


def open_sockets(
    listen: tuple[str, ...], second: tuple[str, ...], stun_port: int | None
) -> Sockets:
    """Bind everything; SecurecpError says what cannot be bound, and what to do."""
    hosts, port = _split(listen)
    if second and (not hosts or any(host in {ALL_V4, ALL_V6} for host in hosts)):
        raise UsageError(
            "with --second-address, --listen must name an address of this machine",
            "for example --listen 192.0.2.7:4480 --second-address 192.0.2.8",
        )
    seconds = [_second(text) for text in second]
    for attempt in range(_TRIES):
        sockets = Sockets()
        try:
            _bind(sockets, hosts, port, stun_port, seconds)
        except SecurecpError as error:
            sockets.close()
            # The system chose the port, and what belongs beside it is taken: another choice.
            if port or attempt == _TRIES - 1 or not _taken(error):
                raise
        else:
            return sockets
    raise AssertionError


def _bind(
    sockets: Sockets, hosts: list[str], port: int, stun_port: int | None, seconds: list[str]
) -> None:
    first = _udp(sockets, hosts, port)
    sockets.port = first
    stun = first + 1 if stun_port is None else stun_port
    if stun != first:
        stun = _udp(sockets, hosts, stun)
    for address in seconds:
        _udp(sockets, [address], first)
        _udp(sockets, [address], stun)
    for host in hosts or [ALL_V4, ALL_V6]:
        _listen(sockets, Endpoint(host, first), optional=not hosts and host == ALL_V6)
    ports = dict.fromkeys((first, stun))
    sockets.stun = [Endpoint(host, one) for host in (DIALLED, *seconds) for one in ports]


def _udp(sockets: Sockets, hosts: list[str], port: int) -> int:
    """UDP at all of these, or everywhere; the port that it came to."""
    if port > 65_535:
        raise UsageError("there is no port after 65535 for STUN", "choose one with --stun-port")
    if not hosts:
        made = bind_both(port, asked=port != 0)
        sockets.udp += made
        return made[0].endpoint.port
    for host in hosts:
        made_one = bind(Endpoint(host, port))
        sockets.udp.append(made_one)
        port = made_one.endpoint.port
    return port


def _listen(sockets: Sockets, endpoint: Endpoint, *, optional: bool) -> None:
    try:
        sockets.tcp.append(_tcp(endpoint))
    except OSError as error:
        if optional and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        hint = "another program has that port: choose another with --listen HOST:PORT"
        raise SecurecpError(
            f"cannot listen at {endpoint}: {reason}",
            hint if error.errno == errno.EADDRINUSE else "",
        ) from error


def _tcp(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A server that was just stopped leaves connections behind that hold the port for a minute.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        with contextlib.suppress(OSError):
            made.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, NOTSENT)
        made.bind(endpoint[:2])
        made.listen(BACKLOG)  # now, so that a port in use is known before anything is served
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def _split(listen: tuple[str, ...]) -> tuple[list[str], int]:
    """Addresses, and the one port of all; no addresses means everywhere."""
    found = [_resolve(text) for text in listen]
    ports = {endpoint.port for endpoint in found}
    if len(ports) > 1:
        raise UsageError("all --listen must have the same port", "the URL has one port only")
    return [endpoint.address for endpoint in found], ports.pop() if ports else DEFAULT_PORT


def _resolve(text: str) -> Endpoint:
    endpoint = endpoints.to_listen(text)
    named = endpoint.port != endpoints.DEFAULT_PORT or text.endswith(f":{endpoint.port}")
    return endpoint if named else Endpoint(endpoint.address, DEFAULT_PORT)


def _second(text: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise UsageError(f"{quoted(text)} is no IP address", "see --second-address") from None


def _taken(error: SecurecpError) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE


def own_address() -> str:
    """An address of this machine that others may reach; nothing is sent to find it."""
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))  # a UDP socket only asks the routing table
            return str(probe.getsockname()[0])
    return "127.0.0.1"
