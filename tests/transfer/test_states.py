"""A peer that breaks the rules: each message in each state, and lies in each field."""

from collections.abc import Callable
from enum import Enum

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from securecp.errors import ProtocolError
from securecp.transfer import effects as fx
from securecp.transfer import messages as m
from securecp.transfer import receiver as receiving
from securecp.transfer import sender as sending
from securecp.transfer.manifest import Chunk, Entry, Manifest
from securecp.transfer.party import Party
from securecp.transfer.receiver import Receiver
from securecp.transfer.sender import Sender
from tests.transfer.pair import (
    ALICE,
    BOB,
    NOW,
    TRANSFER,
    file,
    folder,
    sign_as,
    small_chunks,
    verify,
)

ENTRIES = [folder("d"), file("a", 20), file("b", 3), file("empty", 0)]
DATA = bytes(range(20)) + b"bbb"
CHUNKS = [DATA[0:8], DATA[8:16], DATA[16:20], DATA[20:23]]


def digest(data: bytes) -> bytes:
    return blake3(data).digest()


def digests() -> bytes:
    return b"".join(map(digest, CHUNKS))


def content_digest(*, failed: tuple[int, ...] = ()) -> bytes:
    files = {1: b"".join(map(digest, CHUNKS[:3])), 2: digest(CHUNKS[3]), 3: b""}
    return digest(b"".join(bytes(32) if n in failed else digest(d) for n, d in files.items()))


def tell(party: Party, *told: m.Message) -> None:
    for message in told:
        raw = m.encode(message)
        party.control(len(raw).to_bytes(4, "big") + raw)


def heard(party: Party) -> list[m.Message]:
    data = party.outgoing(1 << 20)
    result = []
    while data:
        length = int.from_bytes(data[:4], "big")
        result.append(m.parse(data[4 : 4 + length]))
        data = data[4 + length :]
    return result


def offer_of(manifest: Manifest) -> m.Offer:
    return m.Offer(
        TRANSFER,
        len(manifest.entries),
        manifest.files,
        manifest.size,
        manifest.page_count,
        manifest.digest,
    )


def listed(entries: list[Entry] | None = None) -> Receiver:
    """A receiver that has been offered something."""
    manifest = Manifest(ENTRIES if entries is None else entries)
    receiver = Receiver(ours=BOB, theirs=ALICE, sign=lambda message: sign_as(BOB, message))
    tell(receiver, offer_of(manifest), *map(m.Page, manifest.pages()))
    return receiver


def ready() -> Receiver:
    """A receiver that waits for content."""
    receiver = listed()
    receiver.accept()
    receiver.prepared()
    receiver.effects()
    heard(receiver)
    return receiver


def verify_all(receiver: Receiver, data: bytes = DATA) -> list[fx.Effect]:
    """Answer every chunk that is to be verified; the other effects."""
    others: list[fx.Effect] = []
    while effects := receiver.effects():
        for effect in effects:
            if isinstance(effect, fx.VerifyChunks):
                for chunk in effect.chunks:
                    piece = data[chunk.offset : chunk.offset + chunk.length]
                    receiver.verified(chunk.number, digest(piece))
            else:
                others.append(effect)
    return others


def offering() -> Sender:
    """A sender whose offer is out."""
    sender = Sender(Manifest(ENTRIES), transfer_id=TRANSFER, ours=ALICE, theirs=BOB, verify=verify)
    sender.start()
    heard(sender)
    return sender


def sending_all() -> Sender:
    """A sender that was accepted; nothing is digested yet."""
    sender = offering()
    tell(sender, m.Accept())
    return sender


def finished() -> Sender:
    """A sender that waits for the receipt."""
    sender = sending_all()
    for effect in sender.effects():
        if isinstance(effect, fx.DigestChunks):
            for chunk in effect.chunks:
                sender.digest(chunk.number, digest(CHUNKS[chunk.number]))
    assert heard(sender) == [m.Digests(0, digests()), m.Finished(content_digest())]
    return sender


