"""The link to a server: messages, circuits, loss and return, proxies, TLS, and servers that lie."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from securecp.endpoint import Burst, Endpoint
from securecp.nat import rendezvous
from securecp.nat.channel import SEALED
from securecp.nat.relay import encode_circuit
from securecp.nat.serveraddress import ServerAddress
from securecp.nat.tags import tag_of
from securecp.net import conversation, outbox
from securecp.net import link as module
from securecp.net.circuit import QUEUE, Circuit
from securecp.net.doors import Doors
from securecp.net.link import Down, Message, ServerLink, Up
from securecp.net.way import Way
from securecp.transport.wire import DATA
from tests.net.servers import (
    WELCOME,
    ChannelServer,
    Guest,
    Listener,
    certificate,
    proxy,
    real_server,
    silent,
)

PATIENCE = 10.0
STRIDE = 1_200
ANYWHERE = Endpoint("192.0.2.1", 9)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with ExitStack() as stack:
        yield stack


class Caller:
    """A link, its bell, and the events it has told so far."""

    def __init__(self, stack: ExitStack, address: ServerAddress) -> None:
        self.bell = threading.Event()
        self._kept: list[object] = []
        self.link = ServerLink(address, self.bell.set)
        stack.callback(self.close)

    def close(self) -> None:
        self.link.close()
        self.link._thread.join(PATIENCE)
        assert not self.link._thread.is_alive()

    def next(self, kind: type = object, patience: float = PATIENCE) -> object:
        """The next event; it must be of that kind."""
        (event,) = self.take(1, patience)
        assert isinstance(event, kind), event
        return event

    def take(self, count: int, patience: float = PATIENCE) -> list[object]:
        """The next events, as many; what else has come is kept."""
        until = time.monotonic() + patience
        while len(self._kept) < count:
            self._kept += self.link.events()
            if len(self._kept) < count:
                assert self.bell.wait(until - time.monotonic()), self._kept
                self.bell.clear()
        taken, self._kept = self._kept[:count], self._kept[count:]
        return taken

    def quiet(self, seconds: float) -> None:
        """So long no event comes; rings for those that have come may be late."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.bell.wait(left)
            self.bell.clear()
            assert not self._kept and not self.link.events()

    def burst(self, circuit: Circuit) -> Burst:
        while (burst := circuit.receive()) is None:
            assert self.bell.wait(PATIENCE)
            self.bell.clear()
        return burst

    def up(self) -> Up:
        event = self.next(Up)
        assert isinstance(event, Up)
        return event

    def down(self) -> Down:
        event = self.next(Down)
        assert isinstance(event, Down)
        return event


def serving(stack: ExitStack, host: Callable[[Guest], None], **options: object) -> ChannelServer:
    server = ChannelServer(host, **options)  # type: ignore[arg-type]
    stack.callback(server.close)
    return server


def echo(guest: Guest) -> None:
    """Say everything back."""
    while True:
        raw = guest.connection.recv()
        assert isinstance(raw, bytes)
        if raw[0] == SEALED:
            guest.tell(b"you said " + guest.channel.open(raw[1:]))
        else:
            guest.connection.send(raw)


def burst_of(count: int, stride: int = STRIDE) -> Burst:
    data = bytearray(number * 31 % 251 for number in range(count * stride - 7))
    data[::stride] = bytes([DATA]) * count
    return Burst(ANYWHERE, memoryview(data), stride)


def test_messages_told_before_the_channel_stands_leave_with_the_first_flight(
    stack: ExitStack,
) -> None:
    server = serving(stack, echo)
    caller = Caller(stack, server.address())
    caller.link.tell(b"one")
    caller.link.tell(b"two")
    up = caller.up()
    assert up.welcome == WELCOME
    assert up.endpoint == Endpoint("127.0.0.1", server.port)
    assert 0 < up.rtt < PATIENCE
    assert not up.proxied
    assert caller.take(2) == [Message(b"you said one"), Message(b"you said two")]
    assert caller.link.up


