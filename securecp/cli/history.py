"""`securecp history`: what went to and came from whom."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from securecp.cli import options, units
from securecp.cli.text import quoted, safe_text

if TYPE_CHECKING:
    from securecp.daemon.record import Record

_NAMES = 3
_JSON_TEXT = 4_096


@click.command(
    epilog="""\b
Examples:
  securecp history                                  the last 50, newest first
  securecp history --with alice --limit 5
  securecp history --json                           with digests and keys, one object a line
"""
)
@click.option("--with", "name", metavar="NAME", help="Only of this contact.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, metavar="N", show_default=True,
    help="At most so many.",
)  # fmt: skip
@options.common
def history(face: options.Face, *, name: str | None, limit: int) -> None:
    """What went to and came from whom, newest first.

    Each transfer that came to an offer is here with its end. A contact who has another name now is
    found by the new one.
    """
    from securecp.daemon.history import History

    wanted = (lambda _: True) if name is None else _of(face, name)
    records: Iterator[Record] = filter(wanted, History(face.home.state).read())
    found = list(islice(records, limit))
    if face.output.as_json:
        for record in found:
            face.output.document(fields(record))
        return
    for line in table(found):
        face.output.result(line)
    if not found:
        face.output.note("nothing yet" if name is None else f"nothing with {safe_text(name)} yet")


def _of(face: options.Face, name: str) -> "Callable[[Record], bool]":
    """Whether a record is about this contact: by key if we know it, else by the name it had."""
    from keys.contactsfile import ContactsFile
    from keys.errors import UnknownContactError

    known = ContactsFile(face.home.contacts_file, face.home.own()).load()
    try:
        key = str(known.lookup(name).key)
    except UnknownContactError:
        if not _was_known(face, name):
            raise
        return lambda record: record.name.lower() == name.lower()
    return lambda record: record.key == key


def _was_known(face: options.Face, name: str) -> bool:
    from securecp.daemon.history import History

    return any(one.name.lower() == name.lower() for one in History(face.home.state).read())


def fields(record: "Record") -> dict[str, Any]:
    """A record as JSON; names as text fit to show."""
    from securecp.daemon import record as records

    told = records.fields(record)
    for field in ("name", "reason", "folder"):
        if field in told:
            told[field] = safe_text(told[field], _JSON_TEXT)
    if "names" in told:
        told["names"] = [safe_text(name, _JSON_TEXT) for name in told["names"]]
    return told


def table(records: "Iterable[Record]") -> list[str]:
    """One line a transfer: when, with whom, how it ended, how much, what."""
    rows = [_row(record) for record in records]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return [
        f"{when:{widths[0]}}  {who:{widths[1]}}  {result:{widths[2]}}  {size:>{widths[3]}}  {what}"
        for when, who, result, size, what in rows
    ]


def _row(record: "Record") -> tuple[str, str, str, str, str]:
    when = datetime.fromtimestamp(record.time)  # noqa: DTZ006  the person's own time
    who = ("from " if record.direction == "received" else "to ") + safe_text(record.name, 40)
    size = f"{units.count(record.files, 'file')}, {units.size(record.bytes)}"
    return f"{when:%Y-%m-%d %H:%M}", who, record.result, size, _what(record)


def _what(record: "Record") -> str:
    words = ", ".join(quoted(name, 60) for name in record.names[:_NAMES])
    more = len(record.names) - _NAMES + record.more
    if more > 0:
        words += f" and {more:,} more"
    if record.reason:
        words += f" ({safe_text(record.reason, 120)})"
    if record.hook:
        words += f" (--exec ended with {record.hook})"
    return words
