"""One recipient over as many sessions as it takes, by hand and in virtual time (F-02, F-33)."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import pytest

from securecp.errors import (
    DeclinedError,
    FullError,
    InterruptedTransferError,
    NotReachedError,
    ProtocolError,
    SecurecpError,
    TrustError,
)
from securecp.events import (
    Back,
    Connected,
    Done,
    Event,
    Offered,
    Progress,
    Resumed,
    Silent,
    Waiting,
)
from securecp.net.delivery import CALL, FULL_PAUSE, GRACE, PAUSES, QUIET, Delivery, Recipient
from securecp.transfer import messages

PEER = b"p" * 32
HOUR = 3600.0
CUT = InterruptedTransferError("the peer has gone silent")


@dataclass(eq=False)
class Meeting:
    """As much of a session as a delivery looks at."""

    failure: SecurecpError | None = None
    cancelled: bool = False
    code: int | None = None
    lost: int = 0
    peer: bytes = PEER

    @property
    def connection(self) -> "Meeting":
        return self

    def lose(self) -> None:
        self.lost += 1

    def cancel(self, reason: str) -> None:
        self.failure = InterruptedTransferError(reason)
        self.cancelled = True


@dataclass
class Bench:
    """A delivery, and what it has wanted."""

    wait: float = HOUR
    once: bool = False
    calls: list[float] = field(default_factory=list)
    hung_up: int = 0
    left: int = 0
    answered: bool = False
    ways: int = 1
    told: list[Event] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.delivery = Delivery(
            1, Recipient(PEER), self, self.told.append, timeout=10.0, wait=self.wait, once=self.once
        )
        self.delivery.call(0.0)

    def call(self, now: float, _: Recipient, timeout: float) -> int:
        self.calls.append(now)
        return self.ways

    def stop_calling(self, _: Recipient) -> None:
        self.hung_up += 1

    def expects(self, _: Recipient) -> bool:
        return self.answered

    def hang_up(self, _: Recipient) -> None:
        self.hung_up += 1

    def leave(self, _: Recipient) -> None:
        self.left += 1

    def not_reached(self, _: Recipient) -> SecurecpError:
        return NotReachedError("nobody answered")

    def connect(self) -> Meeting:
        session = Meeting()
        self.tell(session, Connected(PEER, "direct", "here"))
        return session

    def tell(self, session: Meeting, *events: Event) -> None:
        for event in events:
            self.delivery.tell(self.now, cast(Any, session), event)

    def end(self, session: Meeting, error: SecurecpError | None) -> None:
        session.failure = error
        self.delivery.ended(self.now, cast(Any, session))

    def run(self, until: float) -> None:
        """Let time pass; calls last as long as they do, and nobody answers."""
        while (due := self.delivery.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            before = len(self.calls)
            self.delivery.turn(self.now)
            if len(self.calls) > before:
                self.now += CALL
                self.delivery.call_failed(self.now)
        self.now = max(self.now, until)

    @property
    def error(self) -> SecurecpError | None:
        assert self.delivery.outcome is not None
        return self.delivery.outcome.error

    def heard(self, kind: type) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def progress(moved: int) -> Progress:
    return Progress(moved, 100, 1.0)


def done() -> Done:
    return Done(100, 110, 1.0, 1, b"d" * 32)


def test_nobody_there_is_the_end_at_once(bench: Bench) -> None:
    bench.delivery.call_failed(10.0)
    assert isinstance(bench.error, NotReachedError)
    assert bench.delivery.deadline() is None
    assert bench.calls == [0.0]


def test_no_way_to_call_is_the_end_at_once() -> None:
    assert isinstance(Bench(ways=0).error, NotReachedError)


def test_done_is_the_end(bench: Bench) -> None:
    session = bench.connect()
    bench.tell(session, progress(100), done())
    assert not bench.heard(Done), "told with the outcome"
    bench.end(session, None)
    assert bench.delivery.outcome is not None
    told = bench.delivery.outcome.done
    assert told is not None and (told.transfer, told.peer) == (1, PEER)
    assert bench.left


@pytest.mark.parametrize(
    "error", [DeclinedError("no"), TrustError("who"), ProtocolError("what"), SecurecpError("gone")]
)
def test_what_cannot_go_on_is_not_tried_again(bench: Bench, error: SecurecpError) -> None:
    session = bench.connect()
    bench.tell(session, progress(50))
    bench.end(session, error)
    assert bench.error is error
    assert bench.calls == [0.0]


def test_f43_who_stops_the_transfer_there_is_not_called_again(bench: Bench) -> None:
    session = bench.connect()
    bench.tell(session, progress(50))
    session.cancelled = True
    bench.end(session, InterruptedTransferError("the peer has stopped"))
    assert isinstance(bench.error, InterruptedTransferError)


def test_without_patience_the_first_cut_is_the_end() -> None:
    bench = Bench(wait=0.0)
    session = bench.connect()
    bench.tell(session, Silent(PEER))
    assert bench.delivery.deadline() is None, "nor is a silent peer called"
    bench.end(session, CUT)
    assert bench.error is CUT


def test_f33_a_silent_peer_is_called_beside_the_session_until_it_is_heard(bench: Bench) -> None:
    session = bench.connect()
    bench.now = 100.0
    bench.tell(session, Silent(PEER))
    assert bench.delivery.deadline() == 100.0 + QUIET
    bench.delivery.turn(102.0)
    assert bench.calls == [0.0, 102.0]
    bench.tell(session, Back(PEER))
    assert bench.hung_up == 1, "only now"
    assert bench.delivery.deadline() is None
    assert bench.told[-1] == Back(PEER, transfer=1)


def test_f33_the_first_answer_gives_a_silent_session_time_to_be_heard(bench: Bench) -> None:
    assert bench.delivery.wants(0.0)
    session = bench.connect()
    bench.tell(session, progress(50), Silent(PEER))
    bench.delivery.turn(QUIET)
    assert not bench.delivery.wants(QUIET + 1)
    assert bench.hung_up == 1 and len(bench.calls) == 2
    assert bench.delivery.deadline() == QUIET + 1 + GRACE
    bench.delivery.turn(QUIET + 1 + GRACE)
    assert len(bench.calls) == 3
    assert bench.delivery.wants(QUIET + 2 + GRACE), "it was not heard"


def test_f33_a_session_that_is_heard_then_goes_on(bench: Bench) -> None:
    session = bench.connect()
    bench.tell(session, progress(50), Silent(PEER))
    bench.delivery.turn(QUIET)
    assert not bench.delivery.wants(QUIET + 1)
    bench.tell(session, Back(PEER))
    assert bench.delivery.deadline() is None and len(bench.calls) == 2
    bench.tell(session, Silent(PEER))
    bench.delivery.turn(QUIET)
    assert not bench.delivery.wants(QUIET + 1), "the same the next time"


@pytest.mark.parametrize("answered", [False, True])
def test_a_call_that_was_hung_up_is_not_waited_for(bench: Bench, answered: bool) -> None:
    session = bench.connect()
    bench.tell(session, progress(50), Silent(PEER))
    bench.delivery.turn(QUIET)
    bench.answered = answered
    bench.tell(session, Back(PEER))
    bench.end(session, CUT)
    before = len(bench.calls)
    bench.run(CALL + PAUSES[0])
    assert len(bench.calls) > before


def test_a_new_session_takes_the_place_of_a_silent_one(bench: Bench) -> None:
    old = bench.connect()
    bench.tell(old, progress(50), Silent(PEER))
    bench.delivery.turn(QUIET)
    new = bench.connect()
    assert old.lost == 1, "without a word: the peer ends its own"
    bench.tell(old, progress(51))
    bench.end(old, CUT)
    assert not bench.delivery.over
    bench.tell(new, Resumed(PEER, 50, 100), progress(100), done())
    bench.end(new, None)
    assert bench.delivery.outcome is not None and bench.delivery.outcome.done is not None
    assert [event.moved for event in bench.heard(Progress)] == [50, 100]


def test_f33_ten_minutes_without_a_link_and_then_it_goes_on(bench: Bench) -> None:
    session = bench.connect()
    bench.tell(session, progress(50))
    bench.tell(session, Silent(PEER))
    bench.now = 70.0
    bench.end(session, CUT)
    bench.run(600.0)
    assert not bench.delivery.over
    waits = [after - before - CALL for before, after in pairwise(bench.calls[1:])]
    assert all(0 <= wait <= PAUSES[-1] for wait in waits)
    waiting = bench.heard(Waiting)
    assert waiting and waiting[0].reason == CUT.message and 0 < waiting[-1].left < HOUR - 500
    again = bench.connect()
    bench.tell(again, Resumed(PEER, 50, 100), done())
    bench.end(again, None)
    assert bench.delivery.outcome is not None and bench.delivery.outcome.done is not None


def test_patience_ends_and_says_why_it_waited(bench: Bench) -> None:
    session = bench.connect()
    bench.tell(session, progress(50))
    bench.end(session, CUT)
    bench.run(2 * HOUR)
    assert bench.error is CUT
    assert HOUR <= bench.now


def test_patience_begins_anew_when_something_has_moved(bench: Bench) -> None:
    for _ in range(3):
        session = bench.connect()
        bench.tell(session, progress(50))
        bench.end(session, CUT)
        bench.run(bench.now + 0.9 * HOUR)
        assert not bench.delivery.over


def test_patience_does_not_when_sessions_come_to_nothing(bench: Bench) -> None:
    session = bench.connect()
    bench.tell(session, progress(50))
    bench.end(session, CUT)
    for _ in range(3):
        bench.run(bench.now + 0.4 * HOUR)
        if bench.delivery.over:
            break
        bench.end(bench.connect(), CUT)
        bench.delivery.turn(bench.now)
    assert bench.error is CUT


def test_a_full_disk_is_asked_again_every_ten_seconds(bench: Bench) -> None:
    session = bench.connect()
    bench.tell(session, progress(50))
    bench.end(session, FullError("full", needed=7))
    assert bench.heard(Waiting)
    due = bench.delivery.deadline()
    assert due is not None and FULL_PAUSE / 2 <= due <= FULL_PAUSE
    bench.delivery.turn(due)
    bench.now = due
    again = bench.connect()
    bench.end(again, FullError("full", needed=7))
    assert not bench.delivery.over
    due = bench.delivery.deadline()
    assert due is not None and due <= bench.now + FULL_PAUSE
    assert len(bench.heard(Connected)) == 1, "nobody need hear of each try"
    last = bench.connect()
    bench.tell(last, Resumed(PEER, 50, 100))
    bench.end(last, CUT)
    bench.connect()
    assert len(bench.heard(Connected)) == 2


def test_who_never_had_room_is_not_asked_again(bench: Bench) -> None:
    """There is no journal yet that says yes for them: the person would be asked each time."""
    bench.end(bench.connect(), FullError("full"))
    assert isinstance(bench.error, FullError)


def test_a_stream_that_has_begun_to_flow_cannot_go_on() -> None:
    bench = Bench(once=True)
    session = bench.connect()
    bench.end(session, CUT)
    assert not bench.delivery.over, "nothing had flowed yet"
    session = bench.connect()
    bench.tell(session, progress(1))
    bench.end(session, CUT)
    assert bench.error is CUT


def test_two_programs_that_send_the_same_do_not_take_turns(bench: Bench) -> None:
    session = bench.connect()
    bench.tell(session, progress(50))
    session.code = messages.CODE_SUPERSEDED
    bench.end(session, InterruptedTransferError("superseded"))
    assert isinstance(bench.error, InterruptedTransferError)


def test_being_superseded_by_our_own_call_is_no_end(bench: Bench) -> None:
    session = bench.connect()
    bench.tell(session, progress(50), Silent(PEER))
    bench.delivery.turn(QUIET)
    session.code = messages.CODE_SUPERSEDED
    bench.end(session, InterruptedTransferError("superseded"))
    assert not bench.delivery.over
    bench.tell(bench.connect(), Resumed(PEER, 50, 100))
    assert not bench.delivery.over


def test_f43_cancelled_here_ends_the_session_and_calls_nobody(bench: Bench) -> None:
    session = bench.connect()
    bench.tell(session, progress(50))
    bench.delivery.cancel("cancelled")
    assert session.cancelled
    assert isinstance(bench.error, InterruptedTransferError)
    bench.end(session, session.failure)
    assert bench.delivery.deadline() is None


def test_events_bear_number_peer_and_id_and_the_offer_is_told_once(bench: Bench) -> None:
    for _ in range(2):
        session = bench.connect()
        bench.tell(session, Offered(PEER, 1, 100, (b"name",), transfer_id=b"i" * 16), progress(9))
        bench.end(session, CUT)
    assert len(bench.heard(Offered)) == 1
    assert {getattr(event, "transfer", 0) for event in bench.told} == {1}
    assert bench.heard(Progress)[-1] == Progress(9, 100, 1.0, PEER, b"i" * 16, 1)
