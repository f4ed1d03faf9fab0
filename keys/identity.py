"""PublicKey, Card and Identity: who a peer is, and who we are (SPEC §2).

    seed 32 ── SHAKE256, 96 bytes ─┬─ 64  ML-KEM-768 seed d ‖ z  ── public 1,184 ─┐
                                   └─ 32  X25519 scalar          ── public    32 ─┴─ card 1,216
                                                                        └─ the public key, the name

The derivation is X-Wing's and age's, so the secret key opens what age sealed for it.
A public key has one encoding: whoever is compared, counted or blocked by key must not come back
under another spelling. Two spellings and the points of low order are refused here, once, and
every exchange checks again that the result is not zero.
"""

import hmac
from collections.abc import Callable
from hashlib import shake_256
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from keys import encoding
from keys.errors import MalformedKeyError
from keys.secret import Secret

KEY_LENGTH = 32
CARD_LENGTH = 1216
SEED_LENGTH = 32

_P = 2**255 - 19
_LOW_ORDER = frozenset(
    {
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        _P - 1,
    }
)
"""u of the points of order 1, 2, 4 and 8 on the curve and its twist. Of the seven usual byte
strings two are p and p + 1, spellings of 0 and 1 that are not canonical."""


def check_public(data: bytes) -> None:
    """Refuse what is not the one encoding of a useful X25519 public key (`MalformedKeyError`)."""
    if len(data) != KEY_LENGTH:
        raise MalformedKeyError(f"a public key has {KEY_LENGTH} bytes, not {len(data)}")
    u = int.from_bytes(data, "little")
    if u >= _P:
        raise MalformedKeyError("the public key is not in canonical form", _ASK)
    if u in _LOW_ORDER:
        raise MalformedKeyError("the public key is a weak one: anyone could pose as it", _ASK)


_ASK = "Ask its owner for the key once more: securecp id"


class PublicKey:
    """The 32 bytes that name a peer, checked; `bytes(key)` gives them, `str(key)` the text."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = bytes(data)
        check_public(self._data)

    @classmethod
    def parse(cls, text: str) -> "PublicKey":
        """From `age1…`; `MalformedKeyError` says what is wrong with it."""
        return cls(encoding.decode(encoding.PUBLIC, text))

    def __bytes__(self) -> bytes:
        return self._data

    def __str__(self) -> str:
        return encoding.encode(encoding.PUBLIC, self._data)

    def __repr__(self) -> str:
        return f"PublicKey({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicKey):
            return NotImplemented
        return hmac.compare_digest(self._data, other._data)

    def __hash__(self) -> int:
        return hash(self._data)

    @property
    def fingerprint(self) -> str:
        """What its owner can compare with their own."""
        from keys.fingerprint import fingerprint

        return fingerprint(self._data)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether this key's identity signed `message` (XEdDSA)."""
        from keys import xeddsa

        return xeddsa.verify(self._data, message, signature)


class Card:
    """The long form of a public key: ML-KEM-768 key, then X25519 key (1,216 bytes)."""

    __slots__ = ("_data", "key")

    def __init__(self, data: bytes) -> None:
        if len(data) != CARD_LENGTH:
            raise MalformedKeyError(f"a card has {CARD_LENGTH} bytes, not {len(data)}")
        self._data = bytes(data)
        self.key = PublicKey(self._data[-KEY_LENGTH:])
        _check_kem(self._data[:-KEY_LENGTH])

    @classmethod
    def parse(cls, text: str) -> "Card":
        """From `age1pq1…`; `MalformedKeyError` says what is wrong with it."""
        return cls(encoding.decode(encoding.CARD, text))

    def __bytes__(self) -> bytes:
        return self._data

    def __str__(self) -> str:
        return encoding.encode(encoding.CARD, self._data)

    def __repr__(self) -> str:
        return f"Card({str(self.key)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Card):
            return NotImplemented
        return hmac.compare_digest(self._data, other._data)

    def __hash__(self) -> int:
        return hash(self._data)


