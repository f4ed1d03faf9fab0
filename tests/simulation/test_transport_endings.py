"""What ends a connection or its keys, and what does not."""

from random import Random

import pytest

from securecp.transport.connection import Closed, ControlReceived, Lost, Quiet
from securecp.transport.frames import (
    Close,
    Control,
    Ping,
)
from securecp.transport.opening import EARLIEST_PHASE_SECONDS
from securecp.transport.ratchet import Ratchet
from securecp.transport.wire import DATA, HEADER
from tests.sim.peer import agreed_keys, parameters
from tests.simulation.bench import Bench, accepted, sending

# what ends a connection, and what does not


@pytest.mark.parametrize("kind", [0, 1, 3, 0x40, 0x44, 0x45, DATA, 0x51, 0xFF])
def test_tr15_nothing_unsealed_resets_a_connection(kind: int) -> None:
    """There is no stateless reset: whatever a stranger says to the endpoint is noise."""
    bench = sending()
    before = bench.state()
    rng = Random(kind)
    for length in (1, 16, 20, 32, 52, 200):
        head = HEADER.pack(kind, 0, 0, bench.victim.index, rng.randrange(100))
        bench.deliver((head + rng.randbytes(200))[:length])
    assert bench.state() == before
    assert bench.events == []


def test_tr15_a_peer_that_has_gone_is_found_by_silence() -> None:
    bench = sending()
    bench.wait(100.0)
    assert bench.events == [Quiet(), Lost()]
    assert bench.victim.transmit(bench.now) is None


def test_tr16_claims_of_delay_do_not_move_the_estimate() -> None:
    """The peer says it held the ACK for over an hour; we believe 25 ms of it at most."""
    honest, liar = sending(), sending()
    for bench, delay in ((honest, 25_000), (liar, 2**32 - 1)):
        for round_trip in range(5):
            bench.now = 0.2 * (round_trip + 1)
            bench.deliver(bench.forger.ack((0, bench.victim._sealer.next_counter), delay=delay))
            bench.drain()
    assert liar.victim.rtt == honest.victim.rtt
    assert liar.victim.rtt > 0.15


def test_tr17_a_close_counts_once_and_nothing_revives() -> None:
    bench = sending()
    close = bench.forger.frames(Close(3, "no"))
    later = [bench.forger.frames(Ping()), bench.forger.frames(Close(0, "again"))]
    bench.deliver(close, close, *later, bench.forger.frames(Control(0, b"hello")))
    assert bench.events == [Closed(3, "no", remote=True)]
    assert bench.victim.closed
    assert bench.drain() == []
    assert bench.victim.deadline() is None


def test_tr17_only_the_peer_s_seal_closes() -> None:
    bench = sending()
    genuine = bench.forger.frames(Close(0, ""))
    for position in range(len(genuine)):
        edited = bytearray(genuine)
        edited[position] ^= 0x01
        bench.deliver(bytes(edited))
    assert not bench.victim.closed
    own = bench.victim.transmit(bench.now)
    reflected = bytes(own.data) if own else b""
    bench.deliver(reflected)
    assert bench.events == []


def test_tr17_frames_after_a_close_in_the_same_datagram_are_not_acted_on() -> None:
    bench = sending()
    bench.deliver(bench.forger.frames(Close(0, ""), Control(0, b"hello")))
    assert not any(isinstance(event, ControlReceived) for event in bench.events)


# keys


class Stormer:
    """A peer that changes its key whenever it likes."""

    def __init__(self, bench: Bench) -> None:
        _, keys = agreed_keys(parameters(), parameters())
        self._ratchet = Ratchet(keys.send_root, aes=True)
        self._aeads = [self._ratchet.draw() for _ in range(20)]
        self._index = bench.victim.index
        self.counter = 0

    def ping(self, phase: int, data: bytes = b"\x91\x05") -> bytes:
        header = HEADER.pack(DATA, phase, 0, self._index, self.counter)
        self.counter += 1
        return header + self._aeads[phase].encrypt(header[4:], data, header)


def test_tr18_a_storm_of_key_changes_is_dropped() -> None:
    bench = Bench()
    stormer = Stormer(bench)
    assert accepted(bench, stormer.ping(0))
    assert not any(accepted(bench, stormer.ping(1)) for _ in range(50))
    bench.now = EARLIEST_PHASE_SECONDS + 1
    assert accepted(bench, stormer.ping(1))
    assert not any(accepted(bench, stormer.ping(phase)) for phase in (2, 3, 4, 2))
    assert bench.closed_with is None
    assert accepted(bench, stormer.ping(1))


def test_tr18_the_old_key_lives_for_three_round_trips() -> None:
    bench = Bench()
    stormer = Stormer(bench)
    bench.now = EARLIEST_PHASE_SECONDS + 1
    assert accepted(bench, stormer.ping(1))
    rtt = bench.victim.rtt
    bench.now += 2.9 * rtt
    assert accepted(bench, stormer.ping(0))
    bench.now += 0.2 * rtt
    assert not accepted(bench, stormer.ping(0))
    assert accepted(bench, stormer.ping(1))
