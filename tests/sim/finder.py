"""A station of the traversal's simulation: core, sockets, and a session that only says hello.

The session stands for the transport: the caller says hello on the best way each tenth of a second,
whoever hears one echoes it; what has not been echoed for a second is quiet.
"""

from collections.abc import Callable, Iterable
from random import Random

from keys.identity import Identity
from securecp.endpoint import Burst, Endpoint
from securecp.nat import actions
from securecp.nat.actions import Way
from securecp.nat.envelope import Letter
from securecp.nat.gather import Door
from securecp.nat.mail import Mail
from securecp.nat.reach import Found, Reach
from securecp.nat.relay import encode_circuit
from tests.sim.clock import Clock
from tests.sim.host import SimulationError
from tests.sim.internet import Host, Router
from tests.sim.meetingpoint import Line, MeetingPoint
from tests.sim.nat import Place

DAY = 20_000
HELLO = 0x50
BEAT = 0.1
QUIET = 1.0
MOST_WAKES = 4
"""Wakes in a row that may find nothing to do."""


class Talk:
    """What the transport would do with one session."""

    def __init__(self, session: bytes, peer: bytes, *, caller: bool) -> None:
        self.session = session
        self.peer = peer
        self.caller = caller
        self.ways: tuple[Way, ...] = ()
        self.endpoint: Endpoint | None = None
        self.moves = 0
        self.heard_at: float | None = None
        self.quiet = False
        self.quiet_at = 0.0
        self.first: dict[str, float] = {}
        """When a kind of way was first reported, and `… works` when first used both ways."""
        self.pauses: list[tuple[float, float]] = []
        """Times without an echo, longer than a quarter of a second: from and how long."""


class Watched(Mail):
    """Mail that the world may read."""

    note: Callable[[Letter], None]

    def post(self, peer: bytes, tag: bytes, letter: Letter, server: int | None) -> None:
        self.note(letter)
        super().post(peer, tag, letter, server)


