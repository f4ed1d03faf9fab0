"""The ordered byte stream for transfer messages, both directions (SPEC §6.3).

Small beside content and needed in order; each side holds at most one window of it.
"""

from securecp.errors import ProtocolError
from securecp.transport.ranges import RangeSet

WINDOW = 1 << 20
"""Bytes that may be under way beyond what the receiver has taken."""
_RANGES = 256


class ControlSender:
    """Our bytes until the peer has acknowledged them."""

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self._base = 0
        self._written = 0
        self._waiting = RangeSet()
        self._acked = RangeSet()
        self.limit = limit
        """Offset up to which the peer lets us send."""

    @property
    def room(self) -> int:
        """Bytes that `write` takes before half a window is buffered."""
        return max(0, WINDOW // 2 - len(self._buffer))

    @property
    def idle(self) -> bool:
        """Whether everything written has been acknowledged."""
        return not self._buffer

    @property
    def pending(self) -> bool:
        """Whether something may be sent now."""
        return bool(len(self._waiting)) and self._waiting.first()[0] < self.limit

    @property
    def acknowledged(self) -> int:
        """Bytes that the peer has."""
        return self._acked.total

    def write(self, data: bytes) -> None:
        """Append to the stream."""
        self._buffer += data
        self._waiting.add(self._written, self._written + len(data))
        self._written += len(data)

    def take(self, most: int) -> tuple[int, bytes]:
        """The next bytes to send, lowest offset first; call only if `pending`."""
        start = self._waiting.first()[0]
        start, end = self._waiting.pop_first(min(most, self.limit - start))
        return start, bytes(self._buffer[start - self._base : end - self._base])

    def acked(self, start: int, end: int) -> None:
        """The peer has these."""
        self._acked.add(start, end)
        self._waiting.remove(start, end)
        first, stop = self._acked.first()
        if first <= self._base < stop:
            del self._buffer[: stop - self._base]
            self._base = stop

    def lost(self, start: int, end: int) -> None:
        """These must be sent again, unless they have been acknowledged meanwhile."""
        for begin, stop in self._acked.missing(start, end):
            self._waiting.add(begin, stop)


class ControlReceiver:
    """Their bytes, put in order."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._ahead = bytearray()
        self._have = RangeSet(cap=_RANGES)
        self.taken = 0
        """Bytes delivered in order so far."""
        self._consumed = 0

    @property
    def limit(self) -> int:
        """Offset up to which the peer may send."""
        return self._consumed + self._window

    def consume(self) -> None:
        """What was delivered has been worked off: the peer may send as much again."""
        self._consumed = self.taken

    def receive(self, offset: int, data: bytes) -> bytes:
        """What can be delivered in order, thanks to these bytes.

        ProtocolError past the window; RangeCapError (nothing kept) for too many gaps.
        """
        end = offset + len(data)
        if end > self.limit:
            raise ProtocolError("control stream past its window")
        if end <= self.taken:
            return b""
        if offset < self.taken:
            data = data[self.taken - offset :]
            offset = self.taken
        if offset == self.taken and not len(self._have):
            self.taken = end
            return data
        self._have.add(offset, end)
        at = offset - self.taken
        if len(self._ahead) < at + len(data):
            self._ahead.extend(bytes(at + len(data) - len(self._ahead)))
        self._ahead[at : at + len(data)] = data
        start, stop = self._have.first()
        if start > self.taken:
            return b""
        self._have.pop_first()
        ready = bytes(self._ahead[: stop - self.taken])
        del self._ahead[: stop - self.taken]
        self.taken = stop
        return ready
