"""From events to one record for each transfer, whatever happened in between."""

import itertools

import pytest

from securecp.daemon import chronicle as diary
from securecp.daemon.chronicle import Chronicle
from securecp.events import PathChanged, Paused, Progress, Waiting
from securecp.net import visits
from tests.daemon.samples import (
    ALICE,
    BOB,
    Time,
    connected,
    done,
    failed,
    name_of,
    offered,
    text_of,
)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def chronicle(time: Time) -> Chronicle:
    drawn = itertools.count(1)
    return Chronicle(
        "received",
        name_of=name_of,
        text_of=text_of,
        folder_of=lambda peer: f"/in/{name_of(peer)}",
        drawn=lambda: str(next(drawn)),
        wall=time,
        clock=time,
    )


def test_a_transfer_that_is_done_says_who_what_how_and_where(chronicle: Chronicle) -> None:
    assert chronicle.note(connected()) is None
    assert chronicle.note(offered()) is None
    ended = chronicle.note(done())
    assert ended is not None
    record = ended.record
    assert (record.name, record.key, record.direction) == ("alice", text_of(ALICE), "received")
    assert (record.result, record.code, record.files, record.bytes) == ("done", 0, 1, 100)
    assert (record.path, record.folder, record.names) == ("lan", "/in/alice", ("a.txt",))
    assert int(record.manifest, 16) == 1 and int(record.transfer, 16) == 1
    assert record.content == "05" * 32 and record.seconds == 1.5
    assert not chronicle.ongoing


@pytest.mark.parametrize(
    ("code", "why", "result"),
    [
        (1, "it cannot be stored", "failed"),
        (3, "declined", "declined"),
        (5, "the peer has gone silent", "failed"),
        (5, "the peer has stopped", "cancelled"),
        (5, "cancelled", "cancelled"),
        (6, "the peer refuses our key", "failed"),
    ],
)
def test_how_it_ended_is_one_word(chronicle: Chronicle, code: int, why: str, result: str) -> None:
    chronicle.note(offered())
    ended = chronicle.note(failed(code=code, why=why))
    assert ended is not None
    assert (ended.record.result, ended.record.code, ended.record.reason) == (result, code, why)


def test_some_files_left_out_is_partial(chronicle: Chronicle) -> None:
    chronicle.note(offered())
    ended = chronicle.note(done(failed=((b"x", "why"),)))
    assert ended is not None and (ended.record.result, ended.record.code) == ("partial", 7)


def test_what_broke_off_says_how_much_had_come(chronicle: Chronicle, time: Time) -> None:
    chronicle.note(offered(size=1_000))
    chronicle.note(Progress(400, 1_000, 1.0, ALICE, transfer=1))
    time.now += 8
    ended = chronicle.note(failed(code=5))
    assert ended is not None and (ended.record.bytes, ended.record.seconds) == (400, 8.0)


def test_one_that_goes_on_in_another_session_is_one_record(chronicle: Chronicle) -> None:
    chronicle.note(offered(transfer_id=b"a" * 16))
    chronicle.note(Waiting(ALICE, "away", 60.0, transfer=1))
    chronicle.note(PathChanged(ALICE, "relayed", "x", transfer=1))
    chronicle.note(offered(transfer_id=b"b" * 16))
    ended = chronicle.note(done())
    assert ended is not None
    assert (ended.record.transfer, ended.record.path) == (b"b".hex() * 16, "relayed")


def test_mb11_transfers_of_one_contact_at_once_are_told_apart(chronicle: Chronicle) -> None:
    for number in (1, 2, 3):
        chronicle.note(offered(number, size=number))
    chronicle.note(Progress(2, 2, 1.0, ALICE, transfer=2))
    ended = [chronicle.note(failed(2)), chronicle.note(done(3)), chronicle.note(failed(1))]
    assert [one.record.bytes for one in ended if one] == [2, 100, 0]
    assert len({one.record.id for one in ended if one}) == 3


def test_what_never_came_to_an_offer_leaves_nothing(chronicle: Chronicle) -> None:
    chronicle.note(connected())
    assert chronicle.note(failed()) is None
    assert chronicle.note(done(7, BOB)) is None
    assert not chronicle._paths and not chronicle.ongoing


def test_the_end_of_the_program_ends_what_goes_on(chronicle: Chronicle) -> None:
    chronicle.note(offered(1))
    chronicle.note(offered(2, BOB))
    ended = chronicle.record(5, "interrupted")
    assert [(one.record.name, one.record.result) for one in ended] == [
        ("alice", "cancelled"), ("bob", "cancelled"),
    ]  # fmt: skip
    assert chronicle.record(5, "interrupted") == []


def test_mb09_those_who_wait_for_room_for_ever_are_not_kept_for_ever(chronicle: Chronicle) -> None:
    """A contact can offer what has no room as often as they like."""
    most = diary._MOST_PAUSED
    assert most > visits._REMEMBERED, "what goes on unannounced must be known here"
    for number in range(1, most + 1):
        chronicle.note(offered(number, remarkable=(b"x" * 4_096,) * 1_000, reasons=((),) * 1_000))
        assert chronicle.note(Paused(ALICE, 5, number)) is None
    chronicle.note(Progress(1, 100, 1.0, ALICE, transfer=1))  # that one goes on
    chronicle.note(Paused(ALICE, 5, 1))
    chronicle.note(offered(most + 1))
    ended = chronicle.note(Paused(ALICE, 5, most + 1))
    assert ended is not None and ended.offered.transfer == 2
    assert (ended.record.result, ended.record.code) == ("failed", 5)
    assert len(chronicle.ongoing) == most
    assert not any(one.offered.remarkable or one.offered.reasons for one in chronicle.ongoing)
