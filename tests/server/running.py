"""A server on loopback in the test's own loop, and real WebSocket clients for it."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect

from securecp.endpoint import Burst, Endpoint
from securecp.nat import relay
from securecp.nat.channel import SEALED, ClientChannel, path_of
from securecp.nat.rendezvous import (
    DIALLED,
    FromClient,
    FromServer,
    Welcome,
    parse_from_server,
    parse_welcome,
)
from securecp.net.udp import UdpSocket
from securecp.noise.keypairs import KeyPair
from securecp.server.app import Server, Settings
from securecp.server.desk import Caps
from securecp.server.tally import Event

KEY = KeyPair.from_seed(bytes(range(32)))
PATIENCE = 10.0
LOCAL = Endpoint("127.0.0.1", 0)
LOCAL_V6 = Endpoint("::1", 0)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that is a coroutine, with a time limit."""

    def wrapped() -> None:
        asyncio.run(asyncio.wait_for(test(), 3 * PATIENCE))

    wrapped.__name__, wrapped.__doc__ = test.__name__, test.__doc__
    return wrapped


class Running:
    """The server, where it is, and the lines of its log."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.udp = [UdpSocket(LOCAL), UdpSocket(LOCAL)]
        with contextlib.suppress(OSError):  # where there is no IPv6
            self.udp.append(UdpSocket(LOCAL_V6))
        self.log: list[str] = []
        self._sockets: list[Socket] = []
        stun = tuple(Endpoint(DIALLED, one.endpoint.port) for one in self.udp[:2])
        self.stop = asyncio.Event()
        self.server = Server(
            settings or Settings(Caps(), stun),
            KEY,
            self.udp,
            entropy=os.urandom,
            wall_clock=lambda: 1_700_000_000.0,
            tell=lambda _event, _count, words: self.log.append(words),
        )

    @property
    def relay(self) -> Endpoint:
        return self.udp[0].endpoint

    def socket(self, local: Endpoint = LOCAL) -> "Socket":
        """A socket of a client, which is closed with the server."""
        self._sockets.append(Socket(local))
        return self._sockets[-1]

    def close(self) -> None:
        for one in [*self.udp, *(one.socket for one in self._sockets)]:
            one.close()

    def count(self, name: str) -> int:
        return self.server.tally.events[Event(name)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, "it never came to that"
            await asyncio.sleep(0.005)

    def client(
        self, source: str = "127.0.0.1", **options: Any
    ) -> AbstractAsyncContextManager["Client"]:
        """A client of this server."""
        return visiting(self.port, KEY.public, source, **options)


@asynccontextmanager
async def visiting(
    port: int, key: bytes, source: str = "127.0.0.1", **options: Any
) -> AsyncIterator["Client"]:
    """A client of any server on this machine, from an address of the loopback net."""
    channel = ClientChannel(key, os.urandom)
    url = f"ws://127.0.0.1:{port}{path_of(channel.hello)}"
    options = {"compression": None, "local_addr": (source, 0), "proxy": None, **options}
    async with connect(url, **options) as line:
        client = Client(line, channel)
        client.welcome = parse_welcome(channel.welcome((await client.read())[1:]))
        yield client


class Client:
    """One client."""

    def __init__(self, line: ClientConnection, channel: ClientChannel) -> None:
        self.line = line
        self.channel = channel
        self.welcome: Welcome

    async def read(self) -> bytes:
        return cast(bytes, await asyncio.wait_for(self.line.recv(), PATIENCE))

    async def say(self, message: FromClient) -> None:
        await self.line.send(bytes([SEALED]) + self.channel.seal(message.encode()))

    async def hear(self) -> FromServer:
        message = await self.read()
        assert message[0] == SEALED
        return parse_from_server(self.channel.open(message[1:]))

    async def hears(self, expected: FromServer) -> bool:
        """Whether this comes next; as tuples, OPEN and LEFT of the same leg are equal."""
        heard = await self.hear()
        return type(heard) is type(expected) and heard == expected

    async def data(self) -> relay.CircuitData:
        return relay.parse_circuit(await self.read())

    async def settled(self) -> None:
        """Until the server has read all that was said."""
        await asyncio.wait_for(await self.line.ping(), PATIENCE)


class Socket:
    """A UDP socket at the test's side."""

    def __init__(self, local: Endpoint = LOCAL) -> None:
        self.socket = UdpSocket(local)

    def send(self, to: Endpoint, data: bytes, stride: int = 0) -> None:
        self.socket.send(Burst(to, memoryview(data), stride or len(data)))

    async def hear(self) -> bytes:
        """The next datagrams, as one."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while (burst := self.socket.receive()) is None:
            assert asyncio.get_running_loop().time() < deadline, "nothing came"
            await asyncio.sleep(0.005)
        return bytes(burst.data)

    async def attach(self, to: Endpoint, attach: bytes, ticket: bytes) -> None:
        self.send(to, relay.encode_cookie_request())
        cookie = relay.parse_cookie(await self.hear())
        self.send(to, relay.encode_attach(attach, cookie, ticket))
        assert relay.parse_attached(await self.hear()) == attach


@asynccontextmanager
async def serving(settings: Settings | None = None) -> AsyncIterator[Running]:
    running = Running(settings)
    task = asyncio.create_task(running.server.run([running.listening], running.stop))
    try:
        yield running
    finally:
        running.stop.set()
        await task
        running.close()
