"""Bech32 against BIP 173's own vectors, and what its checksum promises."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import bech32
from keys.errors import MalformedKeyError
from tests.keys.samples import identity

# BIP 173, "Test vectors". The long text is left out: its limit of 90 characters is not ours.
VALID = [
    "A12UEL5L",
    "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
    "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
    "?1ezyfcl",
]
INVALID = [
    "\x201nwldj5",
    "\x7f1axkwrx",
    "\x801eym55h",
    "pzry9x0s0muk",
    "1pzry9x0s0muk",
    "x1b4n0q5v",
    "li1dgmt3",
    "de1lg7wt\xff",
    "A1G7SGD8",
    "10a06t8",
    "1qzzfhee",
    "a12UEL5L",
]


@pytest.mark.parametrize("text", VALID)
def test_kc04_texts_of_the_standard_are_read_and_written_back(text: str) -> None:
    kind, data = bech32.decode(text)
    assert bech32.encode(kind, data) == text


@pytest.mark.parametrize("text", INVALID)
def test_kc04_texts_the_standard_refuses_are_refused(text: str) -> None:
    with pytest.raises(MalformedKeyError):
        bech32.decode(text)


@given(st.sampled_from(["age", "age1pq", "AGE-SECRET-KEY-PQ-"]), st.binary(max_size=80))
def test_any_bytes_come_back(kind: str, data: bytes) -> None:
    assert bech32.decode(bech32.encode(kind, data)) == (kind, data)


def test_kc04_every_single_wrong_character_is_found() -> None:
    text = str(identity("alice").public)
    for place in range(4, len(text)):
        for character in bech32.CHARSET:
            if character != text[place]:
                with pytest.raises(MalformedKeyError):
                    bech32.decode(text[:place] + character + text[place + 1 :])


@given(st.dictionaries(st.integers(4, 61), st.integers(1, 31), min_size=2, max_size=4))
def test_kc04_up_to_four_wrong_characters_are_found(errors: dict[int, int]) -> None:
    characters = list(str(identity("alice").public))
    for place, error in errors.items():
        value = bech32.CHARSET.index(characters[place]) ^ error
        characters[place] = bech32.CHARSET[value]
    with pytest.raises(MalformedKeyError, match="checksum"):
        bech32.decode("".join(characters))


def test_kc04_bits_past_the_last_byte_must_be_zero() -> None:
    good = bech32.encode("age", b"\x01")
    values = [bech32.CHARSET.index(character) for character in good[4:-6]]
    values[-1] |= 1
    check = bech32._polymod(bech32._expand("age") + values + [0] * 6) ^ 1
    values += [check >> shift & 31 for shift in range(25, -1, -5)]
    with pytest.raises(MalformedKeyError, match="stray bits"):
        bech32.decode("age1" + "".join(bech32.CHARSET[value] for value in values))


@given(st.text(max_size=80))
def test_kc04_any_text_is_read_or_refused(text: str) -> None:
    with suppress(MalformedKeyError):
        kind, data = bech32.decode(text)
        assert bech32.encode(kind, data) == text