def receipt(**changes: object) -> m.Received:
    """What the receiver of all would send, but for `changes`, signed as it stands."""
    signing: dict[str, object] = {"key": BOB, "sender": ALICE, "receiver": BOB, "id": TRANSFER}
    manifest = Manifest(ENTRIES)
    told = m.Received(3, 0, 23, NOW, manifest.digest, content_digest(), bytes(64))
    for name, change in changes.items():
        if name in signing:
            signing[name] = change
        else:
            told = told._replace(**{name: change})  # type: ignore[arg-type]
    statement = (
        b"securecp 1 receipt"
        + bytes(signing["sender"])  # type: ignore[call-overload]
        + bytes(signing["receiver"])  # type: ignore[call-overload]
        + bytes(signing["id"])  # type: ignore[call-overload]
        + told.manifest_digest
        + told.content_digest
        + b"".join(n.to_bytes(8, "big") for n in (told.files, told.skipped, told.size, told.time))
    )
    if "signature" not in changes:
        told = told._replace(signature=sign_as(bytes(signing["key"]), statement))  # type: ignore[call-overload]
    return told


@pytest.fixture(autouse=True)
def chunks_of_eight() -> object:
    with small_chunks(8):
        yield


# Each message in each state.

ONE_OF_EACH: dict[str, Callable[[], m.Message]] = {
    "offer": lambda: offer_of(Manifest(ENTRIES)),
    "page": lambda: m.Page(next(Manifest(ENTRIES).pages())),
    "accept": m.Accept,
    "decline": lambda: m.Decline(1, "no"),
    "digests": lambda: m.Digests(0, digests()),
    "retry": lambda: m.Retry((0,)),
    "restart": lambda: m.Restart(1),
    "failed": lambda: m.Failed(1, "gone"),
    "finished": lambda: m.Finished(content_digest()),
    "received": receipt,
    "abort": lambda: m.Abort(4, "stop"),
    "again": lambda: m.Again(1),
    "other offer": lambda: m.OtherOffer(3, b"\x92\x01\x03"),
    "have": lambda: m.Have((range(2),)),
    "want": lambda: m.Want((0,)),
    "drop": lambda: m.Drop((1,), 1),
    "zeros": lambda: m.Zeros((range(2),)),
    "piece": lambda: m.Piece(0, 5, bytes(32)),
}


def asking() -> Receiver:
    return listed()


def preparing() -> Receiver:
    receiver = listed()
    receiver.accept()
    return receiver


def listing() -> Receiver:
    receiver = Receiver(ours=BOB, theirs=ALICE, sign=lambda message: sign_as(BOB, message))
    tell(receiver, offer_of(Manifest(ENTRIES)))
    return receiver


def publishing() -> Receiver:
    receiver = ready()
    receiver.stored(0, 23)
    tell(receiver, m.Digests(0, digests()), m.Finished(content_digest()))
    verify_all(receiver)
    return receiver


def complete() -> Receiver:
    receiver = publishing()
    receiver.published(3, 23, NOW)
    return receiver


def idle_receiver() -> Receiver:
    return Receiver(ours=BOB, theirs=ALICE, sign=lambda message: sign_as(BOB, message))


def idle_sender() -> Sender:
    return Sender(Manifest(ENTRIES), transfer_id=TRANSFER, ours=ALICE, theirs=BOB, verify=verify)


def listing_sender() -> Sender:
    sender = idle_sender()
    sender.start()
    sender.outgoing(5)
    return sender


def delivered() -> Sender:
    sender = finished()
    tell(sender, receipt())
    return sender


ALLOWED: dict[str, tuple[Callable[[], Party], Enum, set[str]]] = {
    "receiver idle": (idle_receiver, receiving.State.IDLE, {"offer", "other offer", "abort"}),
    "receiver listing": (listing, receiving.State.LISTING, {"page", "abort"}),
    "receiver asking": (asking, receiving.State.ASKING, {"abort"}),
    "receiver preparing": (preparing, receiving.State.PREPARING, {"abort"}),
    "receiver receiving": (
        ready,
        receiving.State.RECEIVING,
        {"zeros", "digests", "restart", "failed", "abort"},
    ),
    "receiver publishing": (
        publishing,
        receiving.State.PUBLISHING,
        {"failed", "finished", "abort"},
    ),
    "receiver complete": (complete, receiving.State.COMPLETE, {"failed", "finished", "abort"}),
    "sender idle": (idle_sender, sending.State.IDLE, set()),
    "sender listing": (listing_sender, sending.State.LISTING, {"decline", "abort"}),
    "sender asking": (
        offering,
        sending.State.ASKING,
        {"have", "drop", "accept", "decline", "abort"},
    ),
    "sender sending": (sending_all, sending.State.SENDING, {"drop", "retry", "abort"}),
    "sender finished": (finished, sending.State.FINISHED, {"drop", "retry", "received", "abort"}),
    "sender delivered": (delivered, sending.State.DELIVERED, set()),
}


