"""What is here already: HAVE, WANT, DROP and ZEROS, in order, out of place, and as lies."""

import tracemalloc
from collections.abc import Iterator

import pytest
from blake3 import blake3

from securecp.errors import ProtocolError
from securecp.transfer import effects as fx
from securecp.transfer import messages as m
from securecp.transfer import receiver as receiving
from securecp.transfer import sender as sending
from securecp.transfer.chunks import Arrivals
from securecp.transfer.holdings import Holdings, zero_digest
from securecp.transfer.manifest import LINK, Chunk, Entry, Manifest
from securecp.transfer.receiver import Receiver
from securecp.transfer.sender import Sender
from tests.transfer.pair import Pair, file, small_chunks
from tests.transfer.test_states import (
    CHUNKS,
    DATA,
    ENTRIES,
    content_digest,
    digest,
    digests,
    heard,
    listed,
    offering,
    ready,
    receipt,
    tell,
    verify_all,
)

MIB = 1 << 20


@pytest.fixture(autouse=True)
def chunks_of_eight() -> Iterator[None]:
    with small_chunks(8):
        yield


def prepared(
    *held: range, drops: tuple[int, ...] = (), entries: list[Entry] | None = None
) -> Receiver:
    """A receiver that has something; what it says of that is still to be heard."""
    receiver = listed(entries)
    receiver.accept()
    receiver.effects()
    receiver.prepared(Holdings(held, drops))
    return receiver


def accepted(*told: m.Message, holes: tuple[range, ...] = ()) -> Sender:
    """A sender whose offer was taken, after these messages."""
    sender = offering()
    sender._holes = holes
    tell(sender, *told, m.Accept())
    return sender


def work(sender: Sender) -> list[fx.Effect]:
    """Digest what is to be digested; the other effects."""
    others: list[fx.Effect] = []
    while effects := sender.effects():
        for effect in effects:
            if isinstance(effect, fx.DigestChunks):
                for chunk in effect.chunks:
                    sender.digest(chunk.number, digest(CHUNKS[chunk.number]))
            else:
                others.append(effect)
    return others


# What need not be sent.


def test_what_is_here_is_not_sent_and_counts() -> None:
    pair = Pair([file("a", 30), file("b", 3), file("c", 20)])
    pair.hold([0, 1, 4, 6])
    pair.run()
    assert pair.delivered and pair.published == pair.files
    assert set(pair.sent) == {*range(16, 30), *range(33, 41), *range(49, 53)}
    assert pair.sender.saved == pair.receiver.saved == pair.sender.kept == pair.receiver.kept == 27
    assert pair.sender.already == 1
    assert pair.of(fx.Delivered)[0].receipt.files == 3


def test_f04_all_that_is_here_is_published_without_a_byte() -> None:
    pair = Pair([file("a", 30), file("b", 3)])
    pair.hold(range(5))
    pair.run()
    assert pair.delivered and pair.published == pair.files and not pair.sent
    assert (pair.sender.already, pair.sender.saved) == (2, 33)


@pytest.mark.parametrize("known", [True, False])
def test_f03_mf11_what_differs_is_sent_for_and_only_that(known: bool) -> None:
    pair = Pair([file("a", 30), file("b", 3)])
    pair.hold(range(5), wrong=[1, 4], known=known)
    pair.run()
    assert pair.delivered and pair.published == pair.files
    assert sorted(pair.sent) == [*range(8, 16), *range(30, 33)]
    assert not pair.of(fx.RestartSource)
    assert pair.of(fx.MissedChunk) == [fx.MissedChunk(1), fx.MissedChunk(4)]
    assert (pair.sender.saved, pair.sender.already) == (22, 0)


def test_a_wanted_chunk_that_comes_damaged_makes_the_file_restart_whole() -> None:
    """The restart opens the whole file, also what was held and right."""
    pair = Pair([file("a", 30)])
    pair.hold(range(4), wrong=[1])
    pair.work_until(lambda: bool(pair.to_send))
    pair.send_piece()
    pair.deliver(damage=True)
    pair.run()
    assert pair.delivered and pair.published == pair.files
    assert pair.of(fx.ForgetContent) == [fx.ForgetContent(0, 30)]
    assert sorted(pair.sent) == sorted([*range(8, 16), *range(30)])
    assert pair.sender.saved == pair.receiver.saved == 0


