"""The interpreter where the vectors do not reach: failure without trace, nonces, misuse."""

import itertools

import pytest

from securecp.errors import ProtocolError
from securecp.noise.keypairs import KeyPair
from securecp.noise.patterns import PATTERNS, parse_name
from securecp.noise.state import HandshakeState
from securecp.noise.symmetric import LAST_NONCE, CipherState, NonceExhaustedError
from securecp.transport.handshake import PROTOCOL
from tests.transport.handshakes import seeded

IK = "Noise_IK_25519_ChaChaPoly_SHA256"
LOW_ORDER = [
    value.to_bytes(32, "little")
    for value in (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        2**255 - 20,
        2**255 - 19,
        2**255 - 18,
    )
]


def sides(protocol: str = IK, prologue: bytes = b"") -> tuple[HandshakeState, HandshakeState]:
    entropy = seeded(protocol)
    ours, theirs = KeyPair.from_seed(entropy(32)), KeyPair.from_seed(entropy(32))
    knows = "<- s ..." in PATTERNS.get(protocol.split("_")[1], "")
    return (
        HandshakeState(
            protocol,
            initiator=True,
            entropy=entropy,
            prologue=prologue,
            s=ours,
            rs=theirs.public if knows else None,
        ),
        HandshakeState(protocol, initiator=False, entropy=entropy, prologue=prologue, s=theirs),
    )


@pytest.mark.parametrize("cipher", ["ChaChaPoly", "AESGCM"])
@pytest.mark.parametrize("hashed", ["SHA256", "SHA512", "BLAKE2s", "BLAKE2b"])
def test_every_cipher_and_hash_completes(cipher: str, hashed: str) -> None:
    initiator, responder = sides(f"Noise_XX_25519_{cipher}_{hashed}")
    assert responder.read(initiator.write(b"one")) == b"one"
    assert initiator.read(responder.write(b"two")) == b"two"
    assert responder.read(initiator.write(b"three")) == b"three"
    assert initiator.split() == responder.split()
    assert initiator.hash == responder.hash


def test_hs11_a_failed_read_leaves_no_trace() -> None:
    """Every byte of both messages damaged in turn, then the true message on the same object."""
    initiator, responder = sides()
    for writer, reader in ((initiator, responder), (responder, initiator)):
        message = writer.write(b"payload")
        before = reader.hash
        for i in range(len(message)):
            damaged = bytearray(message)
            damaged[i] ^= 1 << i % 8
            with pytest.raises(ProtocolError):
                reader.read(bytes(damaged))
            assert reader.hash == before
        assert reader.read(message) == b"payload"
    assert initiator.split() == responder.split()


def test_every_other_length_is_refused() -> None:
    initiator, responder = sides()
    message = initiator.write(b"payload")
    for cut in range(len(message)):
        with pytest.raises(ProtocolError):
            responder.read(message[:cut])
    for extra in (1, 16, 65_535):
        with pytest.raises(ProtocolError):
            responder.read(message + bytes(extra))
    assert responder.read(message) == b"payload"


def test_hs09_a_different_prologue_does_not_complete() -> None:
    initiator, _ = sides(prologue=b"one")
    _, responder = sides(prologue=b"two")
    with pytest.raises(ProtocolError):
        responder.read(initiator.write())


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
def test_hs04_low_order_ephemeral_keys_are_refused_before_any_exchange(point: bytes) -> None:
    asked: list[bytes] = []
    initiator, _ = sides()
    message = initiator.write()

    def exchange(peer: bytes) -> bytes:
        asked.append(peer)
        return bytes(32)

    static = KeyPair(bytes(32), exchange)
    responder = HandshakeState(IK, initiator=False, entropy=seeded(0), s=static)
    with pytest.raises(ProtocolError):
        responder.read(point + message[32:])
    assert not asked


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
def test_hs04_low_order_static_keys_are_refused_though_sealed(point: bytes) -> None:
    entropy = seeded("low order static")
    theirs = KeyPair.from_seed(entropy(32))
    weak = KeyPair(point, lambda peer: bytes(32))
    asked: list[bytes] = []

    def exchange(peer: bytes) -> bytes:
        asked.append(peer)
        return theirs.exchange(peer)

    initiator = HandshakeState(IK, initiator=True, entropy=entropy, s=weak, rs=theirs.public)
    responder = HandshakeState(
        IK, initiator=False, entropy=entropy, s=KeyPair(theirs.public, exchange)
    )
    message = initiator.write()
    with pytest.raises(ProtocolError):
        responder.read(message)
    assert point not in asked


@pytest.mark.parametrize("error", [ValueError("zero"), RuntimeError("zero")])
def test_hs04_a_zero_result_is_refused_after_the_exchange(error: Exception) -> None:
    """`cryptography` raises ValueError; anything else is a bug of ours and is not swallowed."""

    def exchange(peer: bytes) -> bytes:
        raise error

    initiator, responder = sides()
    responder.s = KeyPair(responder.s.public if responder.s else b"", exchange)
    with pytest.raises(ProtocolError if isinstance(error, ValueError) else RuntimeError):
        responder.read(initiator.write())


