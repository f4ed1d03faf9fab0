"""The way to a server: TCP, a proxy if the environment names one, TLS if its address says so."""

import os
import socket
import threading
import time
from typing import NamedTuple

from securecp.endpoint import Endpoint
from securecp.nat.serveraddress import ServerAddress
from securecp.net.proxy import ProxyError, proxy_for, tunnel
from securecp.net.tcp import Dialler

HURDLE = 3.0
"""Seconds for the proxy's answer, and for the TLS handshake."""
_NETWORK = "check the network; a proxy is found by HTTPS_PROXY"


class FailedError(Exception):
    """The server was not reached: why, and what to do about it."""

    def __init__(self, reason: str, hint: str = _NETWORK) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Dialled(NamedTuple):
    """A connection to the server's port, or to a proxy that passes everything on to it."""

    connection: socket.socket
    endpoint: Endpoint
    proxied: bool


class Way:
    """Found anew each time, as the network may be another."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._diallers: dict[tuple[str, int], Dialler] = {}

    def dial(self) -> Dialled:
        """FailedError says why not."""
        server = self._address
        try:
            proxy = proxy_for(server.host, tls=server.tls)
        except ProxyError as error:
            raise FailedError(str(error)) from error
        goal = (server.host, server.port) if proxy is None else (proxy.host, proxy.port)
        if goal not in self._diallers:
            self._diallers[goal] = Dialler(*goal)
        try:
            connection = self._diallers[goal].connect()
        except OSError as error:
            raise FailedError(f"cannot reach {goal[0]}: {_words(error)}") from error
        try:
            endpoint = Endpoint(*connection.getpeername()[:2])
            if proxy is not None:
                tunnel(connection, proxy, server.host, server.port, time.monotonic() + HURDLE)
            if server.tls:
                connection = _secured(connection, server.host)
        except OSError as error:
            connection.close()
            raise _failed(error) from error
        except BaseException:
            connection.close()
            raise
        return Dialled(connection, endpoint, proxy is not None)


def preload() -> threading.Thread:
    """Import what WebSockets need, while the connection is on its way: it takes 65 ms and more."""

    def load() -> None:
        import websockets.client  # noqa: F401

    thread = threading.Thread(target=load, name="preload", daemon=True)
    thread.start()
    return thread


def _secured(connection: socket.socket, host: str) -> socket.socket:
    """TLS with the system's certificates, and those of SSL_CERT_FILE."""
    import ssl

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    connection.settimeout(HURDLE)
    return context.wrap_socket(connection, server_hostname=host)


def _failed(error: OSError) -> FailedError:
    if isinstance(error, ProxyError):
        return FailedError(str(error))
    why = getattr(error, "verify_message", None)
    if why is not None:
        return FailedError(
            f"the server's certificate does not hold: {why}",
            "is the address right? SSL_CERT_FILE can name further certificates",
        )
    return FailedError(f"the way to the server broke off: {_words(error)}")


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError) and error.errno is None:
        return str(error) or "no answer"
    return os.strerror(error.errno).lower() if error.errno else str(error)
