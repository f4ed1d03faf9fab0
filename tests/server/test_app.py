"""The server with real WebSockets and UDP sockets on loopback."""

import asyncio
import contextlib
import os
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from securecp.endpoint import Endpoint
from securecp.nat import relay, stun
from securecp.nat.channel import CIRCUIT, ClientChannel, path_of
from securecp.nat.rendezvous import (
    DIALLED,
    Code,
    Deliver,
    Join,
    Joined,
    Leave,
    Left,
    Open,
    Post,
    Refused,
    Subscribe,
)
from securecp.noise.keypairs import KeyPair
from securecp.server import app, line
from securecp.server.app import Settings
from securecp.server.circuits import Caps as CircuitCaps
from securecp.server.desk import Caps
from tests.server.people import STUN_REQUEST, claim, tag
from tests.server.running import KEY, LOCAL_V6, Client, Running, run, serving

LETTER = bytes(1_024)
TICKET = bytes(range(16))


async def circuit(alice: Client, bob: Client) -> tuple[bytes, bytes]:
    """Open a circuit between leg 1 of Alice and leg 2 of Bob; their attach ids."""
    await alice.say(Join(1, TICKET))
    first = await alice.hear()
    await bob.say(Join(2, TICKET))
    second = await bob.hear()
    assert await bob.hears(Open(2)) and await alice.hears(Open(1))
    assert isinstance(first, Joined) and isinstance(second, Joined)
    return first.attach, second.attach


async def closed(client: Client) -> int | None:
    """Wait until the server has closed it; why."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await client.read()
    return caught.value.rcvd.code if caught.value.rcvd else None


async def raw(running: Running, data: bytes, source: str = "127.0.0.1") -> (
    tuple[asyncio.StreamReader, asyncio.StreamWriter]
):  # fmt: skip
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", running.port, local_addr=(source, 0)
    )
    writer.write(data)
    return reader, writer


@run
async def test_a_client_is_welcomed_and_envelopes_travel() -> None:
    async with serving() as running, running.client() as alice, running.client() as bob:
        assert alice.welcome.time == 1_700_000_000
        assert alice.welcome.observed.address == "127.0.0.1"
        assert [one.address for one in alice.welcome.stun] == [DIALLED, DIALLED]
        await bob.say(Subscribe((claim(1),)))
        await bob.settled()
        await alice.say(Post(tag(1), LETTER))
        assert await bob.hears(Deliver(tag(1), LETTER))


@run
async def test_rv01_the_poster_gets_the_same_nothing_and_others_get_theirs_later() -> None:
    """What answers the poster's next message leaves before anything reaches anybody else."""
    async with serving() as running, running.client() as alice, running.client() as bob:
        await bob.say(Subscribe((claim(1),)))
        await bob.settled()
        order: list[str] = []
        server = running.server
        say, message = server._say, server.message

        def noted(*arguments: object) -> None:
            order.append("delivered")
            say(*arguments)  # type: ignore[arg-type]

        def read(*arguments: object) -> None:
            message(*arguments)  # type: ignore[arg-type]
            order.append("read")

        server._say = noted  # type: ignore[method-assign,assignment]
        server.message = read  # type: ignore[method-assign,assignment]
        await alice.say(Post(tag(1), LETTER))
        assert await bob.hears(Deliver(tag(1), LETTER))
        assert order == ["read", "delivered"]
        await alice.say(Post(tag(2), LETTER))
        await alice.settled()
        assert order == ["read", "delivered", "read"]


@run
async def test_stun_answers_at_both_ports() -> None:
    async with serving() as running:
        udp = running.socket()
        for one in running.udp[:2]:
            for request in (STUN_REQUEST, stun.encode_request(STUN_REQUEST[8:])):
                udp.send(one.endpoint, request)
                response = stun.parse(await udp.hear())
                assert isinstance(response, stun.Response)
                assert response.endpoint == Endpoint("127.0.0.1", udp.socket.endpoint.port)


@run
async def test_datagrams_travel_by_every_combination_of_websocket_and_udp() -> None:
    async with serving() as running, running.client() as alice, running.client() as bob:
        first, second = await circuit(alice, bob)
        data = b"\x50" * 1_000
        message = relay.encode_circuit(1, 1_000, data * 3)
        await alice.line.send(message)
        assert (await bob.data())[:2] == (2, 1_000)
        udp = running.socket()
        await udp.attach(running.relay, second, TICKET)
        await alice.line.send(message)
        assert await udp.hear() == data * 3
        udp.send(running.relay, data * 2, 1_000)
        got = await alice.data()
        assert (got.leg, got.stride, bytes(got.data)) == (1, 1_000, data * 2)
        other = running.socket()
        await other.attach(running.relay, first, TICKET)
        udp.send(running.relay, data * 40, 1_000)
        assert await other.hear() == data * 40
        assert running.server.tally.udp_bytes == 43_000


