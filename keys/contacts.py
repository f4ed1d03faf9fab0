"""Contacts: everyone we know, as a value; changes give a new value or are refused (SPEC §3.3).

    version = 1

    [contacts.alice]
    key = "age1…"

    [groups]
    family = ["alice"]

Nothing here touches the disk (`keys.contactsfile` does) or guesses: text that is not wholly
understood is an error, and an error leaves nobody allowed.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from keys.errors import (
    ChangedKeyError,
    ContactsError,
    DuplicateContactError,
    UnknownContactError,
    printable,
)
from keys.identity import PublicKey
from keys.names import check_name, nearest, skeleton
from keys.policy import Contact, Proof, Verified, contact_from

VERSION = 1

_CHANGEABLE = {"accept", "endpoints", "into", "max_size", "daily_quota", "on_conflict", "card",
               "blocked"}  # fmt: skip


@dataclass(frozen=True)
class Contacts:
    """The contacts by name, in the order of the file, and the groups. Immutable."""

    people: Mapping[str, Contact] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own: PublicKey | None = field(default=None, compare=False)
    """Our own key, which is no contact."""
    _by_key: dict[bytes, Contact] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_key: dict[bytes, Contact] = {}
        for contact in self.people.values():
            self._refuse_own(contact.key)
            other = by_key.setdefault(bytes(contact.key), contact)
            if other is not contact:
                raise _same_key(contact.name, other.name)
        _check_distinct([*self.people, *self.groups])
        for name, members in self.groups.items():
            _check_group(name, members, self.people)
        object.__setattr__(self, "_by_key", by_key)

    @classmethod
    def parse(cls, text: str, own: PublicKey | None = None) -> "Contacts":
        """From the text of the file; `ContactsError` for anything that is not wholly understood."""
        try:
            document = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
            raise ContactsError(f"not valid TOML: {printable(reason, 120)}") from None
        version = document.pop("version", None)
        if type(version) is not int or version != VERSION:
            raise ContactsError(*_version_trouble(version))
        people = _table(document.pop("contacts", {}), "contacts")
        groups = _table(document.pop("groups", {}), "groups")
        for name in document:
            raise ContactsError(f"{printable(name)} is not a part of a contacts file")
        return cls(
            {name: contact_from(name, _table(table, name)) for name, table in people.items()},
            {name: _members(name, members) for name, members in groups.items()},
            own,
        )

    # Whom do we know?

    def __iter__(self) -> Iterator[Contact]:
        return iter(self.people.values())

    def __len__(self) -> int:
        return len(self.people)

    def allowed(self, public_key: bytes) -> bool:
        """Whether this key may speak with us: it is a contact's, and the contact is not blocked."""
        contact = self._by_key.get(public_key)
        return contact is not None and not contact.blocked

    def by_key(self, public_key: bytes) -> Contact | None:
        """The contact with this public key (32 bytes), blocked or not."""
        return self._by_key.get(public_key)

    def lookup(self, name: str) -> Contact:
        """The contact of this name, in any case; `UnknownContactError` knows the nearest."""
        found = self.people.get(name) or self.people.get(self._spelled(name, self.people) or "")
        if found is None:
            raise UnknownContactError(name, nearest(name, self.people))
        return found

    def resolve(self, name: str) -> tuple[Contact, ...]:
        """The contact of this name, or the members of this group."""
        group = self._spelled(name, self.groups)
        if group is None:
            try:
                return (self.lookup(name),)
            except UnknownContactError:
                everyone = [*self.people, *self.groups]
                raise UnknownContactError(name, nearest(name, everyone)) from None
        return self.resolve_group(group)

    def resolve_group(self, name: str) -> tuple[Contact, ...]:
        """The members of this group, in any case; one without members is refused."""
        group = self.group_name(name)
        if not self.groups[group]:
            raise ContactsError(
                f"nobody is in group {group}", f"securecp contacts group {group} NAME…"
            )
        return tuple(self.people[member] for member in self.groups[group])

    def group_name(self, name: str) -> str:
        """How the group is spelled that `name` means, in any case."""
        group = self._spelled(name, self.groups)
        if group is None:
            raise UnknownContactError(name, nearest(name, self.groups), kind="group")
        return group

    @staticmethod
    def _spelled(name: str, names: Mapping[str, object]) -> str | None:
        lower = name.lower()
        return next((known for known in names if known.lower() == lower), None)

    # Changes: each gives new contacts, or is refused.

    def add(self, contact: Contact, *, replace_key: bool = False) -> "Contacts":
        """With one contact more.

        Another key for a known name is `ChangedKeyError` unless `replace_key`: then the key and
        card are exchanged, the proof of the old key goes, `always` becomes `ask`, `overwrite` the
        usual, and all else, a block too, stays.
        """
        spelled = self._spelled(contact.name, self.people)
        known = self.people.get(spelled or "")
        if known is None:
            return self._with({**self.people, contact.name: contact})
        if known.key == contact.key:
            raise DuplicateContactError(
                f"{known.name} is in the contacts already, with this key",
                known.name,
                f"securecp contacts set {known.name} changes the rest",
            )
        if not replace_key:
            raise ChangedKeyError(known.name, known.key.fingerprint, contact.key.fingerprint)
        changed = replace(
            known,
            key=contact.key,
            card=contact.card,
            verified=None,
            accept="ask" if known.accept == "always" else known.accept,
            on_conflict=None if known.on_conflict == "overwrite" else known.on_conflict,
        )
        return self._with({**self.people, known.name: changed})

    def remove(self, name: str) -> "Contacts":
        """Without this contact, in the groups too."""
        gone = self.lookup(name).name
        people = {key: contact for key, contact in self.people.items() if key != gone}
        return self._with(
            people,
            {
                group: tuple(member for member in members if member != gone)
                for group, members in self.groups.items()
            },
        )

    def rename(self, name: str, new: str) -> "Contacts":
        """The same contact under another name, in the groups too."""
        old = self.lookup(name).name
        taken = self._spelled(new, self.people)
        if taken not in (None, old):
            raise DuplicateContactError(f"there is a contact named {taken} already", taken or "")
        people = {
            (new if key == old else key): (replace(contact, name=new) if key == old else contact)
            for key, contact in self.people.items()
        }
        return self._with(
            people,
            {
                group: tuple(new if member == old else member for member in members)
                for group, members in self.groups.items()
            },
        )

    def update(self, name: str, **changes: Any) -> "Contacts":
        """With other values for a contact; name, key and proof are not changed like this."""
        assert changes.keys() <= _CHANGEABLE
        contact = self.lookup(name)
        return self._with({**self.people, contact.name: replace(contact, **changes)})

    def block(self, name: str) -> "Contacts":
        """They stay known, and are answered no more."""
        return self.update(name, blocked=True)

    def unblock(self, name: str) -> "Contacts":
        """They may speak with us again."""
        return self.update(name, blocked=False)

    def verify(self, name: str, on: date, how: Proof) -> "Contacts":
        """Their key was compared with them."""
        contact = self.lookup(name)
        changed = replace(contact, verified=Verified(on, how))
        return self._with({**self.people, contact.name: changed})

    def group(self, name: str, members: tuple[str, ...]) -> "Contacts":
        """With these members in this group; no members removes it."""
        name = self._spelled(name, self.groups) or name
        groups = dict(self.groups)
        if members:
            groups[name] = tuple(self.lookup(member).name for member in members)
        else:
            groups.pop(name, None)
        return self._with(dict(self.people), groups)

    def _with(
        self, people: dict[str, Contact], groups: Mapping[str, tuple[str, ...]] | None = None
    ) -> "Contacts":
        return Contacts(people, self.groups if groups is None else groups, self.own)

    def _refuse_own(self, key: PublicKey) -> None:
        if self.own is not None and key == self.own:
            raise ContactsError("this is your own key", "Ask them for theirs: securecp id")