def test_the_hello_is_the_path_and_no_compression_is_offered(stack: ExitStack) -> None:
    server = serving(stack, echo)
    Caller(stack, server.address()).up()
    (request,) = server.requests
    assert request.path.startswith("/v1/") and len(request.path) == 68
    assert "Sec-WebSocket-Extensions" not in request.headers
    assert request.headers["Host"] == f"127.0.0.1:{server.port}"


def test_a_circuit_is_a_door(stack: ExitStack) -> None:
    server = serving(stack, echo)
    caller = Caller(stack, server.address())
    circuit = caller.link.circuit(7)
    doors = Doors()
    stack.callback(doors.close)
    doors.add(12, circuit)
    caller.up()
    sent = burst_of(40)
    doors.send(sent._replace(endpoint=ANYWHERE._replace(via=12)))
    found: list[Burst] = []
    while not found:
        assert caller.bell.wait(PATIENCE)
        caller.bell.clear()
        found = doors.read()
    (burst,) = found
    assert burst.endpoint == Endpoint("127.0.0.1", server.port, 12)
    assert (bytes(burst.data), burst.stride) == (bytes(sent.data), STRIDE)
    assert not burst.data.readonly
    doors.remove(12)
    assert not caller.link._circuits
    circuit.send(sent)
    assert circuit.dropped == 1


