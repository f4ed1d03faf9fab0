"""A tiny transfer over a bare `Connection`: enough to drive every part of the transport.

    sender    OFFER size ──────────►            receiver
              ◄────────────── ACCEPT            opens content space
              CHUNKs ─────────────►
              ◄──────── DONE (all has come)
              close ──────────────►

`Peer` is one side of it; `DirectEnd` puts it on the network with keys that both ends have already.
"""

import struct
from collections.abc import Callable
from random import Random
from typing import Any

from securecp.endpoint import Burst, Endpoint
from securecp.transport.connection import Closed, Connection, ControlReceived, Lost
from securecp.transport.wire import HEADER_LENGTH, Parameters, SessionKeys
from tests.sim.ends import Content, Sink
from tests.sim.host import SimulationError

_OFFER = struct.Struct(">cQ")
NOISE = Random("noise").randbytes(6_000)
"""What the sender adds to its offer on the control stream, to fill several datagrams."""


class Peer:
    """The application on one side; `connection` may be replaced when it was lost."""

    def __init__(self, content: Content, *, sends: bool, note: Callable[[str], None]) -> None:
        self.content = content
        self.sends = sends
        self.sink = Sink(content)
        self.done = False
        self.ended: Closed | Lost | None = None
        self.connection: Connection | None = None
        self._note = note
        self._heard = bytearray()
        self._accepted = False

    def open(self, connection: Connection) -> None:
        """Begin (again) over a new connection."""
        self.connection = connection
        self.ended = None
        self._heard.clear()
        self._accepted = False
        self.sink = Sink(self.content)
        connection.sink = self.sink
        connection.source = self.content
        if self.sends:
            connection.write(_OFFER.pack(b"O", self.content.size) + NOISE)

    def poll(self) -> None:
        """Take the connection's events and act on them."""
        connection = self.connection
        if connection is None:
            return
        for event in connection.events():
            if self.ended is not None:
                raise SimulationError(f"event after the end: {event}")
            match event:
                case ControlReceived(data):
                    self._hear(data)
                case Closed():
                    self._note(f"closed {event.code} {'remote' if event.remote else 'local'}")
                    self.ended = event
                case Lost():
                    self._note("lost")
                    self.ended = event
        if not self.sends and self._accepted and not self.done and self.sink.complete:
            self.done = True
            connection.write(b"D")

    def _hear(self, data: bytes) -> None:
        connection = self.connection
        assert connection is not None
        self._heard += data
        if self.sends:
            if self._heard[:1] == b"A" and not self._accepted:
                self._accepted = True
                if self.content.size:
                    connection.send_content(0, self.content.size)
            if self._heard[1:2] == b"D" and not self.done:
                self.done = True
                connection.close(0, "done")
        elif len(self._heard) == _OFFER.size + len(NOISE):
            kind, size = _OFFER.unpack_from(self._heard)
            if kind != b"O" or size != self.content.size or self._heard[_OFFER.size :] != NOISE:
                raise SimulationError("the control stream is damaged")
            if size:
                connection.expect_content(0, size)
            self._accepted = True
            connection.write(b"A")


class DirectEnd:
    """A connection with agreed keys as an end of the network."""

    def __init__(self, connection: Connection, peer: Peer) -> None:
        self.connection = connection
        self.peer = peer
        peer.open(connection)

    def receive(self, now: float, burst: Burst) -> None:
        # The exchange routes by the index in the header: what has none never reaches a connection.
        if burst.stride < HEADER_LENGTH:
            return
        self.connection.receive(now, burst)
        self.peer.poll()

    def wake(self, now: float) -> None:
        self.connection.wake(now)
        self.peer.poll()

    def transmit(self, now: float) -> Burst | None:
        return self.connection.transmit(now)

    def deadline(self) -> float | None:
        return self.connection.deadline()


def parameters(*, aes: bool = True, largest: int = 1_452, **windows: Any) -> Parameters:
    """Parameters with the usual windows."""
    return Parameters(
        aes,
        largest,
        windows.get("control_window", 1 << 20),
        windows.get("content_window", 16 << 20),
    )


def agreed_keys(
    left: Parameters, right: Parameters, seed: int = 0
) -> tuple[SessionKeys, SessionKeys]:
    """Both sides' keys of one session, without a handshake; `left` is the initiator."""
    forth, back = bytes((1 + seed % 200,)) * 32, bytes((2 + seed % 200,)) * 31 + b"\x00"
    ours = SessionKeys(forth, back, 0x0A0A0A0A, 0x0B0B0B0B, b"R" * 32, True, b"h" * 32, left, right)
    theirs = SessionKeys(
        back, forth, 0x0B0B0B0B, 0x0A0A0A0A, b"L" * 32, False, b"h" * 32, right, left
    )
    return ours, theirs


LEFT = Endpoint("192.0.2.1", 4_400)
RIGHT = Endpoint("198.51.100.2", 4_401)
