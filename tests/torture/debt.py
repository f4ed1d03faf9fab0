"""I5: what had come before somebody was killed, and had to come again."""

from typing import NamedTuple

from tests.torture.invariants import check_sent_again
from tests.torture.plan import Kill
from tests.torture.program import RESEND_BOUND
from tests.torture.side import Event, Side


class Point(NamedTuple):
    """One death, and what it cost."""

    kill: Kill
    lost: int | None
    """Content that had come and had to come again; None if that was not seen."""


class Debt:
    """What is owed after a death, until the next session has told what was kept.

    `free` are bytes that count as come and cost nothing; `strict` is whether there is a bound.
    """

    def __init__(self, free: int, *, strict: bool) -> None:
        self._free = free
        self._strict = strict
        self._owed: tuple[Kill, int] | None = None

    def incur(self, kill: Kill, events: list[Event]) -> None:
        """Somebody has died; `events` are the receiver's since the last death."""
        came = max((e["bytes"] for e in events if e["event"] == "progress"), default=0)
        if self._owed is not None:  # again, before it was known what had been kept
            came = max(came, self._owed[1])
        self._owed = kill, came

    def settle(self, events: list[Event], sender: Side | None) -> Point | None:
        """What it has cost, if that is known by now; Broken if it is too much."""
        if self._owed is None:
            return None
        done = sender.find("done") if sender is not None else None
        kept = _kept(events)
        if kept is None and done is None:
            return None
        kill, came = self._owed
        self._owed = None
        if kept is None:  # nothing has come since: all was delivered before somebody died
            return Point(kill, 0)
        lost = max(0, came - kept - self._free)
        if done is not None:  # what was never to be sent counts as come, too
            lost = min(lost, int(done["bytes_sent"]))
        if self._strict:
            check_sent_again(lost, RESEND_BOUND)
        return Point(kill, lost)


def in_session(events: list[Event]) -> list[Event]:
    """Those since the peer has come anew: before that, some of the last session may still come."""
    names = [event["event"] for event in events]
    return events[names.index("connected") :] if "connected" in names else []


def _kept(events: list[Event]) -> int | None:
    """What need not be sent again, as the receiver has told; None: nothing yet."""
    kept = None
    for event in in_session(events):
        match event["event"]:
            case "resumed":
                kept = int(event["kept"])
            case "progress" if kept is None:
                kept = 0
            case "done":
                kept = max(kept or 0, int(event.get("saved", 0)))
    return kept
