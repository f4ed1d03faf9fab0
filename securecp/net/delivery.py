"""What becomes of one recipient, over as many sessions as it takes; no I/O (SPEC §8.11).

    calling ── connected ──> meeting ── done, declined, … ──────────────> over
       │                      │   ^
       │ nobody      silent,  │   │ connected: the new session takes the place of the old one
       v             cut off  v   │
      over                   away: calls, pauses, calls … until `wait` seconds are over ──> over

A peer that is silent is called beside its session: perhaps it has a new address, or its program
has been killed and started again. The first answer only shows that somebody is there: if that is
the program as it was, the session is heard as well, and goes on. If not, the peer is called once
more, and the new session goes on from what the peer has kept.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from securecp.endpoint import Endpoint
from securecp.errors import FullError, InterruptedTransferError, SecurecpError
from securecp.events import (
    Back,
    Connected,
    Done,
    Event,
    Failed,
    Offered,
    Paused,
    Progress,
    Resumed,
    Silent,
    Waiting,
)
from securecp.net.running import stamped

if TYPE_CHECKING:
    from securecp.session import Session

QUIET = 2.0
"""Seconds of silence after which the peer is called beside the session."""
GRACE = 2.5
"""Seconds for a session to be heard when the peer has answered a call: longer than the longest
time between two of its probes (SPEC §7.2)."""
CALL = 15.0
"""Seconds that one call lasts while we wait."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 10.0)
"""Seconds between two calls at most, the last value repeats; a part of it is left to chance."""
FULL_PAUSE = 10.0
"""Seconds at most until a peer who had no room is asked again."""


class Recipient(NamedTuple):
    """Who gets the files, and where they are called, all of the endpoints at once."""

    peer: bytes
    endpoints: tuple[Endpoint, ...] = ()


class Outcome(NamedTuple):
    """What became of a recipient: `done`, or the error."""

    peer: bytes
    number: int
    done: Done | None = None
    error: SecurecpError | None = None


class Line(Protocol):
    """How a delivery has somebody called."""

    def call(self, now: float, recipient: Recipient, timeout: float) -> int:
        """Call in every way there is; how many calls may fail."""

    def stop_calling(self, recipient: Recipient) -> None:
        """No call is wanted any more; one that is answered goes on to its session."""

    def hang_up(self, recipient: Recipient) -> None:
        """End calls as if they had not been made, even if one has just been answered."""

    def expects(self, recipient: Recipient) -> bool:
        """Whether a call is answered, and a session about to begin."""

    def leave(self, recipient: Recipient) -> None:
        """Nothing is wanted of them any more, not even a session that has yet to begin."""

    def not_reached(self, recipient: Recipient) -> SecurecpError:
        """Nobody has answered at all: in words."""


def is_resumable(error: SecurecpError | None) -> bool:
    """Whether the transfer can go on from where it was."""
    return isinstance(error, InterruptedTransferError | FullError)