@pytest.mark.parametrize("where", ALLOWED)
def test_mf15_no_message_is_taken_out_of_its_place(where: str) -> None:
    make, state, allowed = ALLOWED[where]
    for name, message in ONE_OF_EACH.items():
        party = make()
        assert party.state is state
        if name in allowed:
            tell(party, message())
        else:
            with pytest.raises(ProtocolError):
                tell(party, message())
            assert party.state is state


@given(st.lists(st.sampled_from(sorted(ONE_OF_EACH)), max_size=12), st.booleans())
def test_mf01_no_row_of_messages_publishes_what_was_not_sent(names: list[str], yes: bool) -> None:
    with small_chunks(8):
        receiver = listed() if yes else idle_receiver()
        if yes:
            receiver.accept()
            receiver.prepared()
        effects: list[fx.Effect] = []
        try:
            for name in names:
                tell(receiver, ONE_OF_EACH[name]())
                effects += receiver.effects()
        except ProtocolError:
            pass
        effects += receiver.effects()
        assert not any(isinstance(effect, (fx.Publish, fx.Complete)) for effect in effects)
        allowed = {4} if yes else set()
        for effect in effects:
            if isinstance(effect, fx.ExpectContent):
                assert yes and effect == fx.ExpectContent(0, 23)
            if isinstance(effect, fx.FilesReady):
                assert set(effect.entries) <= {3} and allowed


# Lies of the sender.


def test_mf01_nothing_can_be_added_after_consent() -> None:
    receiver = ready()
    for more in (
        m.Page(next(Manifest([file("x", 1)]).pages())),
        offer_of(Manifest([file("x", 1)])),
    ):
        with pytest.raises(ProtocolError):
            tell(receiver, more)


def test_mf01_consent_is_asked_when_all_is_listed() -> None:
    entries = [file(f"{number:0200}", number) for number in range(700)]
    manifest = Manifest(entries)
    receiver = idle_receiver()
    tell(receiver, offer_of(manifest))
    pages = list(manifest.pages())
    assert len(pages) == 3
    for page in pages:
        assert receiver.effects() == []
        tell(receiver, m.Page(page))
    consent = receiver.effects()
    assert len(consent) == 1 and isinstance(consent[0], fx.Consent)
    assert consent[0].summary.digest == manifest.digest


@pytest.mark.parametrize("field", ["entries", "files", "size", "digest"])
def test_mf02_a_manifest_that_is_not_the_offered_one_is_refused(field: str) -> None:
    manifest = Manifest(ENTRIES)
    offer = offer_of(manifest)
    lie: object = bytes(32) if field == "digest" else getattr(offer, field) - 1
    receiver = idle_receiver()
    with pytest.raises(ProtocolError):
        tell(receiver, offer._replace(**{field: lie}), *map(m.Page, manifest.pages()))  # type: ignore[arg-type]
    assert receiver.effects() == []


def test_mf02_another_manifest_needs_another_consent() -> None:
    one, other = Manifest([file("a", 1)]), Manifest([file("b", 1)])
    receiver = idle_receiver()
    with pytest.raises(ProtocolError):
        tell(receiver, offer_of(one), *map(m.Page, other.pages()))
    assert receiver.effects() == []


def test_mf03_more_entries_than_told_are_refused_at_the_page() -> None:
    manifest = Manifest([file(f"{number:0200}", 0) for number in range(700)])
    receiver = idle_receiver()
    tell(receiver, offer_of(manifest)._replace(entries=200, files=200))
    with pytest.raises(ProtocolError, match="more entries"):
        tell(receiver, m.Page(next(manifest.pages())))


