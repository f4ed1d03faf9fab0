"""Messages between a client and its server, as they stand inside the channel (SPEC §13.3).

    client -> server                                  server -> client
    0x01 SUBSCRIBE    n x claim 16                    0x81 WELCOME  version u8 | unix time u64 |
    0x02 UNSUBSCRIBE  n x claim 16                                  observed endpoint 18 | n u8 |
    0x03 POST         tag 16 | envelope 1,024                       n x STUN endpoint 18
    0x04 JOIN         leg u32 | ticket 16             0x83 DELIVER  tag 16 | envelope 1,024
    0x05 LEAVE        leg u32                         0x84 JOINED   leg u32 | attach id 8
                                                      0x85 OPEN     leg u32
    endpoint          address 16 | port u16           0x86 LEFT     leg u32
                      (IPv4 as ::ffff:a.b.c.d)        0x8f REFUSED  what u8 | code u8 | after u16

Integers are big-endian, lengths are exact, and whatever is not such a message raises ProtocolError.
A claim is the secret behind a tag: whoever shows it may listen there (`tag_of` in `tags.py`).
"""

import ipaddress
import struct
from enum import IntEnum
from typing import NamedTuple

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError

VERSION = 1
CLAIM_LENGTH = TAG_LENGTH = TICKET_LENGTH = 16
ENVELOPE_LENGTH = 1_024
ATTACH_LENGTH = 8
ENDPOINT_LENGTH = 18
CLAIMS_PER_MESSAGE = 512
CLAIMS_PER_CLIENT = 8_192
STUN_ENDPOINTS = 16
"""More than this in a WELCOME is refused."""
DIALLED = "::"
"""As the address of a STUN endpoint: the address at which the client dialled the server."""

_LEG = struct.Struct(">BI")
_WELCOME = struct.Struct(">BBQ18sB")
_REFUSED = struct.Struct(">BBBH")
_ENDPOINT = struct.Struct(">16sH")


class What(IntEnum):
    """The first byte of a message."""

    SUBSCRIBE = 0x01
    UNSUBSCRIBE = 0x02
    POST = 0x03
    JOIN = 0x04
    LEAVE = 0x05
    WELCOME = 0x81
    DELIVER = 0x83
    JOINED = 0x84
    OPEN = 0x85
    LEFT = 0x86
    REFUSED = 0x8F


class Code(IntEnum):
    """Why a request was refused."""

    TOO_MANY = 1
    """This client or its network has its share."""
    TOO_FAST = 2
    FULL = 3
    """The server has no room for anybody."""


class Subscribe(NamedTuple):
    """Listen on the tags of these claims, which prove that we may."""

    claims: tuple[bytes, ...]

    def encode(self) -> bytes:
        return _encode_claims(What.SUBSCRIBE, self.claims)


class Unsubscribe(NamedTuple):
    """Listen there no more."""

    claims: tuple[bytes, ...]

    def encode(self) -> bytes:
        return _encode_claims(What.UNSUBSCRIBE, self.claims)


class Post(NamedTuple):
    """Hand an envelope to whoever listens on the tag, now or within a minute."""

    tag: bytes
    envelope: bytes

    def encode(self) -> bytes:
        return _encode_envelope(What.POST, self.tag, self.envelope)


class Join(NamedTuple):
    """One leg of the circuit that this ticket stands for; the client numbers its legs itself."""

    leg: int
    ticket: bytes

    def encode(self) -> bytes:
        assert len(self.ticket) == TICKET_LENGTH
        return _LEG.pack(What.JOIN, self.leg) + self.ticket


class Leave(NamedTuple):
    """Give the leg up."""

    leg: int

    def encode(self) -> bytes:
        return _LEG.pack(What.LEAVE, self.leg)


class Welcome(NamedTuple):
    """What a client learns when the channel stands; the payload of the server's first message."""

    time: int
    """The server's clock, in seconds since 1970; shown to people, trusted by nothing."""
    observed: Endpoint
    """Where the server sees the client's TCP connection come from."""
    stun: tuple[Endpoint, ...]
    """Where STUN answers; the first is the UDP relay as well. See `DIALLED`."""

    def encode(self) -> bytes:
        assert len(self.stun) <= STUN_ENDPOINTS
        observed = encode_endpoint(self.observed)
        head = _WELCOME.pack(What.WELCOME, VERSION, self.time, observed, len(self.stun))
        return head + b"".join(encode_endpoint(one) for one in self.stun)


class Deliver(NamedTuple):
    """An envelope that was posted to a tag on which the client listens."""

    tag: bytes
    envelope: bytes

    def encode(self) -> bytes:
        return _encode_envelope(What.DELIVER, self.tag, self.envelope)


class Joined(NamedTuple):
    """The leg stands; `attach` names it when a UDP socket attaches itself."""

    leg: int
    attach: bytes

    def encode(self) -> bytes:
        assert len(self.attach) == ATTACH_LENGTH
        return _LEG.pack(What.JOINED, self.leg) + self.attach


class Open(NamedTuple):
    """The other leg is there too: what is sent from now on arrives."""

    leg: int

    def encode(self) -> bytes:
        return _LEG.pack(What.OPEN, self.leg)


