"""The ledger of bursts in flight: one record per burst, with a bit for each datagram not yet acked.

It knows which datagrams an ACK names, which are overdue, and how many bytes are out; it does not
know what a loss means for rates (`recovery.py`) or content (`connection.py`) (SPEC §7.1).

    records   first counter ─►  [■■■■□□■■] [■■■■■■■■] [■■■ …      ■ missing, □ acknowledged
                                 oldest                newest
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from securecp.transport.congestion import Stamp

Part = tuple["Record", int]
"""A record, and a bit mask that picks datagrams of it."""

_LATE_KEPT = 256


class Record:
    """One burst that asks for an ACK: what it carried, and which datagrams are still missing."""

    __slots__ = (
        "count",
        "first",
        "items",
        "length",
        "missing",
        "offset",
        "probe",
        "sent_at",
        "size",
        "slot",
        "stamp",
        "stride",
    )

    def __init__(self, first: int, count: int, stride: int, size: int, sent_at: float) -> None:
        self.first = first
        self.count = count
        self.stride = stride
        self.size = size
        """Bytes of all its datagrams."""
        self.sent_at = sent_at
        self.missing = (1 << count) - 1
        self.stamp: Stamp | None = None
        self.offset = 0
        self.length = 0
        """Content bytes from `offset`; 0 for a datagram of frames."""
        self.slot = 0
        self.items: tuple[object, ...] = ()
        """What a datagram of frames carried that must be sent again if it is lost."""
        self.probe = 0
        """The datagram size that this record tries out, 0 for none; no sign of congestion."""

    def missing_below(self, counter: int) -> int:
        """The missing datagrams whose counters are below this one, as a mask."""
        if counter >= self.first + self.count:
            return self.missing
        return self.missing & ((1 << max(counter - self.first, 0)) - 1)

    def bytes_of(self, bits: int) -> int:
        """Datagram bytes that the mask picks."""
        size = bits.bit_count() * self.stride
        if bits >> (self.count - 1) & 1:
            size -= self.count * self.stride - self.size
        return size

    def content_of(self, bits: int) -> Iterator[tuple[int, int]]:
        """Half-open content ranges that the mask picks, ascending."""
        end = self.offset + self.length
        for start, stop in runs(bits):
            yield self.offset + start * self.slot, min(self.offset + stop * self.slot, end)


class Flight:
    """All records in order of their counters, and the bytes in flight."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._firsts: list[int] = []
        self._late: list[Record] = []
        self._late_firsts: list[int] = []
        self.bytes = 0
        self.largest_acked = -1
        """Highest counter that an ACK has named."""

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def add(self, record: Record) -> None:
        """A burst has left; counters only grow."""
        self._records.append(record)
        self._firsts.append(record.first)
        self.bytes += record.size

    def carries(self, start: int, end: int) -> bool:
        """Whether anything of this content range is in flight."""
        return any(
            first < end and start < stop
            for record in self._records
            if record.length
            for first, stop in record.content_of(record.missing)
        )

    def acknowledge(self, ranges: Iterable[tuple[int, int]]) -> tuple[list[Part], list[Part]]:
        """Take out what the counter ranges name: (newly acked, acked after it was lost)."""
        acked: list[Part] = []
        late: list[Part] = []
        for start, end in ranges:
            self.largest_acked = max(self.largest_acked, end - 1)
            for record, bits in _take(self._records, self._firsts, start, end):
                self.bytes -= record.bytes_of(bits)
                acked.append((record, bits))
            if self._late_firsts and end > self._late_firsts[0]:
                late.extend(_take(self._late, self._late_firsts, start, end))
        return acked, late

    def overdue(self, before: int, sent_until: float) -> list[Part]:
        """Take out, as lost, what is below counter `before` and either far enough or old enough.

        `before` is the largest acknowledged counter less the reordering threshold, plus one;
        what was sent at or before `sent_until` is lost below the largest acknowledged. Above that
        nothing is: the rest of a burst may still be on its way down a slow link.
        """
        lost: list[Part] = []
        for record in self._records:
            old = record.sent_at <= sent_until
            below = self.largest_acked if old else before
            if record.first >= below:
                break
            bits = record.missing_below(below)
            if bits:
                lost.append((record, bits))
        return [self._lose(record, bits) for record, bits in lost]

    def drain(self) -> list[Part]:
        """Take out everything, as lost."""
        return [self._lose(record, record.missing) for record in list(self._records)]

    def _lose(self, record: Record, bits: int) -> Part:
        self.bytes -= record.bytes_of(bits)
        record.missing &= ~bits
        if not record.missing:
            at = bisect_left(self._firsts, record.first)
            del self._records[at], self._firsts[at]
        self._remember(record, bits)
        return record, bits

    def _remember(self, record: Record, bits: int) -> None:
        """Keep the lost part for a while: an ACK for it shows reordering, not loss."""
        late = Record(record.first, record.count, record.stride, record.size, record.sent_at)
        late.offset, late.length, late.slot = record.offset, record.length, record.slot
        late.missing = bits
        at = bisect_right(self._late_firsts, late.first)
        self._late.insert(at, late)
        self._late_firsts.insert(at, late.first)
        if len(self._late) > _LATE_KEPT:
            del self._late[0], self._late_firsts[0]

    def oldest(self) -> Record | None:
        """The record that has waited longest."""
        return self._records[0] if self._records else None


def _take(records: list[Record], firsts: list[int], start: int, end: int) -> list[Part]:
    """Clear the bits of counters `[start, end)`; records with none left go."""
    at = max(bisect_right(firsts, start) - 1, 0)
    taken: list[Part] = []
    done_from = done_to = -1
    while at < len(records) and firsts[at] < end:
        record = records[at]
        low = max(start - record.first, 0)
        high = min(end - record.first, record.count)
        bits = record.missing & ((1 << high) - (1 << low)) if high > low else 0
        if bits:
            record.missing &= ~bits
            taken.append((record, bits))
            if not record.missing:
                done_from = at if done_from < 0 else done_from
                done_to = at + 1
        at += 1
    if done_from >= 0:
        _drop_done(records, firsts, done_from, done_to)
    return taken


def _drop_done(records: list[Record], firsts: list[int], start: int, end: int) -> None:
    kept = [record for record in records[start:end] if record.missing]
    records[start:end] = kept
    firsts[start:end] = [record.first for record in kept]


def runs(bits: int) -> Iterator[tuple[int, int]]:
    """Half-open runs of set bits, lowest first."""
    at = 0
    while bits:
        skip = (bits & -bits).bit_length() - 1
        bits >>= skip
        length = (~bits & (bits + 1)).bit_length() - 1
        yield at + skip, at + skip + length
        at += skip + length
        bits >>= length
