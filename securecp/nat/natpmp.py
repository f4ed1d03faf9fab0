"""NAT-PMP (RFC 6886): asks the gateway for a port; the elder of the two protocols on port 5351.

    request   address   0 | 0
              map       0 | 1 | 0 u16 | internal port u16 | wanted external port u16 | lifetime u32
    answer    address   0 | 128 | result u16 | epoch u32 | address 4
              map       0 | 129 | result u16 | epoch u32 | internal port u16 | external port u16
                        | lifetime u32
              failed    0 | 128.. | result u16 | whatever

A lifetime of 0 gives the port back. Results: 0 done, 1 version, 2 refused, 3 network, 4 resources,
5 operation. The epoch is of no use to us, since each renewal asks for address and port anew.
"""

from ipaddress import IPv4Address
from struct import Struct
from typing import Final, NamedTuple

from securecp.errors import ProtocolError

VERSION: Final = 0
UNSUPPORTED_VERSION: Final = 1
LONGEST: Final = 1_100
"""An answer that only says the version is wrong may be of any later protocol, and that long."""
ADDRESS_REQUEST: Final = b"\0\0"

_ADDRESS = 128
_MAP_UDP = 129
_MAP_REQUEST = Struct(">BBxxHHI")
_ADDRESS_ANSWER = Struct(">8x4s")
_MAP_ANSWER = Struct(">8xHHI")
_SHORTEST = Struct(">BBH")


class Address(NamedTuple):
    """The gateway's address outside."""

    address: str


class Mapping(NamedTuple):
    """Datagrams to the external port come to our internal one for `lifetime` seconds."""

    internal: int
    external: int
    lifetime: int


class Refusal(NamedTuple):
    """Neither, and why."""

    result: int


def encode_map(internal: int, external: int, lifetime: int) -> bytes:
    """Ask for a UDP mapping; `external` is a wish, 0 for any."""
    return _MAP_REQUEST.pack(VERSION, 1, internal, external, lifetime)


def parse(datagram: bytes | memoryview) -> Address | Mapping | Refusal:
    """What the gateway answers; ProtocolError if it is no NAT-PMP answer of ours."""
    if not _SHORTEST.size <= len(datagram) <= LONGEST:
        raise ProtocolError("length of a NAT-PMP answer")
    version, operation, result = _SHORTEST.unpack_from(datagram)
    if version != VERSION or operation < _ADDRESS:
        raise ProtocolError("no NAT-PMP answer")
    if result:
        return Refusal(result)
    if operation == _ADDRESS and len(datagram) == _ADDRESS_ANSWER.size:
        return Address(str(IPv4Address(_ADDRESS_ANSWER.unpack(datagram)[0])))
    if operation == _MAP_UDP and len(datagram) == _MAP_ANSWER.size:
        return Mapping(*_MAP_ANSWER.unpack(datagram))
    raise ProtocolError("NAT-PMP answer to nothing that we ask")
