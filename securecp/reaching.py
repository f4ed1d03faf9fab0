"""Has each session use the best way that the traversal has found; no I/O (SPEC §12.9).

    Reach ─► ways ─► no connection yet: call there      ─► Exchange
                 └─► a connection: is another better? ─► Connection.move
    Connection ─► Quiet ─► another way, and a new round ─► Reach

What cannot wait goes through the relay at once: handshake, offer, consent. Content waits up to a
second for a direct path, unless there is no hope of one. Whoever called decides which path is used;
the other follows, and moves by itself only when its path is silent.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from keys.identity import PublicKey
from securecp.endpoint import Burst, Endpoint
from securecp.nat.actions import Way
from securecp.nat.candidate import canonical, is_private
from securecp.nat.reach import Found, Reach
from securecp.transport.connection import Connection, Heard, Moved, Quiet
from securecp.transport.exchange import Exchange
from securecp.transport.wire import SessionKeys

CONTENT_WAITS = 1.0
"""Seconds from the first way on for which content waits for a direct path."""
BETTER = 0.8
BETTER_BY = 0.005
"""A way of the same rank is taken instead if its RTT is this share, and less by so many seconds."""
LEAVE_AGAIN = (1.5, 3.0, 6.0)
"""Seconds without an answer after which the next way is tried, and the next; the last repeats."""
LAST_WORDS = 0.2
"""Seconds for which a path outlives its connection: what was said last is still on its way."""
LONGEST_WORDS = 2.0
_MARK = 12


@dataclass(slots=True, eq=False)
class Journey:
    """One meeting and the connection that came of it."""

    session: bytes
    peer: bytes
    caller: bool
    began_at: float
    ends_at: float
    on_failed: Callable[["Journey"], None] = lambda _: None
    """Called if it has come to nothing when the time is over."""
    calls: bool = True
    """Whether the peer is called when it is found."""
    ways: tuple[Way, ...] = ()
    kinds: dict[Endpoint, str] = field(default_factory=dict)
    """Of every way that there has been."""
    connection: Connection | None = None
    called_at: Endpoint | None = None
    """Where it is called."""
    met_at: float | None = None
    """When there was a way for the first time."""
    reached: str = ""
    """The best kind of way that was told."""
    took: float | None = None
    """Seconds until that was found."""
    chosen: Endpoint | None = None
    """Where we have moved ourselves."""
    leave_at: float | None = None
    """When to try yet another way, as nothing answers."""
    left: dict[Endpoint, float] = field(default_factory=dict)
    """Ways that were silent, since nothing answers, and when we left each."""
    leaves: int = 0
    over_at: float | None = None
    """When the meeting ends, as its session has."""


class Paths:
    """Between the traversal and the transport."""

    def __init__(
        self,
        reach: Reach,
        exchange: "Exchange[Connection]",
        on_reached: Callable[[Journey, Way, float], None] = lambda *_: None,
        on_use: Callable[[Endpoint], None] = lambda _: None,
        on_doubt: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_reached(journey, way, seconds)`: the first way, and the first direct one.

        `on_use(endpoint)`: a connection takes this path. `on_doubt()`: the network may be another.
        """
        self.reach = reach
        self._exchange = exchange
        self._on_reached = on_reached
        self._on_use = on_use
        self._on_doubt = on_doubt
        self._journeys: dict[bytes, Journey] = {}

    def call(
        self,
        now: float,
        peer: bytes,
        timeout: float,
        on_failed: Callable[["Journey"], None] = lambda _: None,
    ) -> bytes:
        """Look for the peer and call it wherever it is found; gives the session."""
        session = self.reach.call(now, peer)
        journey = Journey(
            session, peer, caller=True, began_at=now, ends_at=now + timeout, on_failed=on_failed
        )
        self._journeys[session] = journey
        return session

    def look(self, now: float, peer: bytes) -> Journey:
        """Look for the peer and find the ways to it, but do not call."""
        session = self.reach.call(now, peer)
        journey = Journey(session, peer, True, now, float("inf"), calls=False)
        self._journeys[session] = journey
        return journey

    def journey(self, connection: Connection) -> Journey | None:
        """Which meeting a connection has come from, if any."""
        for journey in self._journeys.values():
            if journey.connection is connection:
                return journey
        return None

    def kind(self, connection: Connection) -> str:
        """How the path in use is called; one that was typed is direct."""
        journey = self.journey(connection)
        if journey is None:
            return "lan" if is_private(canonical(connection.endpoint.address)) else "direct"
        if connection.endpoint in journey.kinds:
            return journey.kinds[connection.endpoint]
        meeting = self.reach.meetings.get(journey.session)
        return "direct" if meeting is None else meeting.kind(connection.endpoint)

    # what has happened

    def receive(self, now: float, burst: Burst) -> None:
        """A datagram that is not the transport's."""
        self.reach.receive(now, burst)

    def connected(
        self, now: float, connection: Connection, keys: SessionKeys, endpoint: Endpoint
    ) -> None:
        """A session has keys; which meeting it belongs to stands in its handshake."""
        for journey in self._journeys.values():
            same = journey.session[:_MARK] == keys.mark and journey.peer == keys.peer
            if same and journey.caller == keys.initiator:
                if journey.connection is connection:
                    return
                journey.connection = connection
                self._hold(now, journey, endpoint)
                self._settled(journey, endpoint)
                self._consider(now, journey)

    def network(self, now: float, connection: Connection, event: Moved | Quiet | Heard) -> None:
        """What the connection says of its path."""
        journey = self.journey(connection)
        if journey is None:
            return
        match event:
            case Moved():
                if journey.caller and self._is_lured(journey, connection):
                    self.reach.quiet(now, journey.session)
                self._settled(journey, event.endpoint)
                if self.kind(connection) != "relayed":
                    connection.hold = False
            case Quiet():
                self._leave(now, journey, connection)
            case Heard():
                journey.leave_at, journey.leaves = None, 0
                journey.left.clear()
                self.reach.heard(journey.session)
                self._on_doubt()

    def closed(self, now: float, connection: Connection) -> None:
        """Its session is over, and so is its meeting when its last words have left."""
        journey = self.journey(connection)
        if journey is not None:
            journey.leave_at = None
            journey.over_at = now + (LAST_WORDS if connection.closed else LONGEST_WORDS)

    def end(self, session: bytes) -> None:
        """Nobody wants this meeting any more."""
        self._journeys.pop(session, None)
        self.reach.end(session)

    def end_all(self) -> None:
        """We stop."""
        for session in list(self._journeys):
            self.end(session)

    def hang_up(self, peer: bytes | None = None) -> None:
        """No call of ours is wanted any more, or none to this peer, unless it has an answer."""
        for session, journey in list(self._journeys.items()):
            if journey.caller and journey.connection is None and peer in (None, journey.peer):
                self.end(session)

    # what is due

    def advance(self, now: float) -> None:
        """Take what the traversal has found."""
        self.reach.wake(now)
        for found in self.reach.events():
            self._found(now, found)
        for journey in list(self._journeys.values()):
            if journey.connection is not None:
                self._advance(now, journey, journey.connection)
            elif journey.caller and now >= journey.ends_at:
                journey.on_failed(journey)
                self.end(journey.session)

    def _advance(self, now: float, journey: Journey, connection: Connection) -> None:
        if connection.hold and now >= self._held_until(journey):
            connection.hold = False
        if journey.leave_at is not None and now >= journey.leave_at:
            self._leave(now, journey, connection)
        if journey.over_at is not None:
            if connection.closed:
                journey.over_at = min(journey.over_at, now + LAST_WORDS)
            if now >= journey.over_at:
                self.end(journey.session)

    def deadline(self) -> float | None:
        """When `advance` is due."""
        times = [self.reach.deadline()]
        for journey in self._journeys.values():
            if journey.connection is None:
                times.append(journey.ends_at if journey.caller else None)
                continue
            if journey.connection.hold:
                times.append(self._held_until(journey))
            times += [journey.leave_at, journey.over_at]
        return min((time for time in times if time is not None), default=None)

    # inside

    def _found(self, now: float, found: Found) -> None:
        journey = self._journeys.get(found.session)
        if journey is None:
            if found.caller:
                return
            journey = Journey(found.session, found.peer, caller=False, began_at=now, ends_at=now)
            self._journeys[found.session] = journey
        journey.ways = found.ways
        journey.kinds.update((way.endpoint, way.kind) for way in found.ways)
        if found.ways and journey.met_at is None:
            journey.met_at = now
        self._tell(now, journey)
        self._consider(now, journey)

    def _tell(self, now: float, journey: Journey) -> None:
        """The first way, and the first that needs no relay."""
        if not journey.ways:
            return
        best = journey.ways[0]
        if journey.reached == best.kind or journey.reached in {"lan", "direct"}:
            return
        journey.reached, journey.took = best.kind, now - journey.began_at
        self._on_reached(journey, best, now - journey.began_at)

    def _consider(self, now: float, journey: Journey) -> None:
        connection = journey.connection
        if connection is None or connection.closed:
            if journey.calls and journey.caller and connection is None:
                self._call(now, journey)
            return
        for way in journey.ways:
            connection.trust(now, way.endpoint)
        if not journey.ways:
            return
        best = journey.ways[0]
        stranded = journey.leave_at is not None and all(
            way.endpoint != connection.endpoint for way in journey.ways
        )
        if stranded or (journey.caller and self._better(best, journey, connection)):
            self._move(now, journey, connection, best)

    def _call(self, now: float, journey: Journey) -> None:
        """Call at the best way; there is one call, and with it one connection."""
        if not journey.ways or journey.ways[0].endpoint == journey.called_at:
            return
        endpoint, peer = journey.ways[0].endpoint, PublicKey(journey.peer)
        if journey.called_at is None:
            left = max(journey.ends_at - now, 1.0)
            self._exchange.call(now, peer, endpoint, left, session_id=journey.session)
        else:
            self._exchange.move_call(now, peer, endpoint, journey.called_at)
        journey.called_at = endpoint

    def _better(self, way: Way, journey: Journey, connection: Connection) -> bool:
        if way.endpoint == connection.endpoint:
            return False
        current = next((w for w in journey.ways if w.endpoint == connection.endpoint), None)
        if current is None:
            return way.rank < self._rank(connection)
        if way.rank != current.rank:
            return way.rank < current.rank
        if way.rtt is None or current.rtt is None:
            return False
        return way.rtt < current.rtt * BETTER and way.rtt < current.rtt - BETTER_BY

    def _rank(self, connection: Connection) -> int:
        """Of a path that is no way any more, or has become another by a NAT's doing."""
        return {"lan": 0, "direct": 2}.get(self.kind(connection), 9)

    def _is_lured(self, journey: Journey, connection: Connection) -> bool:
        """Whether the peer has led us away from a better way: it may not hear us there.

        Or did not for a while: that way is found anew if it is one.
        """
        followed = connection.endpoint != journey.chosen
        return followed and any(self._better(way, journey, connection) for way in journey.ways)

    def _move(self, now: float, journey: Journey, connection: Connection, way: Way) -> None:
        journey.chosen = way.endpoint
        connection.move(now, way.endpoint, way.rtt)

    def _leave(self, now: float, journey: Journey, connection: Connection) -> None:
        """The path in use is silent: the way that was not tried for longest, and so on."""
        if connection.closed:
            journey.leave_at = None
            return
        journey.left[connection.endpoint] = now
        journey.leave_at = now + LEAVE_AGAIN[min(journey.leaves, len(LEAVE_AGAIN) - 1)]
        journey.leaves += 1
        self.reach.quiet(now, journey.session)
        self._on_doubt()
        others = [way for way in journey.ways if way.endpoint != connection.endpoint]
        if others:
            next_ = min(others, key=lambda way: (journey.left.get(way.endpoint, 0.0), way.rank))
            self._move(now, journey, connection, next_)

    def _hold(self, now: float, journey: Journey, endpoint: Endpoint) -> None:
        """Whether content should wait for a better path."""
        if not journey.caller:
            return
        meeting = self.reach.meetings.get(journey.session)
        relayed = meeting is not None and meeting.kind(endpoint) == "relayed"
        hopeless = meeting is None or meeting.prospects is None or meeting.prospects.hopeless
        if relayed and not hopeless and now < self._held_until(journey):
            assert journey.connection is not None
            journey.connection.hold = True

    def _held_until(self, journey: Journey) -> float:
        return (journey.met_at or journey.began_at) + CONTENT_WAITS

    def _settled(self, journey: Journey, endpoint: Endpoint) -> None:
        self._on_use(endpoint)
        self.reach.settled(journey.session, endpoint)