class Left(NamedTuple):
    """The leg is no more: the other went, or nobody came, or it was idle."""

    leg: int

    def encode(self) -> bytes:
        return _LEG.pack(What.LEFT, self.leg)


class Refused(NamedTuple):
    """A request was not carried out; it may be tried again after so many seconds."""

    what: int
    """The first byte of the request."""
    code: int
    """See `Code`; a client treats one that it does not know as `FULL`."""
    retry_after: int

    def encode(self) -> bytes:
        return _REFUSED.pack(What.REFUSED, self.what, self.code, min(self.retry_after, 0xFFFF))


FromClient = Subscribe | Unsubscribe | Post | Join | Leave
FromServer = Welcome | Deliver | Joined | Open | Left | Refused


def parse_from_client(data: bytes) -> FromClient:
    """Read what a client says, or raise ProtocolError."""
    match data[0] if data else None:
        case What.SUBSCRIBE:
            return Subscribe(_parse_claims(data))
        case What.UNSUBSCRIBE:
            return Unsubscribe(_parse_claims(data))
        case What.POST:
            return Post(*_parse_envelope(data))
        case What.JOIN:
            _check_length(data, _LEG.size + TICKET_LENGTH)
            return Join(_parse_leg(data), bytes(data[_LEG.size :]))
        case What.LEAVE:
            _check_length(data, _LEG.size)
            return Leave(_parse_leg(data))
        case _:
            raise ProtocolError("a message of the client is of no known kind")


def parse_from_server(data: bytes) -> FromServer:
    """Read what a server says, or raise ProtocolError."""
    match data[0] if data else None:
        case What.DELIVER:
            return Deliver(*_parse_envelope(data))
        case What.JOINED:
            _check_length(data, _LEG.size + ATTACH_LENGTH)
            return Joined(_parse_leg(data), bytes(data[_LEG.size :]))
        case What.OPEN:
            _check_length(data, _LEG.size)
            return Open(_parse_leg(data))
        case What.LEFT:
            _check_length(data, _LEG.size)
            return Left(_parse_leg(data))
        case What.REFUSED:
            _check_length(data, _REFUSED.size)
            return Refused(*_REFUSED.unpack(data)[1:])
        case What.WELCOME:
            return parse_welcome(data)
        case _:
            raise ProtocolError("a message of the server is of no known kind")


def parse_welcome(data: bytes) -> Welcome:
    """Read the payload of a server's first message, or raise ProtocolError."""
    if len(data) < _WELCOME.size:
        raise ProtocolError("a WELCOME is too short")
    what, version, time, observed, count = _WELCOME.unpack_from(data)
    if what != What.WELCOME or version != VERSION:
        raise ProtocolError("the server speaks another version")
    if count > STUN_ENDPOINTS:
        raise ProtocolError("a WELCOME names too many endpoints")
    _check_length(data, _WELCOME.size + count * ENDPOINT_LENGTH)
    stun = tuple(
        parse_endpoint(data[at : at + ENDPOINT_LENGTH])
        for at in range(_WELCOME.size, len(data), ENDPOINT_LENGTH)
    )
    return Welcome(time, parse_endpoint(observed), stun)


def encode_endpoint(endpoint: Endpoint) -> bytes:
    """18 bytes: the address as IPv6, an IPv4 address as ::ffff:a.b.c.d, and the port."""
    address = ipaddress.ip_address(endpoint.address.partition("%")[0])
    packed = address.packed
    if len(packed) == 4:
        packed = bytes(10) + b"\xff\xff" + packed
    return _ENDPOINT.pack(packed, endpoint.port)


def parse_endpoint(data: bytes) -> Endpoint:
    """Read 18 bytes; every content is an endpoint."""
    _check_length(data, ENDPOINT_LENGTH)
    packed, port = _ENDPOINT.unpack(data)
    address = ipaddress.IPv6Address(packed)
    return Endpoint(str(address.ipv4_mapped or address), port)


def _encode_claims(what: What, claims: tuple[bytes, ...]) -> bytes:
    assert 1 <= len(claims) <= CLAIMS_PER_MESSAGE
    assert all(len(claim) == CLAIM_LENGTH for claim in claims)
    return bytes([what]) + b"".join(claims)


def _parse_claims(data: bytes) -> tuple[bytes, ...]:
    count, rest = divmod(len(data) - 1, CLAIM_LENGTH)
    if rest or not 1 <= count <= CLAIMS_PER_MESSAGE:
        raise ProtocolError("claims come in the wrong number")
    return tuple(bytes(data[at : at + CLAIM_LENGTH]) for at in range(1, len(data), CLAIM_LENGTH))


def _encode_envelope(what: What, tag: bytes, envelope: bytes) -> bytes:
    assert len(tag) == TAG_LENGTH and len(envelope) == ENVELOPE_LENGTH
    return bytes([what]) + tag + envelope


def _parse_envelope(data: bytes) -> tuple[bytes, bytes]:
    _check_length(data, 1 + TAG_LENGTH + ENVELOPE_LENGTH)
    return bytes(data[1 : 1 + TAG_LENGTH]), bytes(data[1 + TAG_LENGTH :])


def _parse_leg(data: bytes) -> int:
    leg: int = _LEG.unpack_from(data)[1]
    return leg


def _check_length(data: bytes, length: int) -> None:
    if len(data) != length:
        raise ProtocolError("a message has the wrong length")
