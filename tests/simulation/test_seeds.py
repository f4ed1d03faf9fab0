"""Two thousand seeds of the whole program, a hundred of the transport alone: all end well.

Each has two phases: with faults, in which nothing wrong may happen, and a calm, in which it must
come to its end.
"""

from collections import Counter

import pytest

from tests.sim.direct import Direct
from tests.sim.options import LINK_FAULTS, Options, swarm
from tests.sim.run import EXPECTED
from tests.sim.scenario import run

SEEDS = 2_000
SOME = 500
"""Enough to see how they are drawn."""
MOST_FOR_ALL = 400
"""Seeds in which every fault must have struck."""
DIRECT_SEEDS = 100
BATCH = 50
SLOW = 20
"""One seed in this many carries more than 256 KiB."""


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_every_seed_delivers(first: int) -> None:
    for seed in range(first, first + BATCH):
        run(swarm(seed))


@pytest.mark.parametrize("first", range(0, DIRECT_SEEDS, BATCH))
def test_every_seed_of_the_transport_alone_delivers(first: int) -> None:
    for seed in range(first, first + BATCH):
        run(swarm(seed), kind=Direct)


def test_every_fault_strikes_soon() -> None:
    struck: Counter[str] = Counter()
    for seed in range(MOST_FOR_ALL):
        struck.update(run(swarm(seed)).struck)
        if all(struck[name] for name in EXPECTED):
            return
    raise AssertionError([name for name in EXPECTED if not struck[name]])


def test_the_swarm_switches_every_fault_on_and_often_few() -> None:
    switched = dict.fromkeys((*LINK_FAULTS, "none"), 0)
    for seed in range(SOME):
        active = faults(swarm(seed))
        for name in active or {"none"}:
            switched[name] += 1
    assert all(30 < count < 250 for count in switched.values()), switched


def test_sizes_are_mixed() -> None:
    sizes = [swarm(seed).size for seed in range(SOME)]
    assert {0, 1} <= set(sizes)
    assert 0 < sum(size > 2**18 for size in sizes) < SOME / SLOW
    assert sum(2**16 <= size <= 2**18 for size in sizes) > SOME / 5


def faults(options: Options) -> set[str]:
    """Which faults of the link the options switch on."""
    on = set()
    for link in (options.forth, options.back):
        values = {
            "jitter": link.jitter,
            "loss": link.loss,
            "bursts": link.bursts,
            "reorder": link.reorder,
            "duplicate": link.duplicate,
            "corrupt": link.corrupt,
            "mtu": link.mtu < 65_507,
            "rate": link.rate,
            "outage": link.outages,
        }
        on |= {name for name, value in values.items() if value}
    return on
