"""Datagrams to and from the relay itself, and circuit data over a WebSocket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.errors import ProtocolError
from securecp.nat import relay

COOKIE, ID, TICKET = bytes(range(16)), bytes(range(8)), bytes(range(16, 32))


def test_datagrams_of_the_relay_round_trip() -> None:
    assert relay.is_cookie_request(relay.encode_cookie_request())
    assert relay.parse_cookie(relay.encode_cookie(COOKIE)) == COOKIE
    attach = relay.parse_attach(relay.encode_attach(ID, COOKIE, TICKET))
    assert (attach.attach, attach.cookie) == (ID, COOKIE)
    assert attach.proves(TICKET) and not attach.proves(bytes(16))
    assert relay.parse_attached(relay.encode_attached(ID)) == ID


def test_rl02_no_answer_of_the_relay_is_longer_than_its_question() -> None:
    assert len(relay.encode_cookie(COOKIE)) <= len(relay.encode_cookie_request())
    assert len(relay.encode_attached(ID)) <= len(relay.encode_attach(ID, COOKIE, TICKET))


def test_every_datagram_of_the_relay_passes_the_kernel_filter() -> None:
    made = [
        relay.encode_cookie_request(), relay.encode_cookie(COOKIE),
        relay.encode_attach(ID, COOKIE, TICKET), relay.encode_attached(ID),
    ]  # fmt: skip
    assert [len(one) for one in made] == [64, 20, 44, 20]
    assert [one[0] for one in made] == [0x70, 0x71, 0x72, 0x73]
    assert not any(relay.forwarded(one[0]) for one in made)


@pytest.mark.parametrize("at", range(28))
def test_rl05_a_proof_covers_every_byte_before_it(at: int) -> None:
    data = bytearray(relay.encode_attach(ID, COOKIE, TICKET))
    data[at] ^= 1
    try:
        attach = relay.parse_attach(bytes(data))
    except ProtocolError:
        return
    assert not attach.proves(TICKET)


def test_what_is_forwarded_is_for_transports_and_probes_only() -> None:
    assert [first for first in range(256) if relay.forwarded(first)] == [
        *range(0x40, 0x70), *range(0x80, 0x100),
    ]  # fmt: skip


@given(st.binary(max_size=80))
def test_rl06_rl09_any_datagram_parses_or_raises_the_one_error(data: bytes) -> None:
    parsers = (relay.parse_cookie, relay.parse_attach, relay.parse_attached, relay.parse_circuit)
    for parse in parsers:
        for given_as in (data, memoryview(data)):
            try:
                parse(given_as)
            except ProtocolError:
                continue
    assert relay.is_cookie_request(data) == (data == b"\x70" + bytes(63))


@given(st.integers(0, 2**32 - 1), st.integers(1, 65_507), st.binary(min_size=1, max_size=300))
def test_circuit_data_is_read_as_it_was_meant(leg: int, stride: int, data: bytes) -> None:
    message = relay.encode_circuit(leg, stride, data)
    assert message[0] == 0x01
    parsed = relay.parse_circuit(message)
    assert (parsed.leg, parsed.stride, bytes(parsed.data)) == (leg, min(stride, len(data)), data)


@pytest.mark.parametrize(
    "message",
    [b"", bytes(8), b"\x01" + bytes(6), b"\x01" + bytes(6) + b"x", b"\x00" + b"\x01" * 9,
     b"\x01\0\0\0\1\xff\xffx", b"\x01\0\0\0\1\0\1" + bytes(65_508)],
)  # fmt: skip
def test_rl06_circuit_data_without_datagrams_or_stride_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        relay.parse_circuit(message)