def test_mf07_a_source_that_changes_under_a_resumed_transfer_restarts_whole() -> None:
    pair = Pair([file("a", 30)], holes=[3])
    pair.hold([0, 1])
    pair.pump()
    pair.talk(towards_receiver=True)
    pair.talk(towards_receiver=False)
    pair.digest_one()
    pair.change(0)
    pair.run()
    assert pair.delivered and pair.published == pair.files
    assert set(range(30)) <= set(pair.sent)


def test_the_digests_of_what_is_here_do_not_wait_for_content() -> None:
    sender = accepted(m.Have((range(1, 3),)))
    sender.content_sent(0)
    effects = work(sender)
    assert effects == [
        fx.SkipContent(0, 23),
        fx.SendContent(0, 8),
        fx.SendContent(20, 23),
    ]
    assert heard(sender) == [m.Digests(1, digests()[32:96])]


def test_the_receiver_tells_what_it_has_before_it_accepts() -> None:
    receiver = prepared(range(2), range(3, 4))
    assert heard(receiver) == [m.Have((range(2), range(3, 4))), m.Accept()]
    assert [e for e in receiver.effects() if not isinstance(e, fx.FilesReady)] == [
        fx.ExpectContent(0, 23),
        fx.WaiveContent(0, 16),
        fx.WaiveContent(20, 23),
    ]
    assert receiver.kept == 19


def test_held_chunks_that_do_not_exist_are_our_bug() -> None:
    for held in (range(5), range(-1, 2), range(0, 4, 2), range(2, 2)):
        with pytest.raises(ValueError):
            prepared(held)


def test_mf09_mf16_what_is_here_is_said_only_by_chunk_and_after_consent() -> None:
    """The sender learns "send" or "do not send", for what it offered itself, and no digest."""
    receiver = listed()
    assert heard(receiver) == []
    receiver.accept()
    assert heard(receiver) == []
    receiver.prepared(Holdings((range(4),)), lambda _: bytes(32))
    told = heard(receiver)
    tell(receiver, m.Digests(0, digests()))
    told += (receiver.effects(), heard(receiver))[1]
    assert {type(message) for message in told} == {m.Have, m.Accept, m.Want}
    assert not any(isinstance(field, bytes) for message in told for field in message)


def test_content_of_what_is_here_is_our_bug_past_the_transport() -> None:
    receiver = prepared(range(2))
    with pytest.raises(ValueError, match="twice"):
        receiver.stored(0, 8)


def test_what_is_here_is_good_only_once_its_digest_was_told() -> None:
    receiver = prepared(range(4))
    assert verify_all(receiver) == [
        fx.ExpectContent(0, 23),
        fx.WaiveContent(0, 23),
        fx.FilesReady((3,)),
    ]
    tell(receiver, m.Digests(0, digests()), m.Finished(content_digest()))
    assert verify_all(receiver) == [fx.FilesReady((1, 2)), fx.Publish()]


def test_mf07_what_was_here_is_not_taken_for_what_came_after_a_restart() -> None:
    """It was told and waits to be compared when its file restarts, and other bytes come."""
    receiver = listed()
    receiver.accept()
    receiver.effects()
    receiver.prepared(Holdings((range(3),)), [digest(chunk) for chunk in CHUNKS].__getitem__)
    tell(receiver, m.Digests(0, digests()[:96]), m.Restart(1))
    receiver.stored(0, 20)
    effects = receiver.effects()
    assert not any(isinstance(effect, fx.GoodChunks) for effect in effects)
    assert [e for e in effects if isinstance(e, fx.FilesReady)] == [fx.FilesReady((3,))]


def test_mf06_what_is_here_does_not_make_up_for_a_wrong_content_digest() -> None:
    receiver = prepared(range(4))
    tell(receiver, m.Digests(0, digests()))
    verify_all(receiver)
    with pytest.raises(ProtocolError, match="content digest"):
        tell(receiver, m.Finished(bytes(32)))


