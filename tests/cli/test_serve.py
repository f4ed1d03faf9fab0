"""`securecp serve` as an operator runs it: start, stop, restart, what it says and what it keeps."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from keys.identity import Identity
from securecp.endpoint import Endpoint
from securecp.nat import envelope, serveraddress
from securecp.nat.candidate import Candidate, Kind
from securecp.nat.rendezvous import Deliver, Join, Joined, Post, Subscribe
from securecp.nat.sampling import Nat
from securecp.nat.serveraddress import ServerAddress
from securecp.nat.tags import PairKeys, tag_of
from tests.cli.program import COMMAND, Background, call, is_one_line_and_a_hint, run
from tests.server.image import memory
from tests.server.running import Socket, visiting

HERE = ("--listen", "127.0.0.1:0")


def serving(home: Path, *options: str) -> tuple[Background, ServerAddress]:
    server = Background("serve", *(options or HERE), home=home)
    return server, serveraddress.parse(server.until("serving")["url"])


def test_it_serves_at_the_printed_url_and_ends_within_two_seconds(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        server, address = serving(tmp_path)
        with server:

            async def visit(address: ServerAddress, server: Background, number: int) -> float:
                async with visiting(address.port, address.key) as client:
                    assert client.welcome.stun == (
                        Endpoint("::", address.port), client.welcome.stun[1],
                    )  # fmt: skip
                    begun = time.monotonic()
                    server.process.send_signal(number)
                    await client.line.wait_closed()
                    assert client.line.close_code == 1012
                return begun

            begun = asyncio.run(visit(address, server, number))
            assert server.ended() == (0, "")
            assert time.monotonic() - begun < 2.0
            assert server.events[-1]["event"] == "stopped"


def test_the_key_stays_over_a_restart_and_clients_come_back(tmp_path: Path) -> None:
    server, first = serving(tmp_path)
    with server:
        server.process.kill()
    server, second = serving(tmp_path, "--listen", f"127.0.0.1:{first.port}")
    with server:
        assert second == first

        async def visit() -> None:
            async with visiting(second.port, first.key) as client:
                await client.settled()

        asyncio.run(visit())


def test_rv14_every_home_has_a_key_of_its_own(tmp_path: Path) -> None:
    one, first = serving(tmp_path / "one")
    two, second = serving(tmp_path / "two")
    with one, two:
        assert first.key != second.key


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_taken_is_one_line_and_a_hint(
    tmp_path: Path, kind: socket.SocketKind
) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        done = call("serve", "--listen", f"127.0.0.1:{port}", home=tmp_path)
    assert done.returncode == 1 and is_one_line_and_a_hint(done.stderr)
    assert f"cannot listen at 127.0.0.1:{port}: address already in use" in done.stderr
    assert "hint: another program has that port" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--listen", "a b"), "no HOST:PORT"),
        (("--listen", "127.0.0.1:1", "--listen", "127.0.0.2:2"), "same port"),
        (("--second-address", "127.0.0.2"), "--listen must name an address"),
        ((*HERE, "--second-address", "x"), "no IP address"),
        ((*HERE, "--proxy", "x"), "no IP address"),
        ((*HERE, "--max-rate", "fast"), "--max-rate"),
        ((*HERE, "--public", "http://x"), "--public is a host"),
        ((*HERE, "--max-clients", "0"), "max-clients"),
    ],
)
def test_usage_errors_are_one_line_and_a_hint(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    done = call("serve", *options, home=tmp_path)
    assert done.returncode == 2 and words in done.stderr
    assert is_one_line_and_a_hint(done.stderr)


@pytest.mark.parametrize(
    ("public", "url"),
    [
        ("reach.example.org", "ws://reach.example.org:{port}#"),
        ("reach.example.org:80", "ws://reach.example.org#"),
        ("wss://reach.example.org", "wss://reach.example.org#"),
        ("wss://reach.example.org:8443", "wss://reach.example.org:8443#"),
        ("2001:db8::1", "ws://[2001:db8::1]:{port}#"),
    ],
)
def test_the_printed_url_can_have_a_public_name(tmp_path: Path, public: str, url: str) -> None:
    with Background("serve", *HERE, "--public", public, home=tmp_path) as server:
        event = server.until("serving")
    assert event["url"].startswith(url.format(port=event["port"]) + "scpserver1")


def test_a_second_address_answers_stun_and_clients_are_told(tmp_path: Path) -> None:
    server, address = serving(tmp_path, *HERE, "--second-address", "127.0.0.2")
    with server:

        async def visit() -> list[Endpoint]:
            async with visiting(address.port, address.key) as client:
                return list(client.welcome.stun)

        told = asyncio.run(visit())
        assert [one.address for one in told] == ["::", "::", "127.0.0.2", "127.0.0.2"]
        for one in told:
            where = "127.0.0.1" if one.address == "::" else one.address
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.settimeout(5.0)
                udp.connect((where, one.port))
                udp.send(bytes.fromhex("000100002112a442") + bytes(12))
                assert len(udp.recv(100)) == 32


def test_rv15_metrics_are_off_unless_asked_for(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server, address = serving(tmp_path, *HERE, "--metrics", f"127.0.0.1:{port}")
    with server:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5.0) as page:
            assert b"securecp_clients 0" in page.read()
        with urllib.request.urlopen(f"http://127.0.0.1:{address.port}/healthz") as page:
            assert page.read() == b"ok\n"
        done = run("serve", *HERE, "--metrics", f"127.0.0.1:{port}", home=tmp_path)
        assert done.returncode == 1 and is_one_line_and_a_hint(done.stderr)


def test_what_a_person_sees(tmp_path: Path) -> None:
    command = [COMMAND, "--home", str(tmp_path), "serve", *HERE]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        serveraddress.parse(url)
        server.terminate()
        _, stderr = server.communicate(timeout=10.0)
    assert server.returncode == 0
    assert "securecp config add-server" in stderr and "Ctrl-C" in stderr


STRACE = shutil.which("strace")


@pytest.mark.skipif(STRACE is None, reason="strace is not installed: apt-get install strace")
def test_rl01_the_relay_opens_no_connection_and_sends_to_its_legs_only(tmp_path: Path) -> None:
    """A circuit by UDP and a STUN request, with every way out of the process on record."""
    assert STRACE is not None
    trace = tmp_path / "trace"
    outward = "trace=connect,sendto,sendmsg,sendmmsg"
    command = [STRACE, "-f", "-e", outward, "-o", str(trace), COMMAND, "--home", str(tmp_path)]
    with subprocess.Popen(
        [*command, "serve", "--json", *HERE], stdout=subprocess.PIPE, text=True
    ) as tracer:
        assert tracer.stdout is not None
        address = serveraddress.parse(json.loads(tracer.stdout.readline())["url"])
        legs = asyncio.run(_relay(address))
        [server] = psutil.Process(tracer.pid).children()
        server.terminate()
        tracer.communicate(timeout=10.0)
    record = trace.read_text()
    assert "connect(" not in record
    sent = re.findall(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]+)"\)', record)
    assert {(where, int(port)) for port, where in sent} == {(leg.address, leg.port) for leg in legs}


async def _relay(address: ServerAddress) -> list[Endpoint]:
    where, there = (address.port, address.key), Endpoint("127.0.0.1", address.port)
    sockets = [Socket(), Socket()]
    async with visiting(*where) as one, visiting(*where, "127.0.0.5") as two:
        for client, socket_ in ((one, sockets[0]), (two, sockets[1])):
            await client.say(Join(1, bytes(16)))
            joined = await client.hear()
            assert isinstance(joined, Joined)
            await socket_.attach(there, joined.attach, bytes(16))
        for _ in range(3):
            sockets[0].send(there, b"\x50" * 20_000, 1_000)
            assert len(await sockets[1].hear()) == 20_000
        sockets[0].send(there, bytes.fromhex("000100002112a442") + bytes(12))
        assert len(await sockets[0].hear()) == 32
    ends = [each.socket.endpoint for each in sockets]
    for each in sockets:
        each.socket.close()
    return ends


ALICE, BOB = Identity.generate(os.urandom), Identity.generate(os.urandom)
SECRETS = {
    "Alice's key": bytes(ALICE.public), "Bob's key": bytes(BOB.public),
    "Alice's key as text": str(ALICE.public).encode(),
    "Bob's key as text": str(BOB.public).encode(),
    "a candidate": socket.inet_pton(socket.AF_INET6, "2001:db8:ca4a:7711::cafe"),
    "a candidate as text": b"2001:db8:ca4a:7711::cafe",
    "a session": b"canary session01", "a secret": b"canary probe secret of a session",
}  # fmt: skip


def test_rv10_rl08_the_server_sees_no_key_or_candidate_and_tells_no_address(
    tmp_path: Path,
) -> None:
    """Two contacts meet by it; then its memory, its log and its metrics are searched."""
    server, address = serving(tmp_path, *HERE, "--verbose")
    with server:
        try:
            next(memory(server.process.pid))
        except PermissionError:
            pytest.skip("reading another process's memory needs root here")
        marker = asyncio.run(_meet(address))
        seen = b"".join(memory(server.process.pid))
        server.until("log")
        server.process.terminate()
        _, stderr = server.ended()
    assert marker in seen, "the search finds nothing at all"
    said = json.dumps(server.events).encode() + stderr.encode()
    for name, secret in SECRETS.items():
        assert secret not in seen, name
        assert secret not in said, name
    assert b"127.0.0.1" not in said.replace(b"ws://127.0.0.1", b"").replace(b'"127.0.0.1:', b'"')


async def _meet(address: ServerAddress) -> bytes:
    """Exchange real letters; one is left in its slot, and found in the server's memory."""
    day = 20_000
    alice, bob = PairKeys.of(ALICE, bytes(BOB.public)), PairKeys.of(BOB, bytes(ALICE.public))
    tag = alice.their_tag(day)
    far = Candidate.at(Kind.HOST, "2001:db8:ca4a:7711::cafe", 4400)
    letter = envelope.Call(
        SECRETS["a session"], 0, SECRETS["a secret"], b"canary reply one", _view(), (far,)
    )
    sealed = envelope.seal(ALICE, bytes(BOB.public), letter, tag=tag, entropy=os.urandom)
    async with (
        visiting(address.port, address.key) as one,
        visiting(address.port, address.key) as two,
    ):
        await two.say(Subscribe((bob.our_claim(day),)))
        await two.settled()
        await one.say(Post(tag, sealed))
        assert await two.hears(Deliver(tag, sealed))
        held = envelope.seal(ALICE, bytes(BOB.public), letter, tag=tag, entropy=os.urandom)
        await one.say(Post(tag_of(b"canary reply one"), held))
        await one.say(Join(1, b"canary ticket 01"))
        assert isinstance(await one.hear(), Joined)
        await one.settled()
    return held


def _view() -> envelope.View:
    return envelope.View(Nat.EASY, 0, 10, True)
