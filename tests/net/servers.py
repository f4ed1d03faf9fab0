"""Small servers on loopback: one that speaks the channel, a proxy, and certificates for TLS."""

import asyncio
import contextlib
import datetime
import ipaddress
import os
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from securecp.errors import ProtocolError
from securecp.nat.channel import SEALED, ServerChannel, hello_in
from securecp.nat.serveraddress import ServerAddress
from securecp.noise.keypairs import KeyPair
from tests.server.running import KEY, Running

WELCOME = b"welcome, whoever you are"
BACKLOG = 16


class Guest:
    """A client of the server, as seen from there."""

    def __init__(self, connection: ServerConnection, channel: ServerChannel) -> None:
        self.connection = connection
        self.channel = channel

    def tell(self, message: bytes) -> None:
        self.connection.send(bytes([SEALED]) + self.channel.seal(message))

    def hear(self, timeout: float = 5.0) -> bytes:
        """The next sealed message, opened."""
        raw = self.connection.recv(timeout)
        assert isinstance(raw, bytes) and raw[0] == SEALED
        return self.channel.open(raw[1:])


class ChannelServer:
    """A server with a key; each client is `host`'s business, in a thread of its own."""

    def __init__(
        self,
        host: Callable[[Guest], None],
        *,
        address: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        **options: Any,
    ) -> None:
        self.key = KeyPair.from_seed(os.urandom(32))
        self.requests: list[Request] = []
        self.guests: list[Guest] = []
        self._host = host
        self._tls = tls is not None
        listening = socket.create_server(
            (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        )
        self.port: int = listening.getsockname()[1]
        self._address = address
        options = {
            "compression": None,
            "max_size": 1 << 20,
            "close_timeout": 0.5,
            "ping_interval": None,
        } | options
        self._server: Server = serve(
            self._handle, sock=listening, ssl=tls, process_request=self._check, **options
        )
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def address(self, host: str | None = None) -> ServerAddress:
        return ServerAddress(self._tls, host or self._address, self.port, self.key.public)

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        try:
            channel = ServerChannel(self.key, hello_in(request.path), os.urandom)
        except ProtocolError:
            return connection.respond(404, "nothing here\n")
        self.guests.append(Guest(connection, channel))
        return None

    def _handle(self, connection: ServerConnection) -> None:
        guest = next(guest for guest in self.guests if guest.connection is connection)
        connection.send(bytes([SEALED]) + guest.channel.welcome(WELCOME))
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            self._host(guest)

    def close(self) -> None:
        for guest in self.guests:
            with contextlib.suppress(OSError):
                guest.connection.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._thread.join()


class Listener:
    """A TCP server that does with each connection what `serve` says, in a thread."""

    def __init__(self, serve: Callable[[socket.socket], None], address: str = "127.0.0.1") -> None:
        self._listening = socket.create_server((address, 0), backlog=BACKLOG)
        self.port: int = self._listening.getsockname()[1]
        self.accepted: list[socket.socket] = []
        self._serve = serve
        self._closed = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            if self._closed:
                connection.close()
                return
            self.accepted.append(connection)
            thread = threading.Thread(target=self._quietly, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _quietly(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._serve(connection)

    def close(self) -> None:
        self._closed = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        for connection in self.accepted:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join()
        self._listening.close()


def proxy(seen: list[bytes], answer: bytes = b"HTTP/1.1 200 fine\r\n\r\n") -> Listener:
    """An HTTP proxy that knows CONNECT; `seen` collects what it was asked."""

    def serve(connection: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        seen.append(head)
        connection.sendall(answer)
        if b" 200 " not in answer:
            connection.close()
            return
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as beyond:
            back = threading.Thread(target=_pump, args=(beyond, connection))
            back.start()
            _pump(connection, beyond)
            back.join()

    return Listener(serve)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate for a name or address that signs itself, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, secret)
    context.set_alpn_protocols(["http/1.1"])
    return chain, context


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never says anything: its program is asleep."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        yield listening.getsockname()[1]


def real_server(stack: contextlib.ExitStack) -> ServerAddress:
    """What `securecp serve` runs, in a loop of its own thread until the stack is left."""
    made: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, Running]] = queue.SimpleQueue()

    async def serve() -> None:
        running = Running()
        try:
            made.put((asyncio.get_running_loop(), running))
            await running.server.run([running.listening], running.stop)
        finally:
            running.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, running = made.get(timeout=10)
    stack.callback(thread.join)
    stack.callback(loop.call_soon_threadsafe, running.stop.set)
    return ServerAddress(False, "127.0.0.1", running.port, KEY.public)
