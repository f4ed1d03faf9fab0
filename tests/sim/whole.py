"""The whole program on both sides: call, handshake, offer, consent, content, digests, receipt.

What fails is tried again, as its user would. In the end the sender has an authentic receipt, and
the receiver has published every file as one whole version of its source.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from unittest import mock

from keys.identity import Identity
from securecp.endpoint import Endpoint
from securecp.transfer.sender import REASON_UNABLE
from securecp.transport.connection import Connection
from tests.sim.direct import HOSTS, end_parameters
from tests.sim.host import Host, SimulationError
from tests.sim.invariants import Amplification, Bounds, FreshCounters, SizeLimit, Watcher
from tests.sim.memorydisk import MemoryDisk, MemoryStore
from tests.sim.options import DiskFaults, Options
from tests.sim.peer import LEFT, RIGHT
from tests.sim.station import ReceiveStation, SendStation, Station
from tests.sim.tree import Memory, Tree
from tests.sim.world import World, bound

MOST_SESSIONS = 4
"""Of one contact."""


class HonestSuccess(Watcher):
    """The sender is told of success only when everything has been published."""

    def __init__(self, whole: "Whole") -> None:
        self._whole = whole

    def check(self) -> None:
        whole = self._whole
        if whole.sender.done and not any(store.published is not None for store in whole.stores):
            raise SimulationError("the sender reports success, but nothing is published")
        for station in (whole.sender, whole.receiver):
            if len(station.connections) > MOST_SESSIONS:
                raise SimulationError(f"{len(station.connections)} sessions of one contact")


class Whole:
    """A program that sends and one that receives; `run` until both are done."""

    def __init__(self, options: Options, *, log: Callable[[str], None] | None = None) -> None:
        self.options = options
        self.scale = options.scale
        self.world = world = World(options.seed, log=log)
        self.left = world.host("sender", LEFT, options.sender)
        self.right = world.host("receiver", RIGHT, options.receiver)
        world.join(self.left, self.right, options.forth, options.back)
        with self._scaled():
            self.tree = Tree(options.size, world.random("tree"))
            self.disk = self._disk(Random(f"disk {options.seed}"))
        self.tree.note = self.disk.note = world.note
        self.disk.saved, self.disk.published_now = self._saved, self._published
        self.memory = Memory()
        self._harm = options.harm
        self._identities = [
            Identity.generate(world.random(f"identity {name}").randbytes)
            for name in ("sender", "receiver")
        ]
        self.stores: list[MemoryStore] = []
        self._amplification = Amplification(self._is_validated)
        self.sender = self._start_sender(options.disk)
        self.receiver = self._start_receiver(options.disk)
        world.watches = [
            SizeLimit(min(options.largest_datagram), HOSTS),
            FreshCounters(HOSTS),
            Bounds(self._connections),
            self._amplification,
            HonestSuccess(self),
        ]

    def _disk(self, rng: Random) -> MemoryDisk:
        """What the receiver has before anything comes."""
        if self.scale.holes:
            self.tree.dig(rng)
        disk = MemoryDisk(self.tree, rng, self.scale, harm=self.options.harm)
        files = list(self.tree.contents)
        if files and self.scale.before:
            some = rng.sample(files, rng.randrange(len(files)) + 1)
            disk.before = {entry: self.tree.altered(entry, rng) for entry in some}
            disk.unwanted = {entry for entry in disk.before if rng.random() < 0.2}
        if files and self.scale.breaks:
            disk.breaks = rng.choice(files)
        return disk

    @contextmanager
    def _scaled(self) -> Iterator[None]:
        with (
            mock.patch("securecp.transfer.entries.CHUNK", self.scale.chunk),
            mock.patch("securecp.transfer.manifest.CHUNK", self.scale.chunk),
            mock.patch("securecp.keeping.UNSAVED_LIMIT", self.scale.unsaved),
        ):
            yield

    @property
    def over(self) -> bool:
        """Whether both are done and no session is left."""
        return (
            self._is_settled(self.sender, self.receiver)
            and self._is_settled(self.receiver, self.sender)
            and not self.sender.hub.sessions
            and not self.receiver.hub.sessions
        )

    def _is_settled(self, station: Station, other: Station) -> bool:
        """Who was killed at the end and only waits to be called hears of it no more."""
        killed = self.world.struck[f"{station.host.name} killed"]
        return bool(station.done or (killed and other.done and station.call_at is None))

    def run(self) -> float:
        """Run to the end: virtual seconds; SimulationError if something does not hold."""
        with self._scaled():
            return self._run()

    def _run(self) -> float:
        options, world = self.options, self.world
        world.clock.at(options.calm_at, world.calm)
        for name, when in options.crashes:
            world.clock.at(when, self._crash_sender if name == "sender" else self._crash_receiver)
        world.clock.at(0.0, self.sender.call)
        world.clock.at(0.0, self.receiver.call)
        if not world.run(lambda: self.over, bound(options)):
            raise SimulationError(
                f"not at its end after {world.clock.now:.1f} s: sender {self.sender.failures}, "
                f"receiver {self.receiver.failures}"
            )
        self._judge()
        return world.clock.now

    def _judge(self) -> None:
        killed = self.world.struck["sender killed"] or self.world.struck["receiver killed"]
        digests = [{done.digest for done in end.done} for end in (self.sender, self.receiver)]
        if not killed and digests[0] != digests[1]:
            raise SimulationError("the sender's digest is not the receiver's")
        if not any(store.published is not None for store in self.stores):
            raise SimulationError("nothing is published")
        disk = self.options.disk
        for sent in self.sender.done:
            lost = len(sent.failed)
            if sent.skipped != len(self.disk.unwanted):
                raise SimulationError(f"{sent.skipped} files were skipped")
            if sent.files + sent.skipped + lost != len(self.tree.contents):
                raise SimulationError(f"{sent.files} files arrived and {lost} failed")
            if all(reason == REASON_UNABLE for _, reason in sent.failed) and lost <= 1:
                continue
            if lost and not (disk.grows or (disk.changes and disk.rots)):
                raise SimulationError(f"files failed without a cause: {sent.failed}")

    def _start_sender(self, faults: DiskFaults) -> SendStation:
        ours, theirs = self._identities
        parameters = end_parameters(self.options)[0]
        station = SendStation(
            self.tree, faults, self.memory, self.world, self.left, ours, theirs, parameters
        )
        station.killed_by_success = self._delivered  # type: ignore[method-assign]
        if self.options.both_call or not self.options.receiver_calls:
            station.call_at = RIGHT
        self.left.restart(station)
        return station

    def _start_receiver(self, faults: DiskFaults) -> ReceiveStation:
        theirs, ours = self._identities
        parameters = end_parameters(self.options)[1]._replace(content_window=self.scale.window)
        station = ReceiveStation(
            self.disk, faults, self.world, self.right, ours, theirs, parameters
        )
        if self.options.both_call or self.options.receiver_calls:
            station.call_at = LEFT
        station.stores = self.stores
        self.right.restart(station)
        return station

    @property
    def _calm(self) -> bool:
        """Whether nobody is killed any more."""
        return self.world.clock.now >= self.options.calm_at

    def _saved(self) -> None:
        """Who loses the journal, or the memory, is killed for it when there is one."""
        harm = self._harm
        if self._calm or not harm.journal or not self.disk.journal:
            return
        if harm.journal == "older" and not self.disk.copies:
            return
        self._harm = replace(harm, journal="")
        rng = self.world.random("killed after a checkpoint")
        when = rng.choice((0.0, self.options.forth.delay * rng.uniform(0, 4)))
        self.world.clock.after(when, self._crash_receiver)
        if rng.random() < 0.5:
            self.world.clock.after(when, self._crash_sender)

    def _published(self) -> None:
        if self._harm.published and not self._calm:
            self._harm = replace(self._harm, published=False)
            self.world.note("killed after publishing")
            self._crash_receiver()

    def _delivered(self) -> bool:
        if not self._harm.delivered or not self.sender.alive or self._calm:
            return False
        self._harm = replace(self._harm, delivered=False)
        self.world.note("killed after the receipt")
        self._crash_sender()
        return True

    def _crash_sender(self) -> None:
        self._bury(self.sender)
        if self._harm.memory and self.memory.digests:
            self.world.note("memory lost")
            self.memory.digests.clear()
        done = self.sender.done
        self.sender = self._start_sender(DiskFaults())
        self.sender.done = done
        self.world.clock.after(1.0, self.sender.call)

    def _crash_receiver(self) -> None:
        self._bury(self.receiver)
        self.disk.crash()
        done = self.receiver.done
        self.receiver = self._start_receiver(DiskFaults())
        self.receiver.done = done
        self.world.clock.after(1.0, self.receiver.call)

    def _bury(self, station: Station) -> None:
        self.world.note(f"{station.host.name} killed")
        station.alive = False
        self._amplification.forget(station.host)

    def _connections(self) -> list[Connection]:
        return [*self.sender.connections, *self.receiver.connections]

    def _is_validated(self, host: Host, endpoint: Endpoint) -> bool:
        station = self.sender if host is self.left else self.receiver
        return endpoint in station.validated
