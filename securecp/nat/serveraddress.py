"""The address of a server as people copy it: where it is, and which key it must have (SPEC §13.1).

    ws://192.0.2.7:4480#scpserver1…        as `securecp serve` prints it
    wss://reach.example.org#scpserver1…    behind a TLS proxy, port 443 unless another is named

The key is not optional: without it, whoever answers there would be the server (RV-14).
"""

import ipaddress
import re
from typing import NamedTuple

from keys import bech32
from keys.errors import KeysError
from securecp.errors import ProtocolError

KEY_PREFIX = "scpserver"
KEY_LENGTH = 32
LONGEST = 1_024
DEFAULT_PORT = 4480
_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_URL = re.compile(
    r"(?P<scheme>wss?)://(?:\[(?P<v6>[0-9a-fA-F:.]{2,45})\]|(?P<host>[A-Za-z0-9_.-]{1,253}))"
    r"(?::(?P<port>[0-9]{1,5}))?/?#(?P<key>[!-~]{1,100})"
)


class ServerAddress(NamedTuple):
    """One server."""

    tls: bool
    host: str
    """A name, or an address without brackets."""
    port: int
    key: bytes

    def __str__(self) -> str:
        scheme = "wss" if self.tls else "ws"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[scheme] else f":{self.port}"
        return f"{scheme}://{host}{port}#{key_text(self.key)}"


def parse(text: str) -> ServerAddress:
    """Read a server's address; ProtocolError says what is wrong with it, in a line and a hint."""
    form = "copy the line that `securecp serve` printed, from ws to its end"
    if len(text) > LONGEST or (match := _URL.fullmatch(text)) is None:
        if "#" not in text and text.startswith(("ws://", "wss://")):
            raise ProtocolError("the server's address has no key behind #", form)
        raise ProtocolError("this is no address of a server", form)
    port = int(match["port"] or _DEFAULT_PORTS[match["scheme"]])
    if not 1 <= port <= 65_535:
        raise ProtocolError(f"port {port} of the server's address does not exist", form)
    host = match["host"] or _address(match["v6"], form)
    return ServerAddress(match["scheme"] == "wss", host, port, parse_key(match["key"]))


def key_text(key: bytes) -> str:
    """A server's public key as it stands behind the # of its address."""
    assert len(key) == KEY_LENGTH
    return bech32.encode(KEY_PREFIX, key)


def parse_key(text: str) -> bytes:
    """Read a server's public key, or raise ProtocolError."""
    hint = "copy the line that `securecp serve` printed, from ws to its end"
    try:
        kind, key = bech32.decode(text)
    except KeysError as error:
        raise ProtocolError(f"the server's key is damaged: {error.message}", hint) from None
    if kind != KEY_PREFIX or len(key) != KEY_LENGTH:
        raise ProtocolError("what stands behind # is not the key of a server", hint)
    return key


def _address(text: str, hint: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ProtocolError("the server's address has no IPv6 address in it", hint) from None
