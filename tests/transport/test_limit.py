"""A limit on the rate: what leaves, how evenly, and what the wrapped controller learns of it."""

import math

import pytest

from securecp.transport.congestion import Controller
from securecp.transport.cubic import Cubic
from securecp.transport.limit import (
    FEWEST,
    HEADROOM,
    SLACK,
    Credit,
    Limited,
    first_credit,
    largest_datagram,
)
from securecp.transport.rtt import Rtt
from tests.sim.dumbbell import HEADERS, Dumbbell, Flow, Way
from tests.transport.rig import Pair

FAST = Way(rate=12.5e6, delay=0.02, queue=500_000)
ENDLESS = 1 << 40
DATAGRAM = 1_200


def estimate(value: float) -> Rtt:
    rtt = Rtt()
    rtt.update(0.0, value, 0.0, 0.0)
    return rtt


def sent(flow: Flow) -> int:
    """What the sender has put into its socket: UDP payloads."""
    return flow.sender.bytes_sent


def limited(rate: float, way: Way = FAST, back: Way = FAST) -> tuple[Dumbbell, Flow]:
    path = Dumbbell(way, back)
    return path, path.add(ENDLESS, Limited(Cubic(), rate))


def test_it_is_a_controller_and_lets_the_first_datagrams_out_at_the_limit() -> None:
    controller: Controller = Limited(Cubic(), 50_000.0)
    assert controller.pacing_rate == 50_000.0
    assert math.isinf(Cubic().pacing_rate)


@pytest.mark.parametrize("rate", [20_000, 100_000, 1_000_000, 5_000_000])
@pytest.mark.parametrize("delay", [0.0005, 0.02, 0.15])
def test_ten_seconds_hold_what_the_limit_says_within_five_per_cent(rate: int, delay: float) -> None:
    """Everything counts that leaves our socket: content, copies of it, and frames."""
    way = Way(rate=12.5e6, delay=delay, queue=500_000)
    path, flow = limited(rate, way, way)
    begin = 2.0 + 30 * delay  # slow start on a long path
    path.run(begin)
    before, seconds = sent(flow), 10.0 if rate < 1e6 else 3.0
    path.run(begin + seconds)
    assert sent(flow) - before == pytest.approx(rate * seconds, rel=0.05)


def test_the_limit_holds_from_the_first_second_on() -> None:
    path, flow = limited(100_000)
    for second in range(1, 8):
        path.run(float(second))
        assert sent(flow) <= 1.05 * 100_000 * second + 2 * DATAGRAM


def test_copies_of_what_was_lost_count_as_well() -> None:
    lossy = Way(rate=12.5e6, delay=0.01, queue=500_000, loss=0.02)
    path, flow = limited(200_000, lossy)
    path.run(10.0)
    assert sent(flow) <= 1.05 * 200_000 * 10
    assert flow.stored > 0.85 * 200_000 * 10


def test_the_pace_is_even() -> None:
    """In no tenth of a second does more leave than in any other, and no queue builds."""
    path, flow = limited(500_000)
    path.run(2.0)
    last, seen = sent(flow), list[int]()
    for step in range(30):
        path.run(2.0 + (step + 1) / 10)
        seen.append(sent(flow) - last)
        last = sent(flow)
    assert max(seen) <= 50_000 + 3 * 1_472
    assert min(seen) >= 50_000 - 3 * 1_472
    assert path.forth.longest_wait < 0.005


def test_a_path_slower_than_the_limit_is_left_to_the_controller() -> None:
    slow = Way(rate=250_000.0, delay=0.02, queue=30_000)
    path, flow = limited(10e6, slow)
    path.run(10.0)
    assert path.forth.overflowed > 0
    assert flow.stored > 0.7 * 250_000 * 10


@pytest.mark.parametrize("rate", [1_000, 3_000])
def test_a_tiny_limit_stalls_nothing(rate: int) -> None:
    """For five minutes something arrives every few seconds, and nobody takes the other for gone."""
    path, flow = limited(rate)
    flow.sender.write(bytes(3_000))
    least = 0
    for step in range(1, 31):
        path.run(10.0 * step)
        assert flow.stored > least or step == 1
        least = flow.stored
    assert not flow.sender.closed
    assert not flow.receiver.closed
    assert flow.stored >= 0.85 * rate * 290


def test_control_goes_out_beside_limited_content() -> None:
    path, flow = limited(20_000)
    path.run(5.0)
    flow.sender.write(b"a word")
    path.run(6.0)
    assert flow.sender.control_idle


def test_an_end_without_content_is_said_at_once() -> None:
    path, flow = limited(1_000)
    path.run(5.0)
    flow.sender.close(0)
    path.run(5.5)
    assert flow.sender.closed
    assert flow.receiver.closed


