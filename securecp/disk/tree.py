"""What is offered: a walk over the paths the user named, which follows no link (FS-07, FS-08).

Files and directories become entries, and links if they are wanted and lead to what is offered with
them. Devices, FIFOs and sockets are left out and reported, and so is what cannot be read or may not
be offered (`transfer.names`), unless a safe name is wanted for it. What the user's patterns exclude
is counted. The walk goes down by directory descriptors and remembers the identity of all it saw, so
that what is read later is what was offered.
"""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from securecp.disk import ignore, rename, space
from securecp.disk.calls import at
from securecp.disk.descent import TOP, Place
from securecp.disk.found import Found, Scan
from securecp.disk.holes import is_sparse
from securecp.disk.names import is_part
from securecp.disk.spans import read_span
from securecp.errors import SourceError
from securecp.transfer import names
from securecp.transfer.entries import (
    DEPTH_LIMIT,
    DIRECTORY,
    ENTRY_LIMIT,
    FILE,
    LINK,
    LINK_MODE,
    Entry,
)

__all__ = ["Scan", "scan"]

_LINK = "it is a link, and links are not followed"
_KINDS = {
    stat.S_IFLNK: _LINK,
    stat.S_IFIFO: "it is a FIFO",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFBLK: "it is a device",
    stat.S_IFCHR: "it is a device",
}


def scan(
    paths: Iterable[str | Path],
    *,
    symlinks: bool = False,
    rename_unsafe: bool = False,
    exclude: Iterable[str] = (),
    ignore_files: bool = True,
) -> Scan:
    """Walk all paths; what is found there is no error. About 10 µs an entry, system included.

    Raises `SourceError` for a pattern that cannot be understood and for more entries than an offer
    can hold. Entries stand in byte order of their names, the files of a directory before its
    directories.
    """
    try:
        rules = ignore.Rules(exclude)
    except ValueError as error:
        raise SourceError(f"--exclude, {error}") from None
    walk = _Walk(symlinks=symlinks, rename_unsafe=rename_unsafe, ignore_files=ignore_files)
    walk.start_all([str(path) for path in paths], ignore.Filter.of(rules))
    return walk.found.scan()


