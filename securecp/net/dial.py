"""From a contact to a running session and its end: what `send` and `receive` do (SPEC §8.5, §8.6).

The only place where socket, clock, disk, threads and the cores come together. It says nothing to
people: events go to `emit`, failures are exceptions of `securecp.errors`.
"""

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from keys.identity import Identity, PublicKey
from securecp.disk.settle import Conflict
from securecp.disk.source import TreeSource
from securecp.disk.store import Store
from securecp.disk.tree import scan
from securecp.errors import (
    NotReachedError,
    SecurecpError,
    SourceError,
)
from securecp.events import Done, Event, Failed, Listening, Offered
from securecp.hub import Hub
from securecp.net.ciphers import aes_is_fast
from securecp.net.driver import Driver
from securecp.net.pace import Pace
from securecp.net.udp import UdpSocket
from securecp.net.workshop import Workshop
from securecp.receiving import ReceiveSession
from securecp.sending import SendSession
from securecp.session import Decision, Session
from securecp.transport import connection as transport
from securecp.transport.connection import Connection
from securecp.transport.control import WINDOW
from securecp.transport.exchange import CallFailed, Exchange
from securecp.transport.limit import first_credit, largest_datagram
from securecp.transport.wire import LARGEST_DATAGRAM, Endpoint, Parameters, SessionKeys

__all__ = ["Decision", "ReceiveOptions", "SendOptions", "receive", "send"]

CONTENT_WINDOW = 64 << 20
_LAST_WORDS = 0.2
"""Seconds to get a CLOSE out when we stop."""


@dataclass(frozen=True, slots=True)
class SendOptions:
    """Whose files go to whom; `endpoints` are tried in turn, `timeout` seconds each."""

    identity: Identity
    peer: bytes
    endpoints: list[Endpoint]
    paths: list[Path]
    timeout: float = 10.0
    pace: Pace = field(default_factory=Pace)


@dataclass(frozen=True, slots=True)
class ReceiveOptions:
    """Who may call, what is taken from them, and where it goes."""

    identity: Identity
    allowed: Callable[[bytes], bool]
    """Whether to answer the holder of this public key at all."""
    policy: Callable[[Offered], Decision]
    into: Callable[[bytes], Path]
    """The folder for files of this peer."""
    listen: Endpoint
    once: bool = False
    conflict: Conflict = "rename"
    only: bytes | None = None
    """Refuse every other contact."""
    limit: int | None = None
    """Bytes per second that one transfer may bring us."""


def send(options: SendOptions, emit: Callable[[Event], None]) -> Done:
    """Offer the paths to the peer; returns when its receipt is here.

    Raises `SecurecpError`: SourceError, NotReachedError, DeclinedError, TrustError, ….
    """
    found = scan(options.paths)
    if not len(found.manifest.entries):
        path, reason = found.problems[0]
        raise SourceError(f"nothing to send: {os.fsdecode(path)}: {reason}")
    endpoints = list(options.endpoints)
    family = "::" if ":" in endpoints[0].address else "0.0.0.0"  # noqa: S104
    here = Endpoint(family, 0)
    with _Station(options.identity, here, lambda _: False, pace=options.pace) as station:
        outcome: list[Done] = []

        def meet(connection: Connection, now: float) -> Session:
            return SendSession(
                connection,
                station.workshop,
                now,
                manifest=found.manifest,
                source=TreeSource(found),
                ours=bytes(options.identity.public),
                entropy=os.urandom,
            )

        def tell(_: Session, event: Event) -> None:
            if isinstance(event, Done):
                event = _with_problems(event, found.problems)
                outcome.append(event)
            emit(event)

        def call_next(_: CallFailed | None = None) -> None:
            if not endpoints:
                raise NotReachedError(
                    "nobody answered",
                    "is securecp receive running there, and are you in their contacts?",
                )
            peer = PublicKey(options.peer)
            station.exchange.call(time.monotonic(), peer, endpoints.pop(0), options.timeout)

        over = station.open(meet, tell, call_next)
        call_next()
        station.run(lambda: bool(over))
        failure = over[0].failure
        if failure is not None:
            raise failure
        return outcome[0]


