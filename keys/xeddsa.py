"""XEdDSA (Signal, revision 1): signatures by an X25519 key that verify under its public key.

Curve25519's two forms are one group: from the Montgomery u of the public key follows an Edwards
point up to its sign. XEdDSA fixes the sign at 0 and turns the secret scalar to suit, so that a
signature is an ordinary Ed25519 signature for that point.

Stricter than the specification where it leaves room, so that a signature has one form:
s < q (the text says s < 2^253), and the public point must lie in the prime-order subgroup.

Letters are those of the specification (Trevor Perrin, "The XEdDSA and VXEdDSA Signature Schemes").
All arithmetic on secrets is libsodium's, in constant time.
"""

import hmac
from collections.abc import Callable
from hashlib import sha512

import nacl.bindings as sodium

SIGNATURE_LENGTH = 64
RANDOM_LENGTH = 64

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493

_HASH_1 = b"\xfe" + b"\xff" * 31
"""hash_1 prefixes 2^256 - 2, little-endian: no point and no scalar, so no other hash is met."""


def sign(scalar: bytes, message: bytes, entropy: Callable[[int], bytes]) -> bytes:
    """64 bytes by the X25519 secret `scalar`, clamped here; 64 bytes of `entropy` are used."""
    edwards, a = _key_pair(scalar)
    r = _hash_to_scalar(_HASH_1, a, message, entropy(RANDOM_LENGTH))
    commitment = sodium.crypto_scalarmult_ed25519_base_noclamp(r)
    h = _hash_to_scalar(commitment, edwards, message)
    product = sodium.crypto_core_ed25519_scalar_mul(h, a)
    return commitment + sodium.crypto_core_ed25519_scalar_add(r, product)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is by the secret of the X25519 key `public`; never raises on bytes."""
    if len(signature) != SIGNATURE_LENGTH:
        return False
    edwards = edwards_point(public)
    commitment, s = signature[:32], signature[32:]
    if edwards is None:
        return False
    if int.from_bytes(s, "little") >= Q:
        return False
    h = _hash_to_scalar(commitment, edwards, message)
    try:
        left = sodium.crypto_scalarmult_ed25519_base_noclamp(s)
        right = sodium.crypto_scalarmult_ed25519_noclamp(h, edwards)
        expected = sodium.crypto_core_ed25519_sub(left, right)
    except RuntimeError:
        # libsodium refuses keys off the curve, of low order or outside the prime-order subgroup,
        # and results that are the neutral element, which no honest signature meets
        return False
    return hmac.compare_digest(commitment, expected)


def edwards_point(public: bytes) -> bytes | None:
    """convert_mont: the Ed25519 public key with sign 0 of an X25519 one; None if not canonical."""
    u = int.from_bytes(public, "little")
    if len(public) != 32 or u >= P or u == P - 1:
        return None
    y = (u - 1) * pow(u + 1, -1, P) % P
    return y.to_bytes(32, "little")


def _key_pair(scalar: bytes) -> tuple[bytes, bytes]:
    """calculate_key_pair: the Edwards point with sign 0, and the scalar that belongs to it."""
    clamped = bytes([scalar[0] & 248, *scalar[1:31], scalar[31] & 127 | 64])
    a = sodium.crypto_core_ed25519_scalar_reduce(clamped + bytes(32))
    point = sodium.crypto_scalarmult_ed25519_base_noclamp(a)
    if point[31] & 0x80:
        a = sodium.crypto_core_ed25519_scalar_negate(a)
    return point[:31] + bytes([point[31] & 0x7F]), a


def _hash_to_scalar(*parts: bytes) -> bytes:
    digest = sha512()
    for part in parts:
        digest.update(part)
    return sodium.crypto_core_ed25519_scalar_reduce(digest.digest())
