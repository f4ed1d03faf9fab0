"""One connection to a server from the first byte to the last: open the channel, then speak.

A loop over two files, the connection and the bell. It ends with an exception, or when it is told to
and everything that had been said before has left.
"""

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from typing import NamedTuple

from securecp.errors import ProtocolError
from securecp.nat.channel import CIRCUIT, SEALED, ClientChannel
from securecp.net.outbox import Outbox
from securecp.net.websocket import LostError, WebSocket

OPENING = 5.0
"""Seconds for the server to agree and to prove its key."""
PING = 25.0
MISSED = 2
"""Pings without a sign of life after which the server is gone."""
DOUBT = 3.0
"""Seconds for an answer if the network has changed."""
LAST_WORDS = 0.2
_AHEAD = 64 << 10
"""Bytes to have written out before more datagrams come out of their queue."""
_WRITES = 16
"""Bursts to write before it is time to read."""
_SEALED = bytes([SEALED])
_READ = selectors.EVENT_READ
_BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


class UntrustedError(Exception):
    """Whoever is there has not the server's key."""


class Listener(NamedTuple):
    """Whom to tell of what comes."""

    up: Callable[[bytes, float], None]
    """The welcome and the round trip."""
    message: Callable[[bytes], None]
    datagrams: Callable[[bytearray], None]
    ring: Callable[[], None]
    """There is something new."""


class Conversation:
    """`doubt` and `end` may be called from any thread; then ring the bell."""

    def __init__(
        self,
        web: WebSocket,
        channel: ClientChannel,
        outbox: Outbox,
        listener: Listener,
        bell: socket.socket,
    ) -> None:
        self._web = web
        self._channel = channel
        self._outbox = outbox
        self._listener = listener
        self._bell = bell
        self._selector = selectors.DefaultSelector()
        self._begun = time.monotonic()
        self._up_at: float | None = None
        self._doubted_at: float | None = None
        self._pinged_at = 0.0
        self._ending_at: float | None = None

    def run(self) -> None:
        """Until the end. LostError, RefusedError, UntrustedError and ProtocolError end it too."""
        with contextlib.closing(self._selector):
            self._selector.register(self._bell, _READ)
            self._selector.register(self._web, _READ)
            events = _READ
            while not self._over():
                more = self._speak() or self._web.more
                wanted = _BOTH if self._web.waiting else _READ
                if wanted != events:
                    self._selector.modify(self._web, wanted)
                    events = wanted
                timeout = 0.0 if more else self._due() - time.monotonic()
                files = [key.fileobj for key, _ in self._selector.select(max(timeout, 0.0))]
                if self._bell in files:
                    self._hear()
                if self._web in files or self._web.more:
                    self._listen()
                self._watch(time.monotonic())

    def doubt(self) -> None:
        """The network may have changed: the server had better say something."""
        if self._doubted_at is None:
            self._doubted_at = time.monotonic()

    def end(self) -> None:
        """Say what there is to be said, and go."""
        self._ending_at = time.monotonic()

    # the link's thread

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(4096)

    def _over(self) -> bool:
        if self._ending_at is None:
            return False
        said = self._outbox.empty() and not self._web.waiting
        late = time.monotonic() >= self._ending_at + LAST_WORDS
        return said or late or self._up_at is None

    def _listen(self) -> None:
        messages = self._web.read()
        for message in messages:
            if not message:
                raise LostError("the server sent an empty message")
            if self._up_at is None:
                self._welcome(message)
            elif message[0] == CIRCUIT:
                self._listener.datagrams(message)
            elif message[0] == SEALED:
                self._listener.message(self._channel.open(bytes(message[1:])))
            # Other kinds are for later versions of us.
        if messages:
            self._listener.ring()

    def _welcome(self, message: bytearray) -> None:
        try:
            if message[0] != SEALED:
                raise ProtocolError("the server's first message is none")
            welcome = self._channel.welcome(bytes(message[1:]))
        except ProtocolError as error:
            raise UntrustedError from error
        self._up_at = time.monotonic()
        self._listener.up(welcome, self._web.opened_at - self._begun)

    def _speak(self) -> bool:
        """Messages, then datagrams as far as they can leave now; True if there is more at once."""
        if self._up_at is None:
            self._web.write()
            return False
        while (message := self._outbox.message()) is not None:
            self._web.send(_SEALED + self._channel.seal(message))
        for _ in range(_WRITES):
            self._web.write()
            if self._web.waiting >= _AHEAD:
                return False  # we are called again when the kernel takes more
            datagrams = self._outbox.datagrams(self._up_at)
            if datagrams is None:
                return False
            self._web.send(datagrams)
        return True

    def _due(self) -> float:
        if self._up_at is None:
            return self._begun + OPENING
        due = max(self._web.heard_at, self._pinged_at) + PING
        if self._doubted_at is not None:
            due = min(due, self._doubted_at + DOUBT)
        if self._ending_at is not None:
            due = min(due, self._ending_at + LAST_WORDS)
        return due

    def _watch(self, now: float) -> None:
        """Whether the server is still there."""
        heard = self._web.heard_at
        if self._up_at is None:
            if now >= self._begun + OPENING:
                raise LostError("the server does not answer")
            return
        if self._doubted_at is not None:
            if heard > self._doubted_at:
                self._doubted_at = None
            elif now >= self._doubted_at + DOUBT:
                raise LostError("the server is silent")
            elif self._pinged_at < self._doubted_at:
                self._ping(now)
        if now >= heard + MISSED * PING:
            raise LostError("the server is silent")
        if now >= max(heard, self._pinged_at) + PING:
            self._ping(now)

    def _ping(self, now: float) -> None:
        self._pinged_at = now
        self._web.ping()
