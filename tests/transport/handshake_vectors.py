"""Make `tests/vectors/handshake.json` anew: python -m tests.transport.handshake_vectors

Every case gives all randomness and every byte that results. Only a change of the protocol may
change the file.
"""

import json
from hashlib import shake_256
from pathlib import Path
from typing import Any

from keys.identity import Identity
from keys.secret import Secret
from securecp.endpoint import Endpoint
from securecp.transport.cookie import Gate, open_cookie
from securecp.transport.handshake import PROTOCOL, Initiator, Responder
from securecp.transport.wire import Parameters
from tests.transport.mlkem_reference import SeededKem

FILE = Path(__file__).parents[1] / "vectors" / "handshake.json"

CASES: dict[str, dict[str, Any]] = {
    "typed address, no cookie": {"session_id": bytes(16).hex(), "cookie": False},
    "rendezvous session, no cookie": {"session_id": bytes(range(16)).hex(), "cookie": False},
    "typed address, cookie under load": {"session_id": bytes(16).hex(), "cookie": True},
}
ENDPOINT = Endpoint("192.0.2.1", 49_152)


def make(name: str) -> dict[str, Any]:
    """One case: what goes in, in the order of use, and what comes out, as hex."""

    def seed(label: str, length: int) -> bytes:
        return shake_256(f"securecp handshake vector: {name}: {label}".encode()).digest(length)

    given = {
        "initiator_identity_seed": seed("initiator identity", 32),
        "responder_identity_seed": seed("responder identity", 32),
        "initiator_payload_random": seed("payload", 12),
        "initiator_e": seed("initiator e", 32),
        "initiator_e1_seed": seed("initiator e1", 64),
        "responder_e": seed("responder e", 32),
        "responder_encapsulation": seed("encapsulation", 32),
        "cookie_secret": seed("cookie secret", 32),
        "cookie_nonce": seed("cookie nonce", 12),
    }
    numbers = {
        "initiator_index": int.from_bytes(seed("initiator index", 4)),
        "responder_index": int.from_bytes(seed("responder index", 4)),
        "initiator_parameters": [True, 1452, 1 << 20, 1 << 24],
        "responder_parameters": [False, 65_507, 1 << 16, 1 << 22],
        "initiator_endpoint": str(ENDPOINT),
    }
    case = CASES[name]
    result = run(given, numbers, bytes.fromhex(case["session_id"]), cookie=case["cookie"])
    return {
        "name": name,
        "protocol": PROTOCOL,
        "expect": "success",
        "session_id": case["session_id"],
        **{key: value.hex() for key, value in given.items()},
        **numbers,
        **{key: value.hex() for key, value in result.items()},
    }


def run(
    given: dict[str, bytes], numbers: dict[str, Any], session_id: bytes, *, cookie: bool
) -> dict[str, bytes]:
    """Shake hands with this randomness and return what is to be compared."""
    caller = Identity(Secret(given["initiator_identity_seed"]))
    called = Identity(Secret(given["responder_identity_seed"]))
    drawn = {12: "initiator_payload_random", 32: "initiator_e", 64: "initiator_e1_seed"}
    initiator = Initiator(
        caller,
        bytes(called.public),
        index=numbers["initiator_index"],
        parameters=Parameters(*numbers["initiator_parameters"]),
        entropy=lambda n: given[drawn[n]],
        session_id=session_id,
    )
    out = {"initiator_public": bytes(caller.public), "responder_public": bytes(called.public)}
    hello_a, hello_b = initiator.hello()
    if cookie:
        out["hello_a_without_cookie"] = hello_a
        secrets = {32: "cookie_secret", 12: "cookie_nonce"}
        gate = Gate(bytes(called.public), lambda n: given[secrets[n]])
        out["cookie_datagram"] = gate.make_cookie(
            0.0, ENDPOINT, numbers["initiator_index"], hello_a
        )
        out["cookie"] = open_cookie(out["cookie_datagram"], bytes(called.public), hello_a[-16:])
        hello_a, hello_b = initiator.hello(out["cookie"])
    responder = Responder(
        called,
        hello_a,
        parameters=Parameters(*numbers["responder_parameters"]),
        entropy=lambda _: given["responder_e"],
        session_id=session_id,
        kem=SeededKem(lambda _: given["responder_encapsulation"]),
    )
    reply, theirs = responder.answer(hello_b, numbers["responder_index"])
    ours = initiator.read_reply(reply)
    return out | {
        "hello_a": hello_a,
        "hello_b": hello_b,
        "reply": reply,
        "handshake_hash": ours.hash,
        "initiator_send_root": ours.send_root,
        "responder_send_root": theirs.send_root,
    }


if __name__ == "__main__":
    vectors = {"vectors": [make(name) for name in CASES]}
    FILE.write_text(json.dumps(vectors, indent=1) + "\n")
