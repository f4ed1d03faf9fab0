"""DATA datagrams against the recorded vectors: what is opened, dropped, and answered with CLOSE."""

import json
from typing import Any

import pytest

from securecp.endpoint import Burst
from securecp.errors import ProtocolError
from securecp.transport.connection import CLOSE_PROTOCOL, Connection
from securecp.transport.frames import Close, Padding, encode, parse
from securecp.transport.opening import Opener
from securecp.transport.seal import Sealer
from securecp.transport.wire import SessionKeys
from tests.sim.peer import LEFT, agreed_keys, parameters
from tests.transport.data_vectors import CIPHERS, FILE, INDEX, make

VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text())["vectors"]
by_cipher = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["cipher"]))


def receiver_keys(vector: dict[str, Any]) -> SessionKeys:
    both = parameters(aes=vector["cipher"] == "aes-256-gcm", largest=65_507)
    keys, _ = agreed_keys(both, both)
    root = bytes.fromhex(vector["root"])
    return keys._replace(receive_root=root, our_index=vector["receiver_index"])


def burst(datagram: bytes) -> Burst:
    return Burst(LEFT, memoryview(bytearray(datagram)), max(len(datagram), 1))


def test_the_file_is_what_the_definition_gives() -> None:
    assert [make(cipher) for cipher in CIPHERS] == VECTORS


@by_cipher
def test_hs14_each_datagram_is_taken_or_dropped_as_recorded(vector: dict[str, Any]) -> None:
    opener = Opener(receiver_keys(vector), 0.0)
    for step in vector["datagrams"]:
        data = bytes.fromhex(step["datagram"])
        opened = opener.open(step["seconds"], burst(data), vector["old_key_seconds"])
        name, counter = step["name"], int.from_bytes(data[8:16])
        if step["expect"] == "drop":
            assert (opened.counters, opened.content, opened.frames) == ([], [], []), name
            continue
        plain = bytes.fromhex(step["plaintext"])
        assert opened.counters == [(counter, counter + 1)], name
        if step["expect"] == "content":
            ((offset, (content,)),) = opened.content
            assert plain[:3] + plain[11:12] == b"\x93\x02\xcf\xc5"
            assert (offset, bytes(content)) == (int.from_bytes(plain[3:11]), plain[14:]), name
        else:
            ((found, opened_plain),) = opened.frames
            assert (found, bytes(opened_plain)) == (counter, plain), name


@by_cipher
def test_dg12_each_plaintext_parses_or_is_refused_as_recorded(vector: dict[str, Any]) -> None:
    for step in vector["datagrams"]:
        plain = bytes.fromhex(step.get("plaintext", ""))
        if step["expect"] == "frames":
            frames = parse(plain)
            assert b"".join(map(encode, frames)) == plain, step["name"]
            lengths = [frame.length for frame in frames if isinstance(frame, Padding)]
            assert not lengths or lengths == [20]
        elif step["expect"] == "close":
            with pytest.raises(ProtocolError):
                parse(plain)


@by_cipher
def test_each_breach_closes_the_connection(vector: dict[str, Any]) -> None:
    breaches = [step for step in vector["datagrams"] if step["expect"] == "close"]
    assert len(breaches) > 8
    for step in breaches:
        connection = Connection(receiver_keys(vector), LEFT, 0.0, bytes)
        turn = next(step for step in vector["datagrams"] if "two minutes" in step["name"])
        for data in (turn, step):
            connection.receive(122.0, burst(bytes.fromhex(data["datagram"])))
        (event,) = connection.events()
        assert event.code == CLOSE_PROTOCOL  # type: ignore[union-attr]
        assert not event.remote  # type: ignore[union-attr]


@by_cipher
def test_the_sealer_makes_the_same_bytes(vector: dict[str, Any]) -> None:
    """From the same root, at the same times, with the same counters."""
    keys = receiver_keys(vector)
    sender = keys._replace(send_root=keys.receive_root, their_index=keys.our_index)
    sealer = Sealer(sender, 0.0)
    made = 0
    for step in vector["datagrams"]:
        data = bytes.fromhex(step["datagram"])
        if step["expect"] == "drop" or "old" in step["name"]:
            continue
        plain = bytes.fromhex(step["plaintext"])
        sealer.next_counter = int.from_bytes(data[8:16])
        if step["expect"] == "content":
            stride = len(data) + 5
            sealer.layout(stride).slots[0][: len(plain) - 14] = plain[14:]
            offset = int.from_bytes(plain[3:11])
            sealed = sealer.content(step["seconds"], stride, offset, len(plain) - 14)
        else:
            sealed = sealer.frames(step["seconds"], plain)
        assert sealed == data, step["name"]
        made += 1
    assert made > 15


def test_the_vectors_cover_both_ciphers_and_both_phases() -> None:
    assert [vector["cipher"] for vector in VECTORS] == list(CIPHERS)
    for vector in VECTORS:
        assert vector["receiver_index"] == INDEX
        kinds = {
            (bytes.fromhex(step["datagram"])[1:2], step["expect"]) for step in vector["datagrams"]
        }
        for phase in (b"\0", b"\1"):
            assert {(phase, expect) for expect in ("frames", "content", "drop")} <= kinds
    assert Close(4, "stopped") in parse(bytes.fromhex("930804a773746f70706564"))
