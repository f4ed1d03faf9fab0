"""What a move does to what is in flight, and what is known of the path left."""

from random import Random

import pytest

from securecp.endpoint import Burst, Endpoint
from securecp.transport.bbr import Bbr
from securecp.transport.connection import Connection, Heard, Moved, Quiet
from securecp.transport.cubic import Cubic
from securecp.transport.frames import Ping
from securecp.transport.path import LATE_FOR, LONGEST_WAIT
from securecp.transport.paths import KEPT, REMEMBERED
from securecp.transport.ranges import RangeSet
from securecp.transport.wire import BASE_DATAGRAM
from tests.sim.peer import RIGHT, agreed_keys, parameters
from tests.simulation.bench import Bench, sending
from tests.transport.rig import Pair

ELSEWHERE = Endpoint("203.0.113.1", 4_400)
THIRD = Endpoint("203.0.113.2", 4_400, via=2)


def counters(bench: Bench) -> tuple[int, int]:
    """Of the content in flight on the path in use."""
    records = [record for record in bench.victim._recovery.flight if record.length]
    return records[0].first, records[-1].first + records[-1].count


# what is in flight


def test_newer_counters_of_the_new_path_make_nothing_lost_on_the_old() -> None:
    bench = sending()
    _, end = counters(bench)
    bench.victim.move(bench.now, ELSEWHERE)
    bench.now += 0.01
    bench.drain()
    last = bench.victim._sealer.next_counter
    assert last > end + 3
    bench.deliver(bench.forger.ack((end, last)))
    assert bench.closed_with is None
    retired = bench.victim._parts.retired[0].recovery
    assert len(retired.flight) > 0
    filled = bench.victim.content_out.acked
    bench.deliver(bench.forger.ack((0, last)))
    assert len(retired.flight) == 0
    assert bench.victim.content_out.acked > filled
    assert bench.victim.content_out._again.total == 0


def test_what_is_not_acknowledged_soon_goes_out_again_on_the_new_path() -> None:
    bench = sending(30_000)
    bench.victim.move(bench.now, ELSEWHERE)
    bench.wait(bench.now + LONGEST_WAIT - 0.01)
    assert bench.victim.content_out._again.total == 0
    before = bench.victim._sealer.next_counter
    bench.wait(bench.now + 0.05)
    sent = [record for record in bench.victim._recovery.flight if record.first >= before]
    assert sum(record.length for record in sent) == 30_000


def test_an_ack_that_comes_after_that_saves_the_copies_that_have_not_left() -> None:
    bench = sending(30_000)
    first, end = counters(bench)
    bench.victim.hold = True
    bench.victim.move(bench.now, ELSEWHERE)
    bench.wait(bench.now + LONGEST_WAIT + LATE_FOR / 2)
    assert bench.victim.content_out._again.total == 30_000
    bench.deliver(bench.forger.ack((first, end)))
    assert bench.victim.content_out._again.total == 0
    assert not bench.victim.content_out.unfinished
    bench.wait(bench.now + LATE_FOR)
    assert bench.victim._parts.retired == []


def test_control_in_flight_goes_out_again_at_once() -> None:
    """Whatever was written later waits for it at the other end."""
    bench = sending()
    bench.victim.write(b"digest")
    bench.drain()
    bench.victim.move(bench.now, ELSEWHERE)
    frames = bench.drain()
    assert any(getattr(frame, "data", b"") == b"digest" for frame in frames)
    assert Ping() in frames


def test_content_that_is_withdrawn_may_still_be_in_flight_on_the_path_left() -> None:
    bench = sending(30_000)
    bench.victim.move(bench.now, ELSEWHERE)
    assert not bench.victim.withdraw_content(0, 30_000)
    bench.wait(bench.now + LONGEST_WAIT + 0.01)
    assert bench.victim.withdraw_content(0, 30_000) is False  # sent again by now
    first, end = counters(bench)
    bench.deliver(bench.forger.ack((first, end)))
    assert bench.victim.withdraw_content(0, 30_000)


