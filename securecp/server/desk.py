"""What the server does with each message of a client; no sockets, no seals.

    arrive -> Visitor -> receive, circuit, … -> depart
              each gives effects: what to tell whom, and datagrams to pass on

A POST has the same outcome for its poster whoever is there: nothing (RV-01). So the one limit on
posting counts posts, not what became of them. What breaks the protocol raises ProtocolError: the
shell then closes that client's connection, and nobody else notices.
"""

from typing import NamedTuple

from securecp.errors import ProtocolError
from securecp.nat import rendezvous
from securecp.nat.relay import parse_circuit
from securecp.nat.rendezvous import (
    Code,
    Deliver,
    Join,
    Leave,
    Post,
    Refused,
    Subscribe,
    Unsubscribe,
    What,
)
from securecp.nat.tags import tag_of
from securecp.noise.keypairs import Entropy
from securecp.server import circuits, mailslots
from securecp.server.circuits import Caps as CircuitCaps
from securecp.server.circuits import Circuits, Tell
from securecp.server.limits import Bucket, Buckets, Places
from securecp.server.mailslots import Mailslots
from securecp.server.tally import Event, Tally

Effect = circuits.Effect["Visitor"]

# SPEC §13.3
POSTS = 64
"""At once; each comes back after about a second, so that no more than so many are ever held."""
POSTS_PER_SECOND = POSTS / mailslots.ENVELOPE_LIFE
JOINS = 32
JOINS_PER_SECOND = 1.0
LEGS = 32
TAGS = 2_000_000
TAGS_PER_NETWORK = 65_536
"""On which clients wait: about 210 bytes each. A thousand contacts make 3,000 (RV-06)."""
MESSAGES = 256
MESSAGES_PER_SECOND = 64.0
"""Sealed messages of any kind; more is no client of ours, but a flood (RV-06)."""


class Caps(NamedTuple):
    """What the operator may set."""

    clients: int = 16_384
    clients_per_network: int = 256
    arrivals_per_second: float = 10.0
    """Of one network; ten times as many at once."""
    circuits: CircuitCaps = CircuitCaps()


class Visitor:
    """One client, from its hello to the end of its connection."""

    __slots__ = ("joins", "legs", "messages", "posts", "tags", "where")

    def __init__(self, where: str) -> None:
        self.where = where
        self.tags: set[bytes] = set()
        self.legs: set[int] = set()
        self.posts: Bucket | None = None
        self.joins: Bucket | None = None
        self.messages = Bucket(MESSAGES_PER_SECOND, MESSAGES)


