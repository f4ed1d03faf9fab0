"""The transport by itself: two connections with agreed keys and a tiny transfer over them."""

from collections.abc import Callable

from securecp.transport.connection import Connection
from securecp.transport.wire import Parameters
from tests.sim.ends import Content
from tests.sim.host import SimulationError
from tests.sim.invariants import Bounds, FreshCounters, SizeLimit
from tests.sim.options import Options
from tests.sim.peer import LEFT, RIGHT, DirectEnd, Peer, agreed_keys, parameters
from tests.sim.world import World, bound

HOSTS = {"sender", "receiver"}


def end_parameters(options: Options) -> tuple[Parameters, Parameters]:
    """What the sender and the receiver declare of themselves."""
    left, right = (
        parameters(aes=aes, largest=largest)
        for aes, largest in zip(options.aes, options.largest_datagram, strict=True)
    )
    return left, right


class Direct:
    """A sender and a receiver; `run` until both have ended."""

    def __init__(self, options: Options, *, log: Callable[[str], None] | None = None) -> None:
        self.options = options
        self.world = world = World(options.seed, log=log)
        self.left = world.host("sender", LEFT, options.sender)
        self.right = world.host("receiver", RIGHT, options.receiver)
        world.join(self.left, self.right, options.forth, options.back)
        ours, theirs = agreed_keys(*end_parameters(options), seed=options.seed)
        content = Content(options.seed, options.size)
        self.sender = Peer(content, sends=True, note=world.note)
        self.receiver = Peer(content, sends=False, note=world.note)
        self.connections = [
            Connection(keys, endpoint, host.now, world.random(f"entropy {host.name}").randbytes)
            for keys, endpoint, host in ((ours, RIGHT, self.left), (theirs, LEFT, self.right))
        ]
        self.left.end = DirectEnd(self.connections[0], self.sender)
        self.right.end = DirectEnd(self.connections[1], self.receiver)
        world.watches = [
            SizeLimit(min(options.largest_datagram), HOSTS),
            FreshCounters(HOSTS),
            Bounds(lambda: self.connections),
        ]

    @property
    def over(self) -> bool:
        """Whether both connections have ended."""
        return all(connection.closed for connection in self.connections)

    def run(self) -> float:
        """Run to the end: virtual seconds; SimulationError if something does not hold."""
        world = self.world
        world.clock.at(self.options.calm_at, world.calm)
        if not world.run(lambda: self.over, bound(self.options)):
            raise SimulationError(f"not at its end after {world.clock.now:.1f} s")
        if not (self.sender.done and self.receiver.done) and not self._excused():
            raise SimulationError(f"ended without success: {self.receiver.ended}")
        return world.clock.now

    def _excused(self) -> bool:
        """An outage may outlast the idle timeout; nobody calls again here."""
        silent = self.options.forth.outages + self.options.back.outages
        stalled = self.options.sender.stalls + self.options.receiver.stalls
        return sum(end - begin for begin, end in silent + stalled) > 10 and not any(
            "closed" in name and "closed 0" not in name for name in self.world.struck
        )
