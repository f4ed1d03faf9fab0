"""What must hold after every end, whatever was killed: each check raises `Broken`.

I1  a file under a visible name is byte for byte the offered one, and in the end with its time
I2  nothing outside the destination has changed
I3  no existing file was lost or altered, but under `overwrite` it may be the offered one, whole
I4  a sender that says success has its files published
I5  what was stored before a kill is not sent again, but for an interval and a window
I6  exit codes are documented ones, and the end comes in time
I7  no process takes more memory than the cap
I8  nothing is left that blocks the next run, and after success nothing at all
"""

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from securecp.disk.names import is_part
from tests.torture.side import Side

CODES = {0, 1, 3, 4, 5, 7}
"""What an exit code can be when somebody was killed: never usage, trust, or a signal of its own."""
MEMORY = 400 << 20
NUMBERED = re.compile(r"(?s)(.+?) \(\d+\)((?:\.tar)?\.[^. ]{1,16})?")
BLOCK = 1 << 20


class Broken(AssertionError):
    """An invariant does not hold; the first two characters say which."""


class Known(NamedTuple):
    """A file as it was."""

    size: int
    mtime_ns: int
    mode: int
    content: Path
    """Where the same bytes can be read."""


Files = dict[str, Known | None]
"""By path relative to a top; None for a folder."""


def files(top: Path, *, hidden: bool = False) -> Files:
    """All below a folder; our parts, and what is in hidden folders of ours, only with `hidden`."""
    found: Files = {}
    for here, folders, names in os.walk(top):
        if not hidden:
            folders[:] = [name for name in folders if not is_part(os.fsencode(name))]
        base = Path(here)
        for name in folders:
            found[str((base / name).relative_to(top))] = None
        for name in names:
            if hidden or not is_part(os.fsencode(name)):
                path = base / name
                found[str(path.relative_to(top))] = known(path)
    return found


def known(path: Path) -> Known:
    """A file as it is now; links are not followed."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise Broken(f"I1 {path} is no regular file")
    return Known(status.st_size, status.st_mtime_ns, stat.S_IMODE(status.st_mode), path)


def same(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes."""
    with one.open("rb") as first, other.open("rb") as second:
        while (block := first.read(BLOCK)) == second.read(BLOCK):
            if not block:
                return True
    return False


class Destination:
    """A destination, what it held before, and what is offered to it."""

    def __init__(self, into: Path, before: Path, top: Path, conflict: str) -> None:
        """`before` is a copy of the destination as it was; `top` the folder that is offered."""
        self.into = into
        self.conflict = conflict
        self._before = files(before)
        self._offered: Files = {
            str(Path(top.name) / path): found for path, found in files(top).items()
        }
        self._offered[top.name] = None

    def check(self) -> set[str]:
        """I1 and I3 at any moment; returns which offered files are published."""
        visible = files(self.into)
        published = self._check_known(visible)
        for path, found in visible.items():
            if path in self._before:
                continue
            original = self._origin(path)
            if original is None:
                raise Broken(f"I1 {path!r} was never offered")
            offered = self._offered[original]
            if (found is None) != (offered is None):
                raise Broken(f"I1 {path!r} is a file instead of a folder, or the reverse")
            if found is None or offered is None:
                continue
            if found.size != offered.size or not same(found.content, offered.content):
                raise Broken(f"I1 {path!r} is not what was offered")
            published.add(original)
        return published

    def check_complete(self, *, single: bool) -> None:
        """I4: all is there; with `single` no file more than once (F-04)."""
        published = self.check()
        visible = files(self.into)
        for path, offered in self._offered.items():
            if offered is None:
                if not any(self._origin(each) == path for each in visible):
                    raise Broken(f"I4 the folder {path!r} is missing")
            elif path not in published and not (self.conflict == "skip" and path in self._before):
                raise Broken(f"I4 {path!r} is missing")
        copies: dict[str, int] = {}
        for path, found in visible.items():
            if found is not None and path not in self._before:
                self._check_time(path, found)
                original = self._origin(path) or ""
                copies[original] = copies.get(original, 0) + 1
        more = sorted(path for path, count in copies.items() if count > 1)
        if single and more:
            raise Broken(f"I8 there are several copies of {more[:3]}")

    def check_clean(self) -> None:
        """I8: no part is left."""
        left = [path for path in files(self.into, hidden=True) if is_part(_last(path))]
        if left:
            raise Broken(f"I8 parts are left after success: {left[:5]}")

    def _check_known(self, visible: Files) -> set[str]:
        """What was there: as it was, or as offered; returns which are as offered."""
        published = set()
        for path, was in self._before.items():
            if path not in visible:
                raise Broken(f"I3 {path!r} is gone")
            now, offered = visible[path], self._offered.get(path)
            if (was is None) != (now is None):
                raise Broken(f"I3 {path!r} became something else")
            if was is None or now is None:
                continue
            unchanged = now.size == was.size and same(now.content, was.content)
            # In this order: it may be published at this very moment, and never goes back.
            if offered is not None and same(now.content, offered.content):
                published.add(path)
            if unchanged:
                continue
            if self.conflict != "overwrite" or path not in published:
                raise Broken(f"I3 {path!r} has other content")
        return published

    def _check_time(self, path: str, found: Known) -> None:
        offered = self._offered[self._origin(path) or ""]
        if offered is not None and found.mtime_ns != offered.mtime_ns:
            raise Broken(f"I1 {path!r} has another time than was offered")

    def _origin(self, path: str) -> str | None:
        """The offered path behind one that may have numbers in it."""
        if path in self._offered:
            return path
        parts: list[str] = []
        for name in Path(path).parts:
            offered = name
            if str(Path(*parts, name)) not in self._offered:
                match = NUMBERED.fullmatch(name)
                if match is None:
                    return None
                offered = match[1] + (match[2] or "")
            parts.append(offered)
        origin = str(Path(*parts))
        return origin if origin in self._offered else None


class Outside:
    """I2: everything beside the destination: content, and where it matters the very inode."""

    def __init__(self, *tops: Path) -> None:
        self._tops = tops
        self._was = self._look()

    def check(self) -> None:
        if (now := self._look()) != self._was:
            changed = sorted(set(now.items()) ^ set(self._was.items()))
            raise Broken(f"I2 changed outside the destination: {changed[:5]}")

    def _look(self) -> dict[str, tuple[int, ...]]:
        seen: dict[str, tuple[int, ...]] = {}
        for top in self._tops:
            for here, folders, names in os.walk(top):
                for path in (f"{here}/{name}" for name in (*folders, *names)):
                    status = os.lstat(path)
                    seen[path] = (status.st_mode, status.st_ino, status.st_size,
                                  status.st_mtime_ns, status.st_ctime_ns)  # fmt: skip
        return seen


def check_end(side: Side) -> None:
    """I6 and I7 of a process that has ended."""
    code, stderr, peak = side.ended(0.1)
    if "Traceback" in stderr or "unexpected" in stderr or "this is a bug" in stderr:
        raise Broken(f"I6 the {side.role} met what it did not expect\n{side.story()}")
    if not side.killed and code not in CODES:
        raise Broken(f"I6 the {side.role} ended with {code}\n{side.story()}")
    if peak > MEMORY:
        raise Broken(f"I7 the {side.role} held {peak:,} bytes of memory")


def check_sent_again(lost: int, bound: int) -> None:
    """I5: content that had come before a kill, and had to come again."""
    if lost > bound:
        raise Broken(f"I5 {lost:,} bytes had to be sent again, more than {bound:,}")


def _last(path: str) -> bytes:
    return os.fsencode(path.rpartition("/")[2])
