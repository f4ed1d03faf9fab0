"""Finding a directory again: down from a pinned one, component by component, never by path.

Each directory is remembered with its identity (device and inode number). If a component has been
replaced since, by a link or by another directory, opening it fails and nothing is read or written.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass

from securecp.disk.at import Identity
from securecp.disk.calls import at
from securecp.disk.descriptors import Descriptors


@dataclass(slots=True)
class Place:
    """A directory: its name in directory `parent`, and what must be found there."""

    parent: int
    name: bytes
    identity: Identity


TOP = -(1 << 62)
"""`Place.parent` of a directory that our own user named; its `name` is a path."""


class Descent:
    """Open directories for one thread; `pinned` is the descriptor that key 0 stands for."""

    def __init__(self, places: Mapping[int, Place], capacity: int, pinned: int = -1) -> None:
        self._places = places
        self._pinned = pinned
        self._open = Descriptors(capacity, self._enter, at.close)

    def take(self, key: int) -> int:
        """The descriptor of a directory, good until a few others were taken; raises OSError."""
        return self._open.take(key) if key else self._pinned

    def drop(self, key: int) -> None:
        self._open.drop(key)

    def close(self) -> None:
        self._open.close()

    def _enter(self, key: int) -> int:
        place = self._places[key]
        if place.parent == TOP:
            descriptor = at.pin(place.name)
        else:
            descriptor = at.open_directory(self.take(place.parent), place.name)
        if at.identity(descriptor) != place.identity:
            at.close(descriptor)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return descriptor
