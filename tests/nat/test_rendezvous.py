"""Messages between client and server: layouts, limits, and any bytes whatever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat import rendezvous
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
    Unsubscribe,
    Welcome,
    What,
    encode_endpoint,
    parse_endpoint,
    parse_from_client,
    parse_from_server,
    parse_welcome,
)

sixteen = st.binary(min_size=16, max_size=16)
claims = st.lists(sixteen, min_size=1, max_size=20).map(tuple)
envelopes = st.binary(min_size=1024, max_size=1024)
legs = st.integers(0, 2**32 - 1)
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(
    lambda one: str(getattr(one, "ipv4_mapped", None) or one)
)
endpoints = st.builds(Endpoint, addresses, st.integers(0, 65_535), st.just(0))
from_client = st.one_of(
    st.builds(Subscribe, claims),
    st.builds(Unsubscribe, claims),
    st.builds(Post, sixteen, envelopes),
    st.builds(Join, legs, sixteen),
    st.builds(Leave, legs),
)
from_server = st.one_of(
    st.builds(Welcome, st.integers(0, 2**64 - 1), endpoints,
              st.lists(endpoints, max_size=16).map(tuple)),
    st.builds(Deliver, sixteen, envelopes),
    st.builds(Joined, legs, st.binary(min_size=8, max_size=8)),
    st.builds(Open, legs),
    st.builds(Left, legs),
    st.builds(Refused, st.integers(0, 255), st.integers(0, 255), st.integers(0, 65_535)),
)  # fmt: skip


@given(from_client)
def test_what_a_client_says_is_read_as_it_was_meant(message: rendezvous.FromClient) -> None:
    parsed = parse_from_client(message.encode())
    assert parsed == message and type(parsed) is type(message)


@given(from_server)
def test_what_a_server_says_is_read_as_it_was_meant(message: rendezvous.FromServer) -> None:
    parsed = parse_from_server(message.encode())
    assert parsed == message and type(parsed) is type(message)


@given(st.one_of(st.binary(max_size=64), st.builds(
    lambda message, at, byte: message[:at] + bytes([byte]) + message[at:],
    st.one_of(from_client, from_server).map(lambda one: one.encode()),
    st.integers(0, 40), st.integers(0, 255))))  # fmt: skip
def test_rl06_rl09_any_bytes_parse_or_raise_the_one_error(data: bytes) -> None:
    for parse in (parse_from_client, parse_from_server, parse_welcome):
        try:
            message = parse(data)
        except ProtocolError:
            continue
        assert message.encode() == data


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x01", "no claim"),
        (b"\x01" + bytes(15), "half a claim"),
        (b"\x01" + bytes(16 * 513), "too many claims"),
        (b"\x03" + bytes(16 + 1023), "a short envelope"),
        (b"\x03" + bytes(16 + 1025), "a long envelope"),
        (b"\x04" + bytes(19), "a short ticket"),
        (b"\x05" + bytes(5), "something behind"),
        (b"\x06", "an unknown kind"),
        (b"", "nothing"),
    ],
)
def test_rv11_lengths_are_exact(data: bytes, kind: str) -> None:
    with pytest.raises(ProtocolError):
        parse_from_client(data)


def test_a_welcome_of_another_version_is_refused() -> None:
    data = bytearray(Welcome(0, Endpoint("192.0.2.1", 1), ()).encode())
    data[1] = 2
    with pytest.raises(ProtocolError, match="version"):
        parse_welcome(bytes(data))
    data[1] = 1
    data[28] = 17
    with pytest.raises(ProtocolError, match="too many"):
        parse_welcome(bytes(data) + bytes(17 * 18))


def test_endpoints_take_18_bytes() -> None:
    v4 = encode_endpoint(Endpoint("192.0.2.1", 4480))
    assert v4.hex() == "00000000000000000000ffffc00002011180"
    assert parse_endpoint(v4) == Endpoint("192.0.2.1", 4480)
    assert encode_endpoint(Endpoint("::ffff:192.0.2.1", 4480)) == v4
    assert encode_endpoint(Endpoint("fe80::1%2", 1)) == encode_endpoint(Endpoint("fe80::1", 1))
    assert encode_endpoint(Endpoint(DIALLED, 4480)) == bytes(16) + b"\x11\x80"


def test_a_longer_wait_than_fits_is_the_longest() -> None:
    refused = parse_from_server(Refused(What.JOIN, Code.FULL, 100_000).encode())
    assert refused == Refused(What.JOIN, Code.FULL, 65_535)