@pytest.mark.parametrize("value", [2**255 - 19 + 9, 2**255 + 9, 2**256 - 1])
def test_hs05_other_encodings_of_a_key_are_refused(value: int) -> None:
    """u = 9 spelled as p + 9 and with the high bit: the curve takes both, we take neither."""
    _, responder = sides()
    initiator, _ = sides()
    message = initiator.write()
    with pytest.raises(ProtocolError, match="not acceptable"):
        responder.read(value.to_bytes(32, "little") + message[32:])


def test_hs14_a_bad_ciphertext_does_not_advance_the_nonce() -> None:
    ours, theirs = CipherState("ChaChaPoly", bytes(32)), CipherState("ChaChaPoly", bytes(32))
    sealed = ours.encrypt_with_ad(b"", b"text")
    for _ in range(3):
        with pytest.raises(ProtocolError):
            theirs.decrypt_with_ad(b"", bytes(len(sealed)))
    assert theirs.n == 0
    assert theirs.decrypt_with_ad(b"", sealed) == b"text"
    assert theirs.n == 1


def test_hs14_the_last_nonce_is_never_used() -> None:
    for cipher in ("ChaChaPoly", "AESGCM"):
        ours, theirs = CipherState(cipher, bytes(32)), CipherState(cipher, bytes(32))
        ours.n = theirs.n = LAST_NONCE - 1
        sealed = ours.encrypt_with_ad(b"", b"last")
        assert theirs.decrypt_with_ad(b"", sealed) == b"last"
        for _ in range(2):
            with pytest.raises(NonceExhaustedError):
                ours.encrypt_with_ad(b"", b"one more")
            with pytest.raises(NonceExhaustedError):
                theirs.decrypt_with_ad(b"", sealed)


def test_a_malformed_kem_key_is_a_protocol_error_without_trace() -> None:
    class Malformed:
        public_length, ciphertext_length = 1184, 1088

        def generate(self, entropy: object) -> tuple[bytes, object]:
            return b"\xff" * 1184, None

    entropy = seeded("kem")
    theirs = KeyPair.from_seed(entropy(32))
    initiator = HandshakeState(
        PROTOCOL,
        initiator=True,
        entropy=entropy,
        s=KeyPair.from_seed(entropy(32)),
        rs=theirs.public,
        kem=Malformed(),  # type: ignore[arg-type]
    )
    responder = HandshakeState(PROTOCOL, initiator=False, entropy=entropy, s=theirs)
    responder.read(initiator.write(b"hello"))
    responder.read(initiator.write())
    for _ in range(2):
        with pytest.raises(ProtocolError, match="malformed"):
            responder.write()


def test_a_message_without_payload_has_one_length() -> None:
    entropy = seeded("no payload")
    theirs = KeyPair.from_seed(entropy(32))
    ours = KeyPair.from_seed(entropy(32))
    initiator = HandshakeState(PROTOCOL, initiator=True, entropy=entropy, s=ours, rs=theirs.public)
    responder = HandshakeState(PROTOCOL, initiator=False, entropy=entropy, s=theirs)
    responder.read(initiator.write(b"hello"))
    e1 = initiator.write()
    for wrong in (b"", e1[:-1], e1 + b"\0", e1 + e1):
        with pytest.raises(ProtocolError):
            responder.read(wrong)
    assert responder.read(e1) == b""


def test_no_message_is_longer_than_noise_allows() -> None:
    """The first message of NN has no tag that could fail."""
    _, responder = sides("Noise_NN_25519_ChaChaPoly_SHA256")
    initiator, _ = sides("Noise_NN_25519_ChaChaPoly_SHA256")
    longest = initiator.write(bytes(65_535 - 32))
    with pytest.raises(ProtocolError):
        responder.read(longest + b"\0")
    assert len(responder.read(longest)) == 65_535 - 32


def test_misuse_is_our_error() -> None:
    initiator, responder = sides()
    with pytest.raises(ValueError, match="turn"):
        initiator.read(b"")
    with pytest.raises(ValueError, match="turn"):
        responder.write()
    with pytest.raises(ValueError, match="not finished"):
        initiator.split()
    responder.read(initiator.write())
    initiator.read(responder.write())
    with pytest.raises(ValueError, match="finished"):
        initiator.write()
    hybrid, _ = sides(PROTOCOL)
    hybrid.write(b"one")
    with pytest.raises(ValueError, match="no payload"):
        hybrid.write(b"two")
    with pytest.raises(ValueError, match="not given"):
        HandshakeState(IK, initiator=True, entropy=seeded(0))


@pytest.mark.parametrize(
    "name",
    ["", "Noise_IK", "Noise_ZZ_25519_ChaChaPoly_SHA256", "Noise_IK_448_ChaChaPoly_SHA256"],
)
def test_unknown_protocol_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Noise"):
        parse_name(name)


def test_our_pattern_puts_e1_behind_the_payload() -> None:
    assert [message.tokens for message in parse_name(PROTOCOL).pattern.messages] == [
        ("e", "es", "s", "ss", "payload"),
        ("e1",),
        ("e", "ee", "ekem1", "se", "payload"),
    ]


def test_hs18_nothing_secret_in_any_repr() -> None:
    pair = KeyPair.from_seed(b"\x42" * 32)
    initiator, _ = sides()
    secret = b"\x42" * 32
    for text in map(repr, itertools.chain([pair, initiator, initiator.fork()])):
        assert secret.hex() not in text
        assert repr(secret) not in text
