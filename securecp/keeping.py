"""A store in the hands of a session: its slow jobs, how much it may take, and how it ends; no I/O.

    stored, not yet saved ── due ──► checkpoint, in the workshop, one at a time
                          └─ 64 MiB ───► no more is let in until it is done (I5)

Whatever ends a session early, the store is suspended in the workshop, behind whatever it is busy
with: a later session goes on from there (SPEC §9).
"""

from collections.abc import Callable
from typing import Protocol

from securecp.errors import SecurecpError
from securecp.session import Workshop

UNSAVED_LIMIT = 64 << 20
"""Bytes stored and not yet saved above which nothing more is let in."""
LOOK = 1.0
"""Seconds between two looks at whether a checkpoint is due, while something is unsaved."""


class Saved(Protocol):
    """What stores of files and of streams have in common."""

    @property
    def unsaved(self) -> int:
        """Bytes that have been taken and would be lost in a crash, or have nowhere to go yet."""

    def due(self, now: float) -> bool: ...
    def checkpoint(self) -> None: ...
    def suspend(self) -> None: ...


class Keeper:
    """Has a store's slow jobs done; `failed` is told of what goes wrong."""

    def __init__(
        self, store: Saved, workshop: Workshop, failed: Callable[[SecurecpError], None]
    ) -> None:
        self._store = store
        self._workshop = workshop
        self._failed = failed
        self._saving = False
        self._over = False

    @property
    def full(self) -> bool:
        """Whether nothing more is to come for now."""
        return self._store.unsaved >= UNSAVED_LIMIT

    def turn(self, now: float) -> None:
        """Begin a checkpoint if one is due and none is under way."""
        if not self._saving and not self._over and self._store.due(now):
            self._saving = True
            self._workshop.start(self._store.checkpoint, self._saved)

    def deadline(self, now: float) -> float | None:
        """When to call `turn` at the latest."""
        return now + LOOK if self._store.unsaved else None

    def end(self) -> None:
        """Nothing is stored any more: keep what is good for later."""
        self._over = True
        self._workshop.start(self._store.suspend, _nothing)

    def _saved(self, result: None | Exception) -> None:
        self._saving = False
        if self._over or result is None:
            return
        if not isinstance(result, SecurecpError):
            raise result
        self._failed(result)


def _nothing(result: None | Exception) -> None:
    if result is not None:
        raise result
