"""What a peer with a valid key cannot do to a connection, and what others cannot even begin."""

import sys
from collections.abc import Callable
from random import Random
from types import FrameType
from typing import Any

import pytest

from securecp.transport.connection import CLOSE_PROTOCOL, Closed, ControlReceived, Lost
from securecp.transport.content import RANGES
from securecp.transport.flight import Flight, Record
from securecp.transport.frames import (
    ACK_RANGES,
    Ack,
    Challenge,
    Close,
    Control,
    Ping,
    Response,
    Window,
)
from securecp.transport.ratchet import Ratchet
from securecp.transport.seal import EARLIEST_PHASE_SECONDS
from securecp.transport.wire import DATA, HEADER, Burst
from tests.sim.ends import Content
from tests.sim.peer import RIGHT, agreed_keys, parameters
from tests.simulation.bench import Bench


def sending(size: int = 200_000) -> Bench:
    """A victim that has sent its first datagrams of content."""
    bench = Bench()
    bench.drain()
    bench.deliver(bench.forger.frames(Ping()))
    bench.victim.send_content(0, size)
    bench.drain()
    return bench


# what is acknowledged


def test_tr01_an_ack_for_what_was_never_sent_closes() -> None:
    bench = sending()
    sent = bench.victim._sealer.next_counter
    bench.deliver(bench.forger.ack((0, sent)))
    assert bench.closed_with is None
    bench = sending()
    bench.deliver(bench.forger.ack((0, sent + 1)))
    assert bench.closed_with == CLOSE_PROTOCOL
    assert any(isinstance(frame, Close) for frame in bench.drain())


def test_tr01_the_edge_counter_in_a_later_range_is_no_way_around() -> None:
    bench = sending()
    sent = bench.victim._sealer.next_counter
    bench.deliver(bench.forger.ack((sent + 5, sent + 6), (0, sent)))
    assert bench.closed_with == CLOSE_PROTOCOL


def test_tr02_an_ack_for_a_counter_left_out_closes() -> None:
    bench = sending()
    victim = bench.victim
    victim._outgoing.bursts_to_skip = 1
    while not victim._recovery._skipped:
        bench.deliver(bench.forger.ack((0, victim._sealer.next_counter)))
        assert bench.closed_with is None
        bench.now += 0.05
        bench.wait(bench.now)
    skipped = victim._recovery._skipped[0]
    bench.deliver(bench.forger.ack((skipped, skipped + 1)))
    assert bench.closed_with == CLOSE_PROTOCOL


def test_tr02_an_honest_ack_around_the_counter_left_out_is_fine() -> None:
    bench = sending()
    victim = bench.victim
    victim._outgoing.bursts_to_skip = 1
    while not victim._recovery._skipped:
        bench.deliver(bench.forger.ack((0, victim._sealer.next_counter)))
        bench.now += 0.05
        bench.wait(bench.now)
    skipped = victim._recovery._skipped[0]
    bench.deliver(bench.forger.ack((skipped + 1, victim._sealer.next_counter), (0, skipped)))
    assert bench.closed_with is None


@pytest.mark.parametrize("count", [ACK_RANGES + 1, 1_000, 30_000])
def test_tr03_too_many_ranges_close(count: int) -> None:
    bench = sending()
    bench.deliver(bench.forger.ranges(count))
    assert bench.closed_with == CLOSE_PROTOCOL


def test_tr03_we_never_send_or_keep_too_many_ranges() -> None:
    bench = Bench()
    for _ in range(3_000):
        bench.forger.sealer.skip()
        bench.deliver(bench.forger.frames(Ping()))
        for frame in bench.drain():
            assert not isinstance(frame, Ack) or len(frame.ranges) <= ACK_RANGES
        assert len(bench.victim._acks._received) <= 2 * ACK_RANGES
    assert bench.closed_with is None


def test_tr04_repeated_shrinking_and_ancient_acks_change_nothing() -> None:
    bench = sending()
    sent = bench.victim._sealer.next_counter
    bench.now = 0.1
    bench.deliver(bench.forger.ack((0, sent - 2)))
    kept = ("rtt", "flight", "window", "content", "counter")
    before = {name: bench.state()[name] for name in kept}
    bench.now += 0.001
    for number in range(2_000):
        bench.deliver(bench.forger.ack((0, 1 + number % (sent - 2))))
    assert {name: bench.state()[name] for name in kept} == before
    assert bench.closed_with is None
    assert len(bench.victim._recovery.flight) <= sent


# content and control


def test_tr05_gap_memory_is_bounded() -> None:
    """Every second chunk of a terabyte: the ranges stop at the cap, the connection lives."""
    bench = Bench(initiator=False)
    bench.victim.expect_content(0, 1 << 40)
    for number in range(RANGES + 100):
        bench.deliver(bench.forger.chunk(2 * number, b"x"))
    assert len(bench.victim.content_in._received) == RANGES
    assert bench.sink.size == RANGES
    assert bench.closed_with is None
    unacked = [2 * number for number in range(RANGES, RANGES + 100)]
    received = bench.victim._acks._received
    assert not any(RANGES + at in received for at in range(len(unacked)))
    bench.deliver(bench.forger.chunk(1, b"y"))
    assert bench.sink.stored[-1] == (1, b"y")


