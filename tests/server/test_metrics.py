"""What monitoring reads: fixed names, whatever clients say."""

import asyncio
import os
import re

from securecp.nat.channel import path_of
from securecp.nat.rendezvous import Post, Subscribe
from securecp.server import metrics
from securecp.server.metrics import Page
from securecp.server.tally import Event
from tests.server.people import claim, tag
from tests.server.running import Running, run, serving

LINE = re.compile(r'securecp_[a-z_]+(?:\{[a-z]+="[a-z_0-9.+]+"\})? \d+')


async def fetch(running: Running, request: bytes) -> bytes:
    page = await asyncio.get_running_loop().create_server(
        lambda: Page(running.server), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*page.sockets[0].getsockname())
    writer.write(request)
    answer = await reader.read()
    writer.close()
    page.close()
    return answer


@run
async def test_rv15_labels_are_fixed_whatever_clients_send() -> None:
    async with serving() as running:

        async def labels() -> set[str]:
            text = metrics.text(running.server)
            lines = [line for line in text.splitlines() if not line.startswith("#")]
            assert all(LINE.fullmatch(line) for line in lines), lines
            return {line.rpartition(" ")[0] for line in lines}

        before = await labels()
        async with running.client() as client:
            for number in range(10):
                await client.say(Subscribe((claim(number),)))
                await client.say(Post(tag(number), os.urandom(1024)))
            await client.settled()
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(b"GET " + path_of(bytes(48)).encode() + b'"}x HTTP/1.1\r\nevil: 1\r\n\r\n')
            await reader.read()
            writer.close()
            assert await labels() == before
            text = metrics.text(running.server)
            assert "securecp_clients 1\n" in text and "securecp_tags 10\n" in text
            assert 'securecp_events_total{event="posted"} 10\n' in text
        assert all(f'event="{event.value}"' in metrics.text(running.server) for event in Event)


@run
async def test_metrics_are_served_over_http() -> None:
    async with serving() as running:
        for path, status in ((b"/metrics", b"200 OK"), (b"/", b"200 OK"), (b"/x", b"404 ")):
            answer = await fetch(running, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 " + status)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"
        assert (await fetch(running, b"x" * 5_000)).startswith(b"HTTP/1.1 404 ")
