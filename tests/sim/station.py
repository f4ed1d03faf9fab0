"""One program of the simulation: an exchange, a hub of sessions and a workshop, on a host.

It does what the real `send` and `receive` do, and what their user does: try again.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from keys.identity import Identity
from securecp.endpoint import Burst, Endpoint
from securecp.errors import SecurecpError
from securecp.events import Connected, Done, Event, Offered, Resumed
from securecp.hub import Hub
from securecp.receiving import ReceiveSession
from securecp.sending import SendSession
from securecp.session import Decision, Session
from securecp.transport.connection import Connection
from securecp.transport.exchange import CallFailed, Exchange
from securecp.transport.wire import Parameters, SessionKeys
from tests.sim.host import Host, SimulationError
from tests.sim.memorydisk import MemoryDisk, MemoryStore
from tests.sim.options import DiskFaults
from tests.sim.tree import Memory, MemorySource, Tree
from tests.sim.world import World

T = TypeVar("T")
AGAIN = 1.0
"""Seconds after which a program that failed is started again."""
SLOWEST_JOB = 0.02


class SlowWorkshop:
    """Jobs take their time and are done in order; results come in the session's own turn."""

    def __init__(self, station: "Station") -> None:
        self._station = station
        self._free_at = 0.0
        self._results: deque[Callable[[], None]] = deque()

    def start(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        clock = self._station.world.clock
        self._free_at = max(self._free_at, clock.now) + self._station.rng.random() * SLOWEST_JOB
        clock.at(self._free_at, lambda: self._finish(job, then))

    def start_aside(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        self._station.world.clock.after(0.5, lambda: self._finish(job, then))

    def _finish(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        if not self._station.alive:
            return
        result: T | Exception
        try:
            result = job()
        except SecurecpError as error:
            result = error
        self._results.append(lambda: then(result))
        self._station.turn()

    def collect(self) -> None:
        """Hand back what is done."""
        while self._results:
            self._results.popleft()()


class Station:
    """An end of the network; subclasses say what a session is made of."""

    def __init__(
        self, world: World, host: Host, identity: Identity, peer: Identity, parameters: Parameters
    ) -> None:
        self.world = world
        self.host = host
        self.rng = world.random(f"station {host.name} {world.clock.now}")
        self.identity = identity
        self.peer = peer.public
        self.workshop = SlowWorkshop(self)
        self.done: list[Done] = []
        self.failures: list[SecurecpError] = []
        self.validated: set[Endpoint] = set()
        self.alive = True
        self.call_at: Endpoint | None = None
        """Where we call, and call again after a failure."""
        self.exchange: Exchange[Connection] = Exchange(
            identity,
            lambda public: public == bytes(self.peer),
            self._connect,
            self.rng.randbytes,
            parameters,
        )
        self.hub = Hub(self.exchange, self._meet, self._tell, self._over, self._call_failed)

    @property
    def connections(self) -> list[Connection]:
        """All that the exchange knows."""
        return [session.channel for session in self.exchange._sessions.values()]

    def call(self) -> None:
        """Call the peer, now."""
        if self.alive and self.call_at is not None and not self.done and not self.hub.sessions:
            self.world.note(f"{self.host.name} calls")
            self.validated.add(self.call_at)
            self.exchange.call(self.host.now, self.peer, self.call_at)
            self.host.settle()

    def receive(self, now: float, burst: Burst) -> None:
        self.hub.receive(now, burst)
        self.hub.advance(now)

    def wake(self, now: float) -> None:
        self.hub.wake(now)
        self.hub.advance(now)

    def transmit(self, now: float) -> Burst | None:
        return self.hub.transmit(now)

    def deadline(self) -> float | None:
        return self.hub.deadline()

    def turn(self) -> None:
        """A result has come from the workshop."""
        if self.alive:
            self.workshop.collect()
            self.hub.advance(self.host.now)
            self.world.check()
            self.host.settle()

    def _connect(self, keys: SessionKeys, endpoint: Endpoint, now: float) -> Connection:
        return Connection(keys, endpoint, now, self.rng.randbytes)

    def _meet(self, connection: Connection, now: float) -> Session | None:
        if connection.peer != bytes(self.peer):
            raise SimulationError("a session with a stranger")
        self.validated.add(connection.endpoint)
        return self._session(connection, now)

    def _session(self, connection: Connection, now: float) -> Session:
        raise NotImplementedError

    def _tell(self, session: Session, event: Event) -> None:
        match event:
            case Connected():
                self.world.note(f"{self.host.name} connected")
            case Resumed():
                self.world.note(f"{self.host.name} resumed")
            case Done():
                if event.saved:
                    self.world.note(f"{self.host.name} saved")
                if event.skipped:
                    self.world.note(f"{self.host.name} skipped")
                if not self.killed_by_success():
                    self.world.note(f"{self.host.name} done")
                    self.done.append(event)

    def killed_by_success(self) -> bool:
        """Whether this is the moment to be killed in."""
        return False

    def _over(self, session: Session) -> None:
        if session.failure is not None:
            self.world.note(f"{self.host.name} {type(session.failure).__name__}")
            self.failures.append(session.failure)
            self.world.clock.after(AGAIN, self.call)

    def _call_failed(self, _: CallFailed) -> None:
        self.world.note(f"{self.host.name} not reached")
        self.world.clock.after(AGAIN, self.call)


class SendStation(Station):
    """Offers a tree in every session, until it is delivered."""

    def __init__(self, tree: Tree, faults: DiskFaults, memory: Memory, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._tree = tree
        self._faults = faults
        self._memory = memory

    def _session(self, connection: Connection, now: float) -> Session:
        faults, self._faults = self._faults, DiskFaults()
        source = MemorySource(self._tree, faults, self.rng, self._memory)
        session = SendSession(
            connection,
            self.workshop,
            now,
            manifest=self._tree.manifest,
            source=source,
            ours=bytes(self.identity.public),
            entropy=self.rng.randbytes,
        )
        source.judge = session.party
        return session


class ReceiveStation(Station):
    """Takes a tree in every session; what was stored stays on the disk."""

    def __init__(self, disk: MemoryDisk, faults: DiskFaults, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._disk = disk
        self._faults = faults
        self.stores: list[MemoryStore] = []

    def _session(self, connection: Connection, now: float) -> Session:
        return ReceiveSession(
            connection,
            self.workshop,
            now,
            ours=bytes(self.identity.public),
            sign=lambda message: self.identity.sign(message, self.rng.randbytes),
            wall_clock=lambda: 1.7e9 + self.world.clock.now,
            open_store=self._open_store,
            policy=self._policy,
            ask=lambda _: True,
            approved=lambda _: bool(self._disk.journal),
        )

    def _open_store(self, peer: bytes) -> MemoryStore:
        if peer != bytes(self.peer):
            raise SimulationError("a store for a stranger")
        store = MemoryStore(self._disk, self._faults, self.rng)
        self._faults = DiskFaults()
        self.stores.append(store)
        return store

    def _policy(self, offered: Offered) -> Decision:
        for session in self.hub.sessions:
            assert isinstance(session, ReceiveSession)
            if session.transfer_id not in (b"", offered.transfer_id):
                session.supersede()
        asked = self.rng.random() < 0.3
        return Decision.ASK if asked else Decision.ACCEPT
