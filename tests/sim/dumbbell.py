"""Pairs of connections that share one path: what a congestion controller does, on virtual time.

    sender ─┐                                                   ┌─ receiver
    sender ─┴─► queue ─ rate ─ delay ─ loss ─ reorder ──────────┴─► receiver      forth
              ◄───────────────────────────────────────────────────                back

No handshake, no files, and none of the faults that `world.py` knows: it is about rates, and fast.
Lengths on the path count IP and UDP headers. One seed is one run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random

from securecp.endpoint import Burst, Endpoint
from securecp.transport.bbr import Bbr
from securecp.transport.congestion import Controller
from securecp.transport.connection import Connection
from tests.sim.host import coalesce
from tests.sim.peer import LEFT, RIGHT, agreed_keys, parameters

HEADERS = 28
"""IP and UDP."""
GRAIN = 0.0001
"""Seconds after the first datagram until a host reads: what came until then is read together."""


@dataclass(frozen=True)
class Way:
    """One direction; rate in bytes per second, sizes in bytes, times in seconds."""

    rate: float
    delay: float
    queue: float
    loss: float = 0.0
    reorder: float = 0.0
    reorder_delay: float = 0.0


class Pipe:
    """One direction at work: a drop-tail queue, then loss, then delay."""

    def __init__(self, way: Way, rng: Random) -> None:
        self.way = way
        self.carried = 0
        """Bytes that went through the queue."""
        self.overflowed = 0
        self.longest_wait = 0.0
        self._rng = rng
        self._free_at = 0.0

    def waiting(self, now: float) -> float:
        """Seconds that a datagram which enters now waits."""
        return max(0.0, self._free_at - now)

    def carry(self, now: float, size: int) -> float | None:
        """When a datagram of `size` bytes arrives that enters now; None if it does not."""
        way, rng = self.way, self._rng
        size += HEADERS
        wait = self.waiting(now)
        if wait * way.rate + size > way.queue:
            self.overflowed += 1
            return None
        self.longest_wait = max(self.longest_wait, wait)
        self.carried += size
        self._free_at = now + wait + size / way.rate
        if way.loss and rng.random() < way.loss:
            return None
        late = way.reorder_delay if way.reorder and rng.random() < way.reorder else 0.0
        return self._free_at + way.delay + late


class Zeros:
    """Content that costs nothing, and a count of what came."""

    def __init__(self) -> None:
        self.stored = 0

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        """Whatever stands in the slots will do."""

    def store(self, offset: int, slices: list[memoryview]) -> None:
        self.stored += sum(map(len, slices))


class Flow:
    """One pair, and what is known of how it went."""

    def __init__(self, seed: int, controller: Controller | None, starts: float, size: int) -> None:
        both = parameters(largest=1_472, content_window=1 << 40)
        ours, theirs = agreed_keys(both, both, seed)
        self.starts = starts
        self.size = size
        self.content = Zeros()
        entropy = Random(f"flow {seed}").randbytes
        made = controller or Bbr()
        self.sender = Connection(ours, RIGHT, starts, entropy, controller=lambda: made)
        self.receiver = Connection(theirs, LEFT, starts, entropy)
        self.sender.source = self.content
        self.receiver.sink = self.content
        self.receiver.expect_content(0, size)
        self.sender.send_content(0, size)
        # What asks for an ACK shows the receiver how long a round trip is, as in every transfer.
        self.receiver.write(b"accepted")
        self.ended: float | None = None
        """When all of it had come."""
        self.sent = 0
        """Bytes that the sender has put on the path."""

    @property
    def stored(self) -> int:
        """Content bytes that have come."""
        return self.content.stored


class _Host:
    """One connection with its inbox and its timer."""

    __slots__ = ("armed", "connection", "flow", "inbox", "peer", "pipe")

    def __init__(self, flow: Flow, connection: Connection, pipe: Pipe) -> None:
        self.flow = flow
        self.connection = connection
        self.pipe = pipe
        self.peer: _Host
        self.inbox: list[tuple[Endpoint, bytes]] = []
        self.armed: float | None = None


class Dumbbell:
    """Flows over one path; `run` until all have ended, or until a time."""

    def __init__(self, forth: Way, back: Way, *, seed: int = 0) -> None:
        self.now = 0.0
        self.flows: list[Flow] = []
        self.forth = Pipe(forth, Random(f"forth {seed}"))
        self.back = Pipe(back, Random(f"back {seed}"))
        self._seed = seed
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def add(self, size: int, controller: Controller | None = None, *, starts: float = 0.0) -> Flow:
        """A flow of `size` bytes from `starts` on."""
        flow = Flow(self._seed * 16 + len(self.flows), controller, starts, size)
        self.flows.append(flow)
        left = _Host(flow, flow.sender, self.forth)
        right = _Host(flow, flow.receiver, self.back)
        left.peer, right.peer = right, left
        for host in (left, right):
            self.at(starts, lambda host=host: self._settle(host))  # type: ignore[misc]
        return flow

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Run `action` at `when`."""
        heappush(self._heap, (when, next(self._number), action))

    def run(self, until: float) -> None:
        """Go on until every flow has ended, at most until then."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            if all(flow.ended is not None for flow in self.flows):
                return
            self.now, _, action = heappop(heap)
            action()
        self.now = max(self.now, until)

    def _settle(self, host: _Host) -> None:
        """Send what it has, then arm its timer."""
        connection, now = host.connection, self.now
        while (burst := connection.transmit(now)) is not None:
            data, stride = bytes(burst.data), burst.stride
            for at in range(0, len(data), stride):
                self._carry(host, data[at : at + stride])
        connection.events()
        deadline = connection.deadline()
        if deadline is not None and (host.armed is None or deadline < host.armed):
            host.armed = deadline
            self.at(max(deadline, now), lambda: self._timer(host, deadline))

    def _carry(self, host: _Host, datagram: bytes) -> None:
        if host.pipe is self.forth:
            host.flow.sent += len(datagram) + HEADERS
        arrival = host.pipe.carry(self.now, len(datagram))
        if arrival is not None:
            self.at(arrival, lambda: self._arrive(host.peer, host.connection.endpoint, datagram))

    def _arrive(self, host: _Host, source: Endpoint, datagram: bytes) -> None:
        host.inbox.append((source, datagram))
        if len(host.inbox) == 1:
            self.at(self.now + GRAIN, lambda: self._read(host))

    def _read(self, host: _Host) -> None:
        datagrams, host.inbox = host.inbox, []
        for burst in coalesce(datagrams):
            host.connection.receive(self.now, Burst(burst.endpoint, burst.data, burst.stride))
        flow = host.flow
        if flow.ended is None and flow.stored >= flow.size:
            flow.ended = self.now
        self._settle(host)

    def _timer(self, host: _Host, armed: float) -> None:
        if host.armed != armed:
            return
        host.armed = None
        deadline = host.connection.deadline()
        if deadline is not None and deadline <= self.now:
            host.connection.wake(self.now)
        self._settle(host)
