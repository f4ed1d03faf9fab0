"""Streams: pieces in order, as much in memory as there is room for, and an end that is told."""

import itertools
from functools import partial
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from securecp.errors import (
    FullError,
    InterruptedTransferError,
    ProtocolError,
    SecurecpError,
    SourceError,
    StorageError,
)
from securecp.events import Done, Offered, Progress
from securecp.sending import SendStreamSession
from securecp.transfer import effects as fx
from securecp.transfer import messages as m
from securecp.transfer import receiver as receiving
from securecp.transfer.manifest import STREAM, Entry, Manifest
from securecp.transfer.offer import summarise
from securecp.transfer.offering import State
from securecp.transfer.receipt import Receipt
from securecp.transfer.receiver import Receiver
from securecp.transfer.streaming import Assembly, StreamDigest, StreamSender
from securecp.transport.connection import Connection
from tests.transfer.meeting import Meeting, Report, Shop
from tests.transfer.pair import ALICE, BOB, NOW, TRANSFER, file, sign_as, some_bytes, verify
from tests.transfer.test_states import heard, listed, tell

MIB = 1 << 20
ENTRY = Entry(STREAM, 0, b"backup.tar", 0, 0o644, 0)
MANIFEST = Manifest([ENTRY])


def piece(offset: int, data: bytes) -> m.Piece:
    return m.Piece(offset, len(data), blake3(data).digest())


def content_digest(*pieces: bytes) -> bytes:
    inner = blake3(b"".join(blake3(data).digest() for data in pieces)).digest()
    return blake3(inner).digest()


def streaming() -> Receiver:
    receiver = listed([ENTRY])
    receiver.accept()
    receiver.prepared()
    assert receiver.state is receiving.State.STREAMING
    assert heard(receiver) == [m.Accept()]
    receiver.effects()
    return receiver


def taken(receiver: Receiver) -> bytes:
    return b"".join(
        data
        for effect in receiver.effects()
        if isinstance(effect, fx.AppendData)
        for data in effect.data
    )


# The receiver.


def test_a_stream_is_the_only_entry_of_its_offer() -> None:
    assert (MANIFEST.files, MANIFEST.size, MANIFEST.chunk_count) == (1, 0, 0)
    for entries in ([ENTRY, file("a", 1)], [file("a", 1), ENTRY], [ENTRY, ENTRY]):
        with pytest.raises(ValueError, match="stream"):
            Manifest(entries)
    with pytest.raises(ValueError, match="size"):
        Manifest([ENTRY._replace(size=1)])


def test_consent_says_that_it_is_a_stream() -> None:
    summary = summarise(MANIFEST, TRANSFER)
    assert summary.stream and summary.files == 1
    assert summary.remarks[0].reasons == ("is of unknown length",)
    assert not summarise(Manifest([file("a", 1)]), TRANSFER).stream


def test_pieces_come_out_in_order_and_only_whole_and_right() -> None:
    receiver = streaming()
    receiver.streamed(5, bytearray(b"world"))
    receiver.streamed(0, bytearray(b"hello"[:3]))
    assert (taken(receiver), receiver.held) == (b"", 8)
    tell(receiver, piece(0, b"hello"))
    assert taken(receiver) == b""
    receiver.streamed(3, bytearray(b"lo"))
    assert (taken(receiver), receiver.held, receiver.streamed_size) == (b"hello", 5, 5)
    tell(receiver, piece(5, b"wor"), piece(8, b"ld"))
    assert (taken(receiver), receiver.held) == (b"world", 0)
    tell(receiver, m.Finished(content_digest(b"hello", b"wor", b"ld")))
    assert receiver.effects() == [fx.Publish()]
    receiver.published(1, 10, NOW)
    (told,) = heard(receiver)
    assert isinstance(told, m.Received) and (told.files, told.skipped, told.size) == (1, 0, 10)


def test_the_end_may_come_before_the_last_bytes() -> None:
    receiver = streaming()
    tell(receiver, piece(0, b"hello"), m.Finished(content_digest(b"hello")))
    assert receiver.effects() == []
    receiver.streamed(0, bytearray(b"hello"))
    assert receiver.effects()[-1] == fx.Publish()


def test_an_empty_stream_arrives() -> None:
    receiver = streaming()
    tell(receiver, m.Finished(content_digest()))
    assert receiver.effects() == [fx.Publish()]
    receiver.published(1, 0, NOW)


