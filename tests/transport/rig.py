"""Two connections on virtual time, with a path of a few numbers between them."""

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any

from securecp.endpoint import Burst
from securecp.transport.connection import Connection, ConnectionEvent
from tests.sim.peer import LEFT, RIGHT, agreed_keys, parameters

Judge = Callable[["Way", bytes], bool]


class Way:
    """One direction: delay in seconds, rate in bytes per second, longest datagram, and a judge.

    `judge(way, datagram)` says whether the datagram gets through.
    """

    def __init__(self, delay: float = 0.01, rate: float = 1e9, carries: int = 65_507) -> None:
        self.delay = delay
        self.rate = rate
        self.carries = carries
        self.judge: Judge = lambda _way, _datagram: True
        self.now = 0.0
        self.count = 0
        self.bytes = 0
        self.free_at = 0.0

    def arrival(self, now: float, datagram: bytes) -> float | None:
        """When it arrives; None if it does not."""
        self.now = now
        self.count += 1
        self.bytes += len(datagram)
        self.free_at = max(self.free_at, now) + len(datagram) / self.rate
        if len(datagram) > self.carries or not self.judge(self, datagram):
            return None
        return self.free_at + self.delay


class Zeros:
    """Content that costs nothing: all zeros, and a count of what was stored."""

    def __init__(self) -> None:
        self.stored = 0

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        for slot in slots:
            slot[:] = bytes(len(slot))

    def store(self, offset: int, slices: list[memoryview]) -> None:
        self.stored += sum(map(len, slices))


class Pair:
    """`left` sends content to `right`; datagrams arrive one by one."""

    def __init__(self, *, largest: int = 65_507, seed: int = 1, **windows: Any) -> None:
        both = parameters(largest=largest, **windows)
        ours, theirs = agreed_keys(both, both)
        self.now = 0.0
        self.left = Connection(ours, RIGHT, 0.0, Random(seed).randbytes)
        self.right = Connection(theirs, LEFT, 0.0, Random(seed + 1).randbytes)
        self.forth, self.back = Way(), Way()
        self.content = Zeros()
        self.left.source = self.content
        self.right.sink = self.content
        self.events: dict[Connection, list[ConnectionEvent]] = {self.left: [], self.right: []}
        self._under_way: list[tuple[float, int, Connection, bytes]] = []
        self._number = 0
        self.wakes = 0
        self.reads = True
        """Whether the applications ask for their events."""

    def ask(self, size: int) -> None:
        """Have `size` bytes of content sent."""
        self.right.expect_content(0, size)
        self.left.send_content(0, size)

    def pump(self) -> None:
        """Let both send all they want now."""
        for source, target, way in (
            (self.left, self.right, self.forth),
            (self.right, self.left, self.back),
        ):
            while (burst := source.transmit(self.now)) is not None:
                for at in range(0, len(burst.data), burst.stride):
                    datagram = bytes(burst.data[at : at + burst.stride])
                    arrival = way.arrival(self.now, datagram)
                    if arrival is not None:
                        self._number += 1
                        heappush(self._under_way, (arrival, self._number, target, datagram))
            self._read(source)

    def _read(self, connection: Connection) -> None:
        if self.reads:
            self.events[connection] += connection.events()

    def step(self, until: float, *, read: bool = True) -> bool:
        """Go on to the next thing that happens; False if nothing does before `until`."""
        self.reads = read
        self.pump()
        times = [connection.deadline() for connection in (self.left, self.right)]
        times.append(self._under_way[0][0] if self._under_way else None)
        following = min((time for time in times if time is not None), default=None)
        if following is None or following > until:
            self.now = until
            return False
        self.now = max(self.now, following)
        while self._under_way and self._under_way[0][0] <= self.now:
            _, _, target, datagram = heappop(self._under_way)
            data = memoryview(bytearray(datagram))
            source = LEFT if target is self.right else RIGHT
            target.receive(self.now, Burst(source, data, len(datagram)))
            self._read(target)
        for connection in (self.left, self.right):
            deadline = connection.deadline()
            if deadline is not None and deadline <= self.now:
                connection.wake(self.now)
                self.wakes += 1
                self._read(connection)
        return True

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> None:
        """Until then, or until `done()`; no more than so many steps without time passing."""
        standing, last = 0, -1.0
        while not done() and self.step(until):
            standing = standing + 1 if self.now == last else 0
            last = self.now
            assert standing < 1_000, f"time stands still at {self.now}"
