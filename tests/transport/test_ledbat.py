"""LEDBAT++: what it does with a queue, alone and beside CUBIC."""

import math

import pytest

from securecp.transport.congestion import Controller
from securecp.transport.cubic import Cubic
from securecp.transport.ledbat import (
    HISTORY,
    HISTORY_PERIOD,
    SMALLEST_TARGET,
    TARGET,
    Ledbat,
    Phase,
    QueueDelay,
)
from securecp.transport.rtt import Rtt
from tests.sim.dumbbell import Dumbbell, Way

SIZE = 1_200
ENDLESS = 1 << 40
RATE = 0.5e6
"""4 Mbit/s."""
USABLE = 0.951
"""Of the rate, for content: the rest is heads, at 1,472 bytes a datagram with IP and UDP."""


class Driven:
    """A controller that is told of one ACK after another."""

    def __init__(self, base: float = 0.04) -> None:
        self.controller = Ledbat(SIZE)
        self.now = 0.0
        self.rtt = Rtt()
        self.base = base

    def acked(self, queue: float, size: int = SIZE, *, app_limited: bool = False) -> None:
        """`size` bytes come back after the base delay and `queue` seconds."""
        self.now += 0.001
        self.rtt.update(self.now, self.base + queue, 0.0, 0.0)
        sent_at = self.now - self.base - queue
        self.controller.on_ack(self.now, sent_at, size, self.rtt, 0, app_limited)

    def steady(self, window: int = 100) -> Ledbat:
        """Beyond slow start, at about `window` datagrams, with the next slowdown far away."""
        controller = self.controller
        self.acked(0.0)
        controller.phase = Phase.STEADY
        controller._window = float(window * SIZE)
        return controller

    def trip(self, queue: float) -> int:
        """A whole window acknowledged; the change in bytes."""
        before = self.controller.window
        for _ in range(20):
            self.acked(queue, before // 20)
        return self.controller.window - before


def test_it_is_a_controller_and_begins_with_two_datagrams() -> None:
    controller: Controller = Ledbat(SIZE)
    assert controller.window == 2 * SIZE
    assert math.isinf(controller.pacing_rate)


@pytest.mark.parametrize(("base", "gain"), [(0.2, 1.0), (0.04, 1 / 3), (0.001, 1 / 16)])
def test_it_grows_more_slowly_than_tcp_on_short_paths(base: float, gain: float) -> None:
    driven = Driven(base)
    driven.acked(0.0)
    assert driven.controller.window == pytest.approx(2 * SIZE + gain * SIZE, abs=1)
    driven.steady()
    assert driven.trip(0.0) == pytest.approx(gain * SIZE, rel=0.02, abs=2)


def test_slow_start_ends_at_three_quarters_of_the_target() -> None:
    driven = Driven()
    for _ in range(20):
        driven.acked(0.7 * TARGET)
        assert driven.controller.phase is Phase.START
        driven.acked(0.0)
    for _ in range(4):
        driven.acked(0.8 * TARGET)
    assert driven.controller.phase is Phase.STEADY


def test_above_the_target_it_gives_way_in_proportion() -> None:
    """A queue a quarter too long costs a quarter of the window, and none more than half of it."""
    driven = Driven()
    driven.steady()
    for _ in range(4):
        driven.acked(1.25 * TARGET, 1)
    assert driven.trip(1.25 * TARGET) == pytest.approx(-25 * SIZE, rel=0.05)
    driven.steady()
    for _ in range(4):
        driven.acked(10 * TARGET, 1)
    assert driven.trip(10 * TARGET) == pytest.approx(-50 * SIZE, rel=0.05)


def test_one_late_ack_is_no_queue() -> None:
    driven = Driven()
    driven.steady()
    before = driven.controller.window
    for _ in range(30):
        driven.acked(0.0)
        driven.acked(0.0)
        driven.acked(3 * TARGET)
    assert driven.controller.window > before


def test_the_window_never_falls_below_two_datagrams() -> None:
    driven = Driven()
    driven.steady()
    for _ in range(3_000):
        driven.acked(5 * TARGET)
    for step in range(10):
        driven.controller.on_loss(driven.now + step, driven.now + step - 0.01, SIZE, 0)
    assert driven.controller.window == 2 * SIZE


def test_silence_of_the_application_grows_nothing() -> None:
    driven = Driven()
    for _ in range(100):
        driven.acked(0.0, app_limited=True)
    assert driven.controller.window == 2 * SIZE
    before = driven.steady().window
    for _ in range(100):
        driven.acked(0.0, app_limited=True)
    assert driven.controller.window == before


def test_a_loss_halves_once_a_round_trip_and_is_undone_if_it_was_none() -> None:
    driven = Driven()
    controller = driven.steady()
    now = driven.now
    controller.on_loss(now, now - 0.01, SIZE, 0)
    controller.on_loss(now + 0.001, now - 0.005, SIZE, 0)
    assert controller.window == 50 * SIZE
    controller.on_spurious_loss(now + 0.002, now - 0.01, SIZE)
    assert controller.window == 100 * SIZE


def test_persistent_congestion_begins_again_from_two_datagrams() -> None:
    driven = Driven()
    controller = driven.steady()
    controller.on_persistent_congestion(driven.now)
    assert controller.window == 2 * SIZE
    for _ in range(300):
        driven.acked(0.0)
    assert 50 * SIZE <= controller.window < 60 * SIZE
    assert controller.phase is Phase.STEADY


def test_a_short_queue_lowers_the_target() -> None:
    """One that overflows at 30 ms never shows 60: we would push TCP out by losses."""
    driven = Driven()
    controller = driven.steady()
    assert controller.target == TARGET
    for _ in range(4):
        driven.acked(0.03, 1)
    controller.on_loss(driven.now, driven.now - 0.01, SIZE, 0)
    assert controller.target == pytest.approx(0.015)


def test_a_loss_without_a_queue_says_nothing_of_it() -> None:
    driven = Driven()
    controller = driven.steady()
    driven.acked(SMALLEST_TARGET)
    controller.on_loss(driven.now, driven.now - 0.01, SIZE, 0)
    assert controller.target == TARGET


def test_larger_datagrams_raise_only_the_least_window() -> None:
    controller = Ledbat(SIZE)
    controller.on_datagram_size(8_972)
    assert controller.window == 2 * 8_972


def test_the_least_round_trip_counts_for_ten_minutes() -> None:
    queue = QueueDelay()
    queue.on_sample(0.0, 0.04)
    for minute in range(1, HISTORY):
        queue.on_sample(minute * HISTORY_PERIOD, 0.1)
    assert queue.base == 0.04
    for _ in range(3):
        queue.on_sample(HISTORY * HISTORY_PERIOD, 0.1)
    assert queue.base == 0.1
    assert queue.peak == queue.current == pytest.approx(0.0)


def share(way: Way, *, cubic_first: bool) -> float:
    """Our share of what both bring through in 15 s, 4 s after the second has begun."""
    path = Dumbbell(way, Way(RATE, way.delay, 1e6))
    ours = path.add(ENDLESS, Ledbat(), starts=4.0 if cubic_first else 0.0)
    theirs = path.add(ENDLESS, Cubic(), starts=0.0 if cubic_first else 4.0)
    path.run(8.0)
    before = ours.stored, theirs.stored
    path.run(23.0)
    got, left = ours.stored - before[0], theirs.stored - before[1]
    assert got + left > 0.9 * USABLE * RATE * 15
    return got / (got + left)


@pytest.mark.parametrize(
    ("queue", "cubic_first", "most"),
    [(0.5, True, 0.2), (1.0, False, 0.1), (4.0, True, 0.1), (4.0, False, 0.1)],
)
def test_it_yields_to_cubic(queue: float, cubic_first: bool, most: float) -> None:
    """On 4 Mbit/s and 40 ms, whoever comes first; a queue of seven datagrams is hard to see."""
    assert share(Way(RATE, 0.02, queue * 0.04 * RATE), cubic_first=cubic_first) < most


@pytest.mark.parametrize(("delay", "queue"), [(0.02, 0.16), (0.001, 0.08), (0.02, 0.04)])
def test_alone_it_fills_the_path(delay: float, queue: float) -> None:
    path = Dumbbell(Way(RATE, delay, queue * RATE), Way(RATE, delay, 1e6))
    flow = path.add(ENDLESS, Ledbat())
    path.run(10.0)
    before = flow.stored
    path.run(40.0)
    assert flow.stored - before > 0.85 * USABLE * RATE * 30


def test_alone_it_keeps_the_queue_at_the_target() -> None:
    """And every few seconds it lets it run empty, to see how long the path is."""
    path = Dumbbell(Way(RATE, 0.02, 1.0 * RATE), Way(RATE, 0.02, 1e6))
    flow, empty = path.add(ENDLESS, Ledbat()), 0
    for step in range(300):
        path.run(5.0 + step / 20)
        waiting = path.forth.waiting(path.now)
        assert waiting < 1.5 * TARGET
        empty += waiting < 0.002
    assert empty > 5
    assert flow.stored > 0.8 * USABLE * RATE * 15


def test_it_has_the_path_back_soon_after_tcp_has_gone() -> None:
    path = Dumbbell(Way(RATE, 0.02, 0.1 * RATE), Way(RATE, 0.02, 1e6))
    ours = path.add(ENDLESS, Ledbat())
    path.add(2_000_000, Cubic(), starts=3.0)
    path.run(12.0)
    before = ours.stored
    path.run(22.0)
    assert ours.stored - before > 0.7 * USABLE * RATE * 10
