"""The whole program in the simulator: what single faults do to it, and that the watches see."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from securecp.endpoint import Burst
from securecp.events import Done
from securecp.transport.wire import REPLY
from tests.sim.host import SimulationError
from tests.sim.hostile import Editor, Replayer
from tests.sim.options import DiskFaults, LinkOptions, Options, Scale, swarm
from tests.sim.whole import Whole

PATH = LinkOptions(delay=0.01)
PLAIN = Options(seed=11, size=120_000, forth=PATH, back=PATH)


def finished(options: Options) -> Whole:
    whole = Whole(options)
    whole.run()
    return whole


def test_a_plain_transfer_takes_a_few_round_trips() -> None:
    whole = finished(PLAIN)
    assert whole.world.clock.now < 0.8
    assert len(whole.sender.done) == len(whole.receiver.done) == 1
    assert whole.sender.failures == whole.receiver.failures == []
    assert whole.sender.done[0].digest == whole.receiver.done[0].digest


def test_a_path_that_is_twice_as_long_costs_twice_the_time() -> None:
    """A loss of speed shows: no hidden timer stands between the round trips."""
    times = []
    for delay in (0.1, 0.2):
        path = LinkOptions(delay=delay)
        times.append(Whole(replace(PLAIN, forth=path, back=path)).run())
    assert times[1] < 2.1 * times[0]
    assert times[0] < 2.5


@pytest.mark.parametrize("seed", range(24))
def test_hs13_both_call_at_once_and_one_session_comes_of_it(seed: int) -> None:
    delay = 0.001 * 2 ** (seed % 9)
    forth = LinkOptions(delay=delay, jitter=delay * (seed % 3), loss=0.1 * (seed % 2))
    whole = finished(replace(PLAIN, seed=seed, size=5_000, forth=forth, back=forth, both_call=True))
    assert len(whole.sender.done) == 1
    assert len(whole.receiver.done) == 1
    assert sum(store.published is not None for store in whole.stores) == 1


@pytest.mark.parametrize("name", ["sender", "receiver"])
@pytest.mark.parametrize("when", [0.015, 0.03, 0.06, 0.1, 0.2])
def test_f01_f02_a_killed_program_is_started_again_and_delivers(name: str, when: float) -> None:
    whole = finished(replace(PLAIN, size=1 << 20, crashes=((name, when),)))
    assert whole.world.clock.now < 85
    assert all(store.suspended or store.published is not None for store in whole.stores[1:])


SMALL = Scale(chunk=2_048, interval=16_384, window=65_536)
SLOW = replace(PATH, rate=400_000.0, queue=20_000)


@pytest.mark.parametrize("names", [("receiver",), ("sender",), ("receiver", "sender")])
@pytest.mark.parametrize("seed", range(6))
def test_f01_f02_i5_a_killed_program_goes_on_where_it_was(
    names: tuple[str, ...], seed: int
) -> None:
    """Killed three times in mid-transfer: in all, little more is sent than there is."""
    times = (1.0 + 0.1 * seed, 4.0, 7.0)
    crashes = tuple((name, time) for time in times for name in names)
    whole = finished(
        replace(PLAIN, seed=seed, size=1 << 20, forth=SLOW, back=PATH, scale=SMALL, crashes=crashes)
    )
    struck = whole.world.struck
    assert struck["sender resumed"] and struck["receiver resumed"]
    again = len(crashes) * (SMALL.unsaved + SMALL.window)
    assert whole.memory.filled < (1 << 20) + again + 100_000


@pytest.mark.parametrize("seed", range(10))
def test_f03_i1_files_that_are_there_already_are_compared_and_never_mixed_up(seed: int) -> None:
    scale = replace(SMALL, before=True, holes=True)
    disk = DiskFaults(changes=bool(seed % 2))
    whole = finished(replace(PLAIN, seed=seed, scale=scale, disk=disk, forth=SLOW))
    assert whole.sender.failures == []


@pytest.mark.parametrize("seed", range(5))
def test_f13_a_file_that_cannot_be_written_fails_by_name_and_the_rest_arrives(seed: int) -> None:
    whole = finished(replace(PLAIN, seed=seed, scale=replace(SMALL, breaks=True), forth=SLOW))
    (done,) = whole.sender.done
    assert len(done.failed) <= 1 and whole.sender.failures == []


def test_f12_a_full_disk_stops_both_and_the_next_try_delivers() -> None:
    whole = finished(replace(PLAIN, disk=DiskFaults(full=True)))
    assert whole.stores[0].suspended
    assert whole.stores[0].published is None
    assert len(whole.sender.failures) == len(whole.receiver.failures) == 1


def test_f19_a_rotten_chunk_is_sent_again() -> None:
    """What did not come in order is read back, and found to be wrong."""
    disorder = replace(PLAIN, forth=replace(PATH, loss=0.05))
    whole = finished(replace(disorder, disk=DiskFaults(rots=True)))
    assert whole.sender.failures == []
    sent = whole.sender.done[0].sent
    assert sent > finished(disorder).sender.done[0].sent


@pytest.mark.parametrize("seed", range(40))
def test_f37_content_that_a_restart_overtakes_is_not_taken_for_new(seed: int) -> None:
    """Half of what is sent comes later than what was sent behind it."""
    forth = replace(PATH, reorder=0.5, reorder_delay=0.006)
    disk = DiskFaults(changes=True)
    whole = finished(replace(PLAIN, seed=seed, size=20_000, forth=forth, disk=disk))
    assert whole.sender.done[0].failed == ()


@pytest.mark.parametrize("seed", range(6))
def test_f37_a_file_that_changes_is_sent_again_whole(seed: int) -> None:
    whole = finished(replace(PLAIN, seed=seed, disk=DiskFaults(changes=True)))
    assert whole.sender.done[0].failed == ()


@pytest.mark.parametrize("seed", range(6))
def test_f37_a_file_that_grows_fails_by_name_and_the_rest_arrives(seed: int) -> None:
    whole = finished(replace(PLAIN, seed=seed, disk=DiskFaults(grows=True)))
    done = whole.sender.done[0]
    assert len(done.failed) <= 1
    assert done.files + len(done.failed) == len(whole.tree.contents)


@pytest.mark.parametrize("seed", range(15))
def test_hs12_edits_and_replays_of_every_datagram_end_with_the_right_peer(seed: int) -> None:
    """DG-05 and I1 hold all along: handshakes are edited and replayed as well."""
    whole = Whole(swarm(2_000 + seed))
    whole.world.taps += [
        Editor(whole.world, whole.world.random("editor"), 0.3),
        Replayer(whole.world, whole.world.random("replayer"), 0.3),
    ]
    whole.run()


def test_f33_a_link_that_is_down_for_twenty_seconds_is_survived() -> None:
    path = replace(PATH, outages=((0.15, 20.0),))
    whole = finished(replace(PLAIN, size=1 << 20, forth=path, back=path))
    assert whole.sender.failures == []
    assert whole.world.clock.now < 30


# the watches


def no_receipt(whole: Whole) -> None:
    done = Done(0, 0, 0.0, 0, bytes(32))
    whole.world.clock.at(0.05, lambda: whole.sender.done.append(done))


def rotten(whole: Whole) -> None:
    """A byte turns after its chunk was verified."""

    def spoil() -> None:
        if whole.stores and whole.stores[0]._ready:
            whole.stores[0].data[0] ^= 1
        else:
            whole.world.clock.after(0.001, spoil)

    spoil()


def twice_the_reply(whole: Whole) -> None:
    station = whole.receiver
    transmit = station.transmit
    again: list[Burst] = []

    def doubled(now: float) -> Burst | None:
        if again:
            return again.pop()
        burst = transmit(now)
        if burst is not None and burst.data[0] == REPLY:
            again.append(burst._replace(data=memoryview(bytes(burst.data))))
        return burst

    station.transmit = doubled  # type: ignore[method-assign]


def silence(whole: Whole) -> None:
    whole.receiver.exchange._allowed = lambda _: False


WRONGS: dict[str, Callable[[Whole], None]] = {
    "success without a receipt": no_receipt,
    "a file is published that is no version of its source": rotten,
    "dg05: a reply is sent twice for one call": twice_the_reply,
    "nobody ever answers": silence,
}


@pytest.mark.parametrize("name", WRONGS)
def test_what_is_wrong_turns_the_run_red(name: str) -> None:
    whole = Whole(replace(PLAIN, calm_at=1.0))
    WRONGS[name](whole)
    with pytest.raises(SimulationError):
        whole.run()
