"""Keys of a pair, claims and tags: what two contacts share and nobody else can compute."""

import copy
import hmac
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import KeysError
from securecp.nat.tags import Claims, PairKeys, day_of, hkdf, new_claim, tag_of
from tests.transport.handshakes import identity, public, seeded

ALICE, BOB, CAROL = 1, 2, 3
DAY = 20_783


def pair(us: int, them: int) -> PairKeys:
    return PairKeys.of(identity(us), public(them))


@given(
    st.binary(min_size=1, max_size=80),
    st.binary(max_size=80),
    st.binary(max_size=80),
    st.integers(1, 32),
)
def test_hkdf_is_that_of_the_library(secret: bytes, info: bytes, salt: bytes, length: int) -> None:
    theirs = HKDF(SHA256(), length, salt or None, info).derive(secret)
    assert hkdf(secret, info, salt=salt, length=length) == theirs


def test_a_claim_is_what_the_specification_says() -> None:
    ours, theirs = public(ALICE), public(BOB)
    info = b"securecp pair 1" + min(ours, theirs) + max(ours, theirs)
    key = HKDF(SHA256(), 32, None, info).derive(identity(BOB).exchange(ours))
    message = b"securecp claim 1" + DAY.to_bytes(4) + ours + theirs
    claim = hmac.digest(key, message, "sha256")[:16]
    assert pair(BOB, ALICE).our_claim(DAY) == claim
    assert pair(ALICE, BOB).their_tag(DAY) == sha256(b"securecp tag 1" + claim).digest()[:16]


def test_the_caller_posts_where_the_called_waits() -> None:
    assert tag_of(pair(BOB, ALICE).our_claim(DAY)) == pair(ALICE, BOB).their_tag(DAY)
    assert tag_of(pair(ALICE, BOB).our_claim(DAY)) == pair(BOB, ALICE).their_tag(DAY)


def test_rv01_tags_differ_by_day_direction_and_pair() -> None:
    people = (ALICE, BOB, CAROL)
    tags = {
        pair(us, them).their_tag(day)
        for us in people
        for them in people
        if us != them
        for day in range(DAY, DAY + 5)
    }
    assert len(tags) == 6 * 5


def test_rv02_a_claim_does_not_follow_from_its_tag() -> None:
    claim = pair(BOB, ALICE).our_claim(DAY)
    assert tag_of(claim) != claim
    assert tag_of(tag_of(claim)) != tag_of(claim)


def test_a_day_is_counted_in_utc_from_1970() -> None:
    assert day_of(0.0) == 0
    assert day_of(86_399.9) == 0
    assert day_of(86_400.0) == 1
    assert day_of(-1.0) == -1


@pytest.mark.parametrize("day", [-1, 0, 2**32 - 1, 2**32])
def test_a_clock_far_off_stops_nobody(day: int) -> None:
    claims = Claims()
    assert len(claims.update([pair(BOB, ALICE)], day).subscribe) == 3
    assert claims.find(pair(ALICE, BOB).their_tag(day))


@pytest.mark.parametrize(
    ("ahead", "found"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
def test_clocks_may_differ_by_one_day(ahead: int, *, found: bool) -> None:
    claims = Claims()
    claims.update([pair(BOB, ALICE), pair(BOB, CAROL)], DAY)
    caller = claims.find(pair(ALICE, BOB).their_tag(DAY + ahead))
    assert (caller is not None) == found
    if caller:
        assert caller.peer == public(ALICE)


def test_nobody_waits_under_the_tags_of_the_other_direction() -> None:
    claims = Claims()
    claims.update([pair(BOB, ALICE)], DAY)
    assert claims.find(pair(BOB, ALICE).their_tag(DAY)) is None
    assert claims.find(bytes(16)) is None


def test_only_what_changes_is_told_to_the_server() -> None:
    claims = Claims()
    pairs = [pair(BOB, ALICE), pair(BOB, CAROL)]
    first = claims.update(pairs, DAY)
    assert (len(first.subscribe), first.unsubscribe) == (6, ())
    assert sorted(claims.held) == sorted(first.subscribe)
    assert claims.update(pairs, DAY) == ((), ())
    next_day = claims.update(pairs, DAY + 1)
    assert sorted(next_day.subscribe) == sorted(one.our_claim(DAY + 2) for one in pairs)
    assert sorted(next_day.unsubscribe) == sorted(one.our_claim(DAY - 1) for one in pairs)
    without = claims.update(pairs[:1], DAY + 1)
    assert without.subscribe == ()
    assert sorted(without.unsubscribe) == sorted(pairs[1].our_claim(DAY + n) for n in (0, 1, 2))
    assert claims.find(pair(CAROL, BOB).their_tag(DAY + 1)) is None


@given(st.lists(st.tuples(st.sets(st.integers(10, 13)), st.integers(0, 6)), max_size=6))
def test_a_server_that_is_told_the_changes_knows_what_is_held(
    steps: list[tuple[set[int], int]],
) -> None:
    claims, server = Claims(), set[bytes]()
    for people, day in steps:
        change = claims.update([pair(BOB, one) for one in sorted(people)], day)
        assert not server & set(change.subscribe)
        assert server.issuperset(change.unsubscribe)
        server = (server | set(change.subscribe)) - set(change.unsubscribe)
        assert server == set(claims.held)


def test_a_claim_of_one_session_is_random() -> None:
    entropy = seeded("claims")
    assert len({new_claim(entropy) for _ in range(100)}) == 100
    assert len(new_claim(entropy)) == 16


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32, b"short"])
def test_hs04_a_key_of_no_use_makes_no_pair(key: bytes) -> None:
    with pytest.raises(KeysError):
        PairKeys.of(identity(ALICE), key)


def test_the_keys_of_a_pair_are_not_printed_copied_or_pickled() -> None:
    keys = pair(ALICE, BOB)
    assert repr(keys) == f"<PairKeys {public(BOB).hex()}>"
    with pytest.raises(TypeError):
        copy.copy(keys)
    with pytest.raises(TypeError):
        keys.__reduce_ex__(5)
    claims = Claims()
    change = claims.update([keys], DAY)
    assert change.subscribe[0].hex() not in repr(change)
    assert str(change.subscribe[0]) not in repr(change)
