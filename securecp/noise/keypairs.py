"""What a Noise handshake does with key pairs: X25519 and ML-KEM-768, by `cryptography`.

Ephemeral secrets come from the `entropy` that is handed in, at the moment of use. A process that
forks must hand in randomness of the operating system (HS-19).
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

Entropy = Callable[[int], bytes]


class KeyPair(NamedTuple):
    """An X25519 key pair: the public key's 32 bytes, and the shared secret with another's."""

    public: bytes
    exchange: Callable[[bytes], bytes]

    def __repr__(self) -> str:
        return f"<KeyPair {self.public.hex()}>"

    @classmethod
    def from_seed(cls, seed: bytes) -> "KeyPair":
        """Make the pair whose secret is `seed` (32 bytes)."""
        private = X25519PrivateKey.from_private_bytes(seed)

        def exchange(public: bytes) -> bytes:
            return private.exchange(X25519PublicKey.from_public_bytes(public))

        return cls(private.public_key().public_bytes_raw(), exchange)


class Kem(Protocol):
    """A key encapsulation mechanism, as the tokens e1 and ekem1 need it."""

    public_length: int
    ciphertext_length: int

    def generate(self, entropy: Entropy) -> tuple[bytes, Callable[[bytes], bytes]]:
        """Make a key pair: the public key, and what takes a ciphertext to the secret."""

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """Make a secret and its ciphertext; ValueError if the public key is malformed."""


class MlKem768:
    """FIPS 203, by `cryptography`; encapsulation draws on OpenSSL's fork-safe randomness."""

    public_length = 1184
    ciphertext_length = 1088

    def generate(self, entropy: Entropy) -> tuple[bytes, Callable[[bytes], bytes]]:
        private = MLKEM768PrivateKey.from_seed_bytes(entropy(64))
        return private.public_key().public_bytes_raw(), private.decapsulate

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        return MLKEM768PublicKey.from_public_bytes(public).encapsulate()
