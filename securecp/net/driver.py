"""The loop: one socket, one clock, one machine without I/O (after aioquic's asyncio protocol).

    read some bursts ─► wake if due ─► advance ─► write some bursts ─► sleep until the deadline

Each turn has a budget for reading and for writing, so that neither starves the other. A burst that
the socket does not take is kept and offered again before the machine is asked for the next one.
"""

import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import Protocol

from securecp.net.udp import UdpSocket
from securecp.transport.wire import Burst

READS = 32
WRITES = 16
LONGEST_SLEEP = 1.0


class Machine(Protocol):
    """What the driver drives: the exchange and the sessions on it."""

    def receive(self, now: float, burst: Burst) -> None: ...
    def wake(self, now: float) -> None: ...
    def transmit(self, now: float) -> Burst | None: ...
    def deadline(self) -> float | None: ...
    def advance(self, now: float) -> None:
        """Carry out what has come of it: events, effects, results of other threads."""


class Driver:
    """Runs a machine on a socket until it is done; `notify` may be called from any thread."""

    def __init__(
        self, socket: UdpSocket, machine: Machine, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._socket = socket
        self._machine = machine
        self._clock = clock
        self._unsent: Burst | None = None
        self._bell, self._rope = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._rope, False)

    def notify(self) -> None:
        """Make the loop turn once, now."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._rope, b"!")

    def close(self) -> None:
        """Give back what the loop holds; the socket is its owner's."""
        os.close(self._bell)
        os.close(self._rope)

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
        machine, receive = self._machine, self._socket.receive
        now = self._clock()
        reads = 0
        while reads < READS and (burst := receive()) is not None:
            machine.receive(now, burst)
            reads += 1
        deadline = machine.deadline()
        if deadline is not None and deadline <= now:
            machine.wake(now)
        machine.advance(now)
        return self._write() or reads == READS

    def _write(self) -> bool:
        """Send what the machine has, within the budget; True if it may have more."""
        for _ in range(WRITES):
            burst = self._unsent or self._machine.transmit(self._clock())
            if burst is None:
                return False
            if not self._socket.send(burst):
                self._unsent = burst
                return False
            self._unsent = None
        return True

    def _sleep(self) -> None:
        deadline = self._machine.deadline()
        now = self._clock()
        timeout = LONGEST_SLEEP if deadline is None else min(deadline - now, LONGEST_SLEEP)
        writers = [self._socket] if self._unsent is not None else []
        bell = self._bell
        ready, _, _ = select.select([self._socket.fileno(), bell], writers, [], max(timeout, 0.0))
        if bell in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._bell, 4096)
