"""The interpreter against cacophony's published vectors: every pattern, psk and hash in them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from securecp.noise.keypairs import KeyPair
from securecp.noise.patterns import PATTERNS
from securecp.noise.state import HandshakeState
from securecp.noise.symmetric import CipherState

FILE = Path(__file__).parents[1] / "vectors" / "noise-cacophony.json"
VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text())["vectors"]


def test_the_file_holds_33_patterns_with_three_hashes() -> None:
    assert len(VECTORS) == 99
    names = {vector["protocol_name"].split("_")[1] for vector in VECTORS}
    assert len(names) == 33
    assert {name.split("psk")[0] for name in names} == PATTERNS.keys() - {"IKsecurecp1"}


def side(vector: dict[str, Any], role: str) -> HandshakeState:
    def key(name: str) -> bytes | None:
        text = vector.get(f"{role}_{name}")
        return None if text is None else bytes.fromhex(text)

    static = key("static")
    return HandshakeState(
        vector["protocol_name"],
        initiator=role == "init",
        entropy=lambda n: bytes.fromhex(vector[f"{role}_ephemeral"]),
        prologue=key("prologue") or b"",
        s=KeyPair.from_seed(static) if static else None,
        rs=key("remote_static"),
        psks=[bytes.fromhex(psk) for psk in vector.get(f"{role}_psks", [])],
    )


def transports(vector: dict[str, Any], state: HandshakeState) -> Iterator[CipherState]:
    """The ciphers of the messages after the handshake, in turn; one-way patterns have one."""
    cipher = state.suite.cipher
    there, back = (CipherState(cipher, key) for key in state.split())
    one_way = len(state.suite.pattern.messages) == 1
    next_from_initiator = one_way or len(state.suite.pattern.messages) % 2 == 0
    while True:
        yield there if next_from_initiator else back
        next_from_initiator = one_way or not next_from_initiator


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["protocol_name"])
def test_published_vector(vector: dict[str, Any]) -> None:
    initiator, responder = side(vector, "init"), side(vector, "resp")
    messages = [
        (bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"]))
        for message in vector["messages"]
    ]
    handshake = len(initiator.suite.pattern.messages)
    for (payload, expected), message in zip(
        messages[:handshake], initiator.suite.pattern.messages, strict=True
    ):
        writer, reader = (
            (initiator, responder) if message.from_initiator else (responder, initiator)
        )
        assert writer.write(payload) == expected
        assert reader.read(expected) == payload
    assert initiator.finished
    assert responder.finished
    assert initiator.hash == responder.hash == bytes.fromhex(vector["handshake_hash"])
    for (payload, expected), ours, theirs in zip(
        messages[handshake:],
        transports(vector, initiator),
        transports(vector, responder),
        strict=False,
    ):
        assert ours.encrypt_with_ad(b"", payload) == expected
        assert theirs.decrypt_with_ad(b"", expected) == payload
