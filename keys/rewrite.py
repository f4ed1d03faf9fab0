"""A change worked into the text of the contacts file, so that comments and order survive.

tomlkit does it, and can be led astray by the many ways to write one thing in TOML. So the result
is read back by the other parser: if it is not exactly the value that was wanted, there is none.

Restrictions stand before the key they restrict. Cut short, wherever, a file that we wrote loses
whole people or leaves them restricted; it never allows more than it did.
"""

from typing import Any

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.items import InlineTable, Table

from keys.contacts import Contacts
from keys.policy import RESTRICTIONS, table_from

BEGINNING = """\
# securecp contacts: whom we know and what they may do. Edit it, or use `securecp contacts`.
version = 1
"""


def rewritten(text: str, old: Contacts, new: Contacts) -> str | None:
    """The text of `old` changed to say `new`; None if that cannot be done faithfully."""
    try:
        document = tomlkit.parse(text)
        _rename(document, old, new)
        _write_people(document, old, new)
        _write_groups(document, old, new)
        result = tomlkit.dumps(document)
        if not result.endswith("\n"):
            result += "\n"
        faithful = Contacts.parse(result, new.own) == new
    except Exception:  # tomlkit raises many kinds; whichever it is, nothing has been written
        return None
    return result if faithful else None


def _rename(document: TOMLDocument, old: Contacts, new: Contacts) -> None:
    """A contact of the same key under another name keeps its place and its comments."""
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


def _write_people(document: TOMLDocument, old: Contacts, new: Contacts) -> None:
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


def _in_front(fields: dict[str, Any], table: Any) -> Table | InlineTable:
    """The same table, comments too, with these fields first."""
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


def _write_groups(document: TOMLDocument, old: Contacts, new: Contacts) -> None:
    if new.groups == old.groups:
        return
    groups = _section(document, "groups", new.groups)
    for name in [name for name in groups if name not in new.groups]:
        del groups[name]
    for name, members in new.groups.items():
        if members != old.groups.get(name):
            groups[name] = list(members)


def _section(document: TOMLDocument, name: str, content: object) -> Any:
    """The table of this name in the document; made, as a super table or not, if it is wanted."""
    if name not in document and content:
        document[name] = tomlkit.table(is_super_table=name == "contacts")
    return document.get(name, {})


def _new_table(fields: dict[str, Any]) -> Table:
    table = tomlkit.table()
    for field, value in fields.items():
        table.append(field, _item(value))
    table.add(tomlkit.nl())
    return table


def _item(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inline = tomlkit.inline_table()
    inline.update(value)
    return inline
