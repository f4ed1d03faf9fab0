"""Make `tests/vectors/data.json` anew: python -m tests.transport.data_vectors

DATA datagrams as they follow from SPEC §5 and §6 alone: keys by HMAC, headers by `struct`, frames
as hex. Nothing of `securecp.transport` makes them, so that it can be tested with them. Only a
change of the protocol may change the file.
"""

import hmac
import json
import struct
from hashlib import shake_256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

FILE = Path(__file__).parents[1] / "vectors" / "data.json"

CIPHERS: dict[str, type[AESGCM | ChaCha20Poly1305]] = {
    "aes-256-gcm": AESGCM,
    "chacha20-poly1305": ChaCha20Poly1305,
}
INDEX = 0x0B0B0B0B
OLD_KEY_SECONDS = 1.0
CONTENT = bytes(range(100))

# Name, seconds, key phase, counter, plaintext as hex, what the receiver makes of it. The datagrams
# of a cipher are for one receiver, in this order.
STEPS: list[tuple[str, float, int, int, str, str]] = [
    ("PING", 0.0, 0, 0, "9105", "frames"),
    ("CHUNK of 100 bytes at 0", 0.0, 0, 1, f"9302cf{0:016x}c50064" + CONTENT.hex(), "content"),
    ("CHUNK of 1 byte at 2^62", 0.0, 0, 2, f"9302cf{1 << 62:016x}c50001ff", "content"),
    ("ACK of 5 to 7 and 0 to 2, held for 1 ms", 0.1, 0, 3, "9601cd03e807030203", "frames"),
    ("CONTROL at 0", 0.1, 0, 4, "930300c403616263", "frames"),
    ("WINDOW", 0.1, 0, 5, "9304ce00100000ce04000000", "frames"),
    ("CHALLENGE and RESPONSE", 0.1, 0, 6, "9206c408" + "01" * 8 + "9207c408" + "02" * 8, "frames"),
    ("PADDING of 20 bytes behind a PING", 0.1, 0, 7, "91059200c414" + "00" * 20, "frames"),
    ("the same datagram again", 0.1, 0, 7, "91059200c414" + "00" * 20, "drop"),
    ("a counter far ahead", 0.2, 0, 100_000, "9105", "frames"),
    ("a counter that is too old by now", 0.2, 0, 9, "9105", "drop"),
    ("the oldest counter that can still come", 0.2, 0, 100_001 - 65_536, "9105", "frames"),
    ("a change of key after a moment", 1.0, 1, 100_001, "9105", "drop"),
    ("a change of key after two minutes", 120.0, 1, 100_002, "9105", "frames"),
    ("the old key within its time", 120.9, 0, 100_000 - 5, "9105", "frames"),
    ("the old key after its time", 121.0, 0, 100_000 - 6, "9105", "drop"),
    ("CHUNK under the second key", 121.0, 1, 100_003, f"9302cf{100:016x}c50003616263", "content"),
    ("a key that nobody has yet", 121.0, 3, 100_004, "9105", "drop"),
    ("nothing", 122.0, 1, 100_010, "", "close"),
    ("a frame of no kind", 122.0, 1, 100_011, "9109", "close"),
    ("a PING in two encodings", 122.0, 1, 100_012, "dc000105", "close"),
    ("an ACK of an empty range", 122.0, 1, 100_013, "9401000500", "close"),
    ("two ACKs", 122.0, 1, 100_014, "9401000501" * 2, "close"),
    ("33 frames", 122.0, 1, 100_015, "9105" * 33, "close"),
    ("CHUNK of no bytes", 122.0, 1, 100_016, f"9302cf{0:016x}c50000", "close"),
    ("CHUNK that claims a byte too few", 122.0, 1, 100_017, f"9302cf{0:016x}c50002616263", "close"),
    ("CHUNK with a PING behind it", 122.0, 1, 100_018, f"9302cf{0:016x}c50001619105", "close"),
    ("PADDING that is not zero", 122.0, 1, 100_019, "9200c40101", "close"),
    ("CLOSE", 122.0, 1, 100_020, "930804a773746f70706564", "frames"),
]  # fmt: skip
DAMAGE = (
    "the first bit of the tag is flipped",
    "the kind is another",
    "the receiver index is another",
    "the last byte is missing",
    "a byte too many",
    "shorter than header and tag",
)


def expand(secret: bytes, label: str) -> bytes:
    """HKDF-Expand of one block (RFC 5869 §2.3)."""
    return hmac.digest(secret, b"securecp 1 data " + label.encode() + b"\x01", "sha256")


def keys(root: bytes, cipher: str, count: int) -> list[bytes]:
    """The keys of the first phases."""
    chain, out = expand(root, "chain"), []
    for _ in range(count):
        out.append(expand(chain, cipher))
        chain = expand(chain, "next")
    return out


def seal(cipher: str, key: bytes, phase: int, counter: int, plain: bytes, zero: int = 0) -> bytes:
    header = struct.pack(">BBHIQ", 0x50, phase, zero, INDEX, counter)
    return header + CIPHERS[cipher](key).encrypt(header[4:], plain, header)


def damaged(name: str, datagram: bytes) -> bytes:
    out = bytearray(datagram)
    match DAMAGE.index(name):
        case 0:
            out[-16] ^= 0x80
        case 1:
            out[0] = 0x51
        case 2:
            out[7] ^= 1
        case 3:
            del out[-1]
        case 4:
            out.append(0)
        case _:
            del out[31:]
    return bytes(out)


def make(cipher: str) -> dict[str, Any]:
    """All of one cipher."""
    root = shake_256(f"securecp data vector: {cipher}".encode()).digest(32)
    phases = keys(root, cipher, 4)
    datagrams = []
    for name, seconds, phase, counter, plain, expect in STEPS:
        sealed = seal(cipher, phases[phase], phase, counter, bytes.fromhex(plain))
        datagrams.append(entry(name, seconds, sealed, expect, plain))
    last = len(STEPS) + 100_030
    for number, name in enumerate(DAMAGE):
        good = seal(cipher, phases[1], 1, last + number, b"\x91\x05")
        datagrams.append(entry(name, 123.0, damaged(name, good), "drop"))
    reserved = seal(cipher, phases[1], 1, last + len(DAMAGE), b"\x91\x05", zero=1)
    datagrams.append(entry("reserved bytes are in use, and sealed", 123.0, reserved, "drop"))
    return {
        "cipher": cipher,
        "root": root.hex(),
        "receiver_index": INDEX,
        "old_key_seconds": OLD_KEY_SECONDS,
        "keys": [key.hex() for key in phases[:2]],
        "datagrams": datagrams,
    }


def entry(name: str, seconds: float, data: bytes, expect: str, plain: str = "") -> dict[str, Any]:
    out = {"name": name, "seconds": seconds, "datagram": data.hex(), "expect": expect}
    if expect != "drop":
        out["plaintext"] = plain
    return out


def main() -> None:
    vectors = {"vectors": [make(cipher) for cipher in CIPHERS]}
    FILE.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
