"""A small world for handshake tests: identities, a channel that only confirms, virtual time.

Not the simulator of `tests/sim`: datagrams are few here, and every one can be seen and changed.
"""

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from keys.identity import Identity
from securecp.endpoint import Burst, Endpoint
from securecp.transport.cookie import MAC_LENGTH, mac1_key, with_mac1
from securecp.transport.exchange import Answered, CallFailed, Connected, Exchange
from securecp.transport.handshake import Initiator, Responder
from securecp.transport.wire import DATA, HEADER, HEADER_LENGTH, Parameters, SessionKeys

PARAMETERS = Parameters(True, 1452, 1 << 20, 1 << 24)
OTHER_PARAMETERS = Parameters(False, 65_507, 1 << 16, 1 << 22)


def seeded(seed: object) -> Callable[[int], bytes]:
    """Randomness that is the same for the same seed."""
    return random.Random(repr(seed)).randbytes


@cache
def identity(number: int) -> Identity:
    return Identity.generate(seeded(("identity", number)))


def public(number: int) -> bytes:
    return bytes(identity(number).public)


def place(number: int, port: int = 4400) -> Endpoint:
    return Endpoint(f"10.0.{number >> 8}.{number & 255}", port)


ALICE, BOB, EVE = sorted(range(3), key=public)
"""Numbers of identities; Alice has the smallest public key."""


def initiator(
    caller: int = ALICE, called: int = BOB, *, seed: object = "call", index: int = 0xA11CE
) -> Initiator:
    return Initiator(
        identity(caller),
        public(called),
        index=index,
        parameters=PARAMETERS,
        entropy=seeded(seed),
    )


def responder(hello_a: bytes, called: int = BOB, *, seed: object = "answer") -> Responder:
    return Responder(identity(called), hello_a, parameters=OTHER_PARAMETERS, entropy=seeded(seed))


def with_new_mac1(datagram: bytes, receiver: int) -> bytes:
    """What an editor on the way who knows the receiver's public key can make of a datagram."""
    return with_mac1(datagram[:-MAC_LENGTH], mac1_key(public(receiver)))


class Confirming:
    """A channel that says one thing, sealed: the caller until it hears back, the called once."""

    AGAIN = 0.2

    def __init__(self, keys: SessionKeys, endpoint: Endpoint, now: float) -> None:
        self.index = keys.our_index
        self.keys = keys
        self.endpoint = endpoint
        self.established = False
        self.closed = False
        self.heard_at = now
        self.opened = 0
        self._counter = 0
        self._due: float | None = now if keys.initiator else None

    def receive(self, now: float, *bursts: Burst) -> None:
        for datagram in (
            bytes(burst.data[start : start + burst.stride])
            for burst in bursts
            for start in range(0, len(burst.data), burst.stride)
        ):
            try:
                plain = ChaCha20Poly1305(self.keys.receive_root).decrypt(
                    datagram[4:16], datagram[HEADER_LENGTH:], datagram[:HEADER_LENGTH]
                )
            except InvalidTag:
                continue
            self.established = True
            self.heard_at = now
            self.opened += 1
            if plain == b"ping":
                self._due = now
            elif self.keys.initiator:
                self._due = None

    def lose(self) -> None:
        self.closed, self._due = True, None

    def wake(self, now: float) -> None:
        """Nothing to do: `transmit` looks at the time."""

    def transmit(self, now: float) -> Burst | None:
        if self._due is None or now < self._due:
            return None
        waiting = self.keys.initiator and not self.established
        self._due = now + self.AGAIN if waiting else None
        return self.seal(b"ping" if self.keys.initiator else b"pong")

    def deadline(self) -> float | None:
        return self._due

    def seal(self, plain: bytes) -> Burst:
        header = HEADER.pack(DATA, 0, 0, self.keys.their_index, self._counter)
        self._counter += 1
        sealed = ChaCha20Poly1305(self.keys.send_root).encrypt(header[4:16], plain, header)
        return Burst(self.endpoint, memoryview(header + sealed), len(header + sealed))


@dataclass(order=True)
class Flight:
    """A datagram on its way."""

    at: float
    number: int
    source: Endpoint = field(compare=False)
    target: Endpoint = field(compare=False)
    data: bytes = field(compare=False)


@dataclass
class Node:
    exchange: Exchange[Confirming]
    endpoint: Endpoint
    number: int
    connected: list[Connected[Confirming]] = field(default_factory=list)
    answered: list[Answered[Confirming]] = field(default_factory=list)
    failed: list[CallFailed] = field(default_factory=list)
    channels: list[Confirming] = field(default_factory=list)
    took: Counter[Endpoint] = field(default_factory=Counter)
    gave: Counter[Endpoint] = field(default_factory=Counter)
    called: set[Endpoint] = field(default_factory=set)


