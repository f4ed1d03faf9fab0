"""Symbolic links of an offer: made when the user wants them, last, inside, and never followed.

A link may lead only to what the same offer brings: below one of its entries at the top, and never
to something else that is in the destination. `..` may stand only at the front of a target: the
component before it could be a link as well, and what stays inside when it is read would leave when
it is followed:

    t/a/up -> ..        t/a/b -> up/../secrets        reads as t/a/secrets, leads to secrets

Leading ones go up through real directories, and every link further down has passed this same check.
"""

import contextlib
import errno
import re
import stat
import sys
from collections.abc import Callable, Container
from functools import partial
from typing import NamedTuple

from securecp.disk import attributes, space
from securecp.disk.calls import at
from securecp.disk.descent import Descent
from securecp.disk.names import PartNames, is_component
from securecp.disk.settle import Conflict, first_free
from securecp.transfer.entries import LINK, Entries

TARGET_LIMIT = 4_096
_REFUSED = re.compile(rb"[\x00-\x1f\x7f\\]|\xc2[\x80-\x9f]")
"""As in names, where a backslash is refused too: it would be a separator to other systems."""

_OUTSIDE = "its target is outside of what is offered"


class LinkReport(NamedTuple):
    """What became of the links; entries are indices in the manifest."""

    made: int = 0
    present: tuple[int, ...] = ()
    """Those that were there already, with the same target."""
    skipped: tuple[int, ...] = ()
    renamed: tuple[tuple[int, bytes], ...] = ()
    failed: tuple[tuple[int, str], ...] = ()


def problem(target: bytes, depth: int, tops: Container[bytes]) -> str:
    """Why a link may not have this target, or "".

    `depth` is the number of components of the link's own file path, `tops` the names offered at
    the top.
    """
    if not 0 < len(target) <= TARGET_LIMIT:
        return "its target is empty or too long"
    if _REFUSED.search(target):
        return "its target has control characters or backslashes"
    if target.startswith(b"/") or (sys.platform == "win32" and b":" in target):
        return "its target is not relative"
    level = depth - 1  # directories of the offer that the path so far is below
    named = False
    for part in target.split(b"/"):
        if part == b".":
            continue
        if part == b"..":
            level -= 1
            if named or level < 0:
                return _OUTSIDE
        elif not is_component(part):
            return "its target has a part that is no name"
        elif level == 0 and part not in tops:
            return _OUTSIDE
        else:
            level += 1
            named = True
    return "" if level > 0 else _OUTSIDE


def same(parent: int, name: bytes, target: bytes) -> bool:
    """Whether a link of that name and target is there; it is read, not followed."""
    try:
        return at.read_link(parent, name) == target
    except OSError:
        return False


def make_all(
    entries: Entries,
    walk: Descent,
    names: PartNames,
    conflict: Conflict,
    *,
    wanted: Container[int] | None = None,
) -> LinkReport:
    """Make every link, each under the conflict policy; one that cannot be made is reported.

    With `wanted` only those of these entries.
    For when all files of the offer have their names, before directories get times and names.
    """
    tops = {entries.name(entry) for entry in range(len(entries)) if not entries.parent(entry)}
    made = 0
    present: list[int] = []
    skipped: list[int] = []
    renamed: list[tuple[int, bytes]] = []
    failed: list[tuple[int, str]] = []
    for entry, kind in enumerate(entries.kinds):
        if kind != LINK or (wanted is not None and entry not in wanted):
            continue
        target, offered = entries.target(entry), entries.name(entry)
        reason = problem(target, entries.depth(entry), tops)
        if reason:
            failed.append((entry, reason))
            continue
        try:
            parent = walk.take(entries.parent(entry))
            if same(parent, offered, target):
                present.append(entry)
                continue
            mtime_ns = attributes.modified(entries.mtime_ns(entry))
            name = make(parent, offered, target, mtime_ns, conflict, partial(names.make, entry))
        except OSError as error:
            failed.append((entry, space.reason(error)))
            continue
        if name is None:
            skipped.append(entry)
            continue
        made += 1
        if name != offered:
            renamed.append((entry, name))
    return LinkReport(made, tuple(present), tuple(skipped), tuple(renamed), tuple(failed))


_Maker = Callable[[bytes], None]


def make(
    parent: int,
    name: bytes,
    target: bytes,
    mtime_ns: int,
    conflict: Conflict,
    hide: Callable[[_Maker], tuple[bytes, None]],
) -> bytes | None:
    """Make one link; returns its name, None when skipped. `hide` makes it under a part's name."""
    attempt = partial(_make, parent, target, mtime_ns)
    try:
        attempt(name)
    except FileExistsError:
        if conflict == "skip":
            return None
    else:
        return name
    if conflict == "overwrite" and _replace(parent, name, partial(hide, attempt)):
        return name
    return first_free(name, attempt)


def _make(parent: int, target: bytes, mtime_ns: int, name: bytes) -> None:
    at.symlink(parent, name, target)
    with contextlib.suppress(OSError, NotImplementedError):  # not every system dates links
        at.set_link_time(parent, name, mtime_ns)


def _replace(parent: int, name: bytes, hide: Callable[[], tuple[bytes, None]]) -> bool:
    """Take the place of a link or a file; False where anything else is, above all a directory."""
    with contextlib.suppress(FileNotFoundError):
        found = at.status(parent, name).st_mode
        if not (stat.S_ISLNK(found) or stat.S_ISREG(found)):
            return False
    part, _ = hide()
    try:
        at.replace(parent, part, name)
    except OSError as error:
        with contextlib.suppress(OSError):
            at.remove(parent, part)
        if error.errno in (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST):  # it came in between
            return False
        raise
    return True
