"""From a contact to running session and its end: what `send` and `receive` do (SPEC §8.5, §8.6).

The only place where socket, clock, disk, threads and the cores come together. It says nothing to
people: events go to `emit`, failures are exceptions of `securecp.errors`.

A caller's HELLOs leave before anything else is done. What a session is made of is imported, and
the files are looked at, while they are on their way.
"""

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from keys.identity import Identity, PublicKey
from securecp.endpoint import Endpoint
from securecp.errors import NotReachedError, SourceError
from securecp.events import Done, Event, Failed, Listening, Offered
from securecp.net.bind import bind
from securecp.net.pace import Pace
from securecp.net.station import Station
from securecp.net.udp import UdpSocket
from securecp.transport.exchange import CallFailed

if TYPE_CHECKING:
    from securecp.disk.settle import Conflict
    from securecp.disk.tree import Scan
    from securecp.session import Decision, Session
    from securecp.transport.connection import Connection

__all__ = ["ReceiveOptions", "SendOptions", "receive", "send"]

_STALE = 2.0
"""Seconds spent on looking at the files after which the call begins anew: the peer keeps a call
that nobody confirms for 5 s, and what comes of it must be back there in time (SPEC §4.8)."""


class SendOptions(NamedTuple):
    """Whose files go to whom; `endpoints` are tried in turn, `timeout` seconds each."""

    identity: Identity
    peer: bytes
    endpoints: list[Endpoint]
    paths: list[Path]
    timeout: float = 10.0
    pace: Pace = Pace()


class ReceiveOptions(NamedTuple):
    """Who may call, what is taken from them, and where it goes."""

    identity: Identity
    allowed: Callable[[bytes], bool]
    """Whether to answer the holder of this public key at all."""
    policy: "Callable[[Offered], Decision]"
    into: Callable[[bytes], Path]
    """The folder for files of this peer."""
    socket: UdpSocket
    """Where we wait; it stays its owner's."""
    once: bool = False
    conflict: "Conflict" = "rename"
    only: bytes | None = None
    """Refuse every other contact."""
    limit: int | None = None
    """Bytes per second that one transfer may bring us."""


def send(options: SendOptions, emit: Callable[[Event], None]) -> Done:
    """Offer the paths to the peer; returns when its receipt is here.

    Raises `SecurecpError`: SourceError, NotReachedError, DeclinedError, TrustError, ….
    """
    endpoints = list(options.endpoints)
    family = "::" if ":" in endpoints[0].address else "0.0.0.0"  # noqa: S104
    with (
        closing(bind(Endpoint(family, 0))) as udp,
        Station(udp, options.identity, lambda _: False, pace=options.pace) as station,
    ):
        outcome: list[Done] = []

        def meet(connection: "Connection", now: float) -> "Session":
            return SendSession(
                connection,
                station.workshop,
                now,
                manifest=found.manifest,
                source=TreeSource(found),
                ours=bytes(options.identity.public),
                entropy=os.urandom,
            )

        def tell(_: "Session", event: Event) -> None:
            if isinstance(event, Done):
                event = _with_problems(event, found.problems)
                outcome.append(event)
            emit(event)

        def call() -> None:
            peer = PublicKey(options.peer)
            station.exchange.call(time.monotonic(), peer, endpoints[0], options.timeout)

        def call_next(_: CallFailed) -> None:
            del endpoints[0]
            if not endpoints:
                raise NotReachedError(
                    "nobody answered",
                    "is securecp receive running there, and are you in their contacts?",
                )
            call()

        over = station.open(meet, tell, call_next)
        called_at = time.monotonic()
        call()
        station.flush()
        station.prepare()
        from securecp.disk.source import TreeSource
        from securecp.sending import SendSession

        found = _scan(options.paths)
        if time.monotonic() - called_at > _STALE:
            station.exchange.hang_up()
            call()
        station.run(lambda: bool(over))
        failure = over[0].failure
        if failure is not None:
            raise failure
        return outcome[0]


def _scan(paths: list[Path]) -> "Scan":
    from securecp.disk.tree import scan

    found = scan(paths)
    if not len(found.manifest.entries):
        path, reason = found.problems[0]
        raise SourceError(f"nothing to send: {os.fsdecode(path)}: {reason}")
    _ = found.manifest.digest  # made and kept now: nothing slow comes between REPLY and offer
    return found


def receive(
    options: ReceiveOptions,
    emit: Callable[[Event], None],
    ask: Callable[[Offered], bool],
) -> int:
    """Wait for offers until interrupted, or with `once` until one transfer is over.

    Returns an exit code; with `once` a failed transfer raises its error.
    """
    from securecp.disk.store import Store
    from securecp.receiving import ReceiveSession
    from securecp.transport.connection import CLOSE_REFUSED

    with Station(options.socket, options.identity, options.allowed, limit=options.limit) as station:

        def meet(connection: "Connection", now: float) -> "Session | None":
            if options.only is not None and connection.peer != options.only:
                connection.close(CLOSE_REFUSED)
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

        def tell(_: "Session", event: Event) -> None:
            if isinstance(event, Done):
                results.append(event)
            emit(event)

        over = station.open(meet, tell, lambda _: None)
        station.prepare()
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


def _with_problems(done: Done, problems: tuple[tuple[bytes, str], ...]) -> Done:
    """Files that could not be offered did not make it either."""
    return done._replace(failed=(*problems, *done.failed))


def _report(session: "Session", emit: Callable[[Event], None]) -> None:
    if session.failure is not None:
        failure = session.failure
        emit(Failed(failure.exit_code, failure.message, failure.hint))
