"""The table of transfers, the stamp on events, and which session is which transfer."""

from typing import Any, cast

from securecp.errors import InterruptedTransferError
from securecp.events import (
    Back,
    Connected,
    Done,
    Event,
    Failed,
    Listening,
    Offered,
    PathChanged,
    Paused,
    Progress,
    Resumed,
    Silent,
    Verifying,
    Waiting,
)
from securecp.net import visits as module
from securecp.net.running import Running, Table, stamped
from securecp.net.visits import Visit, Visits

PEER = b"p" * 32
ID = b"i" * 16


def table(*events: Event) -> Table:
    made = Table(clock=lambda: 7.0)
    made.begin(1, PEER, sending=True)
    for event in events:
        made.note(event)
    return made


def offered(digest: bytes = b"d" * 32, **more: Any) -> Offered:
    return Offered(
        PEER, 2, 100, (b"a",), transfer_id=ID, manifest_digest=digest, transfer=1, **more
    )


def test_a_row_follows_what_is_told() -> None:
    steps: list[tuple[Event, str]] = [
        (Connected(PEER, "relayed", "there", transfer=1), "asking"),
        (offered(), "asking"),
        (Resumed(PEER, 40, 100, transfer=1), "running"),
        (Verifying(PEER, 10, 100, transfer=1), "running"),
        (Progress(50, 100, 9.0, transfer=1), "running"),
        (Silent(PEER, transfer=1), "silent"),
        (Back(PEER, transfer=1), "running"),
        (Waiting(PEER, "gone", 9.0, transfer=1), "waiting"),
        (PathChanged(PEER, "direct", "there", transfer=1), "waiting"),
        (Paused(PEER, 5, transfer=1), "paused"),
    ]
    made = table()
    assert made.rows()[0].state == "calling"
    for event, state in steps:
        made.note(event)
        assert [row.state for row in made.rows()] == [state]
    (row,) = made.rows()
    assert (row.moved, row.size, row.files, row.names, row.path) == (50, 100, 2, (b"a",), "direct")
    assert (row.since, row.sending, row.transfer_id, row.rate) == (7.0, True, ID, 0.0)


def test_what_is_over_is_no_row_and_others_do_not_mind() -> None:
    made = table()
    made.begin(2, PEER, sending=False)
    made.note(Listening("here"))
    made.note(Progress(1, 2, 3.0, transfer=9))
    made.note(Done(1, 1, 1.0, 1, b"", transfer=1))
    assert [row.number for row in made.rows()] == [2]
    made.begin(2, PEER, sending=False)
    made.note(Failed(1, "no", transfer=2))
    assert made.rows() == []


def test_a_stamp_fills_what_is_empty_and_nothing_else() -> None:
    assert stamped(Progress(1, 2, 3.0), 4, PEER, ID) == Progress(1, 2, 3.0, PEER, ID, 4)
    other = b"o" * 32
    assert stamped(Silent(other), 4, PEER) == Silent(other, 4)
    assert stamped(Listening("here"), 4, PEER) == Listening("here")


def test_a_handle_that_nothing_runs_under_does_nothing() -> None:
    running = Running()
    assert running.transfers() == [] and not running.cancel(1)
    assert not running.cancel_session(PEER, ID)
    done: list[int] = []
    running.call(lambda: done.append(1))
    running.turn(0.0)
    assert done == [1]
    running.stop()
    assert running.stopping


class Meeting:
    """As much of a session as visits look at."""

    def __init__(self) -> None:
        self.peer = PEER
        self.over = False
        self.superseded = 0
        self.failure = InterruptedTransferError("cut")

    def supersede(self) -> None:
        self.superseded += 1


def arrive(visits: Visits, offer: Offered | None = None) -> tuple[Meeting, Visit]:
    session = Meeting()
    visit = visits.begin(cast(Any, session))
    if offer is not None:
        visits.offered(visit, offer._replace(transfer=0))
    return session, visit


def told(visits: Visits, session: Meeting, *events: Event) -> list[Event]:
    return [heard for event in events for heard in visits.told(cast(Any, session), event)]


def test_a_connection_is_told_with_its_offer() -> None:
    visits = Visits()
    session, visit = arrive(visits)
    assert told(visits, session, Connected(PEER, "direct", "there")) == []
    offer = offered()
    visits.offered(visit, offer._replace(transfer=0))
    heard = told(visits, session, offer._replace(transfer=0))
    assert heard == [Connected(PEER, "direct", "there", 1), offer]


def test_the_same_transfer_keeps_its_number_and_another_has_its_own() -> None:
    visits = Visits()
    first, visit = arrive(visits, offered())
    second, _ = arrive(visits, offered(b"e" * 32))
    visits.remember(visit)
    visits.end(cast(Any, first))
    again, anew = arrive(visits, offered())
    assert (visit.number, anew.number) == (1, 1)
    assert not second.superseded
    newest, latest = arrive(visits, offered())
    assert again.superseded == 1 and latest.number == 1
    assert told(visits, again, Progress(1, 2, 3.0)) == []
    assert told(visits, newest, Progress(1, 2, 3.0)) == [Progress(1, 2, 3.0, PEER, ID, 1)]


def test_a_pause_is_told_once_until_something_moves() -> None:
    visits = Visits()
    paused, progress = Paused(PEER, 5), Progress(1, 2, 3.0)
    for heard in (1, 0, 0):
        session, visit = arrive(visits, offered())
        assert len(told(visits, session, offered(), paused)) == 2 * heard
        told(visits, session, progress)
        visits.remember(visit)
        visits.end(cast(Any, session))
    session, _ = arrive(visits, offered())
    assert len(told(visits, session, offered(), progress, paused)) == 2


def test_cl12_what_is_remembered_has_an_end(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    visits = Visits()
    for number in range(50):
        session, visit = arrive(visits, offered(number.to_bytes(32, "big")))
        told(visits, session, Paused(PEER, 5))
        visits.remember(visit)
        visits.end(cast(Any, session))
    assert len(visits._numbers) == len(visits._paused) == 10
    assert len(visits) == 0
