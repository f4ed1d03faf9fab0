"""A socket at an endpoint, or the reason in words why there is none; made before all that is slow.

What comes in while the rest of the program is being made ready waits in the socket's buffer.
"""

import errno
import os

from securecp.endpoint import Endpoint
from securecp.errors import SecurecpError
from securecp.net.udp import UdpSocket

ALL_V4 = "0.0.0.0"  # noqa: S104
ALL_V6 = "::"
_TRIES = 8
"""Ports to try before IPv4 and IPv6 get different ones."""

_HINTS = {
    errno.EADDRINUSE: "another program has that port: choose another with --listen HOST:PORT",
    errno.EADDRNOTAVAIL: "that address is not one of this machine's",
    errno.EACCES: "ports below 1024 need rights: choose another with --listen HOST:PORT",
}


def bind(endpoint: Endpoint) -> UdpSocket:
    """A socket there; SecurecpError says why not."""
    try:
        return UdpSocket(endpoint)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise SecurecpError(
            f"cannot listen at {endpoint}: {reason.lower()}", _HINTS.get(error.errno or 0, "")
        ) from error


def bind_both(port: int = 0, *, asked: bool = False) -> list[UdpSocket]:
    """IPv4 and IPv6 on all addresses, at the same port if that can be; or the one there is.

    A port that is taken is an error if somebody asked for it, and else the system chooses another.
    """
    if asked and port:
        return _pair(port)
    for _ in range(_TRIES):
        try:
            return _pair(port)
        except SecurecpError:
            port = 0
    v4 = bind(Endpoint(ALL_V4, 0))
    v6 = _v6(0)
    return [v4] if v6 is None else [v4, v6]


def _pair(port: int) -> list[UdpSocket]:
    """Both at one port; SecurecpError if it is taken in either family."""
    try:
        v4 = bind(Endpoint(ALL_V4, port))
    except SecurecpError as error:
        if _no_such_family(error):
            return [bind(Endpoint(ALL_V6, port))]
        raise
    try:
        v6 = _v6(v4.endpoint.port)
    except SecurecpError:
        v4.close()
        raise
    return [v4] if v6 is None else [v4, v6]


def _v6(port: int) -> UdpSocket | None:
    """None where there is no IPv6."""
    try:
        return bind(Endpoint(ALL_V6, port))
    except SecurecpError as error:
        if _no_such_family(error):
            return None
        raise


def _no_such_family(error: SecurecpError) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (
        errno.EAFNOSUPPORT,
        errno.EADDRNOTAVAIL,
        errno.EPROTONOSUPPORT,
    )
