"""What a person sees of an offer before they answer (SPEC §10.6, MF-20).

Who, how much, what of it is there already, every name worth a second look, where it goes and how
much room there is. Foreign names come last on their lines, and each is made harmless.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from keys.policy import Contact
from securecp.cli import units
from securecp.cli.text import listed, quoted
from securecp.cli.wording import offer_words
from securecp.events import Offered

REMARKS_SHOWN = 5
_TAKEN_SHOWN = 3
_HAPPENS = {
    "rename": "it gets another name",
    "skip": "it is left out",
    "overwrite": "it is replaced",
}
_HAPPEN = {
    "rename": "they get other names",
    "skip": "they are left out",
    "overwrite": "they are replaced",
}


class Place(NamedTuple):
    """Where an offer would go, and how it is there."""

    where: str
    """In words."""
    conflict: str
    """What becomes of names that are taken; `ask`: the person says it now."""
    taken: tuple[bytes, ...]
    """Names at the top of the offer that are there already."""
    free: int | None
    """Bytes of room, if that is known."""


def look(folder: Path, conflict: str, offered: Offered) -> Place:
    """How things stand there now."""
    where = os.fsencode(folder)
    # The names were parsed before: none of them leads out of the folder.
    taken = tuple(name for name in offered.names if os.path.lexists(os.path.join(where, name)))  # noqa: PTH118
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        free = None
    return Place(folder_words(folder), conflict, taken, free)


def folder_words(folder: Path) -> str:
    """A folder of ours, as it is shown."""
    return quoted(os.fsencode(folder), 1000)


def one_file(output: str) -> Place:
    """It goes where `-o` says."""
    where = "standard output" if output == "-" else quoted(output, 1000)
    return Place(where, "overwrite", (), None)


def lines(offered: Offered, contact: Contact | None, place: Place) -> list[str]:
    """Everything to see before yes."""
    who = contact.name if contact is not None else "someone"
    mark = "" if contact is not None and contact.verified else " (key not verified)"
    return [
        f"{who}{mark} offers {offer_words(offered)}",
        *_taken_lines(place),
        *_remark_lines(offered),
        f"  into {place.where}{_room(offered, place)}",
    ]


def choices(place: Place, name: str) -> str:
    """What can be answered."""
    rest = f"[N]o, [a]lways from {name}, l lists all:"
    if asks_about_names(place):
        return f"Accept? [r]ename, [s]kip, [o]verwrite, {rest}"
    return f"Accept? [y]es, {rest}"


def asks_about_names(place: Place) -> bool:
    """Whether the person must say what becomes of names that are taken."""
    return place.conflict == "ask" and bool(place.taken)


def whole_list(offered: Offered) -> Iterator[str]:
    """Every name at the top, then every name that is worth a second look."""
    yield "At the top:"
    yield from (f"  {quoted(name)}" for name in offered.names)
    if not offered.remarkable:
        yield "No name needs a second look."
        return
    yield "Look twice at:"
    for number, name in enumerate(offered.remarkable):
        yield f"  {_remark(offered, number, name)}"
    if (more := _remarkable(offered) - len(offered.remarkable)) > 0:
        yield f"  and {more:,} more that the offer is too long to list"


def _taken_lines(place: Place) -> list[str]:
    if not place.taken:
        return []
    happens = (_HAPPENS if len(place.taken) == 1 else _HAPPEN).get(place.conflict, "")
    shown = listed(place.taken, _TAKEN_SHOWN)
    return [f"  there already{f' ({happens})' if happens else ''}: {shown}"]


def _remark_lines(offered: Offered) -> list[str]:
    count = _remarkable(offered)
    if not count:
        return []
    shown = offered.remarkable[:REMARKS_SHOWN]
    found = [f"  look twice at {units.count(count, 'name')}:"]
    found += [f"    {_remark(offered, number, name)}" for number, name in enumerate(shown)]
    if count > len(shown):
        found.append(f"    and {count - len(shown):,} more; l lists them")
    return found


def _remark(offered: Offered, number: int, name: bytes) -> str:
    reasons = offered.reasons[number] if number < len(offered.reasons) else ()
    return f"{quoted(name, 120)}{': ' if reasons else ''}{', '.join(reasons)}"


def _remarkable(offered: Offered) -> int:
    return max(offered.remarkable_total, len(offered.remarkable))


def _room(offered: Offered, place: Place) -> str:
    if place.free is None:
        return ""
    if offered.size > place.free:
        return f", where it does not fit: only {units.size(place.free)} are free"
    return f", {units.size(place.free)} are free"
