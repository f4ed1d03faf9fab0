"""All meetings on one socket: the exchange below, a session for each connection above; no I/O.

`meet(connection, now)` makes the session of a new connection, or closes it and gives None. What
sessions report comes out of `on_event` with the session it concerns.

    Answered ─> meet, an early session: its first words leave with our first DATA, it tells nothing
    Connected ─> meet, unless that session is there; early ones with the same peer go
    CallFailed ─> early ones of that call go

With `paths`, each connection is told which way to take; without, it stays where it was made.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from securecp.endpoint import Burst, Endpoint
from securecp.events import Back, Connected, Event, PathChanged, Silent
from securecp.transport.connection import Heard, Moved, Quiet
from securecp.transport.exchange import Answered, CallFailed, Exchange
from securecp.transport.exchange import Connected as Met

if TYPE_CHECKING:
    from securecp.reaching import Paths
    from securecp.session import Session
    from securecp.transport.connection import Connection
    from securecp.transport.wire import SessionKeys

Meet: TypeAlias = "Callable[[Connection, float], Session | None]"
PATIENCE_SHARE = 1 / 16
LONGEST_PATIENCE = 0.001
SHORTEST_PATIENCE = 0.0002
"""Seconds that datagrams may gather; less would not be worth a system call."""
PATH = "direct"
"""How a peer is reached at an address that was typed."""


class Hub:
    """What the driver drives."""

    def __init__(
        self,
        exchange: "Exchange[Connection]",
        meet: Meet,
        on_event: "Callable[[Session, Event], None]",
        on_over: "Callable[[Session], None]",
        on_call_failed: Callable[[CallFailed], None] = lambda _: None,
    ) -> None:
        self._exchange = exchange
        self._paths: Paths | None = None
        self._meet = meet
        self._on_event = on_event
        self._on_over = on_over
        self._on_call_failed = on_call_failed
        self.sessions: list[Session] = []
        self._early: dict[Session, Endpoint] = {}
        """Those of them whose peer has yet to be heard, and where it was called."""

    def place(self, paths: "Paths") -> None:
        """Have every connection take the way that these say."""
        self._paths = paths

    def receive(self, now: float, *bursts: Burst) -> None:
        """Bursts from the socket."""
        self._exchange.receive(now, *bursts)

    def transmit(self, now: float) -> Burst | None:
        """The next burst for the socket."""
        return self._exchange.transmit(now)

    def wake(self, now: float) -> None:
        """A deadline has come."""
        self._exchange.wake(now)

    def deadline(self) -> float | None:
        """When to wake."""
        if any(session.connection.closed and not session.waits for session in self.sessions):
            return -math.inf  # its last word has left: `advance` has its end to tell
        times = [session.deadline() for session in self.sessions]
        times.append(self._exchange.deadline())
        if self._paths is not None:
            times.append(self._paths.deadline())
        return min((time for time in times if time is not None), default=None)

    def patience(self) -> float:
        """A small part of the shortest round trip, so that no rate suffers."""
        rtts = [session.connection.rtt for session in self.sessions]
        patience = min(min(rtts, default=0.0) * PATIENCE_SHARE, LONGEST_PATIENCE)
        return patience if patience >= SHORTEST_PATIENCE else 0.0

    def advance(self, now: float) -> None:
        """Meet who has come, let every session work, and tell what they report."""
        if self._paths is not None:
            self._paths.advance(now)
        for event in self._exchange.events():
            match event:
                case Answered():
                    session = self._meet(event.channel, now)
                    if session is not None:
                        self.sessions.append(session)
                        self._early[session] = event.endpoint
                        self._place(now, session, event.keys, event.endpoint)
                case Met():
                    self._connected(event, now)
                case CallFailed():
                    self._forget_early(now, event.peer, event.endpoint)
                    self._on_call_failed(event)
        for session in list(self.sessions):
            session.advance(now)
            self._mind_path(now, session)
            if session not in self._early:
                self._tell(now, session)
            elif session.over:  # its connection has waited in vain; the call goes on
                self._forget(now, session)

    def _connected(self, event: "Met[Connection]", now: float) -> None:
        found = [session for session in self._early if session.connection is event.channel]
        for early in found:
            del self._early[early]
        self._forget_early(now, event.keys.peer)
        session = found[0] if found else self._meet(event.channel, now)
        if session is None:
            return
        if not found:
            self.sessions.append(session)
        self._place(now, session, event.keys, event.endpoint)
        endpoint = session.connection.endpoint
        self._on_event(session, Connected(event.keys.peer, self._kind(session), str(endpoint)))

    # paths

    def _place(
        self, now: float, session: "Session", keys: "SessionKeys", endpoint: Endpoint
    ) -> None:
        if self._paths is not None:
            self._paths.connected(now, session.connection, keys, endpoint)

    def _kind(self, session: "Session") -> str:
        return PATH if self._paths is None else self._paths.kind(session.connection)

    def _mind_path(self, now: float, session: "Session") -> None:
        """Pass on what the connection says of its path, to who chooses paths and to the person."""
        told, session.network = session.network, []
        for event in told:
            if self._paths is not None:
                self._paths.network(now, session.connection, event)
            if session in self._early:
                continue
            match event:
                case Moved():
                    kind, endpoint = self._kind(session), str(event.endpoint)
                    self._on_event(session, PathChanged(session.peer, kind, endpoint))
                case Quiet():
                    self._on_event(session, Silent(session.peer))
                case Heard():
                    self._on_event(session, Back(session.peer))

    def _forget_early(self, now: float, peer: bytes, endpoint: Endpoint | None = None) -> None:
        """Another session with the peer has taken their place, or nobody has answered."""
        for session, called in list(self._early.items()):
            if session.connection.peer == peer and endpoint in (None, called):
                self._forget(now, session)

    def _forget(self, now: float, session: "Session") -> None:
        session.drop()
        del self._early[session]
        self.sessions.remove(session)
        if self._paths is not None:
            self._paths.closed(now, session.connection)

    def _tell(self, now: float, session: "Session") -> None:
        for told in session.events():
            self._on_event(session, told)
        if session.over:
            self.sessions.remove(session)
            if self._paths is not None:
                self._paths.closed(now, session.connection)
            self._on_over(session)
