"""The three texts of a key, exactly as age writes them (SPEC §2.1).

    age1…                 62 characters     public key    32 bytes, X25519
    age1pq1…              1,959 characters  card          1,216 bytes, ML-KEM-768 1,184 + X25519 32
    AGE-SECRET-KEY-PQ-1…  77 characters     secret key    32 bytes, the seed

One key has one text: case, length and padding are fixed, so texts may be compared.
This file knows texts and lengths; whether the bytes are a good key is the business of `identity`.
"""

from typing import NamedTuple

from keys import bech32
from keys.errors import MalformedKeyError


class Kind(NamedTuple):
    """One kind of text: its Bech32 type, its bytes, and how to call it."""

    prefix: str
    length: int
    name: str


PUBLIC = Kind("age", 32, "public key")
CARD = Kind("age1pq", 1216, "card")
SECRET = Kind("AGE-SECRET-KEY-PQ-", 32, "secret key")


def encode(kind: Kind, data: bytes) -> str:
    """`data` as text of this kind; its length is the caller's promise."""
    assert len(data) == kind.length
    return bech32.encode(kind.prefix, data)


def decode(kind: Kind, text: str) -> bytes:
    """The bytes of a text of this kind, or `MalformedKeyError`; the message never repeats it."""
    _refuse_blanks(text)
    if not text.startswith(kind.prefix + "1") or kind_of(text) is not kind:
        raise _mistaken(kind, text)
    expected = text_length(kind)
    if len(text) != expected:
        trouble = "cut short" if len(text) < expected else "too long"
        raise MalformedKeyError(
            f"the {kind.name} is {trouble}: {len(text)} characters instead of {expected}",
            "Copy it once more, whole.",
        )
    found, data = bech32.decode(text)
    if found != kind.prefix or len(data) != kind.length:
        raise MalformedKeyError(f"this is not a {kind.name}", "Copy it once more, whole.")
    return data


def text_length(kind: Kind) -> int:
    """Characters in a text of this kind."""
    return len(kind.prefix) + 1 + -(-kind.length * 8 // 5) + bech32.CHECKSUM_LENGTH


def kind_of(text: str) -> Kind | None:
    """What a text claims to be by its first characters, in any case."""
    lower = text.lower()
    for kind in (SECRET, CARD, PUBLIC):
        if lower.startswith(kind.prefix.lower() + "1"):
            return kind
    return None


def _refuse_blanks(text: str) -> None:
    if not text:
        raise MalformedKeyError("the key is empty", "A public key looks like age1… .")
    if text != text.strip() or len(text.split()) != 1:
        raise MalformedKeyError(
            "the key has spaces or line breaks in or around it", "Copy the key alone."
        )


def _mistaken(kind: Kind, text: str) -> MalformedKeyError:
    """The error for a text of another kind: names what it seems to be."""
    lower = text.lower()
    found = kind_of(text)
    if found is SECRET and kind is not SECRET:
        return MalformedKeyError(
            f"this is a secret key, where a {kind.name} is needed",
            "Never give it to anyone. If you already did, make a new one: securecp keygen",
        )
    if found is kind:
        right, wrong = ("upper", "lower") if kind.prefix.isupper() else ("lower", "upper")
        if text.isupper() or text.islower():
            return MalformedKeyError(f"a {kind.name} is written in {right} case, not {wrong} case")
        return MalformedKeyError(f"a {kind.name} is not written in mixed case")
    if found is not None:
        return MalformedKeyError(f"this is a {found.name}, where a {kind.name} is needed")
    if lower.startswith("age-secret-key-1"):
        return MalformedKeyError(
            "this is a secret key of age's older kind; securecp uses AGE-SECRET-KEY-PQ-1…",
            "Make one: securecp keygen",
        )
    if lower.startswith(("ssh-", "ecdsa-", "sk-ssh-")):
        return MalformedKeyError(f"this is an SSH key, where a {kind.name} is needed", _LOOKS)
    return MalformedKeyError(f"this is not a {kind.name}", _LOOKS)


_LOOKS = "A public key looks like age1… and has 62 characters: securecp id"
