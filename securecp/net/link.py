"""One server: a thread that keeps a sealed channel to it, and what goes in and out by queues.

    loop's thread                                 the link's thread
    tell, Circuit.send       ─► outbox, bell ─►   seal, WebSocket, TLS, TCP
    events, Circuit.receive  ◄─ queues, `ring` ◄─  open

The thread connects at once, again after each loss, and waits longer each time it is in vain; where
somebody else is in the server's place, it waits longest (RV-14). What is told before the channel
stands leaves with the first flight.
"""

import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat.channel import ClientChannel, path_of
from securecp.nat.relay import parse_circuit
from securecp.nat.serveraddress import ServerAddress
from securecp.net.circuit import Circuit
from securecp.net.conversation import LAST_WORDS, Conversation, Listener, UntrustedError
from securecp.net.outbox import Outbox
from securecp.net.way import Dialled, FailedError, Way, preload
from securecp.net.websocket import LostError, RefusedError, WebSocket

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
STEADY = 5.0
"""Seconds that a channel must stand before its loss counts as the first."""
_NOT_OURS = range(400, 429)
"""HTTP answers of those who do not know what we want, or not with this key."""
_KEY = "check the server's address, and ask its operator: its key may have changed"
_NOWHERE = Endpoint("0.0.0.0", 0)  # noqa: S104


class Up(NamedTuple):
    """The channel stands: `welcome` is what the server said first, at the endpoint we dialled."""

    welcome: bytes
    endpoint: Endpoint
    rtt: float
    proxied: bool
    """The endpoint is that of a proxy."""


class Message(NamedTuple):
    """A message of the server's, opened."""

    data: bytes


class Down(NamedTuple):
    """The channel is no more, or could not be had; the link goes on trying."""

    reason: str
    hint: str
    untrusted: bool
    """Whoever is there is not the server with that key."""


LinkEvent = Up | Message | Down


class ServerLink:
    """Its methods may be called from any thread, and all but `close` return at once."""

    def __init__(
        self,
        address: ServerAddress,
        ring: Callable[[], None],
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Begin to connect; `ring` is called when there are events, or datagrams in a circuit."""
        self.address = address
        self.server = _NOWHERE
        """Where the server was dialled."""
        self.up = False
        self._ring = ring
        self._entropy = entropy
        self._way = Way(address)
        self._outbox = Outbox(self._wake)
        self._lock = threading.Lock()
        self._events: list[LinkEvent] = []
        self._circuits: dict[int, Circuit] = {}
        self._conversation: Conversation | None = None
        self._closed = False
        self._hasty = threading.Event()
        """Or closed: no time to rest."""
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._thread.start()

    # for the loop

    def events(self) -> list[LinkEvent]:
        """What has happened since the last call."""
        with self._lock:
            events, self._events = self._events, []
        return events

    def tell(self, message: bytes) -> None:
        """Have the server told once the channel stands; a loss of the channel undoes it."""
        self._outbox.tell(message)

    def circuit(self, leg: int) -> Circuit:
        """The door that a leg is; to be made when the leg is joined."""
        circuit = Circuit(leg, self._put, self._forget, lambda: self.server)
        with self._lock:
            self._circuits[leg] = circuit
        return circuit

    def hasten(self) -> None:
        """The network has changed: connect now, or find out whether the channel still works."""
        conversation = self._conversation
        if conversation is not None:
            conversation.doubt()
        self._hasty.set()
        self._wake()

    def settle(self, seconds: float) -> None:
        """Let what waits here leave, within so long: what is told later would overtake it."""
        until = time.monotonic() + seconds
        while self.up and not self._outbox.empty() and time.monotonic() < until:
            threading.Event().wait(0.001)

    def close(self) -> None:
        """Say goodbye; what was told before still leaves, if the channel stands."""
        self._closed = True
        conversation = self._conversation
        if conversation is not None:
            conversation.end()
        self._hasty.set()
        self._wake()
        if self.up:
            self._thread.join(2 * LAST_WORDS)

    def _wake(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._rope.send(b"!")

    def _put(self, circuit: Circuit, message: bytes) -> bool:
        """Whether the circuit's leg is still one of ours, and there was room."""
        return self._circuits.get(circuit.leg) is circuit and self._outbox.put(message)

    def _forget(self, circuit: Circuit) -> None:
        with self._lock:
            if self._circuits.get(circuit.leg) is circuit:
                del self._circuits[circuit.leg]

    # the link's thread

    def _run(self) -> None:
        preload()
        pause, told = FIRST_PAUSE, ""
        while not self._closed:
            self._hasty.clear()
            begun = time.monotonic()
            down = self._attempt()
            stood, self.up = self.up, False
            if self._closed:
                break
            if stood:
                self._lose()
                if time.monotonic() - begun > STEADY:
                    pause = FIRST_PAUSE
            if stood or down.reason != told:
                self._report(down)
                self._ring()
            told = down.reason
            if down.untrusted:
                pause = LONGEST_PAUSE
            # Not all who lost a server shall come back to it at once.
            self._hasty.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(2 * pause, LONGEST_PAUSE)
        with self._lock:
            self._bell.close()
            self._rope.close()

    def _attempt(self) -> Down:
        """From dialling to the end, whatever that is."""
        try:
            channel = ClientChannel(self.address.key, self._entropy)
            dialled = self._way.dial()
        except ProtocolError:
            return Down("the server's key is none", _KEY, untrusted=True)
        except FailedError as error:
            return Down(error.reason, error.hint, untrusted=False)
        try:
            self._converse(channel, dialled)
        except UntrustedError:
            return Down("the server has another key", _KEY, untrusted=True)
        except RefusedError as error:
            if error.status in _NOT_OURS:
                return Down(f"no server with this key is there ({error})", _KEY, untrusted=True)
            return Down(f"the server refused: {error}", "try again later", untrusted=False)
        except LostError as error:
            return Down(str(error), "", untrusted=False)
        except ProtocolError as error:
            return Down(error.message, "", untrusted=False)
        return Down("closed", "", untrusted=False)

    def _converse(self, channel: ClientChannel, dialled: Dialled) -> None:
        authority = (self.address.host, self.address.port)
        with contextlib.closing(
            WebSocket(dialled.connection, authority, path_of(channel.hello))
        ) as web:

            def up(welcome: bytes, rtt: float) -> None:
                self.server, self.up = dialled.endpoint, True
                self._report(Up(welcome, dialled.endpoint, rtt, dialled.proxied))

            conversation = Conversation(
                web,
                channel,
                self._outbox,
                Listener(up, self._on_message, self._on_datagrams, self._ring),
                self._bell,
            )
            self._conversation = conversation
            if self._closed:
                return
            try:
                conversation.run()
            finally:
                self._conversation = None

    def _on_message(self, data: bytes) -> None:
        self._report(Message(data))

    def _on_datagrams(self, message: bytearray) -> None:
        found = parse_circuit(memoryview(message))
        circuit = self._circuits.get(found.leg)
        if circuit is not None:
            circuit.take(found.data, found.stride)

    def _report(self, event: LinkEvent) -> None:
        with self._lock:
            self._events.append(event)

    def _lose(self) -> None:
        """What was meant for the channel that stood is for no other."""
        self._outbox.clear()
        with self._lock:
            self._circuits.clear()