def test_tr05_control_gaps_are_bounded() -> None:
    bench = Bench(initiator=False)
    for number in range(2_000):
        bench.deliver(bench.forger.frames(Control(2 * number + 2, b"x")))
    assert len(bench.victim._control_in._have) <= 256
    assert len(bench.victim._control_in._ahead) <= 1 << 20
    assert bench.closed_with is None


def test_tr06_another_content_for_the_same_place_is_dropped_unread() -> None:
    bench = Bench(initiator=False)
    bench.victim.expect_content(0, 10_000)
    bench.deliver(bench.forger.chunk(0, b"first" * 10), bench.forger.chunk(0, b"other" * 10))
    assert bench.sink.stored == [(0, b"first" * 10)]
    bench.deliver(bench.forger.chunk(25, b"other" * 10))
    assert bench.sink.stored[1:] == [(50, b"other" * 5)]


@pytest.mark.parametrize("offset", [10_000, 9_999, 2**31, 2**63 - 2, 2**63, 2**64 - 2, 2**64 - 1])
def test_tr07_content_outside_what_was_accepted_closes(offset: int) -> None:
    bench = Bench(initiator=False)
    bench.victim.expect_content(0, 10_000)
    bench.deliver(bench.forger.chunk(offset, b"xy"))
    assert bench.closed_with == CLOSE_PROTOCOL
    assert bench.sink.stored == []


@pytest.mark.parametrize(("data", "length"), [(b"", 0), (b"abc", 0), (b"abc", 2), (b"abc", 4)])
def test_tr07_a_chunk_of_no_or_of_wrong_length_closes(data: bytes, length: int) -> None:
    bench = Bench(initiator=False)
    bench.victim.expect_content(0, 10_000)
    bench.deliver(bench.forger.chunk(0, data, length))
    assert bench.closed_with == CLOSE_PROTOCOL
    assert bench.sink.stored == []


def test_tr07_content_before_consent_closes() -> None:
    bench = Bench(initiator=False)
    bench.deliver(bench.forger.chunk(0, b"xy"))
    assert bench.closed_with == CLOSE_PROTOCOL
    assert bench.sink.stored == []


def test_tr07_control_past_its_window_closes() -> None:
    bench = Bench(initiator=False)
    bench.deliver(bench.forger.frames(Control((1 << 20) - 1, b"x")))
    assert bench.closed_with is None
    bench.deliver(bench.forger.frames(Control(1 << 20, b"x")))
    assert bench.closed_with == CLOSE_PROTOCOL


# windows


def test_tr08_a_window_shut_for_ever_ends_within_its_time() -> None:
    """The peer stays alive and takes nothing: we ask now and then, and give up."""
    bench = Bench(content_window=0)
    bench.victim.send_content(0, 10_000)
    while bench.victim.deadline() is not None and bench.now < 400:
        bench.wait(bench.now + 1)
        bench.deliver(bench.forger.frames(Ping()))
        sent = bench.victim._sealer.next_counter
        if not bench.victim.closed and sent:
            bench.deliver(bench.forger.ack((0, sent)))
    assert any(isinstance(event, Lost) for event in bench.events)
    assert 100 < bench.now < 150
    assert bench.victim.content_out.acked == 0


def test_tr08_a_window_never_shrinks_and_is_clamped() -> None:
    bench = Bench(content_window=5_000)
    out = bench.victim.content_out
    for claim, expected in ((0, 5_000), (9_000, 9_000), (8_000, 9_000), (2**64 - 1, 2**63)):
        bench.deliver(bench.forger.frames(Window(claim, claim)))
        assert out.limit == expected
    assert bench.closed_with is None


def test_tr08_no_more_content_leaves_than_the_window_allows() -> None:
    bench = Bench(content_window=5_000)
    bench.victim.send_content(0, 1 << 20)
    for _ in range(200):
        bench.wait(bench.now + 0.05)
        bench.deliver(bench.forger.ack((0, bench.victim._sealer.next_counter)))
    assert bench.victim.content_out.acked == 5_000
    bench.deliver(bench.forger.frames(Window(1 << 20, 7_000)))
    for _ in range(200):
        bench.wait(bench.now + 0.05)
        bench.deliver(bench.forger.ack((0, bench.victim._sealer.next_counter)))
    assert bench.victim.content_out.acked == 7_000


def test_tr08_a_control_window_shut_for_ever_ends_within_its_time() -> None:
    bench = Bench(control_window=0)
    bench.victim.write(b"offer")
    while not bench.victim.closed and bench.now < 400:
        bench.wait(bench.now + 1)
        bench.deliver(bench.forger.frames(Ping()))
        bench.deliver(bench.forger.ack((0, bench.victim._sealer.next_counter)))
    assert 100 < bench.now < 150


def test_tr09_a_reader_that_acknowledges_nothing_costs_a_window_and_some_seconds() -> None:
    bench = sending(1 << 20)
    most = 0
    while not bench.victim.closed and bench.now < 100:
        bench.wait(bench.now + 0.5)
        most = max(most, len(bench.victim._recovery.flight))
    assert bench.victim.closed
    assert bench.now < 30
    assert most < 64
    assert bench.bytes_out < 100_000


