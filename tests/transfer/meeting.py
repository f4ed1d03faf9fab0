"""Two sessions over two real connections, with everything else in memory; time is virtual.

Stores and sources are as simple as their protocols allow, and count what is asked of them.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from blake3 import blake3

from keys.identity import Identity
from securecp.errors import StorageError
from securecp.events import Event, Offered
from securecp.receiving import ReceiveSession
from securecp.session import Decision, Session
from securecp.transfer.holdings import Holdings
from securecp.transfer.manifest import Chunk, Manifest
from securecp.transport.connection import Connection
from tests.sim.peer import LEFT, RIGHT, agreed_keys, parameters

KEYS = [Identity.generate(Random(f"meeting {name}").randbytes) for name in ("alice", "bob")]
STEP = 0.01


class Report:
    """What publishing came to."""

    skipped: tuple[int, ...] = ()
    renamed: tuple[tuple[int, bytes], ...] = ()
    present: tuple[int, ...] = ()
    failed: tuple[tuple[int, str], ...] = ()

    def __init__(self, published: int, size: int) -> None:
        self.published = published
        self.size = size


class Shop:
    """Does its jobs when it is told to; `log` has their names."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []
        self.log: list[str] = []
        self.idle = False
        self.stops_at = ""
        """The name of a job before which it makes a pause."""

    def start(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self.jobs.append((job, then))

    start_aside = start

    def work(self) -> bool:
        if self.idle or not self.jobs:
            return False
        name = getattr(self.jobs[0][0], "__name__", "")
        if name and name == self.stops_at:
            return False
        job, then = self.jobs.pop(0)
        self.log.append(name or type(job).__name__)
        try:
            result = job()
        except Exception as error:
            result = error
        then(result)
        return True


class Files:
    """A source and a store at once: the same content on both sides of the wire."""

    def __init__(self, manifest: Manifest, content: bytes, held: tuple[range, ...] = ()) -> None:
        self.manifest = manifest
        self.content = content
        self.held = held
        self.data = bytearray(manifest.size)
        for numbers in held:
            start, end = manifest.span(numbers)
            self.data[start:end] = content[start:end]
        self.changed: set[int] = set()
        self.unsaved = 0
        self.is_due = False
        self.told: list[tuple[str, Any]] = []
        self.wrong: Exception | None = None
        """Raised by the next call of `store`."""
        self.refusal: Exception | None = None
        """Raised by `prepare`."""
        self.bad: list[tuple[int, str]] = []
        self.digests: dict[int, bytes] = {}

    # as a source

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        for slot in slots:
            slot[:] = self.content[offset : offset + len(slot)]
            offset += len(slot)

    def holes(self) -> tuple[range, ...]:
        return ()

    def learned(self, number: int, digest: bytes) -> None:
        self.digests[number] = digest

    def unchanged(self, entry: int) -> bool:
        return True

    def renew(self, entry: int) -> bool:
        return True

    def save(self) -> None:
        self.is_due = False

    def finish(self) -> None:
        self.told.append(("finish", None))

    def close(self) -> None:
        self.told.append(("close", None))

    # as a store

    def prepare(self, manifest: Manifest) -> Holdings:
        if self.refusal is not None:
            raise self.refusal
        return Holdings(self.held)

    def store(self, offset: int, slices: list[memoryview]) -> None:
        if self.wrong is not None:
            raise self.wrong
        for part in slices:
            self.data[offset : offset + len(part)] = part
            offset += len(part)
            self.unsaved += len(part)

    def zeros(self, chunks: range) -> None:
        self.told.append(("zeros", chunks))

    def good(self, number: int, digest: bytes) -> None:
        self.told.append(("good", number))

    def missed(self, number: int) -> None:
        self.told.append(("missed", number))

    def forget(self, entry: int) -> None:
        self.told.append(("forget", entry))

    def ready(self, entry: int) -> None:
        self.told.append(("ready", entry))

    def failed(self, entry: int) -> None:
        self.told.append(("failed", entry))

    def broken(self) -> list[tuple[int, str]]:
        bad, self.bad = self.bad, []
        return bad

    def checkpoint(self) -> None:
        self.told.append(("checkpoint", self.unsaved))
        self.unsaved = 0
        self.is_due = False

    def publish(self) -> Report:
        ready = [entry for what, entry in self.told if what == "ready"]
        size = sum(self.manifest.columns.size(entry) for entry in ready)
        return Report(len(ready), size)

    def suspend(self) -> None:
        self.told.append(("suspend", None))

    def finished(self) -> None:
        self.told.append(("finished", None))

    # as both

    def known(self, chunk: Any) -> bytes | None:
        return None

    def due(self, now: float) -> bool:
        return self.is_due

    def digest(self, chunk: Chunk) -> bytes:
        return blake3(self.data[chunk.offset : chunk.offset + chunk.length]).digest()

    def calls(self, what: str) -> list[Any]:
        return [value for name, value in self.told if name == what]


class Reading(Files):
    """The source: its digests are of its content."""

    def digest(self, chunk: Chunk) -> bytes:
        return blake3(self.content[chunk.offset : chunk.offset + chunk.length]).digest()


class Meeting:
    """Alice offers, Bob receives; `turn` until nothing moves, `wait` lets time pass."""

    def __init__(
        self,
        sender: Callable[[Connection, Shop, bytes], Session],
        store: Files | None = None,
        *,
        window: int = 1 << 20,
        **receiving: Any,
    ) -> None:
        alice, bob = KEYS
        ours = parameters(content_window=window)
        left, right = agreed_keys(ours, ours)
        left = left._replace(peer=bytes(bob.public))
        right = right._replace(peer=bytes(alice.public))
        self.now = 1.0
        self.left = Connection(left, RIGHT, self.now, Random(1).randbytes)
        self.right = Connection(right, LEFT, self.now, Random(2).randbytes)
        self.store = store
        self.shops = Shop(), Shop()
        self.asked: list[Offered] = []
        self.sender = sender(self.left, self.shops[0], bytes(alice.public))
        told: dict[str, Any] = {
            "open_store": self._open,
            "policy": lambda _: Decision.ACCEPT,
            "ask": self._ask,
        }
        self.receiver = ReceiveSession(
            self.right,
            self.shops[1],
            self.now,
            ours=bytes(bob.public),
            sign=lambda message: bob.sign(message, Random(3).randbytes),
            wall_clock=lambda: 1_700_000_000.0,
            **{**told, **receiving},
        )
        self.events: dict[Session, list[Event]] = {self.sender: [], self.receiver: []}
        self.cut = False
        """Nothing passes any more."""

    def _open(self, _: bytes) -> Files:
        if self.store is None:
            raise StorageError("no files here")
        return self.store

    def _ask(self, offered: Offered) -> bool:
        self.asked.append(offered)
        return True

    def turn(self, until: Callable[[], bool] = lambda: False) -> None:
        """Everything that can happen now."""
        for _ in range(100_000):
            moved = self._pass(self.left, self.right, self.receiver)
            moved = self._pass(self.right, self.left, self.sender) or moved
            for session, shop in zip((self.sender, self.receiver), self.shops, strict=True):
                moved = shop.work() or moved
                session.advance(self.now)
                self.events[session] += session.events()
            if until() or not moved:
                return
        raise AssertionError("it never ends")

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass in small steps."""
        end = self.now + seconds
        self.turn(until)
        while self.now < end and not until():
            self.now += STEP
            for connection in (self.left, self.right):
                connection.wake(self.now)
            self.turn(until)

    def run(self) -> "Meeting":
        """Until both sessions are over."""
        self.wait(60.0, lambda: self.sender.over and self.receiver.over)
        assert self.sender.over and self.receiver.over
        return self

    def told(self, session: Session, kind: type) -> list[Any]:
        return [event for event in self.events[session] if isinstance(event, kind)]

    def _pass(self, source: Connection, target: Connection, session: Session) -> bool:
        moved = False
        while (burst := source.transmit(self.now)) is not None:
            moved = True
            if not self.cut:
                target.receive(self.now, burst)
                session.advance(self.now)
        return moved
