"""The control stream over a channel that loses, repeats and reorders."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.errors import ProtocolError
from securecp.transport.control import WINDOW, ControlReceiver, ControlSender
from securecp.transport.ranges import RangeCapError


class Channel:
    """Takes what the sender gives; each piece is then acknowledged, lost or both in some order."""

    def __init__(self, rng: Random, window: int) -> None:
        self.rng = rng
        self.sender = ControlSender(window)
        self.receiver = ControlReceiver(window)
        self.under_way: list[tuple[int, bytes]] = []
        self.heard = bytearray()

    def send(self, most: int) -> None:
        if self.sender.pending:
            start, data = self.sender.take(most)
            assert 0 < len(data) <= most
            assert start + len(data) <= self.sender.limit
            self.under_way.append((start, data))

    def move(self) -> None:
        """One piece gets through, gets lost, gets through twice, or counts as lost wrongly."""
        if not self.under_way:
            return
        start, data = self.under_way.pop(self.rng.randrange(len(self.under_way)))
        luck = self.rng.random()
        if luck < 0.3:
            self.sender.lost(start, start + len(data))
            return
        for _ in range(1 + (luck > 0.9)):
            self.heard += self.receiver.receive(start, data)
            if self.rng.random() < 0.7:
                self.receiver.consume()
        if 0.6 < luck < 0.7:  # the ACK comes too late
            self.sender.lost(start, start + len(data))
        if luck > 0.4:
            self.sender.acked(start, start + len(data))
        else:
            self.sender.lost(start, start + len(data))
        self.sender.limit = max(self.sender.limit, self.receiver.limit)


@settings(max_examples=60)
@given(st.integers(0, 1 << 32), st.integers(40, 3_000))
def test_the_stream_arrives_as_it_was_written(seed: int, window: int) -> None:
    rng = Random(seed)
    channel = Channel(rng, window)
    written = bytearray()
    for _ in range(400):
        if rng.random() < 0.3 and len(written) < 5_000:
            data = rng.randbytes(rng.randrange(0, 400))
            written += data
            channel.sender.write(data)
        channel.send(rng.randrange(1, 300))
        channel.move()
        assert bytes(channel.heard) == bytes(written[: len(channel.heard)])
        assert channel.receiver.taken == len(channel.heard)
        assert channel.receiver.limit <= len(channel.heard) + window
        assert len(channel.receiver._ahead) <= window
        assert channel.sender.acknowledged <= channel.receiver.taken + window
    for _ in range(200_000):
        if channel.sender.idle:
            break
        channel.receiver.consume()
        channel.sender.limit = channel.receiver.limit
        channel.send(rng.randrange(1, 300))
        channel.move()
    assert channel.sender.idle
    assert not channel.sender.pending
    assert bytes(channel.heard) == bytes(written)
    assert channel.sender.acknowledged == len(written)
    assert channel.sender._buffer == b""


def test_nothing_leaves_past_the_limit() -> None:
    sender = ControlSender(5)
    sender.write(b"0123456789")
    assert sender.take(100) == (0, b"01234")
    assert not sender.pending
    assert not sender.idle
    sender.limit = 7
    assert sender.take(100) == (5, b"56")


def test_a_shut_window_keeps_everything() -> None:
    sender = ControlSender(0)
    sender.write(b"offer")
    assert not sender.pending
    assert not sender.idle


def test_room_shrinks_with_what_waits() -> None:
    sender = ControlSender(WINDOW)
    assert sender.room == WINDOW // 2
    sender.write(bytes(WINDOW // 2 - 10))
    assert sender.room == 10
    sender.write(bytes(20))
    assert sender.room == 0
    start, data = sender.take(WINDOW)
    sender.acked(start, start + len(data))
    assert sender.room == WINDOW // 2


def test_what_was_acknowledged_is_not_sent_again() -> None:
    sender = ControlSender(100)
    sender.write(b"abcdef")
    sender.take(6)
    sender.acked(2, 4)
    sender.lost(0, 6)
    assert sender.take(100) == (0, b"ab")
    assert sender.take(100) == (4, b"ef")
    assert not sender.pending


def test_old_bytes_are_not_delivered_twice() -> None:
    receiver = ControlReceiver(100)
    assert receiver.receive(0, b"abc") == b"abc"
    assert receiver.receive(0, b"abc") == b""
    assert receiver.receive(1, b"bcde") == b"de"
    assert receiver.receive(7, b"h") == b""
    assert receiver.receive(3, b"defghi") == b"fghi"
    assert receiver.taken == 9


def test_tr07_bytes_past_the_window_are_a_breach() -> None:
    receiver = ControlReceiver(10)
    assert receiver.receive(9, b"x") == b""
    for offset, data in ((10, b"x"), (9, b"xy"), (1 << 62, b"x")):
        with pytest.raises(ProtocolError):
            receiver.receive(offset, data)
    assert receiver.receive(0, b"012345678") == b"012345678x"
    assert receiver.limit == 10
    receiver.consume()
    assert receiver.limit == 20
    assert receiver.receive(19, b"y") == b""


def test_tr05_gaps_are_bounded_and_too_many_change_nothing() -> None:
    receiver = ControlReceiver(WINDOW)
    for number in range(256):
        assert receiver.receive(2 * number + 2, b"x") == b""
    with pytest.raises(RangeCapError):
        receiver.receive(1_000, b"x")
    assert len(receiver._ahead) < 1_000
    assert receiver.receive(0, b"ab") == b"abx"
    assert receiver.receive(1_000, b"x") == b""


def test_tr20_taking_one_byte_at_a_time_moves_no_megabyte_each_time() -> None:
    """A window full of what came early, delivered by its first byte, again and again."""
    receiver = ControlReceiver(WINDOW)
    receiver.receive(WINDOW // 2, bytes(WINDOW // 2))
    total = sum(len(receiver.receive(number, b"x")) for number in range(30_000))
    assert total == receiver.taken == 30_000
