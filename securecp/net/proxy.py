"""The HTTP proxy that the environment names, and the tunnel through it (RFC 9110 §9.3.6).

HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are read as other programs read them. The tunnel
is the same with and without TLS inside, since a WebSocket needs the connection for itself.
"""

import os
import socket
import time
from base64 import b64encode
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

LONGEST_ANSWER = 16_384
_END = b"\r\n\r\n"


class ProxyError(OSError):
    """The proxy is none that we know, or refused."""


class Proxy(NamedTuple):
    """Where it is, and what it wants to hear from us."""

    host: str
    port: int
    authorization: str = ""


def proxy_for(host: str, *, tls: bool) -> Proxy | None:
    """The proxy for connections to `host`; None for none, ProxyError for one we cannot use."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    # Imported where it is needed: it costs 50 ms.
    from urllib import request

    proxies = request.getproxies_environment()
    if request.proxy_bypass_environment(host, proxies):  # type: ignore[attr-defined]
        return None
    for scheme in ("https", "all") if tls else ("https", "http", "all"):
        if url := proxies.get(scheme):
            return parse(url)
    return None


def parse(url: str) -> Proxy:
    """Read a proxy's URL; ProxyError if it is none, or of a kind we do not speak."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or 80
    except ValueError:
        raise ProxyError("the proxy in the environment is no URL") from None
    if parts.scheme != "http" or not parts.hostname:
        raise ProxyError(f"a proxy of the kind {parts.scheme} is not known here, only http")
    authorization = ""
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = b64encode(secret.encode()).decode()
    return Proxy(parts.hostname, port, authorization)


def tunnel(through: socket.socket, proxy: Proxy, host: str, port: int, deadline: float) -> None:
    """Have the proxy connect us; OSError if it does not by then (monotonic seconds)."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: Basic {proxy.authorization}")
    _limit(through, deadline)
    through.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while not answer.endswith(_END):
        _limit(through, deadline)
        # A byte at a time, since what follows the answer is not the proxy's any more.
        piece = through.recv(1)
        if not piece or len(answer) >= LONGEST_ANSWER:
            raise ProxyError("the proxy broke off")
        answer += piece
    words = answer.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].startswith(b"2"):
        status = words[1][:3].decode("ascii", "replace") if len(words) > 1 else "nothing"
        raise ProxyError(f"the proxy refused: {status}")


def _limit(through: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the proxy is silent")
    through.settimeout(left)
