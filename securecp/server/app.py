"""The server's shell: one event loop over WebSockets and UDP sockets, around cores without I/O.

    line.py      TCP, HTTP, WebSocket frames            one object a client
    channel      Noise NK                                one object a client
    desk.py      what is asked for, and what comes of it
    udpgate.py   what to do with each burst

What concerns other clients is done in a later turn of the loop than the message that caused it, so
that a client cannot tell from its own answers what its post did elsewhere (RV-01). UDP has a budget
per turn, so that a busy relay does not starve the rest (TR-21).
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import NamedTuple, Protocol

from websockets.frames import CloseCode
from websockets.http11 import Request

from securecp.endpoint import Burst, Endpoint
from securecp.errors import ProtocolError
from securecp.nat.channel import CIRCUIT, SEALED, ServerChannel, hello_in
from securecp.nat.relay import encode_circuit
from securecp.nat.rendezvous import FromServer, Welcome
from securecp.noise.keypairs import Entropy, KeyPair
from securecp.server.circuits import Doubt, Leg, Pass, Tell
from securecp.server.desk import Caps, Desk, Effect, Visitor
from securecp.server.line import Line
from securecp.server.tally import Diary, Event, Tally
from securecp.server.udpgate import UdpGate
from securecp.transport.load import network

# SPEC §13.2
HEADER_PATIENCE = 5.0
SILENCE = 90.0
DOUBTED = 3.0
"""Seconds that a client has to answer when another wants its place."""
WITHOUT_REQUEST = 1_024
"""Connections that have not said yet what they want."""
BURSTS_PER_TURN = 32
CLOSING = 1.0
BACKLOG = 1_024
_SEALED = bytes([SEALED])
_STATUS = {
    Event.FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    Event.TOO_MANY: HTTPStatus.TOO_MANY_REQUESTS,
    Event.TOO_FAST: HTTPStatus.TOO_MANY_REQUESTS,
}


class Door(Protocol):
    """A UDP socket that speaks in bursts and never blocks."""

    via: int
    """Its number, which every endpoint that it gives bears."""

    def fileno(self) -> int: ...
    def receive(self) -> Burst | None: ...
    def send(self, burst: Burst) -> Burst | None: ...


class Settings(NamedTuple):
    """What the operator chose."""

    caps: Caps
    stun: tuple[Endpoint, ...]
    """As clients are told."""
    proxies: frozenset[str] = frozenset()
    """Addresses whose X-Forwarded-For is believed."""
    verbose: bool = False


class Client:
    """A connection whose channel stands."""

    __slots__ = ("channel", "doubted_at", "line", "visitor")

    def __init__(self, line: Line, channel: ServerChannel, visitor: Visitor) -> None:
        self.line = line
        self.channel = channel
        self.visitor = visitor
        self.doubted_at: float | None = None


class Server:
    """Everything at once; make it inside a running loop."""

    def __init__(
        self,
        settings: Settings,
        key: KeyPair,
        doors: Sequence[Door],
        *,
        entropy: Entropy,
        wall_clock: Callable[[], float],
        tell: Callable[[Event, int, str], None],
    ) -> None:
        self._settings = settings
        self._key = key
        self._doors = doors
        for number, door in enumerate(doors):
            door.via = number
        self._entropy = entropy
        self._wall_clock = wall_clock
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self.tally = Tally()
        self.desk = Desk(settings.caps, entropy, self.tally)
        self.gate: UdpGate[Visitor] = UdpGate(self.desk.circuits, entropy, self.tally)
        self._diary = Diary(self.tally, verbose=settings.verbose)
        self._waiting: OrderedDict[Line, Visitor | None] = OrderedDict()
        """Lines without a request yet, in order of age."""
        self._clients: dict[Line, Client] = {}
        self._of: dict[Visitor, Client] = {}
        self._doubted: set[Client] = set()
        self._later: deque[Effect] = deque()
        self._sweeps = 0

    async def run(self, listening: Iterable[socket.socket], stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then close everything within a second or so."""
        self._loop.set_exception_handler(lambda _loop, _context: self.tally.add(Event.BUG))
        servers = [
            await self._loop.create_server(lambda: Line(self), sock=one, backlog=BACKLOG)
            for one in listening
        ]
        for door in self._doors:
            self._loop.add_reader(door.fileno(), self._readable, door)
        try:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 1.0)
                self._sweep_safely()
        finally:
            for server in servers:
                server.close()
            for door in self._doors:
                self._loop.remove_reader(door.fileno())
            await self._close_all()

    async def _close_all(self) -> None:
        for line in list(self._waiting):
            line.abort()
        for line in list(self._clients):
            line.close(CloseCode.SERVICE_RESTART)
        deadline = self._loop.time() + CLOSING
        while self._clients and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        for line in list(self._clients):
            line.abort()
        await asyncio.sleep(0)

    # What lines tell us

    def now(self) -> float:
        return self._loop.time()

    def connected(self, line: Line) -> None:
        """Count it by its network at once; behind a proxy, when the request says which."""
        if line.peer.address in self._settings.proxies:
            visitor = None
        else:
            visitor = self._arrive(line, network(line.peer))
            if visitor is None:
                return
        if len(self._waiting) >= WITHOUT_REQUEST:
            oldest = next(iter(self._waiting))
            self.tally.add(Event.SLOW)
            oldest.abort()
            self._forget(oldest)
        self._waiting[line] = visitor

    def _arrive(self, line: Line, where: str) -> Visitor | None:
        visitor = self.desk.arrive(self.now(), where)
        if isinstance(visitor, Visitor):
            return visitor
        self.tally.add(visitor)
        line.refuse(_STATUS[visitor], "no room", retry_after=10)
        return None

    def request(self, line: Line, request: Request) -> None:
        """A health check, or a client; anything else is shown the door."""
        if line not in self._waiting:  # it was refused before it spoke
            return
        if request.path == "/healthz":
            line.refuse(HTTPStatus.OK, "ok")
            return
        try:
            channel = ServerChannel(self._key, hello_in(request.path), self._entropy)
        except ProtocolError:
            self.tally.add(Event.BAD_REQUEST)
            line.refuse(HTTPStatus.NOT_FOUND, "nothing here")
            return
        observed, visitor = line.peer, self._waiting[line]
        if visitor is None:
            observed = _forwarded_for(request) or observed
            visitor = self._arrive(line, network(observed))
            if visitor is None:
                return
            self._waiting[line] = visitor
        if not line.accept(request):
            self.tally.add(Event.BAD_REQUEST)
            return
        del self._waiting[line]
        self.tally.add(Event.ARRIVED)
        client = Client(line, channel, visitor)
        self._clients[line] = self._of[visitor] = client
        welcome = Welcome(int(self._wall_clock()), observed, self._settings.stun)
        line.send(_SEALED + channel.welcome(welcome.encode()))

    def message(self, line: Line, message: bytes) -> None:
        """One WebSocket message of a client."""
        client = self._clients.get(line)
        if client is None:
            return
        try:
            self._message(client, message)
        except ProtocolError:
            self.tally.add(Event.BROKEN)
            line.close(CloseCode.PROTOCOL_ERROR)

    def _message(self, client: Client, message: bytes) -> None:
        first = message[0] if message else None
        if first == CIRCUIT:
            self._do(self.desk.circuit(self.now(), client.visitor, message))
        elif first == SEALED:
            plain = client.channel.open(message[1:])
            self._do_later(self.desk.receive(self.now(), client.visitor, plain))
        else:
            raise ProtocolError("a message is of no known kind")

    def count(self, event: Event) -> None:
        self.tally.add(event)

    def lost(self, line: Line) -> None:
        """The connection is closed, for whatever reason."""
        self._forget(line)

    def _forget(self, line: Line) -> None:
        client = self._clients.pop(line, None)
        if client is None:
            visitor = self._waiting.pop(line, None)
            if visitor is not None:
                self.desk.depart(visitor)
            return
        self._doubted.discard(client)
        del self._of[client.visitor]
        self.tally.add(Event.DEPARTED)
        self._do_later(self.desk.depart(client.visitor))

    # What comes of it

    def _do_later(self, effects: list[Effect]) -> None:
        if effects and not self._later:
            self._loop.call_soon(self._do_now)
        self._later.extend(effects)

    def _do_now(self) -> None:
        effects = list(self._later)
        self._later.clear()
        self._do(effects)

    def _do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Pass):
                self._pass(effect.leg, effect.stride, effect.data)
            elif isinstance(effect, Tell):
                self._say(effect.owner, effect.message)
            else:
                self._doubt(effect)

    def _say(self, visitor: Visitor, message: FromServer) -> None:
        client = self._of.get(visitor)
        if client is not None:
            client.line.send(_SEALED + client.channel.seal(message.encode()))

    def _doubt(self, doubt: Doubt[Visitor]) -> None:
        client = self._of.get(doubt.owner)
        if client is not None and client.doubted_at is None:
            client.doubted_at = self.now()
            client.line.ping()
            self._doubted.add(client)

    def _pass(self, leg: Leg[Visitor], stride: int, data: memoryview) -> None:
        """Send datagrams out at a leg; what its socket or buffer does not take is lost (RL-07)."""
        if leg.endpoint is not None:
            self.tally.udp_bytes += len(data)
            if self._doors[leg.endpoint.via].send(Burst(leg.endpoint, data, stride)) is not None:
                self.tally.add(Event.SLOW_LEG)
            return
        client = self._of.get(leg.owner) if leg.owner is not None else None
        if client is None:
            return
        self.tally.websocket_bytes += len(data)
        if not client.line.send_if_free(encode_circuit(leg.number, stride, data)):
            self.tally.add(Event.SLOW_LEG)

    # UDP

    def _readable(self, door: Door) -> None:
        now = self.now()
        for _ in range(BURSTS_PER_TURN):
            burst = door.receive()
            if burst is None:
                return
            outcome = self.gate.receive(now, burst)
            if isinstance(outcome, Pass):
                self._pass(*outcome)
            else:
                for answer in outcome:
                    door.send(answer)

    # Time

    def _sweep_safely(self) -> None:
        """An error of ours must not end the service of all; it is counted, and told."""
        try:
            self._sweep()
        except Exception:
            self.tally.add(Event.BUG)

    def _sweep(self) -> None:
        now = self.now()
        while self._waiting:
            line = next(iter(self._waiting))
            if now - line.connected_at < HEADER_PATIENCE:
                break
            self.tally.add(Event.SLOW)
            line.abort()
            self._forget(line)
        self._sweep_doubted(now)
        self._sweeps += 1
        if self._sweeps % 10 == 0:
            self._sweep_silent(now)
        self._do_later(self.desk.sweep(now))
        self.gate.sweep(now)
        for event, count, words in self._diary.lines(now):
            self._tell(event, count, words)

    def _sweep_doubted(self, now: float) -> None:
        for client in list(self._doubted):
            assert client.doubted_at is not None
            if client.line.heard_at > client.doubted_at:
                client.doubted_at = None
                self._doubted.discard(client)
            elif now - client.doubted_at >= DOUBTED:
                self._drop_silent(client)

    def _sweep_silent(self, now: float) -> None:
        for client in list(self._clients.values()):
            if now - client.line.heard_at >= SILENCE:
                self._drop_silent(client)

    def _drop_silent(self, client: Client) -> None:
        self.tally.add(Event.SILENT)
        client.line.abort()


def _forwarded_for(request: Request) -> Endpoint | None:
    """Whom the proxy speaks for: the last address in its header, which it added itself."""
    values = request.headers.get_all("X-Forwarded-For")
    text = values[-1].rpartition(",")[2].strip() if values else ""
    try:
        return Endpoint(str(ipaddress.ip_address(text)), 0)
    except ValueError:
        return None
