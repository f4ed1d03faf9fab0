"""One client's TCP connection: WebSocket frames to messages and back; knows nothing of channels.

`websockets` reads and writes the frames, without its own tasks, queues and timers: a connection
costs a few kilobytes, and whatever came in one read is dealt with before the next.

    connected -> request -> accepted: messages both ways -> lost
                         -> answered with an HTTP response, and closed

What a client does not read is bounded: datagrams of circuits are dropped beyond 256 KiB, and beyond
twice that the connection is.
"""

import asyncio
import logging
from http import HTTPStatus
from typing import Protocol, cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from securecp.endpoint import Endpoint
from securecp.nat.relay import LARGEST_WEBSOCKET_MESSAGE
from securecp.server.tally import Event

# SPEC §13.2
LARGEST_REQUEST = 16_384
"""Bytes of the upgrade request, whatever proxies have added."""
MOST_FRAGMENTS = 64
"""Frames of one message."""
QUEUED = 256 << 10
"""Bytes that wait for a client who reads slowly; beyond, datagrams are dropped (RL-07)."""
STUCK = 2 * QUEUED

_SILENCE = logging.getLogger("securecp.server.websockets")
_SILENCE.addHandler(logging.NullHandler())
_SILENCE.propagate = False
_SILENCE.setLevel(logging.CRITICAL + 1)


class Front(Protocol):
    """Who owns the lines."""

    def now(self) -> float: ...
    def connected(self, line: "Line") -> None: ...
    def request(self, line: "Line", request: Request) -> None: ...
    def message(self, line: "Line", message: bytes) -> None: ...
    def count(self, event: Event) -> None: ...
    def lost(self, line: "Line") -> None: ...


class Line(asyncio.Protocol):
    """One connection; `front` is told of everything."""

    __slots__ = (
        "_before",
        "_front",
        "_parts",
        "_protocol",
        "_transport",
        "connected_at",
        "heard_at",
        "peer",
    )

    def __init__(self, front: Front) -> None:
        self._front = front
        self._protocol = ServerProtocol(max_size=LARGEST_WEBSOCKET_MESSAGE, logger=_SILENCE)
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] | None = None
        self._before = 0
        """Bytes that came before the connection was open."""
        self.connected_at = self.heard_at = front.now()
        self.peer = Endpoint("::", 0)
        """The other end of the TCP connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        if name:
            self.peer = Endpoint(*name[:2])
        self._front.connected(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._front.lost(self)

    def data_received(self, data: bytes) -> None:
        """Never raises: an error of ours costs one connection, not the server."""
        self.heard_at = self._front.now()
        if self._protocol.state is not State.OPEN and not self._early(len(data)):
            return
        try:
            self._protocol.receive_data(data)
            for event in self._protocol.events_received():
                self._event(event)
            self._flush()
        except Exception:
            self._front.count(Event.BUG)
            self.abort()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush()

    def accept(self, request: Request) -> bool:
        """Answer the upgrade, together with what is sent next; False if it was no upgrade."""
        response = self._protocol.accept(request)
        self._protocol.send_response(response)
        return response.status_code == HTTPStatus.SWITCHING_PROTOCOLS

    def refuse(self, status: HTTPStatus, text: str, retry_after: int | None = None) -> None:
        """Answer with an HTTP response, and close."""
        response: Response = self._protocol.reject(status, f"{text}\n")
        if retry_after is not None:
            response.headers["Retry-After"] = str(retry_after)
        self._protocol.send_response(response)
        self._flush()

    def send(self, message: bytes) -> None:
        """One message that must arrive, or the connection ends."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(message)
            self._flush()

    def send_if_free(self, message: bytes) -> bool:
        """One message that may be lost; False if it was."""
        if self._transport is None or self._transport.get_write_buffer_size() > QUEUED:
            return False
        self.send(message)
        return True

    def ping(self) -> None:
        """Ask whether somebody is there; what comes back shows in `heard_at`."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._flush()

    def close(self, code: CloseCode) -> None:
        """Say why, and close."""
        self._protocol.fail(code)
        self._flush()

    def abort(self) -> None:
        """Close without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _early(self, size: int) -> bool:
        """Whether so much more may come before there is a request."""
        self._before += size
        if self._before <= LARGEST_REQUEST:
            return True
        self._front.count(Event.BAD_REQUEST)
        self.abort()
        return False

    def _event(self, event: Request | Frame | object) -> None:
        if isinstance(event, Request):
            self._front.request(self, event)
        elif isinstance(event, Frame):
            self._frame(event)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT:
            self.close(CloseCode.UNSUPPORTED_DATA)
        elif frame.opcode is Opcode.BINARY and frame.fin:
            self._deliver(bytes(frame.data))
        elif frame.opcode in (Opcode.BINARY, Opcode.CONT):
            self._fragment(frame)

    def _fragment(self, frame: Frame) -> None:
        """A part of a message; `websockets` has checked their order and their size in all."""
        parts = self._parts = self._parts or []
        parts.append(bytes(frame.data))
        if len(parts) > MOST_FRAGMENTS:
            self.close(CloseCode.POLICY_VIOLATION)
        elif frame.fin:
            self._parts = None
            self._deliver(b"".join(parts))

    def _deliver(self, message: bytes) -> None:
        # After a close of ours nothing counts any more, although it may have come with the rest.
        if self._protocol.state is State.OPEN:
            self._front.message(self, message)

    def _flush(self) -> None:
        """Write all that there is in one call; an empty piece says that nothing comes after it."""
        pieces, transport = self._protocol.data_to_send(), self._transport
        if not pieces or transport is None:
            return
        transport.write(b"".join(pieces) if len(pieces) > 1 else pieces[0])
        if not pieces[-1]:
            transport.close()
        if transport.get_write_buffer_size() > STUCK:
            self._front.count(Event.STUCK)
            transport.abort()