@pytest.mark.parametrize(
    "told",
    [
        pytest.param([piece(1, b"ello")], id="a gap"),
        pytest.param([piece(0, b"hello"[:3]), piece(2, b"lo")], id="an overlap"),
        pytest.param([piece(0, b"hello"[:3]), piece(0, b"hello"[:3])], id="the same again"),
        pytest.param([piece(0, b"jello")], id="another digest"),
        pytest.param([piece(0, b"hello"), m.Finished(bytes(32))], id="another content digest"),
        pytest.param([m.Finished(content_digest())], id="mf05 more than was told"),
        pytest.param(
            [piece(0, b"hello"), *[m.Finished(content_digest(b"hello", b"x"))]], id="one is missing"
        ),
    ],
)
def test_tr06_mf13_pieces_that_do_not_fit_are_refused(told: list[m.Message]) -> None:
    receiver = streaming()
    receiver.streamed(0, bytearray(b"hello"))
    with pytest.raises(ProtocolError):
        tell(receiver, *told)
    assert not any(isinstance(effect, fx.Publish) for effect in receiver.effects())


def test_mf13_a_stream_that_stops_without_its_end_is_not_published() -> None:
    receiver = streaming()
    receiver.streamed(0, bytearray(b"hello"))
    tell(receiver, piece(0, b"hello"))
    assert not any(isinstance(effect, fx.Publish) for effect in receiver.effects())
    for late in (piece(5, b"x"), m.Finished(content_digest(b"hello"))):
        receiver = streaming()
        tell(receiver, piece(0, b"hello"), m.Finished(content_digest(b"hello")))
        with pytest.raises(ProtocolError):
            tell(receiver, late)


def test_a_stream_has_no_chunks_to_tell_of() -> None:
    for message in (
        m.Digests(0, bytes(32)),
        m.Zeros((range(1),)),
        m.Restart(0),
        m.Failed(0, "gone"),
    ):
        with pytest.raises(ProtocolError, match="belong"):
            tell(streaming(), message)


def test_more_than_was_streamed_cannot_be_published() -> None:
    receiver = streaming()
    tell(receiver, m.Finished(content_digest()))
    for files, size in ((2, 0), (1, 1)):
        with pytest.raises(ValueError):
            receiver.published(files, size, NOW)


def test_mf03_what_is_told_ahead_is_bounded() -> None:
    receiver = streaming()
    with pytest.raises(ProtocolError, match="ahead"):
        for offset in range(20_000):
            tell(receiver, m.Piece(offset, 1, bytes(32)))


def test_small_runs_are_joined_and_those_behind_gaps_are_bounded() -> None:
    assembly = Assembly()
    for offset in range(50_000):
        assembly.store(offset, bytearray(1))
    assert len(assembly._front) == 1 and assembly.held == 50_000
    with pytest.raises(ProtocolError, match="too many"):
        for offset in range(60_000, 200_000, 2):
            assembly.store(offset, bytearray(1))


@given(st.lists(st.integers(1, 40), max_size=12), st.lists(st.integers(1, 30)), st.randoms())
def test_any_cut_and_order_gives_the_same_stream(
    pieces: list[int], cuts: list[int], random: Any
) -> None:
    size = sum(pieces)
    data = some_bytes("stream", size)
    runs, at = [], 0
    for cut in [*cuts, *[7] * size]:
        if at < size:
            runs.append((at, data[at : at + cut]))
            at += cut
    steps: list[Any] = runs
    random.shuffle(steps)
    bounds = [sum(pieces[:count]) for count in range(len(pieces) + 1)]
    told = [piece(start, data[start:end]) for start, end in itertools.pairwise(bounds)]
    assembly, out = Assembly(), bytearray()
    while steps or told:
        if told and (not steps or random.random() < 0.3):
            assembly.told(told.pop(0))
        else:
            offset, run = steps.pop()
            assembly.store(offset, bytearray(run))
        out += b"".join(assembly.take())
    assert out == data and assembly.complete and not assembly.held


# The sender.


def sender() -> StreamSender:
    party = StreamSender(MANIFEST, transfer_id=TRANSFER, ours=ALICE, theirs=BOB, verify=verify)
    party.start()
    heard(party)
    tell(party, m.Accept())
    assert party.effects() == [fx.StreamAccepted()] and party.accepted
    return party


