"""The keys of one direction, computed a second time with HMAC alone."""

import hmac

import pytest

from securecp.transport.ratchet import Ratchet

ROOT = bytes(range(32))
NONCE, PLAIN, AD = bytes(12), b"plain", b"header"


def expand(secret: bytes, label: bytes) -> bytes:
    """HKDF-Expand (RFC 5869) of one block."""
    return hmac.digest(secret, b"securecp 1 data " + label + b"\x01", "sha256")


@pytest.mark.parametrize("aes", [True, False])
def test_the_keys_are_those_of_the_definition(aes: bool) -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

    cipher, label = (AESGCM, b"aes-256-gcm") if aes else (ChaCha20Poly1305, b"chacha20-poly1305")
    ratchet = Ratchet(ROOT, aes=aes)
    chain = expand(ROOT, b"chain")
    for _ in range(5):
        sealed = ratchet.draw().encrypt(NONCE, PLAIN, AD)
        assert sealed == cipher(expand(chain, label)).encrypt(NONCE, PLAIN, AD)
        chain = expand(chain, b"next")


def test_no_two_keys_are_alike() -> None:
    """Phases, ciphers and directions."""
    sealed = {
        ratchet.draw().encrypt(NONCE, PLAIN, AD)
        for root in (ROOT, ROOT[::-1])
        for aes in (True, False)
        for ratchet in [Ratchet(root, aes=aes)]
        for _ in range(300)
    }
    assert len(sealed) == 1_200


def test_hs20_the_past_is_forgotten() -> None:
    """What the ratchet holds after a draw is neither the root nor any earlier chain value."""
    ratchet = Ratchet(ROOT, aes=True)
    held = set()
    for _ in range(4):
        ratchet.draw()
        held.add(ratchet._chain)
        assert ratchet.__slots__ == ("_aes", "_chain")
    chain = expand(ROOT, b"chain")
    assert chain not in held
    assert ROOT not in held
    assert len(held) == 4
