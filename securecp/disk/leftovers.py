"""What an earlier session of a transfer has left in the destination: found again, taken away.

Parts and directories are ours if name and inode number are those of the journal. A part that was
made after the journal's last entry is known by its name alone, which nobody could foresee.
"""

import contextlib
import os
import stat
from collections.abc import Mapping

from securecp.disk import sweep
from securecp.disk.calls import at
from securecp.disk.descent import Descent, Place
from securecp.disk.names import PartNames, is_part, tag_of
from securecp.disk.records import Header, PartRecord, PlaceRecord, Remembered

_OPEN_DIRECTORIES = 16
_ATTEMPTS = 3
"""Names that a part may have had in one session, in practice."""


def remove_parts(header: Header, before: Remembered, names: PartNames) -> None:
    """Remove the parts and hidden directories of a transfer that is given up. Never raises."""
    try:
        root = at.pin(header.destination)
    except OSError:  # the destination is gone, and they with it
        return
    keep = recorded(before, names)
    places = find_places(root, before.places)
    hidden = _hidden(before.places, places)
    walk = Descent(places, _OPEN_DIRECTORIES, pinned=root)
    try:
        for entry, part in before.parts.items():
            with contextlib.suppress(OSError, KeyError):
                name = names.of(entry)
                _remove_part(walk.take(part.parent), name, part, look=part.parent in hidden)
        for key in (0, *places):
            with contextlib.suppress(OSError):
                clean(walk.take(key), names, header.entries, keep=keep)
        for key in sorted(hidden, reverse=True):  # the deepest first
            place = places[key]
            with contextlib.suppress(OSError):
                walk.drop(key)
                remove_place(walk.take(place.parent), place)
    finally:
        walk.close()
        at.close(root)


def remove_place(parent: int, place: Place) -> None:
    """Remove a directory if it is still the one that was made, and empty."""
    found = at.status(parent, place.name)
    if (found.st_dev, found.st_ino) == place.identity:
        at.remove_directory(parent, place.name)


def recorded(before: Remembered, names: PartNames) -> frozenset[bytes]:
    """Names that the journal knows, and has `names` make the same ones.

    What is under them now may be somebody else's.
    """
    numbers = {entry: part.attempt for entry, part in before.parts.items()}
    numbers.update((key - 1, place.attempt) for key, place in before.places.items())
    names.attempts = {number: attempt for number, attempt in numbers.items() if attempt}
    return frozenset(map(names.of, numbers))


def find_places(root: int, before: Mapping[int, PlaceRecord]) -> dict[int, Place]:
    """The directories of a journal that are still there, parents first."""
    places: dict[int, Place] = {}
    walk = Descent(places, _OPEN_DIRECTORIES, pinned=root)
    try:
        for key in sorted(before):
            record = before[key]
            if record.parent and record.parent not in places:
                continue
            with contextlib.suppress(OSError):
                identity = open_place(walk.take(record.parent), record.name, record.inode)
                places[key] = Place(record.parent, record.name, identity)
    finally:
        walk.close()
    return places


def open_place(parent: int, name: bytes, inode: int) -> at.Identity:
    """The identity of a directory if it is the one with this inode number; else OSError."""
    directory = at.open_directory(parent, name)
    try:
        identity = at.identity(directory)
    finally:
        at.close(directory)
    if identity[1] != inode:
        raise FileNotFoundError(name)
    return identity


def shown_name(directory: int, inode: int) -> bytes:
    """The name, other than a part's, that something with this inode number has; b"" if none."""
    for name, number in at.inodes(directory):
        if number == inode and not is_part(name):
            return name
    return b""


def clean(directory: int, names: PartNames, entries: int, *, keep: frozenset[bytes]) -> None:
    """Remove parts directly in the directory that this transfer made and no journal knows of."""
    found = [
        name
        for name in at.names(directory)
        if is_part(name) and tag_of(name) == names.tag and name not in keep
    ]
    ours = _all_names(names, entries) if found else frozenset()
    for name in found:
        if name in ours:
            with contextlib.suppress(OSError):
                _remove(directory, name)


def is_ours(found: os.stat_result) -> bool:
    """Whether it belongs to the user that we are."""
    return not hasattr(os, "geteuid") or found.st_uid == os.geteuid()


def _remove(directory: int, name: bytes) -> None:
    found = at.status(directory, name)
    if not is_ours(found):
        return
    if stat.S_ISREG(found.st_mode):
        at.remove(directory, name)
    elif stat.S_ISDIR(found.st_mode):
        sweep.empty(directory, name)  # made and not written down: nothing but folders is in it


def _hidden(before: Mapping[int, PlaceRecord], places: Mapping[int, Place]) -> set[int]:
    """Directories that we made and that have not been shown to anybody yet."""
    hidden: set[int] = set()
    for key, place in places.items():
        if before[key].made and (is_part(place.name) or place.parent in hidden):
            hidden.add(key)
    return hidden


def _remove_part(directory: int, name: bytes, part: PartRecord, *, look: bool) -> None:
    """`look`: it may have its final name already, in a directory that nobody has seen."""
    try:
        found = at.status(directory, name)
    except FileNotFoundError:
        name = shown_name(directory, part.inode) if look else b""
        if not name:
            return
        found = at.status(directory, name)
    if found.st_ino == part.inode and stat.S_ISREG(found.st_mode) and is_ours(found):
        at.remove(directory, name)


def _all_names(names: PartNames, entries: int) -> frozenset[bytes]:
    before = names.attempts
    found: set[bytes] = set()
    try:
        for attempt in range(_ATTEMPTS):
            names.attempts = dict.fromkeys(range(entries), attempt)
            found.update(map(names.of, range(entries)))
    finally:
        names.attempts = before
    return frozenset(found)
