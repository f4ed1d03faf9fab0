"""Pasted keys: the right ones are read, and the wrong ones hear what they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import bech32, encoding
from keys.errors import MalformedKeyError
from keys.identity import Card, Identity, PublicKey, parse_public
from tests.keys.samples import identity

ALICE = identity("alice")
PUBLIC = str(ALICE.public)
CARD = str(ALICE.card)
SECRET = ALICE.secret_text().reveal().decode()


def test_the_three_texts_have_their_lengths_and_beginnings() -> None:
    assert (len(PUBLIC), PUBLIC[:4]) == (62, "age1")
    assert (len(CARD), CARD[:7]) == (1959, "age1pq1")
    assert (len(SECRET), SECRET[:20]) == (77, "AGE-SECRET-KEY-PQ-1Q"[:19] + SECRET[19])


def test_each_text_is_read_back() -> None:
    assert PublicKey.parse(PUBLIC) == ALICE.public
    assert Card.parse(CARD) == ALICE.card
    assert Identity.parse(SECRET) == ALICE


def test_a_pasted_key_may_be_the_short_or_the_long_form() -> None:
    assert parse_public(PUBLIC) == (ALICE.public, None)
    assert parse_public(CARD) == (ALICE.public, ALICE.card)


SWAPPED = PUBLIC[:20] + PUBLIC[21] + PUBLIC[20] + PUBLIC[22:]
WRONG = {
    "empty": ("", "empty"),
    "mistyped": (SWAPPED, "checksum"),
    "cut": (PUBLIC[:-1], "cut short: 61 characters instead of 62"),
    "too long": (PUBLIC + "q", "too long"),
    "impossible character": (PUBLIC[:30] + "b" + PUBLIC[31:], "character 31"),
    "mixed case": (PUBLIC[:-1] + PUBLIC[-1].upper(), "mixed case"),
    "mixed case in front": ("Age1" + PUBLIC[4:], "mixed case"),
    "upper case": (PUBLIC.upper(), "lower case"),
    "secret key": (SECRET, "this is a secret key"),
    "secret key, lower case": (SECRET.lower(), "this is a secret key"),
    "older secret key": ("AGE-SECRET-KEY-1" + "Q" * 58, "older kind"),
    "space in front": (" " + PUBLIC, "spaces"),
    "line break behind": (PUBLIC + "\n", "spaces"),
    "two keys": (f"{PUBLIC} {PUBLIC}", "spaces"),
    "SSH key": ("ssh-ed25519AAAAC3NzaC1lZDI1NTE5", "SSH key"),
    "plugin": ("age1yubikey1qwerty", "cut short"),
    "word": ("alice", "not a public key"),
    "other type": (bech32.encode("bc", bytes(ALICE.public)), "not a public key"),
    "shorter, with good checksum": (bech32.encode("age", bytes(31)), "cut short"),
    "longer, with good checksum": (bech32.encode("age", bytes(33)), "too long"),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_kc04_a_bad_public_key_hears_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(MalformedKeyError) as caught:
        parse_public(text)
    assert words in caught.value.message


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_kc04_an_error_never_repeats_the_text(text: str, words: str) -> None:
    with pytest.raises(MalformedKeyError) as caught:
        parse_public(text)
    told = caught.value.message + caught.value.hint
    if len(text) > 10:
        assert text[8:18].lower() not in told.lower()


def test_kc04_a_secret_key_pasted_as_a_contact_is_named_as_such() -> None:
    with pytest.raises(MalformedKeyError) as caught:
        PublicKey.parse(SECRET)
    assert "secret key" in caught.value.message
    assert "Never give it to anyone" in caught.value.hint


def test_kc04_a_public_key_is_no_identity() -> None:
    with pytest.raises(MalformedKeyError, match="this is a public key, where a secret key"):
        Identity.parse(PUBLIC)
    with pytest.raises(MalformedKeyError, match="upper case"):
        Identity.parse(SECRET.lower())


def test_kc04_a_card_is_not_taken_for_a_key_or_the_reverse() -> None:
    with pytest.raises(MalformedKeyError, match="this is a card, where a public key"):
        PublicKey.parse(CARD)
    with pytest.raises(MalformedKeyError, match="this is a public key, where a card"):
        Card.parse(PUBLIC)


def test_kc04_a_card_with_coefficients_out_of_range_is_refused() -> None:
    data = bytearray(bytes(ALICE.card))
    data[0:3] = b"\xff\xff\xff"
    with pytest.raises(MalformedKeyError, match="no ML-KEM-768 key"):
        Card(bytes(data))


def test_kc04_a_card_of_a_weak_key_is_refused() -> None:
    with pytest.raises(MalformedKeyError, match="weak"):
        Card(bytes(ALICE.card)[:-32] + bytes(32))


@given(st.sampled_from([PUBLIC, SECRET, CARD]), st.data())
def test_kc04_one_wrong_place_is_always_refused(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(min_codepoint=1, max_codepoint=0x2FF))
    damaged = text[:place] + character + text[place + 1 :]
    for kind in (encoding.PUBLIC, encoding.CARD, encoding.SECRET):
        try:
            encoding.decode(kind, damaged)
        except MalformedKeyError:
            continue
        assert damaged == text
