"""A stream of unknown length to send: a descriptor read by a thread into bounded memory.

    descriptor ─► thread ─► blocks of 1 MiB ─► fill, peek          (each recipient's own thread)
                    ▲                              │
                    └──── room: window ◄── release ┘    by the slowest of those that read along

What has not been released can be asked for again: the peer may miss any of it. The thread does not
read while a whole window is unreleased, so whoever writes into the pipe has to wait: that is how
pipes say that it is enough. The descriptor stays its owner's, blocking as it was: others share it.
"""

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence

from securecp.disk.pipe import enlarge
from securecp.disk.space import unreadable
from securecp.errors import SourceError

WINDOW = 64 << 20
"""Bytes in memory at most, and a block more."""
_BLOCK = 1 << 20
_READ = 1 << 18
_PATIENCE = 1.0
"""Seconds for which `close` waits for a thread that is just reading."""


class SharedStream:
    """One descriptor, read once, for as many as asked for a `reader` before it began to flow on."""

    def __init__(
        self,
        descriptor: int,
        *,
        window: int = WINDOW,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._descriptor = descriptor
        self._window = window
        self._clock = clock
        self._readers: list[StreamSource] = []
        self._blocks: dict[int, bytearray] = {}
        """By number of the MiB that they hold; whole ones, but for what has not come yet."""
        self._released = 0
        self._lock = threading.Lock()
        self._bell, self._rope = socket.socketpair()
        self._rope.setblocking(False)
        self._closed = False
        self._thread: threading.Thread | None = None
        self.available = 0
        """Bytes that have come so far."""
        self.ended = False
        """No more will come."""
        self.error: SourceError | None = None
        """Why no more can be read."""
        self.idle_since: float | None = clock()
        """When we began to wait for more; None while we do not."""

    def reader(self, notify: Callable[[], None]) -> "StreamSource":
        """One more recipient; `notify` is called by the thread whenever something has changed."""
        with self._lock:
            if self._released or self._closed:
                raise ValueError("the beginning of the stream is gone")
            reader = StreamSource(self, notify)
            self._readers.append(reader)
        if self._thread is None:
            enlarge(self._descriptor)
            self._thread = threading.Thread(target=self._work, name="stream", daemon=True)
            self._thread.start()
        return reader

    def close(self) -> None:
        """Stop reading, at once even if nothing ever comes; what is in memory goes."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._blocks.clear()
        self._ring()
        if self._thread is None:
            self._bell.close()
        elif self._thread is not threading.current_thread():
            # Somebody who shares the descriptor may have taken what we were told is there, and
            # the thread then waits for more; it is left to itself.
            self._thread.join(_PATIENCE)
        self._rope.close()

    def fill(self, offset: int, slots: Sequence[memoryview]) -> None:
        for slot in slots:
            done = 0
            while done < len(slot):
                block, at = divmod(offset + done, _BLOCK)
                count = min(len(slot) - done, _BLOCK - at)
                slot[done : done + count] = self._piece(block, at, count)
                done += count
            offset += done

    def peek(self, offset: int, length: int) -> memoryview:
        """Bytes that stand still; in place unless they cross a border of blocks."""
        block, at = divmod(offset, _BLOCK)
        if at + length <= _BLOCK:
            return self._piece(block, at, length).toreadonly()
        data = bytearray(length)
        self.fill(offset, [memoryview(data)])
        return memoryview(data).toreadonly()

    def released(self) -> None:
        """A reader has released something or has gone: forget what nobody needs."""
        with self._lock:
            if not self._readers:
                return
            least = min(reader.released for reader in self._readers)
            if least <= self._released:
                return
            was_full = self.available - self._released >= self._window
            for number in range(self._released // _BLOCK, least // _BLOCK):
                self._blocks.pop(number, None)
            self._released = least
        if was_full:
            self._ring()

    def left(self, reader: "StreamSource") -> None:
        """A recipient has gone; with the last one the stream is closed."""
        with self._lock:
            self._readers = [other for other in self._readers if other is not reader]
            last = not self._readers
        if last:
            self.close()
        else:
            self.released()

    def _piece(self, block: int, at: int, count: int) -> memoryview:
        return memoryview(self._blocks[block])[at : at + count]

    def _ring(self) -> None:
        with contextlib.suppress(OSError):
            self._rope.send(b"!")

    # The thread

    def _work(self) -> None:
        try:
            while self._wait():
                self._read()
                self._tell()
                if self.ended:
                    return
        except OSError as error:
            self.idle_since = None
            self.error = SourceError(f"cannot read the stream to send: {unreadable(error)}")
            self._tell()
        finally:
            self._bell.close()

    def _wait(self) -> bool:
        """Until there is room and something to read; False when closed."""
        while not self._closed:
            with self._lock:
                full = self.available - self._released >= self._window
            if full:
                self.idle_since = None
                self._bell.recv(4096)
                continue
            if self.idle_since is None:
                self.idle_since = self._clock()
            if not _can_wait():
                return True
            ready = _wait_for(self._descriptor, self._bell.fileno())
            if self._bell.fileno() in ready:
                self._bell.recv(4096)
            elif self._descriptor in ready:
                return not self._closed
        return False

    def _read(self) -> None:
        block, at = divmod(self.available, _BLOCK)
        room = min(_BLOCK - at, _READ, self._released + self._window - self.available)
        data = os.read(self._descriptor, room)
        with self._lock:
            if self._closed:
                return
            if data:
                held = self._blocks.get(block)
                if held is None:
                    held = self._blocks[block] = bytearray(_BLOCK)
                held[at : at + len(data)] = data
                self.available += len(data)
        if data:
            self.idle_since = self._clock()
        else:
            self.idle_since = None
            self.ended = True

    def _tell(self) -> None:
        with self._lock:
            readers = list(self._readers)
        for reader in readers:
            reader.notify()


class StreamSource:
    """The stream as one recipient sees it; used by that recipient's thread alone."""

    def __init__(self, stream: SharedStream, notify: Callable[[], None]) -> None:
        self._stream = stream
        self.notify = notify
        self.released = 0
        """Bytes from the beginning that will not be asked for again."""
        self._closed = False

    @property
    def available(self) -> int:
        return self._stream.available

    @property
    def ended(self) -> bool:
        """No more will come: `available` is the size."""
        # Read before `available` by whoever wants the size, so set after it.
        return self._stream.ended

    @property
    def error(self) -> SourceError | None:
        return self._stream.error

    @property
    def idle_since(self) -> float | None:
        """Since when the input has given nothing although there is room for it."""
        return self._stream.idle_since

    def fill(self, offset: int, slots: Sequence[memoryview]) -> None:
        """Fill the slots with the stream from `offset` on, all of which must be there still."""
        self._check(offset, sum(map(len, slots)))
        self._stream.fill(offset, slots)

    def peek(self, offset: int, length: int) -> memoryview:
        """The same bytes to look at, for their digest."""
        self._check(offset, length)
        return self._stream.peek(offset, length)

    def release(self, offset: int) -> None:
        """Nothing below `offset` will be asked for again."""
        if offset > self.available:
            raise ValueError("what has not come yet cannot be released")
        if offset > self.released:
            self.released = offset
            self._stream.released()

    def close(self) -> None:
        """Do not hold up the others any more."""
        if not self._closed:
            self._closed = True
            self._stream.left(self)

    def _check(self, offset: int, length: int) -> None:
        if self._closed or offset < self.released or offset + length > self.available:
            raise ValueError("not in memory")


def _can_wait() -> bool:
    """Whether any descriptor can be waited for; Windows waits for sockets only."""
    return hasattr(select, "poll")


def _wait_for(*descriptors: int) -> set[int]:
    """Those that have something to read, their end included."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll()}
