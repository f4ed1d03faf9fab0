"""Messages: vectors, one form for each, any cut of the stream, and nothing but what they say."""

import contextlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keys import xeddsa
from securecp import codec
from securecp.errors import ProtocolError
from securecp.transfer import effects, messages
from securecp.transfer.chunks import Digests
from securecp.transfer.framing import MESSAGE_LIMIT, Inbox, Outbox
from securecp.transfer.manifest import Entry, Manifest, ManifestReader
from securecp.transfer.receipt import Receipt
from securecp.transfer.receiver import Receiver, State
from tests.transfer.pair import file, folder, small_chunks

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "transfer.json").read_text())
NAMES = [vector["name"] for vector in VECTORS["messages"]]


def value(plain: Any) -> Any:
    if isinstance(plain, dict):
        return bytes.fromhex(plain["hex"])
    return tuple(map(value, plain)) if isinstance(plain, list) else plain


def field(name: str, plain: Any) -> Any:
    return tuple(range(*pair) for pair in plain) if name == "spans" else value(plain)


def named(vector: dict[str, Any]) -> messages.Message:
    made: messages.Message = getattr(messages, vector["type"])(
        **{name: field(name, plain) for name, plain in vector["fields"].items()}
    )
    return made


SAMPLES = [bytes.fromhex(vector["hex"]) for vector in VECTORS["messages"]]


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=NAMES)
def test_messages_are_as_the_vectors_say(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    parsed = messages.parse(raw)
    assert (type(parsed), parsed) == (type(named(vector)), named(vector))
    assert messages.encode(named(vector)) == raw


@pytest.mark.parametrize(
    "vector", VECTORS["refused"], ids=[vector["name"] for vector in VECTORS["refused"]]
)
def test_dg12_refused_messages_are_as_the_vectors_say(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        messages.parse(bytes.fromhex(vector["hex"]))


def test_the_vectors_have_every_message() -> None:
    kinds = {messages.TYPES[type(named(vector))] for vector in VECTORS["messages"]}
    assert kinds == set(range(1, 18))


def test_the_vectors_have_a_whole_transfer() -> None:
    told = VECTORS["transfer"]
    manifest = Manifest([Entry(*value(entry)) for entry in told["entries"]])
    assert [page.hex() for page in manifest.pages()] == [told["page"]]
    assert manifest.digest.hex() == told["manifest_digest"]
    assert blake3(bytes.fromhex(told["page"])).hexdigest() == told["manifest_digest"]
    big = bytes(range(256)) * 4_096 + b"end"
    chunks = [blake3(data).digest() for data in (b"hello", big[: 1 << 20], big[1 << 20 :])]
    assert [digest.hex() for digest in chunks] == told["chunk_digests"]
    digests = Digests(manifest)
    digests.put(0, b"".join(chunks))
    assert digests.content().hex() == told["content_digest"]
    digests.fail(3)
    failed = digests.content().hex()
    assert failed == told["content_digest_if_entry_3_failed"]
    files = [chunks[0], b"", chunks[1] + chunks[2]]
    whole = blake3(b"".join(blake3(file).digest() for file in files)).hexdigest()
    assert whole == told["content_digest"]


@settings(max_examples=60)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 8, 9, 30]), min_size=1, max_size=6),
    steps=st.lists(st.tuples(st.sampled_from(["put", "zeros", "fail", "ask"]), st.integers(0, 30))),
)
def test_the_content_digest_is_the_same_however_often_it_is_asked_for(
    sizes: list[int], steps: list[tuple[str, int]]
) -> None:
    """A peer may make us compute it again for each file: not from all chunks each time."""
    with small_chunks(8):
        manifest = Manifest([folder("d"), *(file(f"{i}", size, 1) for i, size in enumerate(sizes))])
        digests, plain = Digests(manifest), [bytes(32)] * manifest.chunk_count
        failed: set[int] = set()
        for number, (step, which) in enumerate(steps):
            at = which % max(1, len(plain))
            if step == "put" and plain:
                plain[at] = blake3(b"%d" % number).digest()
                digests.put(at, plain[at])
            elif step == "zeros" and plain:
                digests.put_zeros(range(at, len(plain)))
                for chunk in map(manifest.chunk, range(at, len(plain))):
                    plain[chunk.number] = blake3(bytes(chunk.length)).digest()
            elif step == "fail":
                failed.add(1 + which % len(sizes))
                digests.fail(1 + which % len(sizes))
            files = [
                bytes(32)
                if entry in failed
                else blake3(b"".join(plain[n] for n in manifest.chunks(entry))).digest()
                for entry in range(1, 1 + len(sizes))
            ]
            if step == "ask":
                assert digests.content() == blake3(b"".join(files)).digest()


