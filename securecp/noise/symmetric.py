"""CipherState and SymmetricState of the Noise Protocol Framework, revision 34, §5.1 and §5.2.

Names are those of the specification: k and n a cipher's key and nonce, ck the chaining key, h the
transcript hash. What the tokens of a pattern do to them is in `state.py`.
"""

import copy
import hashlib
import hmac
from struct import Struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from securecp.errors import ProtocolError
from securecp.noise.patterns import Suite

TAGLEN = 16
LAST_NONCE = 2**64 - 1
"""Reserved by the specification (§5.1); a cipher that gets here is finished."""

HASHES = {"SHA256": "sha256", "SHA512": "sha512", "BLAKE2s": "blake2s", "BLAKE2b": "blake2b"}
CIPHERS: dict[str, tuple[type[ChaCha20Poly1305] | type[AESGCM], Struct]] = {
    "ChaChaPoly": (ChaCha20Poly1305, Struct("<4xQ")),
    "AESGCM": (AESGCM, Struct(">4xQ")),
}
"""Each with the layout of its nonce (§12.3, §12.4)."""


class NonceExhaustedError(Exception):
    """A cipher key has been used 2^64 - 1 times: ours to prevent by a new handshake."""


class CipherState:
    """A key and a nonce that counts up (§5.1); without a key, what goes in comes out."""

    def __init__(self, cipher: str, k: bytes | None = None) -> None:
        self._cipher, self._nonce_layout = CIPHERS[cipher]
        self._aead = None if k is None else self._cipher(k)
        self.n = 0

    def has_key(self) -> bool:
        return self._aead is not None

    def initialize_key(self, k: bytes) -> None:
        self._aead = self._cipher(k)
        self.n = 0

    def encrypt_with_ad(self, ad: bytes, plaintext: bytes) -> bytes:
        if self._aead is None:
            return plaintext
        sealed = self._aead.encrypt(self._nonce(), plaintext, ad)
        self.n += 1
        return sealed

    def decrypt_with_ad(self, ad: bytes, ciphertext: bytes) -> bytes:
        """Open `ciphertext`; ProtocolError if it is not authentic, and the nonce stays (HS-14)."""
        if self._aead is None:
            return ciphertext
        try:
            opened = self._aead.decrypt(self._nonce(), ciphertext, ad)
        except InvalidTag:
            raise ProtocolError("a handshake message is not authentic") from None
        self.n += 1
        return opened

    def _nonce(self) -> bytes:
        if self.n >= LAST_NONCE:
            raise NonceExhaustedError("this key may not be used any more")
        return self._nonce_layout.pack(self.n)


class SymmetricState:
    """The chaining key, the transcript hash, and the cipher keyed so far (§5.2)."""

    def __init__(self, suite: Suite) -> None:
        self._digest = HASHES[suite.hash]
        name = suite.name.encode()
        hashed = hashlib.new(self._digest, name).digest()
        self.h = name.ljust(len(hashed), b"\0") if len(name) <= len(hashed) else hashed
        self.ck = self.h
        self.cipher = CipherState(suite.cipher)

    def copy(self) -> "SymmetricState":
        twin = copy.copy(self)
        twin.cipher = copy.copy(self.cipher)
        return twin

    def mix_key(self, input_key_material: bytes) -> None:
        self.ck, key = self._hkdf(input_key_material, 2)
        self.cipher.initialize_key(key[:32])

    def mix_hash(self, data: bytes) -> None:
        self.h = hashlib.new(self._digest, self.h + data).digest()

    def mix_key_and_hash(self, input_key_material: bytes) -> None:
        self.ck, hashed, key = self._hkdf(input_key_material, 3)
        self.mix_hash(hashed)
        self.cipher.initialize_key(key[:32])

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        sealed = self.cipher.encrypt_with_ad(self.h, plaintext)
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        opened = self.cipher.decrypt_with_ad(self.h, ciphertext)
        self.mix_hash(ciphertext)
        return opened

    def split(self) -> tuple[bytes, bytes]:
        first, second = self._hkdf(b"", 2)
        return first[:32], second[:32]

    def _hkdf(self, input_key_material: bytes, outputs: int) -> list[bytes]:
        temp = hmac.digest(self.ck, input_key_material, self._digest)
        chain = [b""]
        for i in range(1, outputs + 1):
            chain.append(hmac.digest(temp, chain[-1] + bytes([i]), self._digest))
        return chain[1:]
