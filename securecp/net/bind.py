"""A socket at an endpoint, or the reason in words why there is none; made before all that is slow.

What comes in while the rest of the program is being made ready waits in the socket's buffer.
"""

import errno
import os

from securecp.endpoint import Endpoint
from securecp.errors import SecurecpError
from securecp.net.udp import UdpSocket

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
