"""Contacts as a value: who is allowed, what a change may do, and what is refused."""

import base64
from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.contacts import Contacts
from keys.errors import (
    ChangedKeyError,
    ContactsError,
    DuplicateContactError,
    KeysError,
    NameRefusedError,
    UnknownContactError,
    printable,
)
from keys.names import skeleton
from keys.policy import Contact, Verified
from tests.keys.samples import contact, identity

ALICE, BOB, CAROL = (identity(name).public for name in ("alice", "bob", "carol"))
CARD = identity("alice").card
BOOK = Contacts().add(contact("alice")).add(contact("bob"))


def entry(key: object = ALICE, more: str = "", name: str = "alice") -> str:
    return f'version = 1\n[contacts.{name}]\nkey = "{key}"\n{more}\n'


# Allowed


def test_kc08_nobody_is_allowed_by_an_empty_book() -> None:
    assert not Contacts().allowed(bytes(ALICE))
    assert not Contacts.parse("version = 1").allowed(bytes(ALICE))


def test_only_contacts_who_are_not_blocked_are_allowed() -> None:
    book = BOOK.block("bob")
    assert book.allowed(bytes(ALICE))
    assert not book.allowed(bytes(BOB))
    assert not book.allowed(bytes(CAROL))
    assert book.unblock("bob").allowed(bytes(BOB))


def test_hs05_a_blocked_contact_is_not_allowed_under_another_spelling() -> None:
    book = BOOK.block("bob")
    twin = bytearray(bytes(BOB))
    twin[31] |= 0x80
    for data in (bytes(twin), bytes(BOB)[:31], bytes(BOB) + b"\0", b""):
        assert not book.allowed(data)


def test_kc07_no_part_of_a_key_is_enough() -> None:
    for length in range(32):
        assert not BOOK.allowed(bytes(ALICE)[:length])
        assert BOOK.by_key(bytes(ALICE)[:length]) is None


def test_a_contact_is_found_by_key_and_by_name_in_any_case() -> None:
    found = BOOK.by_key(bytes(BOB))
    assert found is not None
    assert found.name == "bob"
    assert BOOK.lookup("ALICE").key == ALICE
    assert BOOK.block("bob").by_key(bytes(BOB)) is not None


def test_an_unknown_name_hears_the_nearest() -> None:
    with pytest.raises(UnknownContactError) as caught:
        BOOK.lookup("alcie")
    assert (caught.value.nearest, caught.value.hint) == ("alice", "Did you mean alice?")
    with pytest.raises(UnknownContactError) as caught:
        BOOK.lookup("zzzzzz")
    assert caught.value.nearest is None


def test_kc07_a_beginning_of_a_name_is_not_enough() -> None:
    for name in ("ali", "a", "alice ", "alice2", ""):
        with pytest.raises(UnknownContactError):
            BOOK.lookup(name)


def test_policy_is_ask_until_it_is_said_otherwise() -> None:
    assert Contacts.parse(entry()).lookup("alice").accept == "ask"
    for word in ("ask", "always", "never"):
        book = Contacts.parse(entry(more=f'accept = "{word}"'))
        assert book.lookup("alice").accept == word


# Changes


def test_kc06_another_key_for_a_known_name_is_refused_with_both_fingerprints() -> None:
    with pytest.raises(ChangedKeyError) as caught:
        BOOK.add(Contact("alice", CAROL))
    assert caught.value.known == ALICE.fingerprint
    assert caught.value.offered == CAROL.fingerprint
    assert ALICE.fingerprint in caught.value.message
    assert CAROL.fingerprint in caught.value.message
    assert BOOK.lookup("alice").key == ALICE


def test_kc06_case_does_not_slip_another_key_under_a_known_name() -> None:
    with pytest.raises(ChangedKeyError):
        BOOK.add(Contact("Alice", CAROL))


def test_kc06_an_explicit_replacement_drops_the_proof_and_the_trust_in_the_old_key() -> None:
    before = Contact(
        "alice", ALICE, card=CARD, accept="always", endpoints=("h:1",), into="/in", blocked=True,
        on_conflict="overwrite",
    )  # fmt: skip
    book = Contacts().add(before).verify("alice", date(2026, 1, 31), "qr")
    after = book.add(Contact("ALICE", CAROL), replace_key=True).lookup("alice")
    assert after == Contact("alice", CAROL, endpoints=("h:1",), into="/in", blocked=True)


