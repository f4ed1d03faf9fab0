"""How this machine and one peer stand in the network, as far as it was found out: a value.

`net` fills it in, the face puts it into words: `securecp doctor`, and a transfer that cannot
connect. What was not found out is None or empty, and never a guess.
"""

from dataclasses import dataclass
from typing import Literal

from securecp.endpoint import Endpoint
from securecp.nat.candidate import Candidate, is_private
from securecp.nat.sampling import Nat

What = Literal["probe", "fresh", "guess", "fan", "lan", "relay"]
WayKind = Literal["lan", "direct", "relayed"]
Stage = Literal["untried", "silent", "heard", "answered"]


@dataclass(frozen=True, slots=True)
class Family:
    """How the world sees us by IPv4 or by IPv6."""

    version: Literal[4, 6]
    local: tuple[str, ...] = ()
    """Our addresses that lead out of this machine; empty: we have no such network."""
    port: int = 0
    """The local port that the servers were asked from."""
    nat: Nat = Nat.UNKNOWN
    seen: Endpoint | None = None
    """As a server sees us."""
    preserved: bool | None = None
    """Whether the NAT keeps our own port number."""
    step: int = 0
    """Between the ports of a sequential NAT."""

    @property
    def translated(self) -> bool:
        """A NAT stands between: servers see an address that is none of ours."""
        return self.seen is not None and self.seen.address not in self.local


@dataclass(frozen=True, slots=True)
class PortMapping:
    """Whether a router opened a port for us."""

    asked: bool = True
    """False: the person does not want it."""
    protocol: Literal["", "NAT-PMP", "PCP", "UPnP"] = ""
    """By which it was opened; empty if it was not."""
    external: Endpoint | None = None
    trouble: str = ""
    """What the router said against it."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server of the settings."""

    where: str
    """Host and port, without the key."""
    up: bool
    rtt: float | None = None
    """Seconds, through the channel."""
    key_ok: bool | None = None
    """Whether it has the key of its address; None if it did not come to that."""
    clock: float | None = None
    """Seconds by which its clock is ahead of ours."""
    udp: bool | None = None
    """Whether it answers by UDP."""
    proxied: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Lan:
    """Whether people on this network can be found without a server."""

    asked: bool = True
    """False: the person does not want it."""
    possible: bool = False
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Interface:
    """One that is up, other than loopback."""

    name: str
    addresses: tuple[str, ...] = ()
    mtu: int | None = None
    outward: bool = False
    """What is sent to servers leaves by it."""


@dataclass(frozen=True, slots=True)
class Side:
    """What one end of a meeting said about itself."""

    nat: Nat = Nat.UNKNOWN
    ipv6: bool = False
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One endpoint that was tried, and how far that got."""

    kind: str
    """Whence we know it: `host`, `reflexive`, `mapped`, `predicted`, `learnt`, `guessed` or ""."""
    endpoint: Endpoint | None
    what: What = "probe"
    """Probes, the same from fresh doors, guesses, a fan of doors, a query, or a circuit."""
    sent: int = 0
    heard: bool = False
    """Something of the peer came from there."""
    answered: int = 0
    """How many of ours were answered."""
    rtt: float | None = None

    @property
    def stage(self) -> Stage:
        """How far it got; `heard` is one way only."""
        if self.answered:
            return "answered"
        if self.heard:
            return "heard"
        return "silent" if self.sent else "untried"


@dataclass(frozen=True, slots=True)
class Encounter:
    """A meeting with one peer, from both ends."""

    name: str
    """Our name for them."""
    ours: Side = Side()
    theirs: Side | None = None
    """None: they never answered."""
    attempts: tuple[Attempt, ...] = ()
    way: WayKind | None = None
    """How it ended; None: not connected."""
    endpoint: Endpoint | None = None
    rtt: float | None = None
    took: float | None = None
    """Seconds until the way in use stood."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found out."""

    families: tuple[Family, ...] = ()
    mapping: PortMapping = PortMapping()
    servers: tuple[Server, ...] = ()
    lan: Lan = Lan()
    relay: bool = True
    """Whether the person lets relays help."""
    interfaces: tuple[Interface, ...] = ()
    firewall: str = ""
    """The local firewall that was noticed, such as `ufw`."""
    encounter: Encounter | None = None

    @property
    def udp(self) -> bool | None:
        """Whether UDP gets out and back; None if nobody was there to tell."""
        if any(family.seen for family in self.families):
            return True
        return False if any(family.nat is Nat.NO_UDP for family in self.families) else None

    @property
    def ipv6(self) -> bool:
        """Whether peers can be reached by IPv6: an address that means us everywhere."""
        family = self.family(6)
        return family is not None and any(not is_private(one) for one in family.local)

    @property
    def carrier(self) -> bool:
        """Another NAT stands beyond our router: what it opens for us does not lead to the world."""
        outer = self.mapping.external
        family = self.family(4)
        if outer is None or family is None:
            return False
        other = family.seen is not None and family.seen.address != outer.address
        return other or is_private(outer.address)

    def family(self, version: int) -> Family | None:
        """What is known of IPv4 or IPv6."""
        return next((family for family in self.families if family.version == version), None)