class Delivery:
    """One recipient; `turn` when its deadline has come, `tell` and `ended` for its sessions."""

    def __init__(
        self,
        number: int,
        recipient: Recipient,
        line: Line,
        emit: Callable[[Event], None],
        *,
        timeout: float,
        wait: float = 0.0,
        once: bool = False,
        chance: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`once`: what has begun to flow cannot be sent again. `chance` gives 0 to 1."""
        self.number = number
        self.recipient = recipient
        self.transfer_id = b""
        self.outcome: Outcome | None = None
        self._line = line
        self._emit = emit
        self._timeout = timeout
        self._wait = wait
        self._once = once
        self._chance = chance
        self._session: Session | None = None
        """The one that counts."""
        self._done: Done | None = None
        self._met = self._offered = False
        self._flowed = self._accepted = False
        self._calls = 0
        """Calls that may yet be answered."""
        self._knocked = False
        """Whether a call was answered while the session is silent."""
        self._call_at: float | None = None
        self._pauses = 0
        self._error: SecurecpError = InterruptedTransferError("interrupted")
        """Why we wait."""
        self._away_since: float | None = None
        """Since when no session has come to anything."""

    @property
    def over(self) -> bool:
        """Whether there is an outcome."""
        return self.outcome is not None

    def call(self, now: float) -> None:
        """Call for the first time, or anew."""
        self._calls = self._line.call(now, self.recipient, self._timeout)
        if not self._calls:  # there is no way to call at all
            self._finish(error=self._line.not_reached(self.recipient))

    def deadline(self) -> float | None:
        """When `turn` is due."""
        if self.over:
            return None
        times = [self._call_at, self._gives_up_at()]
        return min((time for time in times if time is not None), default=None)

    def turn(self, now: float) -> None:
        """Call if it is time, and give up if it is."""
        if self.over:
            return
        gives_up_at = self._gives_up_at()
        if gives_up_at is not None and now >= gives_up_at:
            self._finish(error=self._error)
        elif self._call_at is not None and now >= self._call_at:
            self._call_at = None
            self._calls = self._line.call(now, self.recipient, CALL)

    def wants(self, now: float) -> bool:
        """Whether a session is to begin, now that the peer has answered a call."""
        if self.over:
            return False
        if self._session is None or self._knocked:
            return True
        self._line.hang_up(self.recipient)
        self._calls = 0
        if self._away_since is not None:
            self._knocked = True
            self._call_at = now + GRACE
        return False

    def call_failed(self, now: float) -> None:
        """One call was not answered."""
        self._calls -= 1
        if self._calls > 0 or self.over:
            return
        if not self._met:
            self._finish(error=self._line.not_reached(self.recipient))
        elif self._away_since is not None:
            self._pause(now)

    def tell(self, now: float, session: "Session", event: Event) -> None:
        """A session of ours reports something."""
        if self.over:
            return
        if isinstance(event, Connected):
            self._connected(session)
        elif session is not self._session:
            return
        if self._note(now, event):
            self._emit(self._stamped(event))

    def ended(self, now: float, session: "Session") -> None:
        """A session of ours is over."""
        if self.over or session is not self._session:
            return
        self._session = None
        error = session.failure
        if error is None:
            self._finish(done=self._done)
        elif self._may_wait(error) and not self._unwanted(session):
            self._part(now, error)
        else:
            self._finish(error=error)

    def cancel(self, reason: str) -> None:
        """We do not want it any more."""
        if self.over:
            return
        session, self._session = self._session, None
        if session is not None:
            session.cancel(reason)
        self._finish(error=InterruptedTransferError(reason))

    # inside

    def _connected(self, session: "Session") -> None:
        old, self._session = self._session, session
        if old is not None and old is not session:
            old.connection.lose()  # nobody hears it there: the peer ends its own when ours comes
        self._met = True
        self._knocked = False
        self._calls, self._call_at = 0, None

    def _note(self, now: float, event: Event) -> bool:
        """What an event means for us; False if nobody need hear it."""
        match event:
            case Connected():  # a full disk is asked every few seconds: not each time
                return self._away_since is None or not isinstance(self._error, FullError)
            case Offered():
                self.transfer_id = event.transfer_id
                again, self._offered = self._offered, True
                return not again
            case Progress() | Resumed():
                self._accepted = True
                self._flowed = self._flowed or isinstance(event, Progress)
                self._away_since, self._pauses = None, 0
            case Silent():
                self._error = InterruptedTransferError("the peer has gone silent")
                self._begin_waiting(now)
                self._call_at = now + QUIET if self._may_wait(self._error) else None
            case Back():
                self._away_since = self._call_at = None
                self._knocked = False
                self._line.stop_calling(self.recipient)
                self._calls = int(self._line.expects(self.recipient))
            case Paused():
                return self._accepted  # else we do not wait for room, and the outcome says so
            case Done():
                self._done = event
                return False  # told with the outcome
        return True

    def _may_wait(self, error: SecurecpError) -> bool:
        if isinstance(error, FullError) and not self._accepted:
            return False  # they would be asked again and again
        return self._wait > 0 and is_resumable(error) and not (self._once and self._flowed)

    def _unwanted(self, session: "Session") -> bool:
        """Whether it was ended there on purpose.

        Another session took its place? It may be the one that we call for, and else that of
        another program of ours: the two would take it from each other for ever.
        """
        from securecp.transfer.messages import CODE_FULL, CODE_SUPERSEDED  # HELLOs do not wait

        if session.code == CODE_SUPERSEDED:
            return self._calls <= 0
        return session.cancelled or session.code not in {None, CODE_FULL}

    def _part(self, now: float, error: SecurecpError) -> None:
        """The session is over, and we wait for another."""
        self._error = error
        self._begin_waiting(now)
        if isinstance(error, FullError):
            self._call_at = now + FULL_PAUSE * (1 + self._chance()) / 2
            self._tell_waiting(now)
        elif self._calls > 0:  # it is being called already
            self._call_at = now + CALL
            if not self._line.expects(self.recipient):
                self._tell_waiting(now)
        else:
            self._pause(now)

    def _pause(self, now: float) -> None:
        pause = PAUSES[min(self._pauses, len(PAUSES) - 1)]
        self._pauses += 1
        self._call_at = now + pause * (1 + self._chance()) / 2
        self._tell_waiting(now)

    def _begin_waiting(self, now: float) -> None:
        if self._away_since is None:
            self._away_since = now

    def _gives_up_at(self) -> float | None:
        """Not while there is a session: that ends by itself."""
        if self._away_since is None or self._session is not None:
            return None
        return self._away_since + self._wait

    def _tell_waiting(self, now: float) -> None:
        gives_up_at = self._gives_up_at()
        if gives_up_at is not None:
            left = max(0.0, gives_up_at - now)
            self._emit(self._stamped(Waiting(self.recipient.peer, self._error.message, left)))

    def _finish(self, done: Done | None = None, error: SecurecpError | None = None) -> None:
        self._away_since = self._call_at = None
        self._line.leave(self.recipient)
        if done is not None:
            done = done._replace(transfer=self.number, peer=self.recipient.peer)
        self.outcome = Outcome(self.recipient.peer, self.number, done, error)

    def _stamped(self, event: Event) -> Event:
        return stamped(event, self.number, self.recipient.peer, self.transfer_id)


def failed(outcome: Outcome, transfer_id: bytes = b"") -> Failed:
    """An outcome without success, as an event."""
    error = outcome.error
    assert error is not None
    return Failed(
        error.exit_code,
        error.message,
        error.hint,
        outcome.peer,
        resumable=is_resumable(error),
        transfer_id=transfer_id,
        transfer=outcome.number,
    )