def test_kc06_a_replacement_keeps_every_restriction() -> None:
    before = Contact("alice", ALICE, accept="never", max_size=1, daily_quota=2, on_conflict="skip")
    after = Contacts().add(before).add(Contact("alice", CAROL), replace_key=True).lookup("alice")
    assert (after.accept, after.max_size, after.daily_quota) == ("never", 1, 2)
    assert after.on_conflict == "skip"


def test_kc06_a_replacement_leaves_nothing_of_the_old_key() -> None:
    book = BOOK.add(Contact("alice", CAROL), replace_key=True)
    assert not book.allowed(bytes(ALICE))
    assert book.allowed(bytes(CAROL))


def test_kc05_one_key_has_one_name() -> None:
    with pytest.raises(DuplicateContactError, match="as alice") as caught:
        BOOK.add(Contact("ally", ALICE))
    assert caught.value.existing == "alice"
    assert caught.value.hint == "securecp contacts rename alice ally"
    with pytest.raises(DuplicateContactError):
        BOOK.add(Contact("bob", ALICE), replace_key=True)


def test_kc05_the_same_contact_twice_is_refused() -> None:
    with pytest.raises(DuplicateContactError, match="already"):
        BOOK.add(contact("alice"))


ALIKE = [("alice", "Alice"), ("bill", "biII"), ("tom1", "toml"), ("m0e", "moe"), ("a_b", "a-b"),
         ("barney", "bamey"), ("vvim", "wim")]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_kc05_names_that_look_alike_are_refused(one: str, other: str) -> None:
    book = Contacts().add(Contact(one, ALICE))
    with pytest.raises((DuplicateContactError, ChangedKeyError)):
        book.add(Contact(other, BOB))
    text = entry(name=one) + f'[contacts.{other}]\nkey = "{BOB}"\n'
    with pytest.raises(DuplicateContactError):
        Contacts.parse(text)
    with pytest.raises(DuplicateContactError):
        book.add(Contact("zoe", BOB)).rename("zoe", other)


def test_kc05_ordinary_names_do_not_collide() -> None:
    names = ["anna", "ann", "hanna", "johanna", "tim", "tom", "kim", "jim", "ali", "alice", "lia"]
    assert len({skeleton(name) for name in names}) == len(names)


def test_kc05_a_group_is_not_named_like_a_contact() -> None:
    with pytest.raises(DuplicateContactError):
        BOOK.group("alice", ("bob",))
    with pytest.raises(DuplicateContactError):
        Contacts.parse(entry() + '[groups]\nalice = ["alice"]')


def test_kc04_our_own_key_is_no_contact() -> None:
    with pytest.raises(ContactsError, match="your own key"):
        Contacts(own=ALICE).add(contact("alice"))
    with pytest.raises(ContactsError, match="your own key"):
        Contacts(own=CAROL).add(contact("bob")).add(Contact("bob", CAROL), replace_key=True)
    with pytest.raises(ContactsError, match="your own key"):
        Contacts.parse(entry(), own=ALICE)


def test_a_contact_can_be_renamed_in_groups_too() -> None:
    book = BOOK.group("us", ("alice", "bob")).rename("alice", "alicia")
    assert [person.name for person in book] == ["alicia", "bob"]
    assert book.groups == {"us": ("alicia", "bob")}
    assert BOOK.rename("alice", "Alice").lookup("alice").name == "Alice"
    with pytest.raises(DuplicateContactError, match="bob"):
        BOOK.rename("alice", "Bob")
    with pytest.raises(NameRefusedError):
        BOOK.rename("alice", "../alice")


def test_a_removed_contact_is_gone_from_groups_and_no_longer_allowed() -> None:
    book = BOOK.group("us", ("alice", "bob")).remove("Alice")
    assert not book.allowed(bytes(ALICE))
    assert book.groups == {"us": ("bob",)}
    with pytest.raises(UnknownContactError):
        book.remove("alice")


def test_a_group_stands_for_its_members() -> None:
    book = BOOK.group("us", ("alice", "bob"))
    assert [person.name for person in book.resolve("US")] == ["alice", "bob"]
    assert [person.name for person in book.resolve("bob")] == ["bob"]
    with pytest.raises(UnknownContactError):
        book.resolve("them")
    with pytest.raises(UnknownContactError):
        book.group("us", ("alice", "nobody"))
    assert not book.group("us", ()).groups


def test_a_group_is_found_in_any_case_and_named_if_it_is_not_there() -> None:
    book = BOOK.group("us", ("alice", "bob"))
    assert [person.name for person in book.resolve_group("Us")] == ["alice", "bob"]
    assert book.group_name("US") == "us"
    assert book.group("US", ("bob",)).groups == {"us": ("bob",)}
    assert not book.group("US", ()).groups
    with pytest.raises(UnknownContactError, match="no group named them") as caught:
        book.resolve_group("them")
    assert caught.value.hint == "securecp contacts group NAME MEMBER…"
    with pytest.raises(UnknownContactError, match="no group named alice"):
        book.resolve_group("alice")


