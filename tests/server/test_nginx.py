"""`wss://` through a real TLS proxy, set up as the operator's guide says."""

import asyncio
import datetime
import ipaddress
import os
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.asyncio.client import connect

from securecp.nat import relay
from securecp.nat.channel import ClientChannel, path_of
from securecp.nat.rendezvous import Deliver, Join, Joined, Open, Post, Subscribe, parse_welcome
from securecp.server.app import Settings
from securecp.server.desk import Caps
from tests.server.people import claim, tag
from tests.server.running import KEY, Client, Running, serving

GUIDE = Path(__file__).parents[2] / "docs" / "serve.md"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
AROUND = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 100; }}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    {server}
}}
"""


def certificate(folder: Path) -> ssl.SSLContext:
    """A certificate for this machine, and what trusts it and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "reach.pem").write_bytes(made.public_bytes(pem))
    (folder / "reach.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return ssl.create_default_context(cafile=str(folder / "reach.pem"))


def configured(folder: Path, port: int, behind: int) -> Path:
    """The guide's own lines, with our ports and files."""
    text = GUIDE.read_text()
    [server] = re.findall(r"^    (server \{\n.*?\n    \})$", text, re.MULTILINE | re.DOTALL)
    server = server.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    server = server.replace("/etc/ssl", str(folder)).replace(":4480", f":{behind}")
    path = folder / "nginx.conf"
    path.write_text(AROUND.format(folder=folder, server=server))
    return path


async def visit(context: ssl.SSLContext, port: int) -> Client:
    channel = ClientChannel(KEY.public, os.urandom)
    line = await connect(
        f"wss://127.0.0.1:{port}{path_of(channel.hello)}", ssl=context, compression=None, proxy=None
    )
    client = Client(line, channel)
    client.welcome = parse_welcome(channel.welcome((await client.read())[1:]))
    return client


async def through(running: Running, folder: Path) -> None:
    """Meet, and send datagrams, all by TLS."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = certificate(folder)
    config = configured(folder, port, running.port)
    assert NGINX is not None
    with subprocess.Popen([NGINX, "-c", str(config), "-p", str(folder)]) as nginx:
        try:
            await until_open(port)
            alice, bob = await visit(context, port), await visit(context, port)
            assert alice.welcome.observed.address == "127.0.0.1"
            await bob.say(Subscribe((claim(1),)))
            await bob.settled()
            await alice.say(Post(tag(1), bytes(1024)))
            assert await bob.hears(Deliver(tag(1), bytes(1024)))
            await alice.say(Join(1, bytes(16)))
            await bob.say(Join(2, bytes(16)))
            assert isinstance(await alice.hear(), Joined) and isinstance(await bob.hear(), Joined)
            assert await alice.hears(Open(1)) and await bob.hears(Open(2))
            for _ in range(20):
                await alice.line.send(relay.encode_circuit(1, 1_200, b"\x50" * 60_000))
                assert len((await bob.data()).data) == 60_000
            await alice.line.close()
            await bob.line.close()
        finally:
            nginx.terminate()


async def until_open(port: int) -> None:
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
    raise AssertionError("nginx never came")


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")
def test_clients_meet_through_nginx_as_the_guide_sets_it_up(tmp_path: Path) -> None:
    async def test() -> None:
        settings = Settings(Caps(), (), proxies=frozenset({"127.0.0.1"}))
        async with serving(settings) as running:
            await through(running, tmp_path)

    asyncio.run(asyncio.wait_for(test(), 30.0))
