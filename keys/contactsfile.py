"""contacts.toml: read by everyone, changed by one at a time, by hand as well (SPEC §3.3).

    read      text → `Contacts`, or an error and nobody is allowed
    change    lock → read → new value → new text → backup of the old → replace

Reading uses the standard library's parser. Changing uses tomlkit, which keeps comments and order
but is slow to import, and then reads its own result back: if that is not exactly the value that
was wanted, nothing is written.

The lock keeps other securecp processes out, not an editor. So the file is compared once more just
before it is replaced, and if someone saved it meanwhile, the change starts again from theirs.
"""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keys.contacts import Contacts
from keys.errors import ContactsError, FileFailedError, KeysError
from keys.files import PrivateDirectory
from keys.identity import PublicKey
from keys.policy import RESTRICTIONS, table_from

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import InlineTable, Table

LARGEST_FILE = 8 << 20
MOST_ATTEMPTS = 5

_NEW = """\
# securecp contacts: whom we know and what they may do. Edit it, or use `securecp contacts`.
version = 1
"""


class ContactsFile:
    """The contacts file at `path`; `own` is our key, which is refused as a contact."""

    def __init__(self, path: Path, own: PublicKey | None = None) -> None:
        self.path = path
        self.backup = path.with_name(path.name + ".bak")
        """The previous content."""
        self._own = own
        self._stamp: tuple[int, ...] | None = None
        self._cached: Contacts | None = None

    def load(self) -> Contacts:
        """The contacts as the file has them now, none without a file; damaged: `ContactsError`."""
        if not self.path.parent.is_dir():
            return Contacts(own=self._own)
        with PrivateDirectory(self.path.parent) as directory:
            return self._parse(self._read(directory), directory)

    def current(self) -> Contacts:
        """`load`, but read again only if the file is another: cheap enough for every caller."""
        stamp = self._look()
        if self._cached is None or stamp != self._stamp:
            self._cached = None  # if it is damaged now, what it said before counts no more
            self._cached, self._stamp = self.load(), stamp
        return self._cached

    def edit(self, change: Callable[[Contacts], Contacts]) -> Contacts:
        """Put what `change` makes of the contacts into the file; it may be called more than once.

        What `change` raises comes through, and the file stays as it was. The directory is made,
        0700, if there is none.
        """
        with PrivateDirectory(self.path.parent, create=True) as directory, directory.locked():
            for _ in range(MOST_ATTEMPTS):
                before = self._read(directory)
                old = self._parse(before, directory)
                new = change(old)
                if new == old:
                    return new
                text = _NEW if before is None else before.decode()
                after = _rewritten(text, old, new, self.path)
                if self._save(directory, before, after.encode()):
                    return new
        raise ContactsError(
            f"{self.path} is being changed all the time", "Close it in the editor first."
        )

    def _save(self, directory: PrivateDirectory, before: bytes | None, after: bytes) -> bool:
        """Replace the file unless it is no longer `before`; whether it was replaced."""
        if len(after) > LARGEST_FILE:
            raise ContactsError(f"{self.path} would be larger than {LARGEST_FILE} bytes")
        if before is not None:
            directory.replace(self.backup.name, before, overwrite=True)
        return directory.replace(
            self.path.name,
            after,
            overwrite=before is not None,
            unchanged=lambda: self._read(directory) == before,
        )

    def _look(self) -> tuple[int, ...]:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise FileFailedError(f"cannot read {self.path}: {error.strerror}") from error
        return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size

    def _read(self, directory: PrivateDirectory) -> bytes | None:
        return directory.read(self.path.name, limit=LARGEST_FILE, secret=False)

    def _parse(self, data: bytes | None, directory: PrivateDirectory) -> Contacts:
        if data is None:
            if restore := self._restore(directory):
                raise ContactsError(
                    f"{self.path} is gone, but its backup is there",
                    f"{restore}, or remove the backup to begin anew",
                )
            return Contacts(own=self._own)
        try:
            if not data.endswith(b"\n"):
                raise ContactsError(
                    "its last line has no end, so it may be cut short",
                    "If it is whole, add a line break at its end.",
                )
            return Contacts.parse(data.decode(), self._own)
        except UnicodeDecodeError:
            restore = self._restore(directory)
            raise ContactsError(f"{self.path} is not usable: it is not UTF-8", restore) from None
        except KeysError as error:
            restore = self._restore(directory)
            hints = [error.hint, f"Or go back to the copy: {restore}" if restore else ""]
            raise ContactsError(
                f"{self.path} is not usable: {error.message}",
                " ".join(hint for hint in hints if hint),
            ) from None

    def _restore(self, directory: PrivateDirectory) -> str:
        """The command that goes back to the backup; empty if there is none."""
        if directory.read(self.backup.name, limit=LARGEST_FILE, secret=False) is None:
            return ""
        return f"cp {shlex.quote(str(self.backup))} {shlex.quote(str(self.path))}"


