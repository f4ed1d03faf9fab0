"""Refusals of the connection that wider tests would not miss: each stands for one line of code."""

import pytest

from securecp import codec
from securecp.endpoint import Burst
from securecp.errors import ProtocolError
from securecp.transport import frames
from securecp.transport.connection import IDLE_TIMEOUT, Lost
from securecp.transport.frames import ACK_RANGES, Ping
from securecp.transport.opening import Opener
from securecp.transport.wire import DATA, HEADER, REPLY
from tests.sim.peer import RIGHT, agreed_keys, parameters
from tests.simulation.bench import Bench
from tests.transport.handshakes import ALICE, BOB, Flight, World


def garbage(bench: Bench, counter: int, phase: int = 0) -> bytes:
    return HEADER.pack(DATA, phase, 0, bench.victim.index, counter) + bytes(40)


def test_dg07_garbage_of_another_phase_does_not_move_the_replay_window() -> None:
    bench = Bench(initiator=False)
    good = bench.forger.frames(Ping())
    before = bench.state()
    for counter in (1 << 20, 1 << 40):
        bench.deliver(garbage(bench, counter, phase=1))
    assert bench.state() == before
    bench.deliver(good)
    assert bench.victim.established


def test_dg07_garbage_is_no_sign_of_life() -> None:
    bench = Bench(initiator=False)
    bench.deliver(bench.forger.frames(Ping()))
    for second in range(1, int(IDLE_TIMEOUT)):
        bench.wait(float(second))
        bench.deliver(garbage(bench, 1 << 20))
    assert not bench.victim.closed
    bench.wait(IDLE_TIMEOUT + 0.1)
    assert Lost() in bench.events


def test_tr15_a_peer_that_never_speaks_is_found_by_silence() -> None:
    bench = Bench()
    bench.wait(IDLE_TIMEOUT + 0.1)
    assert Lost() in bench.events


def test_tr10_a_datagram_twice_in_one_burst_is_dropped() -> None:
    bench = Bench(initiator=False)
    own, _ = agreed_keys(parameters(), parameters())[::-1]
    opener = Opener(own, 0.0)
    datagram = bench.forger.frames(Ping())
    burst = Burst(RIGHT, memoryview(bytearray(datagram * 3)), len(datagram))
    opened = opener.open(0.0, burst, 1.0)
    assert len(opened.frames) == 1
    assert opened.counters == [(0, 1)]
    assert opener.dropped == 2


@pytest.mark.parametrize(("ranges", "fits"), [(ACK_RANGES, True), (ACK_RANGES + 1, False)])
def test_tr03_an_ack_of_33_ranges_is_refused(ranges: int, fits: bool) -> None:
    lengths_and_gaps = [1] * (2 * ranges - 1)
    data = codec.encode([frames.ACK, 0, 1000, *lengths_and_gaps])
    if fits:
        (ack,) = frames.parse(data)
        assert isinstance(ack, frames.Ack)
        assert len(ack.ranges) == ranges
    else:
        with pytest.raises(ProtocolError):
            frames.parse(data)


def test_hs11_a_reply_whose_mac1_was_edited_is_dropped() -> None:
    def edit(flight: Flight) -> list[Flight]:
        if flight.data[0] == REPLY:
            flight.data = flight.data[:-1] + bytes([flight.data[-1] ^ 1])
        return [flight]

    world = World()
    alice, bob = world.add(ALICE), world.add(BOB)
    world.route = edit
    world.call(alice, bob)
    world.run(11.0)
    assert len(alice.failed) == 1
    assert not alice.channels
