"""A server for the traversal's simulation: the real desk and gate, on lines like TCP's.

A line stands two round trips after it is begun, keeps order, and loses nothing until it breaks. A
server that is stopped breaks all of them and forgets everything; its clients try again each second.
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from securecp.endpoint import Burst, Endpoint
from securecp.errors import ProtocolError
from securecp.nat.relay import encode_circuit, parse_circuit
from securecp.nat.rendezvous import Welcome
from securecp.server.circuits import Pass, Tell
from securecp.server.desk import Caps, Desk, Effect, Visitor
from securecp.server.tally import Event, Tally
from securecp.server.udpgate import UdpGate
from tests.sim.clock import Clock
from tests.sim.internet import Internet, Packet
from tests.sim.nat import Place

if TYPE_CHECKING:
    from tests.sim.finder import Finder

PORTS = (3_478, 3_479)
TRY_AGAIN = 1.0
NOTICED = 0.05
SWEEP = 5.0

Meddling = Callable[[bytes], list[tuple[float, bytes]]]
"""What a server of ill will makes of a message to a client: delays and messages."""


class MeetingPoint:
    """One server."""

    def __init__(
        self, clock: Clock, internet: Internet, rng: Random, addresses: tuple[str, ...],
        delay: float, *, name: str = "",
    ) -> None:  # fmt: skip
        self.clock = clock
        self.internet = internet
        self.rng = rng
        self.addresses = addresses
        self.delay = delay
        self.name = name or addresses[0]
        self.lines: dict[Visitor, Line] = {}
        self.meddle: Meddling | None = None
        self.up = False
        for address in addresses:
            internet.attach(address, self, delay)
        self.start()

    @property
    def dialled(self) -> Endpoint:
        return Endpoint(self.addresses[0], 443)

    @property
    def stun(self) -> list[Endpoint]:
        """In the order in which they are asked."""
        return [Endpoint(address, port) for port in PORTS for address in self.addresses]

    def start(self) -> None:
        self.tally = Tally()
        self.desk = Desk(Caps(), self.rng.randbytes, self.tally)
        self.gate: UdpGate[Visitor] = UdpGate(self.desk.circuits, self.rng.randbytes, self.tally)
        self.up = True
        self._sweep()

    def stop(self) -> None:
        self.up = False
        for line in list(self.lines.values()):
            line.breaks()
        self.lines.clear()

    def _sweep(self) -> None:
        if self.up:
            self.apply(self.desk.sweep(self.clock.now))
            self.gate.sweep(self.clock.now)
            self.clock.after(SWEEP, self._sweep)

    # UDP

    def down(self, packet: Packet) -> None:
        if not self.up or packet.target[1] not in PORTS:
            return
        via = PORTS.index(packet.target[1]) + len(PORTS) * self.addresses.index(packet.target[0])
        burst = Burst(
            Endpoint(*packet.source, via), memoryview(packet.data), max(len(packet.data), 1)
        )
        outcome = self.gate.receive(self.clock.now, burst)
        if isinstance(outcome, Pass):
            self.apply([outcome])
            return
        for answer in outcome:
            self.send(via, answer.endpoint, bytes(answer.data))

    def send(self, via: int, to: Endpoint, data: bytes) -> None:
        source = self.addresses[via // len(PORTS)], PORTS[via % len(PORTS)]
        packet = Packet(source, (to.address, to.port), data)
        self.clock.after(self.delay, lambda: self.internet.up(packet))

    # clients

    def apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Tell):
                line = self.lines.get(effect.owner)
                if line is not None:
                    line.to_client(effect.message.encode())
            elif isinstance(effect, Pass):
                self._pass(effect)

    def _pass(self, passed: Pass[Visitor]) -> None:
        leg = passed.leg
        if leg.endpoint is not None:
            for at in range(0, len(passed.data), passed.stride):
                data = bytes(passed.data[at : at + passed.stride])
                self.send(leg.endpoint.via, leg.endpoint, data)
        elif leg.owner in self.lines:
            line = self.lines[leg.owner]
            line.to_client(encode_circuit(leg.number, passed.stride, passed.data), circuit=True)

    def welcome(self, seen: Place) -> bytes:
        return Welcome(0, Endpoint(*seen), tuple(self.stun)).encode()


class Line:
    """A client's connection to one server, and its attempts to have one."""

    def __init__(self, server: MeetingPoint, client: "Finder", number: int) -> None:
        self.server = server
        self.client = client
        self.number = number
        self.visitor: Visitor | None = None
        self._clock = server.clock
        self._attempt = 0
        self._free = [0.0, 0.0]
        """When the next message may arrive, there and here."""
        self.begin()

    @property
    def one_way(self) -> float:
        return self.server.delay + self.client.distance

    def begin(self) -> None:
        """Dial; what was before is over."""
        self._attempt += 1
        attempt = self._attempt
        if self.server.up and self.client.online:
            self._clock.after(4 * self.one_way, lambda: self._stands(attempt))
        else:
            self._clock.after(TRY_AGAIN, lambda: self._once_more(attempt))

    def _once_more(self, attempt: int) -> None:
        if attempt == self._attempt and self.visitor is None:
            self.begin()

    def _stands(self, attempt: int) -> None:
        if attempt != self._attempt or not self.client.online or self.client.dead:
            return
        seen = self.client.seen
        visitor = self.server.desk.arrive(self._clock.now, seen[0]) if self.server.up else None
        if visitor is None or isinstance(visitor, Event):
            self._clock.after(TRY_AGAIN, lambda: self._once_more(attempt))
            return
        self.visitor = visitor
        self.server.lines[visitor] = self
        self.client.server_up(self.number, self.server.welcome(seen), 2 * self.one_way)

    def breaks(self, after: float = NOTICED) -> None:
        """The connection is gone; the client finds out in a while, and dials again."""
        visitor, self.visitor = self.visitor, None
        if visitor is None:
            return
        self.server.lines.pop(visitor, None)
        attempt = self._attempt = self._attempt + 1
        if self.server.up:
            gone = self.server.desk.depart
            self._clock.after(after, lambda: self.server.apply(gone(visitor)))
        self._clock.after(after, lambda: self._noticed(attempt))

    def _noticed(self, attempt: int) -> None:
        if attempt == self._attempt and not self.client.dead:
            self.client.server_down(self.number)
            self.begin()

    def to_server(self, message: bytes, *, circuit: bool = False) -> None:
        visitor = self.visitor
        if visitor is not None:
            self._at(0, lambda: self._arrives(visitor, message, circuit))

    def to_client(self, message: bytes, *, circuit: bool = False) -> None:
        visitor = self.visitor
        meddle = self.server.meddle
        for delay, changed in meddle(message) if meddle and not circuit else [(0.0, message)]:
            self._at(1, lambda one=changed: self._comes(visitor, one, circuit), delay)  # type: ignore[misc]

    def _at(self, way: int, action: Callable[[], None], delay: float = 0.0) -> None:
        arrival = self._clock.now + self.one_way + delay
        if not delay:  # only a meddler breaks the order
            arrival = self._free[way] = max(self._free[way], arrival)
        self._clock.at(arrival, action)

    def _arrives(self, visitor: Visitor, message: bytes, circuit: bool) -> None:
        if self.server.lines.get(visitor) is not self:
            return
        desk, now = self.server.desk, self._clock.now
        if circuit:
            self.server.apply(desk.circuit(now, visitor, message))
            return
        try:
            effects = desk.receive(now, visitor, message)
        except ProtocolError as error:
            raise AssertionError(f"the server closes the connection: {error}") from error
        self.server.apply(effects)

    def _comes(self, visitor: Visitor | None, message: bytes, circuit: bool) -> None:
        if visitor is None or visitor is not self.visitor or self.client.dead:
            return
        if circuit:
            data = parse_circuit(message)
            for at in range(0, len(data.data), data.stride):
                self.client.circuit(data.leg, bytes(data.data[at : at + data.stride]))
        else:
            self.client.server_message(self.number, message)
