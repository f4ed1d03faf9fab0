"""BBR by what it does: on virtual paths, and alone where a path would hide it."""

from itertools import pairwise

import pytest

from securecp.transport.bbr import (
    INITIAL_DATAGRAMS,
    SMALLEST_DATAGRAMS,
    STARTUP_GAIN,
    Bbr,
    Phase,
)
from securecp.transport.congestion import Controller, Delivery
from securecp.transport.cubic import Cubic
from securecp.transport.rtt import Rtt
from tests.sim.dumbbell import HEADERS, Dumbbell, Flow, Way

RTT = 0.05
RATE = 12.5e6 / 2
SIZE = 1_200
ENDLESS = 1 << 40


def path(loss: float = 0.0, queue: float = 1.0, rate: float = RATE) -> tuple[Dumbbell, Flow, Bbr]:
    """One transfer under BBR; `queue` in products of rate and round trip."""
    way = Way(rate, RTT / 2, max(queue * rate * RTT, 4_500), loss)
    line = Dumbbell(way, Way(rate, RTT / 2, 1 << 20, loss), seed=7)
    controller = Bbr()
    return line, line.add(ENDLESS, controller), controller


def goodput(line: Dumbbell, flow: Flow, begin: float, end: float) -> float:
    """Bytes of content per second that come between two times."""
    line.run(begin)
    before = flow.stored
    line.run(end)
    return (flow.stored - before) / (end - begin)


class Alone:
    """A controller without a path: one ACK for one burst, when and with what sample we like."""

    def __init__(self) -> None:
        self.bbr = Bbr(SIZE)
        self.now = 0.0

    def ack(
        self,
        rate: float,
        *,
        rtt: float = 0.1,
        size: int = 10 * SIZE,
        in_flight: int = 0,
        app_limited: bool = False,
        round_start: bool = True,
        after: float | None = None,
    ) -> None:
        self.now += rtt if after is None else after
        delivery = Delivery(
            delivered=int(rate * rtt), interval=rtt, app_limited=app_limited, rtt=rtt, lost=0,
            in_flight=in_flight + size, round_start=round_start,
        )  # fmt: skip
        self.bbr.on_ack(self.now, self.now - rtt, size, Rtt(), in_flight, app_limited, delivery)

    def round(self, share: float, rtt: float) -> None:
        """A round trip of 400 datagrams, of which that share is lost, in twenty ACKs."""
        self.bbr.on_loss(self.now, self.now, int(400 * SIZE * share), 0)
        for step in range(20):
            self.ack(
                1e6, rtt=rtt, size=int(20 * SIZE * (1 - share)), in_flight=100_000,
                round_start=step == 19, after=0.024,
            )  # fmt: skip

    def settle(self, rate: float = 1e6) -> None:
        """Through start-up and into the cycle."""
        while self.bbr.phase is not Phase.PROBE_BW:
            self.ack(rate)


def test_it_is_a_controller() -> None:
    controller: Controller = Bbr()
    assert controller.window == INITIAL_DATAGRAMS * SIZE


def test_start_up_finds_the_rate_within_twelve_round_trips() -> None:
    line, _, bbr = path()
    line.run(12 * RTT)
    assert bbr.rate.value == pytest.approx(RATE * 1_472 / (1_472 + HEADERS), rel=0.1)
    assert bbr.phase in {Phase.DRAIN, Phase.PROBE_BW}


def test_a_clean_path_is_full_and_its_queue_is_short() -> None:
    line, flow, _ = path(queue=4.0)
    assert goodput(line, flow, 1.5, 4.0) > 0.93 * RATE
    waits = []
    for _ in range(400):
        line.run(line.now + 0.01)
        waits.append(line.forth.waiting(line.now))
    assert sorted(waits)[380] < RTT / 2


def test_five_per_cent_of_loss_leave_85_per_cent_of_the_rate() -> None:
    line, flow, _ = path(loss=0.05)
    assert goodput(line, flow, 2.0, 6.0) > 0.85 * RATE


def test_cubic_collapses_on_the_same_path() -> None:
    """What the difference is for."""
    line = Dumbbell(Way(RATE, RTT / 2, RATE * RTT, 0.05), Way(RATE, RTT / 2, 1 << 20), seed=7)
    flow = line.add(ENDLESS, Cubic())
    assert goodput(line, flow, 2.0, 6.0) < 0.1 * RATE


@pytest.mark.parametrize("queue", [0.1, 0.25])
def test_a_shallow_queue_is_no_obstacle(queue: float) -> None:
    line, flow, _ = path(queue=queue)
    assert goodput(line, flow, 2.0, 5.0) > 0.85 * RATE
    assert flow.sent / flow.stored < 1.15


@pytest.mark.parametrize(("lost", "yields"), [(0.05, False), (0.12, False), (0.3, True)])
def test_only_heavy_loss_lowers_the_window_where_nothing_queues(lost: float, yields: bool) -> None:
    alone = Alone()
    alone.settle()
    before = alone.bbr.window
    for _ in range(3):
        alone.round(lost, 0.1)
    assert (alone.bbr.window < 0.95 * before) == yields


