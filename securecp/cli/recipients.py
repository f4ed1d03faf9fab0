"""Who gets the files: names and groups as they are typed with `--to`, made contacts."""

from typing import TYPE_CHECKING

from securecp.cli.failures import UsageError
from securecp.cli.text import quoted
from securecp.errors import TrustError

if TYPE_CHECKING:
    from keys.contacts import Contacts
    from keys.policy import Contact
    from securecp.cli.output import Output

GROUP = "@"


def find(contacts: "Contacts", typed: tuple[str, ...], output: "Output") -> "list[Contact]":
    """Everyone who is meant, once each and in the order that was typed.

    Who is named and blocked is an error; a group goes on without its blocked members.
    """
    found: dict[bytes, Contact] = {}
    for word in (word.strip() for text in typed for word in text.split(",")):
        if not word:
            raise UsageError(
                "--to names nobody", "write --to alice, --to alice,bob or --to @family"
            )
        for contact in _members(contacts, word, output):
            found.setdefault(bytes(contact.key), contact)
    if not found:
        raise TrustError("everybody who was named is blocked", "securecp contacts unblock NAME")
    return list(found.values())


def _members(contacts: "Contacts", word: str, output: "Output") -> "list[Contact]":
    if not word.startswith(GROUP):
        return [named(contacts, word)]
    members = contacts.resolve_group(word.removeprefix(GROUP))
    for contact in members:
        if contact.blocked:
            output.warning(f"not to {contact.name}, who is blocked")
    return [contact for contact in members if not contact.blocked]


def named(contacts: "Contacts", name: str) -> "Contact":
    """The contact of this name, if we may send to them."""
    from keys.errors import UnknownContactError

    try:
        contact = contacts.lookup(name)
    except UnknownContactError:
        if any(name.lower() == group.lower() for group in contacts.groups):
            raise UsageError(
                f"{quoted(name, 60)} is a group", f"write it with {GROUP}: --to {GROUP}{name}"
            ) from None
        raise
    if contact.blocked:
        raise TrustError(f"{contact.name} is blocked", f"securecp contacts unblock {contact.name}")
    return contact
