"""Credit, copies and gaps of content, with a sender and a receiver and what a network does."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.errors import ProtocolError
from securecp.transport.content import RANGES, ContentReceiver, ContentSender, cut
from securecp.transport.ranges import RangeCapError

TRUTH = Random("content").randbytes(60_000)


class Store:
    """A sink that checks every byte, and that none comes twice."""

    def __init__(self) -> None:
        self.came: set[int] = set()

    def store(self, offset: int, slices: list[memoryview]) -> None:
        data = b"".join(slices)
        assert data == TRUTH[offset : offset + len(data)]
        places = set(range(offset, offset + len(data)))
        assert data
        assert not places & self.came
        self.came |= places


def sliced(rng: Random, start: int, end: int) -> list[memoryview]:
    """The true content in slices of any cut."""
    out = []
    while start < end:
        stop = min(end, start + rng.randrange(1, 200))
        out.append(memoryview(TRUTH)[start:stop])
        start = stop
    return out


class Channel:
    """Both sides, and the ranges under way between them."""

    def __init__(self, seed: int, window: int) -> None:
        self.rng = Random(seed)
        self.window = window
        self.sender = ContentSender(window)
        self.receiver = ContentReceiver(window)
        self.store = Store()
        self.receiver.sink = self.store
        self.receiver.expect(0, len(TRUTH))
        self.under_way: list[tuple[int, int]] = []
        self.late: list[tuple[int, int]] = []

    def send(self) -> None:
        sender = self.sender
        if sender.pending:
            again = bool(len(sender._again))
            start, end = sender.take(self.rng.randrange(1, 900))
            assert start < end
            if not again:
                assert sender._counted <= sender.limit
            self.under_way.append((start, end))

    def move(self) -> None:
        """Something arrives, or is lost, or taken for lost though it arrives later."""
        if not self.under_way:
            if self.late:
                self.arrive_late()
            self.sender.limit = max(self.sender.limit, self.receiver.limit)
            return
        start, end = self.under_way.pop(self.rng.randrange(len(self.under_way)))
        luck = self.rng.random()
        if luck < 0.15:
            self.sender.on_lost(start, end)
        elif luck < 0.25:
            self.sender.on_lost(start, end)
            self.late.append((start, end))
        else:
            if luck > 0.95:  # a PTO: a second copy of the beginning
                self.sender.again(start, min(end, start + 100))
            self.receiver.receive(start, sliced(self.rng, start, end))
            self.sender.on_acked(start, end)
        if self.late and self.rng.random() < 0.3:
            self.arrive_late()
        if self.rng.random() < 0.3:
            self.sender.limit = max(self.sender.limit, self.receiver.limit)

    def arrive_late(self) -> None:
        start, end = self.late.pop()
        self.receiver.receive(start, sliced(self.rng, start, end))
        self.sender.on_late(start, end)

    def flying(self) -> int:
        return sum(end - start for start, end in self.under_way)


@settings(max_examples=60)
@given(st.integers(0, 1 << 32), st.integers(50, 5_000), st.integers(1, 6_000))
def test_everything_arrives_once_and_no_credit_leaks(seed: int, window: int, size: int) -> None:
    """Both count the same: what came at the one is what the other sent and did not lose."""
    channel = Channel(seed, window)
    sender, receiver = channel.sender, channel.receiver
    sender.queue(0, size)
    assert sender.unfinished
    for _ in range(3_000):
        if not sender.unfinished and not channel.under_way and not channel.late:
            break
        channel.send()
        channel.move()
        assert sender._counted == receiver.came + channel.flying()
        assert receiver.limit == receiver.came + window
        assert sender.acked <= receiver.stored
    assert channel.store.came == set(range(size))
    assert sender.acked == receiver.stored == size
    assert not sender.pending
    assert not sender.unfinished


@settings(max_examples=25)
@given(st.integers(0, 1 << 32))
def test_files_that_are_sent_again_cost_no_credit_for_ever(seed: int) -> None:
    """A hundred restarts of ranges larger than the window, with losses, and it still moves."""
    channel = Channel(seed, 500)
    sender, receiver = channel.sender, channel.receiver
    for _ in range(20):
        receiver.forget(0, 3_000)
        channel.store.came.clear()
        sender.queue(0, 3_000)
        assert sender.unfinished
        for _ in range(2_000):
            if not sender.unfinished and not channel.under_way and not channel.late:
                break
            channel.send()
            channel.move()
        assert channel.store.came == set(range(3_000))
    assert sender._counted == receiver.came


def test_new_content_stops_at_the_limit_and_lost_content_does_not() -> None:
    sender = ContentSender(100)
    sender.queue(0, 1_000)
    assert sender.take(60) == (0, 60)
    assert sender.take(60) == (60, 100)
    assert not sender.pending
    sender.again(0, 30)
    assert sender.take(100) == (0, 30)
    sender.on_lost(60, 100)
    assert sender.take(100) == (60, 100)
    assert not sender.pending
    sender.limit = 140
    assert sender.take(100) == (100, 110)


def test_what_is_lost_goes_before_what_is_new() -> None:
    sender = ContentSender(1_000)
    sender.queue(0, 500)
    sender.take(200)
    sender.on_lost(50, 60)
    assert sender.take(100) == (50, 60)
    assert sender.take(100) == (200, 300)


def test_what_has_arrived_another_way_is_not_sent_again() -> None:
    sender = ContentSender(1_000)
    sender.queue(0, 300)
    sender.take(300)
    sender.on_acked(100, 200)
    sender.on_lost(0, 300)
    assert [sender.take(1_000), sender.take(1_000)] == [(0, 100), (200, 300)]
    sender.on_lost(0, 100)
    sender.on_late(0, 100)
    assert not sender.pending
    assert sender.unfinished
    sender.on_acked(200, 300)
    assert not sender.unfinished


def test_what_is_still_queued_is_not_queued_twice_when_an_old_copy_is_lost() -> None:
    sender = ContentSender(1_000)
    sender.queue(0, 100)
    sender.take(100)
    sender.queue(0, 100)
    sender.on_lost(0, 100)
    assert sender.take(1_000) == (0, 100)
    assert not sender.pending


def test_what_was_to_be_sent_again_is_sent_once_when_it_is_queued_anew() -> None:
    sender = ContentSender(1_000)
    sender.queue(0, 100)
    sender.take(100)
    sender.on_lost(20, 60)
    sender.queue(0, 100)
    assert sender.take(1_000) == (0, 100)
    assert not sender.pending


def test_tr08_with_no_credit_nothing_is_pending_but_it_is_unfinished() -> None:
    sender = ContentSender(0)
    sender.queue(0, 10)
    assert not sender.pending
    assert sender.unfinished


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (99, 101),
        (100, 101),
        (199, 201),
        (0, 10),
        (150, 350),
        (1 << 63, (1 << 63) + 1),
        (2**64 - 1, 2**64),
    ],
)
def test_tr07_content_outside_what_was_asked_for_is_a_breach(start: int, end: int) -> None:
    receiver = ContentReceiver(1_000)
    receiver.sink = Store()
    receiver.expect(101, 200)
    receiver.expect(300, 400)
    with pytest.raises(ProtocolError):
        receiver.receive(start, [memoryview(bytes(end - start))])
    assert receiver.stored == receiver.came == 0


def test_tr07_content_before_there_is_a_place_for_it_is_a_breach() -> None:
    receiver = ContentReceiver(1_000)
    receiver.expect(0, 10)
    with pytest.raises(ProtocolError):
        receiver.receive(0, [memoryview(b"x")])


def test_tr06_the_second_copy_is_dropped_unread_whatever_it_says() -> None:
    receiver, store = ContentReceiver(1_000), Store()
    receiver.sink = store
    receiver.expect(0, 100)
    receiver.receive(10, [memoryview(TRUTH)[10:20]])
    receiver.receive(10, [memoryview(b"other con!")])
    receiver.receive(
        5, [memoryview(TRUTH)[5:10], memoryview(b"other con!"), memoryview(TRUTH)[20:30]]
    )
    assert store.came == set(range(5, 30))
    assert receiver.stored == 25


def test_tr05_too_many_gaps_store_nothing_and_give_no_credit() -> None:
    receiver, store = ContentReceiver(1_000), Store()
    receiver.sink = store
    receiver.expect(0, 1 << 40)
    for number in range(RANGES):
        receiver._received.add(2 * number, 2 * number + 1)
    with pytest.raises(RangeCapError):
        receiver.receive(3 * RANGES, [memoryview(TRUTH)[:10]])
    assert receiver.came == 0
    assert not store.came
    assert len(receiver._received) == RANGES


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 80), st.integers(0, 80))
def test_cutting_slices_is_slicing_their_sum(lengths: list[int], start: int, end: int) -> None:
    slices, at = [], 0
    for length in lengths:
        slices.append(memoryview(TRUTH)[at : at + length])
        at += length
    parts = cut(slices, start, end)
    assert b"".join(parts) == TRUTH[:at][start:end]
    assert all(parts)


def test_what_is_withdrawn_is_sent_no_more_until_it_is_queued_again() -> None:
    sender = ContentSender(1_000)
    sender.queue(0, 300)
    sender.take(100)
    sender.on_lost(0, 100)
    sender.withdraw(50, 200)
    assert [sender.take(1_000), sender.take(1_000)] == [(0, 50), (200, 300)]
    assert not sender.pending
    sender.queue(50, 200)
    assert sender.take(1_000) == (50, 200)
