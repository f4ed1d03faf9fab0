"""Envelopes: sealed by one contact, opened by the other, at the tag they were made for."""

from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from securecp import codec
from securecp.errors import ProtocolError
from securecp.nat import envelope
from securecp.nat.candidate import MOST_CANDIDATES, Candidate, Kind
from securecp.nat.envelope import (
    ENVELOPE_LENGTH,
    Answer,
    Bye,
    Call,
    Letter,
    More,
    Sync,
    View,
)
from securecp.nat.sampling import Nat
from securecp.nat.tags import PairKeys, new_claim, tag_of
from tests.nat.test_candidate import CANDIDATES
from tests.transport.handshakes import identity, public, seeded

ALICE, BOB, CAROL = 1, 2, 3
TAG = bytes(range(16))

SESSIONS = st.binary(min_size=16, max_size=16)
SECRETS = st.binary(min_size=32, max_size=32)
ROUNDS = st.integers(0, 65_535)
VIEWS = st.builds(
    View,
    st.sampled_from(Nat),
    st.integers(-1_024, 1_024),
    st.integers(0, 65_535),
    st.booleans(),
)
SOME = st.lists(CANDIDATES, max_size=MOST_CANDIDATES).map(tuple)
LETTERS: st.SearchStrategy[Letter] = st.one_of(
    st.builds(Call, SESSIONS, ROUNDS, SECRETS, SESSIONS, VIEWS, SOME),
    st.builds(Answer, SESSIONS, ROUNDS, SECRETS, SESSIONS, VIEWS, SOME),
    st.builds(Sync, SESSIONS, ROUNDS),
    st.builds(More, SESSIONS, VIEWS, SOME),
    st.builds(Bye, SESSIONS),
)
CALL = Call(
    bytes(16),
    0,
    bytes(32),
    bytes(16),
    View(Nat.EASY, 0, 20, ipv6=True),
    (Candidate.at(Kind.HOST, "192.168.1.2", 5_000),),
)


def sealed(letter: Letter, tag: bytes = TAG, sender: int = ALICE, peer: int = BOB) -> bytes:
    return envelope.seal(
        identity(sender), public(peer), letter, tag=tag, entropy=seeded("envelope")
    )


def opened(data: bytes, tag: bytes = TAG, receiver: int = BOB, peer: int = ALICE) -> Letter:
    return envelope.open(identity(receiver), public(peer), data, tag=tag)


@cache
def one() -> bytes:
    return sealed(CALL)


@given(LETTERS)
def test_a_letter_arrives_as_it_was_sealed(letter: Letter) -> None:
    data = sealed(letter)
    assert len(data) == ENVELOPE_LENGTH
    found = opened(data)
    assert (type(found), found) == (type(letter), letter)


def test_rv10_all_letters_look_alike() -> None:
    letters: list[Letter] = [CALL, Bye(bytes(16)), Sync(bytes(16), 0), CALL]
    entropy = seeded("alike")
    sent = [
        envelope.seal(identity(ALICE), public(BOB), one, tag=TAG, entropy=entropy)
        for one in letters
    ]
    assert {len(data) for data in sent} == {ENVELOPE_LENGTH}
    for key in (public(ALICE), public(BOB)):
        assert not any(key[:8] in data for data in sent)
    assert len({data[at : at + 16] for data in sent for at in (0, 32, 1_008)}) == 12


def test_rv04_every_flipped_bit_is_noticed() -> None:
    data = bytearray(one())
    for at in range(len(data) * 8):
        data[at >> 3] ^= 1 << (at & 7)
        with pytest.raises(ProtocolError):
            opened(bytes(data))
        data[at >> 3] ^= 1 << (at & 7)
    assert opened(bytes(data)) == CALL


