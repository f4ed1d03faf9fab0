"""The ledger of bursts against a dictionary of single datagrams."""

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.transport.flight import Flight, Part, Record, runs

SLOT = 10


class Datagram(NamedTuple):
    """What the model knows of one datagram."""

    sent_at: float
    size: int
    content: tuple[int, int]


class Model:
    """In flight, lost: each a dict by counter."""

    def __init__(self) -> None:
        self.flying: dict[int, Datagram] = {}
        self.lost: dict[int, Datagram] = {}
        self.largest = -1

    def acknowledge(self, ranges: list[tuple[int, int]]) -> tuple[set[int], set[int]]:
        named = {counter for start, end in ranges for counter in range(start, end)}
        self.largest = max(self.largest, *(end - 1 for _, end in ranges))
        acked, late = named & self.flying.keys(), named & self.lost.keys()
        for counter in acked:
            del self.flying[counter]
        for counter in late:
            del self.lost[counter]
        return acked, late

    def overdue(self, before: int, sent_until: float) -> set[int]:
        out = {
            counter
            for counter, datagram in self.flying.items()
            if counter < before or (counter < self.largest and datagram.sent_at <= sent_until)
        }
        for counter in out:
            self.lost[counter] = self.flying.pop(counter)
        return out


def counters(parts: list[Part]) -> list[int]:
    return [
        record.first + at
        for record, bits in parts
        for start, end in runs(bits)
        for at in range(start, end)
    ]


def content(parts: list[Part]) -> list[tuple[int, int]]:
    return sorted(piece for record, bits in parts for piece in record.content_of(bits))


def merged(pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for start, end in sorted(pieces):
        if out and out[-1][1] == start:
            out[-1] = out[-1][0], end
        else:
            out.append((start, end))
    return out


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "ack", "lose"]),
        st.integers(0, 70),
        st.integers(1, 12),
        st.integers(0, 9),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(STEPS)
def test_it_behaves_like_a_dictionary_of_datagrams(
    steps: list[tuple[str, int, int, int]],
) -> None:
    flight, model = Flight(), Model()
    following, offset, now = 0, 0, 0.0
    for kind, one, two, three in steps:
        now += 0.25 * (three % 3)
        if kind == "send":
            following += three == 9  # a counter left out
            count, short = two, three % SLOT
            record = Record(following, count, 100, 100 * count - short, now)
            record.offset, record.length, record.slot = offset, SLOT * count - short, SLOT
            flight.add(record)
            for at in range(count):
                start = offset + SLOT * at
                end = min(start + SLOT, offset + record.length)
                size = 100 - (short if at == count - 1 else 0)
                model.flying[following + at] = Datagram(now, size, (start, end))
            following += count
            offset += record.length
        elif kind == "ack":
            top = max(following - one % 30, 1)
            ranges = [(max(top - two, 0), top)]
            if ranges[0][0] - three - 1 > 0:
                ranges.append((max(ranges[0][0] - three - 6, 0), ranges[0][0] - three - 1))
            before = dict(model.flying), dict(model.lost)
            acked, late = flight.acknowledge(ranges)
            expected_acked, expected_late = model.acknowledge(ranges)
            assert set(counters(acked)) == expected_acked
            assert set(counters(late)) == expected_late
            assert merged(content(acked)) == merged(
                [before[0][counter].content for counter in expected_acked]
            )
            assert merged(content(late)) == merged(
                [before[1][counter].content for counter in expected_late]
            )
        else:
            threshold = flight.largest_acked - three
            lost = flight.overdue(threshold, now - 0.3)
            assert set(counters(lost)) == model.overdue(threshold, now - 0.3)
        assert flight.largest_acked == model.largest
        assert flight.bytes == sum(datagram.size for datagram in model.flying.values())
        flying = counters([(record, record.missing) for record in flight])
        assert flying == sorted(model.flying)
        assert all(record.missing for record in flight)
        oldest = flight.oldest()
        assert (oldest is None) == (not model.flying)
        assert oldest is None or oldest.first <= min(model.flying) < oldest.first + oldest.count


@given(st.integers(0, (1 << 64) - 1))
def test_runs_are_the_set_bits(bits: int) -> None:
    found = list(runs(bits))
    assert sum(((1 << end) - 1) ^ ((1 << start) - 1) for start, end in found) == bits
    assert all(end < start for (_, end), (start, _) in pairwise(found))


@pytest.mark.parametrize(
    ("bits", "size"), [(0b1111, 370), (0b1000, 70), (0b0111, 300), (0b0001, 100), (0b1001, 170)]
)
def test_the_last_datagram_of_a_burst_may_be_shorter(bits: int, size: int) -> None:
    assert Record(0, 4, 100, 370, 0.0).bytes_of(bits) == size


def test_nothing_above_the_largest_acknowledged_is_lost_by_age() -> None:
    """RFC 9002 §6.1: the rest of a burst may still be on its way down a slow link."""
    flight = Flight()
    flight.add(Record(0, 10, 100, 1_000, 0.0))
    flight.add(Record(10, 5, 100, 500, 0.0))
    flight.acknowledge([(2, 4)])
    assert counters(flight.overdue(0, 1e9)) == [0, 1]
    assert flight.bytes == 1_100


def test_what_is_far_enough_below_is_lost_at_any_age() -> None:
    flight = Flight()
    flight.add(Record(0, 10, 100, 1_000, 5.0))
    flight.acknowledge([(8, 9)])
    assert counters(flight.overdue(8 - 3 + 1, 0.0)) == [0, 1, 2, 3, 4, 5]


def test_the_memory_of_what_was_lost_is_bounded() -> None:
    flight = Flight()
    for number in range(2_000):
        flight.add(Record(2 * number, 1, 100, 100, 0.0))
    flight.acknowledge([(4_001, 4_002)])
    assert len(flight.overdue(4_000, 0.0)) == 2_000
    assert len(flight._late) == len(flight._late_firsts) == 256
    _, late = flight.acknowledge([(0, 4_000)])
    assert counters(late) == list(range(4_000 - 512, 4_000, 2))


def test_tr04_an_ack_of_all_that_ever_was_visits_only_what_is_missing() -> None:
    flight = Flight()
    for number in range(1_000):
        flight.add(Record(number, 1, 100, 100, 0.0))
    flight.acknowledge([(0, 999)])
    assert len(flight) == 1
    assert flight.acknowledge([(0, 999)]) == ([], [])
    assert flight.bytes == 100


def test_it_knows_whether_anything_of_a_range_is_in_flight() -> None:
    """Datagram by datagram; frames carry nothing."""
    flight = Flight()
    record = Record(0, 3, 40, 120, 0.0)
    record.offset, record.length, record.slot = 100, 30, SLOT
    flight.add(record)
    flight.add(Record(3, 1, 40, 40, 0.0))
    assert flight.carries(0, 101) and flight.carries(129, 200) and flight.carries(0, 1_000)
    assert not flight.carries(0, 100) and not flight.carries(130, 200)
    flight.acknowledge([(0, 2)])
    assert not flight.carries(100, 120)
    assert flight.carries(119, 121)
    flight.acknowledge([(2, 4)])
    assert not flight.carries(0, 1_000)
