"""Candidates: endpoints at which a peer says it may be reached, and which of them we will try.

A candidate is a claim of the peer's, and a probe to it is a datagram that the peer makes us send.
So addresses that no peer on the internet has are never tried; those of private networks only when
both of us are seen from the same public address, since elsewhere they are somebody else's (RV-05);
our own endpoints and the relay's never, since that would loop (RL-10). What a probe says cannot be
chosen by the peer, and a network's broadcast address is refused by the system, as our sockets do
not ask for broadcast.
"""

import ipaddress
from collections.abc import Collection, Iterable
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

from securecp import codec
from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError

MOST_CANDIDATES = 16

_MAPPED = bytes(10) + b"\xff\xff"
"""What stands before an IPv4 address in 16 bytes (RFC 4291 §2.5.5.2)."""


class Kind(IntEnum):
    """How a peer came to know of its endpoint."""

    HOST = 0
    """An address of one of its interfaces."""
    REFLEXIVE = 1
    """As a server sees it."""
    MAPPED = 2
    """A router opened it on request."""
    PREDICTED = 3
    """A guess at what its NAT gives next."""


class Candidate(NamedTuple):
    """An endpoint that might reach a peer."""

    kind: Kind
    address: str
    """As text, in the one spelling that `canonical` gives."""
    port: int

    @classmethod
    def at(cls, kind: Kind, address: str, port: int) -> "Candidate":
        """One of our own; ValueError if the address is none. An interface's name is left out."""
        return cls(kind, canonical(address), port)

    @property
    def endpoint(self) -> tuple[str, int]:
        """Address and port; which door leads there is for whoever sends."""
        return self.address, self.port

    def encode(self) -> list[Any]:
        """As the item of a letter: kind, address of 4 or 16 bytes, port."""
        packed = pack_address(self.address)
        return [int(self.kind), packed.removeprefix(_MAPPED), self.port]

    @classmethod
    def parse(cls, value: object) -> "Candidate":
        """Read the item of a letter, or raise ProtocolError; `allowed` is another question."""
        kind, packed, port = codec.array(value, 3)
        kind = Kind(codec.integer(kind, Kind.HOST, Kind.PREDICTED))
        packed = codec.binary(packed, 4, 16)
        if len(packed) == 4:
            packed = _MAPPED + packed
        elif len(packed) < 16 or packed.startswith(_MAPPED):
            raise ProtocolError("the address of a candidate is malformed")
        return cls(kind, parse_address(packed), codec.integer(port, 1, 65_535))


def canonical(address: str) -> str:
    """The one spelling of an address: no interface, and IPv4 never inside IPv6."""
    return parse_address(pack_address(address))


@lru_cache(maxsize=1_024)
def pack_address(address: str) -> bytes:
    """An address in 16 bytes, IPv4 as ::ffff:a.b.c.d; ValueError if it is none."""
    packed = ipaddress.ip_address(address.partition("%")[0]).packed
    return packed if len(packed) == 16 else _MAPPED + packed


@lru_cache(maxsize=1_024)
def parse_address(data: bytes) -> str:
    """Read 16 bytes; every content is an address."""
    assert len(data) == 16
    if data.startswith(_MAPPED):
        return str(ipaddress.IPv4Address(data[12:]))
    return str(ipaddress.IPv6Address(data))


# Written out and not asked of `ipaddress`, whose answers differ between releases of Python.
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "127.0.0.0/8",  # loopback
        "192.0.0.0/24",  # protocol assignments: DS-Lite, 464XLAT, anycast of PCP and TURN
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "::/96",  # unspecified, loopback, IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b::/96",  # NAT64, which leads to an IPv4 address
        "64:ff9b:1::/48",  # the same, local
        "100::/64",  # discard
        "2001::/32",  # Teredo, which leads to an IPv4 address
        "2002::/16",  # 6to4, likewise
        "ff00::/8",  # multicast
    )
)
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a carrier's NAT
        "169.254.0.0/16",  # link-local
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",  # unique local
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local, of old
    )
)


@lru_cache(maxsize=1_024)
def is_private(address: str) -> bool:
    """Whether the address means another host in another network."""
    return _is_in(_PRIVATE, address)


def allowed(candidate: Candidate, same_public: bool) -> bool:
    """Whether a probe may go there; `same_public`: we are both seen from one public address."""
    if not 1 <= candidate.port <= 65_535 or _is_in(_NEVER, candidate.address):
        return False
    return same_public or not is_private(candidate.address)


def priority(candidate: Candidate) -> tuple[int, int]:
    """What to try first, the smaller the sooner: public before private before predicted; IPv6."""
    predicted = candidate.kind is Kind.PREDICTED
    rank = 2 if predicted else int(is_private(candidate.address))
    return rank, int(":" not in candidate.address)


def screen(
    candidates: Iterable[Candidate], *, same_public: bool, refused: Collection[Endpoint] = ()
) -> list[Candidate]:
    """Those to try, in order, each endpoint once and at most 16.

    `refused` are our own endpoints and the server's, whatever door leads there (RL-10).
    """
    taken = {(_plain(endpoint.address), endpoint.port) for endpoint in refused}
    chosen = []
    for candidate in sorted(candidates, key=priority):
        if candidate.endpoint not in taken and allowed(candidate, same_public):
            taken.add(candidate.endpoint)
            chosen.append(candidate)
    return chosen[:MOST_CANDIDATES]


def _plain(address: str) -> str:
    """The one spelling, or what stands there if it is no address: a circuit's, a name."""
    try:
        return canonical(address)
    except ValueError:
        return address


def _is_in(networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], text: str) -> bool:
    address = ipaddress.ip_address(text)
    return any(address in network for network in networks)
