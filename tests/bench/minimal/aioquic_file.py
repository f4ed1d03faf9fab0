"""A file over one stream of aioquic (QUIC in Python).

aioquic_file recv PORT TARGET CERTIFICATE KEY       aioquic_file send HOST PORT SOURCE CERTIFICATE
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived

from tests.bench.minimal.tree import Sink, chunks

WINDOW = 16 << 20
"""Its default of 1 MiB would bound it on long links."""
CHUNK = 1 << 16


def configuration(*, client: bool) -> Any:
    return QuicConfiguration(
        is_client=client,
        alpn_protocols=["bench"],
        max_data=WINDOW,
        max_stream_data=WINDOW,
        idle_timeout=120,
    )


async def receive(port: int, target: Path, certificate: str, key: str) -> None:
    done = asyncio.Event()
    sink = Sink(target)

    class Receiver(QuicConnectionProtocol):  # type: ignore[misc]
        def quic_event_received(self, event: object) -> None:
            if isinstance(event, StreamDataReceived):
                sink.feed(event.data)
                if event.end_stream:
                    sink.close()
                    self._quic.send_stream_data(event.stream_id, b"ok", end_stream=True)
                    self.transmit()
            if isinstance(event, ConnectionTerminated):
                done.set()

    settings = configuration(client=False)
    settings.load_cert_chain(certificate, key)
    server = await serve("0.0.0.0", port, configuration=settings, create_protocol=Receiver)
    await done.wait()
    server.close()


async def send(host: str, port: int, source: Path, certificate: str) -> None:
    settings = configuration(client=True)
    settings.load_verify_locations(certificate)
    settings.server_name = "bench"
    async with connect(host, port, configuration=settings) as protocol:
        reader, writer = await protocol.create_stream()
        for number, data in enumerate(chunks(source, CHUNK)):
            writer.write(data)
            stream = protocol._quic._streams[writer.get_extra_info("stream_id")].sender
            # its drain() does not hold the writer back: the whole file would go into memory
            while stream._buffer_stop - stream._buffer_start > WINDOW:
                await asyncio.sleep(0.002)
            if number % 8 == 0:
                await asyncio.sleep(0)
        writer.write_eof()
        if await reader.read() != b"ok":
            raise SystemExit("no answer")


def main() -> None:
    match sys.argv[1:]:
        case ["recv", port, target, certificate, key]:
            asyncio.run(receive(int(port), Path(target), certificate, key))
        case ["send", host, port, source, certificate]:
            asyncio.run(send(host, int(port), Path(source), certificate))


if __name__ == "__main__":
    main()
