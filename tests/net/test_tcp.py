"""Reaching a TCP port although the resolver or some addresses are dead (F-36)."""

import errno
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from securecp.net import tcp as module
from securecp.net.tcp import STEP, Dialler


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listening(stack: ExitStack, address: str, port: int = 0) -> int:
    server = stack.enter_context(socket.create_server((address, port)))
    found: int = server.getsockname()[1]
    return found


def dead(stack: ExitStack, address: str) -> int:
    """A port that swallows what is sent to it: its queue is full, and nobody takes from it."""
    server = stack.enter_context(socket.create_server((address, 0), backlog=0))
    port: int = server.getsockname()[1]
    for _ in range(3):
        filler = stack.enter_context(socket.socket())
        filler.setblocking(False)
        assert filler.connect_ex((address, port)) in (0, errno.EINPROGRESS)
    return port


def resolving(monkeypatch: pytest.MonkeyPatch, port: int, *addresses: str) -> list[int]:
    """A name that stands for these; the list counts the questions."""
    asked: list[int] = []

    def resolve(host: str, *_: Any, flags: int = 0, **__: Any) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror
        asked.append(1)
        if not addresses:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (at, port)) for at in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_an_address_needs_no_resolver(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(module, "_ask", never)
    connection = Dialler("127.0.0.1", listening(stack, "127.0.0.1")).connect()
    with connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not connection.getblocking()


def test_f36_a_dead_address_costs_a_step_and_not_more(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = dead(stack, "127.0.0.1")
    listening(stack, "127.0.0.2", port)
    resolving(monkeypatch, port, "127.0.0.1", "127.0.0.2")
    begun = time.monotonic()
    with Dialler("name", port).connect() as connection:
        assert connection.getpeername()[0] == "127.0.0.2"
    assert STEP * 0.8 <= time.monotonic() - begun < STEP + 1


def test_f36_an_address_that_refuses_costs_nothing(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listening(stack, "127.0.0.2")
    resolving(monkeypatch, port, "127.0.0.1", "127.0.0.2")
    begun = time.monotonic()
    Dialler("name", port).connect().close()
    assert time.monotonic() - begun < STEP


def test_f36_only_dead_addresses_end_in_time(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CAP", 0.2)
    port = dead(stack, "127.0.0.1")
    resolving(monkeypatch, port, "127.0.0.1", "127.0.0.1")
    with pytest.raises(TimeoutError):
        Dialler("name", port).connect()


def test_f36_a_resolver_that_is_silent_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(module, "CAP", 0.1)

    def resolve(*_: Any, flags: int = 0, **__: Any) -> list[Any]:
        if flags:
            raise socket.gaierror
        gate.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        with pytest.raises(TimeoutError, match="resolver"):
            Dialler("name", 1).connect()
    finally:
        gate.set()


def test_f36_addresses_of_the_last_time_do_if_the_resolver_has_died(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listening(stack, "127.0.0.1")
    dialler = Dialler("name", port)
    resolving(monkeypatch, port, "127.0.0.1")
    dialler.connect().close()
    asked = resolving(monkeypatch, port)
    dialler.connect().close()
    assert asked
    with pytest.raises(OSError, match="no such host"):
        Dialler("other", port).connect()


@pytest.mark.parametrize("host", ["..", "a" * 300, "\u2603" * 80])
def test_a_name_that_is_none_is_an_error(host: str) -> None:
    """It does not get as far as any resolver."""
    with pytest.raises(OSError, match="no such host"):
        Dialler(host, 1).connect()
