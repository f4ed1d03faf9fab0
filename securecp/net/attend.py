"""Waiting for contacts, and a session for each of their transfers: what `receive` does (SPEC §8.6).

Like `dial.py`, it says nothing to people: events go to `emit`, failures are exceptions.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from keys.identity import Identity
from securecp.events import Done, Event, Failed, Listening, Offered, Reaching
from securecp.net.means import Means
from securecp.net.station import Station
from securecp.net.udp import UdpSocket

if TYPE_CHECKING:
    from securecp.disk.settle import Conflict
    from securecp.session import Decision, Session
    from securecp.transport.connection import Connection

__all__ = ["ReceiveOptions", "receive"]


class ReceiveOptions(NamedTuple):
    """Who may call, what is taken from them, and where it goes."""

    identity: Identity
    allowed: Callable[[bytes], bool]
    """Whether to answer the holder of this public key at all."""
    policy: "Callable[[Offered], Decision]"
    into: Callable[[bytes], Path]
    """The folder for files of this peer."""
    sockets: Sequence[UdpSocket]
    """Where we wait; they stay their owner's."""
    once: bool = False
    conflict: "Conflict" = "rename"
    only: bytes | None = None
    """Refuse every other contact."""
    limit: int | None = None
    """Bytes per second that one transfer may bring us."""
    means: Means | None = None
    """How we may be found; None: only called where we wait."""
    contacts: Callable[[], Iterable[bytes]] = tuple
    """Who may find us."""


def receive(
    options: ReceiveOptions,
    emit: Callable[[Event], None],
    ask: Callable[[Offered], bool],
) -> int:
    """Wait for offers until interrupted, or with `once` until one transfer is over.

    Returns an exit code; with `once` a failed transfer raises its error.
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
        self._emit = emit
        self._ask = ask
        self._results: list[Done] = []
        self._over: list[Session] = []

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
        from securecp import receiving  # noqa: F401
        from securecp.disk import store  # noqa: F401

        station.run(self._finished)
        failure = self._over[0].failure
        if failure is not None:
            raise failure
        return 7 if self._results[-1].failed else 0

    def _meet(self, connection: "Connection", now: float) -> "Session | None":
        from securecp.disk.store import Store
        from securecp.receiving import ReceiveSession
        from securecp.transport.connection import CLOSE_REFUSED

        options = self._options
        if options.only is not None and connection.peer != options.only:
            connection.close(CLOSE_REFUSED)
            return None
        return ReceiveSession(
            connection,
            self._station.workshop,
            now,
            ours=bytes(options.identity.public),
            sign=lambda message: options.identity.sign(message, os.urandom),
            wall_clock=time.time,
            open_store=lambda peer: Store(options.into(peer), conflict=options.conflict),
            policy=options.policy,
            ask=self._ask,
            limit=options.limit,
        )

    def _tell(self, _: "Session", event: Event) -> None:
        if isinstance(event, Done):
            self._results.append(event)
        self._emit(event)

    def _finished(self) -> bool:
        if self._options.once:
            return bool(self._over)
        for session in self._over:
            if (failure := session.failure) is not None:
                self._emit(Failed(failure.exit_code, failure.message, failure.hint))
        self._over.clear()
        return False
