"""Received bytes for a program that reads our output: a thread writes them to a descriptor.

Appending never waits; `backlog` says how much is still in memory. The descriptor stays its owner's,
blocking as it was: a flag set on it would be set for all who share it. Whoever wants to close it
closes the sink first: while our thread waits for it, the reading program does not hear its end.
"""

import contextlib
import os
import select
import socket
import stat
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from securecp.disk import space
from securecp.errors import StorageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_PIECE = 1 << 18
_PAGE = 4_096
_CAPACITY = 1 << 20
"""What Linux grants to everybody."""
_PATIENCE = 1.0
"""Seconds for which `close` waits for a thread that is just writing."""
_ZEROS = memoryview(bytes(_PIECE))
GONE = "the program that reads the output has ended"


class PipeSink:
    """Writes what is appended, in a thread; `notify` is called when less of it is left, or none.

    `append` and `append_zeros` are for one thread.
    """

    def __init__(self, descriptor: int, notify: Callable[[], None] = lambda: None) -> None:
        self._descriptor = descriptor
        self._notify = notify
        self._mode = os.fstat(descriptor).st_mode
        self._room = _room_of(descriptor) if stat.S_ISFIFO(self._mode) else _no_limit
        self._queue: deque[memoryview | int] = deque()
        """Bytes, or how many zeros."""
        self._drained = threading.Condition()
        self._bell, self._rope = socket.socketpair()
        self._rope.setblocking(False)
        self._closed = False
        self._lost = False
        self._claimed = False
        self.used = False
        """Whether anything was ever written, or finished without."""
        self.backlog = 0
        """Bytes in memory that have not been written yet; zeros need none."""
        self.written = 0
        self._gone = False
        self.error: StorageError | None = None
        """Why no more can be written."""
        self._thread = threading.Thread(target=self._work, name="pipe", daemon=True)
        self._thread.start()

    def claim(self) -> None:
        """Have the output for one transfer alone; StorageError if another has it or had it.

        Whoever has it calls `release` in the end.
        """
        self.check()
        with self._drained:
            if self._closed or self.used:
                raise StorageError("the output has part of another transfer already")
            if self._claimed:
                raise StorageError("the output belongs to another transfer")
            self._claimed = True

    def release(self) -> None:
        """The transfer is over: the next one may have the output, unless this one has used it."""
        self._claimed = False
        if self.used or self.error is not None:
            self.close()

    def append(self, data: "Buffer") -> None:
        """Take bytes to write, without waiting; they must not be changed after."""
        piece = memoryview(data)
        if piece.nbytes:
            self._put(piece, piece.nbytes)

    def append_zeros(self, count: int) -> None:
        """So many zeros come next."""
        if count:
            self._put(count, 0)

    def finish(self) -> None:
        """Wait until everything has been written, for as long as that takes, or StorageError."""
        with self._drained:
            self.used = True  # even if there was nothing to write
            self._drained.wait_for(lambda: not self._queue or self._closed or self.error)
            if self.error is not None:
                raise self.error
            if self._lost:
                raise StorageError("the output was closed before all of it was written")
        if stat.S_ISREG(self._mode):
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                raise _explained(error) from error

    def close(self) -> None:
        """End the thread at once; what it has not written is lost."""
        with self._drained:
            if self._closed:
                return
            self._closed = True
            self._lost = bool(self._queue)
            self._queue.clear()
            self.backlog = 0
            self._drained.notify_all()
        self._ring()
        # Where others write into the same pipe, there can be less room than we saw, and the thread
        # waits inside a call that nothing ends; it is left to itself.
        self._thread.join(_PATIENCE)
        self._rope.close()

    def check(self) -> None:
        """Raise what has gone wrong, if anything has."""
        if self.error is not None:
            raise self.error

    def _put(self, piece: memoryview | int, size: int) -> None:
        self.check()
        with self._drained:
            if self._closed:
                raise ValueError("the sink is closed")
            self.used = True
            queue = self._queue
            idle = not queue
            if isinstance(piece, int) and queue and isinstance(queue[-1], int) and len(queue) > 1:
                queue[-1] += piece
            else:
                queue.append(piece)
            self.backlog += size
        if idle:
            self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(OSError):
            self._rope.send(b"!")

    # The thread

    def _work(self) -> None:
        try:
            while self._wait():
                self._write()
                self._notify()
        except OSError as error:
            with self._drained:
                self.error = _explained(error)
                self._queue.clear()
                self.backlog = 0
                self._drained.notify_all()
            self._notify()
        finally:
            self._bell.close()

    def _wait(self) -> bool:
        """Until there is something to write and room for it; False when closed.

        With nothing to write we still hear that nobody reads any more; that is an error unless
        something was read: the reader may have had all that it wants.
        """
        while not self._closed:
            if not hasattr(select, "poll"):
                if self._queue:
                    return True
                self._bell.recv(4_096)
                continue
            poll = select.poll()
            if self._queue or not self._gone:
                poll.register(self._descriptor, select.POLLOUT if self._queue else 0)
            poll.register(self._bell, select.POLLIN)
            ready = dict(poll.poll())
            if self._bell.fileno() in ready:
                self._bell.recv(4_096)
            elif ready[self._descriptor] & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                if self._queue or not self.written:
                    raise BrokenPipeError
                self._gone = True  # tar ends at the end of its archive, before we do
            else:
                return not self._closed
        return False

    def _write(self) -> None:
        with self._drained:
            if not self._queue:
                return
            first = self._queue[0]
        piece = _ZEROS[:first] if isinstance(first, int) else first
        try:
            count = os.write(self._descriptor, piece[: self._room()])
        except BlockingIOError:  # somebody has made the descriptor so
            return
        with self._drained:
            if not self._queue:  # closed meanwhile
                return
            self.written += count
            if isinstance(first, int):
                self._put_back(first - count)
            else:
                self.backlog -= count
                self._put_back(first[count:] if count < len(first) else 0)
            if not self._queue:
                self._drained.notify_all()

    def _put_back(self, rest: memoryview | int) -> None:
        """What is left of the first piece; it is 0 if all is written."""
        if isinstance(rest, int) and not rest:
            self._queue.popleft()
        else:
            self._queue[0] = rest


def enlarge(descriptor: int) -> None:
    """Let a pipe hold more, where it can be had: it is then three times as fast."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        if fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ) < _CAPACITY:
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _CAPACITY)


def _no_limit() -> int:
    return _PIECE


def _room_of(descriptor: int) -> Callable[[], int]:
    """How much a pipe that takes something takes without making us wait.

    A pipe keeps pages, of which the first may be half read and the last half full. One page always
    goes: that is what `poll` has said.
    """
    try:
        import fcntl
        import termios

        enlarge(descriptor)
        capacity = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
    except (ImportError, AttributeError, OSError):
        return lambda: _PAGE

    def room() -> int:
        inside = bytearray(4)
        try:
            fcntl.ioctl(descriptor, termios.FIONREAD, inside)
        except OSError:
            return _PAGE
        free = capacity - int.from_bytes(inside, "little") - 2 * _PAGE
        return min(max(free // _PAGE * _PAGE, _PAGE), _PIECE)

    return room


def _explained(error: OSError) -> StorageError:
    if isinstance(error, BrokenPipeError):
        return StorageError(GONE)
    return space.storage_error(error, b"the output")
