"""Sessions that end early, resume, wait for a disk, or give way to a newer one."""

from typing import Any

import pytest

from securecp import keeping
from securecp.errors import (
    DeclinedError,
    FullError,
    InterruptedTransferError,
    StorageError,
)
from securecp.events import Done, Offered, Paused, Progress, Resumed, Verifying
from securecp.sending import SendSession
from securecp.session import Decision
from securecp.transfer import messages
from securecp.transfer.consenting import Limits
from securecp.transfer.manifest import Manifest
from securecp.transport.connection import CLOSE_CANCELLED, Connection
from tests.transfer.meeting import Files, Meeting, Reading, Shop
from tests.transfer.pair import file, some_bytes

MIB = 1 << 20
SIZE = 5 * MIB + 5
MANIFEST = Manifest([file("a", SIZE), file("b", 3)])
CONTENT = some_bytes("sessions", MANIFEST.size)


def meeting(*held: range, window: int = 1 << 20, **receiving: Any) -> Meeting:
    source = Reading(MANIFEST, CONTENT)

    def offer(connection: Connection, shop: Shop, ours: bytes) -> SendSession:
        return SendSession(
            connection,
            shop,
            1.0,
            manifest=MANIFEST,
            source=source,
            ours=ours,
            entropy=bytes,
        )

    met = Meeting(offer, Files(MANIFEST, CONTENT, held), window=window, **receiving)
    met.source = source  # type: ignore[attr-defined]
    return met


def files(met: Meeting) -> Files:
    assert met.store is not None
    return met.store


def test_all_that_is_here_is_told_to_both() -> None:
    met = meeting(range(3)).run()
    assert met.sender.failure is met.receiver.failure is None
    assert files(met).data == CONTENT
    for session in (met.sender, met.receiver):
        assert met.told(session, Resumed) == [
            Resumed(session.peer, 3 * MIB, MANIFEST.size),
        ]
        (done,) = met.told(session, Done)
        assert (done.saved, done.files, done.size) == (3 * MIB, 2, MANIFEST.size)
        assert done.names == (b"a", b"b") and done.manifest_digest == MANIFEST.digest
        assert done.peer == session.peer and len(done.transfer_id) == 16
        last = met.told(session, Progress)[-1]
        assert last.moved == last.size == MANIFEST.size
    assert met.left.bytes_sent < 3 * MIB
    assert sorted(files(met).calls("good")) == list(range(7))
    assert files(met).calls("finished") == [None] and not files(met).calls("suspend")
    assert sorted(met.source.digests) == list(range(7))  # type: ignore[attr-defined]


def test_the_rate_is_of_what_flows() -> None:
    met = meeting(range(6)).run()
    for session in (met.sender, met.receiver):
        assert all(event.rate <= 3 / 1e-6 for event in met.told(session, Progress))


def test_reading_again_what_is_here_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("intake", "sending"):
        monkeypatch.setattr(f"securecp.{module}.PROGRESS_EVERY", 0.0)
    met = meeting(range(3)).run()
    for session in (met.sender, met.receiver):
        assert met.told(session, Verifying)[-1] == Verifying(session.peer, 3 * MIB, 3 * MIB)


def test_what_was_approved_before_is_not_asked_again() -> None:
    met = meeting(policy=lambda _: Decision.ASK, approved=lambda _: True).run()
    assert not met.asked
    assert met.told(met.receiver, Offered)[0].approved and met.receiver.consented
    met = meeting(policy=lambda _: Decision.ASK).run()
    assert len(met.asked) == 1 and not met.asked[0].approved


def test_mf02_policy_declines_also_what_was_approved_before() -> None:
    met = meeting(policy=lambda _: Decision.DECLINE, approved=lambda _: True).run()
    assert isinstance(met.sender.failure, DeclinedError)
    assert met.sender.code == messages.CODE_DECLINED
    assert not met.receiver.consented and not met.sender.accepted  # type: ignore[attr-defined]


@pytest.mark.parametrize("who", ["sender", "receiver"])
def test_f43_whoever_cancels_the_other_hears_and_all_is_kept(who: str) -> None:
    met = meeting()
    met.wait(5.0, lambda: files(met).unsaved > MIB)
    session = met.sender if who == "sender" else met.receiver
    session.cancel("the person left")
    met.turn()
    other = met.receiver if who == "sender" else met.sender
    assert isinstance(session.failure, InterruptedTransferError)
    assert isinstance(other.failure, InterruptedTransferError)
    assert other.cancelled and not session.cancelled
    assert files(met).calls("suspend") == [None] and not files(met).calls("finished")


def test_f43_cancelled_while_the_destination_is_made_ready() -> None:
    met = meeting()
    met.shops[1].idle = True
    met.turn()
    met.receiver.cancel("the person left")
    met.shops[1].idle = False
    met.turn()
    assert files(met).calls("suspend") == [None]
    assert isinstance(met.sender.failure, InterruptedTransferError)


