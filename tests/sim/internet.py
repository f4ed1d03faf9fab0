"""Hosts, routers and the internet between them, on virtual time; every hop counts a TTL down."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

from tests.sim.clock import Clock
from tests.sim.nat import Box, Firewall, Place, Translation

TTL = 64
LAN_DELAY = 0.0002


class Packet(NamedTuple):
    """A datagram on its way."""

    source: Place
    target: Place
    data: bytes
    ttl: int = TTL


class Node(Protocol):
    """What has an address."""

    def down(self, packet: Packet) -> None:
        """A packet arrives from outside."""


class Outside(Protocol):
    """What a host or a router hangs on."""

    def up(self, packet: Packet) -> None:
        """A packet arrives from inside."""

    def attach(self, address: str, node: Node, delay: float) -> None: ...
    def detach(self, address: str) -> None: ...


@dataclass(frozen=True)
class Weather:
    """What the internet does to datagrams."""

    loss: float = 0.0
    jitter: float = 0.0


class Internet:
    """Delivers by address; each node is so many seconds away from the middle."""

    def __init__(self, clock: Clock, rng: Random, weather: Weather) -> None:
        self.clock = clock
        self.rng = rng
        self.weather = weather
        self.nodes: dict[str, tuple[Node, float]] = {}
        self.carried = 0

    def attach(self, address: str, node: Node, delay: float) -> None:
        self.nodes[address] = node, delay

    def detach(self, address: str) -> None:
        self.nodes.pop(address, None)

    def up(self, packet: Packet) -> None:
        self.carried += 1
        found = self.nodes.get(packet.target[0])
        if packet.ttl <= 1 or found is None or self.rng.random() < self.weather.loss:
            return
        node, delay = found
        passed = packet._replace(ttl=packet.ttl - 1)
        jitter = self.rng.random() * self.weather.jitter
        self.clock.after(delay + jitter, lambda: node.down(passed))


class Router:
    """A NAT for IPv4 and a firewall for IPv6, with a network behind it."""

    def __init__(
        self, clock: Clock, rng: Random, box: Box, outside: Outside, address: str, delay: float
    ) -> None:
        self.clock = clock
        self.box = box
        self.table = Translation(box, rng)
        self.firewall = Firewall()
        self.outside = outside
        self.address = address
        self.delay = delay
        self.inside: dict[str, Node] = {}
        self.members: list[Host] = []
        outside.attach(address, self, delay)

    def attach(self, address: str, node: Node, delay: float) -> None:
        self.inside[address] = node
        if ":" in address:
            self.outside.attach(address, self, self.delay)

    def detach(self, address: str) -> None:
        self.inside.pop(address, None)
        if ":" in address:
            self.outside.detach(address)

    def up(self, packet: Packet) -> None:
        here = self.inside.get(packet.target[0])
        if here is not None:  # another host of the same network: no hop
            self.clock.after(LAN_DELAY, lambda: here.down(packet))
            return
        if packet.ttl <= 1 or self.box.blocked:
            return
        packet = packet._replace(ttl=packet.ttl - 1)
        if ":" in packet.target[0]:
            self.firewall.outgoing(self.clock.now, packet.source, packet.target)
            self._forward(packet)
            return
        if packet.target[0] == self.address:
            if self.box.hairpin:
                port = self.table.outgoing(self.clock.now, packet.source, packet.target)
                self.down(packet._replace(source=(self.address, port)))
            return
        port = self.table.outgoing(self.clock.now, packet.source, packet.target)
        self._forward(packet._replace(source=(self.address, port)))

    def _forward(self, packet: Packet) -> None:
        self.clock.after(self.delay, lambda: self.outside.up(packet))

    def down(self, packet: Packet) -> None:
        if self.box.blocked:
            return
        now, target = self.clock.now, packet.target
        inside: Place | None = target
        if ":" in target[0]:
            if not self.firewall.incoming(now, target, packet.source):
                return
        else:
            inside = self.table.incoming(now, target[1], packet.source)
        node = self.inside.get(inside[0]) if inside else None
        if node is None or inside is None or packet.ttl <= 1:
            return
        passed = packet._replace(target=inside, ttl=packet.ttl - 1)
        self.clock.after(LAN_DELAY, lambda: node.down(passed))


class Host:
    """Addresses and sockets; `receive` is called for each datagram that comes to one of them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.outside: Outside | None = None
        self.addresses: tuple[str, ...] = ()
        self.delay = 0.0
        self.sockets: dict[tuple[bool, int], int] = {}
        """Whether IPv6, and the port: which door."""
        self.ports: dict[int, tuple[bool, int]] = {}
        self.receive: Callable[[int, Place, bytes], None] = lambda via, source, data: None
        self.following = 40_000

    def plug(self, outside: Outside | None, addresses: tuple[str, ...], delay: float = 0.0) -> None:
        """Move to another network, or to none."""
        if self.outside is not None:
            for address in self.addresses:
                self.outside.detach(address)
            if isinstance(self.outside, Router):
                self.outside.members.remove(self)
        self.outside, self.addresses, self.delay = outside, addresses, delay
        if outside is not None:
            for address in addresses:
                outside.attach(address, self, delay)
            if isinstance(outside, Router):
                outside.members.append(self)

    def bind(self, via: int, *, ipv6: bool) -> int:
        self.following += 1
        self.sockets[ipv6, self.following] = via
        self.ports[via] = ipv6, self.following
        return self.following

    def close(self, via: int) -> None:
        place = self.ports.pop(via, None)
        if place is not None:
            del self.sockets[place]

    def send(self, via: int, target: Place, data: bytes, ttl: int | None) -> None:
        ipv6 = ":" in target[0]
        source = next((one for one in self.addresses if (":" in one) == ipv6), None)
        if via not in self.ports or source is None or self.outside is None:
            return
        socket6, port = self.ports[via]
        if socket6 != ipv6:
            return
        packet = Packet((source, port), target, data, TTL if ttl is None else ttl)
        outside = self.outside
        self.clock.after(self.delay, lambda: outside.up(packet))

    def down(self, packet: Packet) -> None:
        via = self.sockets.get((":" in packet.target[0], packet.target[1]))
        if via is not None:
            self.receive(via, packet.source, packet.data)

    def shout(self, via: int, data: bytes) -> None:
        """Multicast: to the first two sockets of every host of this network."""
        if not isinstance(self.outside, Router) or not self.addresses:
            return
        port = self.ports[via][1]
        source = next(one for one in self.addresses if (":" in one) == self.ports[via][0])
        for other in self.outside.members:
            self.clock.after(
                LAN_DELAY,
                lambda other=other: other.receive(via, (source, port), data),  # type: ignore[misc]
            )