class World:
    """Exchanges on a network with virtual time; `route` decides what becomes of a datagram."""

    def __init__(self) -> None:
        self.now = 0.0
        self.nodes: dict[Endpoint, Node] = {}
        self.sent: list[Flight] = []
        self.route: Callable[[Flight], list[Flight]] = lambda flight: [flight]
        self.delay: Callable[[], float] = lambda: 0.01
        self._flights: list[Flight] = []
        self._numbers = 0

    def add(
        self,
        number: int,
        *,
        knows: tuple[int, ...] = (ALICE, BOB),
        seed: object = 0,
        port: int = 4400,
        other: Callable[[float, Burst], None] | None = None,
    ) -> Node:
        channels: list[Confirming] = []

        def connect(keys: SessionKeys, endpoint: Endpoint, now: float) -> Confirming:
            channels.append(Confirming(keys, endpoint, now))
            return channels[-1]

        known = {public(n) for n in knows}
        exchange = Exchange(
            identity(number),
            known.__contains__,
            connect,
            seeded((number, seed)),
            PARAMETERS,
            other,
        )
        node = Node(exchange, place(number, port), number, channels=channels)
        self.nodes[node.endpoint] = node
        return node

    def call(self, caller: Node, called: Node, timeout: float = 10.0) -> None:
        caller.called.add(called.endpoint)
        peer = identity(called.number).public
        caller.exchange.call(self.now, peer, called.endpoint, timeout)
        self.drain(caller)

    def put(
        self, source: Endpoint, target: Endpoint, data: bytes, *, delay: float | None = None
    ) -> None:
        """Send one datagram as anyone could, from any address."""
        self._numbers += 1
        at = self.now + (self.delay() if delay is None else delay)
        flight = Flight(at, self._numbers, source, target, data)
        self.sent.append(flight)
        for routed in self.route(flight):
            heapq.heappush(self._flights, routed)

    def drain(self, node: Node) -> None:
        while (burst := node.exchange.transmit(self.now)) is not None:
            for start in range(0, len(burst.data), burst.stride):
                data = bytes(burst.data[start : start + burst.stride])
                node.gave[burst.endpoint] += len(data)
                self.put(node.endpoint, burst.endpoint, data)
            self._check_amplification(node, burst.endpoint)
        for event in node.exchange.events():
            if isinstance(event, Connected):
                node.connected.append(event)
            elif isinstance(event, Answered):
                node.answered.append(event)
            else:
                node.failed.append(event)

    def _check_amplification(self, node: Node, endpoint: Endpoint) -> None:
        """DG-05, after every burst: nobody gets more bytes than came, unless called or proved."""
        if endpoint in node.called or endpoint in {c.endpoint for c in node.connected}:
            return
        assert node.gave[endpoint] <= node.took[endpoint], "amplification"

    def run(self, until: float) -> None:
        """Let time pass, with everything that happens in it."""
        while True:
            times = [flight.at for flight in self._flights[:1]]
            deadlines = {
                endpoint: due
                for endpoint, node in self.nodes.items()
                if (due := node.exchange.deadline()) is not None
            }
            times += deadlines.values()
            if not times or min(times) > until:
                break
            self.now = max(self.now, min(times))
            for endpoint, due in deadlines.items():
                if due <= self.now:
                    self.nodes[endpoint].exchange.wake(self.now)
                    self.drain(self.nodes[endpoint])
            while self._flights and self._flights[0].at <= self.now:
                self._deliver(heapq.heappop(self._flights))
        self.now = until

    def _deliver(self, flight: Flight) -> None:
        node = self.nodes.get(flight.target)
        if node is None:
            return
        node.took[flight.source] += len(flight.data)
        data = memoryview(flight.data)
        node.exchange.receive(self.now, Burst(flight.source, data, len(data)))
        self.drain(node)

    def kinds(self) -> dict[Endpoint, list[int]]:
        """First bytes of everything sent, by sender."""
        kinds: dict[Endpoint, list[int]] = defaultdict(list)
        for flight in self.sent:
            kinds[flight.source].append(flight.data[0])
        return kinds


def pair(seed: object = 0) -> tuple[World, Node, Node]:
    """Alice and Bob, who know each other."""
    world = World()
    return world, world.add(ALICE, seed=seed), world.add(BOB, seed=seed)


def only(nodes: list[Connected[Confirming]]) -> Connected[Confirming]:
    """The one session there is."""
    (connected,) = nodes
    return connected


def same_session(one: SessionKeys, other: SessionKeys) -> bool:
    """Whether two sides hold the two ends of one session."""
    return (
        one.hash == other.hash
        and one.send_root == other.receive_root
        and one.receive_root == other.send_root
        and one.our_index == other.their_index
        and one.their_index == other.our_index
        and one.initiator != other.initiator
        and one.ours == other.theirs
        and one.theirs == other.ours
    )


def give(node: Node, source: Endpoint, data: bytes, now: float) -> list[bytes]:
    """Put a datagram before the exchange; what it sends at once."""
    node.exchange.receive(now, Burst(source, memoryview(data), len(data)))
    sent = []
    while (burst := node.exchange.transmit(now)) is not None:
        assert burst.endpoint == source
        sent.append(bytes(burst.data))
    return sent


def silent(node: Node, source: Endpoint, data: bytes, now: float = 0.0) -> bool:
    """Whether a datagram is dropped: nothing sent, nothing told, one counter."""
    before = node.exchange.dropped
    sent = give(node, source, data, now)
    return not sent and not node.exchange.events() and node.exchange.dropped == before + 1


def listener(knows: tuple[int, ...] = (ALICE,)) -> Node:
    """Bob, who waits for calls."""
    return World().add(BOB, knows=knows)
