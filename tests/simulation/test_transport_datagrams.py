"""Datagrams that do not verify leave no trace, whatever they hold."""

from random import Random

from securecp.endpoint import Burst
from securecp.transport.frames import (
    Close,
    Control,
    Ping,
    Window,
)
from securecp.transport.wire import DATA, HEADER
from tests.sim.peer import RIGHT
from tests.simulation.bench import Bench, accepted


def genuine() -> list[bytes]:
    """One of each shape of DATA."""
    forger = Bench(initiator=False).forger
    return [
        forger.frames(Ping()),
        forger.chunk(0, b"content"),
        forger.frames(Control(0, b"hello"), Window(1, 2)),
        forger.frames(Close(0, "bye")),
    ]


def test_dg01_an_empty_datagram_is_silence() -> None:
    bench = Bench()
    before = bench.state()
    bench.victim.receive(0.0, Burst(RIGHT, memoryview(bytearray()), 0))
    assert bench.state() == before


def test_dg02_every_prefix_and_every_extension_is_silence() -> None:
    bench = Bench(initiator=False)
    bench.victim.expect_content(0, 100)
    before = bench.state()
    for datagram in genuine():
        for end in range(len(datagram)):
            bench.deliver(datagram[:end])
        for tail in (b"\0", b"\xff" * 16, datagram, bytes(1_200)):
            bench.victim.receive(0.0, Burst(RIGHT, memoryview(bytearray(datagram + tail)), 5_000))
    assert bench.state() == before
    assert bench.drain() == []


def test_dg02_every_change_of_a_byte_is_silence() -> None:
    bench = Bench(initiator=False)
    bench.victim.expect_content(0, 100)
    before = bench.state()
    for datagram in genuine():
        for position in range(len(datagram)):
            for flip in (1, 0x80, 0xFF):
                edited = bytearray(datagram)
                edited[position] ^= flip
                bench.deliver(bytes(edited))
    assert bench.state() == before
    assert bench.drain() == []
    assert bench.sink.stored == []


def test_dg02_any_bytes_are_silence() -> None:
    bench = Bench()
    bench.drain()
    before = bench.state()
    rng = Random(2)
    for _ in range(2_000):
        bench.deliver(rng.randbytes(rng.randrange(0, 80)))
        head = HEADER.pack(DATA, rng.randrange(256), 0, bench.victim.index, rng.getrandbits(64))
        bench.deliver(head + rng.randbytes(rng.randrange(0, 1_400)))
    assert bench.state() == before


def test_dg07_garbage_with_a_live_index_moves_nothing() -> None:
    """In bursts, too, with genuine datagrams between the garbage."""
    bench = Bench(initiator=False)
    bench.victim.expect_content(0, 1 << 30)
    bench.deliver(bench.forger.frames(Ping()))
    bench.drain()
    before = bench.state()
    rng = Random(7)
    stride = 100
    head = HEADER.pack(DATA, 0, 0, bench.victim.index, 1)
    for _ in range(300):
        data = b"".join(head + rng.randbytes(stride - 16) for _ in range(64))
        bench.victim.receive(0.0, Burst(RIGHT, memoryview(bytearray(data)), stride))
    assert bench.state() == before
    good = bench.forger.chunk(0, bytes(stride - 46))
    mixed = b"".join((head + rng.randbytes(stride - 16), good, head + rng.randbytes(stride - 16)))
    bench.victim.receive(0.0, Burst(RIGHT, memoryview(bytearray(mixed)), stride))
    assert bench.sink.stored == [(0, bytes(stride - 46))]
    assert bench.victim._opener._replay.next == 2


def test_dg07_garbage_with_far_counters_does_not_move_the_replay_window() -> None:
    bench = Bench(initiator=False)
    good = [bench.forger.frames(Ping()) for _ in range(3)]
    for counter in (2**32, 2**62, 2**64 - 1):
        head = HEADER.pack(DATA, 0, 0, bench.victim.index, counter)
        bench.deliver(head + bytes(40))
    for datagram in good:
        assert accepted(bench, datagram)


def test_tr10_the_same_datagram_twice_in_one_burst_counts_once() -> None:
    bench = Bench(initiator=False)
    bench.victim.expect_content(0, 100)
    datagram = bench.forger.chunk(0, b"once")
    bench.victim.receive(0.0, Burst(RIGHT, memoryview(bytearray(datagram * 3)), len(datagram)))
    assert bench.sink.stored == [(0, b"once")]
    assert len(bench.victim._acks._received) == 1
