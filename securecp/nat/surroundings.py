"""What we find out about our own network: sockets, interfaces, STUN, port mappings (SPEC §12.2).

A letter waits for STUN, but not long: whoever is silent for a quarter of a second, or one and a
half round trips to the server if that is more, is taken not to answer. Where UDP is blocked nobody
should have to wait. And when two have answered, a third that comes much later has been lost.
"""

from collections.abc import Callable, Iterable
from math import inf

from securecp.endpoint import Endpoint
from securecp.nat.actions import Action, CloseDoors, OpenDoors, Shoot
from securecp.nat.candidate import Candidate, Kind, allowed, canonical, is_private
from securecp.nat.gather import Door, Gatherer
from securecp.nat.situation import Doors, Facts, Situation, describe

PATIENCE = 0.25
ROUND_TRIPS = 1.5
ENOUGH = 2
"""Answers that tell what kind of NAT it is."""
STRAGGLERS = 0.5
LEAST_STRAGGLERS = 0.02
"""As long as this share of what those took, and no less, the others are still waited for."""
FIRST_VIA = 16
"""Doors that we number ourselves begin here."""


class Surroundings:
    """Our doors, and how each is seen; `actions` is drained by the station."""

    def __init__(self, now: float, entropy: Callable[[int], bytes]) -> None:
        self.gatherer = Gatherer(now, (), (), entropy)
        self.actions: list[Action] = []
        self.mains: dict[bool, Door] = {}
        self.rtt = 0.0
        """To the nearest server, in seconds."""
        self.observed: dict[int, str] = {}
        """By server: at which address it sees our connection."""
        self._addresses: tuple[str, ...] = ()
        self._mapped: tuple[Endpoint, ...] = ()
        self._asked: list[Endpoint] = []
        self._since: dict[int, float] = {}
        """When each door was first asked for, as it is now."""
        self._news = False
        """Whether a door was seen anew."""
        self._enough: dict[int, float] = {}
        """From when on so many answers have come for a door that the rest may be lost."""
        self._vias = FIRST_VIA

    # what the shell tells

    def doors(self, now: float, mains: Iterable[Door]) -> None:
        """Our main sockets."""
        for door in mains:
            self.mains[door.family == 6] = door
            self._begin(now, door)

    def moved(self, now: float, addresses: Iterable[str], *, changed: bool) -> None:
        """The addresses of our interfaces; if they have changed, STUN knows nothing any more."""
        self._addresses = tuple(addresses)
        if changed:
            self.gatherer.restart(now)
            self._since = dict.fromkeys(self._since, now)
            self._enough.clear()

    def ask(self, now: float, endpoints: Iterable[Endpoint]) -> None:
        """STUN servers to ask."""
        for one in endpoints:
            if one not in self._asked:
                if not self._asked:
                    self._since = dict.fromkeys(self._since, now)
                self._asked.append(one)
                self.gatherer.add_servers(now, (one,))

    def mapped(self, endpoints: Iterable[Endpoint]) -> bool:
        """External endpoints that routers have given to our main sockets; whether one is new."""
        before, self._mapped = self._mapped, tuple(endpoints)
        return not set(self._mapped) <= set(before)

    def receive(self, now: float, endpoint: Endpoint, datagram: bytes) -> bool:
        """Whether this is an answer of STUN to a question of ours."""
        via = endpoint.via
        before = {sample.seen for sample in self.gatherer.samples(via)}
        if not self.gatherer.receive(now, endpoint, datagram):
            return False
        self._news = self._news or before != {one.seen for one in self.gatherer.samples(via)}
        if via not in self._enough and len(self.gatherer.samples(via)) >= ENOUGH:
            took = now - self._since[via]
            self._enough[via] = now + max(LEAST_STRAGGLERS, STRAGGLERS * took)
        return True

    def wake(self, now: float) -> bool:
        """Ask whom it is time to ask; whether something new is known."""
        self.gatherer.wake(now)
        while (asked := self.gatherer.transmit(now)) is not None:
            self.actions.append(Shoot(*asked))
        news, self._news = self._news or bool(self.gatherer.events()), False
        return news

    # what a letter says

    def ripe_at(self, doors: Doors | None) -> float:
        """From when on a letter about these doors, or the main ones, need not wait any more."""
        vias = self._used(doors).values()
        if not self._asked or all(self.gatherer.concluded(via) for via in vias):
            return -inf
        waits = [
            min(self._since[via] + self._patience, self._enough.get(via, inf))
            for via in vias
            if not self.gatherer.concluded(via)
        ]
        return max(waits)

    @property
    def _patience(self) -> float:
        return max(PATIENCE, ROUND_TRIPS * self.rtt)

    def situation(self, now: float, doors: Doors | None) -> Situation:
        """What is known of these doors, or the main ones; who is inside reaches the main ones."""
        used = self._used(doors)
        waited = all(now >= self._since[via] + self._patience for via in used.values())
        facts = Facts(
            used,
            {via: self.gatherer.view(via) for via in used.values()},
            {via: self.gatherer.samples(via) for via in used.values()},
            self._addresses,
            {ipv6: door.port for ipv6, door in self.mains.items()},
            self._mapped,
            tuple(self.observed.values()),
            self.rtt,
            silent=bool(self._asked) and waited,
        )
        return describe(facts)

    def seen(self, doors: Doors) -> bool:
        """Whether any server has seen one of these."""
        return any(self.gatherer.samples(via) for via in doors.values())

    def _used(self, doors: Doors | None) -> Doors:
        mains = {ipv6: door.via for ipv6, door in self.mains.items()}
        return mains if doors is None else doors

    def own(self) -> list[Endpoint]:
        """Endpoints that are ours or a server's: no candidate may name them (RL-10)."""
        ours = [
            Endpoint(address, door.port)
            for door in self.mains.values()
            for address in self._addresses
        ]
        return [*ours, *self._mapped, *self._asked]

    # more doors

    def _begin(self, now: float, door: Door) -> None:
        """Nothing is known of this door yet."""
        self._since[door.via] = now
        self._enough.pop(door.via, None)
        self.gatherer.resample(now, door)

    def draw(self, count: int) -> tuple[int, ...]:
        """Numbers for doors, that no other door ever had."""
        first = self._vias
        self._vias += count
        return tuple(range(first, first + count))

    def fresh(self, now: float) -> Doors:
        """New sockets, and what the world sees of them is being found out."""
        doors = {}
        for ipv6 in self.mains:
            (via,) = self.draw(1)
            doors[ipv6] = via
            self.actions.append(OpenDoors((via,), ipv6, small=False))
            self._begin(now, Door(via, 6 if ipv6 else 4, 0))
        return doors

    def close(self, vias: Iterable[int]) -> None:
        """Such sockets are of no more use."""
        closed = tuple(vias)
        for via in closed:
            self.gatherer.forget(via)
            self._since.pop(via, None)
            self._enough.pop(via, None)
        if closed:
            self.actions.append(CloseDoors(closed))


def may_ask(stun: Endpoint, dialled: Endpoint) -> bool:
    """Whether a server that we dialled may have us ask there: it could name anybody (RV-05).

    Private endpoints only if its own is private: those within our network are not its business.
    """
    try:
        ours = canonical(dialled.address)
        there = Candidate.at(Kind.REFLEXIVE, stun.address, stun.port)
    except ValueError:
        return False
    return there.address == ours or allowed(there, same_public=is_private(ours))