def test_mf03_a_thousand_million_entries_are_declined() -> None:
    receiver = idle_receiver()
    tell(receiver, m.Offer(TRANSFER, 10**9, 10**9, 10**9, 10**6, bytes(32)))
    (declined,) = heard(receiver)
    assert isinstance(declined, m.Decline) and "1000000000 entries" in declined.reason
    tell(receiver, m.Page(next(Manifest([file("x", 1)]).pages())))  # on its way already
    assert receiver.state is receiving.State.DECLINED


def test_mf05_fewer_bytes_than_declared_are_not_published() -> None:
    receiver = ready()
    tell(receiver, m.Digests(0, digests()), m.Finished(content_digest()))
    receiver.stored(0, 22)
    effects = verify_all(receiver)
    assert effects == [fx.FilesReady((1,))]
    receiver.stored(22, 1)
    assert verify_all(receiver) == [fx.FilesReady((2,)), fx.Publish()]


def test_mf05_tr07_content_is_taken_only_where_it_was_offered() -> None:
    receiver = listed()
    receiver.accept()
    receiver.prepared()
    expected = [e for e in receiver.effects() if isinstance(e, fx.ExpectContent)]
    assert expected == [fx.ExpectContent(0, 23)]


@pytest.mark.parametrize(
    ("first", "count"), [(4, 1), (3, 2), (0, 5), (2**43, 1), (2**43 + 10**6, 1)]
)
def test_tr07_digests_past_the_end_are_refused(first: int, count: int) -> None:
    with pytest.raises(ProtocolError):
        tell(ready(), m.Digests(first, bytes(32) * count))


def test_tr06_a_second_digest_for_a_chunk_is_refused() -> None:
    receiver = ready()
    tell(receiver, m.Digests(0, digests()[:64]))
    with pytest.raises(ProtocolError, match="before"):
        tell(receiver, m.Digests(1, digests()[32:]))


def test_mf06_a_wrong_content_digest_publishes_nothing() -> None:
    for when in ("before", "after"):
        receiver = ready()
        tell(receiver, m.Digests(0, digests()))
        if when == "after":
            receiver.stored(0, 23)
            assert not any(isinstance(e, fx.Publish) for e in verify_all(receiver))
        with pytest.raises(ProtocolError, match="content digest"):
            tell(receiver, m.Finished(bytes(32)))
        receiver.stored(0, 23 if when == "before" else 0)
        assert not any(isinstance(e, fx.Publish) for e in verify_all(receiver))


def test_mf06_finished_before_all_digests_is_refused() -> None:
    receiver = ready()
    tell(receiver, m.Digests(0, digests()[:96]))
    with pytest.raises(ProtocolError, match="early"):
        tell(receiver, m.Finished(content_digest()))
    receiver = ready()
    tell(receiver, m.Digests(0, digests()), m.Finished(content_digest()))
    with pytest.raises(ProtocolError, match="twice"):
        tell(receiver, m.Finished(content_digest()))


def swap(data: bytes, one: slice, other: slice) -> bytes:
    changed = bytearray(data)
    changed[one], changed[other] = data[other], data[one]
    return bytes(changed)


@pytest.mark.parametrize("one", range(4))
@pytest.mark.parametrize("other", range(4))
def test_mf12_chunks_that_change_places_do_not_match(one: int, other: int) -> None:
    """Every swap of two chunks' bytes, inside a file and between files."""
    content = list(CHUNKS)
    content[one], content[other] = content[other], content[one]
    receiver = ready()
    tell(receiver, m.Digests(0, digests()))
    receiver.stored(0, 23)
    for effect in receiver.effects():
        if isinstance(effect, fx.VerifyChunks):
            for chunk in effect.chunks:
                receiver.verified(chunk.number, digest(content[chunk.number]))
    retried = {
        n for answer in heard(receiver) if isinstance(answer, m.Retry) for n in answer.chunks
    }
    assert bool(retried) == (one != other)
    assert retried <= {one, other}


