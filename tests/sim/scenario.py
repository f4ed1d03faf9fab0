"""One run: a transfer over the network that the options describe, and what must come of it.

Safety holds after every event (`invariants.py`). Liveness: once the faults are off, the transfer
must be complete within `LIVENESS` seconds and what the size needs at the path's rate.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields

from securecp.transport.connection import Connection
from securecp.transport.wire import Parameters
from tests.sim.ends import Content
from tests.sim.host import SimulationError
from tests.sim.invariants import Bounds, FreshCounters, SizeLimit
from tests.sim.options import Options
from tests.sim.peer import LEFT, RIGHT, DirectEnd, Peer, agreed_keys, parameters
from tests.sim.world import World

LONGEST = 600.0
LIVENESS = 90.0
HOSTS = {"sender", "receiver"}


@dataclass(frozen=True)
class Outcome:
    """How a run went."""

    seconds: float
    """Virtual time until the end."""
    datagrams: int
    digest: str
    """Hash of all events."""
    struck: Counter[str]


class Direct:
    """Two connections with agreed keys: the transport without its handshake."""

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

    def run(self) -> Outcome:
        """Run to the end; SimulationError if something does not hold."""
        options, world = self.options, self.world
        world.clock.at(options.calm_at, world.calm)
        ended = world.run(lambda: self.over, min(LONGEST, bound(options)))
        outcome = Outcome(world.clock.now, world.datagrams, world.digest, world.struck)
        if not ended:
            raise SimulationError(f"not at its end after {world.clock.now:.1f} s")
        if not (self.sender.done and self.receiver.done) and not self._excused():
            raise SimulationError(f"ended without success: {self.receiver.ended}")
        return outcome

    def _excused(self) -> bool:
        """An outage may outlast the idle timeout, in both directions one after the other."""
        silent = self.options.forth.outages + self.options.back.outages
        stalled = self.options.sender.stalls + self.options.receiver.stalls
        return sum(end - begin for begin, end in silent + stalled) > 10 and not any(
            "closed" in name and "closed 0" not in name for name in self.world.struck
        )


def end_parameters(options: Options) -> tuple[Parameters, Parameters]:
    """What the sender and the receiver declare of themselves."""
    left, right = (
        parameters(aes=aes, largest=largest)
        for aes, largest in zip(options.aes, options.largest_datagram, strict=True)
    )
    return left, right


def bound(options: Options) -> float:
    """Virtual time by which the run must be over: the calm phase and what the rate needs."""
    rates = [link.rate for link in (options.forth, options.back) if link.rate]
    transmission = 4 * options.size / min(rates) if rates else 0.0
    return options.calm_at + LIVENESS + transmission


def run(options: Options, *, log: Callable[[str], None] | None = None) -> Outcome:
    """Run once; whatever goes wrong tells its seed, its options and how to see it again."""
    try:
        return Direct(options, log=log).run()
    except Exception as error:
        raise SimulationError(f"{error!r}\n{explain(options)}") from error


def explain(options: Options) -> str:
    """The options in full and the command that runs them again."""
    lines = [f"  {each.name} = {getattr(options, each.name)!r}" for each in fields(options)]
    command = f"python -m tests.sim.run --seed {options.seed} --verbose"
    return "\n".join([*lines, f"  to see it again:  {command}"])
