"""Attackers on the path, beside it and at the other end, while a transfer goes on."""

from dataclasses import replace
from typing import ClassVar

import pytest

from securecp.endpoint import Endpoint
from securecp.transport.connection import CLOSE_PROTOCOL, Closed, Connection
from securecp.transport.wire import DATA
from tests.sim.direct import Direct
from tests.sim.ends import Content
from tests.sim.host import Host
from tests.sim.hostile import Behind, Editor, FrameFlooder, OffPath, OptimisticReceiver, Replayer
from tests.sim.invariants import Bounds, FreshCounters, Watcher
from tests.sim.options import HostOptions, LinkOptions, Options, swarm
from tests.sim.peer import LEFT, RIGHT, DirectEnd, Peer, agreed_keys, parameters
from tests.sim.world import World

PATH = LinkOptions(delay=0.01, loss=0.01, rate=2e6, queue=40_000)
PLAIN = Options(seed=1, size=150_000, forth=PATH, back=PATH)


class Hostile:
    """A genuine sender whose receiver is hostile."""

    def __init__(self, kind: type[Behind], path: LinkOptions = PATH, size: int = 4 << 20) -> None:
        self.world = world = World(3)
        left, right = world.host("sender", LEFT), world.host("receiver", RIGHT)
        world.join(left, right, path, path)
        ours, theirs = agreed_keys(parameters(), parameters())
        peer = Peer(Content(3, size), sends=True, note=world.note)
        self.victim = Connection(ours, RIGHT, left.now, world.random("entropy").randbytes)
        left.end = DirectEnd(self.victim, peer)
        self.victim.send_content(0, size)
        self.attacker = right.end = kind(theirs, LEFT, right.now)
        right.storm = 1 << 30
        self.peer = peer
        world.watches = [FreshCounters({"sender"}), Bounds(lambda: [self.victim])]

    def run(self, seconds: float) -> None:
        self.world.run(lambda: self.victim.closed, seconds)


def test_tr02_a_receiver_that_acknowledges_what_did_not_come_is_exposed() -> None:
    hostile = Hostile(OptimisticReceiver)
    hostile.run(60)
    assert hostile.peer.ended == Closed(
        CLOSE_PROTOCOL, "ACK for a counter that was left out", remote=False
    )
    assert hostile.victim.content_out.acked < 4 << 20


def test_tr01_a_receiver_that_acknowledges_ahead_is_exposed_at_once() -> None:
    class Eager(OptimisticReceiver):
        ahead = 50

    hostile = Hostile(Eager)
    hostile.run(60)
    ended = hostile.peer.ended
    assert isinstance(ended, Closed) and (ended.code, ended.remote) == (CLOSE_PROTOCOL, False)
    # Among fifty counters ahead there may be one that was left out.
    assert ended.reason in {
        "ACK for a datagram that was never sent",
        "ACK for a counter that was left out",
    }
    assert hostile.world.clock.now < 1


def test_tr02_it_gains_no_speed_worth_the_name_before() -> None:
    """Until it is exposed, no more than a few windows have gone into the path."""
    hostile = Hostile(OptimisticReceiver)
    hostile.run(60)
    seconds = hostile.world.clock.now
    assert hostile.attacker.bytes_received <= 2e6 * seconds + 40_000
    assert hostile.victim.bytes_sent < 8 * (2e6 * seconds + 40_000)


def test_tr11_a_flood_of_frames_is_answered_with_less_than_it_costs() -> None:
    hostile = Hostile(FrameFlooder, LinkOptions(delay=0.01), size=100_000)
    hostile.run(1)
    flooded = hostile.attacker.forger.sealer.next_counter
    assert flooded > 2_000
    assert hostile.victim.content_out.acked == 100_000
    assert hostile.victim.bytes_sent < 250_000 + flooded * 40


def attacked(options: Options, tap: type[Replayer] | type[Editor], share: float) -> Direct:
    run = Direct(options)
    run.world.taps.append(tap(run.world, run.world.random("attacker"), share))
    run.run()
    return run


@pytest.mark.parametrize("seed", range(8))
def test_tr10_replays_during_a_transfer_change_nothing(seed: int) -> None:
    run = attacked(replace(PLAIN, seed=seed), Replayer, 0.5)
    assert run.world.struck["replayed"] > 50
    assert run.sender.done


@pytest.mark.parametrize("seed", range(8))
def test_dg02_edits_during_a_transfer_change_nothing(seed: int) -> None:
    run = attacked(replace(PLAIN, seed=seed), Editor, 0.5)
    assert run.world.struck["edited"] > 50
    assert run.sender.done


