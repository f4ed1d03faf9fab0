"""What a walk has found: what can be offered, how to find it again, and what is left out."""

import time
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from securecp.disk.descent import Place
from securecp.transfer.entries import DIRECTORY, LINK, Entries
from securecp.transfer.manifest import Manifest

SHOWN_LIMIT = 1_000
"""Excluded paths that are kept to be shown; all are counted."""


class Total(NamedTuple):
    """The figures of a scan."""

    files: int
    folders: int
    links: int
    size: int
    left_out: int
    """Paths with a problem."""
    excluded: int
    """Files and folders; what is in an excluded folder is not counted."""
    renamed: int


class Scan(NamedTuple):
    """What can be offered, and how to find it again."""

    manifest: Manifest
    problems: tuple[tuple[bytes, str], ...]
    """File paths that are left out, each with the reason."""
    places: Mapping[int, Place]
    """Directories by key: an entry's index + 1, or below zero for those that hold the paths."""
    tops: Mapping[int, int]
    """Key of the directory that holds the entry, for entries at the top."""
    inodes: "array[int]"
    """Inode number of each entry."""
    devices: "array[int]"
    """Device number of each entry."""
    changed_at: "array[int]"
    """When each entry last changed in any way, ns (ctime)."""
    at: int
    """When the walk began, in ns since 1970."""
    sparse: tuple[int, ...] = ()
    """Files that have fewer blocks than their size needs."""
    actual: Mapping[int, bytes] = {}
    """What entries are called on this disk, where that is not what they are offered as."""
    renamed: tuple[tuple[bytes, bytes], ...] = ()
    """File paths of those, as they are and as they are offered."""
    excluded: int = 0
    """Files and folders that patterns have excluded."""
    excluded_paths: tuple[bytes, ...] = ()
    """The first of them."""

    @property
    def total(self) -> Total:
        entries = self.manifest.columns
        return Total(
            files=entries.files,
            folders=entries.kinds.count(DIRECTORY),
            links=entries.kinds.count(LINK),
            size=self.manifest.size,
            left_out=len(self.problems),
            excluded=self.excluded,
            renamed=len(self.renamed),
        )

    def listing(self) -> Iterator[tuple[bytes, int, int]]:
        """(file path, kind, size) of all that would be sent, in the order of the offer."""
        entries = self.manifest.columns
        for index, kind in enumerate(entries.kinds):
            yield b"/".join(self.manifest.path(index)), kind, entries.size(index)


@dataclass
class Found:
    """A scan in the making."""

    entries: Entries = field(default_factory=Entries)
    problems: list[tuple[bytes, str]] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)
    tops: dict[int, int] = field(default_factory=dict)
    inodes: "array[int]" = field(default_factory=lambda: array("Q"))
    devices: "array[int]" = field(default_factory=lambda: array("Q"))
    changed_at: "array[int]" = field(default_factory=lambda: array("q"))
    at: int = field(default_factory=time.time_ns)
    sparse: list[int] = field(default_factory=list)
    actual: dict[int, bytes] = field(default_factory=dict)
    renamed: list[tuple[bytes, bytes]] = field(default_factory=list)
    excluded: int = 0
    excluded_paths: list[bytes] = field(default_factory=list)

    def leave_out(self, path: bytes, reason: str) -> None:
        self.problems.append((path, reason))

    def exclude(self, path: bytes) -> None:
        self.excluded += 1
        if self.excluded <= SHOWN_LIMIT:
            self.excluded_paths.append(path)

    def scan(self) -> Scan:
        return Scan(
            Manifest(self.entries),
            tuple(self.problems),
            self.places,
            self.tops,
            self.inodes,
            self.devices,
            self.changed_at,
            self.at,
            tuple(self.sparse),
            self.actual,
            tuple(self.renamed),
            self.excluded,
            tuple(self.excluded_paths),
        )
