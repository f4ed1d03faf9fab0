"""Work grows with what is in flight, and no faster, whatever pattern a peer chooses."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from securecp.transport.cubic import Cubic
from securecp.transport.flight import Flight, Record
from tests.sim.ends import Content
from tests.simulation.bench import Bench


class Wide(Cubic):
    """A controller with a window of our choice."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self._window = float(window)


def lines(work: Callable[[], object]) -> int:
    """Lines of Python that run: a measure of CPU that no busy machine disturbs."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def striped(records: int) -> int:
    """A window of bursts of which every second datagram is lost, acknowledged piece by piece."""
    flight = Flight()
    for number in range(records):
        flight.add(Record(8 * number, 8, 1_200, 9_600, number * 0.001))

    def work() -> None:
        for number in range(records - 1, -1, -4):
            ranges = [(8 * number + at, 8 * number + at + 1) for at in (6, 4, 2, 0)]
            flight.acknowledge(ranges)
        for number in range(0, records, 8):
            flight.overdue(8 * number, -1.0)

    return lines(work)


def test_tr20_ten_times_the_window_costs_less_than_fifteen_times_the_work() -> None:
    assert striped(2_000) < 15 * striped(200)


def gaps(count: int) -> int:
    """Content with every second chunk missing, then the missing ones from the end."""
    bench = Bench(initiator=False)
    bench.victim.expect_content(0, 1 << 40)
    first = [bench.forger.chunk(20 * number, bytes(10)) for number in range(count)]
    second = [bench.forger.chunk(20 * number + 10, bytes(10)) for number in range(count)]
    return lines(lambda: bench.deliver(*first, *reversed(second)))


def test_tr20_gaps_in_content_cost_the_same_however_many_there_are() -> None:
    assert gaps(2_000) < 15 * gaps(200)


def losses(count: int) -> int:
    """A sender with `count` datagrams in flight is told that every second one is missing."""
    bench = Bench(content_window=1 << 30)
    victim = bench.victim
    victim._recovery.controller = Wide(2 * count * 1_200)
    bench.drain()
    bench.deliver(bench.forger.ack((0, 1)))
    victim.source = Content(0, count * 1_400)
    victim.send_content(0, count * 1_400)
    sent = 0
    while victim._sealer.next_counter < count:
        assert sent < victim._sealer.next_counter or bench.now < 0.2 * count
        sent = victim._sealer.next_counter
        bench.now += 0.001
        bench.drain()
    skipped = set(victim._recovery._skipped)
    acks = []
    for low in range(1, count - 64, 64):
        counters = [at for at in range(low + 62, low - 2, -2) if at not in skipped]
        acks.append(bench.forger.ack(*[(at, at + 1) for at in counters]))
    work = lines(lambda: bench.deliver(*acks))
    assert victim._recovery.lost_bytes > count * 400
    assert bench.closed_with is None
    return work


def test_tr20_losses_cost_the_same_however_many_are_in_flight() -> None:
    assert losses(4_000) < 15 * losses(400)