def test_tr09_a_peer_that_never_acknowledges_ends_within_its_time() -> None:
    bench = Bench()
    bench.victim.send_content(0, 1 << 20)
    while not bench.victim.closed and bench.now < 400:
        bench.wait(bench.now + 1)
        bench.deliver(bench.forger.frames(Ping()))
    assert 100 < bench.now < 150


# repetition and floods


def test_tr10_replayed_datagrams_leave_no_trace() -> None:
    bench = Bench(initiator=False)
    bench.victim.expect_content(0, 10_000)
    recorded = [bench.forger.frames(Ping()), bench.forger.chunk(0, b"abc")]
    bench.deliver(*recorded)
    bench.wait(0.1)
    before = bench.state()
    for _ in range(1_000):
        bench.deliver(*recorded)
    assert bench.state() == before
    assert bench.drain() == []
    assert len(bench.sink.stored) == 1


@pytest.mark.parametrize("frame", [Challenge(b"12345678"), Ping(), Window(0, 0)])
def test_tr11_a_flood_that_asks_for_replies_is_answered_sparingly(
    frame: Challenge | Ping | Window,
) -> None:
    bench = Bench(initiator=False)
    bench.deliver(bench.forger.frames(Ping()))
    bench.drain()
    bench.bytes_out = arrived = 0
    for _ in range(200):
        datagrams = [bench.forger.frames(*[frame] * 30) for _ in range(10)]
        arrived += sum(map(len, datagrams))
        bench.deliver(*datagrams)
        replies = [reply for reply in bench.drain() if isinstance(reply, Response)]
        assert len(replies) <= 8
    assert bench.bytes_out <= arrived
    assert bench.closed_with is None


def test_tr11_unacknowledged_replies_do_not_pile_up() -> None:
    bench = Bench(initiator=False)
    for number in range(2_000):
        bench.now += 0.01
        bench.deliver(bench.forger.frames(Challenge(number.to_bytes(8))))
        bench.wait(bench.now)
    assert len(bench.victim._recovery.flight) < 100


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
    assert bench.events == [Lost()]
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


def accepted(bench: Bench, datagram: bytes) -> bool:
    before = bench.victim._opener._replay.next
    bench.deliver(datagram)
    return bench.victim._opener._replay.next > before


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


# cost


def lines(work: Callable[[], object]) -> int:
    """Lines of Python that run: a measure of CPU that no busy machine disturbs."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def striped(records: int) -> int:
    """A window of bursts of which every second datagram is lost, acknowledged piece by piece."""
    flight = Flight()
    for number in range(records):
        flight.add(Record(8 * number, 8, 1_200, 9_600, number * 0.001))

    def work() -> None:
        for number in range(records - 1, -1, -4):
            ranges = [(8 * number + at, 8 * number + at + 1) for at in (6, 4, 2, 0)]
            flight.acknowledge(ranges)
        for number in range(0, records, 8):
            flight.overdue(8 * number, -1.0)

    return lines(work)


def test_tr20_ten_times_the_window_costs_less_than_fifteen_times_the_work() -> None:
    assert striped(2_000) < 15 * striped(200)


def gaps(count: int) -> int:
    """Content with every second chunk missing, then the missing ones from the end."""
    bench = Bench(initiator=False)
    bench.victim.expect_content(0, 1 << 40)
    first = [bench.forger.chunk(20 * number, bytes(10)) for number in range(count)]
    second = [bench.forger.chunk(20 * number + 10, bytes(10)) for number in range(count)]
    return lines(lambda: bench.deliver(*first, *reversed(second)))


def test_tr20_gaps_in_content_cost_the_same_however_many_there_are() -> None:
    assert gaps(2_000) < 15 * gaps(200)


def losses(count: int) -> int:
    """A sender with `count` datagrams in flight is told that every second one is missing."""
    bench = Bench(content_window=1 << 30)
    victim = bench.victim
    victim._recovery.controller._window = 2.0 * count * 1_200  # type: ignore[attr-defined]
    bench.drain()
    bench.deliver(bench.forger.ack((0, 1)))
    victim.source = Content(0, count * 1_400)
    victim.send_content(0, count * 1_400)
    sent = 0
    while victim._sealer.next_counter < count:
        assert sent < victim._sealer.next_counter or bench.now < 0.2 * count
        sent = victim._sealer.next_counter
        bench.now += 0.001
        bench.drain()
    skipped = set(victim._recovery._skipped)
    acks = []
    for low in range(1, count - 64, 64):
        counters = [at for at in range(low + 62, low - 2, -2) if at not in skipped]
        acks.append(bench.forger.ack(*[(at, at + 1) for at in counters]))
    work = lines(lambda: bench.deliver(*acks))
    assert victim._recovery.lost_bytes > count * 400
    assert bench.closed_with is None
    return work


def test_tr20_losses_cost_the_same_however_many_are_in_flight() -> None:
    assert losses(4_000) < 15 * losses(400)


# datagrams


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
