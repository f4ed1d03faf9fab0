"""The offer's directories in the destination: made, found again, revealed, taken away.

A directory whose parent was there before us is built under a hidden part name and takes its own
name by one exclusive rename when everything in it is published: a tree appears whole or not at all,
and a killed receiver leaves nothing under it. Directories below it are made under their own names.
What an earlier session has made is found again by name and inode number, and used again.
With `merge`, a real directory that exists is used as it is, and its mode and time stay; a link or
anything else under that name is left alone, and ours gets a numbered name.
"""

import contextlib
import errno
from collections.abc import Iterator
from functools import partial

from securecp.disk import attributes, flush
from securecp.disk.calls import at
from securecp.disk.descent import Descent, Place
from securecp.disk.leftovers import open_place, remove_place, shown_name
from securecp.disk.names import PartNames, is_part
from securecp.disk.records import PlaceRecord, Remembered
from securecp.disk.settle import first_free
from securecp.transfer.entries import DIRECTORY, Entries, Entry

_OPEN_DIRECTORIES = 16


class Layout:
    """Directories by key: 0 is the destination itself, else the entry's index + 1.

    Methods raise OSError; none of them touches what it has not made.
    """

    def __init__(
        self,
        root: int,
        entries: Entries,
        parts: PartNames,
        *,
        merge: bool,
        before: Remembered | None = None,
    ) -> None:
        """`before` is what a journal says of an earlier session."""
        self._entries = entries
        self._parts = parts
        self._merge = merge
        self._before = before
        self.places: dict[int, Place] = {}
        self.made: list[int] = []
        """Keys of the directories that we made, parents first."""
        self.unseen: set[int] = set()
        """Those of them that nobody has seen yet: hidden ones, and what is in them."""
        self._ours: set[int] = set()
        self._hidden: list[int] = []
        self.walk = Descent(self.places, _OPEN_DIRECTORIES, pinned=root)

    def make(self) -> list[int]:
        """Make or find every directory; returns the keys of those found (the merged ones)."""
        found = []
        for key, kind in enumerate(self._entries.kinds, 1):
            if kind != DIRECTORY:
                continue
            entry = self._entries[key - 1]
            if self._find_again(key, entry):
                continue
            if self._merge and entry.parent not in self._ours and self._find(key, entry):
                found.append(key)
            else:
                self._make(key, entry)
        return found

    def reveal(self) -> list[tuple[int, bytes]]:
        """Give the hidden directories their names, durably; returns (entry, name) of those that
        were renumbered."""
        renamed = []
        parents = {self.places[key].parent for key in self._hidden}
        for key in self._hidden:
            place, wanted = self.places[key], self._entries[key - 1].name
            parent = self.walk.take(place.parent)
            self.walk.drop(key)  # Windows cannot rename what is open
            name = first_free(wanted, partial(at.rename_directory, parent, place.name))
            place.name = name
            if name != wanted:
                renamed.append((key - 1, name))
        self._hidden.clear()
        self.unseen.clear()
        for key in parents:  # not only the destination: ours may stand in one that was there
            flush.sync_directory(self.walk.take(key))
        return renamed

    def finish(self, umask: int) -> None:
        """Set modes and times of the directories we made, the deepest first."""
        for key in reversed(self.made):
            entry = self._entries[key - 1]
            mode = attributes.directory_mode(entry.mode, umask)
            attributes.apply(self.walk.take(key), mode, entry.mtime_ns)

    def sync(self, *, everything: bool) -> None:
        """Make the names durable: the whole file system where it is cheaper than each directory."""
        if (everything or len(self.places) >= flush.FEW) and self.sync_all():
            return
        for key in (*reversed(self.made), *(key for key in self.places if key not in self._ours)):
            flush.sync_directory(self.walk.take(key))
        flush.sync_directory(self.walk.take(0))

    def sync_all(self, walk: Descent | None = None) -> bool:
        """Flush every file system that the directories are on; False where that is unknown.

        `walk` is the way down for a thread other than the loop's.
        """
        walk = walk or self.walk
        devices = {place.identity[0]: key for key, place in self.places.items()}
        devices[at.identity(walk.take(0))[0]] = 0
        return all(flush.sync_all(walk.take(key)) for key in devices.values())

    def remove(self) -> None:
        """Remove those hidden directories of ours that are empty; others are left as they are."""
        for key in reversed(self.made):
            if key in self.unseen:
                self._remove(key)

    def give_up(self, key: int) -> None:
        """Take away the hidden directory and what is empty below it: it is not needed."""
        below = {key}
        for each in self.made:
            if self.places[each].parent in below:
                below.add(each)
        for each in sorted(below, reverse=True):
            self._remove(each)
        self.made = [each for each in self.made if each not in below]
        self._hidden = [each for each in self._hidden if each not in below]
        for each in below:
            del self.places[each]

    def records(self) -> Iterator[PlaceRecord]:
        """For the journal: where everything is now."""
        for key, place in self.places.items():
            attempt = self._parts.attempts.get(key - 1, 0)
            made = key in self._ours
            yield PlaceRecord(key, place.parent, place.identity[1], made, attempt, place.name)

    def _remove(self, key: int) -> None:
        place = self.places[key]
        with contextlib.suppress(OSError):
            self.walk.drop(key)
            remove_place(self.walk.take(place.parent), place)

    def _find_again(self, key: int, entry: Entry) -> bool:
        """Use the directory that an earlier session made, if it is still there."""
        record = self._before.places.get(key) if self._before else None
        if record is None or not record.made or record.parent != entry.parent:
            return False
        parent = self.walk.take(entry.parent)
        name = record.name
        try:
            identity = open_place(parent, name, record.inode)
        except OSError:
            name = self._shown_name(parent, record)
            if not name:
                return False
            identity = open_place(parent, name, record.inode)
        self.places[key] = Place(entry.parent, name, identity)
        self._keep(key, entry.parent, name)
        return True

    def _shown_name(self, parent: int, record: PlaceRecord) -> bytes:
        """What it may be called since: a session that ends in the middle of naming has no say."""
        if self._before is None or not self._before.naming or not is_part(record.name):
            return b""
        return shown_name(parent, record.inode)

    def _keep(self, key: int, parent: int, name: bytes) -> None:
        """A directory is ours."""
        self.made.append(key)
        self._ours.add(key)
        if is_part(name):
            self._hidden.append(key)
        if is_part(name) or parent in self.unseen:
            self.unseen.add(key)

    def _find(self, key: int, entry: Entry) -> bool:
        """Use the directory that is there, if it is one; a link is never followed."""
        try:
            found = at.open_directory(self.walk.take(entry.parent), entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno == errno.ELOOP:
                return False
            raise
        try:
            self.places[key] = Place(entry.parent, entry.name, at.identity(found))
        finally:
            at.close(found)
        return True

    def _make(self, key: int, entry: Entry) -> None:
        parent = self.walk.take(entry.parent)
        if entry.parent in self._ours:
            # Two names that differ here may be one to a file system that folds case.
            name = first_free(entry.name, partial(at.make_directory, parent))
        else:
            name = self._parts.make(key - 1, partial(at.make_directory, parent))[0]
        try:
            made = at.open_directory(parent, name)
        except OSError:  # no descriptors left, say: nobody would know that it is ours
            with contextlib.suppress(OSError):
                at.remove_directory(parent, name)
            raise
        try:
            self.places[key] = Place(entry.parent, name, at.identity(made))
        finally:
            at.close(made)
        self._keep(key, entry.parent, name)
