"""The loop: doors, one clock, one machine without I/O (after aioquic's asyncio protocol).

    read some bursts ─► wake if due ─► advance ─► write some bursts ─► sleep until the deadline

Each turn has a budget for reading and for writing, so that neither starves the other. A burst that
its door does not take is kept and offered again before the machine is asked for the next one.

Where datagrams trickle in one by one, waking for each would cost more than all the rest. While a
stream of them lasts, the loop lets some gather first, for as long as the machine has patience
(what network cards do as interrupt moderation).
"""

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from securecp.endpoint import Burst
from securecp.net.doors import Doors
from securecp.net.udp import KEPT, UdpSocket

READS = 32
WRITES = 16
WRITTEN = 1 << 20
"""Bytes after which it is time to read again."""
STREAM = 8
"""Turns in a row that had something to read, soon after each other, that make a stream."""
SOON = 0.005
LONGEST_SLEEP = 1.0
FULL_SLEEP = 0.001
"""Least seconds to wait for a full socket, unless something comes or it takes more."""


class Machine(Protocol):
    """What the driver drives: the exchange and the sessions on it."""

    def receive(self, now: float, *bursts: Burst) -> None: ...
    def wake(self, now: float) -> None: ...
    def transmit(self, now: float) -> Burst | None: ...
    def deadline(self) -> float | None: ...
    def patience(self) -> float:
        """Seconds that what comes may wait."""

    def advance(self, now: float) -> None:
        """Carry out what has come of it: events, effects, results of other threads."""


class Driver:
    """Runs a machine on doors until it is done; `notify` may be called from any thread."""

    def __init__(
        self,
        doors: Doors | UdpSocket,
        machine: Machine,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A socket alone is the only door."""
        if not isinstance(doors, Doors):
            alone = doors
            doors = Doors(clock=clock)
            doors.add(0, alone)
        self._doors = doors
        self._machine = machine
        self._clock = clock
        self._unsent: Burst | None = None
        self._stream = 0
        """Turns in a row that had something to read."""
        self._read_at = -math.inf
        # A pair of sockets and not a pipe: `select` takes them on every system.
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        doors.watch(self._bell.fileno(), self._hear)
        self._lock = threading.Lock()

    def notify(self) -> None:
        """Make the loop turn once, now; after `close` it is too late, and nothing happens."""
        with self._lock, contextlib.suppress(OSError):
            self._rope.send(b"!")

    def close(self) -> None:
        """Give back what the loop holds; the doors are their owner's."""
        with self._lock:
            if self._bell.fileno() >= 0:
                self._doors.unwatch(self._bell.fileno())
            self._bell.close()
            self._rope.close()

    def run(self, done: Callable[[], bool]) -> None:
        """Turn until `done()`, which is asked once a turn."""
        while not done():
            if not self._turn():
                self._sleep()

    def flush(self, seconds: float) -> None:
        """Send what the machine still has to say, for at most that long."""
        until = self._clock() + seconds
        while self._clock() < until:
            more = self._write()
            if self._unsent is not None:
                self._sleep()
            elif not more:
                return

    def _turn(self) -> bool:
        """One turn; True if there is certainly more to do at once."""
        machine, clock = self._machine, self._clock
        now = clock()
        reads = 0
        while reads < READS and (bursts := self._doors.read()):
            # With the time at which they were read: round trips and rates are measured by it.
            now = clock()
            machine.receive(now, *bursts)
            reads += len(bursts)
            if len(bursts) < KEPT:
                break
        self._note_stream(now, reads)
        deadline = machine.deadline()
        if deadline is not None and deadline <= now:
            machine.wake(now)
        machine.advance(now)
        return self._write() or reads == READS

    def _note_stream(self, now: float, reads: int) -> None:
        if not reads:
            return
        self._stream = self._stream + 1 if now - self._read_at < SOON else 0
        self._read_at = now

    def _write(self) -> bool:
        """Send what the machine has, within the budget; True if it may have more."""
        written = 0
        for _ in range(WRITES):
            burst = self._unsent or self._machine.transmit(self._clock())
            if burst is None:
                return False
            written += len(burst.data)
            self._unsent = self._doors.send(burst)
            if self._unsent is not None:
                return False
            if written >= WRITTEN:
                break
        return True

    def _sleep(self) -> None:
        deadline = self._machine.deadline()
        now = self._clock()
        timeout = LONGEST_SLEEP if deadline is None else min(deadline - now, LONGEST_SLEEP)
        # With a full socket, what is overdue may be just what cannot leave: that is no haste.
        least = FULL_SLEEP if self._unsent is not None else 0.0
        patient = False
        if self._stream >= STREAM and self._unsent is None and now - self._read_at < SOON:
            patience = min(self._machine.patience(), timeout)
            if patience > 0:
                patient, timeout = True, patience
        self._doors.wait(max(timeout, least), self._unsent, patient=patient)

    def _hear(self) -> None:
        """Somebody rang; the turn that comes of it is all they want."""
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(4096)
