"""Who carries what the two ends have to tell each other before they have a path.

`Free` needs the time of a server half way, and nothing else. `Tcp` is that server, with a
connection from each home that has to be made first, through its router, with loss and all.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from tests.lab.topology import SRV, Lab

PORT = 4499

Deliver = Callable[[str, str], None]
"""To the node, a line."""


class Courier(Protocol):
    """Started with the clock."""

    def start(self) -> None: ...
    def send(self, node: str, line: str) -> None: ...
    def close(self) -> None: ...


class Free:
    """Without loss, and nothing to be connected."""

    def __init__(self, deliver: Deliver, hop: float) -> None:
        self._deliver = deliver
        self._hop = hop
        self._timers: list[threading.Timer] = []

    def start(self) -> None:
        pass

    def send(self, node: str, line: str) -> None:
        """From that node to the other."""
        timer = threading.Timer(self._hop, self._deliver, (other(node), line))
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def close(self) -> None:
        for timer in self._timers:
            timer.cancel()


class Tcp:
    """A switch at the server, which knows the homes by the first line of each."""

    def __init__(self, deliver: Deliver, lab: Lab) -> None:
        self._deliver = deliver
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._outgoing: dict[str, asyncio.Queue[bytes]] = {node: asyncio.Queue() for node in "ab"}
        self._waiting: dict[str, asyncio.Queue[bytes]] = {node: asyncio.Queue() for node in "ab"}
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        with lab.inside("srv"):
            self._listener = socket.create_server((SRV, PORT))
        self._doors = {}
        for node in "ab":
            with lab.inside(node):
                self._doors[node] = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for door in (self._listener, *self._doors.values()):
            door.setblocking(False)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()

    def start(self) -> None:
        for node in "ab":
            asyncio.run_coroutine_threadsafe(self._home(node), self._loop)

    def send(self, node: str, line: str) -> None:
        self._loop.call_soon_threadsafe(self._outgoing[node].put_nowait, f"{line}\n".encode())

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._ended(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for door in (self._listener, *self._doors.values()):
            door.close()

    async def _ended(self) -> None:
        tasks = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._switch, sock=self._listener)

    async def _switch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(asyncio.CancelledError):  # by the end of it all: asyncio would complain
            node = (await reader.readline()).decode().strip()
            self._tasks.append(asyncio.create_task(_pump(self._waiting[node], writer)))
            while line := await reader.readline():
                self._waiting[other(node)].put_nowait(line)

    async def _home(self, node: str) -> None:
        door = self._doors[node]
        await self._loop.sock_connect(door, (SRV, PORT))
        door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader, writer = await asyncio.open_connection(sock=door)
        self._writers.append(writer)
        writer.write(f"{node}\n".encode())
        self._tasks.append(asyncio.create_task(_pump(self._outgoing[node], writer)))
        while line := await reader.readline():
            self._deliver(node, line.decode())


async def _pump(queue: "asyncio.Queue[bytes]", writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(await queue.get())


def other(node: str) -> str:
    return "b" if node == "a" else "a"
