"""Who we are, who a peer is: one spelling per key, no weak keys, and secrets that do not print."""

import copy
import json
import pickle  # noqa: TID251
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import KeysError, MalformedKeyError
from keys.identity import Identity, PublicKey, check_public
from keys.secret import Secret
from tests.keys.samples import Entropy, identity

P = 2**255 - 19
ALICE, BOB = identity("alice"), identity("bob")

# Each u of order 1, 2, 4 or 8 on the curve or its twist; p and p+1 are other spellings of 0 and 1.
LOW_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (P - 1).to_bytes(32, "little"),
    P.to_bytes(32, "little"),
    (P + 1).to_bytes(32, "little"),
]


def test_age_derives_the_same_card_from_the_same_identity() -> None:
    vector = json.loads(Path(__file__).with_name("age-identity.json").read_text())
    assert str(Identity.parse(vector["identity"]).card) == vector["card"]


def test_generating_uses_32_bytes_of_entropy_and_comes_back_from_text() -> None:
    entropy = Entropy()
    made = Identity.generate(entropy)
    assert entropy.used == 32
    assert Identity.parse(made.secret_text()) == made
    assert made != Identity.generate(entropy)


def test_both_sides_of_an_exchange_agree() -> None:
    shared = ALICE.exchange(bytes(BOB.public))
    assert shared == BOB.exchange(bytes(ALICE.public))
    assert len(shared) == 32


@pytest.mark.parametrize("data", LOW_ORDER, ids=range(7))
def test_hs04_points_of_low_order_are_no_public_keys(data: bytes) -> None:
    with pytest.raises(MalformedKeyError):
        PublicKey(data)
    with pytest.raises(MalformedKeyError):
        ALICE.exchange(data)


@pytest.mark.parametrize("data", LOW_ORDER, ids=range(7))
def test_hs04_our_list_holds_exactly_what_gives_zero(data: bytes) -> None:
    with pytest.raises(ValueError, match="shared key"):
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(data))


def test_hs04_a_zero_result_is_refused_even_if_the_list_missed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keys.identity.check_public", lambda data: None)
    with pytest.raises(MalformedKeyError, match="weak"):
        ALICE.exchange(LOW_ORDER[2])


@pytest.mark.parametrize("name", ["alice", "bob", "carol"])
def test_hs05_the_high_bit_makes_no_second_spelling(name: str) -> None:
    data = bytearray(bytes(identity(name).public))
    data[31] |= 0x80
    with pytest.raises(MalformedKeyError, match="canonical"):
        PublicKey(data)
    with pytest.raises(MalformedKeyError, match="canonical"):
        ALICE.exchange(bytes(data))


@pytest.mark.parametrize("u", [*range(2, 19)])
def test_hs05_a_multiple_of_the_field_makes_no_second_spelling(u: int) -> None:
    check_public(u.to_bytes(32, "little"))
    with pytest.raises(MalformedKeyError, match="canonical"):
        PublicKey((u + P).to_bytes(32, "little"))
    with pytest.raises(MalformedKeyError, match="canonical"):
        ALICE.exchange((u + P).to_bytes(32, "little"))


def test_hs05_other_spellings_would_give_the_same_secret() -> None:
    """Why they are refused: the library itself takes all of them for one key."""
    private = X25519PrivateKey.from_private_bytes(bytes(range(32)))
    u, twin = (9).to_bytes(32, "little"), (9 + P).to_bytes(32, "little")
    exchanged = [private.exchange(X25519PublicKey.from_public_bytes(data)) for data in (u, twin)]
    assert exchanged[0] == exchanged[1]


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_kc04_a_public_key_has_32_bytes(length: int) -> None:
    with pytest.raises(MalformedKeyError, match="32 bytes"):
        PublicKey(b"\x09" * length)


@given(st.binary(min_size=30, max_size=34))
def test_kc04_any_bytes_are_a_key_or_refused(data: bytes) -> None:
    try:
        key = PublicKey(data)
    except MalformedKeyError:
        return
    assert bytes(key) == data
    assert PublicKey.parse(str(key)) == key


def test_public_keys_are_values() -> None:
    twin = PublicKey(bytes(ALICE.public))
    assert twin == ALICE.public
    assert hash(twin) == hash(ALICE.public)
    assert twin != BOB.public
    assert twin != bytes(twin)
    assert repr(twin) == f"PublicKey('{twin}')"


CANARY = b"canary-canary-canary-canary-32by"


def _leaks(text: str) -> bool:
    holder = Identity(Secret(CANARY))
    secret_text = holder.secret_text().reveal().decode()
    return "canary" in text or CANARY.hex() in text or secret_text[20:40] in text


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r:>40}".format, "%s".__mod__])
def test_cl08_secrets_print_as_redacted(show: Callable[[object], str]) -> None:
    holder = Identity(Secret(CANARY))
    for secret in (
        Secret(CANARY),
        holder,
        holder.secret_text(),
        [holder],
        {"seed": Secret(CANARY)},
    ):
        shown = show(secret)
        assert "<redacted>" in shown
        assert not _leaks(shown)


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("secret", [Identity(Secret(CANARY)), Secret(CANARY)], ids=["id", "secret"])
def test_cl08_secrets_are_not_copied_or_pickled(
    take: Callable[[object], object], secret: object
) -> None:
    with pytest.raises(TypeError, match="not copied"):
        take(secret)


def test_cl08_secrets_have_no_dictionary_to_dump() -> None:
    for secret in (Identity(Secret(CANARY)), Secret(CANARY)):
        assert not hasattr(secret, "__dict__")
        with pytest.raises(AttributeError):
            secret.extra = 1  # type: ignore[union-attr]


def test_cl08_secrets_compare_by_value_and_have_no_hash() -> None:
    assert Secret("one") == Secret(b"one")
    assert Secret("one") != Secret("two")
    assert Secret("one") != "one"
    with pytest.raises(TypeError):
        hash(Secret("one"))


def test_cl08_a_mistyped_secret_key_stays_out_of_the_traceback() -> None:
    text = Identity(Secret(CANARY)).secret_text().reveal().decode()
    mistyped = Secret(text[:-1] + ("Q" if text[-1] != "Q" else "P"))
    with pytest.raises(KeysError) as caught:
        Identity.parse(mistyped)
    assert "checksum" in caught.value.message
    assert not _leaks(told_with_locals(caught.value))


def told_with_locals(error: BaseException) -> str:
    """The most talkative traceback there is, without our own frame, which knows the secret."""
    inner = error.__traceback__.tb_next if error.__traceback__ else None
    shown = traceback.TracebackException(type(error), error, inner, capture_locals=True)
    return "".join(shown.format())


def test_a_key_for_another_purpose_depends_on_identity_and_label() -> None:
    journal = ALICE.derive(b"securecp 1 journal")
    assert len(journal) == 32
    assert journal == identity("alice").derive(b"securecp 1 journal")
    assert len({journal, BOB.derive(b"securecp 1 journal"), ALICE.derive(b"securecp 1 other")}) == 3
    assert journal not in ALICE.secret_text().reveal()