def test_little_loss_behind_a_standing_queue_lowers_the_window() -> None:
    alone = Alone()
    alone.settle()
    before = alone.bbr.window
    for _ in range(3):
        alone.round(0.03, 0.19)
    assert alone.bbr.window < 0.95 * before
    assert alone.bbr.window >= 0.9e6 * 0.1


def test_a_loss_that_was_none_is_not_counted() -> None:
    alone = Alone()
    alone.settle()
    alone.bbr.on_loss(alone.now, alone.now, 100 * SIZE, 0)
    alone.bbr.on_spurious_loss(0.0, 0.0, 100 * SIZE)
    before = alone.bbr.window
    alone.ack(1e6, size=100 * SIZE)
    assert alone.bbr.window >= 0.95 * before


def test_samples_of_a_sender_with_little_to_send_do_not_lower_the_rate() -> None:
    alone = Alone()
    alone.settle(1e6)
    for _ in range(40):
        alone.ack(1e4, app_limited=True)
    assert alone.bbr.rate.value == 1e6


def test_but_they_raise_it_when_they_are_faster() -> None:
    alone = Alone()
    alone.settle(1e6)
    alone.ack(2e6, app_limited=True)
    assert alone.bbr.rate.value == 2e6


def test_little_to_send_does_not_end_start_up() -> None:
    alone = Alone()
    for _ in range(20):
        alone.ack(1e5, app_limited=True)
    assert alone.bbr.phase is Phase.STARTUP


def test_a_slower_path_is_believed_after_ten_round_trips() -> None:
    alone = Alone()
    alone.settle(1e6)
    for _ in range(12):
        alone.ack(5e5)
    assert alone.bbr.rate.value == 5e5


def test_after_idleness_it_paces_at_the_rate_and_asks_for_no_more() -> None:
    alone = Alone()
    alone.settle()
    for _ in range(20):
        alone.ack(1e6)
    alone.bbr.on_sent(alone.now + 30.0, SIZE, SIZE)
    assert alone.bbr.pacing_rate == pytest.approx(1e6, rel=0.01)
    alone.ack(1e6)
    assert alone.bbr.phase is Phase.PROBE_BW


def test_a_least_rtt_not_seen_for_ten_seconds_is_looked_for() -> None:
    """With half of what the path holds in flight, for a fifth of a second, and then on."""
    alone = Alone()
    alone.settle()
    while alone.bbr.phase is not Phase.PROBE_RTT:
        alone.ack(1e6, rtt=0.15, in_flight=200_000)
        assert alone.now < 15.0
    assert alone.now > 10.0
    assert alone.bbr.window == pytest.approx(1e6 * 0.15 / 2, rel=0.05)
    began = alone.now
    while alone.bbr.phase is Phase.PROBE_RTT:
        alone.ack(1e6, rtt=0.1, in_flight=50_000)
        assert alone.now < began + 1.0


def test_a_short_transfer_never_looks_for_it_and_a_lone_one_hardly_ever() -> None:
    line, _, bbr = path()
    for _ in range(140):
        line.run(line.now + 0.1)
        assert bbr.phase is not Phase.PROBE_RTT


def test_lumps_of_acks_find_the_window_open() -> None:
    """An ACK of 30 ms of the rate, every 30 ms: more than the product has to be in flight."""
    alone = Alone()
    alone.settle()
    plain = alone.bbr.window
    for _ in range(8):
        alone.ack(1e6, rtt=0.1, size=160_000, round_start=True)
    assert alone.bbr.window > plain


def test_persistent_congestion_begins_again_from_four_datagrams() -> None:
    alone = Alone()
    alone.settle()
    before = alone.bbr.window
    alone.bbr.on_persistent_congestion(alone.now)
    assert alone.bbr.window == SMALLEST_DATAGRAMS * SIZE
    alone.ack(1e6, size=4 * SIZE)
    assert alone.bbr.window == 8 * SIZE
    for _ in range(40):
        alone.ack(1e6, size=10 * SIZE)
    assert alone.bbr.window > 0.8 * before


def test_the_window_grows_fourfold_in_a_round_trip_at_most() -> None:
    line, _, bbr = path(rate=125e6, queue=4.0)
    windows = []
    for _ in range(8):
        line.run(line.now + 1.05 * RTT)
        windows.append(bbr.window)
    assert all(late <= 4.5 * early for early, late in pairwise(windows))


def test_start_up_paces_so_that_a_round_trip_carries_twice_the_last() -> None:
    alone = Alone()
    alone.ack(1e7)
    assert alone.bbr.pacing_rate == pytest.approx(STARTUP_GAIN * 1e7)


def test_two_transfers_share_a_link() -> None:
    way = Way(RATE, RTT / 2, RATE * RTT)
    line = Dumbbell(way, Way(RATE, RTT / 2, 1 << 20), seed=1)
    flows = [line.add(ENDLESS, Bbr()), line.add(ENDLESS, Bbr(), starts=1.0)]
    line.run(4.0)
    before = [flow.stored for flow in flows]
    line.run(12.0)
    rates = [flow.stored - stored for flow, stored in zip(flows, before, strict=True)]
    assert sum(rates) ** 2 / (2 * sum(rate**2 for rate in rates)) > 0.95