def _table(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ContactsError(f"{printable(name)} should be a table")
    return value


def _members(name: str, members: object) -> tuple[str, ...]:
    if not isinstance(members, list) or not all(type(member) is str for member in members):
        raise ContactsError(f"group {printable(name)} should be a list of names")
    return tuple(members)


def _check_group(name: str, members: tuple[str, ...], people: Mapping[str, Contact]) -> None:
    check_name(name)
    for member in members:
        if member not in people:
            guess = nearest(member, people)
            raise ContactsError(
                f"group {name} names {printable(member)}, who is not a contact",
                f"Did you mean {guess}?" if guess else "",
            )
    if len(set(members)) != len(members):
        raise ContactsError(f"group {name} names someone twice")


def _check_distinct(names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        alike = skeleton(name)
        if alike in seen:
            raise DuplicateContactError(
                f"{printable(name)} is too much like {printable(seen[alike])}, which is there",
                seen[alike],
                "Choose names that differ by more than case or look-alike letters.",
            )
        seen[alike] = name


def _same_key(name: str, other: str) -> DuplicateContactError:
    return DuplicateContactError(
        f"this key is in the contacts already, as {other}; {name} would be a second name for it",
        other,
        f"securecp contacts rename {other} {name}",
    )


def _version_trouble(version: object) -> tuple[str, str]:
    if type(version) is int:
        return f"version {version} is not known to this securecp", "Use the securecp that wrote it."
    return "there is no version in it, so it is not whole", ""
