"""One meeting with one peer: a connection and a transfer joined, without I/O (SPEC §8.5, §8.6).

    connection events ─► party.control ─► effects ─► connection, files, workshop
    workshop results  ─► party         ─► outgoing ─► connection.write

The party (`transfer.Sender`, `transfer.Receiver`) says what is to be done; this file has it done by
the connection, by the files that are injected, and by a workshop that runs slow jobs elsewhere and
hands their results back in the session's own turn.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Any, ClassVar, Protocol, TypeVar

from securecp.errors import (
    DeclinedError,
    FullError,
    InterruptedTransferError,
    ProtocolError,
    SecurecpError,
    TrustError,
)
from securecp.events import Event, Progress
from securecp.transfer import messages
from securecp.transfer.party import Party
from securecp.transport import connection as transport
from securecp.transport.connection import Connection, ControlReceived

T = TypeVar("T")

Handlers = Mapping[type, Callable[[Any, Any], None]]

PROGRESS_EVERY = 0.1
"""Seconds between two progress events."""


class Workshop(Protocol):
    """Where slow jobs are done, one after another."""

    def start(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        """Have `job` done elsewhere; `then` gets its result, or the exception that it raised."""

    def start_aside(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        """The same for a job that may take for ever, such as a question to a person."""


class Decision(Enum):
    """What becomes of an offer."""

    ACCEPT = auto()
    DECLINE = auto()
    ASK = auto()


class Session:
    """What sending and receiving have in common."""

    party: Party
    handlers: ClassVar[Handlers]
    """What to do for each kind of effect."""

    def __init__(self, connection: Connection, workshop: Workshop, now: float) -> None:
        self.connection = connection
        self.over = False
        self.waits = False
        """Whether it goes on without its connection, until the workshop has done its last job."""
        self.failure: SecurecpError | None = None
        """Why it ended without success."""
        self.code: int | None = None
        """Of the peer's ABORT or DECLINE, if that ended it."""
        self.cancelled = False
        """Whether a person there has stopped it."""
        self.peer_is_done = False
        """Whether the peer has closed the connection, and not for a failure."""
        self.started_at = now
        """When content could first move, once that is so."""
        self._workshop = workshop
        self.network: list[transport.Moved | transport.Quiet | transport.Heard] = []
        """What the connection has told of its path, for whoever chooses paths."""
        self._events: list[Event] = []
        self._now = now
        self._progress_at = now
        self._moved = 0
        self._flowed = 0
        """Bytes that had come when progress was last told."""
        self._skipped = 0
        """Content bytes that count as moved, though they need not flow."""

    @property
    def peer(self) -> bytes:
        """The peer's public key."""
        return self.connection.peer

    def events(self) -> list[Event]:
        """What has happened since the last call."""
        events, self._events = self._events, []
        return events

    def advance(self, now: float) -> None:
        """Carry out everything that follows from what has come; call after each turn of I/O."""
        self._now = now
        try:
            for event in self.connection.events():
                self._on_connection(event)
            self._work()
        except ProtocolError as error:
            self.connection.close(transport.CLOSE_PROTOCOL, error.message)
            self._gone(error)

    def deadline(self) -> float | None:
        """When `advance` is due even if nothing comes."""
        return None

    def cancel(self, reason: str) -> None:
        """Stop now, and tell the peer."""
        if not self.over:
            self.connection.close(transport.CLOSE_CANCELLED, reason)
            self.fail(InterruptedTransferError(reason))

    def drop(self) -> None:
        """End without a word: its connection has never come about."""
        if not self.over:
            self._finish()

    def fail(self, error: SecurecpError) -> None:
        """End without success; the first reason counts."""
        if not self.over:
            self.over = True
            self.failure = error
            self._clean_up()

    def _stop(self, error: SecurecpError, code: int, public_reason: str) -> None:
        """End it ourselves; the peer is told `public_reason`, which holds nothing local."""
        if not self.over:
            self.connection.close(code, public_reason)
            self.fail(error)

    def _finish(self) -> None:
        self.over = True
        self._clean_up()

    def _work(self) -> None:
        """Effects until there are none, then what is to be written."""
        while not self.over:
            effects = self.party.effects()
            for effect in effects:
                if self.over:
                    return
                self.handlers[type(effect)](self, effect)
            self._write()
            if not effects:
                break
        self._report_progress()

    def _write(self) -> None:
        while (room := self.connection.control_room()) > 0:
            data = self.party.outgoing(room)
            if not data:
                return
            self.connection.write(data)

    def _on_connection(self, event: transport.ConnectionEvent) -> None:
        match event:
            case ControlReceived():
                if not self.over:
                    self.party.control(event.data)
                    self._work()
            case transport.Moved() | transport.Quiet() | transport.Heard():
                self.network.append(event)
            case transport.Lost():
                self._gone(InterruptedTransferError("the peer has gone silent"))
            case transport.Closed():
                self.cancelled = event.remote and event.code == transport.CLOSE_CANCELLED
                self.peer_is_done = event.remote and event.code == transport.CLOSE_DONE
                self._gone(_closed(event))

    def _gone(self, error: SecurecpError) -> None:
        """The connection is over; whether that is a failure depends on how far we are."""
        self.fail(error)

    def _done_elsewhere(
        self, job: Callable[[], T], then: Callable[[T], None], *, aside: bool = False
    ) -> None:
        """Run a job in the workshop; its result counts only while the session lives."""

        def finished(result: T | Exception) -> None:
            if self.over:
                return
            if isinstance(result, SecurecpError):
                self._job_failed(result)
            elif isinstance(result, Exception):
                raise result
            else:
                then(result)

        start = self._workshop.start_aside if aside else self._workshop.start
        start(job, finished)

    def _job_failed(self, error: SecurecpError) -> None:
        """A job in the workshop has failed."""
        self._stop(error, transport.CLOSE_FAILED, "it cannot be stored")

    def _report_progress(self) -> None:
        """What need not flow counts as moved, but not for the rate."""
        moved, size = self._progress()
        flowed = moved - self._skipped
        due = self._now - self._progress_at >= PROGRESS_EVERY or moved == size
        if self.over or (flowed == self._flowed and moved == self._moved) or not due:
            return
        elapsed = max(self._now - self._progress_at, 1e-6)
        rate = max(0, flowed - self._flowed) / elapsed
        self._moved, self._flowed, self._progress_at = moved, flowed, self._now
        self._events.append(Progress(moved, size, rate, self.peer))

    def _progress(self) -> tuple[int, int]:
        """Content bytes that have arrived, and all of them."""
        raise NotImplementedError

    def _clean_up(self) -> None:
        """Give back what the session holds."""