def test_many_moves_keep_two_paths_in_flight_and_lose_nothing() -> None:
    bench = sending(60_000)
    wanted = bench.victim.content_out._wanted.total
    for number in range(12):
        bench.victim.move(bench.now, ELSEWHERE._replace(port=1_000 + number))
        bench.drain()
        bench.now += 0.004
        out = bench.victim.content_out
        parts = bench.victim._parts
        assert len(parts.retired) <= KEPT
        assert len(bench.victim._paths._left) <= KEPT + 1
        flights = [parts.recovery, *(retired.recovery for retired in parts.retired)]
        held = RangeSet()
        for start, end in (*out._again, *out._new):
            held.add(start, end)
        for record in (record for recovery in flights for record in recovery.flight):
            for start, end in record.content_of(record.missing) if record.length else ():
                held.add(start, end)
        assert held.covers(0, wanted)


def test_tr02_a_counter_left_out_on_the_path_left_is_still_a_trap() -> None:
    bench = sending()
    victim = bench.victim
    victim._outgoing.bursts_to_skip = 1
    while not victim._recovery._skipped:
        bench.deliver(bench.forger.ack((0, victim._sealer.next_counter)))
        bench.now += 0.05
        bench.wait(bench.now)
    skipped = victim._recovery._skipped[0]
    victim.move(bench.now, ELSEWHERE)
    bench.wait(bench.now + LONGEST_WAIT + LATE_FOR + 0.1)
    assert victim._parts.retired == []
    bench.deliver(bench.forger.ack((skipped, skipped + 1)))
    assert bench.closed_with == 1


def test_an_answer_to_a_datagram_sent_elsewhere_says_nothing_of_order() -> None:
    """The challenge took a fast path; what is in use is slow, and loses nothing by that."""
    bench = sending()
    datagram = bench.forger.frames(Ping(), Ping())
    for number in range(3):
        source = ELSEWHERE._replace(port=number + 1)
        data = memoryview(bytearray(bench.forger.frames(*[Ping()] * 10) if number else datagram))
        bench.victim.receive(bench.now, Burst(source, data, len(data)))
    before = bench.victim._sealer.next_counter
    strays = 0
    while (burst := bench.victim.transmit(bench.now)) is not None:
        strays += burst.endpoint != RIGHT
    assert strays
    after = bench.victim._sealer.next_counter
    flight = bench.victim._recovery.flight
    highest = flight.largest_acked
    bench.deliver(bench.forger.ack((before, before + strays)))
    assert flight.largest_acked <= max(highest, before - 1)
    assert bench.victim._recovery.lost_bytes == 0
    assert after >= before + strays


# what is known of a path


def test_each_path_has_a_controller_and_estimates_of_its_own() -> None:
    made: list[Cubic] = []

    def make() -> Cubic:
        made.append(Cubic())
        return made[-1]

    keys, _ = agreed_keys(parameters(), parameters())
    connection = Connection(keys, RIGHT, 0.0, Random(1).randbytes, controller=make)
    connection.move(1.0, ELSEWHERE, rtt=0.05)
    assert connection._recovery.controller is made[1]
    assert connection.rtt == 0.05
    connection.move(2.0, RIGHT)
    assert connection._recovery.controller is made[0]
    connection.move(2.0 + REMEMBERED + 1.0, THIRD)
    connection.move(3.0 + REMEMBERED + 1.0, ELSEWHERE)
    assert connection._recovery.controller is made[3]
    assert connection.rtt != 0.05
    assert connection.endpoint == ELSEWHERE


def test_losses_on_a_path_left_do_not_slow_the_new_one_down() -> None:
    bench = sending()
    bench.victim.move(bench.now, ELSEWHERE)
    controller = bench.victim._recovery.controller
    assert isinstance(controller, Bbr)
    window, rate = controller.window, controller.pacing_rate
    bench.wait(bench.now + LONGEST_WAIT + 0.01)
    assert (controller.window, controller.pacing_rate) == (window, rate)
    assert bench.victim._recovery.lost_bytes == 0


