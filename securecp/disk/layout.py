"""The offer's directories in the destination: made, found again, revealed, taken away.

A directory whose parent was there before us is built under a hidden part name and takes its own
name by one exclusive rename when everything in it is published: a tree appears whole or not at all,
and a killed receiver leaves nothing under it. Directories below it are made under their own names.
With `merge`, a real directory that exists is used as it is, and its mode and time stay; a link or
anything else under that name is left alone, and ours gets a numbered name.
"""

import contextlib
import errno
from functools import partial

from securecp.disk import attributes, flush
from securecp.disk.calls import at
from securecp.disk.descent import Descent, Place
from securecp.disk.names import PartNames
from securecp.disk.settle import first_free
from securecp.transfer.entries import DIRECTORY, Entries, Entry

_OPEN_DIRECTORIES = 16


class Layout:
    """Directories by key: 0 is the destination itself, else the entry's index + 1.

    Methods raise OSError; none of them touches what it has not made.
    """

    def __init__(self, root: int, entries: Entries, parts: PartNames, *, merge: bool):
        self._entries = entries
        self._parts = parts
        self._merge = merge
        self.places: dict[int, Place] = {}
        self.made: list[int] = []
        """Keys of the directories that we made, parents first."""
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
            if self._merge and entry.parent not in self._ours and self._find(key, entry):
                found.append(key)
            else:
                self._make(key, entry)
        return found

    def reveal(self) -> list[tuple[int, bytes]]:
        """Give the hidden directories their names; returns (entry, name) of those renumbered."""
        renamed = []
        for key in self._hidden:
            place, wanted = self.places[key], self._entries[key - 1].name
            parent = self.walk.take(place.parent)
            self.walk.drop(key)  # Windows cannot rename what is open
            name = first_free(wanted, partial(at.rename_directory, parent, place.name))
            place.name = name
            if name != wanted:
                renamed.append((key - 1, name))
        self._hidden.clear()
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

    def sync_all(self) -> bool:
        """Flush every file system that the directories are on; False where that is unknown."""
        root = self.walk.take(0)
        devices = {place.identity[0]: key for key, place in self.places.items()}
        devices[at.identity(root)[0]] = 0
        return all(flush.sync_all(self.walk.take(key)) for key in devices.values())

    def remove(self) -> None:
        """Remove those directories of ours that are empty; others are left as they are."""
        for key in reversed(self.made):
            place = self.places[key]
            with contextlib.suppress(OSError):
                self.walk.drop(key)
                parent = self.walk.take(place.parent)
                found = at.status(parent, place.name)
                if (found.st_dev, found.st_ino) == place.identity:  # still the one we made
                    at.remove_directory(parent, place.name)

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
        name = entry.name
        if entry.parent in self._ours:
            # Two names that differ here may be one to a file system that folds case.
            name = first_free(name, partial(at.make_directory, parent))
        else:
            name = self._parts.of(key - 1)
            at.make_directory(parent, name)
            self._hidden.append(key)
        made = at.open_directory(parent, name)
        try:
            self.places[key] = Place(entry.parent, name, at.identity(made))
        finally:
            at.close(made)
        self.made.append(key)
        self._ours.add(key)
