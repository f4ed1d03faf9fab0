"""What the traversal wants done and what it has to tell; the shell does it (SPEC §12).

A core without I/O says `Shoot` and not `sendto`: these are all the things it can say.
"""

from typing import NamedTuple

from securecp.endpoint import Endpoint


class Shoot(NamedTuple):
    """Send one datagram; that it arrives, nobody promises."""

    endpoint: Endpoint
    data: bytes
    ttl: int | None = None
    """Hops after which it shall die, if it shall."""


class Tell(NamedTuple):
    """Send a message to a server; one whose link is down never hears it."""

    server: int
    message: bytes


class OpenDoors(NamedTuple):
    """Bind sockets at ports of the system's choice; what leaves by one that failed is lost."""

    vias: tuple[int, ...]
    ipv6: bool
    small: bool
    """Only probes will pass, until one proves to be a path."""


class CloseDoors(NamedTuple):
    """Close sockets; what still comes for them is lost."""

    vias: tuple[int, ...]


class OpenCircuit(NamedTuple):
    """From now on, door `via` leads through leg `via` of this server's relay."""

    via: int
    server: int


class AskLan(NamedTuple):
    """Send a datagram to everybody on the networks that we are on."""

    data: bytes


class AnswerLan(NamedTuple):
    """Answer one of them."""

    endpoint: Endpoint
    data: bytes


Action = Shoot | Tell | OpenDoors | CloseDoors | OpenCircuit | AskLan | AnswerLan


class Way(NamedTuple):
    """How a peer can be reached."""

    kind: str
    """`lan`, `direct` or `relayed`."""
    endpoint: Endpoint
    rank: int
    """The lower the better."""
    rtt: float | None = None
    """Seconds, where it was measured."""


RANK_LAN, RANK_IPV6, RANK_IPV4, RANK_UDP_RELAY, RANK_WEBSOCKET = range(5)
"""The order of ways: what is near, what no NAT changes, what needs no relay, what needs no TCP."""
