"""Deliberate breaks of the order that durability rests on. Each must turn crash states red."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

from securecp.disk import at, flush, publishing, records
from securecp.disk.layout import Layout
from securecp.disk.log import Log
from securecp.disk.publishing import Publisher
from securecp.disk.recovery import Recovery
from securecp.disk.saving import Saving
from securecp.disk.settle import settle


class Break(NamedTuple):
    """What is done wrong, and a case that shows it."""

    case: str
    arm: Callable[[contextlib.ExitStack], None]


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _patched(owner: Any, name: str, new: Any) -> Callable[[contextlib.ExitStack], None]:
    def arm(stack: contextlib.ExitStack) -> None:
        stack.enter_context(mock.patch.object(owner, name, new))

    return arm


def _journal_first(self: Saving) -> list[tuple[int, OSError]]:
    """The journal before the data that it speaks of."""
    from securecp.disk.saving import _Batch

    batch = _Batch(self._manifest)
    batch.take(self._taken(), fresh=True)
    entries = sorted(batch.entries())
    self._write(batch, {})
    return self._flush(entries)[1]


def _names_first(self: Publisher) -> Any:
    """Names before the data has been flushed."""
    with mock.patch.object(Publisher, "_flush", _nothing):
        report = self._run_in_order()  # type: ignore[attr-defined]
    flush.sync_all(self._plan.root)
    return report


def _arm_names_first(stack: contextlib.ExitStack) -> None:
    stack.enter_context(mock.patch.object(Publisher, "_run_in_order", Publisher._run, create=True))
    stack.enter_context(mock.patch.object(Publisher, "_run", _names_first))


def _log_sync(self: Log) -> None:
    """Appended is taken for durable."""


def _all_sure(self: Recovery) -> None:
    """What the journal says is believed of files that were touched since."""
    _LOOK(self)
    self.sure.update(self.sizes, self.finals)


_LOOK = Recovery.look


def _publishing_untold(self: Saving) -> None:
    """Names are given before the journal knows that they will be."""


def _unlink_first(parent: int, part: bytes, name: bytes, conflict: Any) -> bytes | None:
    """Overwriting in two steps."""
    if conflict == "overwrite":
        with contextlib.suppress(FileNotFoundError):
            at.remove(parent, name)
    return settle(parent, part, name, conflict)


def _reveal_first(self: Publisher, **_: Any) -> None:
    """A tree shows before what is in it is durable."""
    plan = self._plan
    plan.parts.remove_all()
    self._renamed += plan.layout.reveal()
    plan.layout.finish(plan.umask)


def _flush_again(descriptor: int) -> None:
    """A flush that fails is tried once more."""
    try:
        os.fdatasync(descriptor)
    except OSError:
        os.fdatasync(descriptor)


def _forgotten_at_naming(self: Saving) -> None:
    _PUBLISHING(self)
    self._journal._log.clear()
    self._journal._log.append(records.kept(0))
    self._journal._log.sync()


_PUBLISHING = Saving.publishing


def _reveal_without_parents(self: Layout) -> list[tuple[int, bytes]]:
    """Names of revealed directories are left to luck."""
    with mock.patch.object(flush, "sync_directory", _nothing):
        return _REVEAL(self)


_REVEAL = Layout.reveal


BREAKS: dict[str, Break] = {
    "data is not flushed at a checkpoint": Break("one", _patched(flush, "sync_data", _nothing)),
    "data is not flushed for many": Break(
        "many, seldom saved", _patched(Layout, "sync_all", lambda *_: True)
    ),
    "the journal is written before the data is flushed": Break(
        "one", _patched(Saving, "checkpoint", _journal_first)
    ),
    "the journal is not flushed": Break("one", _patched(Log, "sync", _log_sync)),
    "directories are not flushed": Break("rename", _patched(flush, "sync_directory", _nothing)),
    "names of parts are not flushed": Break("tree", _patched(Saving, "keep_names", _nothing)),
    "revealed names are not flushed": Break(
        "tree into another", _patched(Layout, "reveal", _reveal_without_parents)
    ),
    "names are given before the data is flushed": Break("delta beside", _arm_names_first),
    "touched parts are believed": Break("parts are edited", _patched(Recovery, "look", _all_sure)),
    "claims stay while their chunks are written over": Break(
        "restart in one tick", _patched(Saving, "unsettle", _nothing)
    ),
    "the journal does not know of the naming": Break(
        "rename", _patched(Saving, "publishing", _publishing_untold)
    ),
    "the journal is forgotten before the naming": Break(
        "rename", _patched(Saving, "publishing", _forgotten_at_naming)
    ),
    "overwriting in two steps": Break("overwrite", _patched(publishing, "settle", _unlink_first)),
    "a tree is shown before it is durable": Break(
        "tree", _patched(Publisher, "_reveal", _reveal_first)
    ),
    "a failed flush is tried again": Break(
        "a flush fails", _patched(flush, "sync_data", _flush_again)
    ),
}


@contextlib.contextmanager
def broken(name: str) -> Iterator[str]:
    """The order is broken inside; yields the case that shows it."""
    with contextlib.ExitStack() as stack:
        BREAKS[name].arm(stack)
        yield BREAKS[name].case