@run
async def test_a_circuit_may_join_ipv4_and_ipv6() -> None:
    async with serving() as running, running.client() as alice, running.client() as bob:
        if len(running.udp) < 3:
            pytest.skip("no IPv6 here")
        first, second = await circuit(alice, bob)
        v4, v6 = running.socket(), running.socket(LOCAL_V6)
        await v4.attach(running.relay, first, TICKET)
        await v6.attach(running.udp[2].endpoint, second, TICKET)
        v4.send(running.relay, b"\x50" * 6_000, 1_200)
        assert await v6.hear() == b"\x50" * 6_000
        v6.send(running.udp[2].endpoint, b"\x51" * 3_000, 1_000)
        assert await v4.hear() == b"\x51" * 3_000


@run
async def test_a_first_flight_right_behind_join_is_not_lost() -> None:
    async with serving() as running, running.client() as alice, running.client() as bob:
        await alice.say(Join(1, TICKET))
        await alice.line.send(relay.encode_circuit(1, 100, b"\x41" + bytes(99)))
        await alice.settled()
        await bob.say(Join(2, TICKET))
        assert isinstance(await bob.hear(), Joined) and await bob.hears(Open(2))
        assert bytes((await bob.data()).data) == b"\x41" + bytes(99)


@run
async def test_leaving_and_going_end_a_circuit() -> None:
    async with serving() as running, running.client() as alice:
        async with running.client() as bob:
            await circuit(alice, bob)
            await alice.say(Leave(1))
            assert await bob.hears(Left(2))
            await circuit(alice, bob)
        assert await alice.hears(Left(1))
        assert len(running.server.desk.circuits) == 0


@run
async def test_an_owner_that_is_silent_gives_way_to_whoever_has_the_ticket() -> None:
    """A connection that died unseen: the new one is refused once, and then takes the leg."""
    app_doubted = app.DOUBTED
    app.DOUBTED = 0.2
    try:
        async with serving() as running, running.client() as alice, running.client() as bob:
            _, second = await circuit(alice, bob)
            udp = running.socket()
            await udp.attach(running.relay, second, TICKET)
            bob.line.transport.pause_reading()
            async with running.client() as again:
                await again.say(Join(7, TICKET))
                refused = await again.hear()
                assert isinstance(refused, Refused) and refused.code == Code.TOO_MANY
                assert await again.hears(Left(7))
                await running.until(lambda: running.server.desk.clients == 2)
                await again.say(Join(7, TICKET))
                assert await again.hears(Joined(7, second))
                await again.settled()
            bob.line.transport.abort()
    finally:
        app.DOUBTED = app_doubted


