"""One promise for every parser: any bytes parse, or raise the one error that it documents.

Bytes come in two kinds: arbitrary ones, and valid ones with a few places damaged, which get
further. What was parsed is encoded again where there is an encoder: it must be what came in.
"""

from contextlib import suppress
from random import Random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from keys import bech32, encoding, passphrase
from keys.contacts import Contacts
from keys.errors import ContactsError, KeysError, MalformedKeyError, PassphraseError
from keys.identity import Identity, parse_public
from keys.secret import Secret
from securecp import codec
from securecp.cli.endpoints import split
from securecp.cli.failures import UsageError
from securecp.endpoint import Burst
from securecp.errors import ProtocolError
from securecp.transfer import messages
from securecp.transfer.entries import DIRECTORY, FILE, Entries, Entry
from securecp.transfer.manifest import Manifest, ManifestReader
from securecp.transfer.receipt import Receipt
from securecp.transport import frames
from securecp.transport.wire import Parameters
from tests.transport.handshakes import ALICE, BOB, World, initiator, place


def entropy(count: int) -> bytes:
    return Random(1).randbytes(count)


@st.composite
def damaged(draw: st.DrawFn, *valid: bytes) -> bytes:
    """One of `valid` with up to four places changed, cut out or put in."""
    data = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 8)))
        data[at:end] = draw(st.binary(max_size=8))
    return bytes(data)


def any_bytes(*valid: bytes) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=300) | damaged(*valid)


def any_text(*valid: str) -> st.SearchStrategy[str]:
    """Text, characters beyond ASCII and lone surrogates included."""
    broken = damaged(*(text.encode() for text in valid))
    return st.text(max_size=100) | broken.map(lambda data: data.decode("utf-8", "surrogateescape"))


VALUES: list[Any] = [
    [1, 2, b"three", "four", None, True],
    {"a": [1 << 63, -(1 << 63)], 7: {1: b"\xff" * 40}},
    ["é" * 50, [[[[[[[0]]]]]]]],
    b"x" * 300,
]
FRAMES: list[frames.Frame] = [
    frames.Ack(((90, 100), (50, 60), (0, 1)), 1500),
    frames.Control(1 << 40, b"control"),
    frames.Window(1 << 20, 1 << 33),
    frames.Ping(),
    frames.Challenge(b"8 bytes!"),
    frames.Response(b"8 bytes!"),
    frames.Close(3, "the end"),
    frames.Padding(20),
]
IDENTITY = Identity.generate(entropy)
MESSAGES: list[messages.Message] = [
    messages.Offer(bytes(16), 3, 2, 1 << 30, 1, bytes(32)),
    messages.Accept(),
    messages.Decline(1, "no"),
    messages.Digests(0, bytes(64)),
    messages.Retry((1, 2, 1 << 40)),
    messages.Restart(7),
    messages.Failed(7, "gone"),
    messages.Finished(bytes(32)),
    messages.Received(1, 1, 5, 1_700_000_000, bytes(32), bytes(32), bytes(64)),
    messages.Abort(4, "stop"),
    messages.Again(7),
]
RECEIPT = Receipt(bytes(32), bytes(32), bytes(16), bytes(32), bytes(32), 1, 0, 5, 9)
CONTACTS = f"""\
version = 1

[contacts.alice]
key = "{IDENTITY.public}"
accept = "always"
endpoints = ["192.0.2.1:4400"]

[groups]
family = ["alice"]
"""
SEALED = passphrase.seal(Secret("AGE-SECRET-KEY-PQ-1"), Secret("open"), entropy, work_factor=1)


def manifest() -> Manifest:
    entries = Entries()
    entries.add(Entry(DIRECTORY, 0, b"folder", 0, 0o755, 1_700_000_000_000_000_000))
    entries.add(Entry(FILE, 1, b"caf\xc3\xa9", 3 << 20, 0o644, -1))
    entries.add(Entry(FILE, 0, b"\xff\xfe", 0, 0o600, 0))
    entries.freeze()
    return Manifest(entries)


@given(any_bytes(*map(codec.encode, VALUES)))
@example(b"\xdc\xff\xff" * 8)
@example(b"\x81\xc0\x01")
def test_dg11_msgpack(data: bytes) -> None:
    with suppress(ProtocolError):
        assert codec.encode(codec.decode(data)) == data
    with suppress(ProtocolError):
        assert b"".join(map(codec.encode, codec.decode_all(memoryview(data)))) == data


@given(any_bytes(*map(frames.encode, FRAMES)))
def test_dg11_frames(data: bytes) -> None:
    with suppress(ProtocolError):
        parsed = frames.parse(data)
        again = b"".join(map(frames.encode, parsed))
        assert again == data or any(isinstance(frame, frames.Padding) for frame in parsed)


@given(any_bytes(Parameters(True, 1472, 1 << 20, 1 << 24).encode()))
def test_dg11_handshake_parameters(data: bytes) -> None:
    with suppress(ProtocolError):
        Parameters.parse(data)


@given(any_bytes(*manifest().pages()))
def test_dg11_manifest_pages(data: bytes) -> None:
    reader = ManifestReader()
    with suppress(ProtocolError):
        reader.page(data)
        assert b"".join(reader.finish().pages()) == data


@given(any_text(str(IDENTITY.public)))
def test_kc04_bech32(text: str) -> None:
    with suppress(MalformedKeyError):
        kind, data = bech32.decode(text)
        assert bech32.encode(kind, data) == text


@given(any_text(str(IDENTITY.public), IDENTITY.secret_text().reveal().decode()))
def test_kc04_keys_as_text(text: str) -> None:
    with suppress(MalformedKeyError):
        key, _ = parse_public(text)
        assert str(key) == text
    with suppress(MalformedKeyError):
        assert Identity.parse(text).secret_text().reveal().decode() == text
    with suppress(MalformedKeyError):
        encoding.decode(encoding.CARD, text)


@given(any_bytes(SEALED))
def test_kc03_sealed_keys(data: bytes) -> None:
    with suppress(PassphraseError):
        opened = passphrase.open_sealed(data, Secret("open"), largest_work_factor=2)
        assert data == SEALED
        assert opened == Secret("AGE-SECRET-KEY-PQ-1")


@given(any_bytes(*map(messages.encode, MESSAGES)))
def test_dg11_messages(data: bytes) -> None:
    with suppress(ProtocolError):
        assert messages.encode(messages.parse(data)) == data


@given(any_bytes(RECEIPT.encode()))
def test_dg11_receipts(data: bytes) -> None:
    with suppress(ProtocolError):
        assert Receipt.parse(data).encode() == data


@given(any_text(CONTACTS))
def test_kc08_contacts(text: str) -> None:
    with suppress(KeysError):
        assert len(Contacts.parse(text)) <= 1
    with suppress(ContactsError):
        Contacts.parse(text, own=IDENTITY.public)


@given(any_text("192.0.2.1:4400", "[2001:db8::1]:4400", "host.example:1"))
def test_cl10_endpoints(text: str) -> None:
    with suppress(UsageError):
        host, port = split(text)
        assert host
        assert 0 <= port <= 65_535


@given(any_bytes(*initiator(ALICE, BOB).hello()), st.integers(1, 1500))
@settings(max_examples=60)
def test_dg02_whatever_a_socket_hands_us(data: bytes, stride: int) -> None:
    node = World().add(BOB)
    node.exchange.receive(0.0, Burst(place(9), memoryview(bytearray(data)), stride))
    assert not node.connected
    assert node.exchange.events() == []
