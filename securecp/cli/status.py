"""`securecp status`: what runs now, and what can be gone on with."""

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from securecp.cli import options, ui, unfinished, units
from securecp.cli.text import quoted, safe_text

if TYPE_CHECKING:
    from securecp.cli.book import Book
    from securecp.cli.passphrase import Passphrase
    from securecp.daemon.asking import Answer, Row
    from securecp.disk.journal import Unfinished

_NAMES = 3
_LATEST = 1e12


@click.command(
    epilog="""\b
Examples:
  securecp status
  securecp status --json            one object: programs and unfinished
  securecp cancel ID                an ID stands at the beginning of a line
"""
)
@options.passphrase
@options.common
def status(face: options.Face, *, passphrase: "Passphrase") -> None:
    """What runs now, and what can be gone on with.

    Every `send` and `receive` of this home is asked, and what was cut off is read from the disk.
    With a passphrase on the identity, the latter needs it.
    """
    from securecp.daemon import asking

    answers = [one for one in asking.ask(face.home.state, do="status") if one.get("ok") is True]
    running = [asking.rows(answer) for answer in answers]
    found = unfinished.look(face, passphrase, ask=False)
    underway = {(row.key, row.manifest) for rows in running for row in rows}
    book = _book(face) if found.transfers else None
    left = [one for one in found.transfers if (_text(one.peer), one.digest.hex()) not in underway]
    if face.output.as_json:
        told = [_unfinished_fields(one, book) for one in left]
        face.output.document({"programs": answers, "unfinished": told, "sealed": found.is_sealed})
        return
    for answer, rows in zip(answers, running, strict=True):
        for line in program_lines(answer, rows, time.time()):
            face.output.result(line)
    _tell_unfinished(face, left, book)
    if found.is_sealed:
        face.output.note("what was cut off is shown with the passphrase: --passphrase-file FILE")
    if not answers and not left:
        face.output.note("nothing runs, and nothing is unfinished")


def _tell_unfinished(face: options.Face, left: "Sequence[Unfinished]", book: "Book | None") -> None:
    if not left or book is None:
        return
    face.output.result("unfinished; each goes on when they send it again:")
    for one in left:
        face.output.result(f"  {unfinished.line(one, safe_text(book.name_of(one.peer)))}")
    face.output.advice("to give one up: securecp cancel ID")


def _book(face: options.Face) -> "Book | None":
    from securecp.cli.book import Book

    own = face.home.own()
    return Book(face.home.contacts_file, own) if own is not None else None


def _text(peer: bytes) -> str:
    from keys.identity import PublicKey

    return str(PublicKey(peer))


def _unfinished_fields(one: "Unfinished", book: "Book | None") -> dict[str, Any]:
    return {
        "id": one.id,
        "name": book.name_of(one.peer) if book is not None else "",
        "key": _text(one.peer),
        "manifest": one.digest.hex(),
        "names": [safe_text(name, 4_096) for name in one.names],
        "bytes": one.kept,
        "total": one.size,
        "since": one.at,
        "folder": safe_text(os.fsencode(one.destination), 4_096),
    }


def program_lines(answer: "Answer", rows: "Sequence[Row]", now: float) -> list[str]:
    """One program: what it is, its transfers, and what should be known about it."""
    since = _seconds(answer.get("since"))
    age = f", for {units.duration(max(now - since, 0))}" if since is not None else ""
    kind = safe_text(str(answer.get("kind", "program")), 20)
    lines = [f"{kind} (process {answer['pid']}){age}" + ("" if rows else ": nothing is on its way")]
    lines += [f"  {row_line(row)}" for row in rows]
    lines += [f"  declined for now: {one}" for one in _resting(answer)]
    declined = answer.get("declined")
    if type(declined) is int and declined > 0:
        lines.append(f"  {units.count(declined, 'offer')} declined by the bounds of contacts")
    for field, what in (("lost", "the history"), ("lost_log", "the log")):
        lost = answer.get(field)
        if type(lost) is int and lost > 0:
            lines.append(f"  {units.count(lost, 'line')} of {what} could not be written")
    return lines


def row_line(row: "Row") -> str:
    """`4711.1  from alice  running  512 MB of 1.2 GB, 88 MB/s, 8 s left  "a" and 2 more`."""
    who = ("to " if row.direction == "sent" else "from ") + safe_text(row.name, 40)
    words = [safe_text(row.id, 30), who, safe_text(row.state, 20)]
    if row.bytes or row.total:
        words.append(_amount(row))
    if row.names:
        more = len(row.names) - _NAMES + row.more
        names = ", ".join(quoted(name, 60) for name in row.names[:_NAMES])
        words.append(names + (f" and {more:,} more" if more > 0 else ""))
    if row.message:
        words.append(f"({safe_text(row.message)})")
    return "  ".join(words)


def _amount(row: "Row") -> str:
    if row.state == "running":
        return ui.progress_words(row.bytes, row.total, row.rate)
    return f"{units.size(row.bytes)} of {units.size(row.total)}"


def _resting(answer: "Answer") -> list[str]:
    """Offers that have failed too often, in words."""
    resting = answer.get("resting")
    if not isinstance(resting, list):
        return []
    return [
        f"an offer of {safe_text(str(one.get('name')), 40)}: {safe_text(str(one.get('reason')))}"
        for one in resting
        if isinstance(one, dict)
    ]


def _seconds(value: object) -> float | None:
    """A time that can be shown."""
    return value if isinstance(value, int | float) and 0 <= value < _LATEST else None
