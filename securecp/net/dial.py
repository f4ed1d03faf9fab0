"""From a contact to a running session and its end: what `send` does (SPEC §8.5).

The only place where socket, clock, disk, threads and the cores come together. It says nothing to
people: events go to `emit`, failures are exceptions of `securecp.errors`.

A caller's HELLOs leave before anything else is done. What a session is made of is imported, and
the files are looked at, while they are on their way.
"""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from keys.identity import Identity, PublicKey
from securecp.endpoint import Endpoint
from securecp.errors import NotReachedError, SourceError
from securecp.events import Done, Event, Reaching
from securecp.net.bind import bind_both
from securecp.net.means import Means
from securecp.net.pace import Pace
from securecp.net.station import Station
from securecp.net.udp import UdpSocket
from securecp.transport.exchange import CallFailed

if TYPE_CHECKING:
    from securecp.disk.tree import Scan
    from securecp.net.traversal import Traversal
    from securecp.reaching import Journey
    from securecp.session import Session
    from securecp.transport.connection import Connection

__all__ = ["SendOptions", "send"]

_STALE = 2.0
"""Seconds spent on looking at the files after which the call begins anew: the peer keeps a call
that nobody confirms for 5 s, and what comes of it must be back there in time (SPEC §4.8)."""


class SendOptions(NamedTuple):
    """Whose files go to whom, and how they are found; within `timeout` seconds."""

    identity: Identity
    peer: bytes
    endpoints: list[Endpoint]
    """Where the peer is called, all of them at once."""
    paths: list[Path]
    timeout: float = 10.0
    pace: Pace = Pace()
    means: Means | None = None
    """How else the peer may be found; None: only called there."""
    sockets: Sequence[UdpSocket] = ()
    """To be used, and kept by their owner; none: new ones."""
    explain: Callable[["Traversal"], None] = lambda _: None
    """Told of what was tried, if the peer was not reached."""


def send(options: SendOptions, emit: Callable[[Event], None]) -> Done:
    """Offer the paths to the peer; returns when its receipt is here.

    Raises `SecurecpError`: SourceError, NotReachedError, DeclinedError, TrustError, ….
    """
    with contextlib.ExitStack() as stack:
        sockets = options.sockets or [stack.enter_context(closing(udp)) for udp in bind_both()]
        station = stack.enter_context(
            Station(sockets, options.identity, lambda _: False, pace=options.pace)
        )
        return _Sending(options, station, emit).run()


class _Sending:
    """One transfer of ours: calls until somebody answers, then one session."""

    def __init__(
        self, options: SendOptions, station: Station, emit: Callable[[Event], None]
    ) -> None:
        self._options = options
        self._station = station
        self._emit = emit
        self._outcome: list[Done] = []
        self._left = 0
        """Calls that may yet be answered."""
        self._apart = False
        """Whether the peer has been heard of, and not reached."""
        self._over: list[Session] = []

    def run(self) -> Done:
        """See it through."""
        options, station = self._options, self._station
        self._over = station.open(self._meet, self._tell, self._on_call_failed)
        if options.means is not None:
            station.find(options.means, self._emit)
            self._emit(Reaching(options.peer, len(options.means.servers), options.means.lan))
        called_at = time.monotonic()
        self._call()
        station.flush()
        station.prepare()
        from securecp import sending  # noqa: F401
        from securecp.disk import source  # noqa: F401

        self._found = _scan(options.paths)
        if time.monotonic() - called_at > _STALE:
            station.hang_up()
            self._call()
        station.run(lambda: bool(self._over))
        failure = self._over[0].failure
        if failure is not None:
            raise failure
        return self._outcome[0]

    def _call(self) -> None:
        options, station = self._options, self._station
        now = time.monotonic()
        self._left = len(options.endpoints)
        for endpoint in options.endpoints:
            there = endpoint._replace(via=int(":" in endpoint.address))
            station.exchange.call(now, PublicKey(options.peer), there, options.timeout)
        if station.paths is not None:
            self._left += 1
            station.paths.call(now, options.peer, options.timeout, self._on_not_found)

    def _on_call_failed(self, failed: CallFailed) -> None:
        """Those where the peer was found are not counted: the search for it is."""
        if any(failed.endpoint[:2] == endpoint[:2] for endpoint in self._options.endpoints):
            self._one_less(failed)

    def _on_not_found(self, journey: "Journey") -> None:
        """Perhaps it was there, and only no path to it."""
        assert self._station.paths is not None
        meeting = self._station.paths.reach.meetings.get(journey.session)
        self._apart = meeting is not None and meeting.met_at is not None
        self._one_less(journey)

    def _one_less(self, _: object) -> None:
        self._left -= 1
        if self._left <= 0 and not self._over:
            if self._station.traversal is not None:
                self._options.explain(self._station.traversal)
            if self._apart:
                raise NotReachedError("no way leads to the peer, who is there", _way(self._options))
            raise NotReachedError("nobody answered", _hint(self._options))

    def _meet(self, connection: "Connection", now: float) -> "Session":
        from securecp.disk.source import TreeSource
        from securecp.sending import SendSession

        return SendSession(
            connection,
            self._station.workshop,
            now,
            manifest=self._found.manifest,
            source=TreeSource(self._found),
            ours=bytes(self._options.identity.public),
            entropy=os.urandom,
        )

    def _tell(self, _: "Session", event: Event) -> None:
        if isinstance(event, Done):
            event = _with_problems(event, self._found.problems)
            self._outcome.append(event)
        self._emit(event)


def _hint(options: SendOptions) -> str:
    if options.means is None:
        return "is securecp receive running there, and are you in their contacts?"
    if not options.means.servers:
        return (
            "no server is configured: only this network was searched; "
            "see securecp config add-server, or give --at HOST:PORT"
        )
    return "is securecp receive running there, with you in their contacts? try securecp doctor"


def _way(options: SendOptions) -> str:
    if options.means is not None and not options.means.relay:
        return "without --no-relay, a server would pass on what is sealed for them"
    return "the relay of a server did not work either; try again, or ask its operator"


def _scan(paths: list[Path]) -> "Scan":
    from securecp.disk.tree import scan

    found = scan(paths)
    if not len(found.manifest.entries):
        path, reason = found.problems[0]
        raise SourceError(f"nothing to send: {os.fsdecode(path)}: {reason}")
    _ = found.manifest.digest  # made and kept now: nothing slow comes between REPLY and offer
    return found


def _with_problems(done: Done, problems: tuple[tuple[bytes, str], ...]) -> Done:
    """Files that could not be offered did not make it either."""
    return done._replace(failed=(*problems, *done.failed))
