"""Circuits: two legs that dialled in with one ticket; what comes in at one goes out at the other.

    JOIN -> one leg waits, 60 s -> the second JOIN -> open -> LEAVE, idle, or both owners gone

There is no destination anywhere in here: a circuit leads to whoever else had the ticket (RL-01).
A leg is reached by its WebSocket, or by the UDP endpoint that attached itself with a cookie and a
proof of the ticket. When its WebSocket goes, a leg with a UDP endpoint stays while datagrams come
from there, and who has the ticket may join it again. Nothing here blocks or queues, except the few
datagrams that come before the second leg does. All time is an argument.
"""

from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from securecp.endpoint import Endpoint
from securecp.nat import relay, rendezvous
from securecp.nat.rendezvous import Code, FromServer, What
from securecp.noise.keypairs import Entropy
from securecp.server.limits import Bucket, Buckets, Places
from securecp.server.shares import Account, Shares
from securecp.server.tally import Event, Tally

# SPEC §13.5
JOIN_LIFE = 60.0
ORPHAN_IDLE = 60.0
"""Seconds for which a leg without its WebSocket may be silent."""
IDLE = 300.0
"""Seconds for which a whole circuit may be silent."""
UDP_IDLE = 60.0
"""A silent UDP endpoint is behind a NAT that has forgotten it: back to the WebSocket."""
EARLY_DATAGRAMS = 8
EARLY_BYTES = 8_192
SHORTEST = 20
"""As the kernel's filter on both ends has it."""
SILENT_RETRY = 4
"""Seconds until a third JOIN may find that a leg's owner is gone."""
_ON_THE_WAY = 28
"""What each datagram costs beside its bytes: headers of IPv4 and UDP."""
_RELAYED_KINDS = bytes(first for first in range(256) if relay.forwarded(first))

O = TypeVar("O")  # noqa: E741  an owner


class Leg(Generic[O]):
    """One end of a circuit."""

    __slots__ = (
        "attach", "budget", "circuit", "early", "early_size", "endpoint", "heard_at", "number",
        "other", "owner", "udp_heard_at", "where",
    )  # fmt: skip

    def __init__(
        self,
        circuit: "Circuit[O]",
        owner: O,
        number: int,
        attach: bytes,
        where: str,
        budget: Bucket,
        now: float,
    ) -> None:
        self.circuit = circuit
        self.owner: O | None = owner
        """Whose WebSocket it is; None when that is gone."""
        self.number = number
        """What the owner calls it."""
        self.attach = attach
        self.where = where
        self.other: Leg[O] | None = None
        self.endpoint: Endpoint | None = None
        self.heard_at = now
        self.udp_heard_at = now
        self.budget = budget
        self.early: list[tuple[int, bytes]] = []
        """What came for the other leg before it was there."""
        self.early_size = 0


class Circuit(Generic[O]):
    """One or two legs; the ticket lives as long as they do."""

    __slots__ = ("account", "began_at", "legs", "ticket")

    def __init__(self, ticket: bytes, now: float) -> None:
        self.ticket = ticket
        self.began_at = now
        self.legs: list[Leg[O]] = []
        self.account = Account()


class Tell(NamedTuple, Generic[O]):
    """A message for an owner."""

    owner: O
    message: FromServer


class Pass(NamedTuple, Generic[O]):
    """Datagrams that go out at a leg: by UDP if it has an endpoint, else by its WebSocket."""

    leg: Leg[O]
    stride: int
    data: memoryview


class Doubt(NamedTuple, Generic[O]):
    """Somebody else wants this owner's place: is it still there?"""

    owner: O


Effect = Tell[O] | Pass[O] | Doubt[O]


class Caps(NamedTuple):
    """What the operator may set; rates in bytes per second."""

    circuits: int = 4_096
    legs_per_network: int = 64
    rate: float = 50e6
    network_rate: float = 100e6
    total_rate: float = 500e6


