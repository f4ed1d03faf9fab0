"""A sealed datagram longer than the path carries, cut into fragments and put together (SPEC §5.5).

One AEAD call for a whole burst costs a fraction of one for each datagram of it. So where hardly
anything is lost, a burst is sealed as one long datagram and leaves as a train of fragments: each
bears the header of the whole, with its own number in it. What is lost of a train is lost with all
of it; `TrainPolicy` says when that is worth it.

    sealed whole   header(number 0) | sealed ………………………………………………… | tag
    fragments      header(0) | piece 0     header(1) | piece 1     …     header(last) | piece

Nothing is known of a fragment before the whole has verified: it makes no promise, moves no timer,
and costs at most `Assembly`'s memory. Someone on the path who adds forged fragments can spoil
trains; then they count as lost, and datagrams go out one by one, which nobody can spoil so.
"""

from securecp.transport.wire import (
    HEADER_LENGTH,
    LARGEST_DATAGRAM,
    MOST_DATAGRAMS,
    TAG_LENGTH,
    per_call,
)

WHOLES = 16
"""Datagrams that may be incomplete at once; the oldest gives way (at most 1 MiB in all)."""
_NUMBERS = bytes(range(MOST_DATAGRAMS))


def numbers(count: int) -> bytes:
    """The numbers of a complete train in order, as a strided look at its headers shows them."""
    return _NUMBERS[:count]


def whole_length(stride: int) -> int:
    """Bytes of the whole that is cut into as many full fragments as one system call sends."""
    return HEADER_LENGTH + per_call(stride) * (stride - HEADER_LENGTH)


class Cutter:
    """Cuts wholes that lie end to end in a buffer into full fragments; slices are made once."""

    __slots__ = ("_buffer", "_count", "_heads", "_length", "_parts")

    def __init__(self, buffer: memoryview, stride: int) -> None:
        self._buffer = buffer
        self._count = per_call(stride)
        self._length = whole_length(stride)
        wholes = len(buffer) // self._length
        self._heads = bytearray(wholes * self._count * HEADER_LENGTH)
        heads = memoryview(self._heads)
        piece = stride - HEADER_LENGTH
        self._parts: list[memoryview] = []
        for fragment in range(wholes * self._count):
            whole, number = divmod(fragment, self._count)
            head = fragment * HEADER_LENGTH
            at = whole * self._length + HEADER_LENGTH + number * piece
            self._parts.append(heads[head : head + HEADER_LENGTH])
            self._parts.append(buffer[at : at + piece])

    def cut(self, wholes: int) -> bytes:
        """The fragments of the first so many wholes, end to end."""
        size = self._count * HEADER_LENGTH
        for whole in range(wholes):
            at = whole * self._length
            header = self._buffer[at : at + HEADER_LENGTH].tobytes()
            self._heads[whole * size : (whole + 1) * size] = header * self._count
        self._heads[2 : wholes * size : HEADER_LENGTH] = _NUMBERS[: self._count] * wholes
        return b"".join(self._parts[: 2 * wholes * self._count])


class _Whole:
    """The fragments of one datagram that have come so far."""

    __slots__ = ("header", "last", "pieces", "size")

    def __init__(self, last: int) -> None:
        self.header = b""
        self.last = last
        self.pieces: dict[int, bytes] = {}
        self.size = 0


class Assembly:
    """Fragments that came out of turn or in several bursts; all of it is yet to be verified."""

    def __init__(self) -> None:
        self._wholes: dict[int, _Whole] = {}

    def add(self, counter: int, header: bytes, piece: bytes) -> tuple[bytes, bytes] | None:
        """Keep a copy of a fragment; the header of number 0 and the sealed bytes, once complete.

        The first of several with one number counts; what does not fit together is dropped.
        """
        number, last = header[2], header[3]
        if not 0 < last < MOST_DATAGRAMS or number > last:
            return None
        whole = self._wholes.get(counter)
        if whole is None:
            if len(self._wholes) >= WHOLES:
                del self._wholes[next(iter(self._wholes))]
            whole = self._wholes[counter] = _Whole(last)
        fits = whole.size + len(piece) <= LARGEST_DATAGRAM - HEADER_LENGTH
        if last != whole.last or number in whole.pieces or not fits:
            return None
        if not number:
            whole.header = header
        whole.pieces[number] = piece
        whole.size += len(piece)
        if len(whole.pieces) <= last or whole.size < TAG_LENGTH:
            return None
        del self._wholes[counter]
        return whole.header, b"".join(whole.pieces[number] for number in range(last + 1))