def _rewritten(text: str, old: Contacts, new: Contacts, path: Path) -> str:
    """The text with the differences between two values worked into it."""
    import tomlkit

    try:
        document = tomlkit.parse(text)
        _rename(document, old, new)
        _write_people(document, old, new)
        _write_groups(document, old, new)
        result = tomlkit.dumps(document)
        faithful = Contacts.parse(result, new.own) == new
    except Exception:  # tomlkit raises many kinds; whichever it is, nothing has been written
        faithful, result = False, ""
    if not faithful:
        raise ContactsError(
            f"cannot make this change in {path} without disturbing what is written there",
            "Make it by hand, in an editor.",
        )
    return result


def _rename(document: "TOMLDocument", old: Contacts, new: Contacts) -> None:
    """A contact of the same key under another name keeps its place and its comments."""
    import tomlkit

    renamed = {
        contact.name: new_contact.name
        for contact in old
        if contact.name not in new.people
        and (new_contact := new.by_key(bytes(contact.key))) is not None
    }
    if not renamed:
        return
    people: Any = document["contacts"]
    copy = tomlkit.table(is_super_table=True)
    for name, table in people.items():
        copy.append(renamed.get(name, name), table)
    document["contacts"] = copy


def _write_people(document: "TOMLDocument", old: Contacts, new: Contacts) -> None:
    people = _section(document, "contacts", new.people)
    for name in [name for name in people if name not in new.people]:
        del people[name]
    for contact in new:
        fields = table_from(contact)
        if contact.name not in people:
            people[contact.name] = _new_table(fields)
        elif contact != old.people.get(contact.name):
            _write_fields(people, contact.name, fields)


def _write_fields(people: Any, name: str, fields: dict[str, Any]) -> None:
    """Only what differs, so that the rest stays as it was written.

    A new restriction goes before the key: a file that is cut short, wherever, never allows more.
    """
    table = people[name]
    for field in [field for field in table if field not in fields]:
        del table[field]
    fresh = {field: fields[field] for field in RESTRICTIONS & fields.keys() - set(table)}
    for field, value in fields.items():
        if field not in fresh and (field not in table or table[field] != value):
            table[field] = _item(value)
    if fresh:
        people[name] = _in_front(fresh, table)


def _in_front(fields: dict[str, Any], table: Any) -> "Table | InlineTable":
    """The same table, comments too, with these fields first."""
    import tomlkit
    from tomlkit.items import InlineTable

    inline = isinstance(table, InlineTable)
    result = tomlkit.inline_table() if inline else tomlkit.table()
    for field, value in fields.items():
        result.append(field, value)
    for key, item in table.value.body:
        if key is not None:
            result.append(key, item)
        elif not inline:
            result.add(item)
    return result


def _write_groups(document: "TOMLDocument", old: Contacts, new: Contacts) -> None:
    if new.groups == old.groups:
        return
    groups = _section(document, "groups", new.groups)
    for name in [name for name in groups if name not in new.groups]:
        del groups[name]
    for name, members in new.groups.items():
        if members != old.groups.get(name):
            groups[name] = list(members)


def _section(document: "TOMLDocument", name: str, content: object) -> Any:
    """The table of this name in the document; made, as a super table or not, if it is wanted."""
    import tomlkit

    if name not in document and content:
        document[name] = tomlkit.table(is_super_table=name == "contacts")
    return document.get(name, {})


def _new_table(fields: dict[str, Any]) -> "Table":
    import tomlkit

    table = tomlkit.table()
    for field, value in fields.items():
        table.append(field, _item(value))
    table.add(tomlkit.nl())
    return table


def _item(value: Any) -> Any:
    import tomlkit

    if not isinstance(value, dict):
        return value
    inline = tomlkit.inline_table()
    inline.update(value)
    return inline