class Desk:
    """Everything that clients ask for inside their channels."""

    def __init__(self, caps: Caps, entropy: Entropy, tally: Tally) -> None:
        self._tally = tally
        self.slots: Mailslots[Visitor] = Mailslots()
        self.circuits: Circuits[Visitor] = Circuits(caps.circuits, entropy, tally)
        self._places = Places(caps.clients, caps.clients_per_network)
        self._tags = Places(TAGS, TAGS_PER_NETWORK)
        rate = caps.arrivals_per_second
        self._arrivals = Buckets(rate, 10 * rate, most=4_096)
        self._posts = Buckets(8 * POSTS_PER_SECOND, 8 * POSTS, most=4_096)

    @property
    def clients(self) -> int:
        return len(self._places)

    def arrive(self, now: float, where: str) -> Visitor | Event:
        """A connection of this network; or why it is not let in."""
        if self._places.full:
            return Event.FULL
        if self._places.full_for(where):
            return Event.TOO_MANY
        if not self._arrivals.of(now, where).take(now):
            return Event.TOO_FAST
        self._places.enter(where)
        return Visitor(where)

    def depart(self, visitor: Visitor) -> list[Effect]:
        """Its connection is closed; what was its is forgotten."""
        self._places.leave(visitor.where)
        self.slots.unsubscribe(visitor, visitor.tags)
        self._tags.leave(visitor.where, len(visitor.tags))
        effects = self.circuits.gone(visitor, list(visitor.legs))
        visitor.tags.clear()
        visitor.legs.clear()
        return self._leaving(effects)

    def receive(self, now: float, visitor: Visitor, data: bytes) -> list[Effect]:
        """One sealed message, opened."""
        message = rendezvous.parse_from_client(data)
        if not visitor.messages.take(now):
            return self._refuse(visitor, data[0], Code.TOO_FAST, visitor.messages.wait(now))
        match message:
            case Subscribe(claims):
                return self._subscribe(visitor, claims)
            case Unsubscribe(claims):
                tags = {tag_of(claim) for claim in claims} & visitor.tags
                self.slots.unsubscribe(visitor, tags)
                self._tags.leave(visitor.where, len(tags))
                visitor.tags -= tags
                return []
            case Post(tag, envelope):
                return self._post(now, visitor, tag, envelope)
            case Join(leg, ticket):
                return self._join(now, visitor, leg, ticket)
            case Leave(leg):
                return self._leaving(self.circuits.leave(visitor, leg), visitor, leg)

    def circuit(self, now: float, visitor: Visitor, message: bytes) -> list[Effect]:
        """Circuit data, from its first byte on."""
        data = parse_circuit(message)
        leg = self.circuits.leg(visitor, data.leg)
        if leg is None:  # it was refused or ended, and the client does not know yet
            return []
        passed = self.circuits.from_owner(now, leg, data.stride, data.data)
        return [passed] if passed else []

    def sweep(self, now: float) -> list[Effect]:
        """Forget what has had its time."""
        self._tally.add(Event.EXPIRED, self.slots.expire(now))
        self._arrivals.sweep(now)
        self._posts.sweep(now)
        return self._leaving(self.circuits.sweep(now))

    def _subscribe(self, visitor: Visitor, claims: tuple[bytes, ...]) -> list[Effect]:
        tags = list(dict.fromkeys(tag_of(claim) for claim in claims))
        new = len(visitor.tags.union(tags)) - len(visitor.tags)
        many = len(visitor.tags) + new > rendezvous.CLAIMS_PER_CLIENT
        if many or not self._tags.enter(visitor.where, new):
            return self._refuse(visitor, What.SUBSCRIBE, Code.TOO_MANY, 60)
        visitor.tags.update(tags)
        found = self.slots.subscribe(visitor, tags)
        return [Tell(visitor, Deliver(held.tag, held.envelope)) for held in found]

    def _post(self, now: float, visitor: Visitor, tag: bytes, envelope: bytes) -> list[Effect]:
        if visitor.posts is None:
            visitor.posts = Bucket(POSTS_PER_SECOND, POSTS)
        for budget in (visitor.posts, self._posts.of(now, visitor.where)):
            if not budget.take(now):
                return self._refuse(visitor, What.POST, Code.TOO_FAST, budget.wait(now))
        self._tally.add(Event.POSTED)
        there = self.slots.post(now, tag, envelope, visitor.where)
        return [Tell(one, Deliver(tag, envelope)) for one in there]

    def _join(self, now: float, visitor: Visitor, leg: int, ticket: bytes) -> list[Effect]:
        if leg in visitor.legs:
            raise ProtocolError("a leg has the number of another")
        if visitor.joins is None:
            visitor.joins = Bucket(JOINS_PER_SECOND, JOINS)
        if len(visitor.legs) >= LEGS or not visitor.joins.take(now):
            code = Code.TOO_MANY if len(visitor.legs) >= LEGS else Code.TOO_FAST
            wait = visitor.joins.wait(now)
            return [
                *self._refuse(visitor, What.JOIN, code, wait),
                Tell(visitor, rendezvous.Left(leg)),
            ]
        effects = self.circuits.join(now, visitor, leg, ticket, visitor.where)
        if self.circuits.leg(visitor, leg) is not None:
            visitor.legs.add(leg)
            self._tally.add(Event.JOINED)
        else:
            self._tally.add(Event.JOIN_REFUSED)
        return effects

    def _leaving(
        self, effects: list[Effect], visitor: Visitor | None = None, leg: int = 0
    ) -> list[Effect]:
        """Legs end: their owners' books must say so too."""
        if visitor is not None:
            visitor.legs.discard(leg)
        for effect in effects:
            if isinstance(effect, Tell) and isinstance(effect.message, rendezvous.Left):
                effect.owner.legs.discard(effect.message.leg)
        return effects

    def _refuse(self, visitor: Visitor, what: int, code: Code, wait: float) -> list[Effect]:
        self._tally.add(Event.TOO_FAST if code == Code.TOO_FAST else Event.TOO_MANY)
        return [Tell(visitor, Refused(what, code, 1 + int(wait)))]
