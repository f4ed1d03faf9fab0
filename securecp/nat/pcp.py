"""PCP (RFC 6887), of which we use MAP for UDP: asks the gateway, or a carrier's NAT, for a port.

    request   2 | 1 | 0 u16 | lifetime u32 | our address 16 | map
    answer    2 | 0x81 | 0 u8 | result u8 | lifetime u32 | epoch u32 | 0 x 12 | map | options
    map       nonce 12 | 17 | 0 x 3 | internal port u16 | external port u16 | external address 16

Addresses of IPv4 are mapped into IPv6. In a request the external port and address are wishes. The
nonce ties all that is said of a mapping together: without it nobody else can renew or remove it. A
lifetime of 0 gives the port back; in a refusal, the lifetime says how long not to ask again.
"""

from ipaddress import IPv6Address, ip_address
from struct import Struct
from typing import Final, NamedTuple

from securecp.errors import ProtocolError

VERSION: Final = 2
NONCE: Final = 12
LONGEST: Final = 1_100

_UDP = 17
_MAP = 1
_ANSWER = 0x80
_REQUEST_HEADER = Struct(">BBHI16s")
_ANSWER_HEADER = Struct(">BBxBII12x")
_BODY = Struct(">12sB3xHH16s")


class Mapping(NamedTuple):
    """Datagrams to the external endpoint come to our internal port for `lifetime` seconds."""

    nonce: bytes
    internal: int
    external: int
    address: str
    lifetime: int
    epoch: int


class Refusal(NamedTuple):
    """No mapping, why, and for how many seconds there will be none."""

    result: int
    lifetime: int


def encode_map(
    nonce: bytes,
    address: str,
    internal: int,
    lifetime: int,
    *,
    external: int = 0,
    wished: str = "",
) -> bytes:
    """Ask for a UDP mapping to our `address`; the external ones are wishes, or none."""
    assert len(nonce) == NONCE
    header = _REQUEST_HEADER.pack(VERSION, _MAP, 0, lifetime, _packed(address))
    wish = wished or ("::" if ":" in address else "::ffff:0.0.0.0")
    return header + _BODY.pack(nonce, _UDP, internal, external, _packed(wish))


def parse(datagram: bytes | memoryview) -> Mapping | Refusal:
    """What the gateway answers; ProtocolError if it is no answer to a MAP request for UDP."""
    if not _ANSWER_HEADER.size <= len(datagram) <= LONGEST or len(datagram) % 4:
        raise ProtocolError("length of a PCP answer")
    version, operation, result, lifetime, epoch = _ANSWER_HEADER.unpack_from(datagram)
    if version != VERSION or not operation & _ANSWER:
        raise ProtocolError("no PCP answer")
    if result:
        return Refusal(result, lifetime)
    if operation != _ANSWER | _MAP or len(datagram) < _ANSWER_HEADER.size + _BODY.size:
        raise ProtocolError("PCP answer to nothing that we ask")
    body = _BODY.unpack_from(datagram, _ANSWER_HEADER.size)
    nonce, protocol, internal, external, address = body
    if protocol != _UDP:
        raise ProtocolError("PCP answer for another protocol than UDP")
    return Mapping(nonce, internal, external, _text(address), lifetime, epoch)


def _packed(address: str) -> bytes:
    given = ip_address(address)
    if given.version == 6:
        return given.packed
    return bytes(10) + b"\xff\xff" + given.packed


def _text(packed: bytes) -> str:
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)