class Finder:
    """One machine with securecp on it."""

    def __init__(
        self,
        clock: Clock,
        rng: Random,
        name: str,
        identity: Identity,
        contacts: Iterable[bytes],
        *,
        waiting: bool,
        ipv6: bool = False,
        lan: bool = True,
        relays: bool = True,
        day: int = DAY,
    ) -> None:
        self.clock = clock
        self.rng = rng
        self.name = name
        self.identity = identity
        self.host = Host(clock)
        self.host.receive = self._receive
        self.lines: dict[int, Line] = {}
        self.talks: dict[bytes, Talk] = {}
        self.legs: dict[int, int] = {}
        """Which server each circuit is at."""
        self.distance = 0.0
        self.seen: Place = ("::", 1)
        self.online = True
        self.dead = False
        self.talking = True
        self.day = day
        self.watches: list[Callable[[Finder, actions.Action], None]] = []
        self.came: Callable[[Place], None] = lambda source: None
        """Where each probe comes from."""
        self.wrote: Callable[[Letter], None] = lambda letter: None
        self.shots = 0
        self.log: list[str] | None = None
        self._waiting = waiting
        self._ipv6 = ipv6
        self._timer = 0
        self._early: list[Endpoint] = []
        self.reach = Reach(
            clock.now, identity, rng.randbytes, lambda: self.day,
            contacts=lambda: tuple(contacts), relays=relays, lan=lan, waiting=waiting,
        )  # fmt: skip
        self.reach.mail.__class__ = Watched
        self.reach.mail.note = self._wrote  # type: ignore[attr-defined]

    def begin(self, servers: Iterable[MeetingPoint], *, early: bool = True) -> None:
        """The program starts: sockets, interfaces, lines to the servers, STUN to them at once."""
        now = self.clock.now
        doors = [Door(0, 4, self.host.bind(0, ipv6=False))]
        if self._ipv6:
            doors.append(Door(1, 6, self.host.bind(1, ipv6=True)))
        self.reach.doors(now, doors)
        self.reach.addresses(now, self.host.addresses)
        for number, server in enumerate(servers):
            if early:
                self.reach.ask(now, server.stun)
            self.lines[number] = Line(server, self, number)
        self.turn()

    def _wrote(self, letter: Letter) -> None:
        self.wrote(letter)

    def stop(self) -> None:
        """The program is killed."""
        self.dead = True
        for line in self.lines.values():
            line.breaks()
        for via in list(self.host.ports):
            self.host.close(via)

    def call(self, peer: bytes) -> Talk:
        session = self.reach.call(self.clock.now, peer)
        talk = self.talks[session] = Talk(session, peer, caller=True)
        self.turn()
        self._beat(talk)
        return talk

    # what the shell does

    def turn(self) -> None:
        """Wake the core as often as it asks, do what it wants, hear what it tells."""
        if self.dead:
            return
        idle = 0
        while True:
            self.reach.wake(self.clock.now)
            done = self.reach.actions()
            for action in done:
                for watch in self.watches:
                    watch(self, action)
                self._do(action)
            events = self.reach.events()
            for event in events:
                self._found(event)
            deadline = self.reach.deadline()
            if deadline is None or deadline > self.clock.now:
                break
            idle = 0 if done or events else idle + 1
            if idle > MOST_WAKES:
                raise SimulationError(f"{self.name} wakes without end")
        if deadline is not None:
            self._timer += 1
            timer = self._timer
            self.clock.at(deadline, lambda: self._ring(timer))

    def _ring(self, timer: int) -> None:
        if timer == self._timer:
            self.turn()

    def _do(self, action: actions.Action) -> None:
        if self.log is not None and not isinstance(action, actions.Tell):
            self.log.append(f"{self.clock.now:8.3f} {self.name} {action!r:.150}")
        match action:
            case actions.Shoot(endpoint, data, ttl):
                self.shots += 1
                self.host.send(endpoint.via, endpoint[:2], data, ttl)
            case actions.Tell(server, message):
                self.lines[server].to_server(message)
            case actions.OpenDoors() | actions.CloseDoors():
                self._doors(action)
            case actions.OpenCircuit(via, server):
                self.legs[via] = server
            case actions.AskLan(data):
                for via in self._mains():
                    self.host.shout(via, data)
            case actions.AnswerLan(endpoint, data):
                self.host.send(endpoint.via, endpoint[:2], data, None)

    def _doors(self, action: actions.OpenDoors | actions.CloseDoors) -> None:
        for via in action.vias:
            if isinstance(action, actions.OpenDoors):
                self.host.bind(via, ipv6=action.ipv6)
            else:
                self.host.close(via)
                self.legs.pop(via, None)

    def _mains(self) -> list[int]:
        return [via for via in (0, 1) if via in self.host.ports]

    # what comes

    def _receive(self, via: int, source: Place, data: bytes) -> None:
        if self.dead:
            return
        endpoint = Endpoint(*source, via)
        if data[0] == HELLO:
            self._hello(endpoint, data)
            return
        if is_probe(data):
            self.came(source)
        self.reach.receive(self.clock.now, Burst(endpoint, memoryview(data), len(data)))
        self.turn()

    def circuit(self, leg: int, data: bytes) -> None:
        """A datagram through a circuit's WebSocket."""
        if leg in self.legs:
            dialled = self.lines[self.legs[leg]].server.dialled
            self._hello(dialled._replace(via=leg), data)

    def server_up(self, number: int, welcome: bytes, rtt: float) -> None:
        dialled = self.lines[number].server.dialled
        self.reach.server_up(self.clock.now, number, welcome, dialled, rtt)
        self.turn()

    def server_down(self, number: int) -> None:
        self.reach.server_down(self.clock.now, number)
        self.turn()

    def server_message(self, number: int, message: bytes) -> None:
        self.reach.server_message(self.clock.now, number, message)
        self.turn()

    def move(self, outside: Router | None, addresses: tuple[str, ...], seen: Place) -> None:
        """Another network: lines break when TCP notices, which is at once here."""
        self.host.plug(outside, addresses)
        self.seen = seen
        self.online = outside is not None
        for line in self.lines.values():
            line.breaks(after=0.2)
        self.reach.addresses(self.clock.now, addresses, changed=True)
        self.turn()

    # the session

    def _found(self, found: Found) -> None:
        talk = self.talks.get(found.session)
        if talk is None:
            talk = self.talks[found.session] = Talk(found.session, found.peer, caller=False)
        talk.ways = found.ways
        for way in found.ways:
            talk.first.setdefault(way.kind, self.clock.now)
        if talk.caller and found.ways and self.talking:
            best = found.ways[0].endpoint
            if best != talk.endpoint:
                self._use(talk, best)
                self._say(talk, best)

    def _say(self, talk: Talk, endpoint: Endpoint) -> None:
        data = bytes((HELLO, not talk.caller, 0, 0)) + talk.session
        if endpoint.via in self.legs:
            self.lines[self.legs[endpoint.via]].to_server(
                encode_circuit(endpoint.via, len(data), data), circuit=True
            )
        else:
            self.host.send(endpoint.via, endpoint[:2], data, None)

    def _hello(self, endpoint: Endpoint, data: bytes) -> None:
        session, now = data[4:20], self.clock.now
        talk = self.talks.get(session)
        if talk is None and not data[1] and self._waiting:  # by LAN, without any letter
            talk = self.talks[session] = Talk(session, b"", caller=False)
        if talk is None or talk.caller != bool(data[1]):
            return
        if talk.heard_at is not None and now - talk.heard_at > 0.25:
            talk.pauses.append((talk.heard_at, now - talk.heard_at))
        talk.heard_at = now
        kind = next((w.kind for w in talk.ways if w.endpoint == endpoint), "?")
        talk.first.setdefault(f"{kind} works", now)
        if talk.quiet:
            talk.quiet = False
            self.reach.heard(session)
        if not talk.caller:
            fresh = talk.endpoint is None
            self._use(talk, endpoint)
            self._say(talk, endpoint)
            if fresh:
                self._beat(talk)
        self.turn()

    def _use(self, talk: Talk, endpoint: Endpoint) -> None:
        """As the transport's events say it: to the core every change is told at once."""
        if talk.endpoint != endpoint:
            talk.endpoint = endpoint
            talk.moves += 1
            self.reach.settled(talk.session, endpoint)

    def _leave(self, talk: Talk) -> None:
        """To whatever else there is."""
        other = next((w.endpoint for w in talk.ways if w.endpoint != talk.endpoint), None)
        if talk.caller and other is not None:
            self._use(talk, other)

    def _beat(self, talk: Talk) -> None:
        if self.dead or talk.session not in self.talks:
            return
        now = self.clock.now
        if self.talking and talk.endpoint is not None:
            if talk.caller:
                self._say(talk, talk.endpoint)
            since = max(talk.heard_at or now, talk.quiet_at)
            if now - since > QUIET:
                talk.quiet, talk.quiet_at = True, now
                self.reach.quiet(now, talk.session)
                self._leave(talk)
                self.turn()
        self.clock.after(BEAT, lambda: self._beat(talk))


def is_probe(data: bytes) -> bool:
    return data[0] == 0x60