def test_mf02_a_lie_about_digests_gets_what_differs_sent_and_publishes_nothing() -> None:
    receiver = prepared(range(4))
    heard(receiver)
    tell(receiver, m.Digests(0, bytes(128)))
    verify_all(receiver)
    assert heard(receiver) == [m.Want((0, 1, 2, 3))]
    receiver.stored(0, 23)
    assert not any(isinstance(effect, fx.FilesReady) for effect in verify_all(receiver))


def test_no_more_chunks_are_verified_at_once_than_memory_has_room_for() -> None:
    manifest = Manifest([file("a", 8 * 100_000)])
    asked: list[Chunk] = []
    arrivals = Arrivals(manifest, asked.append)
    arrivals.hold([range(100_000)])
    for first in range(0, 100_000, 1_000):
        arrivals.told(first, bytes(32_000), lambda _: True)
    tracemalloc.start()
    assert list(arrivals.compare(lambda _: True, lambda _: None))
    assert len(asked) == 1_024
    assert tracemalloc.get_traced_memory()[0] < MIB
    tracemalloc.stop()
    for chunk in asked[:24]:
        arrivals.answered(chunk.number)
    asked.clear()
    list(arrivals.compare(lambda _: True, lambda _: None))
    assert len(asked) == 1_024  # a batch at a time
    arrivals.answered(asked[0].number)


# Zeros.


def test_holes_are_told_and_not_sent() -> None:
    pair = Pair([file("a", 30), file("b", 12)], holes=[1, 2, 3, 4])
    pair.run()
    assert pair.delivered and pair.published == pair.files
    assert sorted(pair.sent) == [*range(8), *range(38, 42)]
    assert pair.sender.saved == pair.receiver.saved == 30
    chunks = [number for effect in pair.of(fx.ZeroChunks) for number in effect.chunks]
    assert chunks == [1, 2, 3, 4]


def test_zeros_are_told_right_after_the_acceptance_with_their_digests() -> None:
    sender = accepted(m.Have((range(3, 4),)), holes=(range(2), range(3, 4)))
    assert heard(sender) == [m.Zeros((range(2),))]
    assert fx.SendContent(16, 20) in work(sender)
    assert sender._digesting.digests.of(0) == zero_digest(8) == blake3(bytes(8)).digest()
    assert [type(message) for message in heard(sender)] == [m.Digests, m.Finished]


@pytest.mark.parametrize(
    "zeros",
    [
        pytest.param((range(4, 5),), id="that do not exist"),
        pytest.param((range(5),), id="past the end"),
        pytest.param((range(2**43, 2**43 + 1),), id="far past the end"),
        pytest.param((range(1),), id="that were told"),
        pytest.param((range(1, 2),), id="that were stored"),
        pytest.param((range(2, 3),), id="that are partly here"),
        pytest.param((range(3, 4),), id="that are held"),
        pytest.param((range(4),), id="some of which were told"),
    ],
)
def test_mf05_zeros_are_taken_only_where_nothing_is(zeros: tuple[range, ...]) -> None:
    receiver = prepared(range(3, 4))
    tell(receiver, m.Digests(0, digests()[:32]))
    receiver.stored(8, 10)
    with pytest.raises(ProtocolError):
        tell(receiver, m.Zeros(zeros))


def test_tr06_zeros_and_digests_exclude_each_other() -> None:
    for second in (m.Zeros((range(1),)), m.Digests(0, digests()[:32])):
        receiver = ready()
        tell(receiver, m.Zeros((range(1),)))
        with pytest.raises(ProtocolError):
            tell(receiver, second)


def test_zeros_of_a_file_that_restarts_or_has_failed_are_refused() -> None:
    for message in (m.Restart(1), m.Failed(1, "gone")):
        receiver = ready()
        tell(receiver, message)
        with pytest.raises(ProtocolError):
            tell(receiver, m.Zeros((range(1),)))


