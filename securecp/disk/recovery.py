"""What of an earlier session is still here: parts to go on with, and files that have their names.

A part counts if name, owner, kind and inode number are those of the journal, and so does a file
under its final name. Nothing that is looked at is read here; what the stat says decides whether
that will be necessary.
"""

import os
import stat
from collections.abc import Iterator

from securecp.disk.calls import at
from securecp.disk.claims import Claims
from securecp.disk.layout import Layout
from securecp.disk.leftovers import clean, is_ours, recorded
from securecp.disk.names import PartNames, is_part
from securecp.disk.parts import Parts
from securecp.disk.records import FinalRecord, PartRecord, Remembered
from securecp.transfer.entries import FILE, Entries


class Recovery:
    """Looks for everything that a journal knows; `look` after the directories have been found."""

    def __init__(
        self, before: Remembered, entries: Entries, layout: Layout, parts: Parts, names: PartNames
    ) -> None:
        self._before = before
        self._entries = entries
        self._layout = layout
        self._parts = parts
        self._names = names
        self._shown: dict[int, dict[int, bytes]] = {}
        self.finals: dict[int, FinalRecord] = {}
        """Files that have their names, as they are now."""
        self.gone: set[int] = set()
        """Entries whose parts are not there any more, nor anything under their names."""
        self.sizes: dict[int, int] = {}
        """Sizes of parts that were found."""
        self.sure: set[int] = set()
        """Entries of either kind that nobody has touched since they were written down."""

    def look(self) -> None:
        """See what is there; about 5 µs an entry."""
        for entry, final in self._before.finals.items():
            if self._is_file(entry):
                self._final(entry, final)
        for entry, part in self._before.parts.items():
            if entry not in self.finals and self._is_file(entry):
                self._part(entry, part)

    def needs_no_part(self, claims: Claims, entry: int) -> bool:
        """Whether a file has never had a part, since nothing but zeros of it has come."""
        return entry not in self._before.parts and all(map(claims.zero, claims.claimed(entry)))

    def clean(self) -> None:
        """Remove parts that the journal never heard of; swapped ones stay."""
        known = recorded(self._before, PartNames(self._names.tag, self._key()))
        keep = known.union(place.name for place in self._layout.places.values())
        for key in (0, *self._layout.places):
            try:
                clean(self._layout.walk.take(key), self._names, len(self._entries), keep=keep)
            except OSError:
                continue

    def _key(self) -> bytes:
        assert self._before.header is not None
        return self._before.header.key

    def _is_file(self, entry: int) -> bool:
        return entry < len(self._entries) and self._entries.kinds[entry] == FILE

    def _final(self, entry: int, final: FinalRecord) -> None:
        found = self._status(entry, final.name, final.inode)
        name = final.name
        if found is None:
            name = self._shown_names(entry).get(final.inode, b"")
            found = self._status(entry, name, final.inode) if name else None
        if found is None or found.st_size != self._entries.size(entry):
            return
        self._take_final(entry, name, found)
        if (found.st_mtime_ns, found.st_ctime_ns) == (final.mtime_ns, final.ctime_ns):
            self.sure.add(entry)

    def _part(self, entry: int, part: PartRecord) -> None:
        self._names.attempts.update({entry: part.attempt} if part.attempt else {})
        hidden = self._names.of(entry)
        found = self._status(entry, hidden, part.inode)
        if self._before.naming and (found is None or found.st_nlink > 1):
            name = self._shown_names(entry).get(part.inode, b"")
            if name and found is not None:  # it has both: that changes its times once more
                at.remove(self._directory(entry), hidden)
            named = self._status(entry, name, part.inode) if name else None
            if named is not None and named.st_size == self._entries.size(entry):
                self._take_final(entry, name, named)
                return
            if name:
                return
        if found is None:
            if self._is_free(entry, hidden):
                self.gone.add(entry)
            return
        self._parts.adopt(entry, part.inode)
        self.sizes[entry] = found.st_size
        stamp = (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if part.ctime_ns and stamp == (part.size, part.mtime_ns, part.ctime_ns):
            self.sure.add(entry)

    def _take_final(self, entry: int, name: bytes, found: os.stat_result) -> None:
        parent = self._entries.parent(entry)
        times = found.st_mtime_ns, found.st_ctime_ns
        self.finals[entry] = FinalRecord(entry, parent, found.st_ino, *times, name)

    def _status(self, entry: int, name: bytes, inode: int) -> os.stat_result | None:
        """What has the name, if it is a regular file of ours with this inode number."""
        try:
            found = at.status(self._directory(entry), name)
        except OSError:
            return None
        ours = found.st_ino == inode and stat.S_ISREG(found.st_mode) and is_ours(found)
        return found if ours else None

    def _is_free(self, entry: int, name: bytes) -> bool:
        try:
            at.status(self._directory(entry), name)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return False

    def _shown_names(self, entry: int) -> dict[int, bytes]:
        """Names in the entry's directory that are no parts', by inode number."""
        key = self._entries.parent(entry)
        if key not in self._shown:
            self._shown[key] = dict(self._list(entry))
        return self._shown[key]

    def _list(self, entry: int) -> Iterator[tuple[int, bytes]]:
        try:
            found = at.inodes(self._directory(entry))
        except OSError:
            return
        for name, inode in found:
            if not is_part(name):
                yield inode, name

    def _directory(self, entry: int) -> int:
        return self._layout.walk.take(self._entries.parent(entry))
