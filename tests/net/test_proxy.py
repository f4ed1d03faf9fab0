"""Which proxy the environment names, and how it is asked."""

import os
import socket
import threading
import time
from collections.abc import Callable

import pytest

from securecp.net.proxy import LONGEST_ANSWER, Proxy, ProxyError, parse, proxy_for, tunnel


@pytest.fixture(autouse=True)
def no_proxy_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://one.example:3128", Proxy("one.example", 3128)),
        ("one.example:3128/", Proxy("one.example", 3128)),
        ("http://one.example", Proxy("one.example", 80)),
        ("http://[2001:db8::1]:8080", Proxy("2001:db8::1", 8080)),
        ("http://a:b%3Ac@one.example:1", Proxy("one.example", 1, "YTpiOmM=")),
    ],
)
def test_a_url_names_a_proxy(url: str, proxy: Proxy) -> None:
    assert parse(url) == proxy


@pytest.mark.parametrize(
    "url",
    ["socks5://one.example:1", "https://one.example", "http://", "http://a:70000", "http://[x"],
)
def test_what_is_no_proxy_of_ours_is_an_error(url: str) -> None:
    with pytest.raises(ProxyError):
        parse(url)


@pytest.mark.parametrize(
    ("environment", "tls", "host"),
    [
        ({}, True, None),
        ({"HTTPS_PROXY": "http://s"}, True, "s"),
        ({"HTTPS_PROXY": "http://s", "HTTP_PROXY": "http://h"}, False, "s"),
        ({"HTTP_PROXY": "http://h"}, False, "h"),
        ({"HTTP_PROXY": "http://h"}, True, None),
        ({"all_proxy": "http://a"}, True, "a"),
        ({"all_proxy": "http://a", "no_proxy": ".example.org"}, True, None),
        ({"all_proxy": "http://a", "NO_PROXY": "*"}, True, None),
        ({"all_proxy": "http://a", "NO_PROXY": "other.org"}, True, "a"),
    ],
)
def test_the_environment_is_read_as_others_read_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], tls: bool, host: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for("reach.example.org", tls=tls)
    assert (found.host if found else None) == host


def asking(answer: Callable[[socket.socket], None], patience: float = 5.0) -> None:
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=answer, args=(theirs,))
    with ours, theirs:
        thread.start()
        try:
            tunnel(ours, Proxy("p", 1), "2001:db8::7", 443, time.monotonic() + patience)
            assert ours.recv(9) == b"beyond"
        finally:
            thread.join()


def test_what_comes_behind_the_answer_is_not_the_proxys() -> None:
    def answer(theirs: socket.socket) -> None:
        assert theirs.recv(4_096).startswith(b"CONNECT [2001:db8::7]:443 HTTP/1.1\r\n")
        theirs.sendall(b"HTTP/1.0 200 ok\r\nVia: me\r\n\r\nbeyond")

    asking(answer)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 no\r\n\r\n",
        b"hello\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 200 ok\r\n",
        bytes(LONGEST_ANSWER + 1),
        b"HTTP/1.1 \xff\xff\r\n\r\n",
    ],
    ids=["no", "hello", "nothing", "cut", "endless", "nonsense"],
)
def test_a_proxy_that_does_not_agree_is_an_error(answer: bytes) -> None:
    def say(theirs: socket.socket) -> None:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)

    with pytest.raises(ProxyError):
        asking(say)


def test_a_silent_proxy_is_not_waited_for() -> None:
    with pytest.raises(TimeoutError):
        asking(lambda _: None, patience=0.1)
