"""From contacts to running sessions and their ends: what `send` does (SPEC §8.5).

The only place where socket, clock, disk, threads and the cores come together. It says nothing to
people: events go to `emit`, failures are exceptions of `securecp.errors`.

A caller's HELLOs leave before anything else is done. What a session is made of is imported, and
the files are looked at, while they are on their way. There is one look at the files and one
manifest for all recipients; each has a `Delivery` that sees it through.
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
from securecp.errors import NotReachedError, SecurecpError
from securecp.events import Done, Event, Reaching
from securecp.net.bind import bind_both
from securecp.net.delivery import Delivery, Outcome, Recipient, failed
from securecp.net.means import Means
from securecp.net.pace import Pace
from securecp.net.running import Control, Running, Table
from securecp.net.sources import Files, Sources
from securecp.net.station import Station
from securecp.net.udp import UdpSocket
from securecp.transport.exchange import CallFailed

if TYPE_CHECKING:
    from securecp.net.traversal import Traversal
    from securecp.reaching import Journey
    from securecp.session import Session
    from securecp.transport.connection import Connection

__all__ = ["Outcome", "Recipient", "SendOptions", "deliver", "send"]

_STALE = 2.0
"""Seconds spent on looking at the files after which the call begins anew: the peer keeps a call
that nobody confirms for 5 s, and what comes of it must be back there in time (SPEC §4.8)."""


class SendOptions(NamedTuple):
    """Whose files go to whom, and how they are found; within `timeout` seconds."""

    identity: Identity
    peer: bytes = b""
    endpoints: Sequence[Endpoint] = ()
    """Where the peer is called, all of them at once."""
    paths: Sequence[Path] = ()
    timeout: float = 10.0
    pace: Pace = Pace()
    means: Means | None = None
    """How else the peer may be found; None: only called there."""
    sockets: Sequence[UdpSocket] = ()
    """To be used, and kept by their owner; none: new ones."""
    explain: Callable[["Traversal"], None] = lambda _: None
    """Told of what was tried, if a peer was not reached."""
    recipients: tuple[Recipient, ...] = ()
    """Several, in place of `peer` and `endpoints`."""
    wait: float = 0.0
    """Seconds for which a peer that has gone is called again, so that the transfer goes on."""
    sources: Sources | None = None
    """What is sent, if that is more than `paths`."""
    settled: Callable[[Outcome], None] = lambda _: None
    """Told of each outcome as soon as there is one."""
    control: Control | None = None
    running: Running | None = None


def send(options: SendOptions, emit: Callable[[Event], None]) -> Done:
    """Offer the paths to one peer; returns when its receipt is here.

    Raises `SecurecpError`: SourceError, NotReachedError, DeclinedError, TrustError, ….
    """
    (outcome,) = deliver(options, emit)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.done is not None
    return outcome.done


def deliver(options: SendOptions, emit: Callable[[Event], None]) -> list[Outcome]:
    """Offer the paths to every recipient; returns when there is an outcome for each, in order.

    Raises only what concerns all of them: SourceError, an interrupt. Among several recipients, the
    failure of one is also told as an event, when it happens.
    """
    with contextlib.ExitStack() as stack:
        sockets = options.sockets or [stack.enter_context(closing(udp)) for udp in bind_both()]
        station = stack.enter_context(
            Station(sockets, options.identity, lambda _: False, pace=options.pace)
        )
        return _Sending(options, station, emit).run()


class _Sending:
    """One station that calls: a delivery for each recipient, and one look at the files."""

    def __init__(
        self, options: SendOptions, station: Station, emit: Callable[[Event], None]
    ) -> None:
        self._options = options
        self._station = station
        self._emit_to = emit
        self._table = Table()
        self._running = options.running or Running()
        self._apart: set[bytes] = set()
        """Peers that have been heard of, and not reached."""
        self._explained = False
        recipients = options.recipients or (Recipient(options.peer, tuple(options.endpoints)),)
        if len({one.peer for one in recipients}) != len(recipients):
            raise ValueError("a recipient is named twice")
        self._sources = options.sources or Files(options.paths)
        self._deliveries = {
            recipient.peer: Delivery(
                number,
                recipient,
                self,
                self._emit,
                timeout=options.timeout,
                wait=options.wait,
                once=self._sources.once,
                chance=_chance,
            )
            for number, recipient in enumerate(recipients, 1)
        }
        self._told: set[int] = set()
        """Deliveries whose outcome has been dealt with."""

    def run(self) -> list[Outcome]:
        """See all of them through."""
        options, station = self._options, self._station
        self._over = station.open(self._meet, self._tell, self._on_call_failed)
        if options.means is not None:
            station.find(options.means, self._emit)
        for delivery in self._deliveries.values():
            peer = delivery.recipient.peer
            self._table.begin(delivery.number, peer, sending=True)
            if options.means is not None:
                self._emit(Reaching(peer, len(options.means.servers), options.means.lan))
        called_at = time.monotonic()
        self._call_all(called_at)
        station.flush()
        station.prepare()
        from securecp import sending  # noqa: F401

        with contextlib.closing(self._sources):
            self._sources.open([*self._deliveries], station.ring)
            if time.monotonic() - called_at > _STALE:
                station.hang_up()
                self._call_all(time.monotonic())
            with station.joined(self, self._running, self._table, self._cancel, options.control):
                station.run(self._finished)
        return [one.outcome for one in self._deliveries.values() if one.outcome is not None]

    # the line of our deliveries

    def call(self, now: float, recipient: Recipient, timeout: float) -> int:
        """Call a recipient wherever they may be; how many calls may fail."""
        station = self._station
        for endpoint in recipient.endpoints:
            there = endpoint._replace(via=int(":" in endpoint.address))
            station.exchange.call(now, PublicKey(recipient.peer), there, timeout)
        if station.paths is not None:
            station.paths.call(now, recipient.peer, timeout, self._on_not_found)
        return len(recipient.endpoints) + (station.paths is not None)

    def stop_calling(self, recipient: Recipient) -> None:
        """They are not called any more, unless they have answered."""
        self._station.stop_calling(recipient.peer)

    def hang_up(self, recipient: Recipient) -> None:
        """They are not called any more, whether they have answered or not."""
        self._station.hang_up(recipient.peer)

    def expects(self, recipient: Recipient) -> bool:
        """Whether they have answered."""
        return self._station.expects(recipient.peer)

    def leave(self, recipient: Recipient) -> None:
        """Nothing is wanted of them any more."""
        self._station.leave(recipient.peer)

    def not_reached(self, recipient: Recipient) -> SecurecpError:
        """Nobody answered: with what was tried, the first time."""
        if self._station.traversal is not None and not self._explained:
            self._explained = True
            self._options.explain(self._station.traversal)
        if recipient.peer in self._apart:
            return NotReachedError("no way leads to the peer, who is there", _way(self._options))
        return NotReachedError("nobody answered", _hint(self._options))

    # the station's

    def turn(self, now: float) -> None:
        """What is due by now, for each of them."""
        for session in self._over:
            self._deliveries[session.peer].ended(now, session)
        self._over.clear()
        for delivery in self._deliveries.values():
            if self._running.stopping:
                delivery.cancel("stopped")
            delivery.turn(now)
            if delivery.outcome is not None and delivery.number not in self._told:
                self._conclude(delivery, delivery.outcome)

    def deadline(self) -> float | None:
        """When the next of them is due."""
        times = [delivery.deadline() for delivery in self._deliveries.values()]
        return min((time for time in times if time is not None), default=None)

    def _call_all(self, now: float) -> None:
        for delivery in self._deliveries.values():
            delivery.call(now)

    def _on_call_failed(self, call: CallFailed) -> None:
        """Calls where the peer was found are not counted: the search for it is."""
        delivery = self._deliveries[call.peer]
        if any(call.endpoint[:2] == place[:2] for place in delivery.recipient.endpoints):
            delivery.call_failed(time.monotonic())

    def _on_not_found(self, journey: "Journey") -> None:
        """Perhaps they were there, and only no path to them."""
        assert self._station.paths is not None
        meeting = self._station.paths.reach.meetings.get(journey.session)
        if meeting is not None and meeting.met_at is not None:
            self._apart.add(journey.peer)
        self._deliveries[journey.peer].call_failed(time.monotonic())

    def _meet(self, connection: "Connection", now: float) -> "Session | None":
        if not self._deliveries[connection.peer].wants(now):
            connection.lose()
            return None
        return self._sources.session(
            connection, self._station.workshop, now, bytes(self._options.identity.public)
        )

    def _tell(self, session: "Session", event: Event) -> None:
        self._deliveries[session.peer].tell(time.monotonic(), session, event)

    def _emit(self, event: Event) -> None:
        self._table.note(event)
        self._emit_to(event)

    def _cancel(self, number: int, reason: str) -> bool:
        for delivery in self._deliveries.values():
            if delivery.number == number and not delivery.over:
                delivery.cancel(reason)
                self._station.ring()
                return True
        return False

    def _finished(self) -> bool:
        return len(self._told) == len(self._deliveries)

    def _conclude(self, delivery: Delivery, outcome: Outcome) -> None:
        if outcome.done is not None:
            # Files that could not be offered did not make it either.
            left_out = (*self._sources.problems, *outcome.done.failed)
            done = outcome.done._replace(failed=left_out)
            delivery.outcome = outcome = outcome._replace(done=done)
            self._emit(done)
        elif len(self._deliveries) > 1:
            self._emit(failed(outcome, delivery.transfer_id))
        self._options.settled(outcome)
        self._table.end(delivery.number)
        self._sources.forget(delivery.recipient.peer)
        self._told.add(delivery.number)
        self._station.ring()  # whoever waits for this shall not sleep over it


def _chance() -> float:
    """From 0 to 1; `random` would take longer to import than all that it is for."""
    return int.from_bytes(os.urandom(4), "big") / 2**32


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
