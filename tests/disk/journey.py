"""Real files to real files: both programs in virtual time, with disks at their ends.

Everything between the disks is the real thing (sessions, transport, handshake) on a simulated link,
so that an editor can strike at any moment, the same one every time.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from keys.identity import Identity
from securecp.disk import Scan, Store, TreeSource, scan
from securecp.disk.journal import Journals
from securecp.disk.memory import Memories
from securecp.errors import SecurecpError
from securecp.events import Done, Offered
from securecp.receiving import ReceiveSession
from securecp.sending import SendSession
from securecp.session import Decision, Session
from securecp.transport.connection import Connection
from tests.sim.direct import end_parameters
from tests.sim.options import Options
from tests.sim.peer import LEFT, RIGHT
from tests.sim.station import Station
from tests.sim.world import World

KEY = bytes(32)


class Sending(Station):
    """Offers what was scanned."""

    source: Callable[[], TreeSource]
    scanned: Scan

    def _session(self, connection: Connection, now: float) -> Session:
        return SendSession(
            connection,
            self.workshop,
            now,
            manifest=self.scanned.manifest,
            source=self.source(),
            ours=bytes(self.identity.public),
            entropy=self.rng.randbytes,
        )


class Receiving(Station):
    """Takes everything into a folder."""

    into: Path
    options: dict[str, Any]
    journals: Journals | None = None

    def _session(self, connection: Connection, now: float) -> Session:
        return ReceiveSession(
            connection,
            self.workshop,
            now,
            ours=bytes(self.identity.public),
            sign=lambda message: self.identity.sign(message, self.rng.randbytes),
            wall_clock=lambda: 1.7e9 + self.world.clock.now,
            open_store=self._open_store,
            policy=lambda _: Decision.ACCEPT,
            ask=lambda _: True,
            approved=self._approved,
        )

    def _approved(self, offered: Offered) -> bool:
        known = self.journals and self.journals.approved(
            offered.peer, offered.manifest_digest, self.into
        )
        return bool(known)

    def _open_store(self, peer: bytes) -> Any:
        assert peer == bytes(self.peer)
        return Store(
            self.into,
            conflict="rename",
            reserve=0,
            journals=self.journals,
            peer=peer,
            **self.options,
        )


class Journey:
    """One transfer of paths into a folder."""

    def __init__(
        self,
        paths: Iterable[Path],
        into: Path,
        *,
        scanning: dict[str, Any] | None = None,
        storing: dict[str, Any] | None = None,
        source: Callable[..., TreeSource] = TreeSource,
        state: Path | None = None,
        seed: int = 1,
    ) -> None:
        """With `state`, a folder, both remember what they need to go on after `cut_off`."""
        self.scan = scan(paths, **(scanning or {}))
        options = Options(seed, self.scan.manifest.size)
        self.world = world = World(seed)
        hosts = world.host("sender", LEFT), world.host("receiver", RIGHT)
        world.join(*hosts, options.forth, options.back)
        alice, bob = (Identity.generate(world.random(name).randbytes) for name in ("a", "b"))
        parameters = end_parameters(options)
        self.sender = Sending(world, hosts[0], alice, bob, parameters[0])
        self.sender.scanned = self.scan
        memory = None
        if state is not None:
            memory = Memories(state / "sent", KEY).open(self.scan)
        self.sender.source = lambda: source(self.scan, memory=memory)
        self.sender.call_at = RIGHT
        self.receiver = Receiving(world, hosts[1], bob, alice, parameters[1])
        self.receiver.into = into
        self.receiver.options = storing or {}
        if state is not None:
            self.receiver.journals = Journals(state / "received", KEY)
        for host, station in zip(hosts, (self.sender, self.receiver), strict=True):
            host.restart(station)

    def run(self) -> "Journey":
        """Until both are done, or one has failed."""
        self.world.clock.at(0.0, self.sender.call)
        assert self.world.run(lambda: self._over, 300.0), "not at its end"
        return self

    def cut_off(self, at: float) -> "Journey":
        """Run, but the sender's person stops it after so many seconds."""
        self.world.clock.at(at, self._cancel)
        self.run()
        assert self.failures
        self.world.run(lambda: False, 10.0)  # what was stored is made safe in the workshop
        return self

    def _cancel(self) -> None:
        self.sender.call_at = None
        for session in self.sender.hub.sessions:
            session.cancel("enough")
        self.sender.hub.advance(self.sender.host.now)
        self.sender.host.settle()

    @property
    def done(self) -> Done:
        """What the sender tells its user; it must have succeeded."""
        assert not self.failures, self.failures
        return self.sender.done[0]

    @property
    def failures(self) -> list[SecurecpError]:
        return [*self.sender.failures, *self.receiver.failures]

    @property
    def failed(self) -> dict[bytes, str]:
        """Files that could not be sent, each with the reason."""
        return dict(self.done.failed)

    @property
    def _over(self) -> bool:
        stations = self.sender, self.receiver
        done = all(station.done for station in stations)
        live = any(station.hub.sessions for station in stations)
        return (done or bool(self.failures)) and not live
