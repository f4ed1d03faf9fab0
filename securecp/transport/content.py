"""Content space in both directions: what is still to send, what has come (SPEC §6.2).

The files of a transfer form one linear space of bytes. Nothing is reassembled here: bytes that
come go straight to the sink, wherever they belong; what is remembered is a set of ranges.

Credit: the receiver says how many bytes of content it takes in all. It counts what comes, and the
sender what it sends; a loss is taken back. So both count the same, copies included, and whatever
is sent again for any reason, no credit leaks away.
"""

from collections.abc import Callable
from typing import Protocol

from securecp.errors import ProtocolError
from securecp.transport.ranges import RangeSet

RANGES = 16_384
"""Most ranges of arrived content that the peer may make, besides those that we made ourselves; a
datagram that would make one more is dropped (TR-05)."""


class ContentSource(Protocol):
    """Where content to send comes from."""

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        """Fill every slot completely with consecutive content from `offset`."""


class ContentSink(Protocol):
    """Where content that arrives goes."""

    def store(self, offset: int, slices: list[memoryview]) -> None:
        """Take one contiguous run; the slices are valid only during the call."""


class ContentSender:
    """Ranges to send, first and again."""

    def __init__(self, limit: int) -> None:
        self.source: ContentSource | None = None
        self.limit = limit
        """Bytes that the peer takes in all."""
        self.held = False
        """Whether nothing may be sent for now."""
        self.patient = False
        """Whether the peer may take as long as it likes before it takes more."""
        self._wanted = RangeSet()
        self._new = RangeSet()
        self._again = RangeSet()
        self._acked = RangeSet()
        self._counted = 0
        """Bytes sent in all, less those lost."""

    @property
    def pending(self) -> bool:
        """Whether something may be sent now."""
        more = self._again.total > 0 or (self._new.total > 0 and self._counted < self.limit)
        return more and not self.held

    @property
    def unfinished(self) -> bool:
        """Whether the peer lacks anything that was queued, and ought to take it now."""
        lacks = self._acked.total < self._wanted.total
        return lacks and (not self.patient or self.pending or self._again.total > 0)

    @property
    def sent(self) -> int:
        """Up to where in content space everything that was queued has gone out once."""
        if self._new.total:
            return self._new.first()[0]
        return self._wanted.last()[1] if self._wanted.total else 0

    @property
    def unsent(self) -> int:
        """Bytes that were queued and have not gone out once."""
        return self._new.total

    @property
    def acked_to(self) -> int:
        """Up to where the peer has everything, from 0 on."""
        if self._acked.total and self._acked.first()[0] == 0:
            return self._acked.first()[1]
        return 0

    @property
    def acked(self) -> int:
        """Bytes that the peer has."""
        return self._acked.total

    def queue(self, start: int, end: int) -> None:
        """Send this range, whatever happened to it before.

        What was sent before must have arrived or be lost by now: an ACK of the old bytes would
        pass for one of the new. The transfer asks for a file anew only after the receiver has said
        that it has forgotten it, in a datagram that acknowledges all that came until then.
        """
        self._wanted.add(start, end)
        self._again.remove(start, end)
        self._acked.remove(start, end)
        self._new.add(start, end)

    def skip(self, start: int, end: int) -> None:
        """The peer has this range, or will never need it: as if it had been acknowledged."""
        self._wanted.add(start, end)
        self.withdraw(start, end)
        self._acked.add(start, end)

    def _next(self, most: int) -> tuple[RangeSet, int]:
        """Where to take from, and how much: what is lost goes first, and needs no credit."""
        if self._again.total:
            return self._again, most
        return self._new, min(most, self.limit - self._counted)

    def next_length(self, most: int) -> int:
        """How many bytes `take` would give."""
        ranges, most = self._next(most)
        start, end = ranges.first()
        return min(most, end - start)

    def withdraw(self, start: int, end: int) -> None:
        """Send no more of this range, until it is queued again."""
        self._new.remove(start, end)
        self._again.remove(start, end)

    def take(self, most: int) -> tuple[int, int]:
        """A range of at most `most` bytes to send now; call only if `pending`."""
        ranges, most = self._next(most)
        start, end = ranges.pop_first(most)
        self._counted += end - start
        return start, end

    def fill(self, start: int, slots: list[memoryview]) -> None:
        """Have the source fill the slots with the content from `start` on."""
        assert self.source is not None
        self.source.fill(start, slots)

    def on_acked(self, start: int, end: int) -> None:
        """The peer has this range."""
        self._acked.add_new(start, end)
        if self._again.total:
            self._again.remove(start, end)

    def on_late(self, start: int, end: int) -> None:
        """The peer has this range after all, though it was taken for lost."""
        self._counted += end - start
        self.on_acked(start, end)

    def on_lost(self, start: int, end: int) -> None:
        """This range was lost and must go out again, unless it has arrived by another way."""
        self._counted -= end - start
        self.again(start, end)

    def again(self, start: int, end: int) -> None:
        """Send another copy of this range, unless it has arrived."""
        for begin, stop in self._acked.missing(start, end):
            for first, last in self._new.missing(begin, stop):
                self._again.add(first, last)