def test_mf12_zeros_that_are_a_lie_change_the_content_digest() -> None:
    receiver = ready()
    tell(receiver, m.Zeros((range(1),)), m.Digests(1, digests()[32:]))
    with pytest.raises(ProtocolError, match="content digest"):
        tell(receiver, m.Finished(content_digest()))


def test_zeros_are_verified_as_they_are_here() -> None:
    """A part that holds something else there is found out, and the file comes anew."""
    receiver = ready()
    tell(receiver, m.Zeros((range(2, 3),)))
    heard(receiver)
    (*others, asked) = receiver.effects()
    assert others == [fx.ZeroChunks(range(2, 3)), fx.WaiveContent(16, 20)]
    assert isinstance(asked, fx.VerifyChunks)
    receiver.verified(2, digest(b"old!"))
    assert heard(receiver) == [m.Retry((2,))]


def test_a_file_of_zeros_alone_arrives() -> None:
    pair = Pair([file("a", 30)], holes=range(4)).run()
    assert pair.delivered and pair.published == {0: bytes(30)} and not pair.sent


# Files that are not to come.


def test_what_is_not_wanted_is_not_sent_and_counts_as_skipped() -> None:
    pair = Pair([file("a", 30), file("b", 3), file("empty", 0)])
    pair.hold([0])
    pair.holdings = pair.holdings._replace(drops=(0, 2))
    pair.run()
    assert pair.published == {1: pair.files[1]}
    assert sorted(pair.sent) == [30, 31, 32]
    delivered, complete = pair.of(fx.Delivered)[0], pair.of(fx.Complete)[0]
    assert (delivered.failed, complete.failed) == ((), ())
    assert (delivered.receipt.files, delivered.receipt.skipped) == (1, 2)


def test_f13_a_file_that_cannot_be_stored_fails_by_name_and_the_others_arrive() -> None:
    pair = Pair([file("a", 30), file("b", 3)])
    pair.work_until(lambda: bool(pair.to_send))
    pair.send_piece(length=12)
    pair.deliver()
    pair.refuse(0)
    pair.refuse(0)
    pair.run()
    assert pair.published == {1: pair.files[1]}
    assert pair.of(fx.Delivered)[0].failed == ((0, sending.REASON_UNABLE),)
    assert pair.of(fx.Complete)[0].failed == ((0, "a bad sector"),)
    assert max(offset for offset in pair.sent if offset < 30) < 12


def test_f13_a_file_that_breaks_when_it_was_good_is_not_published() -> None:
    receiver = prepared(range(3))
    heard(receiver)
    tell(receiver, m.Digests(0, digests()))
    assert fx.FilesReady((1,)) in verify_all(receiver)
    receiver.refuse(1, "a bad sector")
    receiver.stored(20, 3)
    tell(receiver, m.Finished(content_digest()))
    assert verify_all(receiver) == [fx.WaiveContent(0, 20), fx.FilesReady((2,))]
    assert heard(receiver) == [m.Drop((1,), m.DROP_UNABLE)]
    tell(receiver, m.Failed(1, "as you like"), m.Finished(content_digest(failed=(1,))))
    assert verify_all(receiver)[-2:] == [fx.FileFailed(1, "a bad sector"), fx.Publish()]


def test_a_link_may_be_dropped() -> None:
    pair = Pair([file("a", 3), Entry(LINK, 0, b"l", 0, 0o777, 0, b"a")])
    pair.holdings = Holdings((), (1,))
    pair.run()
    assert pair.delivered and pair.published == pair.files
    assert pair.lost == {1: sending.REASON_UNWANTED}
    assert pair.of(fx.Delivered)[0].receipt.skipped == 0


def test_a_refusal_and_a_restart_may_cross() -> None:
    receiver = ready()
    receiver.refuse(1, "a bad sector")
    assert heard(receiver) == [m.Drop((1,), m.DROP_UNABLE)]
    tell(receiver, m.Digests(0, digests()[:64]), m.Restart(1), m.Digests(0, digests()[:96]))
    assert heard(receiver) == []
    with pytest.raises(ProtocolError):
        tell(receiver, m.Restart(1))
    tell(receiver, m.Failed(1, "gone"), m.Digests(3, digests()[96:]))
    receiver.stored(20, 3)
    tell(receiver, m.Finished(content_digest(failed=(1,))))
    assert verify_all(receiver)[-2:] == [fx.FilesReady((2,)), fx.Publish()]


