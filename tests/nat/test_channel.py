"""The sealed channel between client and server."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.errors import ProtocolError
from securecp.nat import channel
from securecp.nat.channel import ClientChannel, ServerChannel, hello_in, path_of
from securecp.noise.keypairs import KeyPair

entropy = random.Random(7).randbytes
SERVER = KeyPair.from_seed(bytes(range(32)))
OTHER = KeyPair.from_seed(bytes(range(1, 33)))


def pair() -> tuple[ClientChannel, ServerChannel]:
    client = ClientChannel(SERVER.public, entropy)
    server = ServerChannel(SERVER, client.hello, entropy)
    assert client.welcome(server.welcome(b"welcome")) == b"welcome"
    return client, server


def test_messages_go_both_ways_in_order() -> None:
    client, server = pair()
    for number in range(3):
        assert server.open(client.seal(b"to server %d" % number)) == b"to server %d" % number
        assert client.open(server.seal(b"to client %d" % number)) == b"to client %d" % number
    largest = bytes(channel.LARGEST_PLAINTEXT)
    assert server.open(client.seal(largest)) == largest


def test_hello_is_48_bytes_and_has_one_path() -> None:
    hello = ClientChannel(SERVER.public, entropy).hello
    assert len(hello) == channel.HELLO_LENGTH
    path = path_of(hello)
    assert len(path) == 68 and path.startswith("/v1/")
    assert hello_in(path) == hello


def test_rv14_another_server_cannot_welcome() -> None:
    client = ClientChannel(SERVER.public, entropy)
    with pytest.raises(ProtocolError):
        ServerChannel(OTHER, client.hello, entropy)
    # It might answer without having read the hello: with a handshake of its own.
    theirs = ClientChannel(OTHER.public, entropy)
    forged = ServerChannel(OTHER, theirs.hello, entropy).welcome(b"welcome")
    with pytest.raises(ProtocolError):
        client.welcome(forged)
    with pytest.raises(ProtocolError):
        client.open(bytes(32))


def test_rv14_a_recorded_welcome_opens_nothing() -> None:
    first = ClientChannel(SERVER.public, entropy)
    recorded = ServerChannel(SERVER, first.hello, entropy).welcome(b"welcome")
    with pytest.raises(ProtocolError):
        ClientChannel(SERVER.public, entropy).welcome(recorded)


def test_what_was_replayed_reordered_or_changed_does_not_open() -> None:
    client, server = pair()
    first, second = client.seal(b"first"), client.seal(b"second")
    for wrong in (second, first[:-1], bytes([first[0] ^ 1]) + first[1:], b""):
        with pytest.raises(ProtocolError):
            server.open(wrong)
    assert server.open(first) == b"first"
    with pytest.raises(ProtocolError):
        server.open(first)


def test_misuse_of_ours_is_a_value_error() -> None:
    client = ClientChannel(SERVER.public, entropy)
    with pytest.raises(ValueError, match="does not stand"):
        client.seal(b"x")
    client, server = pair()
    with pytest.raises(ValueError, match="too long"):
        client.seal(bytes(channel.LARGEST_PLAINTEXT + 1))
    with pytest.raises(ValueError, match="stands already"):
        server.welcome(b"")
    with pytest.raises(ValueError, match="stands already"):
        client.welcome(b"")


def test_rl06_a_hello_has_no_second_spelling() -> None:
    path = path_of(b"\xfb\xff\xbf" * 16)
    assert hello_in(path) == b"\xfb\xff\xbf" * 16
    for wrong in (path.replace("-", "+"), path.replace("_", "/"), path[:-4] + "!!!!", path + "="):
        with pytest.raises(ProtocolError):
            hello_in(wrong)


@given(st.binary(max_size=100))
def test_rl06_any_bytes_as_hello_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        ServerChannel(SERVER, data, entropy)


@given(st.one_of(st.text(max_size=80), st.binary(min_size=48, max_size=48).map(path_of)))
def test_rl06_any_path_is_a_hello_or_refused(path: str) -> None:
    try:
        hello = hello_in(path)
    except ProtocolError:
        return
    assert path_of(hello) == path
