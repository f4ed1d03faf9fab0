"""Sockets with everything that stands on them: exchange, hub, loop, workshop, traversal.

What a session is made of is imported by `prepare`: a caller's HELLOs are on their way meanwhile.
"""

import contextlib
import importlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keys.identity import Identity
from securecp.endpoint import Burst, Endpoint
from securecp.hub import Hub
from securecp.net.ciphers import aes_is_fast
from securecp.net.doors import Doors
from securecp.net.driver import Driver
from securecp.net.udp import UdpSocket
from securecp.net.workshop import Workshop
from securecp.transport.control import WINDOW
from securecp.transport.exchange import CallFailed, Exchange
from securecp.transport.wire import LARGEST_DATAGRAM, Parameters, SessionKeys

if TYPE_CHECKING:
    from securecp.events import Event
    from securecp.nat.actions import Way
    from securecp.net.means import Means
    from securecp.net.pace import Pace
    from securecp.net.running import Control, Part, Running, Table
    from securecp.net.traversal import Traversal
    from securecp.reaching import Paths
    from securecp.session import Session
    from securecp.transport.congestion import Controller
    from securecp.transport.connection import Connection

CONTENT_WINDOW = 64 << 20
_WANTED_LATER = ("keys.xeddsa", "securecp.transport.connection")
_LAST_WORDS = 0.2
"""Seconds to get a CLOSE out when we stop."""


