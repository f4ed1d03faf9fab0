"""One end of iroh, relays off. Runs in the rivals' virtual environment.

Its own way through a NAT needs a relay: that tells an endpoint its address, and carries the
connection within which both ends agree when to punch. Without one it knows the addresses of its
interfaces, and what its router has mapped for it. Both ends call each other at once, again for each
address that becomes known, and the first connection counts, whoever made it: so the calls
themselves punch. With STUN, this program asks for the endpoint's outer address, from the very port
that iroh is then bound to.
"""

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any

import iroh
from iroh import iroh_ffi

from tests.lab.rivals.talk import Talk
from tests.lab.tinystun import Mapped, ask

PROTOCOL = b"lab/1"
AGAIN = 0.25
"""Before a call that has failed is made anew."""


class Watch(iroh_ffi.AddrChangeCallback):  # type: ignore[misc]
    """Says our addresses whenever they change."""

    def __init__(self, end: "End") -> None:
        self._end = end

    async def on_change(self, addr: Any) -> None:
        self._end.tell(addr)


class End:
    """Our endpoint, and what it tries."""

    def __init__(self, talk: Talk, endpoint: Any) -> None:
        self._talk = talk
        self._endpoint = endpoint
        self._told: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._connected = False
        self.connections: list[Any] = []

    def tell(self, addr: Any) -> None:
        """The other, where we are, as far as we know."""
        addresses = sorted(addr.direct_addresses())
        if addresses and addresses != self._told:
            self._told = addresses
            self._talk.signal([self._endpoint.id().to_bytes().hex(), addresses])

    async def run(self) -> None:
        self._tasks.append(asyncio.create_task(self._accept()))
        while True:
            identity, addresses = await self._talk.hear()
            theirs = iroh.EndpointAddr(
                iroh.EndpointId.from_bytes(bytes.fromhex(identity)), None, addresses
            )
            self._tasks.append(asyncio.create_task(self._call(theirs)))

    async def _call(self, theirs: Any) -> None:
        while not self._connected:
            with suppress(iroh.IrohError):
                self._done(await self._endpoint.connect(theirs, PROTOCOL))
            await asyncio.sleep(AGAIN)

    async def _accept(self) -> None:
        while (incoming := await self._endpoint.accept_next()) is not None:
            self._tasks.append(asyncio.create_task(self._answer(incoming)))

    async def _answer(self, incoming: Any) -> None:
        with suppress(iroh.IrohError):
            self._done(await (await incoming.accept()).connect())

    def _done(self, connection: Any) -> None:
        self.connections.append(connection)
        if not self._connected:
            self._connected = True
            paths = connection.paths()
            self._talk.connected(paths[0].remote_addr if paths else "")


def outer(port: int, server: Mapped) -> Mapped | None:
    """Our address from outside, at that port; the NAT keeps it for whoever takes the port next."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("0.0.0.0", port))
        return ask(door, server, within=5.0)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("0.0.0.0", 0))
        return int(door.getsockname()[1])


async def main() -> None:
    iroh_ffi.uniffi_set_event_loop(asyncio.get_running_loop())
    talk = await Talk.open()
    start = await talk.start()
    port = free_port()
    seen = await asyncio.to_thread(outer, port, tuple(start["stun"])) if start["stun"] else None
    endpoint = await iroh.Endpoint.bind(
        iroh.EndpointOptions(
            preset=iroh.preset_minimal(),
            bind_addr=f"0.0.0.0:{port}",
            alpns=[PROTOCOL],
            relay_mode=iroh.RelayMode.disabled(),
        )
    )
    if seen is not None:
        await endpoint.add_external_addr(f"{seen[0]}:{seen[1]}")
    end = End(talk, endpoint)
    watch = endpoint.watch_addr(Watch(end))
    with suppress(EOFError):
        await end.run()
    del watch
    os._exit(0)  # its threads do not survive Python's own end


if __name__ == "__main__":
    asyncio.run(main())
