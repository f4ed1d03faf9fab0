"""Waiting for contacts, and a session for each of their transfers: what `receive` does (SPEC §8.6).

Like `dial.py`, it says nothing to people: events go to `emit`, failures are exceptions.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from keys.identity import Identity
from securecp.errors import FullError, InterruptedTransferError, SecurecpError, TrustError
from securecp.events import Done, Event, Listening, Offered, Reaching, Waiting
from securecp.net import stores
from securecp.net.delivery import Outcome, failed, is_resumable
from securecp.net.means import Means
from securecp.net.running import Control, Running, Table
from securecp.net.station import Station
from securecp.net.stores import Output
from securecp.net.udp import UdpSocket
from securecp.net.visits import Key, Visit, Visits

if TYPE_CHECKING:
    from securecp.disk.journal import Journals
    from securecp.disk.settle import Conflict
    from securecp.session import Decision, Session
    from securecp.transport.connection import Connection

__all__ = ["Output", "ReceiveOptions", "receive"]

_POLL = 2.0
"""Seconds between two looks at whether those who are connected are still allowed to be (KC-10)."""


class ReceiveOptions(NamedTuple):
    """Who may call, what is taken from them, and where it goes."""

    identity: Identity
    allowed: Callable[[bytes], bool]
    """Whether to answer the holder of this public key at all; asked again while they are here."""
    policy: "Callable[[Offered], Decision]"
    into: Callable[[bytes], Path]
    """The folder for files of this peer; called from any thread."""
    sockets: Sequence[UdpSocket]
    """Where we wait; they stay their owner's."""
    once: bool = False
    conflict: "Conflict | Callable[[bytes], Conflict]" = "rename"
    only: bytes | None = None
    """Refuse every other contact."""
    limit: int | None = None
    """Bytes per second that one transfer may bring us."""
    means: Means | None = None
    """How we may be found; None: only called where we wait."""
    contacts: Callable[[], Iterable[bytes]] = tuple
    """Who may find us."""
    wait: float = 0.0
    """With `once`: seconds to wait for a peer that has gone in the middle."""
    journals: "Journals | None" = None
    """Where is kept how far each transfer is; None: none can be resumed."""
    reserve: int | None = None
    """Bytes of the disk that are left free."""
    symlinks: bool = False
    verify: bool = False
    """Read again what is there already, in place of trusting the journal."""
    output: Output | None = None
    control: Control | None = None
    running: Running | None = None


def receive(
    options: ReceiveOptions,
    emit: Callable[[Event], None],
    ask: Callable[[Offered], bool],
) -> int:
    """Wait for offers until interrupted, or with `once` until one transfer is over.

    `ask` is called in a thread of its own for each question. Returns an exit code; with `once` a
    failed transfer raises its error, and a `Running.stop` raises InterruptedTransferError.
    """
    with Station(
        options.sockets, options.identity, options.allowed, limit=options.limit
    ) as station:
        return _Receiving(options, station, emit, ask).run()