def test_mf14_the_vectors_have_a_receipt() -> None:
    told = VECTORS["transfer"]
    receipt = Receipt.parse(bytes.fromhex(told["kept_receipt"]))
    assert receipt.statement().hex() == told["statement"]
    assert receipt.content_digest.hex() == told["content_digest"]
    assert receipt.verified(xeddsa.verify)
    scalar = bytes.fromhex(told["receiver_scalar"])
    signature = xeddsa.sign(scalar, receipt.statement(), bytes)
    assert signature.hex() == told["signature"] == receipt.signature.hex()


def test_mf15_mf19_no_message_asks_for_anything_else() -> None:
    """The grammar as a whole: none of seventeen messages has room for a path, flag or command."""
    fields = {kind.__name__: list(kind._fields) for kind in messages.Message.__args__}
    assert fields == {
        "Offer": ["transfer_id", "entries", "files", "size", "pages", "digest"],
        "Page": ["raw"],
        "Accept": [],
        "Decline": ["code", "reason"],
        "Digests": ["first", "digests"],
        "Retry": ["chunks"],
        "Restart": ["entry"],
        "Failed": ["entry", "reason"],
        "Finished": ["digest"],
        "Received": [
            "files",
            "skipped",
            "size",
            "time",
            "manifest_digest",
            "content_digest",
            "signature",
        ],
        "Abort": ["code", "reason"],
        "Again": ["entry"],
        "OtherOffer": ["version", "raw"],
        "Have": ["spans"],
        "Want": ["chunks"],
        "Drop": ["entries", "code"],
        "Zeros": ["spans"],
        "Piece": ["offset", "length", "digest"],
    }
    entry = ("kind", "parent", "name", "size", "mode", "mtime_ns", "target")
    assert Entry._fields == entry


@pytest.mark.parametrize("kind", [-1, 0, *range(18, 300), 2**32, 2**64 - 1])
def test_mf15_unknown_messages_are_refused(kind: int) -> None:
    for fields in ([], [b"/etc/passwd"], [0, 0], [{"unpack": True}]):
        with pytest.raises(ProtocolError):
            messages.parse(codec.encode([kind, *fields]))


def test_mf08_nothing_is_ever_decompressed() -> None:
    """Content is stored as it comes and no field says otherwise: one byte in is one byte out."""
    package = Path(messages.__file__).parent
    for source in package.glob("*.py"):
        text = source.read_text()
        for library in ("zlib", "gzip", "bz2", "lzma", "zstd", "tarfile", "zipfile"):
            assert library not in text