@pytest.mark.parametrize("seed", range(10))
def test_dg02_edits_and_replays_on_a_bad_network_change_nothing(seed: int) -> None:
    run = Direct(swarm(1_000 + seed))
    run.world.taps += [
        Editor(run.world, run.world.random("editor"), 0.2),
        Replayer(run.world, run.world.random("replayer"), 0.2),
    ]
    run.run()


def test_dg07_a_session_survives_garbage_under_its_own_index() -> None:
    """A hundred forged datagrams for each genuine one: not one event of the session changes."""
    quiet, loud = Direct(PLAIN), Direct(PLAIN)
    for victim, peer in ((loud.left, RIGHT), (loud.right, LEFT)):
        foe = OffPath(loud.world, victim, peer, loud.world.random(f"{victim.name}'s foe"), 100)
        loud.world.watches.append(foe)
    assert quiet.run() == loud.run()
    assert loud.world.struck["spoofed"] > 10_000
    for before, after in zip(quiet.connections, loud.connections, strict=True):
        assert after.bytes_sent == before.bytes_sent
        assert after.rtt == before.rtt
    assert loud.sender.done


def test_tr18_a_session_outlives_many_keys() -> None:
    """At 4 kB/s a transfer takes minutes: the keys change every two, with reordering all along."""
    slow = LinkOptions(delay=0.2, rate=4_000.0, queue=20_000, reorder=0.2, reorder_delay=0.3)
    run = Direct(replace(PLAIN, size=1_500_000, forth=slow, back=slow, calm_at=1e9))
    run.world.run(lambda: run.over, 500)
    assert run.sender.done
    assert run.connections[0]._sealer._phase >= 2
    assert run.connections[1]._opener._phase >= 2
    assert run.connections[1]._opener.dropped < 10


def test_tr22_a_socket_that_is_mostly_full_slows_and_nothing_more() -> None:
    busy = HostOptions(socket_full=0.9)
    run = Direct(replace(PLAIN, sender=busy, receiver=busy))
    run.run()
    assert run.sender.done
    assert run.world.struck["socket full"] > 20


@pytest.mark.parametrize("stalled", [0, 1])
def test_f22_a_process_that_stands_still_for_five_seconds_sends_no_flood_afterwards(
    stalled: int,
) -> None:
    """No false death, and after the stall nothing leaves faster than the path takes it."""
    hosts = [HostOptions(), HostOptions()]
    hosts[stalled] = HostOptions(stalls=((0.05, 5.05),))
    run = Direct(replace(PLAIN, size=1 << 20, sender=hosts[0], receiver=hosts[1]))
    run.run()
    assert run.sender.done
    assert run.world.clock.now < 12
    lost = run.connections[0]._recovery.lost_bytes
    assert lost < 200_000


def test_f28_heavy_corruption_is_loss_and_nothing_else() -> None:
    path = replace(PATH, corrupt=0.3)
    run = Direct(replace(PLAIN, size=60_000, forth=path, back=path, calm_at=1e9))
    run.world.run(lambda: run.over, 300)
    assert run.sender.done


def test_a_lost_tail_costs_a_probe_timeout_and_no_more() -> None:
    """The last datagrams vanish with nothing behind them that would show it."""
    path = LinkOptions(delay=0.02)
    quiet = Direct(Options(seed=1, size=40_000, forth=path, back=path))
    seconds = quiet.run()
    for begin in (seconds - 0.07, seconds - 0.065):
        cut = replace(path, outages=((begin, begin + 0.01),))
        run = Direct(replace(quiet.options, forth=cut))
        assert run.run() < seconds + 0.5
        assert run.world.struck["outage"] > 20


@pytest.mark.parametrize("seed", range(10))
def test_a_100_ms_path_with_2_percent_loss_completes(seed: int) -> None:
    path = LinkOptions(delay=0.05, loss=0.02)
    run = Direct(Options(seed=seed, size=250_000, forth=path, back=path, calm_at=1e9))
    run.world.run(lambda: run.over, 60)
    assert run.sender.done


def test_only_data_leaves_a_connection() -> None:
    class Kinds(Watcher):
        seen: ClassVar[set[int]] = set()

        def sent(self, host: Host, destination: Endpoint, datagram: bytes) -> None:
            self.seen.add(datagram[0])

    run = Direct(PLAIN)
    run.world.watches.append(Kinds())
    run.run()
    assert Kinds.seen == {DATA}