def test_mf05_a_dropped_file_without_an_answer_publishes_nothing() -> None:
    """A sender that goes on as if nothing had been said gets no receipt."""
    receiver = prepared(drops=(1,))
    tell(receiver, m.Digests(0, digests()))
    receiver.stored(0, 23)
    tell(receiver, m.Finished(content_digest()))
    effects = verify_all(receiver)
    assert fx.FilesReady((2,)) in [*effects] or fx.FilesReady((3, 2)) in effects
    assert not any(isinstance(effect, fx.Publish) for effect in effects)
    tell(receiver, m.Failed(1, "as you like"), m.Finished(content_digest(failed=(1,))))
    assert fx.Publish() in verify_all(receiver)


def test_only_files_and_links_are_refused() -> None:
    receiver = ready()
    with pytest.raises(ValueError, match="only files"):
        receiver.refuse(0, "")
    with pytest.raises(ValueError, match="only files"):
        prepared(drops=(0,))


# Lies of the receiver.


@pytest.mark.parametrize(
    "told",
    [
        pytest.param([m.Have((range(5),))], id="past the end"),
        pytest.param([m.Have((range(4, 5),))], id="that does not exist"),
        pytest.param([m.Have((range(2**43, 2**43 + 5),))], id="far past the end"),
        pytest.param([m.Have((range(2),)), m.Have((range(1, 3),))], id="twice"),
        pytest.param([m.Have((range(2, 3),)), m.Have((range(1),))], id="backwards"),
    ],
)
def test_have_only_ascending_and_in_range(told: list[m.Message]) -> None:
    with pytest.raises(ProtocolError, match="HAVE"):
        tell(offering(), *told)


def test_want_only_once_and_only_what_was_told() -> None:
    sender = accepted(m.Have((range(1, 3),)))
    for early in (0, 1, 3, 4, 2**43):
        with pytest.raises(ProtocolError, match="WANT"):
            tell(sender, m.Want((early,)))
    work(sender)
    for never in (0, 3):
        with pytest.raises(ProtocolError, match="WANT"):
            tell(sender, m.Want((never,)))
    tell(sender, m.Want((2, 1)))
    assert work(sender) == [fx.SendContent(16, 20), fx.SendContent(8, 16)]
    with pytest.raises(ProtocolError, match="twice"):
        tell(sender, m.Want((1,)))


def test_consecutive_wants_are_one_run_of_content() -> None:
    sender = accepted(m.Have((range(4),)))
    work(sender)
    tell(sender, m.Want((0, 1, 2, 3)))
    assert work(sender) == [fx.SendContent(0, 23)]
    assert (sender.saved, sender.already) == (0, 0)


def test_a_want_that_crosses_a_restart_or_a_failure_is_nothing() -> None:
    for end in ("restart", "failure"):
        sender = accepted(m.Have((range(3),)))
        work(sender)
        if end == "restart":
            tell(sender, m.Retry((0,)))
        else:
            sender.fail(1, "gone")
        work(sender)
        tell(sender, m.Want((0,)))
        assert not any(isinstance(effect, fx.SendContent) for effect in work(sender))
        if end == "restart":
            tell(sender, m.Again(1))
            assert work(sender) == [fx.SendContent(0, 20)]
            with pytest.raises(ProtocolError, match="WANT"):
                tell(sender, m.Want((1,)))


@pytest.mark.parametrize("entry", [0, 4, 999_999])
def test_drop_only_for_files(entry: int) -> None:
    for sender in (offering(), accepted()):
        with pytest.raises(ProtocolError, match="DROP"):
            tell(sender, m.Drop((entry,), 1))