def test_f29_after_a_move_no_datagram_is_longer_than_any_path_carries() -> None:
    """Trains and long datagrams are of the old path; what they carried is sealed anew."""
    pair = Pair(largest=65_507)
    pair.forth.carries = 8_972
    pair.ask(60_000_000)
    pair.run(20.0, lambda: pair.left._parts.trains.running)
    assert pair.left._parts.trains.running
    pair.run(pair.now + 0.002)
    assert pair.left.in_flight > 100_000
    pair.forth.carries = BASE_DATAGRAM
    pair.left.move(pair.now, RIGHT._replace(via=1))
    assert not pair.left._parts.trains.running
    longest = 0

    def judge(_way: object, datagram: bytes) -> bool:
        nonlocal longest
        if len(datagram) > BASE_DATAGRAM and datagram[3]:
            raise AssertionError("a fragment of a path that we have left")
        longest = max(longest, len(datagram))
        return True

    pair.forth.judge = judge
    pair.run(pair.now + 20.0, lambda: not pair.left.content_out.unfinished)
    assert pair.content.stored == 60_000_000
    assert longest == BASE_DATAGRAM


# silence


def test_quiet_and_heard_are_told_once_each() -> None:
    pair = Pair()
    pair.run(1.0)
    pair.back.judge = lambda _way, _datagram: False
    pair.left.write(b"anyone?")
    began = pair.now
    pair.run(began + 20.0)
    assert pair.events[pair.left] == [Quiet()]
    assert not pair.left.closed
    pair.back.judge = lambda _way, _datagram: True
    pair.run(pair.now + 2.5)
    assert pair.events[pair.left] == [Quiet(), Heard()]
    assert pair.now - pair.left.heard_at < 2.5


@pytest.mark.parametrize("known", [True, False])
def test_quiet_comes_after_three_ptos_or_a_second(known: bool) -> None:
    keys, _ = agreed_keys(parameters(), parameters())
    connection = Connection(keys, RIGHT, 0.0, Random(1).randbytes)
    connection.move(0.0, ELSEWHERE, rtt=0.05 if known else None)
    now = 0.0
    while not any(isinstance(event, Quiet) for event in connection.events()):
        while connection.transmit(now) is not None:
            pass
        now = connection.deadline() or now
        connection.wake(now)
    assert now == pytest.approx(1.0 if known else 3 * (3 * 0.333 + 0.025), abs=0.05)


def test_nobody_is_quiet_who_was_asked_nothing() -> None:
    pair = Pair()
    pair.run(100.0)
    assert pair.events[pair.left] == pair.events[pair.right] == []


def test_f22_whoever_stood_still_asks_again_before_it_calls_the_path_quiet() -> None:
    bench = sending()
    bench.now += 5.0
    bench.victim.wake(bench.now)
    bench.drain()
    assert Quiet() not in bench.victim.events()
    bench.wait(bench.now + 10.0)
    assert bench.events.count(Quiet()) == 1


def test_f23_a_receiver_whose_content_stops_coming_asks_soon() -> None:
    """Its own address may have changed, and then nobody can reach it."""
    pair = Pair()
    pair.forth.rate = 1e7
    pair.ask(50_000_000)
    pair.run(0.3)
    pair.forth.judge = lambda _way, _datagram: False
    began, before = pair.now, pair.back.count
    pair.run(began + 0.1)
    before = pair.back.count
    pair.run(began + 1.0, lambda: pair.back.count > before)
    assert pair.back.count > before
    assert pair.now - began < 0.7


def test_moving_to_the_path_in_use_changes_nothing() -> None:
    bench = sending()
    flight = bench.victim._recovery.flight
    bench.victim.move(bench.now, RIGHT)
    assert bench.victim._recovery.flight is flight
    assert bench.victim.events() == []
    bench.victim.move(bench.now, ELSEWHERE)
    assert bench.victim.events() == [Moved(ELSEWHERE)]


def test_a_connection_that_has_ended_moves_nowhere() -> None:
    bench = sending()
    bench.victim.close()
    bench.drain()
    bench.victim.move(bench.now, ELSEWHERE)
    assert bench.victim.endpoint == RIGHT
    assert bench.victim.events() == []