def _check_kem(data: bytes) -> None:
    """FIPS 203 §7.2: each of the 768 coefficients of 12 bits is below 3329."""
    for start in range(0, len(data) - KEY_LENGTH, 3):
        pair = int.from_bytes(data[start : start + 3], "little")
        if pair & 0xFFF >= 3329 or pair >> 12 >= 3329:
            raise MalformedKeyError("the card holds no ML-KEM-768 key", _ASK)


def parse_public(text: str) -> tuple[PublicKey, Card | None]:
    """A pasted public key or card: the key, and the card if it was one."""
    if encoding.kind_of(text) is encoding.CARD:
        card = Card.parse(text)
        return card.key, card
    return PublicKey.parse(text), None


class Identity:
    """Our long-term key pair. It prints as its public key, and is neither copied nor pickled."""

    __slots__ = ("__exchange", "__scalar", "__seed", "public")

    def __init__(self, seed: Secret) -> None:
        if len(seed.reveal()) != SEED_LENGTH:
            raise MalformedKeyError(f"a secret key has {SEED_LENGTH} bytes")
        self.__seed = seed
        self.__scalar = Secret(_expand(seed)[64:])
        self.__exchange = X25519PrivateKey.from_private_bytes(self.__scalar.reveal())
        self.public = PublicKey(self.__exchange.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> "Identity":
        """A new identity from 32 bytes of `entropy`."""
        return cls(Secret(entropy(SEED_LENGTH)))

    @classmethod
    def parse(cls, text: Secret | str) -> "Identity":
        """From `AGE-SECRET-KEY-PQ-1…`; the error never repeats the text.

        The error is raised anew here, so that no frame of its traceback holds the text either.
        """
        text = text if isinstance(text, Secret) else Secret(text)
        try:
            return cls(Secret(encoding.decode(encoding.SECRET, text.reveal().decode())))
        except UnicodeDecodeError:
            raise MalformedKeyError("this is not a secret key", "securecp keygen") from None
        except MalformedKeyError as error:
            raise MalformedKeyError(error.message, error.hint) from None

    def secret_text(self) -> Secret:
        """The secret key as `AGE-SECRET-KEY-PQ-1…`, for the key file and nothing else."""
        return Secret(encoding.encode(encoding.SECRET, self.__seed.reveal()))

    def exchange(self, peer: bytes) -> bytes:
        """X25519 with a public key as received; `MalformedKeyError` for a bad key or a zero result.

        `cryptography` raises ValueError when the result is zero; callers see one kind of error.
        """
        check_public(peer)
        try:
            return self.__exchange.exchange(X25519PublicKey.from_public_bytes(peer))
        except ValueError:
            raise MalformedKeyError("the public key is a weak one", _ASK) from None

    @property
    def card(self) -> Card:
        """Our public key in the long form; made anew each time, it is rarely wanted."""
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

        kem = MLKEM768PrivateKey.from_seed_bytes(_expand(self.__seed)[:64])
        return Card(kem.public_key().public_bytes_raw() + bytes(self.public))

    def sign(self, message: bytes, entropy: Callable[[int], bytes]) -> bytes:
        """XEdDSA over `message`, 64 bytes; it uses 64 bytes of `entropy`."""
        from keys import xeddsa

        return xeddsa.sign(self.__scalar.reveal(), message, entropy)

    def derive(self, label: bytes) -> bytes:
        """A key of 32 bytes for another purpose, named by its label: HKDF-SHA256 over the seed.

        It tells nothing of the secret key, nor of the keys under other labels.
        """
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), 32, salt=None, info=label).derive(self.__seed.reveal())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Identity):
            return NotImplemented
        return self.__seed == other.__seed

    def __hash__(self) -> int:
        return hash(self.public)

    def __repr__(self) -> str:
        return f"Identity({str(self.public)!r}, <redacted>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an identity is not copied, pickled or sent elsewhere")


def _expand(seed: Secret) -> bytes:
    return shake_256(seed.reveal()).digest(96)
