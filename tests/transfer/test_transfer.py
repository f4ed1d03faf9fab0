"""A sender and a receiver together: what arrives, what restarts, what fails."""

import pytest
from blake3 import blake3

from securecp.errors import ProtocolError
from securecp.transfer import effects as fx
from securecp.transfer import messages
from securecp.transfer import receiver as receiving
from securecp.transfer import sender as sending
from securecp.transfer.entries import Entry
from securecp.transfer.receiver import Limits
from tests.transfer.pair import ALICE, BOB, NOW, Pair, file, folder, small_chunks, verify

MIB = 1 << 20


def published_as_sent(pair: Pair) -> None:
    assert pair.sender.state is sending.State.DELIVERED
    assert pair.receiver.state is receiving.State.COMPLETE
    assert pair.published == pair.files
    receipt = pair.of(fx.Delivered)[0].receipt
    assert (receipt.files, receipt.skipped, receipt.size) == (
        pair.manifest.files,
        0,
        pair.manifest.size,
    )


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([], id="nothing at all"),
        pytest.param([folder("a")], id="a folder"),
        pytest.param([file("a", 0)], id="an empty file"),
        pytest.param([file("a", 0), folder("b"), file("c", 0, 2)], id="empty files and a folder"),
        pytest.param([file("a", 1)], id="a byte"),
        pytest.param([file("a", MIB), file("b", MIB + 1), file("c", MIB - 1)], id="about a chunk"),
        pytest.param([file("a", 5), file("e", 0), folder("d"), file("b", 7, 3)], id="a tree"),
    ],
)
def test_everything_offered_is_published(entries: list[Entry]) -> None:
    published_as_sent(Pair(entries).run())


def test_many_small_files_come_in_batches() -> None:
    pair = Pair([file(f"{number}", number % 7) for number in range(3_000)]).run()
    published_as_sent(pair)
    assert len(pair.of(fx.FilesReady)) <= 3_000


def test_chunks_may_come_in_any_order_and_twice() -> None:
    with small_chunks(8):
        pair = Pair([file("a", 30), file("b", 3), file("c", 0), file("d", 17)])
        pair.pump()
        pair.talk(towards_receiver=True)
        pair.talk(towards_receiver=False)
        for which in range(20):
            pair.send_piece(which * 7, 3)
        for which in range(30):
            pair.deliver(which * 5, again=bool(which % 3))
        published_as_sent(pair.run())


def test_a_damaged_chunk_is_sent_once_more() -> None:
    with small_chunks(8):
        pair = Pair([file("a", 30), file("b", 3)])
        pair.pump()
        pair.talk(towards_receiver=True)
        pair.talk(towards_receiver=False)
        pair.send_piece()
        pair.deliver(damage=True)
        published_as_sent(pair.run())
        assert pair.of(fx.RestartSource) == [fx.RestartSource(0)]
        assert pair.of(fx.ForgetContent) == [fx.ForgetContent(0, 30)]


def test_a_file_damaged_twice_fails_and_the_others_arrive() -> None:
    with small_chunks(8):
        pair = Pair([file("a", 30), file("b", 3)])
        pair.pump()
        pair.talk(towards_receiver=True)
        pair.talk(towards_receiver=False)
        for _ in range(2):
            pair.work_until(lambda: bool(pair.to_send))
            pair.send_piece()
            pair.deliver(damage=True)
        pair.run()
        assert pair.delivered
        assert pair.published == {1: pair.files[1]}
        delivered = pair.of(fx.Delivered)[0]
        assert delivered.failed == ((0, sending.REASON_CHANGED),)
        assert (delivered.receipt.files, delivered.receipt.skipped) == (1, 1)
        assert pair.of(fx.Complete)[0].failed == delivered.failed


def test_mf07_a_source_that_changes_once_is_sent_as_it_is_then() -> None:
    with small_chunks(8):
        pair = Pair([file("a", 30), file("b", 3)])
        pair.pump()
        pair.talk(towards_receiver=True)
        pair.talk(towards_receiver=False)
        pair.digest_one()
        pair.change(0)
        pair.run()
        published_as_sent(pair)
        assert pair.of(fx.RestartSource) == [fx.RestartSource(0)]