@given(st.binary(max_size=120))
@example(b"\x93\x02")
def test_dg11_any_bytes_parse_or_raise(raw: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        parsed = messages.parse(raw)
        if isinstance(parsed, messages.Page):
            ManifestReader().page(raw)
        assert messages.encode(parsed) == raw


@given(st.sampled_from(SAMPLES), st.integers(0, 10_000), st.integers(0, 255))
def test_dg11_a_changed_byte_parses_or_raises(raw: bytes, where: int, byte: int) -> None:
    data = bytearray(raw)
    data[where % len(data)] = byte
    with contextlib.suppress(ProtocolError):
        parsed = messages.parse(bytes(data))
        if isinstance(parsed, messages.Page):
            ManifestReader().page(bytes(data))
        assert messages.encode(parsed) == data


@pytest.mark.parametrize("raw", SAMPLES, ids=NAMES)
def test_dg02_no_prefix_of_a_message_is_one(raw: bytes) -> None:
    for length in range(len(raw)):
        with pytest.raises(ProtocolError):
            parsed = messages.parse(raw[:length])
            assert isinstance(parsed, messages.Page)
            ManifestReader().page(raw[:length])


@given(st.lists(st.integers(0, 700)), st.lists(st.integers(1, 700), min_size=1))
def test_any_cut_of_the_stream_gives_the_same_messages(cuts: list[int], rooms: list[int]) -> None:
    stream = bytes.fromhex(VECTORS["stream"])
    bounds = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    inbox = Inbox()
    came: list[bytes] = []
    for start, end in itertools.pairwise(bounds):
        inbox.feed(memoryview(stream)[start:end])
        came += inbox.messages()
    assert came == SAMPLES
    outbox = Outbox()
    for raw in SAMPLES:
        outbox.put(raw)
    left = b""
    turn = 0
    while outbox:
        room = rooms[turn % len(rooms)]
        part = outbox.take(room)
        assert 0 < len(part) <= room
        left += part
        turn += 1
    assert left == stream


@pytest.mark.parametrize("length", [0, MESSAGE_LIMIT + 1, 2**31, 2**32 - 1])
def test_dg10_a_length_out_of_range_is_refused_at_once(length: int) -> None:
    inbox = Inbox()
    inbox.feed(length.to_bytes(4, "big"))
    with pytest.raises(ProtocolError):
        list(inbox.messages())


def test_dg10_the_longest_message_passes() -> None:
    inbox = Inbox()
    inbox.feed(MESSAGE_LIMIT.to_bytes(4, "big") + bytes(MESSAGE_LIMIT))
    assert [len(message) for message in inbox.messages()] == [MESSAGE_LIMIT]
    with pytest.raises(ValueError):
        Outbox().put(bytes(MESSAGE_LIMIT + 1))


def test_a_message_that_has_begun_is_ended() -> None:
    outbox = Outbox()
    outbox.put(b"first")
    outbox.put(b"second")
    begun = outbox.take(6)
    outbox.drop_unsent()
    outbox.put(b"third")
    inbox = Inbox()
    inbox.feed(begun + outbox.take(100))
    assert list(inbox.messages()) == [b"first", b"third"]


@pytest.mark.parametrize("version", [0, 1, 3, 2**32 - 1])
def test_f42_an_offer_of_another_version_is_declined_in_words_that_name_both(version: int) -> None:
    receiver = Receiver(ours=bytes(32), theirs=bytes(32), sign=bytes)
    raw = codec.encode([1, version, b"whatever comes then", {"new": True}])
    receiver.control(len(raw).to_bytes(4, "big") + raw)
    (effect,) = receiver.effects()
    assert isinstance(effect, effects.Declined) and effect.code == messages.CODE_VERSION
    for number in (version, messages.VERSION):
        assert f" {number}" in effect.reason
    told = messages.parse(receiver.outgoing(1_000)[4:])
    assert told == messages.Decline(messages.CODE_VERSION, effect.reason)
    assert receiver.state is State.DECLINED


@given(st.text())
def test_a_reason_always_fits(text: str) -> None:
    reason = messages.reason(text)
    assert messages.parse(messages.encode(messages.Abort(4, reason))) == messages.Abort(4, reason)


def test_a_reason_of_surrogates_fits() -> None:
    assert messages.reason("a\udcffb" * 200) == ("a?b" * 200)[:200]