def receipt(files: int, skipped: int, size: int, content: bytes) -> m.Received:
    made = Receipt(ALICE, BOB, TRANSFER, MANIFEST.digest, content, files, skipped, size, NOW)
    signed = made.signed(lambda message: sign_as(BOB, message))
    return m.Received(files, skipped, size, NOW, MANIFEST.digest, content, signed.signature)


def ended() -> StreamSender:
    party = sender()
    party.piece(5, blake3(b"hello").digest())
    party.piece(1, blake3(b"!").digest())
    party.end()
    assert heard(party) == [
        piece(0, b"hello"),
        piece(5, b"!"),
        m.Finished(content_digest(b"hello", b"!")),
    ]
    return party


def test_the_receipt_of_a_stream_is_for_all_of_it_or_nothing() -> None:
    content = content_digest(b"hello", b"!")
    for figures in ((1, 0, 6), (0, 1, 0)):
        party = ended()
        tell(party, receipt(*figures, content))
        assert party.state is State.DELIVERED
    for figures in ((1, 0, 5), (1, 0, 7), (0, 1, 6), (0, 0, 0), (1, 1, 6), (2, 0, 6)):
        with pytest.raises(ProtocolError, match="fit"):
            tell(ended(), receipt(*figures, content))
    with pytest.raises(ProtocolError, match="other content"):
        tell(ended(), receipt(1, 0, 6, bytes(32)))
    with pytest.raises(ProtocolError, match="signed"):
        tell(ended(), receipt(1, 0, 6, content)._replace(signature=bytes(64)))
    with pytest.raises(ProtocolError, match="belong"):
        tell(sender(), receipt(1, 0, 0, content_digest()))


def test_a_stream_is_never_resumed() -> None:
    early: list[m.Message] = [m.Have((range(1),)), m.Drop((0,), 0)]
    late: list[m.Message] = [m.Want((0,)), m.Retry((0,)), m.Again(0)]
    for message in early:
        party = StreamSender(MANIFEST, transfer_id=TRANSFER, ours=ALICE, theirs=BOB, verify=verify)
        party.start()
        heard(party)
        with pytest.raises(ProtocolError, match="belong"):
            tell(party, message)
    for message in late:
        with pytest.raises(ProtocolError, match="belong"):
            tell(sender(), message)


def test_the_content_digest_is_that_of_one_file_of_pieces() -> None:
    digest = StreamDigest()
    assert digest.digest() == content_digest()
    digest.add(blake3(b"hello").digest())
    assert digest.digest() == content_digest(b"hello")


# Both sessions.


class Input:
    """What is read, as far as a test lets it come."""

    def __init__(self) -> None:
        self.data = b""
        self.available = 0
        self.ended = False
        self.error: SecurecpError | None = None
        self.idle_since: float | None = None
        self.released = 0
        self.closed = False

    def give(self, data: bytes) -> None:
        self.data += data
        self.available += len(data)

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        for slot in slots:
            assert self.released <= offset and offset + len(slot) <= self.available
            slot[:] = self.data[offset : offset + len(slot)]
            offset += len(slot)

    def peek(self, offset: int, length: int) -> memoryview:
        assert self.released <= offset
        return memoryview(self.data)[offset : offset + length]

    def release(self, offset: int) -> None:
        assert self.released <= offset <= self.available
        self.released = offset

    def close(self) -> None:
        self.closed = True


class Output:
    """What is taken, as far as a test lets it go."""

    unsaved = 0

    def __init__(self) -> None:
        self.data = b""
        self.stuck = False
        self.backlog = 0
        self.wrong: Exception | None = None
        self.ends: list[str] = []

    def ends_with(self, data: bytes) -> bool:
        return self.data.endswith(data)

    def prepare(self, manifest: Manifest) -> None:
        assert manifest.columns.stream

    def append(self, data: memoryview) -> None:
        if self.wrong is not None:
            raise self.wrong
        self.data += data
        if self.stuck:
            self.backlog += len(data)

    def due(self, now: float) -> bool:
        return False

    def checkpoint(self) -> None:
        raise AssertionError("nothing is due")

    def publish(self) -> Report:
        self.ends.append("publish")
        return Report(1, len(self.data))

    def suspend(self) -> None:
        self.ends.append("suspend")


