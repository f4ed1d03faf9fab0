"""A file over one stream of iroh (QUIC in Rust), at a direct address, without relays.

iroh_file recv PORT TARGET       iroh_file send HOST PORT SOURCE
"""

import asyncio
import ctypes
import sys
from pathlib import Path
from typing import Any

import iroh
from iroh import iroh_ffi

from tests.bench.minimal.tree import Sink, chunks, total

PROTOCOL = b"bench/1"
KEYS = {"send": bytes(range(32)), "recv": bytes(range(1, 33))}  # known to all: for this bench only
CHUNK = 1 << 18


def write(self: Any, value: bytes) -> None:
    """Copy in one go: the generated bindings copy byte by byte in Python (13 MB/s), and Python
    would be measured instead of iroh."""
    with self._reserve(len(value)):
        start = ctypes.addressof(self.rbuf.data.contents) + self.rbuf.len
        ctypes.memmove(start, value, len(value))


async def bind(role: str, address: str) -> Any:
    return await iroh.Endpoint.bind(
        iroh.EndpointOptions(
            preset=iroh.preset_minimal(),
            bind_addr=address,
            secret_key=KEYS[role],
            alpns=[PROTOCOL],
            relay_mode=iroh.RelayMode.disabled(),
        )
    )


async def receive(port: int, target: Path) -> None:
    endpoint = await bind("recv", f"0.0.0.0:{port}")
    connection = await (await (await endpoint.accept_next()).accept()).connect()
    stream = await connection.accept_bi()
    incoming, outgoing, sink = stream.recv(), stream.send(), Sink(target)
    left = int.from_bytes(await incoming.read_exact(8), "big")
    while left:  # large exact reads: each call crosses into Rust
        data = await incoming.read_exact(min(CHUNK, left))
        left -= len(data)
        sink.feed(data)
    sink.close()
    await outgoing.write_all(b"ok")
    await outgoing.finish()
    await connection.closed()
    await endpoint.close()


async def send(host: str, port: int, source: Path) -> None:
    endpoint = await bind("send", "0.0.0.0:0")
    peer = iroh.SecretKey.from_bytes(KEYS["recv"]).public()
    address = iroh.EndpointAddr(peer, None, [f"{host}:{port}"])
    connection = await endpoint.connect(address, PROTOCOL)
    stream = await connection.open_bi()
    outgoing, incoming = stream.send(), stream.recv()
    await outgoing.write_all(total(source).to_bytes(8, "big"))
    for data in chunks(source, CHUNK):
        await outgoing.write_all(data)
    await outgoing.finish()
    if await incoming.read_to_end(16) != b"ok":
        raise SystemExit("no answer")
    connection.close(0, b"done")
    await endpoint.close()


async def main() -> None:
    iroh_ffi._UniffiRustBufferBuilder.write = write
    iroh_ffi.uniffi_set_event_loop(asyncio.get_running_loop())
    match sys.argv[1:]:
        case ["recv", port, target]:
            await receive(int(port), Path(target))
        case ["send", host, port, source]:
            await send(host, int(port), Path(source))


if __name__ == "__main__":
    asyncio.run(main())