def test_a_newer_session_finds_nothing_in_use_while_the_older_is_being_opened() -> None:
    """The workshop does one job after another: what follows `prepare` must be there in time."""
    met = meeting()
    met.shops[1].idle = True
    met.turn()
    met.receiver.supersede()
    assert [job.__name__ for job, _ in met.shops[1].jobs] == ["prepare", "suspend"]
    met.shops[1].idle = False
    met.run()
    assert files(met).calls("suspend") == [None]
    assert met.sender.code == messages.CODE_SUPERSEDED


@pytest.mark.parametrize("answer", [True, False])
def test_an_answer_that_comes_after_a_newer_session_is_of_no_use(answer: bool) -> None:
    """Nor is it a bug: the older session has its reason, and keeps it."""
    met = meeting(policy=lambda _: Decision.ASK, ask=lambda _: answer)
    met.shops[1].idle = True
    met.turn()
    met.receiver.supersede()
    met.shops[1].idle = False
    met.run()
    assert met.sender.code == messages.CODE_SUPERSEDED
    assert isinstance(met.receiver.failure, InterruptedTransferError)
    assert not met.receiver.consented


def test_an_offer_over_our_limits_is_left_when_they_do_not_go() -> None:
    met = meeting()
    met.receiver.party._limits = Limits(size=1)
    met.wait(
        5.0, lambda: bool(met.told(met.receiver, Offered)) or met.receiver._refusal is not None
    )
    met.cut = True
    met.wait(11.0, lambda: met.receiver.over)
    assert isinstance(met.receiver.failure, DeclinedError)
    assert not met.told(met.receiver, Offered)


def test_no_progress_is_told_of_what_has_stopped() -> None:
    met = meeting()
    met.wait(5.0, lambda: bool(met.told(met.receiver, Progress)))
    files(met).wrong = FullError("the disk is full", needed=1)
    met.run()
    events = met.events[met.receiver]
    paused = next(place for place, event in enumerate(events) if isinstance(event, Paused))
    assert not [event for event in events[paused:] if isinstance(event, Progress)]


def test_f12_a_full_disk_pauses_and_tells_what_it_needs() -> None:
    met = meeting()
    files(met).wrong = FullError("the disk is full", needed=12_345)
    met.run()
    for session in (met.sender, met.receiver):
        assert isinstance(session.failure, FullError) and session.failure.needed == 12_345
        assert met.told(session, Paused) == [Paused(session.peer, 12_345)]
    assert met.sender.code == messages.CODE_FULL
    assert met.sender.accepted  # type: ignore[attr-defined]
    assert files(met).calls("suspend") == [None]


def test_f12_no_room_at_the_beginning_pauses_too() -> None:
    met = meeting()
    files(met).refusal = FullError("the disk is full", needed=77)
    met.run()
    assert met.sender.code == messages.CODE_FULL
    assert isinstance(met.sender.failure, FullError) and met.sender.failure.needed == 77
    assert met.told(met.receiver, Paused) == [Paused(met.receiver.peer, 77)]
    assert not met.sender.accepted  # type: ignore[attr-defined]


def test_a_destination_that_cannot_be_is_declined() -> None:
    met = meeting()
    files(met).refusal = StorageError("read-only")
    met.run()
    assert met.sender.code == messages.CODE_NO_ROOM
    assert isinstance(met.receiver.failure, StorageError)


def test_a_peer_that_does_not_hear_us_out_is_left() -> None:
    met = meeting()
    met.wait(5.0, lambda: files(met).unsaved > 0)
    files(met).wrong = FullError("the disk is full", needed=1)
    met.wait(5.0, lambda: bool(files(met).calls("suspend")) or met.receiver._intake is None)
    met.cut = True
    met.wait(11.0, lambda: met.receiver.over)
    assert isinstance(met.receiver.failure, FullError)


def test_f13_a_file_that_breaks_is_left_out() -> None:
    met = meeting()
    files(met).bad = [(0, "a bad sector")]
    met.run()
    assert met.told(met.receiver, Done)[0].failed == ((b"a", "a bad sector"),)
    (done,) = met.told(met.sender, Done)
    assert (done.files, done.skipped) == (1, 0)
    assert [name for name, _ in done.failed] == [b"a"]
    assert files(met).calls("failed") == [0] and files(met).calls("ready") == [1]


def test_i5_no_more_is_let_in_than_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "UNSAVED_LIMIT", MIB)
    window = 256 << 10
    met = meeting(window=window)
    met.wait(60.0, lambda: met.receiver._publishing)
    assert MIB <= files(met).unsaved <= MIB + window
    assert not met.sender.over
    files(met).is_due = True
    met.wait(5.0, lambda: bool(files(met).calls("checkpoint")))
    met.wait(60.0, lambda: met.receiver._publishing)
    assert files(met).calls("checkpoint")[0] >= MIB
    assert MIB <= files(met).unsaved <= MIB + window
    while not met.sender.over:
        files(met).is_due = True
        met.wait(1.0, lambda: met.sender.over)
    assert met.sender.failure is None