def receive(
    options: ReceiveOptions,
    emit: Callable[[Event], None],
    ask: Callable[[Offered], bool],
) -> int:
    """Wait for offers until interrupted, or with `once` until one transfer is over.

    Returns an exit code; with `once` a failed transfer raises its error.
    """
    with _Station(
        options.identity, options.listen, options.allowed, limit=options.limit
    ) as station:

        def meet(connection: Connection, now: float) -> Session | None:
            if options.only is not None and connection.peer != options.only:
                connection.close(transport.CLOSE_REFUSED)
                return None
            return ReceiveSession(
                connection,
                station.workshop,
                now,
                ours=bytes(options.identity.public),
                sign=lambda message: options.identity.sign(message, os.urandom),
                wall_clock=time.time,
                open_store=lambda peer: Store(options.into(peer), conflict=options.conflict),
                policy=options.policy,
                ask=ask,
                limit=options.limit,
            )

        results: list[Done] = []

        def tell(_: Session, event: Event) -> None:
            if isinstance(event, Done):
                results.append(event)
            emit(event)

        over = station.open(meet, tell, lambda _: None)
        emit(Listening(str(station.endpoint)))

        def finished() -> bool:
            if options.once:
                return bool(over)
            for session in over:
                _report(session, emit)
            over.clear()
            return False

        station.run(finished)
        failure = over[0].failure
        if failure is not None:
            raise failure
        return 7 if results[-1].failed else 0


class _Station:
    """A socket with everything that stands on it; leaving it says goodbye to every peer."""

    def __init__(
        self,
        identity: Identity,
        endpoint: Endpoint,
        allowed: Callable[[bytes], bool],
        *,
        pace: Pace | None = None,
        limit: int | None = None,
    ) -> None:
        self._socket = _bind(endpoint)
        parameters = _parameters(limit)
        self.exchange: Exchange[Connection] = Exchange(
            identity, allowed, partial(_connect, pace or Pace()), os.urandom, parameters
        )
        self.endpoint = self._socket.endpoint

    def open(
        self,
        meet: Callable[[Connection, float], Session | None],
        tell: Callable[[Session, Event], None],
        on_call_failed: Callable[[CallFailed], None],
    ) -> list[Session]:
        """Put sessions on the exchange; those that are over collect in the list returned."""
        over: list[Session] = []

        def ended(session: Session) -> None:
            over.append(session)
            self._driver.notify()  # whoever waits for this shall not sleep over it

        self._hub = _Hub(self.exchange, meet, tell, ended, on_call_failed)
        self._driver = Driver(self._socket, self._hub)
        self.workshop = self._hub.workshop = Workshop(self._driver.notify)
        return over

    def run(self, done: Callable[[], bool]) -> None:
        """Turn until done."""
        self._driver.run(done)

    def __enter__(self) -> "_Station":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._say_goodbye()
        finally:
            self._socket.close()

    def _say_goodbye(self) -> None:
        driver = getattr(self, "_driver", None)
        if driver is None:
            return
        for session in self._hub.sessions:
            session.cancel("stopped")
        driver.flush(_LAST_WORDS)
        self.workshop.close()
        driver.close()


class _Hub(Hub):
    """A hub with a workshop whose results come in with each turn."""

    workshop: Workshop

    def advance(self, now: float) -> None:
        self.workshop.collect()
        super().advance(now)


def _parameters(limit: int | None) -> Parameters:
    """What we declare, given how many bytes per second we take."""
    if limit is None:
        return Parameters(aes_is_fast(), LARGEST_DATAGRAM, WINDOW, CONTENT_WINDOW)
    return Parameters(aes_is_fast(), largest_datagram(limit), WINDOW, first_credit(limit))


def _connect(pace: Pace, keys: SessionKeys, endpoint: Endpoint, now: float) -> Connection:
    return Connection(keys, endpoint, now, os.urandom, controller=pace.controller())


def _bind(endpoint: Endpoint) -> UdpSocket:
    try:
        return UdpSocket(endpoint)
    except OSError as error:
        hint = ""
        if error.errno == errno.EADDRINUSE:
            hint = "another program has that port: choose another with --listen HOST:PORT"
        elif error.errno == errno.EADDRNOTAVAIL:
            hint = "that address is not one of this machine's"
        elif error.errno == errno.EACCES:
            hint = "ports below 1024 need rights: choose another with --listen HOST:PORT"
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise SecurecpError(f"cannot listen at {endpoint}: {reason.lower()}", hint) from error


def _with_problems(done: Done, problems: tuple[tuple[bytes, str], ...]) -> Done:
    """Files that could not be offered did not make it either."""
    return replace(done, failed=(*problems, *done.failed))


def _report(session: Session, emit: Callable[[Event], None]) -> None:
    if session.failure is not None:
        failure = session.failure
        emit(Failed(failure.exit_code, failure.message, failure.hint))