class ContentReceiver:
    """What we take, what has come."""

    def __init__(self, window: int) -> None:
        self.sink: ContentSink | None = None
        self.window = window
        self._expected = RangeSet()
        self._received = RangeSet(cap=RANGES)
        self.came = 0
        """Bytes that have come in CHUNKs that were accepted, copies included."""
        self.granted: int | None = None
        """Bytes that the peer may send in all, in place of the window."""

    @property
    def stored(self) -> int:
        """Bytes that have come and were not forgotten."""
        return self._received.total

    @property
    def lacking(self) -> bool:
        """Whether something that is expected has not come."""
        return self._received.total < self._expected.total

    @property
    def limit(self) -> int:
        """Bytes of content that the peer may send in all."""
        return self.came + self.window if self.granted is None else self.granted

    def expect(self, start: int, end: int) -> None:
        """Open this part of content space, for bytes that have not come."""
        self._expected.add(start, end)
        self.forget(start, end)

    def forget(self, start: int, end: int) -> None:
        """Take this range once more."""
        self._change(self._received.remove, start, end)

    def waive(self, start: int, end: int) -> None:
        """Nothing of this range is to come: as if it had, so what comes is dropped unread."""
        self._expected.add(start, end)
        self._change(self._received.add, start, end)

    def _change(self, change: Callable[[int, int], None], start: int, end: int) -> None:
        """A change of our own making; the ranges that it takes are not the peer's."""
        received, cap = self._received, self._received.cap
        assert cap is not None
        before, received.cap = len(received), None
        change(start, end)
        received.cap = cap + max(0, len(received) - before)

    def receive(self, offset: int, slices: list[memoryview]) -> None:
        """Hand what is new of a contiguous run to the sink; what has come before is dropped unread.

        ProtocolError outside what is expected; RangeCapError (nothing stored) for too many gaps.
        """
        end = offset + sum(map(len, slices))
        if self.sink is None or not self._expected.covers(offset, end):
            raise ProtocolError("content that was not asked for")
        fresh = self._received.add_new(offset, end)
        self.came += end - offset
        if fresh == [(offset, end)]:
            self.sink.store(offset, slices)
            return
        for start, stop in fresh:
            self.sink.store(start, cut(slices, start - offset, stop - offset))


def cut(slices: list[memoryview], start: int, end: int) -> list[memoryview]:
    """The bytes `[start, end)` of slices laid end to end, without copying."""
    out = []
    at = 0
    for part in slices:
        low, high = max(start - at, 0), min(end - at, len(part))
        if low < high:
            out.append(part[low:high])
        at += len(part)
    return out