def test_mf07_a_source_that_changes_after_its_digests_is_noticed_by_the_receiver() -> None:
    with small_chunks(8):
        pair = Pair([file("a", 30), file("b", 3)])
        pair.pump()
        pair.talk(towards_receiver=True)
        pair.talk(towards_receiver=False)
        while pair.to_digest:
            pair.digest_one()
        pair.change(0)
        published_as_sent(pair.run())


def test_mf07_a_source_that_keeps_changing_fails_and_the_others_arrive() -> None:
    with small_chunks(8):
        pair = Pair([file("a", 30), file("b", 3)])
        pair.pump()
        pair.talk(towards_receiver=True)
        pair.talk(towards_receiver=False)
        while pair.sender.state is not sending.State.DELIVERED:
            pair.change(0)
            pair.digest_one()
            pair.send_piece()
            pair.deliver()
            pair.verify_one()
            pair.talk(towards_receiver=True)
            pair.talk(towards_receiver=False)
            pair.publish()
        assert pair.published == {1: pair.files[1]}
        assert pair.lost == {0: sending.REASON_CHANGED}


@pytest.mark.parametrize("entry", [0, 1, 2])
def test_an_unreadable_file_fails_by_name_and_the_others_arrive(entry: int) -> None:
    with small_chunks(8):
        pair = Pair([file("a", 30), file("b", 3), file("c", 20)])
        pair.unreadable = {entry}
        pair.run()
        assert pair.lost == {entry: sending.REASON_UNREADABLE}
        assert pair.published == {n: data for n, data in pair.files.items() if n != entry}
        assert pair.of(fx.Delivered)[0].failed == ((entry, sending.REASON_UNREADABLE),)


def test_all_files_may_fail() -> None:
    pair = Pair([file("a", 30), file("b", 3)])
    pair.unreadable = {0, 1}
    pair.run()
    assert pair.delivered
    assert pair.published == {}


def test_a_file_that_fails_after_it_arrived_has_arrived() -> None:
    """The crossing of FAILED and RECEIPT: the receipt is for what the receiver has."""
    pair = Pair([file("a", 30)])
    pair.pump()
    pair.work_until(lambda: pair.publishing, content=True)
    pair.sender.fail(0, "gone")
    published_as_sent(pair.run())
    assert pair.of(fx.Delivered)[0].failed == ()


def test_a_file_that_fails_when_it_is_ready_is_not_published() -> None:
    pair = Pair([file("a", 30), file("b", 30)])
    pair.pump()
    pair.work_until(lambda: bool(pair.to_send))
    pair.send_piece(length=30)
    pair.deliver()
    pair.work_until(lambda: pair.ready == {0})
    pair.sender.fail(0, "gone")
    pair.run()
    assert pair.published == {1: pair.files[1]}
    assert pair.lost == {0: "gone"}


def test_the_receiver_may_leave_files_out() -> None:
    pair = Pair([file("a", 30), file("b", 3)])
    pair.skip = {0}
    pair.run()
    delivered = pair.of(fx.Delivered)[0]
    assert (delivered.receipt.files, delivered.receipt.skipped, delivered.receipt.size) == (1, 1, 3)


def test_declining_ends_it_before_any_content() -> None:
    pair = Pair([file("a", 30)])
    pair.consent = lambda _: False
    pair.run()
    assert pair.of(fx.Declined) == [fx.Declined(1, "no")]
    assert not pair.of(fx.SendContent) and not pair.of(fx.Prepare) and not pair.of(fx.ExpectContent)


def test_no_room_declines_after_a_yes() -> None:
    pair = Pair([file("a", 30)])
    pair.pump()
    pair.consent = lambda _: True
    pair.receiver.prepared = lambda *_: pair.receiver.decline(  # type: ignore[method-assign]
        messages.CODE_NO_ROOM, "no room"
    )
    pair.run()
    assert pair.of(fx.Declined) == [fx.Declined(messages.CODE_NO_ROOM, "no room")]
    assert not pair.of(fx.SendContent)


