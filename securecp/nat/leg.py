"""Our leg of a circuit through a server's relay: by WebSocket at once, then by UDP (SPEC §13.5).

    JOIN ──> JOINED ──> a door of its own ──> COOKIE-REQUEST ──> COOKIE ──> ATTACH ──> ATTACHED
      │                                           ▲                                       │
      │                                           └──────────── every 20 s ───────────────┤
      └─ the WebSocket way: datagrams may follow at once          the UDP way, once OPEN ─┘

A leg has one circuit at one server and ends with it; what comes after that is another leg. That the
UDP way is attached anew all the time keeps the NAT's entry, follows a change of our address, and
shows when the server has forgotten us.
"""

from collections.abc import Iterator

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat import relay
from securecp.nat.actions import (
    RANK_UDP_RELAY,
    RANK_WEBSOCKET,
    Action,
    CloseDoors,
    OpenCircuit,
    OpenDoors,
    Shoot,
    Tell,
    Way,
)
from securecp.nat.rendezvous import Join, Leave

RETRY = (0.15, 0.3, 0.6, 1.2)
"""Seconds after which a COOKIE-REQUEST or ATTACH is sent again; after the last, the leg goes on
without UDP."""
REFRESH = 20.0
MOST = 3
"""Legs of one meeting: the one in use, the newest, and the one before."""


class Leg:
    """One leg; `actions` is drained by whoever drives it."""

    def __init__(
        self, server: int, where: Endpoint, relay_at: Endpoint | None, ticket: bytes,
        via: int, udp_via: int,
    ) -> None:  # fmt: skip
        """`relay_at` is the server's UDP relay, None where UDP does not pass."""
        self.server = server
        self.via = via
        self.udp_via = udp_via
        self.open = False
        self.gone = False
        self.ticket = ticket
        self._udp = None if relay_at is None else relay_at._replace(via=udp_via)
        self._attach_id: bytes | None = None
        self._cookie: bytes | None = None
        self._asked = False
        """Whether a COOKIE may come: one for each COOKIE-REQUEST."""
        self._attached = False
        self._attaching = False
        self._linked = True
        self._tries = 0
        self._next_at: float | None = None
        self._websocket = Endpoint(where.address, where.port, via)
        self.actions: list[Action] = [
            OpenCircuit(via, server),
            Tell(server, Join(via, ticket).encode()),
        ]

    def ways(self) -> list[Way]:
        """How the peer can be reached through it now, best first."""
        if self.gone:
            return []
        ways = [Way("relayed", self._websocket, RANK_WEBSOCKET)] if self._linked else []
        if self._attached and self.open and self._udp is not None:
            ways.insert(0, Way("relayed", self._udp, RANK_UDP_RELAY))
        return ways

    @property
    def vias(self) -> set[int]:
        """Its doors, whether they are open or not."""
        return {self.via, self.udp_via}

    # what the server says

    def joined(self, now: float, attach_id: bytes) -> None:
        """The leg stands: attach a UDP socket to it."""
        if self.gone or self._attach_id is not None:
            return
        self._attach_id = attach_id
        if self._udp is not None:
            ipv6 = ":" in self._udp.address
            self.actions.append(OpenDoors((self.udp_via,), ipv6, small=False))
            self._begin(now)

    def opened(self) -> None:
        """The other leg is there too."""
        self.open = True

    def link_down(self) -> None:
        """The WebSocket is gone; what is attached by UDP may live on for a while."""
        self._linked = False
        if not (self._attached or self._attaching):
            self.left()

    def left(self) -> None:
        """The circuit is no more."""
        if not self.gone:
            self.gone = True
            doors = (self.via,) if self._attach_id is None or self._udp is None else self.vias
            self.actions.append(CloseDoors(tuple(sorted(doors))))

    def receive(self, now: float, endpoint: Endpoint, datagram: bytes) -> None:
        """A datagram of the relay itself, on our door; ProtocolError if it is none."""
        if endpoint != self._udp or self.gone or self._attach_id is None:
            raise ProtocolError("a datagram of a relay that is not ours")
        if datagram[0] == relay.COOKIE:
            cookie = relay.parse_cookie(datagram)
            if not self._asked:
                raise ProtocolError("a COOKIE that was not asked for")
            self._asked, self._cookie = False, cookie
            self._tries, self._next_at = min(self._tries, 1), now
        elif relay.parse_attached(datagram) == self._attach_id and self._cookie is not None:
            self._cookie = None
            self._attached, self._attaching = True, False
            self._tries, self._next_at = 0, now + REFRESH

    # what the clock says

    def _begin(self, now: float) -> None:
        self._cookie, self._attaching = None, True
        self._tries, self._next_at = 0, now

    def wake(self, now: float) -> None:
        """Ask again if it is time."""
        if self._next_at is None or now < self._next_at or self.gone or self._udp is None:
            return
        if self._tries >= len(RETRY):
            self._silent(now)
            return
        if self._cookie is None or self._attach_id is None:
            self._asked = True
            self.actions.append(Shoot(self._udp, relay.encode_cookie_request()))
        else:
            attach = relay.encode_attach(self._attach_id, self._cookie, self.ticket)
            self.actions.append(Shoot(self._udp, attach))
        self._next_at = now + RETRY[self._tries]
        self._tries += 1

    def _silent(self, now: float) -> None:
        """UDP does not pass, or no more; it may again."""
        self._attached = self._attaching = False
        self._cookie, self._tries, self._next_at = None, 0, now + REFRESH
        if not self._linked:
            self.left()

    def doubt(self, now: float) -> None:
        """The UDP way has fallen silent, or must be wrong: it is none until it is attached."""
        if self._attached and self._linked:
            self._attached = False
            self._begin(now)

    def confirm(self, now: float) -> None:
        """Attach the UDP way anew at once, as our NAT may have given us another address."""
        if self._attached and self._tries == 0:
            self._next_at = now

    def deadline(self) -> float | None:
        """When `wake` is due."""
        return None if self.gone else self._next_at

    def close(self) -> None:
        """Give it up."""
        if not self.gone:
            self.actions.append(Tell(self.server, Leave(self.via).encode()))
            self.left()


