"""The state of a file as one value, to be compared: whether anybody has touched it since."""

import os
from typing import NamedTuple

from securecp.disk.found import Scan


class Stamp(NamedTuple):
    """The state of a file: whatever is written to it changes one of these."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    changed_at: int

    @classmethod
    def of(cls, found: os.stat_result) -> "Stamp":
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def offered(scan: Scan, entry: int) -> Stamp:
    """The state that a file was offered in."""
    entries = scan.manifest.columns
    return Stamp(
        scan.devices[entry],
        scan.inodes[entry],
        entries.size(entry),
        entries.mtime_ns(entry),
        scan.changed_at[entry],
    )
