"""Parts that a killed receiver left behind: removed by name pattern, owner and age (FS-14, FS-17).

Parts of a transfer that has a journal stay, however old. Of the others only regular files with a
part's name go, and directories that are empty without them. Anything else stays, even inside a
hidden directory of ours.
"""

import contextlib
import os
import stat
from collections.abc import Container, Iterable

from securecp.disk.calls import at
from securecp.disk.names import is_part, tag_of

AGE = 24 * 3600.0
"""Seconds a part must have been untouched, beside nobody holding the destination's lock."""


def hold(root: int, now: float, directories: Iterable[int], wanted: Container[bytes] = ()) -> None:
    """Share the destination's lock while its descriptor is open; sweep if nobody else has it.

    `now` is seconds since 1970, `wanted` the tags of transfers that can go on. Where locks are
    unknown nothing is swept: a part could be in use.
    """
    try:
        import fcntl
    except ImportError:
        return
    if root < 0:  # a path (`plain`), nothing that could be locked
        return
    with contextlib.suppress(OSError):
        fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for directory in directories:
            sweep(directory, now, wanted=wanted)
    with contextlib.suppress(OSError):
        fcntl.flock(root, fcntl.LOCK_SH | fcntl.LOCK_NB)


def sweep(directory: int, now: float, age: float = AGE, *, wanted: Container[bytes] = ()) -> None:
    """Remove old parts of ours directly in a directory, and what hangs below hidden ones."""
    for name in at.names(directory):
        if is_part(name) and tag_of(name) not in wanted:
            with contextlib.suppress(OSError):
                _remove(directory, name, now - age)


def _remove(directory: int, name: bytes, before: float) -> None:
    found = at.status(directory, name)
    if found.st_uid != os.geteuid() or found.st_mtime > before:
        return
    if stat.S_ISREG(found.st_mode):
        at.remove(directory, name)
    elif stat.S_ISDIR(found.st_mode):
        empty(directory, name)


def empty(parent: int, name: bytes) -> None:
    """Remove the parts below a hidden directory of ours, then the directories that are empty."""
    directory = at.open_directory(parent, name)
    try:
        for inner in at.names(directory):
            found = at.status(directory, inner)
            if stat.S_ISDIR(found.st_mode):
                empty(directory, inner)
            elif is_part(inner) and stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
                at.remove(directory, inner)
    finally:
        at.close(directory)
    with contextlib.suppress(OSError):
        at.remove_directory(parent, name)