@pytest.mark.parametrize("one", range(4))
@pytest.mark.parametrize("other", range(4))
def test_mf12_digests_that_change_places_change_the_content_digest(one: int, other: int) -> None:
    swapped = swap(digests(), slice(32 * one, 32 * one + 32), slice(32 * other, 32 * other + 32))
    receiver = ready()
    tell(receiver, m.Digests(0, swapped))
    if one == other:
        tell(receiver, m.Finished(content_digest()))
    else:
        with pytest.raises(ProtocolError, match="content digest"):
            tell(receiver, m.Finished(content_digest()))


@pytest.mark.parametrize("entry", [0, 3, 4, 999_999])
def test_only_files_with_content_restart(entry: int) -> None:
    with pytest.raises(ProtocolError):
        tell(ready(), m.Restart(entry))


def test_a_file_restarts_once() -> None:
    receiver = ready()
    tell(receiver, m.Restart(1))
    assert receiver.effects() == [fx.ForgetContent(0, 20)]
    assert heard(receiver) == [m.Again(1)]
    with pytest.raises(ProtocolError):
        tell(receiver, m.Restart(1))


def test_a_file_that_is_ready_does_not_restart() -> None:
    receiver = ready()
    tell(receiver, m.Digests(0, digests()))
    receiver.stored(0, 23)
    verify_all(receiver)
    with pytest.raises(ProtocolError):
        tell(receiver, m.Restart(2))


@pytest.mark.parametrize("entry", [0, 4, 999_999])
def test_only_files_fail(entry: int) -> None:
    with pytest.raises(ProtocolError):
        tell(ready(), m.Failed(entry, ""))


def test_a_file_fails_once() -> None:
    receiver = ready()
    tell(receiver, m.Failed(1, "gone"))
    for again in (m.Failed(1, "gone"), m.Restart(1), m.Digests(0, bytes(32))):
        with pytest.raises(ProtocolError):
            tell(receiver, again)


def test_a_file_that_fails_after_finished_needs_another_finished() -> None:
    receiver = ready()
    tell(receiver, m.Digests(0, digests()), m.Finished(content_digest()), m.Failed(1, "gone"))
    receiver.stored(0, 23)
    assert verify_all(receiver) == [
        fx.WaiveContent(0, 20),
        fx.FileFailed(1, "gone"),
        fx.FilesReady((2,)),
    ]
    tell(receiver, m.Finished(content_digest(failed=(1,))))
    assert verify_all(receiver) == [fx.Publish()]


def test_a_file_is_dropped_only_when_nobody_reads_it() -> None:
    for message, then in (
        (m.Failed(1, "gone"), fx.FileFailed(1, "gone")),
        (m.Restart(1), fx.ForgetContent(0, 20)),
    ):
        receiver = ready()
        tell(receiver, m.Digests(0, digests()))
        receiver.stored(0, 20)
        (work,) = receiver.effects()
        assert isinstance(work, fx.VerifyChunks) and len(work.chunks) == 3
        tell(receiver, message)
        assert all(isinstance(effect, fx.WaiveContent) for effect in receiver.effects())
        for chunk in work.chunks:
            assert receiver.effects() == []
            assert heard(receiver) == []
            receiver.verified(chunk.number, bytes(32))
        assert receiver.effects() == [then]


def test_mf09_digests_are_compared_only_with_what_the_peer_sent() -> None:
    """A digest alone says nothing about our files: no answer before all bytes of the chunk came."""
    receiver = ready()
    tell(receiver, m.Digests(0, digests()))
    receiver.stored(0, 7)
    assert receiver.effects() == []
    assert heard(receiver) == []
    for party in (idle_receiver(), listing(), asking(), preparing()):
        heard(party)
        with pytest.raises(ProtocolError):
            tell(party, m.Digests(0, digests()))
        assert heard(party) == []


# Lies of the receiver.


def test_mf14_the_true_receipt_is_taken() -> None:
    sender = finished()
    tell(sender, receipt())
    (effect,) = sender.effects()
    assert isinstance(effect, fx.Delivered)
    assert effect.receipt.verified(verify)


