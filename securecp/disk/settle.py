"""How a verified part gets its final name: by an exclusive call, never after a look (FS-09, FS-15).

rename      link; if the name is taken, link "name (1).ext", "name (2).ext", …
skip        link; if the name is taken, the part goes
overwrite   rename over; a directory there is never replaced, ours gets a numbered name
"""

import errno
import os
from collections.abc import Callable
from functools import partial
from typing import Literal

from securecp.disk.calls import at
from securecp.disk.names import numbered

Conflict = Literal["rename", "skip", "overwrite"]

_TRIES = 10_000
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}


def settle(parent: int, part: bytes, name: bytes, conflict: Conflict) -> bytes | None:
    """Turn the part into a file in the same directory; returns its name, None when skipped."""
    if conflict == "overwrite":
        try:
            at.replace(parent, part, name)
        except IsADirectoryError:
            pass
        else:
            return name
    if conflict == "skip":
        try:
            _take_name(parent, part, name)
        except FileExistsError:
            at.remove(parent, part)
            return None
        return name
    return first_free(name, partial(_take_name, parent, part))


def first_free(name: bytes, attempt: Callable[[bytes], None]) -> bytes:
    """The first of `name`, `name (1)`, … for which the attempt meets nothing that exists."""
    candidate = name
    for number in range(1, _TRIES):
        try:
            attempt(candidate)
        except FileExistsError:
            candidate = numbered(name, number)
        else:
            return candidate
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def _take_name(parent: int, part: bytes, name: bytes) -> None:
    """Rename, but raise FileExistsError rather than replace anything."""
    try:
        at.link(parent, part, name)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _replace_placeholder(parent, part, name)
        return
    try:
        at.remove(parent, part)
    except OSError:  # the file is there all the same; the part left behind is swept later
        return


def _replace_placeholder(parent: int, part: bytes, name: bytes) -> None:
    """Without hard links (FAT, some network disks): reserve the name, then rename over our own.

    A crash in between leaves an empty file under the name; there is no better way on such a disk.
    """
    placeholder = at.create(parent, name)
    try:
        ours = os.fstat(placeholder).st_ino
    finally:
        at.close(placeholder)
    if at.status(parent, name).st_ino != ours:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    at.replace(parent, part, name)
