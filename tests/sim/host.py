"""The shell around one end, as boring as the real one: read, wake, drain `transmit`, arm the timer.

It coalesces what arrives together into bursts as UDP_GRO does, drops what the socket buffer cannot
hold, keeps a burst while the socket is full, and stands still during a stall.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING, Protocol

from securecp.endpoint import Burst, Endpoint
from tests.sim.options import HostOptions

if TYPE_CHECKING:
    from tests.sim.world import World

LARGEST_COALESCED = 65_535
MOST_COALESCED = 64
STORM = 2_000
"""Wake-ups or bursts in one instant that no sound end needs."""


class End(Protocol):
    """Anything that can be put on the network: an exchange, a session, an echo, an attacker."""

    def receive(self, now: float, burst: Burst) -> None: ...
    def wake(self, now: float) -> None: ...
    def transmit(self, now: float) -> Burst | None: ...
    def deadline(self) -> float | None: ...


class SimulationError(AssertionError):
    """An invariant does not hold; the seed tells how to see it again."""


def coalesce(datagrams: list[tuple[Endpoint, bytes]]) -> Iterator[Burst]:
    """Runs of one source and one length; the last of a run may be shorter (UDP_GRO)."""
    run: list[bytes] = []
    source, size = Endpoint("", 0), 0
    for sender, datagram in datagrams:
        fits = (
            run
            and sender == source
            and 0 < len(datagram) <= len(run[0]) == len(run[-1])
            and len(run) < MOST_COALESCED
            and size + len(datagram) <= LARGEST_COALESCED
        )
        if not fits:
            if run:
                yield Burst(source, memoryview(bytearray(b"".join(run))), len(run[0]))
            run, source, size = [], sender, 0
        run.append(datagram)
        size += len(datagram)
    if run:
        yield Burst(source, memoryview(bytearray(b"".join(run))), len(run[0]))


class Host:
    """One end on the network, with its clock, its socket buffer and its timer."""

    def __init__(
        self, world: "World", name: str, endpoint: Endpoint, options: HostOptions, rng: Random
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.doors = {0: endpoint}
        """Where datagrams leave and arrive, by the door that ends know."""
        self.options = options
        self.end: End
        self.storm = STORM
        self._world = world
        self._rng = rng
        self._inbox: list[tuple[Endpoint, bytes]] = []
        self._inbox_size = 0
        self._reading = False
        self._blocked = False
        self._life = 0
        """Counts restarts: what a former process left undone is not done."""
        self._armed: float | None = None
        self._clock = options.clock_offset
        self._instant = -1.0
        self._storm = 0

    @property
    def now(self) -> float:
        """This machine's monotonic clock."""
        self._clock = max(self._clock, self._world.clock.now + self.options.clock_offset)
        return self._clock

    def restart(self, end: End) -> None:
        """The process is killed and another one takes its place; the clock goes on."""
        self.end = end
        self._life += 1
        self._inbox, self._inbox_size = [], 0
        self._blocked = False
        self._armed = None

    def arrive(self, source: Endpoint, datagram: bytes) -> None:
        """A datagram reaches the socket: it waits to be read, or finds the buffer full."""
        if self._inbox_size + len(datagram) > self.options.receive_buffer:
            self._world.struck["receive buffer"] += 1
            return
        self._inbox.append((source, datagram))
        self._inbox_size += len(datagram)
        if not self._reading:
            self._reading = True
            delay = self.options.read_delay
            self._schedule(self._world.clock.now + self._rng.random() * delay, self._read)

    def _schedule(self, when: float, action: Callable[[], None]) -> None:
        """Run at `when` or, if the process is stalled then, when it goes on."""
        for begin, end in self.options.stalls:
            if begin <= when < end:
                self._world.struck["stall"] += 1
                when = end
        self._world.clock.at(when, action)

    def _read(self) -> None:
        datagrams, self._inbox, self._inbox_size = self._inbox, [], 0
        self._reading = False
        for burst in coalesce(datagrams):
            self.end.receive(self.now, burst)
            # The next read overwrites the buffer: nothing may hold on to these bytes.
            burst.data[:] = bytes(len(burst.data))
            self._world.check()
            self._transmit()
        self._wake_if_due()
        self.settle()

    def _wake_if_due(self) -> None:
        deadline = self.end.deadline()
        if deadline is not None and deadline <= self.now:
            self._count_storm()
            self.end.wake(self.now)
            self._world.check()

    def settle(self) -> None:
        """After any call into the end: send what it has, then arm the timer."""
        self._transmit()
        if self._blocked:
            return
        deadline = self.end.deadline()
        if deadline is None or (self._armed is not None and self._armed <= deadline):
            return
        self._armed = deadline
        late = self._rng.random() * self.options.lateness
        when = deadline - self.options.clock_offset + late
        self._schedule(when, lambda: self._timer(deadline))

    def _timer(self, armed: float) -> None:
        if armed != self._armed:
            return
        self._armed = None
        # Adding the offset again must not leave us a hair before the deadline.
        self._clock = max(self.now, armed)
        self._wake_if_due()
        self.settle()

    def _transmit(self) -> None:
        while not self._blocked:
            burst = self.end.transmit(self.now)
            if burst is None:
                return
            self._count_storm()
            data, stride = bytes(burst.data), burst.stride
            self._world.check()
            if self.options.socket_full and self._rng.random() < self.options.socket_full:
                self._block(burst.endpoint, data, stride)
                return
            self._send(burst.endpoint, data, stride)

    def _block(self, endpoint: Endpoint, data: bytes, stride: int) -> None:
        """The socket is full: keep the burst, and transmit nothing before it is sent."""
        self._world.struck["socket full"] += 1
        self._blocked = True
        delay, life = self._rng.uniform(0.0001, 0.01), self._life
        self._schedule(
            self._world.clock.now + delay, lambda: self._unblock(life, endpoint, data, stride)
        )

    def _unblock(self, life: int, endpoint: Endpoint, data: bytes, stride: int) -> None:
        if life != self._life:
            return
        self._blocked = False
        self._send(endpoint, data, stride)
        self.settle()

    def _send(self, endpoint: Endpoint, data: bytes, stride: int) -> None:
        for begin in range(0, len(data), stride):
            self._world.send(self, endpoint, data[begin : begin + stride])

    def _count_storm(self) -> None:
        if self._world.clock.now != self._instant:
            self._instant, self._storm = self._world.clock.now, 0
        self._storm += 1
        if self._storm > self.storm:
            raise SimulationError(
                f"{self.name} does not come to rest: {self.storm} steps in no time"
            )
