"""A socket with everything that stands on it: exchange, hub, loop and workshop.

What a session is made of is imported by `prepare`: a caller's HELLOs are on their way meanwhile.
"""

import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from keys.identity import Identity
from securecp.endpoint import Endpoint
from securecp.hub import Hub
from securecp.net.ciphers import aes_is_fast
from securecp.net.driver import Driver
from securecp.net.udp import UdpSocket
from securecp.net.workshop import Workshop
from securecp.transport.control import WINDOW
from securecp.transport.exchange import CallFailed, Exchange
from securecp.transport.wire import LARGEST_DATAGRAM, Parameters, SessionKeys

if TYPE_CHECKING:
    from securecp.events import Event
    from securecp.net.pace import Pace
    from securecp.session import Session
    from securecp.transport.congestion import Controller
    from securecp.transport.connection import Connection

CONTENT_WINDOW = 64 << 20
_WANTED_LATER = ("keys.xeddsa", "securecp.transport.connection")
_LAST_WORDS = 0.2
"""Seconds to get a CLOSE out when we stop."""


class Station:
    """Leaving it says goodbye to every peer; the socket is its owner's."""

    def __init__(
        self,
        udp: UdpSocket,
        identity: Identity,
        allowed: Callable[[bytes], bool],
        *,
        pace: "Pace | None" = None,
        limit: int | None = None,
    ) -> None:
        self._socket = udp
        self._pace = pace
        self.exchange: Exchange[Connection] = Exchange(
            identity, allowed, self._connect, os.urandom, _parameters(limit)
        )
        self.endpoint = udp.endpoint

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
        self._driver = Driver(self._socket, self._hub)
        self.workshop = self._hub.workshop = Workshop(self._driver.notify)
        return over

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
        driver.flush(_LAST_WORDS)
        self.workshop.close()
        driver.close()

    def _connect(self, keys: SessionKeys, endpoint: Endpoint, now: float) -> "Connection":
        from securecp.transport.connection import Connection

        return Connection(keys, endpoint, now, os.urandom, controller=self._controller())

    def _controller(self) -> "Controller":
        from securecp.net.pace import Pace

        return (self._pace or Pace()).controller()


class _Hub(Hub):
    """A hub with a workshop whose results come in with each turn."""

    workshop: Workshop

    def advance(self, now: float) -> None:
        self.workshop.collect()
        super().advance(now)


def _parameters(limit: int | None) -> Parameters:
    """What we declare, given how many bytes per second we take."""
    largest, window = LARGEST_DATAGRAM, CONTENT_WINDOW
    if limit is not None:
        from securecp.transport.limit import first_credit, largest_datagram

        largest, window = largest_datagram(limit), first_credit(limit)
    return Parameters(aes_is_fast(), largest, WINDOW, window)
