"""A receiver whose disk is slower than the net: memory stays flat, and it comes to its end."""

import tracemalloc
from dataclasses import replace

import pytest

from tests.sim.direct import Direct
from tests.sim.ends import Sink
from tests.sim.options import LinkOptions, Options

MEBIBYTE = 1 << 20
NET = 12.5e6
"""Bytes per second of the path; its queue holds a round trip."""
DELAY = 0.005


class SlowDisk:
    """Stands still with the whole process while it writes, as a write that blocks does."""

    def __init__(self, run: Direct, sink: Sink, rate: float) -> None:
        self._run = run
        self._sink = sink
        self._rate = rate
        self._free_at = 0.0

    def store(self, offset: int, slices: list[memoryview]) -> None:
        self._sink.store(offset, slices)
        host, now = self._run.right, self._run.world.clock.now
        self._free_at = max(self._free_at, now) + sum(map(len, slices)) / self._rate
        host.options = replace(host.options, stalls=((now, self._free_at),))


def run(size: int, rate: float) -> tuple[Direct, int, float]:
    """A transfer to a disk of `rate`; the run, its peak of memory in bytes, its virtual seconds."""
    link = LinkOptions(delay=DELAY, rate=NET, queue=int(2 * DELAY * NET))
    transfer = Direct(Options(seed=1, size=size, forth=link, back=link))
    transfer.world.watches.clear()  # they remember every counter
    connection = transfer.connections[1]
    connection.sink = SlowDisk(transfer, transfer.receiver.sink, rate)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        seconds = transfer.run()
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    return transfer, peak, seconds


@pytest.mark.parametrize("slower", [4, 25])
def test_tr23_a_slow_disk_costs_no_memory_however_much_comes(slower: int) -> None:
    """Both ends and all that is on the way together; what the disk cannot take is not accepted."""
    _, short, _ = run(4 * MEBIBYTE, NET / slower)  # by then what is kept of slices is complete
    transfer, long, seconds = run(8 * MEBIBYTE, NET / slower)
    assert transfer.receiver.sink.complete
    assert long < 1.25 * short
    assert long < 8 * MEBIBYTE
    assert seconds < 1.5 * 8 * MEBIBYTE / (NET / slower)


def test_tr23_a_slow_disk_is_found_out_by_the_sender() -> None:
    """What finds the socket's buffer full is sent again, but most is not sent too soon."""
    transfer, _, _ = run(4 * MEBIBYTE, NET / 10)
    assert transfer.connections[0].bytes_sent < 1.6 * 4 * MEBIBYTE
