"""What must hold after every event, whatever the network does."""

from collections.abc import Callable

from securecp.endpoint import Endpoint
from securecp.transport.connection import Connection
from securecp.transport.wire import DATA, HEADER, HEADER_LENGTH
from tests.sim.host import Host, SimulationError

MEMORY = 16_384
"""Entries that any set or ledger of a connection may hold."""
PROBES = 4
"""Datagrams that a PTO may send past the window, and a PING or two."""


class Watcher:
    """A watch that looks at nothing; the base of the others."""

    def sent(self, host: Host, destination: Endpoint, datagram: bytes) -> None:
        """See `Watch`."""

    def arrived(self, host: Host, source: Endpoint, datagram: bytes) -> None:
        """See `Watch`."""

    def check(self) -> None:
        """See `Watch`."""


class SizeLimit(Watcher):
    """No datagram is longer than both sides said that they take, and none is empty."""

    def __init__(self, largest: int, hosts: set[str]) -> None:
        self._largest = largest
        self._hosts = hosts

    def sent(self, host: Host, destination: Endpoint, datagram: bytes) -> None:
        if host.name in self._hosts and not 0 < len(datagram) <= self._largest:
            raise SimulationError(f"{host.name} sends a datagram of {len(datagram)} bytes")


class Amplification(Watcher):
    """DG-05: never more bytes out to an endpoint than came in, until it is validated.

    An endpoint is validated for a host that calls it, or once the host has told of a session.
    """

    def __init__(self, validated: Callable[[Host, Endpoint], bool]) -> None:
        self._validated = validated
        self._credit: dict[tuple[str, Endpoint], int] = {}

    def arrived(self, host: Host, source: Endpoint, datagram: bytes) -> None:
        key = host.name, source
        self._credit[key] = self._credit.get(key, 0) + len(datagram)

    def forget(self, host: Host) -> None:
        """Another process takes over: what the former did is not its doing."""
        self._credit = {key: left for key, left in self._credit.items() if key[0] != host.name}

    def sent(self, host: Host, destination: Endpoint, datagram: bytes) -> None:
        key = host.name, destination
        self._credit[key] = self._credit.get(key, 0) - len(datagram)
        if self._credit[key] < 0 and not self._validated(host, destination):
            raise SimulationError(f"{host.name} sends more to {destination} than came from there")


class FreshCounters(Watcher):
    """A counter is used once under an index, by one datagram or by the fragments of one."""

    def __init__(self, hosts: set[str]) -> None:
        self._hosts = hosts
        self._used: dict[tuple[str, int, int], tuple[int, int]] = {}
        """By host, index and counter: last fragment, and a bit for each number that has left."""

    def sent(self, host: Host, destination: Endpoint, datagram: bytes) -> None:
        if host.name not in self._hosts or datagram[0] != DATA:
            return
        _, _, fragment, index, counter = HEADER.unpack(datagram[:HEADER_LENGTH])
        number, last = divmod(fragment, 256)
        before, left = self._used.get((host.name, index, counter), (last, 0))
        if before != last or number > last or left >> number & 1:
            raise SimulationError(f"{host.name} uses counter {counter} of {index:08x} twice")
        self._used[host.name, index, counter] = last, left | 1 << number


class Bounds(Watcher):
    """Bytes in flight stay within the window (plus a burst and probes); memory stays small."""

    def __init__(self, connections: Callable[[], list[Connection]]) -> None:
        self._connections = connections
        self._before: dict[int, tuple[int, int]] = {}
        self._longest: dict[int, int] = {}

    def check(self) -> None:
        for connection in self._connections():
            self._check_flight(connection)
            self._check_memory(connection)

    def _check_flight(self, connection: Connection) -> None:
        """What leaves while the window is full is bounded: a few datagrams for each PTO."""
        recovery = connection._recovery
        flight = recovery.flight
        before, beyond = self._before.get(connection.index, (0, 0))
        if flight.bytes == before:
            return
        if flight.bytes < 0:
            raise SimulationError("fewer than no bytes in flight")
        if flight.bytes < before:
            beyond = 0
        elif flight.bytes > recovery.controller.window:
            probing = sum(record.size for record in flight if record.probe)
            full = max(before, recovery.controller.window + probing)
            beyond += max(0, flight.bytes - full)
        self._before[connection.index] = flight.bytes, beyond
        longest = max(connection.datagram_size, self._longest.get(connection.index, 0))
        self._longest[connection.index] = longest
        if beyond > PROBES * longest * (1 + recovery.probes):
            raise SimulationError(
                f"{beyond} of {flight.bytes} bytes in flight left past a window of "
                f"{recovery.controller.window}"
            )

    def _check_memory(self, connection: Connection) -> None:
        sizes = {
            "flight": len(connection._recovery.flight),
            "late": len(connection._recovery.flight._late),
            "acks": len(connection._acks._received),
            "received": len(connection.content_in._received),
            "again": len(connection.content_out._again),
            "control": len(connection._control_in._ahead) // 64,
            "responses": len(connection._due.responses) * 1_000,
        }
        for name, size in sizes.items():
            if size > MEMORY:
                raise SimulationError(f"{name} holds {size} entries")