def test_a_drop_is_answered_once() -> None:
    sender = accepted()
    tell(sender, m.Drop((1, 3), 1), m.Drop((1,), 0))
    assert heard(sender) == [m.Failed(1, sending.REASON_UNABLE), m.Failed(3, sending.REASON_UNABLE)]
    assert fx.SkipContent(0, 20) in work(sender)


def test_a_drop_after_the_end_is_told_takes_it_back() -> None:
    sender = accepted()
    work(sender)
    heard(sender)
    tell(sender, m.Drop((2,), 1))
    assert heard(sender) == [
        m.Failed(2, sending.REASON_UNABLE),
        m.Finished(content_digest(failed=(2,))),
    ]


def test_a_drop_while_the_file_is_to_be_forgotten_ends_the_waiting_for_it() -> None:
    sender = accepted()
    work(sender)
    heard(sender)
    tell(sender, m.Retry((0,)), m.Drop((1,), 1))
    work(sender)
    assert heard(sender)[-1] == m.Finished(content_digest(failed=(1,)))
    tell(
        sender,
        receipt(content_digest=content_digest(failed=(1,)), files=2, skipped=1, size=3),
    )
    assert sender.state is sending.State.DELIVERED


def test_mf14_a_receipt_for_a_dropped_file_is_refused() -> None:
    sender = accepted(m.Drop((1,), 0))
    work(sender)
    heard(sender)
    with pytest.raises(ProtocolError, match="fit"):
        tell(sender, receipt(content_digest=content_digest(failed=(1,))))


# Size.


def test_f45_numbers_past_32_bits_are_numbers() -> None:
    far = 2**32 + 5
    entries = [file("big", 8 * 2**33), file("b", 3)]
    manifest = Manifest(entries)
    assert manifest.span(range(far, far + 2)) == (8 * far, 8 * far + 16)
    assert manifest.weight(1, b"\x01") == 3
    for message in (
        m.Have((range(far, far + 2**32),)),
        m.Zeros((range(far, far + 1),)),
        m.Want((far, 2**33)),
        m.Digests(far, bytes(32)),
    ):
        assert m.parse(m.encode(message)) == message


def test_f45_many_empty_files_settle_at_once() -> None:
    count = 50_000  # a million takes 20 times as long
    manifest = Manifest(file(f"{number}", 0) for number in range(count))
    receiver = Receiver(ours=bytes(32), theirs=bytes(32), sign=lambda _: bytes(64))
    receiver._manifest = manifest
    receiver.state = receiving.State.PREPARING
    receiver.prepared()
    (effect,) = receiver.effects()
    assert isinstance(effect, fx.FilesReady) and len(effect.entries) == count


def test_f45_alternating_chunks_cost_no_quadratic_time() -> None:
    """Every second chunk is here: the most runs that there can be."""
    count = 40_000
    manifest = Manifest([file("a", 8 * count)])
    runs = tuple(range(number, number + 1) for number in range(0, count, 2))
    receiver = Receiver(ours=bytes(32), theirs=bytes(32), sign=lambda _: bytes(64))
    receiver._manifest = manifest
    receiver.state = receiving.State.PREPARING
    receiver.prepared(Holdings(runs))
    told = heard_raw(receiver)
    assert len(told) == -(-len(runs) // m.SPANS_LIMIT) + 1
    sender = Sender(
        manifest, transfer_id=bytes(16), ours=bytes(32), theirs=bytes(32), verify=lambda *_: True
    )
    sender.start()
    sender.outgoing(1 << 30)
    tell(sender, *told)
    effects = sender.effects()
    sends = [effect for effect in effects if isinstance(effect, fx.SendContent)]
    assert len(sends) == count // 2 and sender.saved == 4 * count


def heard_raw(receiver: Receiver) -> list[m.Message]:
    data, told, at = receiver.outgoing(1 << 30), [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        told.append(m.parse(data[at + 4 : at + 4 + length]))
        at += 4 + length
    return told


def test_the_sample_is_what_the_other_tests_take_it_for() -> None:
    assert [entry.name for entry in ENTRIES] == [b"d", b"a", b"b", b"empty"]
    assert b"".join(CHUNKS) == DATA
