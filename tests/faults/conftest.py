"""People and pairs for all tests of faults."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.pair import Pair
from tests.torture import homes
from tests.torture.nursery import Nursery

Pairs = Callable[..., Pair]


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return homes.make(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def pairs(people: Path, nursery: Nursery, tmp_path: Path) -> Iterator[Pairs]:
    """Makes pairs, and ends their programs."""
    made: list[Pair] = []

    def make(*, forked: bool = True, **options: Any) -> Pair:
        """Not `forked`: what a nursery forks sees the disks that the nursery sees."""
        own = nursery if forked else None
        made.append(Pair(people, tmp_path / f"pair-{len(made)}", own, **options))
        return made[-1]

    yield make
    for pair in made:
        pair.close()