class Station:
    """Leaving it says goodbye to every peer; the sockets are their owner's."""

    def __init__(
        self,
        sockets: Sequence[UdpSocket],
        identity: Identity,
        allowed: Callable[[bytes], bool],
        *,
        pace: "Pace | None" = None,
        limit: int | None = None,
    ) -> None:
        self._identity = identity
        self._pace = pace
        self._doors = Doors(*sockets)
        self.exchange: Exchange[Connection] = Exchange(
            identity, allowed, self._connect, os.urandom, _parameters(limit), self._other
        )
        self.endpoint = sockets[0].endpoint
        self.paths: Paths | None = None
        self.traversal: Traversal | None = None

    def open(
        self,
        meet: "Callable[[Connection, float], Session | None]",
        tell: "Callable[[Session, Event], None]",
        on_call_failed: Callable[[CallFailed], None],
    ) -> "list[Session]":
        """Put sessions on the exchange; those that are over collect in the list returned."""
        over: list[Session] = []

        def ended(session: "Session") -> None:
            over.append(session)
            self._driver.notify()  # whoever waits for this shall not sleep over it

        self._hub = _Hub(self.exchange, meet, tell, ended, on_call_failed)
        self._driver = Driver(self._doors, self._hub)
        self.workshop = self._hub.workshop = Workshop(self._driver.notify)
        return over

    def find(
        self,
        means: "Means",
        emit: "Callable[[Event], None]",
        *,
        contacts: "Callable[[], Iterable[bytes]] | None" = None,
    ) -> "Paths":
        """Begin to look for peers, and with `contacts` to be found by them; after `open`."""
        from securecp.events import Reached
        from securecp.nat.reach import Reach
        from securecp.net.traversal import Traversal, today
        from securecp.reaching import Journey, Paths

        now = time.monotonic()
        reach = Reach(
            now,
            self._identity,
            os.urandom,
            today,
            contacts=contacts or tuple,
            relays=means.relay,
            lan=means.lan,
            waiting=contacts is not None,
        )

        def reached(journey: Journey, way: "Way", seconds: float) -> None:
            emit(Reached(journey.peer, way.kind, str(way.endpoint), seconds))

        traversal = Traversal(self._doors, reach, means, self._driver.notify, emit)
        self.paths = Paths(reach, self.exchange, reached, traversal.use, traversal.doubt)
        self.traversal = self._hub.traversal = traversal
        self._hub.place(self.paths)
        traversal.start(now)
        return self.paths

    def hang_up(self, peer: bytes | None = None) -> None:
        """End all calls, or those to one peer, as if they had not been made."""
        self.exchange.hang_up(peer)
        if self.paths is not None:
            self.paths.hang_up(peer)

    def stop_calling(self, peer: bytes) -> None:
        """End the calls to one peer, but for one that is answered."""
        self.exchange.stop_calling(peer)
        if self.paths is not None:
            self.paths.hang_up(peer)

    def expects(self, peer: bytes) -> bool:
        """Whether the peer has answered a call, and a session is about to begin."""
        return self._hub.expects(peer)

    def leave(self, peer: bytes) -> None:
        """Nothing is wanted of this peer any more, which hears of it if it has answered."""
        self.stop_calling(peer)
        for session in self._hub.sessions:
            if session.peer == peer:
                session.cancel("stopped")

    @contextlib.contextmanager
    def joined(
        self,
        part: "Part",
        running: "Running",
        table: "Table",
        cancel: Callable[[int, str], bool],
        control: "Control | None",
    ) -> Iterator[None]:
        """Give `part` and `control` a turn in every turn of the loop, and `running` its powers."""
        running.attach(self, table.rows, cancel)
        self._hub.parts += [running, part]
        if control is not None:
            control.begin(running)
            self._hub.parts.append(control)
        try:
            yield
        finally:
            if control is not None:
                control.end()

    def watch(self, file: int, callback: Callable[[], None]) -> None:
        """Call back in the loop's turn while there is something to read, which is then read."""
        self._doors.watch(file, callback)

    def unwatch(self, file: int) -> None:
        """Before the file is closed."""
        self._doors.unwatch(file)

    def ring(self) -> None:
        """From any thread: make the loop turn."""
        self._driver.notify()

    def run(self, done: Callable[[], bool]) -> None:
        """Turn until done."""
        self._driver.run(done)

    def prepare(self) -> None:
        """Import what connections and receipts are made of, before anybody waits for them."""
        for name in _WANTED_LATER:
            importlib.import_module(name)
        self._controller()

    def flush(self) -> None:
        """Send what there is to be said, without waiting for anything to come."""
        self._driver.flush(_LAST_WORDS)

    def __enter__(self) -> "Station":
        return self

    def __exit__(self, *_: object) -> None:
        driver = getattr(self, "_driver", None)
        if driver is None:
            return
        self.workshop.shut()
        for session in self._hub.sessions:
            session.cancel("stopped")
        if self.paths is not None:
            self.paths.end_all()
        driver.flush(_LAST_WORDS)
        if self.traversal is not None:
            self.traversal.close(time.monotonic())
        self.workshop.close()
        driver.close()

    def _connect(self, keys: SessionKeys, endpoint: Endpoint, now: float) -> "Connection":
        from securecp.transport.connection import Connection

        return Connection(keys, endpoint, now, os.urandom, controller=self._controller)

    def _other(self, now: float, burst: Burst) -> None:
        """A datagram that is not the transport's."""
        if self.paths is not None:
            self.paths.receive(now, burst)

    def _controller(self) -> "Controller":
        from securecp.net.pace import Pace

        return (self._pace or Pace()).controller()


class _Hub(Hub):
    """A hub with a workshop and a traversal whose results come in with each turn."""

    workshop: Workshop
    traversal: "Traversal | None" = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.parts: list[Part] = []

    def advance(self, now: float) -> None:
        self.workshop.collect()
        if self.traversal is not None:
            self.traversal.turn(now)
        super().advance(now)
        for part in self.parts:
            part.turn(now)
        if self.traversal is not None:
            self.traversal.carry_out()

    def deadline(self) -> float | None:
        times = [super().deadline(), *(part.deadline() for part in self.parts)]
        if self.traversal is not None:
            times.append(self.traversal.deadline())
        return min((time for time in times if time is not None), default=None)

    def expects(self, peer: bytes) -> bool:
        """Whether a session with the peer is about to begin."""
        return any(session.peer == peer for session in self._early)


def _parameters(limit: int | None) -> Parameters:
    """What we declare, given how many bytes per second we take."""
    largest, window = LARGEST_DATAGRAM, CONTENT_WINDOW
    if limit is not None:
        from securecp.transport.limit import first_credit, largest_datagram

        largest, window = largest_datagram(limit), first_credit(limit)
    return Parameters(aes_is_fast(), largest, WINDOW, window)
