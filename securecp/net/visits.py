"""Which transfer each session of a receiving program is about; no I/O.

connected ─► held until the offer says which transfer it is ─► number
the same offer of the same peer ─► the older session ends, the number stays
no room ─► the peer asks again and again; nobody hears of it until something moves
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from securecp.events import Connected, Event, Offered, Paused, Progress, Resumed
from securecp.net.running import stamped

if TYPE_CHECKING:
    from securecp.receiving import ReceiveSession
    from securecp.session import Session

_REMEMBERED = 1_000
"""Transfers whose number is kept for when they go on."""

Key = tuple[bytes, bytes]
"""Peer and manifest digest: what makes a transfer the same."""


@dataclass(eq=False)
class Visit:
    """A session, and what its offer has told us."""

    session: "ReceiveSession"
    number: int = 0
    offer: Offered | None = None
    quiet: bool = False
    """It was paused before, and as long as it stays so nobody need hear of it again."""
    held: list[Event] = field(default_factory=list)
    superseded: bool = False
    fits: bool = True
    """Whether there is a place for such an offer at all."""
    paused: bool = False

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.session.peer, b"" if self.offer is None else self.offer.manifest_digest

    def stamped(self, event: Event) -> Event:
        """The event with everything by which it is told from those of others."""
        transfer_id = b"" if self.offer is None else self.offer.transfer_id
        return stamped(event, self.number, self.session.peer, transfer_id)


class Visits:
    """All sessions that are not over, and the transfers that may go on."""

    def __init__(self) -> None:
        self._visits: dict[Session, Visit] = {}
        self._numbers: dict[Key, int] = {}
        """Of transfers that can go on."""
        self._paused: dict[Key, None] = {}
        self._last = 0

    def __iter__(self) -> Iterator[Visit]:
        return iter(list(self._visits.values()))

    def __len__(self) -> int:
        return len(self._visits)

    def begin(self, session: "ReceiveSession") -> Visit:
        """Somebody is here."""
        visit = self._visits[session] = Visit(session)
        return visit

    def end(self, session: "Session") -> Visit:
        """They have gone."""
        return self._visits.pop(session)

    def offered(self, visit: Visit, offered: Offered) -> Offered:
        """Which transfer it is; an older session of the same transfer ends here."""
        visit.offer = offered
        for other in self:
            if other is not visit and other.key == visit.key and not other.session.over:
                other.superseded = True
                visit.number = other.number
                other.session.supersede()
        visit.number = self._numbers.pop(visit.key, 0) or visit.number or self._next()
        visit.quiet = visit.key in self._paused
        visit.offer = offered._replace(transfer=visit.number)
        return visit.offer

    def told(self, session: "Session", event: Event) -> Iterator[Event]:
        """What of it people should hear, now."""
        visit = self._visits[session]
        if visit.superseded:
            return
        if isinstance(event, Connected) and visit.offer is None:
            visit.held.append(event)  # until we know what for
            return
        if isinstance(event, Progress | Resumed) and not visit.paused:
            self._paused.pop(visit.key, None)
            visit.quiet = False
        told = visit.offer if isinstance(event, Offered) and visit.offer else event
        yield from self.released(visit, told)
        if isinstance(event, Paused):
            visit.paused = True
            _keep(self._paused, visit.key, None)

    def released(self, visit: Visit, *events: Event) -> Iterator[Event]:
        """What was held back, then these."""
        events, visit.held = (*visit.held, *events), []
        if not visit.quiet:
            yield from (visit.stamped(event) for event in events)

    def remember(self, visit: Visit) -> None:
        """It can go on: under the same number, then."""
        if visit.offer is not None:
            _keep(self._numbers, visit.key, visit.number)

    def forget(self, visit: Visit) -> None:
        """It does not, for now: whatever comes next is news."""
        visit.quiet = False
        self._paused.pop(visit.key, None)

    def _next(self) -> int:
        self._last += 1
        return self._last


def _keep(kept: "dict[Key, int] | dict[Key, None]", key: Key, value: int | None) -> None:
    """Remember the latest, and only so many."""
    book = cast("dict[Key, int | None]", kept)
    book[key] = value
    while len(book) > _REMEMBERED:
        book.pop(next(iter(book)))
