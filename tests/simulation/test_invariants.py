"""The simulator notices: each line breaks the transport in one way, and the run must turn red."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from securecp.endpoint import Burst, Endpoint
from securecp.transport import connection, content, control, flight, mtu, outgoing, ranges, seal
from securecp.transport.acks import Acks
from securecp.transport.connection import Connection, ControlReceived, Lost
from tests.sim.direct import Direct
from tests.sim.ends import Content, Echo, Sink
from tests.sim.host import SimulationError
from tests.sim.invariants import Amplification
from tests.sim.options import LinkOptions, Options
from tests.sim.scenario import explain, run
from tests.sim.world import World

PATH = LinkOptions(
    delay=0.01,
    loss=0.05,
    duplicate=0.1,
    reorder=0.1,
    reorder_delay=0.05,
    rate=5e6,
    queue=50_000,
)
OPTIONS = Options(seed=4, size=300_000, forth=PATH, back=PATH, calm_at=20.0)

Break = Callable[[pytest.MonkeyPatch], None]


def replaced(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Break:
    """Put `wrap(original)` in the place of an attribute."""

    def apply(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(owner, name, wrap(getattr(owner, name)))

    return apply


def shifted(original: Any) -> Any:
    return lambda self, offset, slices: original(self, offset + 7 * (offset > 0), slices)


def everything_is_new(original: Any) -> Any:
    def add_new(self: Any, start: int, end: int) -> list[tuple[int, int]]:
        original(self, start, end)
        return [(start, end)]

    return add_new


def counters_stand_still(original: Any) -> Any:
    def advance(self: Any, now: float, count: int) -> int:
        first: int = original(self, now, count)
        self.next_counter = max(first, self.next_counter - (first % 50 == 20))
        return first

    return advance


def late_is_ignored(original: Any) -> Any:
    return lambda self, offset, data: data if offset >= self.taken else original(self, offset, data)


def swapped(original: Any) -> Any:
    def content(self: Any, now: float, stride: int, offset: int, length: int) -> Any:
        slots = self.layout(stride).slots
        if length >= 2 * len(slots[0]):
            first = bytes(slots[0])
            slots[0][:], slots[1][:] = slots[1], first
        return original(self, now, stride, offset, length)

    return content


def events_twice(original: Any) -> Any:
    def events(self: Any) -> list[Any]:
        found = original(self)
        return [*found, *found] if self.closed else found

    return events


BREAKS: dict[str, Break] = {
    "content is stored at another place": replaced(content.ContentReceiver, "receive", shifted),
    "content is stored twice": replaced(ranges.RangeSet, "add_new", everything_is_new),
    "payloads are mixed up": replaced(seal.Sealer, "content", swapped),
    "a counter is used twice": replaced(seal.Sealer, "_advance", counters_stand_still),
    "control is delivered out of order": replaced(
        control.ControlReceiver, "receive", late_is_ignored
    ),
    "lost content is not sent again": replaced(
        content.ContentSender, "on_lost", lambda _: lambda self, start, end: None
    ),
    "nothing is ever lost": replaced(
        flight.Flight, "overdue", lambda _: lambda self, before, sent_until: []
    ),
    "the window is ignored": replaced(
        outgoing.Outgoing, "_allowed", lambda _: lambda self, now, stride: 5
    ),
    "probes are too long": replaced(mtu, "SIZES", lambda _: (1_372, 20_000)),
    "datagrams beyond what the peer takes": replaced(
        mtu.MtuSearch, "probe", lambda _: lambda self, now, room: 5_000 if now > 0.2 else None
    ),
    "events after the end": replaced(connection.Connection, "events", events_twice),
    "a timer that always rings": replaced(
        connection.Connection, "deadline", lambda _: lambda self: 0.0
    ),
    "acks are never sent": replaced(Acks, "frame", lambda _: lambda self, now: None),
    "the receive buffer is kept": replaced(
        connection.Connection,
        "receive",
        lambda original: lambda self, now, burst: original(self, now, stale(self, burst)),
    ),
}
TOLERATED = {"probes are too long"}
"""No break: what is longer than both sides take is not tried."""


def stale(victim: Connection, burst: Burst) -> Burst:
    """The burst before this one, as if it had been kept."""
    kept: dict[int, Burst] = vars(victim).setdefault("kept", {})
    before = kept.get(0, burst)
    kept[0] = burst
    return before


def test_the_unbroken_transport_passes() -> None:
    run(OPTIONS, kind=Direct)


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_transport_turns_the_run_red(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BREAKS[name](monkeypatch)
    if name in TOLERATED:
        run(OPTIONS, kind=Direct)
        return
    with pytest.raises(SimulationError):
        for seed in range(40):
            run(replace(OPTIONS, seed=seed), kind=Direct)


def test_a_failure_tells_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    BREAKS["content is stored at another place"](monkeypatch)
    with pytest.raises(SimulationError) as failure:
        run(OPTIONS, kind=Direct)
    text = str(failure.value)
    assert "python -m tests.sim.run --seed 4 --direct --verbose" in text
    assert "loss=0.05" in text
    assert explain(OPTIONS, Direct) in text


def test_the_memory_bound_is_watched() -> None:
    direct = Direct(OPTIONS)
    direct.connections[1].content_in._received = ranges.RangeSet(
        (2 * number, 2 * number + 1) for number in range(20_000)
    )
    with pytest.raises(SimulationError, match="received holds 20000"):
        direct.run()


def test_a_sink_takes_no_wrong_byte() -> None:
    source = Content(1, 1_000)
    sink = Sink(source)
    sink.store(10, [memoryview(source[10:20]), memoryview(source[20:25])])
    for offset, data in ((10, source[10:11]), (30, b"\0" * 20), (990, source[0:20])):
        with pytest.raises(SimulationError):
            sink.store(offset, [memoryview(data)])


def test_dg05_more_out_than_in_is_noticed() -> None:
    class Loud(Echo):
        def receive(self, now: float, burst: Burst) -> None:
            super().receive(now, burst)
            super().receive(now, burst)

    world = World(1)
    here, there = Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 2)
    left, right = world.host("left", here), world.host("right", there)
    world.join(left, right, LinkOptions(), LinkOptions())
    left.end, right.end = Echo(), Loud()
    world.watches.append(Amplification(lambda host, endpoint: host is left))
    world.inject(here, there, Random(1).randbytes(100))
    with pytest.raises(SimulationError, match="more to"):
        world.run(lambda: False, 1)


def test_a_peer_that_goes_silent_is_no_success() -> None:
    """What ends with `Lost` and without an outage is a failure."""
    path = LinkOptions(delay=0.01, outages=((0.03, 1e9),))
    direct = Direct(Options(seed=4, size=3_000_000, forth=path, back=path, calm_at=1e9))
    assert direct.world.run(lambda: direct.over, 120)
    assert isinstance(direct.sender.ended, Lost)
    assert not direct.sender.done
    assert not any(isinstance(event, ControlReceived) for event in [direct.sender.ended])
