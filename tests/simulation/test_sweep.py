"""A small part of `python -m tests.sim.sweep`: the corners, and that a seed is one run."""

import pytest

from tests.sim.sweep import Path, fails, measure, table

CORNERS = (
    (Path(rate=20), 0.75),
    (Path(rate=20, loss=5), 0.7),
    (Path(rate=20, queue=0.25), 0.7),
    (Path(rate=20, queue=10), 0.75),
    (Path(rate=0.2), 0.5),
    (Path(rate=1, rtt=750), 0.3),
    (Path(rate=20, reorder=10), 0.7),
    (Path(rate=20, ack_loss=50), 0.7),
    (Path(rate=20, asymmetry=50), 0.7),
)


@pytest.mark.parametrize(("path", "share"), CORNERS, ids=[str(path[:]) for path, _ in CORNERS])
def test_a_path_is_used_and_nothing_stands_still(path: Path, share: float) -> None:
    result = measure(path)
    assert not fails(path, result)
    assert result.share > share


@pytest.mark.parametrize("loss", [20, 30])
def test_even_where_most_rounds_are_lost_it_goes_on(loss: float) -> None:
    path = Path(rate=2, loss=loss)
    assert not fails(path, measure(path))


def test_the_same_seed_is_the_same_run() -> None:
    paths = [Path(rate=10, loss=2, reorder=2)]
    assert list(table(paths, seed=5)) == list(table(paths, seed=5))
    assert list(table(paths, seed=5)) != list(table(paths, seed=6))
