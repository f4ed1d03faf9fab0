"""Fingerprints and pair codes: long enough, the same on both sides, compared whole."""

import math
import re

from keys.bech32 import CHARSET
from keys.fingerprint import fingerprint, pair_code
from tests.keys.samples import identity

ALICE, BOB, CAROL = (bytes(identity(name).public) for name in ("alice", "bob", "carol"))


def test_kc07_a_pair_code_is_eight_groups_of_five_digits_and_over_128_bits() -> None:
    assert re.fullmatch(r"\d{5}( \d{5}){7}", pair_code(ALICE, BOB))
    assert 40 * math.log2(10) > 128


def test_kc07_both_sides_see_the_same_pair_code() -> None:
    assert pair_code(ALICE, BOB) == pair_code(BOB, ALICE)


def test_kc07_another_key_on_either_side_gives_another_pair_code() -> None:
    codes = {pair_code(ALICE, BOB), pair_code(ALICE, CAROL), pair_code(CAROL, BOB)}
    assert len(codes) == 3
    groups = [set(code.split()) for code in codes]
    assert not groups[0] & groups[1] & groups[2]


def test_kc07_a_fingerprint_has_140_bits_and_depends_on_every_byte() -> None:
    text = fingerprint(ALICE)
    assert re.fullmatch(rf"[{CHARSET}]{{4}}(-[{CHARSET}]{{4}}){{6}}", text)
    assert 7 * 4 * 5 > 128
    others = {fingerprint(ALICE[:n] + bytes([ALICE[n] ^ 1]) + ALICE[n + 1 :]) for n in range(32)}
    assert len(others | {text}) == 33


def test_fingerprints_and_pair_codes_are_those_of_the_specification() -> None:
    assert fingerprint(bytes(range(32))) == FINGERPRINT
    assert pair_code(bytes(range(32)), bytes(range(32, 64))) == PAIR_CODE


FINGERPRINT = "4v3j-jmrg-hyl5-he6u-c6y2-rrta-45dc"
PAIR_CODE = "28468 47814 68267 38624 68353 22678 06263 10547"
