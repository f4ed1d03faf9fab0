"""The contacts as they stand on disk at this moment, while a command runs for days.

A contact who is added, blocked or removed meanwhile is treated accordingly from the next handshake
on. If the file becomes unusable, nobody is allowed until it is whole again.
"""

from collections.abc import Callable
from pathlib import Path

from keys.contacts import Contacts
from keys.contactsfile import ContactsFile
from keys.errors import ContactsError, KeysError
from keys.identity import PublicKey
from keys.policy import Contact


class Book:
    """Looks names and keys up; `trouble` is told when the file turns bad, once."""

    def __init__(
        self, path: Path, own: PublicKey, *, trouble: Callable[[KeysError], None] | None = None
    ) -> None:
        self._file = ContactsFile(path, own)
        self._nobody = Contacts(own=own)
        self._trouble = trouble
        self._told = False
        self._last = self._file.load()

    @property
    def contacts(self) -> Contacts:
        """Everyone, as the file says now."""
        try:
            self._last = self._file.current()
        except KeysError as error:
            if not self._told and self._trouble is not None:
                self._trouble(error)
            self._told = True
            return self._nobody
        self._told = False
        return self._last

    def contact(self, public_key: bytes) -> Contact | None:
        """Who has this key, if they are known and not blocked."""
        contacts = self.contacts
        return contacts.by_key(public_key) if contacts.allowed(public_key) else None

    def name_of(self, public_key: bytes) -> str:
        """The contact's name; the key's text for one who is a contact no more."""
        contact = self._last.by_key(public_key)
        return contact.name if contact is not None else self.text_of(public_key)

    def accept_always(self, public_key: bytes) -> str:
        """Write into the file that this contact need not be asked about any more; their name.

        Who has the name by now may be somebody else: it is the key that was seen and approved.
        """
        name = ""

        def change(known: Contacts) -> Contacts:
            nonlocal name
            contact = known.by_key(public_key)
            if contact is None or contact.blocked:
                raise ContactsError("they are no contact any more")
            name = contact.name
            return known.update(name, accept="always")

        self._file.edit(change)
        return name

    @staticmethod
    def text_of(public_key: bytes) -> str:
        """The public key as people write it; empty if there is none."""
        return str(PublicKey(public_key)) if public_key else ""
