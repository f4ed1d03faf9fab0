"""What a peer with a valid key cannot do to a connection, and what others cannot even begin."""

import pytest

from securecp.transport.connection import CLOSE_PROTOCOL, IDLE_TIMEOUT, Lost
from securecp.transport.content import RANGES
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
from tests.simulation.bench import Bench, sending

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
    assert bench.now < IDLE_TIMEOUT + 5
    assert most < 120
    assert bench.bytes_out < 150_000


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