def test_a_group_that_lost_all_its_members_stands_for_an_error_not_for_nobody() -> None:
    book = BOOK.group("us", ("alice",)).remove("alice")
    assert book.groups == {"us": ()}
    for find in (book.resolve, book.resolve_group):
        with pytest.raises(ContactsError, match="nobody is in group us"):
            find("us")


def test_verification_says_when_and_how() -> None:
    book = BOOK.verify("bob", date(2026, 1, 31), "pair-code")
    assert book.lookup("bob").verified == Verified(date(2026, 1, 31), "pair-code")


def test_changes_leave_the_old_value_as_it_was() -> None:
    BOOK.block("alice").remove("bob")
    assert BOOK == Contacts().add(contact("alice")).add(contact("bob"))


def test_kc04_a_card_of_another_key_is_refused() -> None:
    with pytest.raises(ContactsError, match="another public key"):
        Contact("bob", BOB, card=CARD)


# Names

BAD_NAMES = [
    "",
    "-x",
    "--help",
    "_x",
    ".",
    "..",
    "a/b",
    "a\\b",
    "a:b",
    "a,b",
    "a.b",
    "a b",
    "a" * 33,
    "ä",
    "\u0430lice",
    "a\n",
    "a\x1b[2J",
    "a\u202eb",
    "a\u200bb",
    "age1qqqq",
    "AGE1x",
    "~",
    "$HOME",
    "a\0",
    "\uff41lice",
    "\u212a",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_kc05_names_have_a_small_alphabet(name: str) -> None:
    with pytest.raises(NameRefusedError) as caught:
        Contact(name, ALICE)
    assert caught.value.message.isprintable()
    assert caught.value.message.isascii()


@given(st.text())
def test_names_are_shown_as_one_line_of_ascii(text: str) -> None:
    shown = printable(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 40


# The text of the file

REFUSED = {
    "empty": "",
    "truncated": entry()[:40],
    "no version": entry().removeprefix("version = 1\n"),
    "unknown version": entry().replace("version = 1", "version = 2"),
    "version as text": entry().replace("version = 1", 'version = "1"'),
    "version as truth": entry().replace("version = 1", "version = true"),
    "version as float": entry().replace("version = 1", "version = 1.0"),
    "two versions": "version = 1\n" + entry(),
    "not TOML": "version = 1\nhello",
    "control characters": "version = 1 # \x00",
    "half a table": entry() + "[contacts.bo",
    "the contact twice": entry() + entry(BOB).removeprefix("version = 1\n"),
    "unknown table": entry() + "[servers]\n",
    "unknown field": entry(more="blokced = true"),
    "no key": 'version = 1\n[contacts.alice]\naccept = "ask"\n',
    "contact is no table": "version = 1\n[contacts]\nalice = 1\n",
    "contacts is no table": "version = 1\ncontacts = 1\n",
    "key is a number": "version = 1\n[contacts.alice]\nkey = 1\n",
    "key is mistyped": entry(str(ALICE)[:-1] + "q"),
    "key is a card": entry(CARD),
    "key is secret": entry(identity("alice").secret_text().reveal().decode()),
    "card of another": entry(BOB, f'card = "{CARD}"'),
    "key twice": entry() + f'[contacts.bob]\nkey = "{ALICE}"\n',
    "accept": entry(more='accept = "yes"'),
    "accept true": entry(more="accept = true"),
    "blocked as text": entry(more='blocked = "yes"'),
    "blocked as number": entry(more="blocked = 1"),
    "size as text": entry(more='max_size = "1"'),
    "size as truth": entry(more="max_size = true"),
    "size as float": entry(more="max_size = 1.0"),
    "size negative": entry(more="max_size = -1"),
    "size of 2^63": entry(more=f"max_size = {1 << 63}"),
    "size of many digits": entry(more=f"max_size = {'9' * 5000}"),
    "quota as text": entry(more='daily_quota = "1GB"'),
    "quota as truth": entry(more="daily_quota = false"),
    "quota as float": entry(more="daily_quota = 1.5"),
    "quota negative": entry(more="daily_quota = -1"),
    "quota of 2^63": entry(more=f"daily_quota = {1 << 63}"),
    "conflict of another kind": entry(more='on_conflict = "ask"'),
    "conflict as truth": entry(more="on_conflict = true"),
    "conflict empty": entry(more='on_conflict = ""'),
    "into relative": entry(more='into = "in"'),
    "into with escape": entry(more='into = "/in\\u001b[2J"'),
    "into too long": entry(more=f'into = "/{"x" * 4096}"'),
    "endpoints as text": entry(more='endpoints = "h:1"'),
    "endpoint as number": entry(more="endpoints = [1]"),
    "too many endpoints": entry(more=f"endpoints = {['h:1'] * 17}"),
    "verified as date": entry(more="verified = 2026-01-31"),
    "verified with time": entry(more='verified = {on = 2026-01-31T12:00:00Z, how = "qr"}'),
    "verified somehow": entry(more='verified = {on = 2026-01-31, how = "trust me"}'),
    "group of strangers": entry() + '[groups]\nus = ["bob"]\n',
    "group twice the same": entry() + '[groups]\nus = ["alice", "alice"]\n',
    "group no list": entry() + '[groups]\nus = "alice"\n',
    "group of numbers": entry() + "[groups]\nus = [1]\n",
    "group name": entry() + '[groups]\n"a b" = ["alice"]\n',
    "contact name": entry(name='"../x"'),
    "deep arrays": "version = 1\nx = " + "[" * 100_000,
    "deep tables": "version = 1\n[" + "a." * 2_000 + "a]\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_kc08_text_that_is_not_wholly_understood_is_refused(text: str) -> None:
    with pytest.raises(ContactsError) as caught:
        Contacts.parse(text)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_kc08_a_misspelled_field_is_named_with_the_right_one() -> None:
    with pytest.raises(ContactsError, match="blokced") as caught:
        Contacts.parse(REFUSED["unknown field"])
    assert caught.value.hint == "Did you mean blocked?"


def test_kc08_a_later_version_is_told_from_a_file_without_one() -> None:
    with pytest.raises(ContactsError, match="version 2 is not known"):
        Contacts.parse(REFUSED["unknown version"])
    with pytest.raises(ContactsError, match="no version"):
        Contacts.parse(REFUSED["no version"])


def test_kc08_no_beginning_of_a_file_says_less_than_the_whole() -> None:
    """Cut anywhere, it is refused, or only whole contacts and fields after the cut are missing."""
    whole = entry(more="blocked = true") + f'[contacts.bob]\nkey = "{BOB}"\n'
    for length in range(len(whole)):
        with suppress(KeysError):
            part = Contacts.parse(whole[:length])
            assert {person.key for person in part} <= {ALICE, BOB}


@pytest.mark.parametrize(
    "endpoint",
    ["h:1", "192.0.2.1:65535", "[::1]:443", "[fe80::1%eth0]:9", "host.example.org:4400", "a-b:1"],
)
def test_endpoints_that_are_accepted(endpoint: str) -> None:
    assert Contact("alice", ALICE, endpoints=(endpoint,)).endpoints == (endpoint,)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "h",
        "h:",
        ":1",
        "h:0",
        "h:65536",
        "h:01",
        "h:1 ",
        "h:x",
        "::1:1",
        "[::1]",
        "[]:1",
        "[x]:1",
        "[::1%\x1b]:1",
        "a/b:1",
        "h\n:1",
        "-h:1",
        "h:١",
        "http://h:1",
        "a" * 254 + ":1",
        "[" * 99 + ":1",
        "a" * 250 + "!:1",
    ],
    ids=ascii,
)
def test_endpoints_that_are_refused(endpoint: str) -> None:
    with pytest.raises(ContactsError, match="not an endpoint"):
        Contact("alice", ALICE, endpoints=(endpoint,))


@given(
    st.text(max_size=200) | st.binary(max_size=60).map(lambda data: base64.b64encode(data).decode())
)
def test_kc08_any_text_is_contacts_or_refused(text: str) -> None:
    for start in ("", "version = 1\n", entry()):
        with suppress(ContactsError):
            Contacts.parse(start + text)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just(str(ALICE)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(st.data())
def test_kc08_any_value_in_any_field_is_accepted_or_refused(data: st.DataObject) -> None:
    fields = (
        "key", "card", "accept", "endpoints", "into", "max_size", "daily_quota", "on_conflict",
        "blocked", "verified", "x",
    )  # fmt: skip
    field, value = data.draw(st.sampled_from(fields)), data.draw(VALUES)
    text = repr(value).replace("None", "{}").replace("True", "true").replace("False", "false")
    with suppress(ContactsError):
        book = Contacts.parse(f"version = 1\n[contacts.alice]\n{field} = {text}\n")
        assert field == "key"
        assert book.lookup("alice").key == ALICE
