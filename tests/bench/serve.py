"""`python -m tests.bench.serve`: how much one `securecp serve` can do on this machine.

    register   new clients a second: TCP, upgrade, Noise, subscription with three claims, a reply
    idle       what it costs to keep them all, each pinging every 30 s
    relay      datagrams of 1,472 bytes through a circuit between two UDP sockets

Clients run in processes of their own, from many addresses of the loopback net. Processor time is
the server's alone, and what it could do on one core of its own is computed from that: on a busy
machine only this figure means something.
"""

import argparse
import asyncio
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import psutil

from securecp.endpoint import Burst, Endpoint
from securecp.nat import relay, serveraddress
from securecp.nat.channel import SEALED, ClientChannel, path_of
from securecp.nat.rendezvous import Join, Joined, Open, Subscribe, parse_from_server
from securecp.net.udp import UdpSocket

COMMAND = str(Path(sys.executable).with_name("securecp"))
CLAIMS = 3
PING_EVERY = 30.0
AT_ONCE = 16
"""Registrations under way in each process."""
PER_ADDRESS = 100
DATAGRAM = 1_472
PER_BURST = 44
_PING = b"\x89\x80\0\0\0\0"
_UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Server(NamedTuple):
    """A running server."""

    process: psutil.Process
    address: serveraddress.ServerAddress

    def seconds(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system

    def memory(self) -> int:
        rss: int = self.process.memory_info().rss
        return rss


@contextmanager
def server(clients: int) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="securecp-serve-") as home:
        command = [
            COMMAND, "--home", home, "serve", "--json", "--listen", "127.0.0.1:0",
            "--max-clients", str(clients + 100), "--max-rate", "100GB/s",
            "--max-total-rate", "100GB/s",
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = json.loads(process.stdout.readline())["url"]
                yield Server(psutil.Process(process.pid), serveraddress.parse(url))
            finally:
                process.terminate()
                process.communicate()


class Client(asyncio.Protocol):
    """As little of a client as the server can be measured with."""

    def __init__(self, key: bytes, stand: "Stand") -> None:
        self.channel = ClientChannel(key, os.urandom)
        self._stand = stand
        self._buffer = b""
        self._upgraded = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(_UPGRADE.format(path=path_of(self.channel.hello)).encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self._stand.lost += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert b" 101 " in head, head
            self._upgraded, self._buffer = True, rest
        while (frame := self._frame()) is not None:
            self._event(*frame)

    def _frame(self) -> tuple[int, bytes] | None:
        if len(self._buffer) < 2:
            return None
        length, at = self._buffer[1], 2
        if length == 126:
            length, at = int.from_bytes(self._buffer[2:4]), 4
        if len(self._buffer) < at + length:
            return None
        payload = self._buffer[at : at + length]
        kind, self._buffer = self._buffer[0] & 15, self._buffer[at + length :]
        return kind, payload

    def _event(self, kind: int, payload: bytes) -> None:
        if kind == 2 and self._stand.is_new(self):
            self.channel.welcome(payload[1:])
            claims = tuple(os.urandom(16) for _ in range(CLAIMS))
            sealed = self.channel.seal(Subscribe(claims).encode())
            assert self.transport is not None
            self.transport.write(_masked(bytes([SEALED]) + sealed) + _PING)
        elif kind == 10:
            self._stand.answered(self)


def _masked(message: bytes) -> bytes:
    """One frame; a mask of zeros leaves the message as it is."""
    length = len(message)
    head = bytes([0x82, 0x80 | length]) if length < 126 else b"\x82\xfe" + length.to_bytes(2)
    return head + bytes(4) + message


class Stand:
    """The clients of one process."""

    def __init__(self, address: serveraddress.ServerAddress, count: int, number: int) -> None:
        self._address = address
        self._count = count
        self._number = number
        self.lost = 0
        self._ready: set[Client] = set()
        self._free = asyncio.Semaphore(AT_ONCE)

    def is_new(self, client: Client) -> bool:
        return client not in self._ready

    def answered(self, client: Client) -> None:
        if client not in self._ready:
            self._ready.add(client)
            self._free.release()

    async def run(self) -> None:
        clients = [Client(self._address.key, self) for _ in range(self._count)]
        print("prepared", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        begun = time.monotonic()
        for number, client in enumerate(clients):
            await self._free.acquire()
            await self._connect(client, number)
        while len(self._ready) + self.lost < self._count:
            await asyncio.sleep(0.01)
        print(json.dumps([len(self._ready), self.lost, time.monotonic() - begun]), flush=True)
        pinging = asyncio.create_task(self._ping(clients))
        await asyncio.to_thread(sys.stdin.readline)
        pinging.cancel()
        print(json.dumps([len(self._ready), self.lost]), flush=True)
        os._exit(0)

    async def _connect(self, client: Client, number: int) -> None:
        index = self._number * -(-self._count // PER_ADDRESS) + number // PER_ADDRESS
        source = f"127.1.{index // 250}.{index % 250 + 1}"
        loop = asyncio.get_running_loop()
        await loop.create_connection(
            lambda: client, self._address.host, self._address.port, local_addr=(source, 0)
        )

    async def _ping(self, clients: list[Client]) -> None:
        """Every client once in 30 s, spread evenly."""
        while True:
            begun = time.monotonic()
            for number, client in enumerate(clients):
                due = begun + PING_EVERY * number / len(clients)
                if (wait := due - time.monotonic()) > 0.005:
                    await asyncio.sleep(wait)
                if client.transport is not None:
                    client.transport.write(_PING)
            await asyncio.sleep(max(0.0, begun + PING_EVERY - time.monotonic()))


def many_clients(clients: int, processes: int, seconds: float) -> None:
    each = clients // processes
    with server(clients) as running:
        stands = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.bench.serve", "--stand", str(running.address),
                 "--clients", str(each), "--number", str(number)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for number in range(processes)
        ]  # fmt: skip
        for stand in stands:
            _line(stand)
        empty, before, begun = running.memory(), running.seconds(), time.monotonic()
        for stand in stands:
            _go(stand)
        done = [json.loads(_line(stand)) for stand in stands]
        wall, used = time.monotonic() - begun, running.seconds() - before
        count = sum(ready for ready, _, _ in done)
        print(f"register   {count:,} of {each * processes:,} clients in {wall:.1f} s: "
              f"{count / wall:,.0f} a second; {1e3 * used / max(1, count):.2f} ms of a core each, "
              f"so {count / used:,.0f} a second on a core of its own")  # fmt: skip
        time.sleep(2.0)  # noqa: TID251
        before, begun = running.seconds(), time.monotonic()
        time.sleep(seconds)  # noqa: TID251
        used, wall = running.seconds() - before, time.monotonic() - begun
        for stand in stands:
            _go(stand)
        left = [json.loads(_line(stand)) for stand in stands]
        print(f"idle       {count:,} clients, {sum(lost for _, lost in left)} lost: "
              f"{100 * used / wall:.1f} % of a core over {wall:.0f} s, "
              f"{running.memory() / 2**20:,.0f} MiB ({empty / 2**20:,.0f} MiB empty, "
              f"{(running.memory() - empty) / max(1, count) / 1024:.1f} KiB a client)")  # fmt: skip
        for stand in stands:
            stand.wait()


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


class Leg:
    """One end of a circuit: a WebSocket that joins, and a UDP socket that is attached."""

    def __init__(self, running: Server, ticket: bytes, stack: ExitStack) -> None:
        from websockets.sync.client import connect

        address = running.address
        channel = ClientChannel(address.key, os.urandom)
        url = f"ws://{address.host}:{address.port}{path_of(channel.hello)}"
        self.line = stack.enter_context(connect(url, compression=None, proxy=None))
        channel.welcome(self._read()[1:])
        self._channel = channel
        self._ticket = ticket
        self.there = Endpoint(address.host, address.port)
        self.socket = UdpSocket(Endpoint("127.0.0.1", 0))
        self.line.send(bytes([SEALED]) + channel.seal(Join(1, ticket).encode()))
        joined = parse_from_server(channel.open(self._read()[1:]))
        assert isinstance(joined, Joined)
        self._attach = joined.attach

    def _read(self) -> bytes:
        return cast(bytes, self.line.recv())

    def attach(self) -> None:
        opened = parse_from_server(self._channel.open(self._read()[1:]))
        assert isinstance(opened, Open)
        cookie = relay.parse_cookie(self._ask(relay.encode_cookie_request()))
        self._ask(relay.encode_attach(self._attach, cookie, self._ticket))

    def _ask(self, question: bytes) -> bytes:
        self.socket.send(Burst(self.there, memoryview(question), len(question)))
        select.select([self.socket], [], [], 1.0)
        answer = self.socket.receive()
        assert answer is not None
        return bytes(answer.data)


def relayed(seconds: float) -> None:
    with server(100) as running, ExitStack() as stack:
        ticket = os.urandom(16)
        sending, receiving = Leg(running, ticket, stack), Leg(running, ticket, stack)
        sending.attach()
        receiving.attach()
        child = os.fork()
        if not child:
            _send(sending, seconds)
        got, bursts = 0, 0
        select.select([receiving.socket], [], [], 5.0)
        before, begun = running.seconds(), time.monotonic()
        last = begun
        while time.monotonic() - last < 0.5:
            select.select([receiving.socket], [], [], 0.1)
            while (burst := receiving.socket.receive()) is not None:
                got += len(burst.data)
                bursts += 1
                last = time.monotonic()
        os.waitpid(child, 0)
        used, wall = running.seconds() - before, last - begun
        print(f"relay      {got / wall / 1e6:,.0f} MB/s over {wall:.1f} s with "
              f"{100 * used / wall:.0f} % of a core, so {got / used / 1e6:,.0f} MB/s on a core of "
              f"its own; {got / bursts / DATAGRAM:.0f} datagrams a call")  # fmt: skip


def _send(leg: Leg, seconds: float) -> None:
    """Send as fast as the socket takes it, and leave this process."""
    data = memoryview(bytearray(b"\x50" * DATAGRAM * PER_BURST))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if leg.socket.send(Burst(leg.there, data, DATAGRAM)) is not None:
            select.select([], [leg.socket], [], 0.1)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["clients", "relay"])
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the idle and relay parts")
    parser.add_argument("--stand", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.stand:
        address = serveraddress.parse(options.stand)
        asyncio.run(Stand(address, options.clients, options.number).run())
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if "clients" in options.what:
        many_clients(options.clients, options.processes, options.seconds)
    if "relay" in options.what:
        relayed(min(options.seconds, 5.0))


if __name__ == "__main__":
    main()
