"""What goes on in a running program, for whoever wants to know or to intervene.

    events ─► Table ─► rows as plain values ─► status, the library
    cancel, stop ─► the loop ─► sessions

`Running` belongs to the loop's thread; `call` and `stop` may come from any other.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from securecp.events import (
    Back,
    Connected,
    Done,
    Event,
    Failed,
    Offered,
    PathChanged,
    Paused,
    Progress,
    Resumed,
    Silent,
    Verifying,
    Waiting,
)

CALLING, ASKING, RUNNING = "calling", "asking", "running"
SILENT, WAITING, PAUSED = "silent", "waiting", "paused"


class Transfer(NamedTuple):
    """A row of the table: one transfer as it is now."""

    number: int
    peer: bytes
    sending: bool
    state: str = CALLING
    """`calling`, `asking`, `running`, `silent`, `waiting` or `paused`."""
    names: tuple[bytes, ...] = ()
    files: int = 0
    moved: int = 0
    size: int = 0
    rate: float = 0.0
    since: float = 0.0
    """When it began, as `time.time` has it."""
    path: str = ""
    message: str = ""
    """Why it waits."""
    transfer_id: bytes = b""
    manifest_digest: bytes = b""


class Table:
    """The rows of all transfers that are not over, kept by the events told of them."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._rows: dict[int, Transfer] = {}

    def rows(self) -> list[Transfer]:
        """All that are not over."""
        return list(self._rows.values())

    def id_of(self, number: int) -> bytes:
        """What a transfer is called in its session."""
        row = self._rows.get(number)
        return b"" if row is None else row.transfer_id

    def begin(self, number: int, peer: bytes, *, sending: bool) -> None:
        """There is a transfer; if it was there before, it goes on."""
        if number not in self._rows:
            self._rows[number] = Transfer(number, peer, sending, since=self._clock())

    def end(self, number: int) -> None:
        """It is over."""
        self._rows.pop(number, None)

    def note(self, event: Event) -> None:
        """Take in what an event says of the transfer that it bears the number of."""
        number = getattr(event, "transfer", 0)
        row = self._rows.get(number)
        if row is None:
            return
        if isinstance(event, Done | Failed):
            self.end(number)
        else:
            self._rows[number] = _noted(row, event)


def _noted(row: Transfer, event: Event) -> Transfer:
    match event:
        case Connected() | PathChanged():
            state = ASKING if row.state == CALLING else row.state
            return row._replace(state=state, path=event.path)
        case Offered():
            return row._replace(
                state=ASKING,
                names=event.names,
                files=event.files,
                size=event.size,
                transfer_id=event.transfer_id,
                manifest_digest=event.manifest_digest,
            )
        case Resumed():
            return row._replace(state=RUNNING, moved=event.kept, size=event.size, message="")
        case Progress():
            return row._replace(
                state=RUNNING, moved=event.moved, size=event.size, rate=event.rate, message=""
            )
        case Verifying() | Back():
            return row._replace(state=RUNNING)
        case Silent():
            return row._replace(state=SILENT, rate=0.0)
        case Waiting():
            return row._replace(state=WAITING, rate=0.0, message=event.reason)
        case Paused():
            return row._replace(state=PAUSED, rate=0.0, message="the disk is full")
        case _:
            return row


def stamped(event: Event, number: int, peer: bytes, transfer_id: bytes = b"") -> Event:
    """The event with the number of its transfer, and with what its session left out."""
    told: dict[str, Any] = {"transfer": number, "peer": peer, "transfer_id": transfer_id}
    for field in tuple(told):
        if not hasattr(event, field) or (field != "transfer" and getattr(event, field)):
            del told[field]
    return event._replace(**told)


class Bench(Protocol):
    """What of a station this needs: files to watch, and a bell."""

    def watch(self, file: int, callback: Callable[[], None]) -> None: ...
    def unwatch(self, file: int) -> None: ...
    def ring(self) -> None: ...


class Running:
    """The handle of a program that sends or receives; made by its caller, or by itself."""

    def __init__(self) -> None:
        self.stopping = False
        """Whether somebody wants the program to end."""
        self._bench: Bench | None = None
        self._rows: Callable[[], list[Transfer]] = list
        self._cancel: Callable[[int, str], bool] = lambda _number, _reason: False
        self._jobs: deque[Callable[[], object]] = deque()

    def attach(
        self,
        bench: Bench,
        rows: Callable[[], list[Transfer]],
        cancel: Callable[[int, str], bool],
    ) -> None:
        """The loop is about to turn."""
        self._bench, self._rows, self._cancel = bench, rows, cancel
        bench.ring()  # somebody may have asked for something already

    def transfers(self) -> list[Transfer]:
        """All that are not over."""
        return self._rows()

    def cancel(self, number: int, reason: str = "cancelled") -> bool:
        """End one transfer, so that it can be resumed; False if there is none of that number."""
        return self._cancel(number, reason)

    def cancel_session(self, peer: bytes, transfer_id: bytes) -> bool:
        """The same for the transfer that bears this id in its session with the peer."""
        for row in self.transfers():
            if row.peer == peer and row.transfer_id == transfer_id:
                return self.cancel(row.number)
        return False

    def watch(self, file: int, on_readable: Callable[[], None]) -> None:
        """Have `on_readable` called in the loop while there is something to read, which it does."""
        assert self._bench is not None
        self._bench.watch(file, on_readable)

    def unwatch(self, file: int) -> None:
        """No more of it; before it is closed."""
        assert self._bench is not None
        self._bench.unwatch(file)

    def stop(self) -> None:
        """From any thread: end the program in order; what is unfinished can be resumed."""
        self.stopping = True
        self._ring()

    def call(self, job: Callable[[], object]) -> None:
        """From any thread: have `job` done in the loop, in its next turn."""
        self._jobs.append(job)
        self._ring()

    def turn(self, _now: float) -> None:
        """Do what other threads have asked for."""
        while self._jobs:
            self._jobs.popleft()()

    def deadline(self) -> None:
        """Nothing is due by itself."""

    def _ring(self) -> None:
        if self._bench is not None:
            self._bench.ring()


class Control(Protocol):
    """Somebody who takes part in the loop: a control socket. It never raises and never blocks."""

    def begin(self, running: Running) -> None:
        """The loop is about to turn; files may be watched from now on."""

    def turn(self, now: float) -> None:
        """Called once in every turn."""

    def deadline(self) -> float | None:
        """When a turn is wanted even if nothing comes."""

    def end(self) -> None:
        """The loop has ended."""


class Part(Protocol):
    """What has work to do in every turn of a station's loop, beside sessions."""

    def turn(self, now: float) -> None: ...
    def deadline(self) -> float | None: ...
