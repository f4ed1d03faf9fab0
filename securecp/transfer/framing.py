"""Messages on the control stream: u32 length, then the message (SPEC §8.1).

The stream has no boundaries of its own: however it is cut, the same messages come out. Nothing is
kept beyond the one message that is incomplete.
"""

import struct
from collections import deque
from collections.abc import Iterator

from securecp.errors import ProtocolError

MESSAGE_LIMIT = 65_536
_LENGTH = struct.Struct(">I")


class Inbox:
    """Bytes of the stream in, whole messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> None:
        self._buffer += data

    def clear(self) -> None:
        self._buffer.clear()

    def messages(self) -> Iterator[bytes]:
        """The complete messages; each is gone from here before it is given."""
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if not 0 < length <= MESSAGE_LIMIT:
                raise ProtocolError(f"a message of {length} bytes")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield message


class Outbox:
    """Messages in, bytes of the stream out, as many as there is room for."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._head = b""

    def __bool__(self) -> bool:
        return bool(self._head or self._messages)

    def put(self, message: bytes) -> None:
        if len(message) > MESSAGE_LIMIT:
            raise ValueError(f"a message of {len(message)} bytes is ours to avoid")
        self._messages.append(_LENGTH.pack(len(message)) + message)

    def drop_unsent(self) -> None:
        """Forget the messages of which no byte has been taken; one that has begun must end."""
        self._messages.clear()

    def take(self, room: int) -> bytes:
        """At most `room` bytes to write next."""
        parts = []
        while room > 0 and self:
            part = self._head or self._messages.popleft()
            parts.append(part[:room])
            self._head = part[room:]
            room -= len(parts[-1])
        return b"".join(parts)