def meeting(window: int = 1 << 20, **receiving: Any) -> tuple[Meeting, Input, Output]:
    source, sink = Input(), Output()

    def offer(connection: Connection, shop: Shop, ours: bytes) -> SendStreamSession:
        return SendStreamSession(
            connection,
            shop,
            1.0,
            manifest=MANIFEST,
            source=source,
            ours=ours,
            entropy=bytes,
        )

    told = {"open_stream": lambda *_: sink, **receiving}
    return Meeting(offer, window=window, **told), source, sink


DATA = some_bytes("a stream", 3 * MIB + 17)


def test_a_stream_arrives_whole() -> None:
    met, source, sink = meeting()
    source.give(DATA)
    source.ended = True
    met.run()
    assert met.sender.failure is met.receiver.failure is None
    assert sink.data == DATA and sink.ends == ["publish"]
    assert source.released == len(DATA) and source.closed
    for session in (met.sender, met.receiver):
        (done,) = met.told(session, Done)
        assert (done.size, done.files, done.names) == (len(DATA), 1, (b"backup.tar",))
        assert met.told(session, Offered)[0].stream
        assert {event.size for event in met.told(session, Progress)} == {0}


def test_what_comes_slowly_is_passed_on_at_once() -> None:
    met, source, sink = meeting()
    met.wait(0.2)
    for word in (b"one ", b"two ", b"three "):
        before = sink.data
        source.give(word)
        source.idle_since = met.now
        met.wait(0.3, partial(sink.ends_with, word))
        assert sink.data == before + word
    source.ended = True
    met.run()
    assert met.sender.failure is None and sink.data == b"one two three "


def test_short_pieces_do_not_pile_up() -> None:
    """A piece that is not full waits until all before it have arrived."""
    met, source, _ = meeting()
    met.wait(0.2)
    met.cut = True
    for _ in range(50):
        source.give(b"x")
        source.idle_since = met.now
        met.wait(0.1)
    assert met.sender.party.told == 1  # type: ignore[attr-defined]


def test_f44_a_reader_that_stops_stops_the_writer_and_nobody_gives_up() -> None:
    room = 2 * MIB  # more than the window, so that a piece fits
    met, source, sink = meeting(window=256 << 10)
    sink.stuck = True
    source.give(DATA)
    met.wait(60.0)
    assert not (met.sender.over or met.receiver.over)
    assert sink.backlog + met.receiver.party.held <= room
    assert MIB < met.receiver.connection.content_in.stored <= room
    for _ in range(4):  # longer than the transport waits for a peer that takes nothing
        met.wait(60.0)
    assert [met.sender.over, met.receiver.over] == [False, False]
    sink.stuck, sink.backlog = False, 0
    source.ended = True
    met.run()
    assert met.sender.failure is None and sink.data == DATA


def test_a_stream_keeps_to_a_small_limit() -> None:
    met, source, sink = meeting(window=100_000, limit=400_000)
    source.give(DATA)
    source.ended = True
    met.run()
    assert met.sender.failure is None and sink.data == DATA
    assert met.now > 1.0 + len(DATA) / 440_000


def test_f12_a_full_disk_ends_a_stream_for_good() -> None:
    met, source, sink = meeting()
    source.give(DATA)
    sink.wrong = FullError("full", needed=5)
    met.run()
    assert sink.ends == ["suspend"]
    assert met.sender.code == m.CODE_STORAGE
    assert type(met.sender.failure) is SecurecpError
    assert isinstance(met.receiver.failure, FullError)


def test_an_output_that_breaks_ends_both() -> None:
    met, source, sink = meeting()
    source.give(DATA)
    sink.wrong = StorageError("the reader has gone")
    met.run()
    assert met.receiver.failure is sink.wrong and sink.ends == ["suspend"]


def test_an_input_that_breaks_ends_both() -> None:
    met, source, sink = meeting()
    source.give(b"some")
    met.wait(0.5)
    source.error = SourceError("a bad tape")
    met.run()
    assert met.sender.failure is source.error
    assert met.receiver.failure is not None and sink.ends == ["suspend"]


def test_a_person_who_stops_a_stream_is_told_apart() -> None:
    met, source, _ = meeting()
    source.give(b"some")
    met.wait(0.5)
    met.receiver.cancel("enough")
    met.run()
    assert isinstance(met.sender.failure, InterruptedTransferError) and met.sender.cancelled


def test_streams_are_declined_where_nobody_takes_them() -> None:
    met, _, _ = meeting(open_stream=None)
    met.run()
    assert met.sender.code == m.CODE_NO_ROOM
    assert isinstance(met.receiver.failure, StorageError)
