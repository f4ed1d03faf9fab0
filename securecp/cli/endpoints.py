"""`HOST:PORT` as people type it, to the addresses it stands for."""

import ipaddress
import re
import socket

from securecp.cli.failures import UsageError
from securecp.cli.text import quoted
from securecp.endpoint import Endpoint
from securecp.errors import NotReachedError

DEFAULT_PORT = 4400

_BRACKETED = re.compile(r"\[([^\]]*)\](?::(\d{1,5}))?")
_NAMED = re.compile(r"([^:\[\]]+)(?::(\d{1,5}))?")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


def split(text: str) -> tuple[str, int]:
    """Host and port of `192.0.2.1`, `host:4400`, `[2001:db8::1]:4400` or a bare IPv6 address."""
    bare = _as_address(text)
    if bare is not None:
        return bare, DEFAULT_PORT
    match = _BRACKETED.fullmatch(text) or _NAMED.fullmatch(text)
    if match is None:
        raise _unclear(text)
    host, port = match.group(1), int(match.group(2) or DEFAULT_PORT)
    if port > 65_535:
        raise UsageError(f"port {port} is too high", "ports go from 1 to 65535")
    if _as_address(host) is None and (text.startswith("[") or not _HOST_NAME.fullmatch(host)):
        raise _unclear(text)
    return host, port


def written(text: str) -> str:
    """`text` with its port, as the contacts file wants it; nothing is looked up."""
    host, port = split(text)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def to_listen(text: str) -> Endpoint:
    """Where to wait; port 0 lets the system choose one."""
    host, port = split(text)
    return _resolve(host, port, "listen at")[0]


def is_loopback(text: str) -> bool:
    """Whether this is an address that only programs on this machine reach."""
    host, _ = split(text)
    return host == "localhost" or (
        _as_address(host) is not None and ipaddress.ip_address(host).is_loopback
    )


def to_reach(text: str) -> list[Endpoint]:
    """Every address that `text` stands for, in the resolver's order."""
    host, port = split(text)
    if port == 0:
        raise UsageError(f"{quoted(text)} has no port to send to", "ports go from 1 to 65535")
    return _resolve(host, port, "reach")


def _resolve(host: str, port: int, purpose: str) -> list[Endpoint]:
    address = _as_address(host)
    if address is not None:
        return [Endpoint(address, port)]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        raise NotReachedError(
            f"cannot {purpose} {quoted(host)}: no such host",
            "check the name, or give an IP address",
        ) from None
    unique = dict.fromkeys(Endpoint(str(item[4][0]), port) for item in found)
    return list(unique)


def _as_address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _unclear(text: str) -> UsageError:
    return UsageError(
        f"{quoted(text)} is no HOST:PORT", "write for example 192.0.2.7:4400 or [2001:db8::7]:4400"
    )
