"""Content that is not wanted is dropped unread, and what we waive takes no room from the peer."""

import pytest

from securecp.transport.content import RANGES, ContentReceiver, ContentSender
from securecp.transport.ranges import RangeCapError


class Sink:
    def __init__(self) -> None:
        self.stored: list[tuple[int, int]] = []

    def store(self, offset: int, slices: list[memoryview]) -> None:
        self.stored.append((offset, sum(map(len, slices))))


def receiver() -> tuple[ContentReceiver, Sink]:
    content, sink = ContentReceiver(1 << 20), Sink()
    content.sink = sink
    return content, sink


def come(content: ContentReceiver, start: int, end: int) -> None:
    content.receive(start, [memoryview(bytes(end - start))])


def test_mf05_what_is_waived_never_reaches_the_disk() -> None:
    content, sink = receiver()
    content.expect(0, 100)
    content.waive(20, 40)
    assert content.stored == 20 and content.lacking
    come(content, 10, 50)
    assert sink.stored == [(10, 10), (40, 10)]
    assert content.came == 40  # it counts, as copies do
    come(content, 0, 10)
    come(content, 50, 100)
    assert content.stored == 100 and not content.lacking


def test_what_is_expected_again_comes_again() -> None:
    content, sink = receiver()
    content.expect(0, 100)
    content.waive(20, 40)
    content.expect(20, 30)
    come(content, 20, 40)
    assert sink.stored == [(20, 10)]
    assert content.lacking


def test_tr05_what_we_waive_takes_no_room_from_the_peer() -> None:
    """100,000 files that are here: the gaps between them are ours."""
    content, sink = receiver()
    content.expect(0, 1_000_000)
    for start in range(0, 1_000_000, 10):
        content.waive(start, start + 5)
    for start in range(7, 20_000, 10):
        come(content, start, start + 1)
    assert len(sink.stored) == 2_000
    content, sink = receiver()
    content.expect(0, 1_000_000)
    content.waive(0, 1_000_000)
    for start in range(0, 1_000_000, 10):
        content.expect(start, start + 5)
    come(content, 1, 3)
    assert sink.stored == [(1, 2)]


def test_tr05_the_peer_has_its_own_limit_all_the_same() -> None:
    content, _ = receiver()
    content.expect(0, 10 * RANGES)
    content.waive(0, 5)
    for number in range(RANGES):
        come(content, 7 + 2 * number, 8 + 2 * number)
    with pytest.raises(RangeCapError):
        come(content, 9 * RANGES, 9 * RANGES + 1)


def test_what_is_skipped_counts_as_acknowledged() -> None:
    out = ContentSender(1 << 20)
    out.skip(0, 100)
    assert (out.acked, out.acked_to, out.sent, out.unfinished) == (100, 100, 100, False)
    out.queue(40, 60)
    assert (out.acked, out.acked_to, out.sent, out.unfinished) == (80, 40, 40, True)
    assert out.take(1_000) == (40, 60)
    out.on_lost(40, 60)
    out.skip(50, 60)
    assert out.take(1_000) == (40, 50)
    out.on_acked(40, 50)
    assert out.acked == 100 and not out.unfinished


def test_a_patient_sender_does_not_count_what_it_may_not_send() -> None:
    out = ContentSender(10)
    out.queue(0, 20)
    out.take(100)
    assert out.unfinished
    out.patient = True
    assert not out.unfinished
    out.on_lost(0, 10)
    assert out.unfinished
