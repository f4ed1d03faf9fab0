"""A transfer between two hosts that two paths join: what happens when one of them is left.

    left  door 0 (192.0.2.1)   ◄── FIRST links ──►   door 0 (198.51.100.2)  right
          door 1 (192.0.2.65)  ◄── SECOND links ─►   door 1 (198.51.100.66)

The left side is the initiator and sends, unless told otherwise. Content is compared as it is stored
(`tests/sim/ends.py`), and the time of each store is kept, so that gaps show.
"""

from collections.abc import Callable
from itertools import pairwise

from securecp.endpoint import Endpoint
from securecp.transport.connection import Connection, ConnectionEvent, Moved
from tests.sim.ends import Content
from tests.sim.host import Host
from tests.sim.invariants import Bounds, FreshCounters, Watcher
from tests.sim.options import HostOptions, LinkOptions
from tests.sim.peer import DirectEnd, Peer, agreed_keys, parameters
from tests.sim.world import World

LEFT_0, LEFT_1 = Endpoint("192.0.2.1", 4_400), Endpoint("192.0.2.65", 4_400)
RIGHT_0, RIGHT_1 = Endpoint("198.51.100.2", 4_400), Endpoint("198.51.100.66", 4_400)
FIRST = LinkOptions(delay=0.05, rate=1e6, queue=100_000)
"""A slow relay."""
SECOND = LinkOptions(delay=0.01, rate=1e7, queue=400_000)
"""A direct path that is faster in both respects."""


def by(endpoint: Endpoint, via: int) -> Endpoint:
    """The endpoint as seen through a door of the other side."""
    return endpoint._replace(via=via)


class TimedPeer(Peer):
    """A peer that knows when content came, and keeps what the connection told."""

    def __init__(self, world: World, content: Content, *, sends: bool) -> None:
        super().__init__(content, sends=sends, note=world.note)
        self.world = world
        self.stored_at: list[float] = []
        self.told: list[tuple[float, ConnectionEvent]] = []

    def open(self, connection: Connection) -> None:
        super().open(connection)
        inner, events = self.sink, connection.events
        connection.sink = self
        self._store = inner.store

        def tell() -> list[ConnectionEvent]:
            found = events()
            self.told += [(self.world.clock.now, event) for event in found]
            return found

        connection.events = tell  # type: ignore[method-assign]

    def store(self, offset: int, slices: list[memoryview]) -> None:
        self.stored_at.append(self.world.clock.now)
        self._store(offset, slices)

    def gap(self, since: float = 0.0) -> float:
        """The longest time without content from then on."""
        times = [since, *(time for time in self.stored_at if time >= since)]
        return max((later - time for time, later in pairwise(times)), default=0.0)

    def times(self, kind: type) -> list[float]:
        """When events of this kind were told."""
        return [time for time, event in self.told if isinstance(event, kind)]

    @property
    def moves(self) -> list[Endpoint]:
        """Where it has moved to, one after another."""
        return [event.endpoint for _, event in self.told if isinstance(event, Moved)]


class Traffic(Watcher):
    """Bytes and datagrams by host and endpoint, both ways."""

    def __init__(self) -> None:
        self.out: dict[tuple[str, Endpoint], list[int]] = {}
        self.came: dict[tuple[str, Endpoint], list[int]] = {}

    def sent(self, host: Host, destination: Endpoint, datagram: bytes) -> None:
        self.out.setdefault((host.name, destination), []).append(len(datagram))

    def arrived(self, host: Host, source: Endpoint, datagram: bytes) -> None:
        self.came.setdefault((host.name, source), []).append(len(datagram))


class TwoPaths:
    """Hosts, links, connections and the transfer between them."""

    def __init__(
        self,
        *,
        seed: int = 1,
        size: int = 4_000_000,
        first: LinkOptions = FIRST,
        second: LinkOptions = SECOND,
        left_sends: bool = True,
        hosts: HostOptions | None = None,
    ) -> None:
        self.world = world = World(seed)
        hosts = hosts or HostOptions()
        self.left = world.host("left", LEFT_0, hosts)
        self.right = world.host("right", RIGHT_0, hosts)
        self.forth = [world.way(LEFT_0.address, RIGHT_0.address, first)]
        self.back = [world.way(RIGHT_0.address, LEFT_0.address, first)]
        world.door(self.left, 1, LEFT_1)
        world.door(self.right, 1, RIGHT_1)
        self.forth.append(world.way(LEFT_1.address, RIGHT_1.address, second))
        self.back.append(world.way(RIGHT_1.address, LEFT_1.address, second))
        ours, theirs = agreed_keys(parameters(), parameters(), seed)
        self.content = Content(seed, size)
        self.initiator = TimedPeer(world, self.content, sends=left_sends)
        self.responder = TimedPeer(world, self.content, sends=not left_sends)
        self.ends: list[Connection] = []
        for keys, endpoint, host, peer in (
            (ours, RIGHT_0, self.left, self.initiator),
            (theirs, LEFT_0, self.right, self.responder),
        ):
            entropy = world.random(f"entropy {host.name}").randbytes
            connection = Connection(keys, endpoint, host.now, entropy)
            self.ends.append(connection)
            host.end = DirectEnd(connection, peer)
        self.traffic = Traffic()
        world.watches = [
            FreshCounters({"left", "right"}),
            Bounds(lambda: self.ends),
            self.traffic,
        ]

    @property
    def receiver(self) -> TimedPeer:
        """Where content comes."""
        return self.responder if self.initiator.sends else self.initiator

    def move(self, connection: Connection, endpoint: Endpoint) -> None:
        """One side decides, now."""
        connection.move(self._host(connection).now, endpoint)
        self._host(connection).settle()

    def trust(self) -> None:
        """Both paths have been validated by probes on both sides."""
        left, right = self.ends
        for via, (here, there) in enumerate(((LEFT_0, RIGHT_0), (LEFT_1, RIGHT_1))):
            left.trust(self.left.now, by(there, via))
            right.trust(self.right.now, by(here, via))

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do that at a time."""
        self.world.clock.at(when, action)

    def cut(self, when: float, path: int, *, forth: bool = True, back: bool = True) -> None:
        """From then on nothing passes on a path, in the directions given."""

        def cut() -> None:
            for links in ([self.forth] if forth else []) + ([self.back] if back else []):
                options = links[path].options
                links[path].options = options.__class__(outages=((0.0, 1e9),))

        self.at(when, cut)

    def run(self, until: float = 120.0) -> float:
        """Until both are closed; everything has come by then, byte for byte."""
        over = self.world.run(lambda: all(end.closed for end in self.ends), until)
        assert over, f"not at its end: {self.receiver.sink.stored} of {self.content.size}"
        assert self.receiver.sink.complete
        assert self.initiator.done
        assert self.responder.done
        return self.world.clock.now

    def run_until(self, when: float) -> None:
        """Until then, or the end."""
        self.world.run(lambda: all(end.closed for end in self.ends), when)

    def _host(self, connection: Connection) -> Host:
        return self.left if connection is self.ends[0] else self.right
