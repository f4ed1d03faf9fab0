"""A transfer goes on while its path changes: nothing is lost, nothing stands still."""

from dataclasses import replace

import pytest

from securecp.endpoint import Endpoint
from securecp.transport.connection import Heard, Moved, Quiet
from tests.sim.options import HostOptions, LinkOptions
from tests.simulation.twopaths import (
    FIRST,
    LEFT_0,
    LEFT_1,
    RIGHT_0,
    RIGHT_1,
    TwoPaths,
    by,
)

SEEDS = range(3)
NO_STALL = 0.3


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("left_sends", [True, False], ids=["initiator sends", "responder sends"])
@pytest.mark.parametrize("trusted", [True, False])
def test_from_a_slow_relay_to_a_direct_path_without_a_stall(
    seed: int, left_sends: bool, trusted: bool
) -> None:
    paths = TwoPaths(seed=seed, size=5_000_000, left_sends=left_sends)
    if trusted:
        paths.at(0.9, paths.trust)
    paths.at(1.0 + seed / 50, lambda: paths.move(paths.ends[0], by(RIGHT_1, 1)))
    took = paths.run()
    assert took < 3.0  # 5 s over the relay
    assert paths.receiver.gap(0.5) < NO_STALL
    assert [end.endpoint for end in paths.ends] == [by(RIGHT_1, 1), by(LEFT_1, 1)]
    assert paths.initiator.moves == [by(RIGHT_1, 1)]
    assert paths.responder.moves == [by(LEFT_1, 1)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_switch_costs_no_second_copy_of_what_the_relay_delivers(seed: int) -> None:
    """What is in flight on the path left is acknowledged, though newer counters were before."""
    slow = LinkOptions(delay=0.06, rate=2e6, queue=2_000_000)
    paths = TwoPaths(seed=seed, size=5_000_000, first=slow)
    paths.at(0.9, paths.trust)
    paths.at(1.0, lambda: paths.move(paths.ends[0], by(RIGHT_1, 1)))
    paths.run()
    assert paths.world.struck["queue"] == 0
    assert paths.content.filled < 1.01 * paths.content.size


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("left_sends", [True, False], ids=["initiator sends", "responder sends"])
def test_from_a_direct_path_that_dies_back_to_the_relay(seed: int, left_sends: bool) -> None:
    """The session layer hears `Quiet` on the side that waits for an answer, and moves."""
    paths = TwoPaths(seed=seed, size=12_000_000, left_sends=left_sends)
    paths.at(0.4, paths.trust)
    paths.at(0.5, lambda: paths.move(paths.ends[0], by(RIGHT_1, 1)))
    paths.cut(1.0, 1)
    follow_quiet(paths, 0, RIGHT_0)
    follow_quiet(paths, 1, LEFT_0)
    paths.run()
    quiet = min(paths.initiator.times(Quiet) + paths.responder.times(Quiet))
    assert quiet < 1.0 + 1.6
    back = [time for time in paths.receiver.stored_at if time > quiet]
    assert back[0] - quiet < NO_STALL + 2 * FIRST.delay
    assert paths.receiver.gap(back[0]) < NO_STALL


def follow_quiet(paths: TwoPaths, number: int, relay: Endpoint) -> None:
    """What the session layer does: when an end is quiet, use the relay."""
    peer = (paths.initiator, paths.responder)[number]
    end = paths.ends[number]
    poll = peer.poll

    def watched() -> None:
        before = len(peer.told)
        poll()
        if any(isinstance(event, Quiet) for _, event in peer.told[before:]):
            paths.move(end, relay)

    peer.poll = watched  # type: ignore[method-assign]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("forth", [True, False], ids=["forth", "back"])
def test_f34_a_one_way_black_hole_is_found_and_left(seed: int, forth: bool) -> None:
    """Only one direction dies; both sides meet on the relay."""
    paths = TwoPaths(seed=seed, size=12_000_000)
    paths.at(0.4, paths.trust)
    paths.at(0.5, lambda: paths.move(paths.ends[0], by(RIGHT_1, 1)))
    paths.cut(1.0, 1, forth=forth, back=not forth)
    follow_quiet(paths, 0, RIGHT_0)
    follow_quiet(paths, 1, LEFT_0)
    paths.run_until(11.0)
    quiet = min(paths.initiator.times(Quiet) + paths.responder.times(Quiet))
    assert quiet < 11.0
    assert [end.endpoint for end in paths.ends] == [RIGHT_0, LEFT_0]
    paths.run()
    assert paths.receiver.gap(quiet) < NO_STALL + 2 * FIRST.delay


@pytest.mark.parametrize("seed", SEEDS)
def test_f29_a_path_that_was_left_as_it_became_narrow_carries_when_we_come_back(seed: int) -> None:
    """Probes of the traversal are short, so for them it is as good as ever."""
    wide = LinkOptions(delay=0.02, rate=2e6, queue=100_000, mtu=1_472)
    paths = TwoPaths(seed=seed, size=8_000_000, first=wide)
    follow_quiet(paths, 0, by(RIGHT_1, 1))

    def narrow() -> None:
        assert paths.ends[0].datagram_size > 1_252
        paths.forth[0].options = replace(wide, mtu=1_252)

    paths.at(1.0, narrow)
    paths.at(2.5, lambda: paths.move(paths.ends[0], RIGHT_0))
    paths.run()
    assert len(paths.initiator.times(Quiet)) == 1
    assert paths.receiver.gap(2.4) < NO_STALL


@pytest.mark.parametrize("seed", SEEDS)
def test_f33_a_minute_without_a_network_is_survived(seed: int) -> None:
    begin = 0.5 + seed / 7
    link = LinkOptions(delay=0.02, rate=2e6, queue=100_000, outages=((begin, begin + 60.0),))
    paths = TwoPaths(seed=seed, size=4_000_000, first=link)
    took = paths.run(100.0)
    (quiet,), (heard,) = paths.initiator.times(Quiet), paths.initiator.times(Heard)
    assert quiet < begin + 1.5
    assert begin + 60.0 < heard < begin + 62.2
    assert took < begin + 60.0 + 6.0
    assert paths.initiator.moves == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("left_sends", [True, False], ids=["NAT of sender", "NAT of receiver"])
def test_f23_a_nat_that_rebinds_every_five_seconds(seed: int, left_sends: bool) -> None:
    """What goes to the former port is lost; the peer finds the new one by itself."""
    link = LinkOptions(delay=0.04, rate=5e5, queue=60_000)
    paths = TwoPaths(seed=seed, size=5_000_000, first=link, left_sends=left_sends)
    times = [1.0 + seed / 10, 4.0, 9.0]

    def rebind(port: int) -> None:
        paths.world.door(paths.left, 0, LEFT_0._replace(port=port))

    for number, when in enumerate(times):
        paths.at(when, lambda port=5_000 + number: rebind(port))  # type: ignore[misc]
    paths.run()
    assert paths.responder.moves == [LEFT_0._replace(port=5_000 + n) for n in range(3)]
    assert paths.receiver.gap(0.5) < 2 * 0.08 + 0.3 + 1.0
    sender = paths.ends[0 if left_sends else 1]
    assert sender.datagram_size > 1_200  # known before, and kept


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wanted", [0, 1])
def test_both_move_at_once_to_different_paths_and_meet(seed: int, wanted: int) -> None:
    """Where the initiator wants to be; in the meantime each direction goes its own way."""
    theirs, ours = (RIGHT_0, by(RIGHT_1, 1)), (LEFT_0, by(LEFT_1, 1))
    second = LinkOptions(delay=0.01, rate=1.5e6, queue=100_000)
    paths = TwoPaths(seed=seed, size=5_000_000, second=second)
    left, right = paths.ends
    paths.at(0.9, paths.trust)
    paths.at(1.0, lambda: paths.move(left, theirs[wanted]))
    paths.at(1.0, lambda: paths.move(right, ours[1 - wanted]))
    paths.run_until(3.5)
    assert [end.endpoint for end in paths.ends] == [theirs[wanted], ours[wanted]]
    paths.run()
    assert len(paths.initiator.moves) <= 1
    assert len(paths.responder.moves) <= 2
    assert paths.receiver.gap(0.5) < NO_STALL


def test_the_responder_may_move_too() -> None:
    for left_sends in (True, False):
        paths = TwoPaths(size=5_000_000, left_sends=left_sends)
        paths.at(1.0, lambda p=paths: p.move(p.ends[1], by(LEFT_1, 1)))  # type: ignore[misc]
        assert paths.run() < 3.0
        assert [end.endpoint for end in paths.ends] == [by(RIGHT_1, 1), by(LEFT_1, 1)]
        assert paths.receiver.gap(0.5) < NO_STALL


def test_a_path_left_just_now_is_known_when_we_come_back() -> None:
    paths = TwoPaths(size=12_000_000)
    left = paths.ends[0]
    paths.trust()
    paths.move(left, by(RIGHT_1, 1))
    paths.run_until(1.0)
    size, rtt = left.datagram_size, left.rtt
    assert size > 1_200
    paths.move(left, RIGHT_0)
    assert left.datagram_size == 1_200
    paths.run_until(1.5)
    paths.move(left, by(RIGHT_1, 1))
    assert left.datagram_size == size
    assert left.rtt == pytest.approx(rtt, rel=0.5)
    paths.run()


def test_while_content_is_held_everything_else_goes_on() -> None:
    paths = TwoPaths(size=2_000_000)
    left = paths.ends[0]
    left.hold = True
    paths.run_until(3.0)
    assert paths.receiver.sink.stored == 0
    assert paths.content.filled == 0
    left.hold = False
    paths.left.settle()
    paths.run_until(4.0)
    assert paths.receiver.sink.stored > 0
    left.hold = True
    paths.run_until(4.5)
    stored = paths.receiver.sink.stored
    paths.run_until(200.0)
    assert paths.receiver.sink.stored == stored
    assert not left.closed
    left.hold = False
    paths.left.settle()
    paths.run(260.0)


def test_f22_a_process_that_stood_still_for_five_seconds_is_no_death_and_no_burst() -> None:
    for begin in (0.3, 1.1, 2.0):
        paths = TwoPaths(size=4_000_000, hosts=HostOptions(stalls=((begin, begin + 5.0),)))
        paths.run()
        assert paths.initiator.moves == []


def test_a_move_is_told_on_both_sides_and_only_once() -> None:
    paths = TwoPaths()
    paths.at(1.0, lambda: paths.move(paths.ends[0], by(RIGHT_1, 1)))
    paths.at(1.2, lambda: paths.move(paths.ends[0], by(RIGHT_1, 1)))
    paths.run()
    assert len(paths.initiator.times(Moved)) == len(paths.responder.times(Moved)) == 1
