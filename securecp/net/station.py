"""Sockets with everything that stands on them: exchange, hub, loop, workshop, traversal.

What a session is made of is imported by `prepare`: a caller's HELLOs are on their way meanwhile.
"""

import importlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

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

    def hang_up(self) -> None:
        """End all calls as if they had not been made."""
        self.exchange.hang_up()
        if self.paths is not None:
            self.paths.hang_up()

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

    def advance(self, now: float) -> None:
        self.workshop.collect()
        if self.traversal is None:
            super().advance(now)
            return
        self.traversal.turn(now)
        super().advance(now)
        self.traversal.carry_out()

    def deadline(self) -> float | None:
        due = super().deadline()
        if self.traversal is None:
            return due
        polled = self.traversal.deadline()
        return polled if due is None or (polled is not None and polled < due) else due


def _parameters(limit: int | None) -> Parameters:
    """What we declare, given how many bytes per second we take."""
    largest, window = LARGEST_DATAGRAM, CONTENT_WINDOW
    if limit is not None:
        from securecp.transport.limit import first_credit, largest_datagram

        largest, window = largest_datagram(limit), first_credit(limit)
    return Parameters(aes_is_fast(), largest, WINDOW, window)