def _closed(event: transport.Closed) -> SecurecpError:
    """The error that a CLOSE means, if it comes before the end."""
    if not event.remote:
        return ProtocolError(f"the peer broke the protocol: {event.reason}")
    match event.code:
        case transport.CLOSE_REFUSED:
            return TrustError("the peer refuses our key", "ask them to check their contacts")
        case transport.CLOSE_CANCELLED:
            return InterruptedTransferError("the peer has stopped")
        case transport.CLOSE_PROTOCOL:
            return ProtocolError("the peer says that we broke the protocol")
        case _:
            return SecurecpError(f"the peer could not go on: {event.reason or 'no reason given'}")


def groups(sizes: Iterable[tuple[T, int]], most: int, count: int) -> Iterable[list[T]]:
    """Cut a sequence into runs of at most `count` items and, past the first, `most` bytes."""
    group: list[T] = []
    total = 0
    for item, size in sizes:
        if group and (total + size > most or len(group) >= count):
            yield group
            group, total = [], 0
        group.append(item)
        total += size
    if group:
        yield group


_NEEDED = re.compile(r"([0-9]{1,19}) bytes are needed")


def needed(reason: str) -> int:
    """How many bytes a full disk needs, as the reason says; 0 if it does not."""
    found = _NEEDED.match(reason)
    return int(found[1]) if found else 0


def declined(code: int, reason: str) -> SecurecpError:
    """The peer's no, with its reason if it gave one."""
    if code == messages.CODE_FULL:
        return full(reason)
    return DeclinedError("declined" + (f": {reason}" if reason else ""))


def stopped(code: int, reason: str) -> SecurecpError:
    """The peer's ABORT."""
    if code == messages.CODE_FULL:
        return full(reason)
    if code in (messages.CODE_INTERRUPTED, messages.CODE_STORAGE, messages.CODE_SUPERSEDED):
        return InterruptedTransferError(f"the peer has stopped: {reason}")
    return SecurecpError(f"the peer gave up: {reason}")


def full(reason: str) -> FullError:
    """The peer's disk is full."""
    missing = needed(reason)
    more = f": {missing} bytes are still needed" if missing else ""
    return FullError(f"the peer's disk is full{more}", needed=missing)