def test_i5_the_limit_of_the_rate_holds_beside_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "UNSAVED_LIMIT", MIB)
    met = meeting(window=512 << 10, limit=2 * MIB)
    met.wait(0.3)
    assert files(met).unsaved < MIB
    met.wait(60.0, lambda: met.receiver._publishing)
    assert files(met).unsaved <= MIB + (512 << 10)
    files(met).is_due = True
    met.wait(0.2)
    assert files(met).unsaved < MIB


def test_one_checkpoint_at_a_time() -> None:
    met = meeting()
    met.wait(5.0, lambda: files(met).unsaved > 0)
    met.shops[1].idle = True
    files(met).is_due = True
    for _ in range(5):
        met.receiver.advance(met.now)
    jobs = [job for job, _ in met.shops[1].jobs if getattr(job, "__name__", "") == "checkpoint"]
    assert len(jobs) == 1


def test_f14_a_failed_flush_ends_the_session_and_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    met = meeting()
    tries = []

    def fail() -> None:
        tries.append(1)
        raise StorageError("the disk failed")

    monkeypatch.setattr(files(met), "checkpoint", fail)
    files(met).is_due = True
    met.run()
    assert len(tries) == 1 and isinstance(met.receiver.failure, StorageError)
    assert met.receiver.failure.message == "the disk failed"
    assert files(met).calls("suspend") == [None]


def test_a_newer_session_takes_over() -> None:
    met = meeting()
    met.wait(5.0, lambda: files(met).unsaved > 0)
    assert met.receiver.manifest_digest == MANIFEST.digest
    assert len(met.receiver.transfer_id) == 16
    met.receiver.supersede()
    assert met.shops[1].jobs[-1][0].__name__ == "suspend"
    met.run()
    assert met.sender.code == messages.CODE_SUPERSEDED
    assert isinstance(met.sender.failure, InterruptedTransferError)
    met.receiver.supersede()
    assert files(met).calls("suspend") == [None]


@pytest.mark.parametrize("how", ["close", "silence", "abort", "break the protocol"])
def test_whoever_goes_while_all_is_published_does_not_hide_that_it_has_arrived(how: str) -> None:
    """What is said of it, and runs for it, must not be the sender's choice."""
    met = meeting()
    met.shops[1].stops_at = "publish"
    met.wait(60.0, lambda: met.receiver._publishing)
    match how:
        case "close":
            met.left.close(CLOSE_CANCELLED, "the person left")
        case "silence":
            met.right.lose()
        case "abort":
            met.sender.party.abort(messages.CODE_INTERRUPTED, "the person left")
        case _:
            met.left.write(b"\0\0\0\1\xff")
    met.turn()
    assert not met.receiver.over
    assert met.receiver.waits == (how != "abort")
    met.shops[1].stops_at = ""
    met.wait(4.0, lambda: met.receiver.over)
    (done,) = met.told(met.receiver, Done)
    assert done.files == 2 and met.receiver.failure is None
    heard = how == "abort"
    assert bool(files(met).calls("finished")) == heard, "who has not heard of it may ask again"


def test_what_they_break_after_the_receipt_does_not_make_it_fail() -> None:
    met = meeting()
    met.wait(60.0, lambda: met.shops[1].log[-1:] == ["publish"])
    met.receiver.party.control(b"")
    met.left.write(b"\0\0\0\1\xff")
    met.wait(5.0, lambda: met.receiver.over)
    assert met.told(met.receiver, Done) and met.receiver.failure is None


def test_a_newer_session_ends_who_only_waits_for_the_publishing() -> None:
    met = meeting()
    met.shops[1].stops_at = "publish"
    met.wait(60.0, lambda: met.receiver._publishing)
    met.right.lose()
    met.turn()
    met.receiver.supersede()
    assert met.receiver.over and [job.__name__ for job, _ in met.shops[1].jobs][1:] == ["suspend"]


def test_nothing_is_known_of_a_transfer_before_its_offer() -> None:
    met = meeting()
    assert (met.receiver.manifest_digest, met.receiver.transfer_id) == (b"", b"")
    met.receiver.supersede()
    assert not met.sender.accepted  # type: ignore[attr-defined]


def test_f19_what_cannot_be_read_back_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    met = meeting(range(3))
    plain = files(met).digest

    def digest(chunk: Any) -> bytes:
        if chunk.number == 1 and not files(met).calls("missed"):
            raise StorageError("bad sector")
        return plain(chunk)

    monkeypatch.setattr(files(met), "digest", digest)
    met.run()
    assert met.sender.failure is None
    assert files(met).calls("missed") == [1]
    assert met.told(met.sender, Done)[0].saved == 2 * MIB


def test_the_receipt_may_be_lost_and_then_the_transfer_is_remembered() -> None:
    met = meeting()
    met.wait(60.0, lambda: met.shops[1].log[-1:] == ["publish"])
    met.cut = True
    met.wait(5.0, lambda: met.receiver.over)
    met.wait(0.1)
    assert met.told(met.receiver, Done) and not files(met).calls("finished")