@pytest.mark.parametrize(
    ("receiver", "peer"),
    [(BOB, CAROL), (CAROL, ALICE), (ALICE, BOB), (CAROL, BOB), (BOB, BOB), (ALICE, ALICE)],
)
def test_rv04_only_the_called_opens_it_and_only_as_the_callers(receiver: int, peer: int) -> None:
    with pytest.raises(ProtocolError):
        opened(one(), receiver=receiver, peer=peer)


def test_rv04_an_envelope_opens_at_its_own_tag_only() -> None:
    bob = PairKeys.of(identity(BOB), public(ALICE))
    data = sealed(CALL, PairKeys.of(identity(ALICE), public(BOB)).their_tag(100))
    assert opened(data, tag_of(bob.our_claim(100))) == CALL
    for other in (tag_of(bob.our_claim(101)), bob.their_tag(100), bytes(16)):
        with pytest.raises(ProtocolError):
            opened(data, other)


def test_rv09_a_recorded_sync_moves_nobody() -> None:
    """A server plays back CALL and SYNC: the CALL opens, but our reply is another each time."""
    entropy = seeded("replies")
    sync = Sync(bytes(16), 0)
    recorded = sealed(sync, tag_of(new_claim(entropy)))
    with pytest.raises(ProtocolError):
        opened(recorded, tag_of(new_claim(entropy)))


@given(st.binary(max_size=1_100) | st.binary(min_size=1_024, max_size=1_024))
@example(b"")
@example(bytes(1_024))
def test_rv04_any_bytes_are_no_envelope(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        opened(data)


BODIES = st.binary(max_size=974) | st.recursive(
    st.integers(-2, 2**17)
    | st.binary(max_size=2)
    | SESSIONS
    | SECRETS
    | st.booleans()
    | st.none()
    | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=7),
    max_leaves=12,
).map(codec.encode)


@given(BODIES)
def test_rv04_any_body_of_a_contact_is_a_letter_or_refused(body: bytes) -> None:
    with suppress(ProtocolError):
        assert envelope.encode(envelope.parse(body)) == body


@given(st.data())
def test_rv04_a_letter_with_one_field_of_another_kind(data: st.DataObject) -> None:
    letter = data.draw(LETTERS)
    items: list[Any] = codec.decode(envelope.encode(letter))
    place = data.draw(st.integers(0, len(items) - 1))
    items[place] = data.draw(
        st.integers(-1, 2**33) | st.binary(max_size=40) | st.just([0, 0, 0, 0])
    )
    body = codec.encode(items)
    with suppress(ProtocolError):
        assert envelope.encode(envelope.parse(body)) == body


def test_a_letter_beyond_its_limits_is_not_sealed() -> None:
    many = (Candidate.at(Kind.HOST, "11.0.113.5", 5),) * (MOST_CANDIDATES + 1)
    view = View(Nat.EASY, 0, 20, ipv6=True)
    for letter in (More(bytes(16), view, many), Sync(bytes(16), 65_536), Bye(bytes(15))):
        with pytest.raises((ProtocolError, AssertionError)):
            sealed(letter)


def test_the_longest_letter_has_room() -> None:
    wide = tuple(
        Candidate.at(Kind.PREDICTED, f"ffff::{n:x}", 65_535) for n in range(MOST_CANDIDATES)
    )
    call = Call(
        bytes(16), 65_535, bytes(32), bytes(16), View(Nat.HARD, -1_024, 65_535, False), wide
    )
    assert len(envelope.encode(call)) < 500
    assert opened(sealed(call)) == call


def test_opening_draws_no_randomness_and_leaves_no_trace() -> None:
    data = one()
    with pytest.raises(ProtocolError):
        opened(data[:-1] + b"\0")
    assert opened(data) == opened(data) == CALL


def test_secrets_and_replies_are_not_printed() -> None:
    secret, reply = b"s" * 32, b"r" * 16
    for kind in (Call, Answer):
        shown = repr(kind(bytes(16), 0, secret, reply, CALL.view, ()))
        assert "ssss" not in shown and "rrrr" not in shown