def test_a_burst_that_leaves_before_the_channel_stands_is_not_stale(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the first HELLO goes right behind JOIN, however long it takes to get there."""
    monkeypatch.setattr(outbox, "STALE", 0.05)
    server = serving(stack, echo)
    gate = threading.Event()
    real = Way.dial
    monkeypatch.setattr(Way, "dial", lambda way: gate.wait(PATIENCE) and real(way))
    caller = Caller(stack, server.address())
    circuit = caller.link.circuit(1)
    circuit.send(burst_of(1))
    threading.Timer(0.2, gate.set).start()
    caller.up()
    assert bytes(caller.burst(circuit).data) == bytes(burst_of(1).data)


def test_data_for_nobody_is_dropped_and_nonsense_ends_the_connection(stack: ExitStack) -> None:
    def host(guest: Guest) -> None:
        for leg in (5, 6):
            guest.connection.send(encode_circuit(leg, 10, bytes(30)))
        guest.connection.send(b"\x77 of a later version")
        guest.tell(b"still here")
        guest.hear()
        guest.connection.send(b"\x01short")
        guest.hear()

    server = serving(stack, host)
    caller = Caller(stack, server.address())
    circuit = caller.link.circuit(6)
    assert caller.take(2)[1] == Message(b"still here")
    assert len(caller.burst(circuit).data) == 30
    assert circuit.receive() is None
    caller.link.tell(b"go on")
    assert "circuit data" in caller.down().reason


def test_rl07_a_slow_reader_of_a_circuit_loses_and_blocks_nobody(stack: ExitStack) -> None:
    """Neither the loop, which sends on, nor the messages."""
    gate = threading.Event()

    def host(guest: Guest) -> None:
        guest.connection.recv()
        gate.wait(PATIENCE)
        while True:
            raw = guest.connection.recv()
            if raw[0] == SEALED:
                assert isinstance(raw, bytes)
                guest.tell(guest.channel.open(raw[1:]))

    server = serving(stack, host, max_queue=1)
    caller = Caller(stack, server.address())
    stack.callback(gate.set)
    caller.up()
    circuit = caller.link.circuit(1)
    begun = time.monotonic()
    while circuit.dropped < 20:
        circuit.send(burst_of(50))
    assert time.monotonic() - begun < PATIENCE
    caller.link.tell(b"and yet")
    gate.set()
    assert caller.next(Message) == Message(b"and yet")


def test_a_full_queue_is_emptied_without_anybody_ringing(stack: ExitStack) -> None:
    """A kernel that takes everything at last leaves nobody waiting for it."""
    read = 0

    def host(guest: Guest) -> None:
        nonlocal read
        while True:
            read += len(guest.connection.recv())

    caller = Caller(stack, serving(stack, host).address())
    caller.up()
    circuit = caller.link.circuit(1)
    burst = burst_of(50)
    for _ in range(100):
        for _ in range(5):
            circuit.send(burst)
        until = time.monotonic() + PATIENCE
        while not caller.link._outbox.empty():
            assert time.monotonic() < until, "it waits for ever"
            caller.bell.wait(0.0002)
    assert read


def test_what_is_not_read_from_a_circuit_is_bounded() -> None:
    circuit = Circuit(1, lambda *_: True, lambda _: None, lambda: ANYWHERE)
    for _ in range(20):
        circuit.take(memoryview(bytes(60_000)), 1_000)
    assert circuit.dropped == 20 - QUEUE // 60_000
    while circuit.receive():
        pass
    circuit.take(memoryview(bytes(60_000)), 1_000)
    assert circuit.receive() is not None


def test_the_longest_burst_fits_into_messages(stack: ExitStack) -> None:
    server = serving(stack, echo)
    caller = Caller(stack, server.address())
    circuit = caller.link.circuit(1)
    caller.up()
    sent = Burst(ANYWHERE, memoryview(bytes(65_536)), 1_024)
    circuit.send(sent)
    assert len(caller.burst(circuit).data) + len(caller.burst(circuit).data) == 65_536


# loss and return


def test_a_lost_server_is_dialled_again_and_what_was_meant_for_it_is_gone(
    stack: ExitStack,
) -> None:
    first = threading.Event()

    def host(guest: Guest) -> None:
        if not first.is_set():
            first.set()
            guest.connection.close()
            return
        echo(guest)

    server = serving(stack, host)
    caller = Caller(stack, server.address())
    circuit = caller.link.circuit(1)
    begun = time.monotonic()
    assert [type(event) for event in caller.take(3)] == [Up, Down, Up]
    assert 0.05 < time.monotonic() - begun < 3
    circuit.send(burst_of(1))
    assert circuit.dropped == 1
    caller.link.tell(b"again")
    assert caller.next(Message) == Message(b"you said again")


def test_f36_a_server_that_is_not_there_is_told_once(stack: ExitStack) -> None:
    with silent() as port:
        pass
    caller = Caller(stack, ServerAddress(False, "127.0.0.1", port, bytes(31) + b"\x09"))
    down = caller.down()
    assert "cannot reach 127.0.0.1: connection refused" in down.reason
    assert down.hint
    assert not down.untrusted
    caller.quiet(1.0)
    assert not caller.link.up


def test_a_pause_doubles_and_a_change_of_the_network_ends_it(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 60.0)
    with silent() as port:
        pass
    server: list[ChannelServer] = []
    caller = Caller(stack, ServerAddress(False, "127.0.0.1", port, bytes(31) + b"\x09"))
    caller.down()
    server.append(serving(stack, echo, port=port))
    caller.link.address = server[0].address()
    caller.link.hasten()
    caller.up()


def test_a_silent_server_is_given_up(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection, and then nothing."""
    monkeypatch.setattr(conversation, "OPENING", 0.1)
    with silent() as port:
        caller = Caller(stack, ServerAddress(False, "127.0.0.1", port, bytes(31) + b"\x09"))
        assert caller.down().reason == "the server does not answer"


def mute(stack: ExitStack) -> tuple[Listener, ChannelServer, threading.Event]:
    """A server behind something that from some time on swallows everything."""
    server = serving(stack, echo)
    deaf = threading.Event()

    def serve(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as beyond:

            def back() -> None:
                with suppress(OSError):
                    while data := beyond.recv(65_536):
                        if not deaf.is_set():
                            connection.sendall(data)

            thread = threading.Thread(target=back)
            thread.start()
            with suppress(OSError):
                while data := connection.recv(65_536):
                    beyond.sendall(data)
            beyond.shutdown(socket.SHUT_RDWR)
            thread.join()

    listener = Listener(serve)
    stack.callback(listener.close)
    return listener, server, deaf


def test_two_missed_pings_are_the_end(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "PING", 0.1)
    listener, server, deaf = mute(stack)
    caller = Caller(stack, server.address()._replace(port=listener.port))
    caller.up()
    caller.quiet(0.5)  # pings are answered
    deaf.set()
    assert caller.down().reason == "the server is silent"


def test_after_a_change_of_the_network_the_server_must_answer_soon(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "DOUBT", 0.1)
    listener, server, deaf = mute(stack)
    caller = Caller(stack, server.address()._replace(port=listener.port))
    caller.up()
    caller.link.hasten()
    caller.quiet(0.3)  # it does
    deaf.set()
    caller.link.hasten()
    assert caller.down().reason == "the server is silent"
    deaf.clear()
    caller.up()


def test_what_was_told_before_the_end_still_leaves(stack: ExitStack) -> None:
    heard: list[bytes] = []
    done = threading.Event()

    def host(guest: Guest) -> None:
        try:
            while True:
                heard.append(guest.hear())
        except ConnectionClosed:
            done.set()

    server = serving(stack, host)
    caller = Caller(stack, server.address())
    caller.up()
    for number in range(100):
        caller.link.tell(b"bye %d" % number)
    caller.link.close()
    assert done.wait(PATIENCE)
    assert heard == [b"bye %d" % number for number in range(100)]


def test_what_came_before_the_server_hung_up_is_told(stack: ExitStack) -> None:
    def host(guest: Guest) -> None:
        for number in range(50):
            guest.tell(b"%d" % number)
        guest.connection.close()

    caller = Caller(stack, serving(stack, host).address())
    events: list[object] = []
    while not events or not isinstance(events[-1], Down):
        assert caller.bell.wait(PATIENCE)
        caller.bell.clear()
        events += caller.link.events()
    told = [event.data for event in events if isinstance(event, Message)]
    assert told == [b"%d" % number for number in range(50)]


# servers that lie


def test_rv14_a_server_with_another_key_is_no_server_and_not_tried_again_soon(
    stack: ExitStack,
) -> None:
    """An honest one, which does not know our hello."""
    server = serving(stack, echo)
    other = serving(stack, echo)
    address = server.address()._replace(key=other.key.public)
    caller = Caller(stack, address)
    down = caller.down()
    assert down.untrusted
    assert "key" in down.hint
    caller.quiet(1.0)
    assert len(server.requests) == 1


def test_rv14_a_server_that_cannot_prove_its_key_is_no_server(stack: ExitStack) -> None:
    """One that takes every hello, and makes up an answer."""

    class Liar(ChannelServer):
        def _handle(self, connection: object) -> None:
            connection.send(bytes([SEALED]) + os.urandom(96))  # type: ignore[attr-defined]

        def _check(self, connection: object, request: object) -> None:
            self.requests.append(request)  # type: ignore[arg-type]

    server = Liar(echo)
    stack.callback(server.close)
    caller = Caller(stack, server.address())
    down = caller.down()
    assert (down.reason, down.untrusted) == ("the server has another key", True)
    caller.quiet(1.0)
    assert len(server.requests) == 1


def test_rv14_a_message_that_was_changed_ends_the_connection(stack: ExitStack) -> None:
    def host(guest: Guest) -> None:
        sealed = bytearray(guest.channel.seal(b"the truth"))
        sealed[3] ^= 1
        guest.connection.send(bytes([SEALED]) + bytes(sealed))
        guest.hear()

    caller = Caller(stack, serving(stack, host).address())
    assert [type(event) for event in caller.take(2)] == [Up, Down]


ANSWERS = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "an endless line": b"HTTP/1.1 " + bytes(100_000),
    "another program": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "a proxy without a server behind": b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n",
    "a wrong agreement": b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: AAAA\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_whatever_answers_is_told_in_words(stack: ExitStack, answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4_096)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    listener = Listener(serve)
    stack.callback(listener.close)
    address = ServerAddress(False, "127.0.0.1", listener.port, bytes(31) + b"\x09")
    down = Caller(stack, address).down()
    assert down.reason
    assert not down.untrusted


def test_a_message_beyond_the_limit_ends_the_connection(stack: ExitStack) -> None:
    def host(guest: Guest) -> None:
        guest.connection.send(bytes(80_000))
        guest.hear()

    caller = Caller(stack, serving(stack, host).address())
    assert [type(event) for event in caller.take(2)] == [Up, Down]


def test_a_message_in_pieces_is_put_together(stack: ExitStack) -> None:
    def host(guest: Guest) -> None:
        sealed = bytes([SEALED]) + guest.channel.seal(bytes(1_000))
        guest.connection.send([sealed[at : at + 100] for at in range(0, len(sealed), 100)])
        guest.hear()

    caller = Caller(stack, serving(stack, host).address())
    assert caller.take(2)[1] == Message(bytes(1_000))


# ways


def test_a_proxy_from_the_environment_is_used(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serving(stack, echo)
    seen: list[bytes] = []
    between = proxy(seen)
    stack.callback(between.close)
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass%20word@127.0.0.1:{between.port}")
    up = Caller(stack, server.address()).up()
    assert up.proxied
    assert up.endpoint.port == between.port
    (asked,) = seen
    assert asked.startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % server.port)
    assert b"Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk\r\n" in asked


def test_no_proxy_is_honoured(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serving(stack, echo)
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.org,127.0.0.1")
    assert not Caller(stack, server.address()).up().proxied


def test_a_proxy_that_refuses_is_told_in_words(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = proxy([], b"HTTP/1.1 407 Who are you?\r\n\r\n")
    stack.callback(between.close)
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{between.port}")
    address = ServerAddress(False, "192.0.2.1", 80, bytes(31) + b"\x09")
    assert Caller(stack, address).down().reason == "the proxy refused: 407"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_tls_checks_the_name_by_certificates_that_may_be_named(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    chain, context = certificate(tmp_path, name)
    server = serving(stack, echo, tls=context)
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    caller = Caller(stack, server.address(name))
    caller.link.tell(bytes(60_000))
    caller.up()
    assert caller.next(Message) == Message(b"you said " + bytes(60_000))
    circuit = caller.link.circuit(3)
    for _ in range(3):
        circuit.send(burst_of(50))
        assert bytes(caller.burst(circuit).data) == bytes(burst_of(50).data)


@pytest.mark.parametrize("known", [True, False])
def test_tls_without_a_certificate_that_holds_is_refused(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, known: bool
) -> None:
    """It is for another name, or nobody vouches for it."""
    chain, context = certificate(tmp_path, "example.org")
    server = serving(stack, echo, tls=context)
    if known:
        monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    down = Caller(stack, server.address()).down()
    assert "certificate does not hold" in down.reason
    assert "SSL_CERT_FILE" in down.hint
    assert not server.requests


def test_tls_through_a_proxy(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chain, context = certificate(tmp_path, "127.0.0.1")
    server = serving(stack, echo, tls=context)
    between = proxy([])
    stack.callback(between.close)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{between.port}")
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    assert Caller(stack, server.address()).up().proxied


def test_the_real_server_and_the_link_understand_each_other(stack: ExitStack) -> None:
    """Welcome, a letter from one to the other, and a circuit between the two."""
    address = real_server(stack)
    left, right = Caller(stack, address), Caller(stack, address)
    claim = b"c" * 16
    left.link.tell(rendezvous.Subscribe((claim,)).encode())
    welcome = rendezvous.parse_welcome(left.up().welcome)
    assert welcome.observed.address == "127.0.0.1"
    right.up()
    right.link.tell(rendezvous.Post(tag_of(claim), bytes(1_024)).encode())
    event = left.next(Message)
    assert isinstance(event, Message)
    assert isinstance(rendezvous.parse_from_server(event.data), rendezvous.Deliver)
    for caller in (left, right):
        caller.link.tell(rendezvous.Join(5, b"t" * 16).encode())
    ours, theirs = left.link.circuit(5), right.link.circuit(5)
    for caller in (left, right):  # JOINED and OPEN
        caller.take(2)
    ours.send(burst_of(20))
    assert bytes(right.burst(theirs).data) == bytes(burst_of(20).data)
