"""STUN Binding as in RFC 8489: what does our datagram look like on the other side of the NATs?

    header      type u16 | length u16 (of what follows) | cookie 0x2112a442 | transaction 12
    attribute   type u16 | length u16 | value | padding to a multiple of 4
    request     header | SOFTWARE of 20 spaces            44 bytes; standard clients send less
    response    header | XOR-MAPPED-ADDRESS               32 bytes for IPv4, 44 for IPv6
    error       header | ERROR-CODE | UNKNOWN-ATTRIBUTES  at most 36 bytes

No authentication, no FINGERPRINT: an answer is a hint, believed only for a transaction that is
under way (see `gather`). Our own datagrams never begin with a byte below 0x40, so that the first
byte tells them from these.

Our requests are at least as long as any answer, so that they reflect nothing. A standard client's
request of 20 bytes gets 32 or 44 all the same, as from every server of RFC 8489.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import Final, NamedTuple

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError

COOKIE: Final = 0x2112A442
TRANSACTION: Final = 12
LONGEST: Final = 1_280
"""Bytes of the longest message that is looked at: STUN keeps to the path's MTU (RFC 8489 §6.1)."""
PADDED: Final = 44
"""Bytes of our request, and of the longest answer to it."""
UNKNOWN_ATTRIBUTE: Final = 420

_REQUEST = 0x0001
_RESPONSE = 0x0101
_ERROR = 0x0111
_MAPPED_ADDRESS = 0x0001
_ERROR_CODE = 0x0009
_UNKNOWN_ATTRIBUTES = 0x000A
_XOR_MAPPED_ADDRESS = 0x0020
_SOFTWARE = 0x8022
_OPTIONAL = 0x8000
"""Attributes from here on may be passed over by whoever does not know them."""
_UNDERSTOOD = frozenset({1, 6, 8, 9, 0x0A, 0x14, 0x15, 0x1C, 0x1D, 0x1E, 0x20})
"""The others of RFC 8489; those that serve authentication change nothing here."""
_MOST_NAMED = 2
"""Unknown attributes named in an error, so that it stays short."""

_HEADER = Struct(">HHI12s")
_ATTRIBUTE = Struct(">HH")
_FAMILY_PORT = Struct(">xBH")
_MASK = Struct(">I12s")
_ADDRESS_LENGTHS = {1: 4, 2: 16}


class Request(NamedTuple):
    """Somebody asks how we see it; `unknown` are the attributes that it wants understood."""

    transaction: bytes
    unknown: tuple[int, ...] = ()


class Response(NamedTuple):
    """The endpoint from which the server saw our request come."""

    transaction: bytes
    endpoint: Endpoint


class Refusal(NamedTuple):
    """An error response, with its code."""

    transaction: bytes
    code: int


def encode_request(transaction: bytes, *, pad: bool = True) -> bytes:
    """A Binding request; `pad=False` is the bare one of a standard client."""
    padding = _attribute(_SOFTWARE, b" " * 20) if pad else b""
    return _message(_REQUEST, transaction, padding)


def encode_response(transaction: bytes, endpoint: Endpoint) -> bytes:
    """The answer: `endpoint` is where the request came from."""
    address = ip_address(endpoint.address)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    family = 1 if isinstance(address, IPv4Address) else 2
    value = _FAMILY_PORT.pack(family, endpoint.port ^ COOKIE >> 16)
    value += _masked(address.packed, transaction)
    return _message(_RESPONSE, transaction, _attribute(_XOR_MAPPED_ADDRESS, value))


def encode_refusal(request: Request) -> bytes:
    """The answer to a request that wants something understood that we do not know (420)."""
    code = _attribute(_ERROR_CODE, bytes((0, 0, *divmod(UNKNOWN_ATTRIBUTE, 100))))
    named = b"".join(kind.to_bytes(2) for kind in request.unknown[:_MOST_NAMED])
    return _message(_ERROR, request.transaction, code + _attribute(_UNKNOWN_ATTRIBUTES, named))


def parse(datagram: bytes | memoryview) -> Request | Response | Refusal:
    """What the datagram says; ProtocolError for all that is no Binding message."""
    if not _HEADER.size <= len(datagram) <= LONGEST:
        raise ProtocolError("length of a STUN message")
    kind, length, cookie, transaction = _HEADER.unpack_from(datagram)
    if cookie != COOKIE:
        raise ProtocolError("no STUN cookie")
    if length % 4 or length != len(datagram) - _HEADER.size:
        raise ProtocolError("length in a STUN header")
    attributes: dict[int, bytes] = {}
    for attribute, value in _attributes(bytes(datagram[_HEADER.size :])):
        attributes.setdefault(attribute, value)  # the first counts (RFC 8489 §14)
    unknown = tuple(a for a in attributes if a < _OPTIONAL and a not in _UNDERSTOOD)
    if kind == _REQUEST:
        return Request(transaction, unknown)
    if unknown:
        raise ProtocolError("unknown STUN attribute")
    if kind == _RESPONSE:
        return Response(transaction, _mapped(attributes, transaction))
    if kind == _ERROR:
        return Refusal(transaction, _code(attributes))
    raise ProtocolError("kind of STUN message")


def _message(kind: int, transaction: bytes, attributes: bytes) -> bytes:
    assert len(transaction) == TRANSACTION
    return _HEADER.pack(kind, len(attributes), COOKIE, transaction) + attributes


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each type and value; `data` is a multiple of 4 long, so that a header is whole or absent."""
    at = 0
    while at < len(data):
        kind, length = _ATTRIBUTE.unpack_from(data, at)
        at += _ATTRIBUTE.size
        if at + length > len(data):
            raise ProtocolError("STUN attribute longer than its message")
        yield kind, data[at : at + length]
        at += length + -length % 4


def _masked(address: bytes, transaction: bytes) -> bytes:
    """The address, exclusive-or with cookie and transaction; twice is as never."""
    return bytes(a ^ b for a, b in zip(address, _MASK.pack(COOKIE, transaction), strict=False))


def _mapped(attributes: dict[int, bytes], transaction: bytes) -> Endpoint:
    """XOR-MAPPED-ADDRESS, or what servers before RFC 5389 said instead."""
    value = attributes.get(_XOR_MAPPED_ADDRESS)
    if value is not None:
        family, port, address = _endpoint(value)
        return _text(family, port ^ COOKIE >> 16, _masked(address, transaction))
    value = attributes.get(_MAPPED_ADDRESS)
    if value is None:
        raise ProtocolError("STUN response without an endpoint")
    return _text(*_endpoint(value))


def _endpoint(value: bytes) -> tuple[int, int, bytes]:
    if len(value) < _FAMILY_PORT.size:
        raise ProtocolError("length of a STUN endpoint")
    family, port = _FAMILY_PORT.unpack_from(value)
    address = value[_FAMILY_PORT.size :]
    if _ADDRESS_LENGTHS.get(family) != len(address):
        raise ProtocolError("family of a STUN endpoint")
    return family, port, address


def _text(family: int, port: int, address: bytes) -> Endpoint:
    kind = IPv4Address if family == 1 else IPv6Address
    return Endpoint(str(kind(address)), port)


def _code(attributes: dict[int, bytes]) -> int:
    value = attributes.get(_ERROR_CODE, b"")
    if len(value) < 4 or not (3 <= value[2] & 7 <= 6 and value[3] <= 99):
        raise ProtocolError("STUN error without a code")
    return (value[2] & 7) * 100 + value[3]
