"""Our handshake against its recorded vectors, and ML-KEM by hand against the library's."""

import json
from typing import Any

import pytest

from securecp.noise.keypairs import MlKem768
from securecp.transport.wire import HELLO_A_LENGTH, HELLO_B_LENGTH, REPLY_LENGTH
from tests.transport.handshake_vectors import CASES, FILE, make
from tests.transport.handshakes import seeded
from tests.transport.mlkem_reference import encapsulate

VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text())["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_recorded_handshake(vector: dict[str, Any]) -> None:
    assert make(vector["name"]) == vector
    lengths = [len(vector[name]) // 2 for name in ("hello_a", "hello_b", "reply")]
    assert lengths == [HELLO_A_LENGTH, HELLO_B_LENGTH, REPLY_LENGTH]


def test_every_case_is_recorded() -> None:
    assert [vector["name"] for vector in VECTORS] == list(CASES)


def test_encapsulation_by_hand_agrees_with_the_library() -> None:
    entropy = seeded("kem")
    public, decapsulate = MlKem768().generate(entropy)
    secret, ciphertext = encapsulate(public, entropy(32))
    assert decapsulate(ciphertext) == secret
