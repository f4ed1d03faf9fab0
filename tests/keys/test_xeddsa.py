"""XEdDSA against Signal's vectors and against Ed25519 of another library."""

import json
from collections.abc import Callable
from hashlib import sha512
from pathlib import Path

import nacl.bindings as sodium
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from keys import xeddsa
from keys.identity import check_public
from tests.keys.samples import Entropy, identity

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "xeddsa.json").read_text())
SIGNED, CARRYING_SIGN = VECTORS["vectors"]


def exactly(random: bytes) -> Callable[[int], bytes]:
    return lambda count: random[:count]


def public_of(scalar: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(scalar).public_key().public_bytes_raw()


def verifies_as_ed25519(point: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(point).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_signal_s_vector_is_met_byte_for_byte() -> None:
    scalar, message = bytes.fromhex(SIGNED["scalar"]), bytes.fromhex(SIGNED["message"])
    random = bytes.fromhex(SIGNED["random"])
    signature = xeddsa.sign(scalar, message, exactly(random))
    assert signature.hex() == SIGNED["signature"]
    assert xeddsa.verify(public_of(scalar), message, signature)


def test_libsignal_s_form_with_a_sign_bit_is_refused() -> None:
    public, message = (
        bytes.fromhex(CARRYING_SIGN["public"]),
        bytes.fromhex(CARRYING_SIGN["message"]),
    )
    signature = bytes.fromhex(CARRYING_SIGN["signature"])
    assert public_of(bytes.fromhex(CARRYING_SIGN["scalar"])) == public
    assert not xeddsa.verify(public, message, signature)
    # ... though it is good once the sign is put where Ed25519 has it: our map of the key is right
    point = xeddsa.edwards_point(public)
    assert point is not None
    negative = point[:31] + bytes([point[31] | 0x80])
    without_sign = signature[:63] + bytes([signature[63] & 0x7F])
    assert verifies_as_ed25519(negative, message, without_sign)
    assert not verifies_as_ed25519(point, message, without_sign)


def test_signal_s_chain_of_signatures_ends_where_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signal's 10,000 rounds, of which each depends on all before; every 50th is verified too.

    Signal's code hashes the scalar as it is where the sign is right already; its specification,
    and ours, reduces it. Verifiers cannot tell, the chain can; so it is left as it is here.
    """

    def as_signal_does(scalar: bytes) -> tuple[bytes, bytes]:
        point, a = specified(scalar)
        unchanged = sodium.crypto_scalarmult_ed25519_base_noclamp(a)[31] & 0x80 == 0
        kept = sodium.crypto_core_ed25519_scalar_reduce(scalar + bytes(32)) == a
        assert unchanged
        return point, scalar if kept else a

    specified = xeddsa._key_pair
    monkeypatch.setattr(xeddsa, "_key_pair", as_signal_does)
    signature, message = b"\x01" * 64, bytearray(200)
    for count in range(1, VECTORS["chain"]["iterations"] + 1):
        key = bytearray(sha512(signature).digest()[:32])
        random = sha512(key).digest()
        key[0] &= 248
        key[31] = key[31] & 127 | 64
        signature = xeddsa.sign(bytes(key), bytes(message), exactly(random))
        if count % 50 == 0:
            assert xeddsa.verify(public_of(bytes(key)), bytes(message), signature)
        if random[63] & 1:
            flipped = bytearray(signature)
            flipped[count % 64] ^= 1
            signature = bytes(flipped)
        else:
            message[count % 200] ^= 1
        if count % 50 == 0:
            assert not xeddsa.verify(public_of(bytes(key)), bytes(message), signature)
    assert signature.hex() == VECTORS["chain"]["signature"]


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300), st.integers())
def test_a_signature_is_an_ed25519_signature(scalar: bytes, message: bytes, seed: int) -> None:
    entropy = Entropy(seed)
    signature = xeddsa.sign(scalar, message, entropy)
    assert entropy.used == 64
    public = public_of(scalar)
    point = xeddsa.edwards_point(public)
    assert point is not None
    assert xeddsa.verify(public, message, signature)
    assert verifies_as_ed25519(point, message, signature)
    assert sodium.crypto_sign_open(signature + message, point) == message


ALICE, BOB = identity("alice"), identity("bob")
MESSAGE = b"three files, 42 bytes"
SIGNATURE = ALICE.sign(MESSAGE, Entropy())


def test_an_identity_signs_and_its_public_key_verifies() -> None:
    assert ALICE.public.verify(MESSAGE, SIGNATURE)
    assert not BOB.public.verify(MESSAGE, SIGNATURE)
    assert not ALICE.public.verify(MESSAGE + b"!", SIGNATURE)


def test_every_changed_bit_of_a_signature_is_noticed() -> None:
    for bit in range(512):
        changed = bytearray(SIGNATURE)
        changed[bit // 8] ^= 1 << bit % 8
        assert not ALICE.public.verify(MESSAGE, bytes(changed)), bit


def test_a_signature_has_one_form() -> None:
    """s + q would verify too, were it not refused; so would s + 2q and s + 3q."""
    s = int.from_bytes(SIGNATURE[32:], "little")
    for factor in range(1, 8):
        larger = (s + factor * xeddsa.Q).to_bytes(32, "little")
        assert not ALICE.public.verify(MESSAGE, SIGNATURE[:32] + larger), factor
    # the check is ours, not only libsodium's: base multiplication reduces silently
    twin = sodium.crypto_scalarmult_ed25519_base_noclamp((s + xeddsa.Q).to_bytes(32, "little"))
    assert twin == sodium.crypto_scalarmult_ed25519_base_noclamp(SIGNATURE[32:])


@pytest.mark.parametrize("length", [0, 32, 63, 65, 128])
def test_a_signature_has_64_bytes(length: int) -> None:
    assert not ALICE.public.verify(MESSAGE, (SIGNATURE * 2)[:length])


P = 2**255 - 19
BAD_KEYS = {
    "zero": bytes(32),
    "one": (1).to_bytes(32, "little"),
    "minus one, which has no Edwards y": (P - 1).to_bytes(32, "little"),
    "not canonical": (9 + P).to_bytes(32, "little"),
    "high bit": bytes(bytes(ALICE.public)[:31]) + bytes([bytes(ALICE.public)[31] | 0x80]),
    "on the twist": (2).to_bytes(32, "little"),
    "short": bytes(31),
    "long": bytes(33),
}


@pytest.mark.parametrize("public", BAD_KEYS.values(), ids=BAD_KEYS)
def test_hs04_hs05_nothing_verifies_under_a_bad_key(public: bytes) -> None:
    # R = the neutral element and s = 0 would verify under any key of low order
    neutral = (1).to_bytes(32, "little") + bytes(32)
    for signature in (SIGNATURE, neutral, bytes(64)):
        assert not xeddsa.verify(public, MESSAGE, signature)


def test_hs04_a_forgery_under_a_weak_key_is_refused() -> None:
    """With A of order 2, s = 0 and R = 0 or A fit every second message."""
    weak = bytes(32)  # u = 0 is y = -1, of order 2
    point = xeddsa.edwards_point(weak)
    assert point == (P - 1).to_bytes(32, "little")
    for number in range(16):
        for commitment in ((1).to_bytes(32, "little"), point):
            assert not xeddsa.verify(weak, b"%d" % number, commitment + bytes(32))


def test_hs04_a_key_outside_the_prime_order_subgroup_signs_nothing() -> None:
    """A + (0, -1), a point of order 2: its owner could sign each message whose hash is even."""
    scalar = bytes([8, *bytes(30), 64])
    point, a = xeddsa._key_pair(scalar)
    y = P - int.from_bytes(point, "little")  # (x, y) + (0, -1) = (-x, -y)
    twin = y.to_bytes(32, "little")
    u = (1 + y) * pow(1 - y, -1, P) % P
    public = u.to_bytes(32, "little")
    assert xeddsa.edwards_point(public) == twin  # sign 0 of either sign: -x is as good as x
    check_public(public)
    fitting = 0
    for number in range(16):
        message, r = b"%d" % number, (number + 7).to_bytes(32, "little")
        commitment = sodium.crypto_scalarmult_ed25519_base_noclamp(r)
        h = xeddsa._hash_to_scalar(commitment, twin, message)
        negative = sodium.crypto_core_ed25519_scalar_negate(a)  # of (-x, y), plus the point (0, -1)
        product = sodium.crypto_core_ed25519_scalar_mul(h, negative)
        s = sodium.crypto_core_ed25519_scalar_add(r, product)
        assert not xeddsa.verify(public, message, commitment + s)
        fitting += verifies_as_ed25519(twin, message, commitment + s)  # OpenSSL does not look
    assert fitting > 3


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=70))
def test_any_bytes_verify_or_not_but_never_raise(key: bytes, message: bytes, sig: bytes) -> None:
    assert not xeddsa.verify(key, message, sig)


def test_two_signatures_of_one_message_differ_and_hide_their_nonce() -> None:
    first, second = (ALICE.sign(MESSAGE, Entropy(seed)) for seed in (1, 2))
    assert first[:32] != second[:32]
    # even with broken entropy, other messages get other nonces
    broken = [ALICE.sign(message, bytes) for message in (b"a", b"b")]
    assert broken[0][:32] != broken[1][:32]