LIES: dict[str, dict[str, object]] = {
    "signed by another": {"key": ALICE},
    "not signed": {"signature": bytes(64)},
    "for another sender": {"sender": BOB},
    "for another receiver": {"receiver": ALICE},
    "of another transfer": {"id": bytes(16)},
    "for another manifest": {"manifest_digest": bytes(32)},
    "for other content": {"content_digest": bytes(32)},
    "too few files": {"files": 2},
    "too many files": {"files": 4},
    "skipped and published": {"skipped": 1},
    "fewer bytes": {"size": 22},
    "more bytes": {"size": 24},
    "more bytes though skipped": {"files": 2, "skipped": 1, "size": 24},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_mf14_forged_and_replayed_receipts_are_refused(lie: dict[str, object]) -> None:
    sender = finished()
    with pytest.raises(ProtocolError):
        tell(sender, receipt(**lie))
    assert sender.effects() == []
    assert sender.state is sending.State.FINISHED


def test_mf14_a_signature_covers_every_field() -> None:
    for change in ({"files": 2, "skipped": 1}, {"time": NOW + 1}):
        sender = finished()
        told = receipt()._replace(**change)  # type: ignore[arg-type]
        with pytest.raises(ProtocolError, match="signed"):
            tell(sender, told)


def test_mf14_a_receipt_names_the_manifest_that_it_is_for() -> None:
    with pytest.raises(ProtocolError, match="fit"):
        tell(finished(), receipt()._replace(manifest_digest=bytes(32)))


def test_mf14_an_early_receipt_is_refused() -> None:
    sender = sending_all()
    with pytest.raises(ProtocolError, match="early"):
        tell(sender, receipt())
    assert not any(isinstance(effect, fx.Delivered) for effect in sender.effects())


def test_mf14_a_receipt_for_more_than_could_arrive_is_refused() -> None:
    sender = finished()
    sender.fail(1, "gone")
    tell_all = heard(sender)
    assert tell_all[-1] == m.Finished(content_digest(failed=(1,)))
    with pytest.raises(ProtocolError, match="fit"):
        tell(sender, receipt(content_digest=content_digest(failed=(1,))))
    tell(
        sender,
        receipt(content_digest=content_digest(failed=(1,)), files=2, skipped=1, size=3),
    )
    assert sender.state is sending.State.DELIVERED


@pytest.mark.parametrize("number", [4, 5, 2**43])
def test_a_retry_for_no_chunk_is_refused(number: int) -> None:
    with pytest.raises(ProtocolError):
        tell(finished(), m.Retry((0, number)))


@pytest.mark.parametrize("entry", [0, 1, 2, 999_999])
def test_again_without_a_restart_is_refused(entry: int) -> None:
    with pytest.raises(ProtocolError):
        tell(finished(), m.Again(entry))


def test_again_counts_once() -> None:
    sender = finished()
    tell(sender, m.Retry((0,)))
    assert heard(sender) == [m.Restart(1)]
    tell(sender, m.Again(1))
    with pytest.raises(ProtocolError):
        tell(sender, m.Again(1))


def test_a_restart_waits_until_no_content_of_the_old_state_is_under_way() -> None:
    """What RESTART overtakes would come after it, and be taken for the new."""
    asked: list[tuple[int, int]] = []
    under_way = True

    def withdraw(start: int, end: int) -> bool:
        asked.append((start, end))
        return not under_way

    manifest = Manifest([file("a", 10), file("b", 20)])
    sender = Sender(
        manifest, transfer_id=TRANSFER, ours=ALICE, theirs=BOB, verify=verify, withdraw=withdraw
    )
    sender.start()
    heard(sender)
    tell(sender, m.Accept())
    while effects := sender.effects():
        for effect in effects:
            for chunk in effect.chunks if isinstance(effect, fx.DigestChunks) else ():
                sender.digest(chunk.number, bytes(32))
    tell(sender, m.Retry((manifest.chunks(1).start,)))
    for _ in range(3):
        assert not any(isinstance(effect, fx.RestartSource) for effect in sender.effects())
        assert not any(isinstance(message, m.Restart) for message in heard(sender))
    assert set(asked) == {(10, 30)}
    under_way = False
    assert fx.RestartSource(1) in sender.effects()
    assert m.Restart(1) in heard(sender)


def test_retries_make_a_file_restart_once_then_fail() -> None:
    sender = finished()
    tell(sender, m.Retry((0, 1, 2)))
    tell(sender, m.Retry((1,)))
    assert heard(sender) == [m.Restart(1)]
    tell(sender, m.Again(1))
    effects = sender.effects()
    assert effects[:2] == [fx.RestartSource(1), fx.SendContent(0, 20)]
    assert isinstance(effects[2], fx.DigestChunks)
    tell(sender, m.Retry((1,)))
    assert heard(sender) == [m.Failed(1, sending.REASON_CHANGED)]


def test_no_content_leaves_before_consent() -> None:
    sender = idle_sender()
    sender.start()
    while sender.state is not sending.State.ASKING:
        assert sender.effects() == []
        sender.outgoing(100)
    tell(sender, m.Accept())
    assert fx.SendContent(0, 23) in sender.effects()


def test_acceptance_before_the_offer_is_out_is_refused() -> None:
    with pytest.raises(ProtocolError):
        tell(listing_sender(), m.Accept())


def test_what_the_peer_says_after_the_end_is_not_read() -> None:
    receiver = ready()
    tell(receiver, m.Abort(4, "stop"))
    receiver.control(b"\xff" * 100)
    assert receiver.effects() == [fx.Aborted(4, "stop")]
    receiver.abort(4, "too")
    assert heard(receiver) == []


def test_work_for_the_disk_ends_with_an_abort() -> None:
    receiver = ready()
    tell(receiver, m.Digests(0, digests()))
    receiver.stored(0, 23)
    receiver.abort(5, "disk")
    assert receiver.effects() == []
    assert heard(receiver) == [m.Abort(5, "disk")]
    receiver.stored(0, 1)
    receiver.verified(0, bytes(32))
    receiver.published(3, 23, NOW)
    assert receiver.effects() == [] and heard(receiver) == []


def test_publishing_that_has_not_begun_ends_with_an_abort() -> None:
    receiver = ready()
    tell(receiver, m.Digests(0, digests()))
    receiver.stored(0, 23)
    verify_all(receiver)
    tell(receiver, m.Finished(content_digest()))
    assert receiver.state is receiving.State.PUBLISHING
    receiver.abort(4, "stop")
    assert receiver.effects() == []


def test_a_file_that_failed_is_not_sent_again() -> None:
    sender = finished()
    tell(sender, m.Retry((0,)))
    sender.fail(1, "gone")
    tell(sender, m.Again(1))
    others = [e for e in sender.effects() if not isinstance(e, fx.RestartSource)]
    assert others == [fx.SkipContent(0, 20)]
    assert heard(sender)[-1] == m.Finished(content_digest(failed=(1,)))


@pytest.mark.parametrize(("failed", "left"), [(1, {2}), (2, {1})])
def test_a_file_that_failed_is_not_digested(failed: int, left: set[int]) -> None:
    sender = sending_all()
    sender.fail(failed, "gone")
    work = [e for e in sender.effects() if isinstance(e, fx.DigestChunks)]
    assert {chunk.entry for effect in work for chunk in effect.chunks} == left


def test_late_answers_of_the_worker_are_nothing_after_an_abort() -> None:
    sender = sending_all()
    sender.effects()
    sender.abort(4, "stop")
    sender.digest(0, bytes(32))
    sender.fail(1, "gone")
    sender.changed(1)
    assert heard(sender) == [m.Abort(4, "stop")]
    assert sender.effects() == []


def test_digests_follow_the_content() -> None:
    with small_chunks(1 << 20):
        manifest = Manifest([file("big", 200 << 20)])
        sender = Sender(manifest, transfer_id=TRANSFER, ours=ALICE, theirs=BOB, verify=verify)
        sender.start()
        heard(sender)
        tell(sender, m.Accept())
        for sent, last in ((0, None), ((10 << 20) - 1, 8), (10 << 20, 9), (200 << 20, 199)):
            sender.content_sent(sent)
            given: list[Chunk] = []
            while chunks := [
                chunk
                for effect in sender.effects()
                if isinstance(effect, fx.DigestChunks)
                for chunk in effect.chunks
            ]:
                assert sum(chunk.length for chunk in chunks) <= 64 << 20
                given += chunks
                for chunk in chunks:
                    sender.digest(chunk.number, bytes(32))
            assert (given[-1].number if given else None) == last
        assert isinstance(heard(sender)[-1], m.Finished)
