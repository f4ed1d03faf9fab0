"""Files of an earlier session that have their names already: compared, counted, copied from.

They are what was received, until their digests say otherwise; nothing is ever written into them.
"""

from collections.abc import Mapping, Sequence

from securecp.disk.calls import at
from securecp.disk.descent import Descent, Place
from securecp.disk.digests import Digester, copy_chunks
from securecp.disk.flush import sync_file
from securecp.disk.records import FinalRecord
from securecp.transfer.manifest import Chunk, Manifest

_OPEN_DIRECTORIES = 4


class Finals:
    """`records` by entry; `digest` is for any thread, the rest for one at a time."""

    def __init__(
        self,
        manifest: Manifest,
        records: Mapping[int, FinalRecord],
        places: Mapping[int, Place],
        root: int,
    ) -> None:
        self.records = records
        self._manifest = manifest
        self._places = places
        self._root = root
        self._digester = Digester(self._descent, self._open)

    def digest(self, chunk: Chunk) -> bytes:
        """BLAKE3 of the chunk as the file has it; OSError if it is gone."""
        return self._digester.digest(chunk)

    def unchanged(self, entry: int) -> bool:
        """Whether the file is still as it was when this session began."""
        record = self.records[entry]
        walk = self._descent(_OPEN_DIRECTORIES)
        try:
            found = at.status(walk.take(record.parent), record.name)
        except OSError:
            return False
        finally:
            walk.close()
        now = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        return now == (record.inode, record.mtime_ns, record.ctime_ns)

    def copy(
        self, entry: int, numbers: Sequence[int], digests: Sequence[bytes], part: int
    ) -> list[int]:
        """Copy chunks into the part; returns those that are not what they were. See `Base`."""
        walk = self._descent(_OPEN_DIRECTORIES)
        try:
            file = self._open(entry, walk)
        except OSError:
            return list(numbers)
        finally:
            walk.close()
        try:
            return copy_chunks(file, self._manifest, numbers, digests, part)
        finally:
            at.close(file)

    def close(self) -> None:
        self._digester.close()

    def _open(self, entry: int, descent: Descent) -> int:
        record = self.records[entry]
        return at.open_file(descent.take(record.parent), record.name, record.inode)

    def _descent(self, capacity: int) -> Descent:
        return Descent(self._places, capacity, pinned=self._root)


def flush(record: FinalRecord, walk: Descent) -> None:
    """Make such a file durable once more."""
    descriptor = at.open_file(walk.take(record.parent), record.name, record.inode)
    try:
        sync_file(descriptor)
    finally:
        at.close(descriptor)