def test_the_window_is_what_the_rate_needs() -> None:
    controller = Limited(Cubic(), 1e6)
    rtt = estimate(0.05)
    for step in range(2_000):
        controller.on_ack(step / 100, step / 100 - 0.05, 12_000, rtt, 0, app_limited=False)
    assert controller.window == int(1e6 * (0.05 + SLACK))
    small = Limited(Cubic(), 1_000.0)
    assert small.window == FEWEST * DATAGRAM


def test_the_wrapped_window_does_not_grow_by_what_is_never_used() -> None:
    """Else the controller would, once the limit no longer binds, send a flood (RFC 7661)."""
    inner = Cubic()
    controller = Limited(inner, 100_000.0)
    rtt = estimate(0.1)
    for step in range(20_000):
        controller.on_ack(step / 100, step / 100 - 0.1, 1_000, rtt, 5_000, app_limited=False)
    assert inner.window <= HEADROOM * 100_000 * (0.1 + SLACK) + 1_000


def test_everything_else_reaches_the_wrapped_controller() -> None:
    inner = Cubic()
    controller = Limited(inner, 1e9)
    controller.on_datagram_size(8_972)
    assert inner.window == 89_720
    controller.on_ack(1.0, 0.9, 8_972, estimate(0.1), 0, app_limited=False)
    before = inner.window
    controller.on_loss(1.1, 1.05, 8_972, 0)
    assert inner.window < before
    controller.on_spurious_loss(1.2, 1.05, 8_972)
    assert inner.window == before
    controller.on_persistent_congestion(2.0)
    assert inner.window == 2 * 8_972
    controller.on_sent(3.0, 8_972, 8_972)


def test_a_limit_of_nothing_is_a_bug() -> None:
    with pytest.raises(ValueError, match="above zero"):
        Limited(Cubic(), 0)


def test_headers_of_ip_and_udp_come_on_top() -> None:
    """As SPEC says: the limit counts what we hand to the socket."""
    path, flow = limited(100_000)
    path.run(5.0)
    datagrams = (flow.sent - sent(flow)) / HEADERS
    assert datagrams == pytest.approx(sent(flow) / 1_472, rel=0.1)


class Granting:
    """A pair whose receiver grants credit at a rate, as a session does."""

    def __init__(self, rate: int, delay: float) -> None:
        self.pair = Pair(largest=1_472, content_window=first_credit(rate))
        for way in (self.pair.forth, self.pair.back):
            way.delay, way.rate = delay, 12.5e6
        self.pair.ask(1 << 40)
        self.credit = Credit(rate, 0.0, 0)

    def run(self, until: float) -> int:
        """Go on until then; the bytes that the sender has sent by then."""
        pair = self.pair
        while pair.now < until:
            right = pair.right
            received, content = right.bytes_received, right.content_in.came
            right.grant_content(self.credit.total(pair.now, received, content, right.rtt))
            pair.run(min(until, pair.now + self.credit.step))
        return pair.left.bytes_sent


@pytest.mark.parametrize("rate", [5_000, 100_000, 2_000_000])
@pytest.mark.parametrize("delay", [0.001, 0.1])
def test_the_receiver_s_limit_holds_for_a_sender_that_has_none(rate: int, delay: float) -> None:
    """Ten seconds from the first byte on, and any other ten seconds, within five per cent."""
    granting = Granting(rate, delay)
    seconds = 10.0 if rate < 1e6 else 4.0
    first = granting.run(seconds)
    assert first <= 1.05 * rate * seconds
    assert granting.run(2 * seconds) - first == pytest.approx(rate * seconds, rel=0.05)


def test_credit_that_was_not_used_is_gone() -> None:
    credit = Credit(100_000.0, 0.0, 0)
    quiet = credit.total(60.0, received=0, content=0, rtt=0.1)
    assert quiet == first_credit(100_000.0) + 10_000
    assert credit.total(61.0, received=quiet, content=quiet, rtt=0.1) - quiet <= 100_000


def test_credit_never_shrinks_and_the_first_of_it_is_an_advance() -> None:
    credit = Credit(100_000.0, 5.0, 0)
    totals = [credit.total(5.0 + step / 10, 1 << 30, 1 << 30, rtt=0.0) for step in range(50)]
    assert totals == sorted(totals)
    assert totals[0] == totals[2] == first_credit(100_000.0) == 25_000
    assert totals[-1] == pytest.approx(490_000, rel=0.001)


def test_what_comes_beside_content_is_taken_off() -> None:
    plain, heavy = (Credit(100_000.0, 0.0, 7_000) for _ in range(2))
    assert plain.total(9.0, 907_000, 907_000, 0.1) == 907_000
    assert heavy.total(9.0, 907_000, 850_000, 0.1) == 850_000


def test_a_step_of_credit_is_worth_a_datagram() -> None:
    for rate in (1_000.0, 10_000.0, 1e6):
        assert Credit(rate, 0.0, 0).step * rate >= DATAGRAM


def test_long_datagrams_are_for_limits_that_can_afford_them() -> None:
    assert [largest_datagram(rate) for rate in (1e3, 1e5, 1e9)] == [1_472, 5_000, 65_507]
