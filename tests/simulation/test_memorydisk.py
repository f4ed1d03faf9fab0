"""The disk of the simulator: what is done wrong with it shows within a few seeds."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.sim.host import SimulationError
from tests.sim.memorydisk import MemoryDisk, MemoryStore
from tests.sim.options import Harm, swarm
from tests.sim.scenario import run

SEEDS = 200


def nothing(*_: Any) -> None:
    return None


def journal_alone(disk: MemoryDisk) -> None:
    """A checkpoint that does not flush the data."""
    disk.journal.update(disk.pending)
    disk.pending.clear()


def flushed_anyway(store: MemoryStore, what: str) -> None:
    """A flush that fails is taken for done."""
    kept = dict(store.disk.pending)
    if store.disk.fails(what):
        store.disk.pending.update(kept)


def never(*_: Any) -> bool:
    return False


def older_is_believed(disk: MemoryDisk) -> None:
    """An older journal is put back, and nothing is read again."""
    _HARM(disk)
    disk.touched = False
    if disk.journal:
        number = min(disk.journal)
        start, end = disk.tree.manifest.span(range(number, number + 1))
        disk.data[start:end] = bytes(end - start)


_HARM = MemoryDisk._harm_journal

BAD = Harm(flush=1, published=True)
"""A flush fails, and all that is in doubt is lost when everything seems well."""
WRONGS: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "a chunk that was missed still counts": (MemoryStore, "missed", nothing),
    "a file that restarts still counts": (MemoryStore, "forget", nothing),
    "a checkpoint flushes no data": (MemoryDisk, "checkpoint", journal_alone),
    "a failed flush is taken for done": (MemoryStore, "_flush", flushed_anyway),
    "nothing is ever saved": (MemoryStore, "due", never),
    "what was touched is believed": (MemoryDisk, "_harm_journal", older_is_believed),
}


@pytest.mark.parametrize("name", WRONGS)
def test_f03_f14_f17_what_is_done_wrong_turns_a_seed_red(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, what, wrong = WRONGS[name]
    monkeypatch.setattr(owner, what, wrong)
    for seed in range(SEEDS):
        options = swarm(seed)
        if wrong is flushed_anyway:
            options = replace(options, harm=BAD)
        try:
            run(options)
        except SimulationError:
            return
    pytest.fail("no seed was wrong")
