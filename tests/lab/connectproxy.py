"""An HTTP proxy that knows CONNECT only: python -m tests.lab.connectproxy ADDRESS PORT.

For homes that let nothing out but what goes through such a thing.
"""

import asyncio
import sys
from contextlib import suppress

LIMIT = 16_384


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client: its request, then bytes both ways until both have ended."""
    with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        request = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if method == "CONNECT":
            await _connect(target, reader, writer)
        else:
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
    await _end(writer)


async def _connect(target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    address, _, port = target.rpartition(":")
    try:
        far_reader, far_writer = await asyncio.open_connection(address.strip("[]"), int(port))
    except OSError:
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        return
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
    await _end(far_writer)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(LIMIT):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def main(address: str, port: int) -> None:
    server = await asyncio.start_server(serve, address, port, limit=LIMIT)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
