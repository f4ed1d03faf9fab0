"""From the events of one program to a record of each transfer that has ended. Pure.

Transfers are told apart by their number (`event.transfer`); one that goes on in another session
keeps it, and is one record. What never came to an offer leaves none.
"""

from collections.abc import Callable
from typing import NamedTuple

from securecp.daemon.record import Direction, Record, Result, names_of
from securecp.errors import DeclinedError, FullError, InterruptedTransferError, PartialError
from securecp.events import (
    Connected,
    Done,
    Event,
    Failed,
    Offered,
    PathChanged,
    Paused,
    Progress,
)

_LONGEST_REASON = 500
_MOST_PAUSED = 1_024
"""Transfers that wait for room; the one that has waited longest gives way. More than `net.visits`
remembers: one that goes on after that is told as a new one."""
CANCELLED = ("cancelled", "stopped", "interrupted", "the peer has stopped")
"""Words with which a person ended it, on either side."""


class Ended(NamedTuple):
    """A transfer that is over."""

    record: Record
    offered: Offered
    event: Done | Failed


class Ongoing:
    """A transfer from its offer on."""

    def __init__(self, offered: Offered, path: str, folder: str, now: float) -> None:
        self.offered = offered
        self.path = path
        self.folder = folder
        """Where it went when it was offered: a contact's folder may change meanwhile."""
        self.since = now
        self.moved = 0


class Chronicle:
    """Told of every event; `drawn` gives ids, `wall` the time of day, `clock` durations."""

    def __init__(
        self,
        direction: Direction,
        *,
        name_of: Callable[[bytes], str],
        text_of: Callable[[bytes], str],
        folder_of: Callable[[bytes], str] = lambda _: "",
        drawn: Callable[[], str],
        wall: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._direction = direction
        self._name_of = name_of
        self._text_of = text_of
        self._folder_of = folder_of
        self._drawn = drawn
        self._wall = wall
        self._clock = clock
        self._ongoing: dict[int, Ongoing] = {}
        self._paths: dict[int, str] = {}
        """Of sessions that have offered nothing yet, too."""
        self._reasons: dict[int, str] = {}
        self._paused: dict[int, None] = {}
        """Those that wait for room: perhaps nobody ever comes back for them."""

    @property
    def ongoing(self) -> list[Ongoing]:
        """Transfers that were offered and are not over."""
        return list(self._ongoing.values())

    def note(self, event: Event) -> Ended | None:
        """What the event ended."""
        match event:
            case Connected() | PathChanged():
                self._paths[event.transfer] = event.path
                if (one := self._ongoing.get(event.transfer)) is not None:
                    one.path = event.path
            case Offered():
                self._begin(event)
            case Progress():
                if (one := self._ongoing.get(event.transfer)) is not None:
                    one.moved = max(one.moved, event.moved)
                self._paused.pop(event.transfer, None)
            case Paused() if event.transfer in self._ongoing:
                return self._pause(event.transfer)
            case Done():
                return self._end(event)
            case Failed():
                return self._end(event)
        return None

    def explain(self, number: int, reason: str) -> None:
        """Why we decline this transfer; its end will only say that we did."""
        if number:
            self._reasons[number] = reason

    def record(self, code: int, message: str) -> list[Ended]:
        """The program ends, and with it everything that goes on."""
        failed = (
            Failed(code, message, peer=one.offered.peer, transfer=number)
            for number, one in list(self._ongoing.items())
        )
        ended = [self._end(event) for event in failed]
        return [one for one in ended if one is not None]

    def _begin(self, event: Offered) -> None:
        event = event._replace(remarkable=(), reasons=())  # megabytes, and shown by now
        before = self._ongoing.get(event.transfer)
        if before is None:
            path = self._paths.get(event.transfer, "")
            folder = self._folder_of(event.peer)
            self._ongoing[event.transfer] = Ongoing(event, path, folder, self._clock())
        else:
            before.offered = event  # in another session: the transfer id is another

    def _pause(self, number: int) -> Ended | None:
        self._paused.pop(number, None)
        self._paused[number] = None
        if len(self._paused) <= _MOST_PAUSED:
            return None
        oldest = next(iter(self._paused))
        return self._end(Failed(FullError.exit_code, "the disk is full", transfer=oldest))

    def _end(self, event: Done | Failed) -> Ended | None:
        self._paused.pop(event.transfer, None)
        self._paths.pop(event.transfer, None)
        reason = self._reasons.pop(event.transfer, "")
        one = self._ongoing.pop(event.transfer, None)
        if one is None:
            return None
        offered = one.offered
        names, more = names_of(_names(event) or offered.names)
        record = Record(
            id=self._drawn(),
            time=self._wall(),
            direction=self._direction,
            key=self._text_of(offered.peer),
            name=self._name_of(offered.peer),
            result=_result(event),
            code=_code(event),
            transfer=offered.transfer_id.hex(),
            manifest=offered.manifest_digest.hex(),
            files=offered.files,
            bytes=one.moved,
            seconds=round(self._clock() - one.since, 3),
            path=one.path,
            names=names,
            more=more,
            folder=one.folder,
        )
        return Ended(_finished(record, event, reason), offered, event)


def _finished(record: Record, event: Done | Failed, reason: str) -> Record:
    """With what only the end says; `reason` is a better one than the event's."""
    if isinstance(event, Failed):
        return record._replace(reason=(reason or event.message)[:_LONGEST_REASON])
    return record._replace(
        content=event.digest.hex(),
        files=event.files,
        bytes=event.size,
        seconds=round(event.seconds, 3),
    )


def _names(event: Done | Failed) -> tuple[bytes, ...]:
    return event.names if isinstance(event, Done) else ()


def _code(event: Done | Failed) -> int:
    if isinstance(event, Failed):
        return event.code
    return PartialError.exit_code if event.failed else 0


def _result(event: Done | Failed) -> Result:
    if isinstance(event, Done):
        return "partial" if event.failed else "done"
    if event.code == DeclinedError.exit_code:
        return "declined"
    ended_by_someone = event.message.startswith(CANCELLED)
    interrupted = event.code == InterruptedTransferError.exit_code
    return "cancelled" if interrupted and ended_by_someone else "failed"
