"""What travels between a client and the relay of its server (SPEC §13.5).

Over UDP, on a socket of the leg's own; no answer is longer than what asked for it:

    COOKIE-REQUEST   0x70 | zero 63                                              64 bytes
    COOKIE           0x71 | zero 3 | cookie 16                                   20
    ATTACH           0x72 | zero 3 | attach id 8 | cookie 16 | mac 16            44
    ATTACHED         0x73 | zero 3 | attach id 8 | zero 8                        20
    then datagrams of the circuit, as they are

The mac is BLAKE2s-128 under the ticket, of the 28 bytes before it. Over the WebSocket, the message
behind its first byte CIRCUIT:

    leg u32 | stride u16 | datagrams of that length end to end, the last may be shorter
"""

import hmac
import struct
from hashlib import blake2s
from typing import NamedTuple

from securecp.errors import ProtocolError
from securecp.nat.channel import CIRCUIT
from securecp.nat.rendezvous import ATTACH_LENGTH, TICKET_LENGTH

COOKIE_REQUEST = 0x70
COOKIE = 0x71
ATTACH = 0x72
ATTACHED = 0x73
CONTROL = 0x70
"""`first & 0xF0 == CONTROL` says that a datagram is for the relay itself."""
FIRST_FORWARDED = 0x40
"""Below are STUN, and whatever else may share the port one day."""

COOKIE_LENGTH = 16
MAC_LENGTH = 16
COOKIE_REQUEST_LENGTH = 64
LARGEST_CIRCUIT_DATA = 65_507
"""Bytes of datagrams in one WebSocket message."""
LARGEST_WEBSOCKET_MESSAGE = 7 + LARGEST_CIRCUIT_DATA + 22
"""Also beyond any sealed message."""

_COOKIE = struct.Struct(">B3x16s")
_ATTACH = struct.Struct(">B3x8s16s16s")
_ATTACHED = struct.Struct(">B3x8s8x")
_CIRCUIT = struct.Struct(">BIH")
CIRCUIT_HEAD_LENGTH = _CIRCUIT.size


class Attach(NamedTuple):
    """A socket asks to be a leg's."""

    attach: bytes
    cookie: bytes
    mac: bytes
    body: bytes
    """What the mac covers."""

    def proves(self, ticket: bytes) -> bool:
        """Whether whoever wrote it knows the ticket of the circuit."""
        return hmac.compare_digest(_mac(ticket, self.body), self.mac)


class CircuitData(NamedTuple):
    """Datagrams of a leg."""

    leg: int
    stride: int
    data: memoryview
    """A view into the message."""


def forwarded(first: int) -> bool:
    """Whether a datagram that begins with this byte goes through a circuit as it is."""
    return first >= FIRST_FORWARDED and first & 0xF0 != CONTROL


def encode_cookie_request() -> bytes:
    """Ask for a cookie: as long as it is so that no answer is longer."""
    return bytes([COOKIE_REQUEST]) + bytes(COOKIE_REQUEST_LENGTH - 1)


def is_cookie_request(datagram: bytes | memoryview) -> bool:
    return datagram == _THE_REQUEST


def encode_cookie(cookie: bytes) -> bytes:
    assert len(cookie) == COOKIE_LENGTH
    return _COOKIE.pack(COOKIE, cookie)


def parse_cookie(datagram: bytes | memoryview) -> bytes:
    """The cookie, or ProtocolError."""
    _check(datagram, COOKIE, _COOKIE.size)
    cookie: bytes = _COOKIE.unpack(datagram)[1]
    return cookie


def encode_attach(attach: bytes, cookie: bytes, ticket: bytes) -> bytes:
    """Make the socket that sends this the leg's."""
    assert len(attach) == ATTACH_LENGTH and len(cookie) == COOKIE_LENGTH
    body = _ATTACH.pack(ATTACH, attach, cookie, bytes(MAC_LENGTH))[:-MAC_LENGTH]
    return body + _mac(ticket, body)


def parse_attach(datagram: bytes | memoryview) -> Attach:
    """Read an ATTACH, or raise ProtocolError; what it proves is yet to be seen."""
    _check(datagram, ATTACH, _ATTACH.size)
    _, attach, cookie, mac = _ATTACH.unpack(datagram)
    return Attach(attach, cookie, mac, bytes(datagram[:-MAC_LENGTH]))


def encode_attached(attach: bytes) -> bytes:
    assert len(attach) == ATTACH_LENGTH
    return _ATTACHED.pack(ATTACHED, attach)


def parse_attached(datagram: bytes | memoryview) -> bytes:
    """The attach id, or ProtocolError."""
    _check(datagram, ATTACHED, _ATTACHED.size)
    attach: bytes = _ATTACHED.unpack(datagram)[1]
    return attach


def encode_circuit(leg: int, stride: int, data: bytes | memoryview) -> bytes:
    """The WebSocket message that carries these datagrams, with its first byte."""
    assert 1 <= stride <= LARGEST_CIRCUIT_DATA and 1 <= len(data) <= LARGEST_CIRCUIT_DATA
    return b"".join((_CIRCUIT.pack(CIRCUIT, leg, stride), data))


def parse_circuit(message: bytes | memoryview) -> CircuitData:
    """Read a WebSocket message that begins with CIRCUIT, or raise ProtocolError."""
    size = len(message) - _CIRCUIT.size
    if not 1 <= size <= LARGEST_CIRCUIT_DATA:
        raise ProtocolError("circuit data has the wrong length")
    kind, leg, stride = _CIRCUIT.unpack_from(message)
    if kind != CIRCUIT or not 1 <= stride <= LARGEST_CIRCUIT_DATA:
        raise ProtocolError("circuit data has no such stride")
    return CircuitData(leg, min(stride, size), memoryview(message)[_CIRCUIT.size :])


def _mac(ticket: bytes, body: bytes) -> bytes:
    assert len(ticket) == TICKET_LENGTH
    return blake2s(body, key=ticket, digest_size=MAC_LENGTH).digest()


def _check(datagram: bytes | memoryview, kind: int, length: int) -> None:
    if len(datagram) != length or datagram[0] != kind or any(datagram[1:4]):
        raise ProtocolError("this is no such datagram of the relay")


_THE_REQUEST = encode_cookie_request()