@run
async def test_rl06_garbage_costs_its_sender_the_connection_and_nobody_else() -> None:
    async with serving() as running, running.client() as friend:
        channel = ClientChannel(KEY.public, os.urandom)
        for garbage in (
            b"", b"\x00", b"\x02abc", bytes(100), bytes([CIRCUIT]), b"\x01" + bytes(6) + b"x",
            channel.hello, bytes(70_000),
        ):  # fmt: skip
            async with running.client() as client:
                await client.line.send(garbage)
                assert await closed(client) in {1002, 1009}
        async with running.client() as client:
            await client.line.send("text")
            assert await closed(client) == 1003
        for data in (b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\r\n" * 9):
            reader, writer = await raw(running, data)
            writer.write_eof()
            await reader.read()
            writer.close()
        await friend.settled()
        assert running.count("arrived") == 10
        assert running.count("closed_our_error") == 0


@run
async def test_rl06_frames_in_one_piece_with_the_request_harm_nobody() -> None:
    """Whoever does not wait for our answer: any frame, masked or not, right behind the request."""
    async with serving() as running, running.client() as friend:
        for frame in (b"\x89\x80\0\0\0\0", b"\x88\x80\0\0\0\0", b"\x82\x80\0\0\0\0", b"\x82\x00",
                      b"\x80\x80\0\0\0\0", b"\xff" * 20, b"\x82\xff" + b"\xff" * 8,
                      b"\x8a\x80\0\0\0\0", b"\x02\x80\0\0\0\0" * 70):  # fmt: skip
            path = path_of(ClientChannel(KEY.public, os.urandom).hello)
            request = (
                f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            reader, writer = await raw(running, request.encode() + frame * 2)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
        await friend.settled()
        await running.until(lambda: running.server.desk.clients == 1)
        assert running.count("closed_our_error") == 0


@run
async def test_rv07_a_request_without_end_is_closed() -> None:
    async with serving() as running:
        line_ = b"x: " + b"y" * 4_000 + b"\r\n"
        reader, writer = await raw(running, b"GET / HTTP/1.1\r\n" + line_ * 100)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        assert running.count("closed_bad_request") == 1


@run
async def test_rl06_fragments_are_put_together_and_are_not_without_end() -> None:
    async with serving() as running, running.client() as alice, running.client() as bob:
        await circuit(alice, bob)
        message = relay.encode_circuit(1, 100, b"\x50" * 100)
        await alice.line.send([message[:3], message[3:50], message[50:]])
        assert bytes((await bob.data()).data) == b"\x50" * 100
        with contextlib.suppress(ConnectionClosed):
            await alice.line.send([b"\x01"] * (line.MOST_FRAGMENTS + 10))
        assert await closed(alice) == 1008


@run
async def test_rv14_a_client_of_another_key_is_shown_the_door() -> None:
    other = KeyPair.from_seed(bytes(range(1, 33)))
    async with serving() as running:
        path = path_of(ClientChannel(other.public, os.urandom).hello)
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        reader, writer = await raw(running, request)
        assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
        writer.close()


@run
async def test_healthz_and_nothing_else_is_served() -> None:
    async with serving() as running:
        for path, status in (("/healthz", b"200"), ("/", b"404"), ("/metrics", b"404"),
                             ("/v1/" + "A" * 64, b"404"), ("/v1/../healthz", b"404")):  # fmt: skip
            reader, writer = await raw(running, f"GET {path} HTTP/1.1\r\n\r\n".encode())
            assert (await reader.read()).startswith(b"HTTP/1.1 " + status)
            writer.close()
        path = path_of(ClientChannel(KEY.public, os.urandom).hello)
        reader, writer = await raw(running, f"GET {path} HTTP/1.1\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 426 ")
        writer.close()


@run
async def test_rv07_who_sends_no_request_or_slowly_is_closed() -> None:
    patience, app.HEADER_PATIENCE = app.HEADER_PATIENCE, 0.3
    try:
        async with serving() as running, running.client() as friend:
            begun = time.monotonic()
            lines = [await raw(running, b"GET /v1/") for _ in range(50)]
            for reader, writer in lines:
                writer.write(b"A")
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
            assert time.monotonic() - begun < 5.0
            assert running.count("closed_slow_header") == 50
            await running.until(lambda: running.server.desk.clients == 1)
            await friend.settled()
    finally:
        app.HEADER_PATIENCE = patience


@run
async def test_rv07_those_without_request_are_limited_and_the_oldest_goes() -> None:
    most, app.WITHOUT_REQUEST = app.WITHOUT_REQUEST, 20
    try:
        async with serving() as running:
            lines = [await raw(running, b"") for _ in range(50)]
            await running.until(lambda: running.count("closed_slow_header") == 30)
            async with running.client() as friend:
                await friend.settled()
            for _, writer in lines:
                writer.close()
    finally:
        app.WITHOUT_REQUEST = most


@run
async def test_rv07_who_was_silent_for_long_is_closed() -> None:
    silence, app.SILENCE = app.SILENCE, 0.5
    try:
        async with serving() as running, running.client(ping_interval=None) as client:
            await running.until(lambda: running.server.desk.clients == 1)
            await asyncio.sleep(0.6)
            running.server._sweep_silent(running.server.now())
            assert await closed(client) is None
            assert running.count("closed_silent") == 1
    finally:
        app.SILENCE = silence


@run
async def test_rv06_a_flood_from_one_address_leaves_room_for_others() -> None:
    caps = Caps(clients=30, clients_per_network=10)
    async with serving(Settings(caps, ())) as running:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(10):
                await stack.enter_async_context(running.client("127.0.0.2"))
            reader, writer = await raw(running, b"", "127.0.0.2")
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
                assert answer.startswith(b"HTTP/1.1 429 ") and b"Retry-After: 10" in answer
            writer.close()
            with pytest.raises((InvalidStatus, ConnectionError, EOFError)):
                await stack.enter_async_context(running.client("127.0.0.2"))
            friend = await stack.enter_async_context(running.client("127.0.0.3"))
            await friend.settled()
        await running.until(lambda: running.server.desk.clients == 0)


@run
async def test_rl07_a_slow_leg_loses_datagrams_and_nothing_piles_up() -> None:
    caps = Caps(circuits=CircuitCaps(rate=1e9, network_rate=1e9, total_rate=1e9))
    async with (
        serving(Settings(caps, ())) as running,
        running.client() as alice, running.client() as bob, running.client() as other,
    ):  # fmt: skip
        await circuit(alice, bob)
        bob.line.transport.pause_reading()
        message = relay.encode_circuit(1, 1_000, b"\x50" * 60_000)
        for _ in range(400):
            await alice.line.send(message)
        await alice.settled()
        [slow] = [one for one in running.server._clients.values() if 2 in one.visitor.legs]
        transport = slow.line._transport
        assert transport is not None
        assert transport.get_write_buffer_size() <= line.QUEUED + len(message) + 16
        assert running.count("bursts_dropped") > 100
        await other.settled()
        bob.line.transport.resume_reading()
        assert (await bob.data()).leg == 2
        bob.line.transport.abort()


@run
async def test_a_client_that_reads_nothing_is_closed() -> None:
    async with serving() as running, running.client() as bob:
        bob.line.transport.pause_reading()
        await bob.say(Subscribe((claim(1),)))
        pushed = 0
        [client] = running.server._clients.values()
        while running.server.desk.clients and pushed < 20_000:
            client.line.send(bytes(60_000))
            pushed += 1
            await asyncio.sleep(0)
        assert running.count("closed_not_reading") == 1
        bob.line.transport.abort()


@run
async def test_tr21_a_busy_relay_does_not_starve_the_rest() -> None:
    async with serving() as running, running.client() as alice, running.client() as bob:
        first, second = await circuit(alice, bob)
        one, two = running.socket(), running.socket()
        await one.attach(running.relay, first, TICKET)
        await two.attach(running.relay, second, TICKET)
        data, slowest = b"\x50" * 1_000 * 60, 0.0
        for _ in range(100):
            for _ in range(10):
                one.send(running.relay, data, 1_000)
            begun = time.monotonic()
            await alice.settled()
            slowest = max(slowest, time.monotonic() - begun)
        assert slowest < 1.0


@run
async def test_behind_a_proxy_the_forwarded_address_counts() -> None:
    settings = Settings(Caps(clients_per_network=1), (), proxies=frozenset({"127.0.0.9"}))
    async with serving(settings) as running:
        async with running.client(
            "127.0.0.9", additional_headers={"X-Forwarded-For": "6.6.6.6, 192.0.2.1"}
        ) as one:
            assert one.welcome.observed == Endpoint("192.0.2.1", 0)
            with pytest.raises(InvalidStatus):
                async with running.client(
                    "127.0.0.9", additional_headers={"X-Forwarded-For": "192.0.2.1"}
                ):
                    pass
            async with running.client(
                "127.0.0.9", additional_headers={"X-Forwarded-For": "192.0.2.2"}
            ):
                pass
        async with running.client(
            "127.0.0.8", additional_headers={"X-Forwarded-For": "192.0.2.9"}
        ) as direct:
            assert direct.welcome.observed.address == "127.0.0.8"


@run
async def test_stopping_says_that_the_service_restarts_and_takes_no_time() -> None:
    async with serving() as running, running.client() as one, running.client() as two:
        _, writer = await raw(running, b"")
        begun = time.monotonic()
        running.stop.set()
        assert await closed(one) == await closed(two) == 1012
        await running.until(lambda: running.server.desk.clients == 0)
        assert time.monotonic() - begun < 2.0
        writer.close()


@run
async def test_dg14_cl06_the_log_has_one_line_a_kind_without_addresses() -> None:
    settings = Settings(Caps(), (), verbose=True)
    async with serving(settings) as running:
        for _ in range(30):
            reader, writer = await raw(
                running, b"GET /\x1b[31m\r\nevil: 127.0.0.1 HTTP/1.1\r\n\r\n"
            )
            await reader.read()
            writer.close()
            reader, writer = await raw(running, b"GET /x HTTP/1.1\r\nA: b\r\n\r\n")
            await reader.read()
            writer.close()
        await running.until(lambda: bool(running.log))
        assert len(running.log) <= 4
        assert not any("127" in words or "\n" in words or "evil" in words for words in running.log)
