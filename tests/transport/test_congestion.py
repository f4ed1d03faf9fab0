"""CUBIC on its own, HyStart++, and the delivery meter."""

import math

import pytest

from securecp.transport.congestion import Controller, DeliveryMeter
from securecp.transport.cubic import Cubic, HyStart
from securecp.transport.rtt import Rtt

SIZE = 1_200


def estimate(value: float) -> Rtt:
    rtt = Rtt()
    rtt.update(0.0, value, 0.0, 0.0)
    return rtt


def acked(
    cubic: Cubic, now: float, size: int, value: float = 0.1, app_limited: bool = False
) -> None:
    rtt = estimate(value)
    cubic.on_ack(now, now - value, size, rtt, cubic.window - size, app_limited)


def avoidance(window_datagrams: int, now: float) -> Cubic:
    """A controller whose last loss was at about this window."""
    cubic = Cubic(SIZE)
    acked(cubic, now, window_datagrams * SIZE - cubic.window)
    cubic.on_loss(now, now - 0.05, SIZE, cubic.window)
    return cubic


def run(cubic: Cubic, start: float, seconds: float, value: float = 0.1) -> float:
    """Acknowledge a full window per round trip."""
    now = start + value * 1.01
    while now < start + seconds:
        window = cubic.window
        for part in range(10):
            acked(cubic, now + part * value / 10, window // 10, value)
        now += value
    return now


def test_it_is_a_controller() -> None:
    controller: Controller = Cubic()
    assert controller.window == 12_000


def test_the_initial_window_is_ten_datagrams_of_the_path() -> None:
    cubic = Cubic(SIZE)
    cubic.on_datagram_size(8_900)
    assert cubic.window == 89_000


def test_after_a_loss_larger_datagrams_do_not_raise_the_window() -> None:
    cubic = avoidance(100, 1.0)
    before = cubic.window
    cubic.on_datagram_size(1_452)
    assert cubic.window == before


def test_without_an_rtt_the_initial_window_is_not_paced() -> None:
    assert math.isinf(Cubic().pacing_rate)


def test_pacing_is_twice_the_rate_in_slow_start_and_a_quarter_more_afterwards() -> None:
    cubic = Cubic(SIZE)
    acked(cubic, 1.0, SIZE)
    assert cubic.pacing_rate == pytest.approx(2 * cubic.window / 0.1, rel=0.001)
    cubic.on_loss(1.0, 0.99, SIZE, 0)
    assert cubic.pacing_rate == pytest.approx(1.25 * cubic.window / 0.1, rel=0.001)


def test_slow_start_doubles_in_a_round_trip() -> None:
    cubic = Cubic(SIZE)
    for step in range(10):
        acked(cubic, 1.0 + step / 1000, SIZE)
    assert cubic.window == 20 * SIZE


def test_the_application_s_silence_does_not_grow_the_window() -> None:
    cubic = Cubic(SIZE)
    acked(cubic, 1.0, SIZE, app_limited=True)
    assert cubic.window == 10 * SIZE
    cubic = avoidance(100, 1.0)
    before = cubic.window
    for step in range(100):
        acked(cubic, 2.0 + step, SIZE, app_limited=True)
    assert cubic.window == before


def test_silence_does_not_count_as_time_on_the_curve() -> None:
    """Neither while too little is sent nor while nothing is."""
    quiet, idle, busy = (avoidance(200, 1.0) for _ in range(3))
    for cubic in (quiet, idle, busy):
        run(cubic, 1.0, 1.0)
    for step in range(60):
        acked(quiet, 2.5 + step, SIZE, app_limited=True)
    idle.on_sent(62.0, SIZE, SIZE)
    for cubic, now in ((quiet, 62.0), (idle, 62.0), (busy, 2.0)):
        run(cubic, now, 0.5)
    assert quiet.window == pytest.approx(busy.window, rel=0.05)
    assert idle.window == pytest.approx(busy.window, rel=0.05)


def test_a_loss_costs_three_tenths_once_per_round_trip() -> None:
    cubic = Cubic(SIZE)
    acked(cubic, 1.0, 90 * SIZE)
    cubic.on_loss(1.1, 1.05, SIZE, 0)
    assert cubic.window == 70 * SIZE
    cubic.on_loss(1.15, 1.06, 10 * SIZE, 0)
    assert cubic.window == 70 * SIZE
    cubic.on_loss(1.25, 1.2, SIZE, 0)
    assert cubic.window == pytest.approx(49 * SIZE, abs=1)


def test_acks_of_what_left_before_the_reduction_do_not_grow_the_window() -> None:
    cubic = avoidance(100, 1.0)
    acked(cubic, 1.05, 50 * SIZE)
    assert cubic.window == 70 * SIZE


def test_the_window_never_falls_below_two_datagrams() -> None:
    cubic = Cubic(SIZE)
    for step in range(50):
        cubic.on_loss(1.0 + step, 0.5 + step, SIZE, 0)
    assert cubic.window == 2 * SIZE


def test_the_curve_returns_to_the_last_maximum_after_k_seconds() -> None:
    """RFC 9438 §4.2: K = cbrt(W_max (1 - beta) / C), here cbrt(1000 x 0.3 / 0.4) = 9.1 s."""
    cubic = avoidance(1_000, 0.0)
    run(cubic, 0.0, 9.1)
    assert cubic.window / SIZE == pytest.approx(1_000, rel=0.03)
    middle = avoidance(1_000, 0.0)
    run(middle, 0.0, 4.5)
    assert middle.window / SIZE == pytest.approx(1_000 - 0.4 * 4.6**3, rel=0.02)
    run(cubic, 9.1, 9.1)
    assert cubic.window / SIZE > 1_250


def test_fast_convergence_gives_way_to_newcomers() -> None:
    """A second loss below the last maximum lowers the plateau further."""
    cubic = avoidance(1_000, 0.0)
    cubic.on_loss(1.0, 0.9, SIZE, 0)
    assert cubic.window == 490 * SIZE
    run(cubic, 1.0, 60.0 ** (1 / 3) * 2.2)
    plateau = 700 * (1 + 0.7) / 2
    assert cubic.window / SIZE == pytest.approx(plateau, rel=0.05)


def test_on_short_paths_it_grows_as_reno_would() -> None:
    """By alpha = 0.53 datagrams a round trip up to the former window, then by one (§4.3)."""
    cubic = avoidance(20, 0.0)
    now = 0.0
    for _ in range(100):
        now += 0.0051
        acked(cubic, now, cubic.window, value=0.005)
    assert cubic.window / SIZE == pytest.approx(20 + 100 - 6 / 0.529, rel=0.02)


def test_the_window_grows_by_half_at_most_in_a_round_trip() -> None:
    cubic = avoidance(100, 1.0)
    acked(cubic, 1.2, SIZE)
    before = cubic.window
    acked(cubic, 500.0, before)
    assert cubic.window == pytest.approx(1.5 * before, rel=0.001)


def test_slow_start_that_ends_by_itself_is_over() -> None:
    """The RTT grows round by round: the growth becomes a quarter, then that of the curve."""
    cubic, growths = Cubic(SIZE), []
    now = 1.0
    for number in range(14):
        value = 0.05 + 0.012 * max(0, number - 2)
        before = cubic.window
        rtt = estimate(value)
        for step in range(10):
            sent_at = now + step * value / 20
            cubic.on_ack(sent_at + value, sent_at, before // 10, rtt, before, False)
        now += value
        growths.append(cubic.window / before)
    assert growths[:3] == pytest.approx([2.0] * 3, rel=0.01)
    assert growths[4:8] == pytest.approx([1.25] * 4, rel=0.01)
    assert not cubic.slow_start
    assert max(growths[10:]) < 1.1


def test_a_spurious_loss_is_undone() -> None:
    cubic = Cubic(SIZE)
    acked(cubic, 1.0, 90 * SIZE)
    cubic.on_loss(1.1, 1.05, SIZE, 0)
    cubic.on_spurious_loss(1.12, 1.05, SIZE)
    assert cubic.window == 100 * SIZE
    assert cubic.slow_start
    cubic.on_loss(1.2, 1.15, SIZE, 0)
    assert cubic.window == 70 * SIZE


def test_an_older_spurious_loss_does_not_undo_a_newer_reduction() -> None:
    cubic = Cubic(SIZE)
    acked(cubic, 1.0, 90 * SIZE)
    cubic.on_loss(1.1, 1.05, SIZE, 0)
    cubic.on_loss(1.3, 1.2, SIZE, 0)
    cubic.on_spurious_loss(1.35, 1.05, SIZE)
    assert cubic.window == pytest.approx(49 * SIZE, abs=1)


def test_a_loss_found_spurious_twice_is_undone_once() -> None:
    cubic = Cubic(SIZE)
    acked(cubic, 1.0, 90 * SIZE)
    cubic.on_loss(1.1, 1.05, SIZE, 0)
    cubic.on_spurious_loss(1.12, 1.05, SIZE)
    cubic.on_loss(1.13, 1.06, SIZE, 0)
    assert cubic.window == 70 * SIZE
    cubic.on_spurious_loss(1.14, 1.2, SIZE)
    assert cubic.window == 70 * SIZE


def test_persistent_congestion_begins_again_from_two_datagrams() -> None:
    cubic = avoidance(100, 1.0)
    cubic.on_persistent_congestion(5.0)
    assert cubic.window == 2 * SIZE
    assert cubic.slow_start
    cubic.on_loss(5.1, 4.9, SIZE, 0)
    acked(cubic, 5.05, SIZE, value=0.1)
    assert cubic.window == 2 * SIZE
    cubic.on_spurious_loss(5.1, 0.95, SIZE)
    assert cubic.window == 2 * SIZE
    run(cubic, 5.0, 0.75)
    assert 70 * SIZE <= cubic.window < 90 * SIZE
    assert not cubic.slow_start


def test_persistent_congestion_in_slow_start_leaves_no_limit_behind() -> None:
    cubic = avoidance(3, 1.0)
    cubic.on_persistent_congestion(5.0)
    for step in range(4):
        acked(cubic, 6.0 + step, cubic.window)
    assert cubic.window >= 4 * SIZE


def test_the_smallest_window_is_counted_in_datagrams_of_the_path() -> None:
    cubic = avoidance(100, 1.0)
    cubic.on_datagram_size(9_000)
    for step in range(50):
        cubic.on_loss(2.0 + step, 1.5 + step, SIZE, 0)
    assert cubic.window == 18_000


def rounds(hystart: HyStart, rtts: list[float]) -> list[int]:
    """Ten acks in each round trip; the growth divisor after each round, until slow start ends."""
    begin, divisors = 0.0, list[int]()
    for rtt in rtts:
        for step in range(10):
            sent_at = begin + step * rtt / 20
            if hystart.on_ack(sent_at + rtt, sent_at, rtt):
                return divisors
        begin += rtt
        divisors.append(hystart.divisor)
    return divisors


def test_hystart_leaves_slow_start_when_the_rtt_grows() -> None:
    """The bottleneck's queue shows before it overflows (RFC 9406): one round, then five slow."""
    rtts = [0.05] * 4 + [0.05 + 0.01 * step for step in range(1, 20)]
    assert rounds(HyStart(), rtts) == [1] * 4 + [4] * 5


def test_hystart_resumes_slow_start_when_the_rtt_was_only_jitter() -> None:
    assert rounds(HyStart(), [0.05, 0.05, 0.08, 0.08, 0.05, 0.05]) == [1, 1, 4, 4, 1, 1]


def test_hystart_ignores_less_than_four_milliseconds() -> None:
    assert rounds(HyStart(), [0.001, 0.0045, 0.001, 0.0045]) == [1] * 4


def test_the_meter_measures_the_rate_of_the_path_not_of_the_sender() -> None:
    """A window leaves at once and is acknowledged at 1 MB/s."""
    meter, in_flight = DeliveryMeter(), 0
    stamps = []
    for _ in range(10):
        in_flight += 1_000
        stamps.append(meter.on_sent(1.0, 1_000, in_flight))
    for step, stamp in enumerate(stamps):
        sample = meter.on_ack(1.1 + step / 1000, 1_000, stamp)
        if step == 0:
            assert sample.round_start
    later = meter.on_sent(1.109, 1_000, 2_000)
    meter.on_sent(1.109, 1_000, 3_000)
    sample = meter.on_ack(1.209, 1_000, later)
    assert sample.delivered == 1_000
    assert sample.round_start
    assert meter.on_ack(1.11, 0, stamps[9]).rate == pytest.approx(11_000 / 0.11, rel=0.2)
    assert sample.rtt == pytest.approx(0.1)


def test_the_meter_tells_each_round_trip_once() -> None:
    meter, starts = DeliveryMeter(), []
    stamps = [meter.on_sent(1.0 + step / 1000, 1_000, 1_000 * (step + 1)) for step in range(5)]
    for number in range(3):
        following = []
        for step, stamp in enumerate(stamps):
            now = 1.1 + number / 10 + step / 1000
            starts.append(meter.on_ack(now, 1_000, stamp).round_start)
            following.append(meter.on_sent(now, 1_000, 5_000))
        stamps = following
    assert starts == [True, False, False, False, False] * 3


def test_acks_that_come_all_at_once_do_not_raise_the_rate() -> None:
    """The interval is the longer of sending and acknowledging: here 1 MB/s of sending counts."""
    meter = DeliveryMeter()
    stamps = [meter.on_sent(1.0 + step / 1000, 1_000, 1_000 * (step + 1)) for step in range(10)]
    samples = [meter.on_ack(1.0091, 1_000, stamp) for stamp in stamps]
    assert samples[9].interval == pytest.approx(0.0091, rel=0.01)
    assert max(sample.rate for sample in samples) < 1.2e6
    later = [meter.on_sent(1.01 + step / 1000, 1_000, 2_000 + 1_000 * step) for step in range(10)]
    sample = [meter.on_ack(1.0195, 1_000, stamp) for stamp in later][-1]
    assert sample.delivered == 10_000
    assert sample.interval == pytest.approx(0.0104, rel=0.1)


def test_the_meter_marks_what_left_while_there_was_too_little_to_send() -> None:
    meter = DeliveryMeter()
    first = meter.on_sent(1.0, 1_000, 1_000)
    meter.on_app_limited(1_000)
    second = meter.on_sent(1.01, 1_000, 2_000)
    assert not meter.on_ack(1.1, 1_000, first).app_limited
    third = meter.on_sent(1.1, 1_000, 2_000)
    assert meter.on_ack(1.11, 1_000, second).app_limited
    assert not meter.on_ack(1.2, 1_000, third).app_limited


def test_the_meter_counts_losses_since_the_burst_left() -> None:
    meter = DeliveryMeter()
    meter.on_loss(500)
    stamp = meter.on_sent(1.0, 1_000, 1_000)
    meter.on_loss(300)
    assert meter.on_ack(1.1, 1_000, stamp).lost == 300


def test_a_sample_without_time_has_no_rate() -> None:
    meter = DeliveryMeter()
    stamp = meter.on_sent(1.0, 1_000, 1_000)
    assert meter.on_ack(1.0, 1_000, stamp).rate == 0.0
