"""The key of one direction, and the keys that follow it (SPEC §5.2).

Each key phase has a chain value; the AEAD key and the next chain value are drawn from it by HKDF,
and the chain value is then forgotten: who steals today's key cannot open yesterday's datagrams.

    root ── "chain" ──► chain 0 ── "next" ──► chain 1 ── "next" ──► …
                           │ "key"               │ "key"
                           ▼                     ▼
                         phase 0               phase 1
"""

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

Aead = AESGCM | ChaCha20Poly1305

_LABEL = b"securecp 1 data "


class Ratchet:
    """Draws the AEAD of phase 0, 1, 2, … from a 32-byte root; it never turns back."""

    __slots__ = ("_aes", "_chain")

    def __init__(self, root: bytes, *, aes: bool) -> None:
        self._aes = aes
        self._chain = _expand(root, b"chain")

    def draw(self) -> Aead:
        """The AEAD of the next phase."""
        label, cipher = (
            (b"aes-256-gcm", AESGCM) if self._aes else (b"chacha20-poly1305", ChaCha20Poly1305)
        )
        key = _expand(self._chain, label)
        self._chain = _expand(self._chain, b"next")
        return cipher(key)


def _expand(secret: bytes, label: bytes) -> bytes:
    return HKDFExpand(SHA256(), 32, _LABEL + label).derive(secret)
