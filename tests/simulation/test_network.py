"""The network model by itself: each fault does what it says, and nothing else."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from securecp.endpoint import Endpoint
from tests.sim.ends import Echo, Script
from tests.sim.host import coalesce
from tests.sim.network import Link
from tests.sim.options import Bursts, HostOptions, LinkOptions
from tests.sim.world import World

HERE = Endpoint("192.0.2.1", 1)
THERE = Endpoint("192.0.2.2", 2)
COUNT = 4_000


def link(**options: object) -> Link:
    return Link(replace(LinkOptions(), **options), Random(5), Counter())  # type: ignore[arg-type]


def carried(path: Link, count: int = COUNT, gap: float = 0.001) -> list[tuple[float, bytes]]:
    """Arrivals of numbered datagrams, sent `gap` seconds apart."""
    arrivals = []
    for number in range(count):
        arrivals += path.carry(number * gap, number.to_bytes(4) * 25)
    return arrivals


def pair(forth: LinkOptions, there: HostOptions | None = None) -> tuple[World, Script, Script]:
    """A script here (empty yet) and one there that only listens."""
    world = World(1)
    left, right = world.host("left", HERE), world.host("right", THERE, there)
    world.join(left, right, forth, LinkOptions())
    left.end, right.end = Script(), Script()
    return world, left.end, right.end


def test_a_link_without_faults_only_delays() -> None:
    arrivals = carried(link(delay=0.25))
    assert arrivals == [(number * 0.001 + 0.25, number.to_bytes(4) * 25) for number in range(COUNT)]


@pytest.mark.parametrize("loss", [0.01, 0.3, 0.5])
def test_loss_is_as_frequent_as_it_says(loss: float) -> None:
    path = link(loss=loss)
    assert len(carried(path)) == pytest.approx(COUNT * (1 - loss), rel=0.05)
    assert path.struck["loss"] == pytest.approx(COUNT * loss, rel=0.2)


def test_bursts_lose_runs() -> None:
    path = link(bursts=Bursts(turns_bad=0.01, turns_good=0.1, loss=1.0))
    came = [int.from_bytes(data[:4]) for _, data in carried(path)]
    gaps = [later - before - 1 for before, later in pairwise(came)]
    runs = [gap for gap in gaps if gap]
    assert sum(runs) / len(runs) == pytest.approx(10, rel=0.4)
    assert sum(runs) / COUNT == pytest.approx(0.09, rel=0.4)


def test_bursts_end_with_time_on_a_quiet_link() -> None:
    path = link(bursts=Bursts(turns_bad=1.0, turns_good=0.0, loss=1.0))
    assert path.carry(0.0, b"x") == []
    path.options = replace(path.options, bursts=Bursts(0.0, 0.0, 1.0))
    assert path.carry(1.0, b"x") == []
    assert path.carry(3.0, b"x")


def test_jitter_keeps_the_order() -> None:
    times = [when for when, _ in carried(link(jitter=0.05))]
    assert times == sorted(times)
    delays = [when - number * 0.001 for number, when in enumerate(times)]
    assert 0.01 <= min(delays) < max(delays) <= 0.061


def test_reordering_lets_datagrams_overtake() -> None:
    arrivals = sorted(carried(link(reorder=0.1, reorder_delay=0.02)))
    numbers = [int.from_bytes(data[:4]) for _, data in arrivals]
    assert numbers != sorted(numbers)
    assert sorted(numbers) == list(range(COUNT))


def test_duplicates_come_up_to_so_many_times() -> None:
    counts = Counter(data for _, data in carried(link(duplicate=0.2, copies=3)))
    assert max(counts.values()) == 4
    assert sum(count > 1 for count in counts.values()) == pytest.approx(COUNT * 0.2, rel=0.1)


def test_corruption_changes_bits_or_the_end() -> None:
    path = link(corrupt=1.0)
    for number, (_, data) in enumerate(carried(path)):
        original = number.to_bytes(4) * 25
        flipped = sum(
            (left ^ right).bit_count() for left, right in zip(original, data, strict=False)
        )
        assert flipped <= 3
        assert flipped == 0 or len(data) == len(original)
    assert path.struck["corrupt"] == COUNT


def test_the_mtu_swallows_what_is_longer() -> None:
    path = link(mtu=1_200)
    assert path.carry(0.0, bytes(1_200))
    assert path.carry(0.0, bytes(1_201)) == []


def test_the_rate_spaces_datagrams_and_the_queue_drops_its_tail() -> None:
    path = link(rate=100_000.0, queue=1_050)
    arrivals = [path.carry(0.0, bytes(100)) for _ in range(15)]
    times = [when for arrival in arrivals for when, _ in arrival]
    assert times == pytest.approx([0.011 + 0.001 * number for number in range(10)])
    assert path.struck["queue"] == 5


def test_an_outage_ends() -> None:
    path = link(outages=((1.0, 2.0),))
    came = [number for number in range(40) if path.carry(number / 10, b"x")]
    assert came == [*range(10), *range(20, 40)]


def test_calm_keeps_the_path_and_drops_the_faults() -> None:
    wild = LinkOptions(
        0.1, 0.1, 0.1, Bursts(0.1, 0.1, 1), 0.1, 0.1, 0.1, 3, 0.1, 1_200, 1e6, 5_000, ((0, 9),)
    )
    calm = wild.calm()
    assert (calm.delay, calm.rate, calm.queue, calm.mtu) == (0.1, 1e6, 5_000, 1_200)
    assert not any((calm.jitter, calm.loss, calm.bursts, calm.reorder, calm.duplicate))
    assert not any((calm.corrupt, calm.outages))


def test_an_echo_comes_back_after_a_round_trip() -> None:
    world = World(1)
    left, right = world.host("left", HERE), world.host("right", THERE)
    world.join(left, right, LinkOptions(delay=0.1), LinkOptions(delay=0.2))
    left.end = script = Script()
    script.plan(1.0, THERE, b"hello", 5)
    right.end = Echo()
    assert world.run(lambda: bool(script.received), 10)
    ((when, data),) = script.received
    assert when == pytest.approx(1.3)
    assert data == b"hello"


def test_what_arrives_together_is_read_as_one_burst() -> None:
    world, here, there = pair(LinkOptions())
    here.plan(0.0, THERE, bytes(10 * 1_000 + 300), 1_000)
    world.run(lambda: False, 1)
    assert there.bursts == [10_300]
    assert len(there.received) == 11


def test_coalescing_follows_the_kernel_s_rules() -> None:
    sizes = [100] * 70 + [50, 100, 120, 120, 30, 30]
    bursts = list(coalesce([(HERE, bytes(size)) for size in sizes]))
    assert [(len(burst.data), burst.stride) for burst in bursts] == [
        (6_400, 100), (650, 100), (100, 100), (270, 120), (30, 30),
    ]  # fmt: skip
    assert [len(burst.data) for burst in coalesce([(HERE, b"ab"), (THERE, b"cd")])] == [2, 2]


def test_a_full_receive_buffer_drops() -> None:
    world, here, there = pair(LinkOptions(), HostOptions(receive_buffer=2_500, read_delay=0.1))
    here.plan(0.0, THERE, bytes(5_000), 1_000)
    world.run(lambda: False, 1)
    assert len(there.received) == 2
    assert world.struck["receive buffer"] == 3


def test_a_stalled_host_reads_when_it_goes_on() -> None:
    world, here, there = pair(LinkOptions(), HostOptions(stalls=((0.0, 5.0),), clock_offset=100.0))
    here.plan(0.0, THERE, b"x", 1)
    world.run(lambda: False, 9)
    assert there.received == [(105.0, b"x")]


def test_datagrams_to_nobody_are_lost() -> None:
    world, here, _ = pair(LinkOptions())
    here.plan(0.0, Endpoint("203.0.113.9", 9), b"x", 1)
    world.run(lambda: False, 1)
    assert world.struck["nowhere"] == 1