class Circuits(Generic[O]):
    """All circuits of this server."""

    def __init__(self, caps: Caps, entropy: Entropy, tally: Tally) -> None:
        self._entropy = entropy
        self._tally = tally
        self._by_ticket: dict[bytes, Circuit[O]] = {}
        self._by_attach: dict[bytes, Leg[O]] = {}
        self._by_endpoint: dict[Endpoint, Leg[O]] = {}
        self._by_number: dict[tuple[O, int], Leg[O]] = {}
        self._places = Places(2 * caps.circuits, caps.legs_per_network)
        self._budgets = Buckets(caps.network_rate, caps.network_rate / 10, 2 * caps.circuits)
        self._shares = Shares(caps.rate, caps.total_rate)

    def __len__(self) -> int:
        return len(self._by_ticket)

    @property
    def legs(self) -> Iterator[Leg[O]]:
        return iter(self._by_attach.values())

    def leg(self, owner: O, number: int) -> Leg[O] | None:
        """The leg that this owner calls so."""
        return self._by_number.get((owner, number))

    def leg_at(self, endpoint: Endpoint) -> Leg[O] | None:
        """The leg whose datagrams come from there."""
        return self._by_endpoint.get(endpoint)

    def join(self, now: float, owner: O, number: int, ticket: bytes, where: str) -> list[Effect[O]]:
        """A leg of the circuit with this ticket; the number must be free."""
        assert (owner, number) not in self._by_number
        circuit = self._by_ticket.get(ticket)
        if circuit is not None and len(circuit.legs) == 2:
            return self._join_third(now, circuit, owner, number, where)
        if not self._places.enter(where):
            code = Code.FULL if self._places.full else Code.TOO_MANY
            return _refuse(owner, number, code, retry_after=10)
        if circuit is None:
            circuit = self._by_ticket[ticket] = Circuit(ticket, now)
        attach, budget = self._entropy(rendezvous.ATTACH_LENGTH), self._budgets.of(now, where)
        leg = Leg(circuit, owner, number, attach, where, budget, now)
        circuit.legs.append(leg)
        self._by_attach[leg.attach] = leg
        self._by_number[owner, number] = leg
        joined: list[Effect[O]] = [Tell(owner, rendezvous.Joined(number, leg.attach))]
        return joined if len(circuit.legs) == 1 else joined + self._open(circuit)

    def _open(self, circuit: Circuit[O]) -> list[Effect[O]]:
        first, second = circuit.legs
        first.other, second.other = second, first
        effects: list[Effect[O]] = [
            Tell(leg.owner, rendezvous.Open(leg.number))
            for leg in circuit.legs
            if leg.owner is not None
        ]
        effects += [Pass(second, stride, memoryview(data)) for stride, data in first.early]
        first.early.clear()
        return effects

    def _join_third(
        self, now: float, circuit: Circuit[O], owner: O, number: int, where: str
    ) -> list[Effect[O]]:
        """Both legs are there: whoever lost a WebSocket may have come back (RL-05)."""
        orphans = [leg for leg in circuit.legs if leg.owner is None]
        if not orphans:
            doubts: list[Effect[O]] = [
                Doubt(leg.owner) for leg in circuit.legs if leg.owner is not None
            ]
            return doubts + _refuse(owner, number, Code.TOO_MANY, retry_after=SILENT_RETRY)
        leg = min(orphans, key=lambda one: (one.where != where, one.heard_at))
        leg.owner, leg.number, leg.heard_at = owner, number, now
        self._by_number[owner, number] = leg
        return [
            Tell(owner, rendezvous.Joined(number, leg.attach)),
            Tell(owner, rendezvous.Open(number)),
        ]

    def leave(self, owner: O, number: int) -> list[Effect[O]]:
        """The owner gives up this leg, and with it the circuit; no such leg is no fault."""
        leg = self._by_number.get((owner, number))
        if leg is None:
            return []
        return self._end(leg.circuit, besides=leg)

    def gone(self, owner: O, numbers: list[int]) -> list[Effect[O]]:
        """The owner's WebSocket is closed; these were its legs."""
        effects: list[Effect[O]] = []
        for number in numbers:
            leg = self._by_number.get((owner, number))
            if leg is None:
                continue
            if leg.endpoint is not None and leg.other is not None:
                del self._by_number[owner, number]
                leg.owner = None
            else:
                effects += self._end(leg.circuit, besides=leg)
        return effects

    def attach(self, now: float, endpoint: Endpoint, attach: relay.Attach) -> bool:
        """Datagrams from `endpoint` are the leg's from now on, if the proof is right."""
        leg = self._by_attach.get(attach.attach)
        if leg is None or not attach.proves(leg.circuit.ticket):
            return False
        before = self._by_endpoint.get(endpoint)
        if before is not None and before is not leg:
            before.endpoint = None
        self._detach(leg)
        leg.endpoint = endpoint
        leg.heard_at = leg.udp_heard_at = now
        self._by_endpoint[endpoint] = leg
        return True

    def from_udp(self, now: float, leg: Leg[O], stride: int, data: memoryview) -> Pass[O] | None:
        """Datagrams from the leg's endpoint: where they go, or None if nowhere."""
        leg.udp_heard_at = now
        return self._carry(now, leg, stride, data)

    def from_owner(self, now: float, leg: Leg[O], stride: int, data: memoryview) -> Pass[O] | None:
        """Datagrams from the leg's WebSocket."""
        return self._carry(now, leg, stride, data)

    def _carry(self, now: float, leg: Leg[O], stride: int, data: memoryview) -> Pass[O] | None:
        leg.heard_at = now
        if not carriable(stride, data):
            return None
        size = len(data)
        cost = size + _ON_THE_WAY * -(-size // stride)
        shares, account = self._shares, leg.circuit.account
        if not leg.budget.spend(now, cost) or not shares.spend(now, account, cost):
            self._tally.add(Event.LIMITED)
            return None
        if leg.other is None:
            _keep_early(leg, stride, data)
            return None
        return Pass(leg.other, stride, data)

    def sweep(self, now: float) -> list[Effect[O]]:
        """End what nobody came for or nothing came through; to be called every few seconds."""
        effects: list[Effect[O]] = []
        for circuit in list(self._by_ticket.values()):
            for leg in circuit.legs:
                if leg.owner is not None and now - leg.udp_heard_at >= UDP_IDLE:
                    self._detach(leg)
            if _over(circuit, now):
                effects += self._end(circuit)
        self._budgets.sweep(now)
        return effects

    def _end(self, circuit: Circuit[O], besides: Leg[O] | None = None) -> list[Effect[O]]:
        del self._by_ticket[circuit.ticket]
        for leg in circuit.legs:
            del self._by_attach[leg.attach]
            self._detach(leg)
            self._places.leave(leg.where)
            if leg.owner is not None:
                del self._by_number[leg.owner, leg.number]
            leg.other = None
        return [
            Tell(leg.owner, rendezvous.Left(leg.number))
            for leg in circuit.legs
            if leg is not besides and leg.owner is not None
        ]

    def _detach(self, leg: Leg[O]) -> None:
        if leg.endpoint is not None:
            del self._by_endpoint[leg.endpoint]
            leg.endpoint = None


def carriable(stride: int, data: memoryview) -> bool:
    """Whether all of it is for a client's transport, and nothing that only the relay may say."""
    if stride < SHORTEST:
        return False
    return not bytes(data[::stride]).translate(None, _RELAYED_KINDS)


def _keep_early(leg: Leg[O], stride: int, data: memoryview) -> None:
    """The first flight is worth keeping: without it a handshake begins with a lost datagram."""
    room = EARLY_BYTES - leg.early_size
    count = EARLY_DATAGRAMS - sum(-(-len(kept) // step) for step, kept in leg.early)
    fits = bytes(data[: min(count, room // stride) * stride])
    if fits:
        leg.early.append((stride, fits))
        leg.early_size += len(fits)


def _over(circuit: Circuit[O], now: float) -> bool:
    if len(circuit.legs) == 1:
        return now - circuit.began_at >= JOIN_LIFE
    if now - max(leg.heard_at for leg in circuit.legs) >= IDLE:
        return True
    return any(leg.owner is None and now - leg.udp_heard_at >= ORPHAN_IDLE for leg in circuit.legs)


def _refuse(owner: O, number: int, code: Code, *, retry_after: int) -> list[Effect[O]]:
    return [
        Tell(owner, rendezvous.Refused(What.JOIN, code, retry_after)),
        Tell(owner, rendezvous.Left(number)),
    ]