class _Receiving:
    """One station that waits."""

    def __init__(
        self,
        options: ReceiveOptions,
        station: Station,
        emit: Callable[[Event], None],
        ask: Callable[[Offered], bool],
    ) -> None:
        self._options = options
        self._station = station
        self._emit_to = emit
        self._ask = ask
        self._table = Table()
        self._running = options.running or Running()
        self._visits = Visits()
        self._pending: dict[Key, tuple[float, SecurecpError]] = {}
        """With `once`: who is waited for until when, and how else it ends."""
        self._poll_at = 0.0
        self._code: int | None = None
        self._error: SecurecpError | None = None

    def run(self) -> int:
        """Until interrupted, or once."""
        options, station = self._options, self._station
        self._over = station.open(self._meet, self._tell, lambda _: None)
        if options.means is not None:
            station.find(options.means, self._emit, contacts=options.contacts)
            station.flush()
        self._emit(Listening(str(station.endpoint)))
        if options.means is not None:
            self._emit(Reaching(b"", len(options.means.servers), options.means.lan))
        station.prepare()
        from securecp.disk import store  # noqa: F401
        from securecp.net import guard  # noqa: F401

        with station.joined(self, self._running, self._table, self._cancel, options.control):
            station.run(lambda: self._code is not None or self._error is not None)
        if self._error is not None:
            raise self._error
        assert self._code is not None
        return self._code

    # what the loop wants of us

    def turn(self, now: float) -> None:
        """Deal with who has gone, and with who should."""
        for session in self._over:
            self._ended(now, self._visits.end(session))
        self._over.clear()
        for key, (until, error) in list(self._pending.items()):
            if now >= until:
                del self._pending[key]
                self._end_unless_busy(error)
        if self._visits and now >= self._poll_at:
            self._poll_at = now + _POLL
            self._turn_out()
        if self._running.stopping:
            self._end(InterruptedTransferError("stopped"))
        self._look_at_output()

    def deadline(self) -> float | None:
        """When the next patience ends, or the next look is due."""
        times = [until for until, _ in self._pending.values()]
        if self._visits:
            times.append(self._poll_at)
        return min(times, default=None)

    def _look_at_output(self) -> None:
        """Who has the output hears by themselves that it is of no use any more."""
        output = self._options.output
        error = None if output is None else output.trouble()
        if error is not None and self._code is None and not self._busy():
            self._end(error)

    def _turn_out(self) -> None:
        """Whoever has been blocked meanwhile is not here any more."""
        from securecp.transport.connection import CLOSE_REFUSED

        for visit in self._visits:
            session = visit.session
            if not session.over and not self._options.allowed(session.peer):
                session.connection.close(CLOSE_REFUSED)
                session.fail(TrustError("the peer is not allowed any more"))

    def _cancel(self, number: int, reason: str) -> bool:
        for visit in self._visits:
            if visit.number == number and not visit.session.over:
                visit.session.cancel(reason)
                self._station.ring()
                return True
        return False

    # sessions

    def _meet(self, connection: "Connection", now: float) -> "Session | None":
        from securecp.net.guard import GuardedSession, GuardedWorkshop
        from securecp.transport.connection import CLOSE_REFUSED

        options = self._options
        if options.only is not None and connection.peer != options.only:
            connection.close(CLOSE_REFUSED)
            return None
        workshop = GuardedWorkshop(self._station.workshop)
        session = workshop.session = GuardedSession(
            connection,
            workshop,
            now,
            ours=bytes(options.identity.public),
            sign=lambda message: options.identity.sign(message, os.urandom),
            wall_clock=time.time,
            open_store=partial(stores.open_store, options),
            open_stream=partial(stores.open_stream, options),
            policy=lambda offered: self._decide(visit, offered),
            ask=lambda offered: self._ask(visit.offer or offered),
            approved=partial(stores.is_approved, options),
            limit=options.limit,
        )
        visit = self._visits.begin(session)
        return session

    def _decide(self, visit: Visit, offered: Offered) -> "Decision":
        """Which transfer this is, and whether we want it."""
        from securecp.session import Decision

        offered = self._visits.offered(visit, offered)
        self._table.begin(visit.number, offered.peer, sending=False)
        self._pending.pop(visit.key, None)
        one = offered.stream or (offered.files, offered.entries) == (1, 1)
        if self._options.output is not None and not one:
            visit.fits = False  # there is one place, for one file
            return Decision.DECLINE
        return self._options.policy(offered)

    def _tell(self, session: "Session", event: Event) -> None:
        for told in self._visits.told(session, event):
            self._emit(told)
        if isinstance(event, Done) and self._options.once:
            self._code = 7 if event.failed else 0
            self._station.ring()

    def _emit(self, event: Event) -> None:
        self._table.note(event)
        self._emit_to(event)

    # ends

    def _ended(self, now: float, visit: Visit) -> None:
        error = visit.session.failure
        if error is None or visit.superseded:
            return
        if is_resumable(error):
            self._visits.remember(visit)
        for told in self._visits.released(visit):
            self._emit(told)
        if self._options.once and self._may_come_back(visit, error):
            until = now + self._options.wait
            self._pending[visit.key] = until, error
            self._emit(visit.stamped(Waiting(visit.session.peer, error.message, until - now)))
        elif self._options.once and visit.fits and visit.offer is not None and not self._busy():
            self._end(error)
        elif self._options.once or not isinstance(error, FullError):  # else it goes on by itself
            self._visits.forget(visit)
            outcome = Outcome(visit.session.peer, visit.number, error=error)
            self._emit(visit.stamped(failed(outcome)))
        self._table.end(visit.number)

    def _may_come_back(self, visit: Visit, error: SecurecpError) -> bool:
        """With `once`: whether somebody was cut off in the middle of what can go on."""
        session, output = visit.session, self._options.output
        if not session.consented or session.cancelled or not is_resumable(error):
            return False
        lasts = visit.offer is not None and not visit.offer.stream
        return self._options.wait > 0 and lasts and (output is None or output.lasts)

    def _busy(self) -> bool:
        """Whether there is an offer that is not over, or may go on: with `once`, no other ends us.

        Sessions that have offered nothing are no transfers.
        """
        return bool(self._pending) or any(
            visit.offer is not None and visit.fits and not visit.session.over
            for visit in self._visits
        )

    def _end_unless_busy(self, error: SecurecpError) -> None:
        if not self._busy():
            self._end(error)

    def _end(self, error: SecurecpError) -> None:
        """The first reason counts."""
        self._error = self._error or error
        self._station.ring()
