"""Ends joined by links, the invariants that watch them, and the hash of all that happened."""

import hashlib
import struct
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Protocol

from securecp.endpoint import Endpoint
from securecp.transport.wire import DATA, HEADER_LENGTH
from tests.sim.clock import Clock
from tests.sim.host import Host
from tests.sim.network import Link
from tests.sim.options import HostOptions, LinkOptions, Options

LONGEST = 600.0
"""Virtual seconds that no run may exceed."""
LIVENESS = 90.0
"""Virtual seconds within which a transfer must be over once the faults are off."""
_RECORD = struct.Struct(">dHHI")


class Watch(Protocol):
    """An invariant: raises SimulationError when it does not hold."""

    def sent(self, host: Host, destination: Endpoint, datagram: bytes) -> None:
        """A host puts a datagram on the wire."""

    def arrived(self, host: Host, source: Endpoint, datagram: bytes) -> None:
        """A datagram reaches a host's socket."""

    def check(self) -> None:
        """Something happened; look at the whole."""


class Tap(Protocol):
    """An attacker on the path: sees every datagram and decides what goes on in its place."""

    def passing(self, source: Endpoint, destination: Endpoint, datagram: bytes) -> list[bytes]: ...


class World:
    """Hosts by endpoint and links by direction. Add hosts and links, then `run`."""

    def __init__(self, seed: int, *, log: Callable[[str], None] | None = None) -> None:
        self.clock = Clock()
        self.struck: Counter[str] = Counter()
        """How often each fault struck and each noted state was reached."""
        self.watches: list[Watch] = []
        self.taps: list[Tap] = []
        self.hosts: dict[Endpoint, Host] = {}
        self.links: dict[tuple[str, str], Link] = {}
        self.datagrams = 0
        self._seed = seed
        self._hash = hashlib.blake2b(digest_size=16)
        self._log = log

    def random(self, purpose: str) -> Random:
        """A generator of its own for each purpose; a text seed does not depend on `hash()`."""
        return Random(f"{self._seed} {purpose}")

    def host(self, name: str, endpoint: Endpoint, options: HostOptions | None = None) -> Host:
        """Add a host; give it an `end` before the run."""
        host = Host(self, name, endpoint, options or HostOptions(), self.random(name))
        self.hosts[endpoint] = host
        return host

    def door(self, host: Host, via: int, endpoint: Endpoint) -> None:
        """Give a host another door, or another endpoint at one: a NAT does that unasked."""
        former = host.doors.get(via)
        if former is not None:
            del self.hosts[former]
        host.doors[via] = endpoint
        self.hosts[endpoint] = host

    def link(self, source: Host, destination: Host, options: LinkOptions) -> None:
        """Join two hosts in one direction."""
        ends = source.endpoint.address, destination.endpoint.address
        self.way(*ends, options, f"{source.name} to {destination.name}")

    def way(self, source: str, destination: str, options: LinkOptions, name: str = "") -> Link:
        """Join two addresses in one direction."""
        link = Link(options, self.random(name or f"{source} to {destination}"), self.struck)
        self.links[source, destination] = link
        return link

    def join(self, left: Host, right: Host, forth: LinkOptions, back: LinkOptions) -> None:
        """Join two hosts in both directions."""
        self.link(left, right, forth)
        self.link(right, left, back)

    def calm(self) -> None:
        """From here on no link has faults."""
        self.note("calm")
        for link in self.links.values():
            link.options = link.options.calm()

    def send(self, host: Host, destination: Endpoint, datagram: bytes) -> None:
        """A host puts a datagram on the wire, where taps may change it."""
        self.datagrams += 1
        self._record(b">", host, datagram)
        for watch in self.watches:
            watch.sent(host, destination, datagram)
        source = host.doors[destination.via]
        destination = Endpoint(destination.address, destination.port)
        passing = [datagram]
        for tap in self.taps:
            passing = [
                result for each in passing for result in tap.passing(source, destination, each)
            ]
        for each in passing:
            self.inject(source, destination, each)

    def inject(self, source: Endpoint, destination: Endpoint, datagram: bytes) -> None:
        """Put a datagram on the link with any source endpoint: attackers spoof."""
        link = self.links.get((source.address, destination.address))
        host = self.hosts.get(destination)
        if link is None or host is None:
            self.struck["nowhere"] += 1
            return
        for when, arriving in link.carry(self.clock.now, datagram):
            self.clock.at(when, lambda data=arriving: self._reach(source, destination, data))  # type: ignore[misc]

    def _reach(self, source: Endpoint, destination: Endpoint, datagram: bytes) -> None:
        """Whoever has the destination now gets it, through the door that it belongs to."""
        host = self.hosts.get(destination)
        if host is None:
            self.struck["nowhere"] += 1
            return
        via = next(via for via, own in host.doors.items() if own == destination)
        self._arrive(host, source._replace(via=via), datagram)

    def spoof(
        self, source: Endpoint, victim: Host, datagram: bytes, delay: float, via: int = 0
    ) -> None:
        """Let a datagram reach a host by a way of its own, past all links."""
        self.struck["spoofed"] += 1
        source = source._replace(via=via)
        self.clock.after(delay, lambda: self._arrive(victim, source, datagram))

    def _arrive(self, host: Host, source: Endpoint, datagram: bytes) -> None:
        self._record(b"<", host, datagram)
        for watch in self.watches:
            watch.arrived(host, source, datagram)
        host.arrive(source, datagram)

    def check(self) -> None:
        """Every invariant, after every event."""
        for watch in self.watches:
            watch.check()

    def run(self, done: Callable[[], bool], limit: float) -> bool:
        """Run until `done()` or until virtual time `limit`; whether it was done."""
        for host in self.hosts.values():
            host.settle()
        while not done():
            if not self.clock.step(limit):
                return done()
        return True

    def note(self, what: str) -> None:
        """Count a state that must be reached sometimes, and put it into the record."""
        self.struck[what] += 1
        self._hash.update(what.encode())
        if self._log:
            self._log(f"{self.clock.now:12.6f}  {what}")

    @property
    def digest(self) -> str:
        """Hash of all events so far: equal for equal runs."""
        return self._hash.hexdigest()

    def _record(self, direction: bytes, host: Host, datagram: bytes) -> None:
        # Handshake bytes are not reproducible (the library's ML-KEM draws its own randomness), nor
        # is what is sealed under their keys; times, lengths and headers are.
        visible = datagram[:HEADER_LENGTH] if datagram[:1] == bytes((DATA,)) else datagram[:1]
        where = _RECORD.pack(self.clock.now, host.endpoint.port, len(visible), len(datagram))
        self._hash.update(direction + where + visible)
        if self._log:
            self._log(
                f"{self.clock.now:12.6f}  {host.name:9}{direction.decode()} "
                f"{len(datagram):6}  {visible.hex()}"
            )


def bound(options: Options) -> float:
    """Virtual time by which a run must be over: the faults, the calm, and what the rate needs."""
    rates = [link.rate for link in (options.forth, options.back) if link.rate]
    transmission = 4 * options.size / min(rates) if rates else 0.0
    return min(options.calm_at + LIVENESS + transmission, LONGEST)