class _Walk:
    """The walk's state; `parent` is always an open descriptor, `key` its key."""

    def __init__(self, *, symlinks: bool, rename_unsafe: bool, ignore_files: bool) -> None:
        self.found = Found()
        self._entries = self.found.entries
        self._kinds = self.found.entries.kinds
        self._inodes = self.found.inodes
        self._symlinks = symlinks
        self._rename_unsafe = rename_unsafe
        self._ignore_files = ignore_files
        self._bases: dict[bytes, int] = {}
        self._safe_names: dict[int, rename.SafeNames] = {}
        """By directory, where any were needed."""

    def start_all(self, paths: Sequence[str], rules: ignore.Filter) -> None:
        """The paths in order, but links last: what they lead to has to be offered."""
        starts = []
        for path in paths:
            try:
                head, name = at.split(path)
            except (OSError, ValueError) as error:
                self._problem(os.fsencode(path), error)
                continue
            # Patterns are for names that stand in the path, not for what `.` is called.
            typed = path.rstrip("/").rpartition("/")[2] not in ("", ".", "..")
            starts.append((os.fsencode(path), head, name, rules if typed else ignore.NOTHING))
        taken = [name for _, _, name, _ in starts]
        late = []
        for shown, head, name, own in starts:
            if not self._start(shown, head, name, own, rules, taken):
                late.append((shown, head, name, own))
        for shown, head, name, own in late:
            self._start(shown, head, name, own, rules, taken, last=True)

    def _start(
        self,
        shown: bytes,
        head: bytes,
        name: bytes,
        own: ignore.Filter,
        rules: ignore.Filter,
        taken: Sequence[bytes],
        *,
        last: bool = False,
    ) -> bool:
        """Walk one path; False if it is a link, unless it is the last time."""
        try:
            base = at.pin(head)
        except (OSError, ValueError) as error:
            self._problem(shown, error)
            return True
        try:
            if not name:
                self.found.leave_out(shown, "the root of the file system has no name")
            elif not last and self._symlinks and _is_link(base, name):
                return False
            elif (index := self._visit(base, 0, name, shown, own, taken)) is not None:
                self.found.tops[index] = self._base(base, head)
                self._descend(base, index, name, shown, rules.below(name), 1)
        finally:
            at.close(base)
        return True

    def _base(self, descriptor: int, head: bytes) -> int:
        key = self._bases.setdefault(head, -1 - len(self._bases))
        self.found.places[key] = Place(TOP, head, at.identity(descriptor))
        return key

    def _visit(
        self,
        parent: int,
        key: int,
        name: bytes,
        shown: bytes,
        rules: ignore.Filter,
        siblings: Sequence[bytes],
    ) -> int | None:
        """Take one name into the offer, or report it; returns its index when it is taken.

        `siblings` are the names beside it, which a safe name must not take.
        """
        if is_part(name):
            self.found.leave_out(shown, "it is an unfinished part of another transfer")
            return None
        try:
            status = at.status(parent, name)
            kind = stat.S_IFMT(status.st_mode)
            if rules.active and rules.excludes(name, folder=kind == stat.S_IFDIR):
                self.found.exclude(shown)
                return None
            if kind == stat.S_IFREG:
                _try(parent, name, status)
                mode, mtime_ns = status.st_mode & 0o7777, status.st_mtime_ns
                entry = Entry(FILE, key, name, status.st_size, mode, mtime_ns)
            elif kind == stat.S_IFDIR:
                entry = Entry(DIRECTORY, key, name, 0, status.st_mode & 0o7777, status.st_mtime_ns)
            elif kind == stat.S_IFLNK and self._symlinks:
                entry = self._link(parent, key, name, status)
            else:
                self.found.leave_out(shown, _KINDS.get(kind, "it is no file"))
                return None
            return self._add(entry, status, shown, siblings)
        except (OSError, ValueError) as error:
            self._problem(shown, error)
            return None

    def _link(self, parent: int, key: int, name: bytes, status: os.stat_result) -> Entry:
        target = at.read_link(parent, name)
        first = next((part for part in target.split(b"/") if part != b"."), b"")
        if not key and first not in map(self._entries.name, self.found.tops):
            raise ValueError("it is a link to what is not offered")
        if key and target.split(b"/").count(b"..") >= self._entries.depth(key - 1):
            raise ValueError("it is a link to what is not offered with it")
        return Entry(LINK, key, name, 0, LINK_MODE, status.st_mtime_ns, target)

    def _add(
        self, entry: Entry, status: os.stat_result, shown: bytes, siblings: Sequence[bytes]
    ) -> int:
        index = len(self._inodes)
        if index >= ENTRY_LIMIT:
            raise _too_many()
        if self._rename_unsafe and names.problem(entry.name):
            self._add_renamed(entry, shown, siblings)
        else:
            self._entries.add(entry)
        if entry.size and is_sparse(status):
            self.found.sparse.append(index)
        self._inodes.append(status.st_ino)
        self.found.devices.append(status.st_dev)
        self.found.changed_at.append(status.st_ctime_ns)
        return index

    def _descend(
        self, parent: int, index: int, name: bytes, shown: bytes, rules: ignore.Filter, depth: int
    ) -> None:
        """Everything below entry `index`, if that is a directory; `rules` are those in it."""
        if self._kinds[index] != DIRECTORY:
            return
        try:
            directory = at.open_directory(parent, name)
        except OSError as error:
            self._problem(shown, error)
            return
        try:
            key = index + 1
            self.found.places[key] = Place(self._key(index), name, at.identity(directory))
            self._list(directory, key, shown.rstrip(b"/") + b"/", rules, depth)
        finally:
            at.close(directory)

    def _list(
        self, directory: int, key: int, shown: bytes, rules: ignore.Filter, depth: int
    ) -> None:
        try:
            inside = sorted(at.names(directory))
        except OSError as error:
            self._problem(shown[:-1], error)
            return
        if inside and depth >= DEPTH_LIMIT:  # else each of its entries would be refused
            why = f"what is in it lies deeper than {DEPTH_LIMIT} folders"
            self.found.leave_out(shown[:-1], why)
            return
        if self._ignore_files and ignore.IGNORE_FILE in inside:
            try:
                rules = _with_file(directory, rules)
            except (OSError, ValueError) as error:
                # Somebody wanted to keep something back, and we do not know what.
                why = space.unreadable(error) if isinstance(error, OSError) else str(error)
                self.found.leave_out(shown[:-1], f"what is in it: .securecpignore: {why}")
                return
        below = []
        kinds = self._kinds
        for name in inside:
            index = self._visit(directory, key, name, shown + name, rules, inside)
            if index is not None and kinds[index] == DIRECTORY:
                below.append((index, name))
        for index, name in below:
            self._descend(directory, index, name, shown + name, rules.below(name), depth + 1)

    def _add_renamed(self, entry: Entry, shown: bytes, siblings: Sequence[bytes]) -> None:
        """Offer it with a name that may be offered."""
        names_here = self._safe_names.get(entry.parent)
        if names_here is None:
            names_here = self._safe_names[entry.parent] = rename.SafeNames(siblings)
        name = names_here.of(entry.name)
        self._entries.add(entry._replace(name=name))
        self.found.actual[len(self._inodes)] = entry.name
        self.found.renamed.append((shown, shown[: len(shown) - len(entry.name)] + name))

    def _key(self, index: int) -> int:
        """Key of the directory that holds the entry."""
        return self._entries.parent(index) or self.found.tops[index]

    def _problem(self, shown: bytes, error: OSError | ValueError) -> None:
        why = space.unreadable(error) if isinstance(error, OSError) else str(error)
        self.found.leave_out(shown, why)


def _try(parent: int, name: bytes, status: os.stat_result) -> None:
    """Whether the file can be read is known now, and whether its size is true (FS-07)."""
    descriptor = at.open_file(parent, name, status.st_ino)
    try:
        if status.st_size or not os.read(descriptor, 1):
            return
        if not os.fstat(descriptor).st_size:
            raise ValueError("it says it is empty and is not, as files of /proc do")
    finally:
        at.close(descriptor)


def _is_link(parent: int, name: bytes) -> bool:
    try:
        return stat.S_ISLNK(at.status(parent, name).st_mode)
    except (OSError, ValueError):
        return False


def _with_file(directory: int, rules: ignore.Filter) -> ignore.Filter:
    """The rules with those of the file of patterns in this directory."""
    status = at.status(directory, ignore.IGNORE_FILE)
    if stat.S_ISDIR(status.st_mode):
        return rules
    if status.st_size > ignore.SIZE_LIMIT:
        raise ValueError("it is too large")
    descriptor = at.open_file(directory, ignore.IGNORE_FILE, status.st_ino)
    try:
        raw = bytearray(ignore.SIZE_LIMIT)
        length = read_span(descriptor, 0, [memoryview(raw)], len(raw))
    finally:
        at.close(descriptor)
    return rules.with_file(ignore.Rules.parse(bytes(raw[:length])))


def _too_many() -> SourceError:
    return SourceError(
        f"these are more than {ENTRY_LIMIT:,} files and folders, and one offer holds no more",
        "Send them in several parts, leave some out with --exclude, or pack them into one file.",
    )
