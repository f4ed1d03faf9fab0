"""A WebSocket over a connection that does not block: messages out of bytes, and back (RFC 6455).

The frames are those of the library `websockets`; its own connections are not used, since they wait
with messages that have gone stale, and start two threads each. Compression is not offered: what is
sealed does not shrink.
"""

import logging
import socket
import time
from collections import deque
from typing import Any

LONGEST_MESSAGE = 70 << 10
NOTSENT = 64 << 10
"""Bytes that the kernel takes ahead of what it sends; the rest waits here, where it can be told
what is old."""
_READ = 256 << 10
"""Bytes to read before it is time to write."""
_FRAGMENTS = 64
_CONTINUATION, _TEXT, _BINARY, _CLOSE = 0, 1, 2, 8
_SILENCE = logging.getLogger("securecp.net.websocket")
_SILENCE.addHandler(logging.NullHandler())
_SILENCE.propagate = False
_SILENCE.setLevel(logging.CRITICAL + 1)


class RefusedError(OSError):
    """There is a web server, but it does not take our request."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class LostError(OSError):
    """The connection is over."""


class WebSocket:
    """Reads and writes what can be read and written now."""

    def __init__(self, connection: socket.socket, authority: tuple[str, int], path: str) -> None:
        """Has the request written; `connection` is ours from now on. It may be an `SSLSocket`."""
        from websockets.client import ClientProtocol
        from websockets.uri import WebSocketURI

        self._socket = connection
        connection.setblocking(False)
        secure = hasattr(connection, "pending")
        _keep_little(connection)
        host, port = authority
        uri = WebSocketURI(secure, host, port, path, "")
        self._protocol = ClientProtocol(uri, max_size=LONGEST_MESSAGE, logger=_SILENCE)
        self._pieces: deque[memoryview] = deque()
        self.waiting = 0
        """Bytes that the kernel has not taken yet."""
        self._fragments: list[Any] = []
        self.open = False
        """Whether the server has agreed."""
        self.heard_at = time.monotonic()
        self.opened_at = 0.0
        self._end: OSError | None = None
        self._protocol.send_request(self._protocol.connect())
        self._take()
        self.write()

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def send(self, message: bytes) -> None:
        """Have it written, by `write`."""
        self._protocol.send_binary(message)
        self._take()

    def ping(self) -> None:
        """Have the server say something."""
        self._protocol.send_ping(b"")
        self._take()

    def write(self) -> None:
        """Give the kernel what it takes; LostError if the connection is over."""
        while self._pieces:
            piece = self._pieces[0]
            try:
                count = self._socket.send(piece)
            except OSError as error:
                if _later(error):
                    return
                raise LostError("the connection broke") from error
            self.waiting -= count
            if count < len(piece):
                self._pieces[0] = piece[count:]
            else:
                self._pieces.popleft()

    def read(self) -> list[bytearray]:
        """Messages that are complete. LostError or RefusedError if there will be no more."""
        if self._end is not None:
            raise self._end
        messages: list[bytearray] = []
        try:
            size = 0
            while size < _READ and (data := self._receive()):
                size += len(data)
                self._digest(data, messages)
        except OSError as error:
            if not messages:
                raise
            self._end = error  # told when those have been dealt with
        return messages

    @property
    def more(self) -> bool:
        """Whether there is something to read that `select` does not see: TLS holds records back."""
        pending = getattr(self._socket, "pending", None)
        return self._end is not None or (pending is not None and pending() > 0)

    def close(self) -> None:
        """Say goodbye as far as that can be done at once, and close."""
        try:
            if self.open:
                self._protocol.send_close(1000)
                self._take()
                self.write()
        except Exception:  # noqa: S110 - whatever the state, it is over
            pass
        self._socket.close()

    def _receive(self) -> bytes:
        """Nothing if there is nothing now."""
        try:
            data = self._socket.recv(_READ)
        except OSError as error:
            if _later(error):
                return b""
            raise LostError("the connection broke") from error
        if not data:
            self._protocol.receive_eof()
            raise LostError("the server hung up")
        self.heard_at = time.monotonic()
        return data

    def _digest(self, data: bytes, messages: list[bytearray]) -> None:
        self._protocol.receive_data(data)
        self._take()
        events = self._protocol.events_received()
        if not self.open:
            if self._protocol.handshake_exc is not None:
                status = getattr(events[0], "status_code", 0) if events else 0
                raise RefusedError(status)
            if not events:
                return
            del events[0]  # the server's agreement
            self.open = True
            self.opened_at = self.heard_at
        for event in events:
            self._on_frame(event, messages)
        if self._protocol.parser_exc is not None:
            raise LostError("the server's WebSocket is broken")

    def _on_frame(self, frame: Any, messages: list[bytearray]) -> None:
        if frame.opcode == _CLOSE:
            raise LostError("the server said goodbye")
        if frame.opcode == _TEXT:
            raise LostError("the server sent text")
        if frame.opcode not in (_CONTINUATION, _BINARY):
            return
        self._fragments.append(frame.data)
        if len(self._fragments) > _FRAGMENTS:
            raise LostError("the server cuts its messages too small")
        if frame.fin:
            parts, self._fragments = self._fragments, []
            whole = parts[0] if len(parts) == 1 else b"".join(parts)
            messages.append(whole if isinstance(whole, bytearray) else bytearray(whole))

    def _take(self) -> None:
        for piece in self._protocol.data_to_send():
            if piece:  # the end of the stream is ours to tell
                self._pieces.append(memoryview(piece))
                self.waiting += len(piece)


def _later(error: OSError) -> bool:
    """Whether it is a matter of time; TLS has names of its own for that."""
    return isinstance(error, (BlockingIOError, InterruptedError)) or type(error).__name__ in (
        "SSLWantReadError",
        "SSLWantWriteError",
    )


def _keep_little(connection: socket.socket) -> None:
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, option, NOTSENT)
        except OSError:
            return