@pytest.mark.parametrize("side", ["sender", "receiver"])
@pytest.mark.parametrize("steps", range(0, 40, 3))
def test_either_side_may_stop_at_any_time(side: str, steps: int) -> None:
    with small_chunks(8):
        pair = Pair([file("a", 30), file("b", 3)])
        pair.pump()
        for step in range(steps):
            pair.talk(towards_receiver=True, length=20)
            pair.talk(towards_receiver=False, length=5)
            pair.send_piece(length=5)
            pair.deliver(step)
            pair.digest_one()
            pair.verify_one()
        (pair.sender if side == "sender" else pair.receiver).abort(4, "stop")
        pair.run()
        if not pair.delivered:
            assert pair.of(fx.Aborted) in ([fx.Aborted(4, "stop")], [])
            assert not pair.of(fx.Delivered)


def test_an_abort_of_the_sender_keeps_anything_from_being_published() -> None:
    pair = Pair([file("a", 30)])
    pair.pump()
    while not pair.to_verify:
        pair.talk(towards_receiver=True)
        pair.talk(towards_receiver=False)
        pair.send_piece()
        pair.deliver()
        pair.digest_one()
    pair.sender.abort(4, "stop")
    pair.run()
    assert pair.of(fx.Aborted) == [fx.Aborted(4, "stop")]
    assert pair.published == {} and not pair.of(fx.Publish)


def test_the_receipt_is_bound_to_everything() -> None:
    pair = Pair([file("a", 30)]).run()
    delivered = pair.of(fx.Delivered)[0]
    receipt = delivered.receipt
    assert (receipt.sender, receipt.receiver, receipt.time) == (ALICE, BOB, NOW)
    assert receipt.manifest_digest == pair.manifest.digest
    inner = blake3(pair.files[0]).digest()
    assert receipt.content_digest == blake3(blake3(inner).digest()).digest()
    assert type(receipt).parse(delivered.encoded) == receipt
    assert receipt.verified(verify)
    assert receipt == pair.of(fx.Complete)[0].receipt


def test_mf03_more_than_the_limit_is_declined_with_the_count() -> None:
    for limits, number in ((Limits(entries=2), "3 entries"), (Limits(size=89), "90 bytes")):
        pair = Pair([file("a", 30), file("b", 30), file("c", 30)], limits=limits)
        pair.run()
        declined = pair.of(fx.Declined)
        assert len(declined) == 2 and declined[0] == declined[1]
        assert declined[0].code == messages.CODE_TOO_MUCH and number in declined[0].reason
        assert not pair.of(fx.Consent)


def test_what_could_not_be_published_is_named_by_the_sender() -> None:
    pair = Pair([file("a", 30), file("b", 3), file("c", 5)])
    pair.unpublishable = {1}
    pair.run()
    (delivered,) = pair.of(fx.Delivered)
    assert (delivered.receipt.files, delivered.receipt.skipped) == (2, 1)
    assert [entry for entry, _ in delivered.failed] == [1]


def test_misuse_of_ours_is_a_value_error() -> None:
    pair = Pair([file("a", 30)])
    for call in (
        pair.sender.start,
        pair.receiver.accept,
        pair.receiver.prepared,
        lambda: pair.receiver.decline(1, ""),
        lambda: pair.receiver.published(1, 30, NOW),
        lambda: pair.sender.digest(0, bytes(32)),
    ):
        with pytest.raises(ValueError):
            call()
    pair.pump()
    pair.talk(towards_receiver=True)
    with pytest.raises(ValueError):
        pair.receiver.verified(0, bytes(32))
    pair.receiver.stored(0, 10)
    with pytest.raises(ValueError):
        pair.receiver.stored(0, 30)
    with pytest.raises(IndexError):
        pair.receiver.stored(30, 1)


def test_more_than_was_received_cannot_be_published() -> None:
    pair = Pair([file("a", 30), file("b", 3)])
    pair.unreadable = {0}
    pair.pump()
    pair.work_until(lambda: pair.publishing, content=True)
    for files, size in ((2, 33), (1, 34), (1, -1)):
        with pytest.raises(ValueError):
            pair.receiver.published(files, size, NOW)


def test_a_protocol_error_publishes_nothing() -> None:
    pair = Pair([file("a", 30)])
    pair.pump()
    pair.talk(towards_receiver=True)
    with pytest.raises(ProtocolError):
        pair.receiver.control(b"\0\0\0\1\x90")
    assert pair.receiver.state is receiving.State.RECEIVING and not pair.of(fx.Publish)
