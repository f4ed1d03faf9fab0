"""Main sockets for both families: one port if possible, and what gives way to what."""

import errno
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from securecp.endpoint import Endpoint
from securecp.errors import SecurecpError
from securecp.net import bind as module
from securecp.net.bind import ALL_V4, ALL_V6, bind, bind_both
from securecp.net.udp import UdpSocket


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def both(stack: ExitStack, port: int = 0, *, asked: bool = False) -> list[Endpoint]:
    mains = bind_both(port, asked=asked)
    for udp in mains:
        stack.callback(udp.close)
    return [udp.endpoint for udp in mains]


def taken(stack: ExitStack, address: str) -> int:
    udp = UdpSocket(Endpoint(address, 0))
    stack.callback(udp.close)
    return udp.endpoint.port


@pytest.fixture
def two_families() -> None:
    try:
        UdpSocket(Endpoint(ALL_V6, 0)).close()
    except OSError:
        pytest.skip("no IPv6 here")


@pytest.mark.usefixtures("two_families")
def test_both_families_at_one_port(stack: ExitStack) -> None:
    v4, v6 = both(stack)
    assert (v4.address, v6.address) == (ALL_V4, ALL_V6)
    assert v4.port == v6.port > 0


@pytest.mark.usefixtures("two_families")
@pytest.mark.parametrize("address", [ALL_V4, ALL_V6])
def test_a_port_that_nobody_asked_for_gives_way(stack: ExitStack, address: str) -> None:
    """In both families at once, so that there is one number to tell."""
    port = taken(stack, address)
    v4, v6 = both(stack, port)
    assert v4.port == v6.port != port


@pytest.mark.usefixtures("two_families")
@pytest.mark.parametrize("address", [ALL_V4, ALL_V6])
def test_a_port_that_was_asked_for_and_is_taken_is_an_error(stack: ExitStack, address: str) -> None:
    port = taken(stack, address)
    with pytest.raises(SecurecpError, match="cannot listen at") as caught:
        bind_both(port, asked=True)
    assert "in use" in caught.value.message
    assert "another program" in caught.value.hint


@pytest.mark.parametrize(
    ("missing", "left"), [(ALL_V6, [ALL_V4]), (ALL_V4, [ALL_V6])], ids=["no IPv6", "no IPv4"]
)
@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_one_family_is_enough(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, missing: str, left: list[str], code: int
) -> None:
    def make(endpoint: Endpoint) -> Any:
        if endpoint.address == missing:
            raise OSError(code, "planned")
        return UdpSocket(endpoint._replace(address="127.0.0.1"))

    monkeypatch.setattr(module, "UdpSocket", make)
    if missing == ALL_V4:
        monkeypatch.setattr(module, "ALL_V6", ALL_V6)
    assert len(both(stack)) == len(left)


def test_a_machine_without_any_network_gets_an_error_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def make(_: Endpoint) -> Any:
        raise OSError(errno.EAFNOSUPPORT, "planned")

    monkeypatch.setattr(module, "UdpSocket", make)
    with pytest.raises(SecurecpError, match="cannot listen"):
        bind_both()


@pytest.mark.usefixtures("two_families")
def test_where_no_port_is_free_in_both_they_differ(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(endpoint: Endpoint) -> UdpSocket:
        if ":" in endpoint.address and endpoint.port:
            raise OSError(errno.EADDRINUSE, "planned")
        return UdpSocket(endpoint)

    monkeypatch.setattr(module, "UdpSocket", make)
    v4, v6 = both(stack)
    assert v4.port != v6.port


def test_an_address_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(SecurecpError, match="cannot listen at"):
        bind(Endpoint("203.0.113.7", 0))
