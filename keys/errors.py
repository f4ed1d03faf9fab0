"""What can be wrong with a key, a key file or a contact; each says what to do about it.

    KeysError                     exit 6, a key or trust refusal
    ├── MalformedKeyError         text or bytes that are not such a key
    ├── PassphraseError           wrong passphrase, or a sealed file that is damaged
    ├── FileRefusedError          a private file that is not safe to use; the hint is the remedy
    ├── FileFailedError           exit 1, the system would not read or write it
    ├── KeyFileError              no identity there, or one already, or not a key file
    └── ContactsError             the contacts file is damaged, or the change is refused
        ├── NameRefusedError      exit 2, not a name we accept
        ├── UnknownContactError   no such contact; carries the nearest name
        ├── DuplicateContactError this name or this key stands there already
        └── ChangedKeyError       another key for a known name; carries both fingerprints

No message repeats text that was given as a key: it may be a secret key, and it may be hostile.
"""

from typing import ClassVar


class KeysError(Exception):
    """A key is refused: one line for the person, and a hint at what to do."""

    exit_code: ClassVar[int] = 6

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class MalformedKeyError(KeysError):
    """Text or bytes that are not a key of the kind that is needed."""


class PassphraseError(KeysError):
    """The passphrase is wrong, or what it should open is damaged or asks for too much."""


class FileRefusedError(KeysError):
    """A private file or its directory is not safe to use; the hint is the command that mends it."""


class FileFailedError(KeysError):
    """The system refused to read or write a private file; what was there before still is."""

    exit_code = 1


class KeyFileError(KeysError):
    """There is no identity at this place, or there is one already, or this is not a key file."""


class ContactsError(KeysError):
    """The contacts file is damaged, or a change to it is refused."""


class NameRefusedError(ContactsError):
    """Not a name that a contact or group may have."""

    exit_code = 2


class UnknownContactError(ContactsError):
    """Nobody has this name, or no group.

    `nearest` is the name that was probably meant, or None.
    """

    def __init__(self, name: str, nearest: str | None, *, kind: str = "contact") -> None:
        make = "add NAME age1…" if kind == "contact" else "group NAME MEMBER…"
        hint = f"Did you mean {nearest}?" if nearest else f"securecp contacts {make}"
        super().__init__(f"there is no {kind} named {printable(name)}", hint)
        self.name = name
        self.nearest = nearest


class DuplicateContactError(ContactsError):
    """This name or this key is in the contacts already; `existing` is the name it has there."""

    def __init__(self, message: str, existing: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.existing = existing


class ChangedKeyError(ContactsError):
    """A known name comes with another key; never resolved without the person.

    `known` and `offered` are the two fingerprints.
    """

    def __init__(self, name: str, known: str, offered: str) -> None:
        super().__init__(
            f"the key offered for {printable(name)} is not the key we know: "
            f"known {known}, offered {offered}",
            "Ask them, by voice or in person, whether they made a new key. "
            "Only if they did: securecp contacts add --replace",
        )
        self.name = name
        self.known = known
        self.offered = offered


def printable(text: str, longest: int = 40) -> str:
    """Text that may be hostile, as one short line of ASCII (no control characters)."""
    plain = text.encode("ascii", "backslashreplace").decode()
    plain = "".join(c if " " <= c <= "~" else f"\\x{ord(c):02x}" for c in plain)
    return plain if len(plain) <= longest else f"{plain[: longest - 3]}..."