class Legs:
    """Those of one meeting, the newest last."""

    def __init__(self) -> None:
        self._legs: list[Leg] = []
        self._actions: list[Action] = []
        self._lost = False

    def __iter__(self) -> Iterator[Leg]:
        return iter(self._legs)

    def __len__(self) -> int:
        return len(self._legs)

    def at(self, ticket: bytes, server: int) -> bool:
        """Whether the circuit of this ticket has a leg of ours at this server."""
        return any(leg.server == server and leg.ticket == ticket for leg in self._legs)

    def add(self, leg: Leg, in_use: Endpoint | None) -> None:
        """One more; of those before stay the one in use and the last."""
        old = [one for one in self._legs if in_use is None or in_use.via not in one.vias]
        for one in old[: max(len(self._legs) + 1 - MOST, 0)]:
            one.close()
        self._legs.append(leg)

    def ways(self) -> list[Way]:
        """All, those of new legs before those of old ones."""
        return [way for leg in reversed(self._legs) for way in leg.ways()]

    def wake(self, now: float) -> None:
        for leg in self._legs:
            leg.wake(now)

    def doubt(self, now: float, endpoint: Endpoint) -> None:
        """This path has fallen silent, for a reason that may be another's as well."""
        for leg in self._legs:
            if leg.udp_via == endpoint.via:
                leg.doubt(now)
            else:
                leg.confirm(now)

    def close(self) -> None:
        for leg in self._legs:
            leg.close()

    def lost(self) -> bool:
        """Whether a circuit that was open has ended since the last question, and none is left."""
        lost, self._lost = self._lost, False
        return lost and not any(leg.open for leg in self._legs)

    def drain(self) -> list[Action]:
        """What they want done; those that are gone are forgotten."""
        for leg in self._legs:
            self._actions += leg.actions
            leg.actions.clear()
            self._lost |= leg.gone and leg.open
        self._legs = [leg for leg in self._legs if not leg.gone]
        actions, self._actions = self._actions, []
        return actions

    def deadline(self) -> float | None:
        times = [time for leg in self._legs if (time := leg.deadline()) is not None]
        return min(times, default=None)
