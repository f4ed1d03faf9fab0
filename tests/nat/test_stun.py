"""The STUN codec: the published messages, the way there and back, and everything damaged."""

import json
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat import stun
from securecp.nat.stun import Refusal, Request, Response

FILE = Path(__file__).parents[1] / "vectors" / "stun.json"
VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text())["vectors"]
TRANSACTION = bytes(range(12))
V4 = Endpoint("11.0.113.7", 40_000)
V6 = Endpoint("2600:ab8::7", 40_001)
COOKIE = stun.COOKIE.to_bytes(4)

endpoints = st.builds(
    Endpoint,
    st.one_of(
        st.integers(0, 2**32 - 1).map(lambda n: str(IPv4Address(n))),
        st.integers(0, 2**128 - 1)
        .map(IPv6Address)
        .filter(lambda address: not address.ipv4_mapped)
        .map(str),
    ),
    st.integers(0, 65_535),
    st.just(0),
)


def message(kind: int, attributes: bytes = b"", length: int | None = None) -> bytes:
    size = len(attributes) if length is None else length
    return kind.to_bytes(2) + size.to_bytes(2) + COOKIE + TRANSACTION + attributes


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["source"])
def test_published_vector(vector: dict[str, Any]) -> None:
    parsed = stun.parse(bytes.fromhex(vector["message"]))
    transaction = bytes.fromhex(vector["transaction"])
    if vector["outcome"] == "request":
        assert parsed == Request(transaction, tuple(vector["unknown"]))
    else:
        assert parsed == Response(transaction, Endpoint(vector["address"], vector["port"]))


@given(endpoints)
def test_an_answer_tells_the_endpoint_it_was_made_of(endpoint: Endpoint) -> None:
    answer = stun.encode_response(TRANSACTION, endpoint)
    assert stun.parse(answer) == Response(TRANSACTION, endpoint)


def test_our_request_is_as_long_as_any_answer() -> None:
    request = stun.encode_request(TRANSACTION)
    assert stun.parse(request) == Request(TRANSACTION)
    assert len(request) == stun.PADDED
    assert [len(stun.encode_response(TRANSACTION, e)) for e in (V4, V6)] == [32, 44]


def test_a_standard_request_is_the_bare_header() -> None:
    request = stun.encode_request(TRANSACTION, pad=False)
    assert len(request) == 20
    assert stun.parse(request) == Request(TRANSACTION)


def test_an_address_mapped_into_ipv6_is_told_as_ipv4() -> None:
    answer = stun.encode_response(TRANSACTION, Endpoint(f"::ffff:{V4.address}", V4.port))
    assert stun.parse(answer) == Response(TRANSACTION, V4)


def test_what_must_be_understood_and_is_not_is_named_in_the_refusal() -> None:
    request = stun.parse(message(0x0001, bytes.fromhex("00030004 00000006")))
    assert request == Request(TRANSACTION, (3,))
    refusal = stun.encode_refusal(request)
    assert stun.parse(refusal) == Refusal(TRANSACTION, 420)
    assert refusal.endswith(bytes.fromhex("000a0002 00030000"))
    many = Request(TRANSACTION, tuple(range(0x30, 0x60)))
    assert len(stun.encode_refusal(many)) == 36


def test_the_older_attribute_is_read_and_the_newer_believed() -> None:
    mapped = bytes.fromhex("00010008 0001 9c40 0b007107")
    assert stun.parse(message(0x0101, mapped)) == Response(TRANSACTION, V4)
    other = stun.encode_response(TRANSACTION, Endpoint("11.0.113.8", 1))[20:]
    parsed = stun.parse(message(0x0101, mapped + other))
    assert parsed == Response(TRANSACTION, Endpoint("11.0.113.8", 1))


def test_the_first_of_two_attributes_counts() -> None:
    first, second = (stun.encode_response(TRANSACTION, e)[20:] for e in (V4, V6))
    assert stun.parse(message(0x0101, first + second)) == Response(TRANSACTION, V4)


@pytest.mark.parametrize(
    ("case", "datagram"),
    [
        ("nothing", b""),
        ("19 bytes", message(0x0001)[:19]),
        ("no cookie", bytes(4) + bytes(4) + TRANSACTION),
        ("cookie of another", message(0x0001).replace(COOKIE, b"\x21\x12\xa4\x43")),
        ("length too small", message(0x0001, bytes.fromhex("80220000"), 0)),
        ("length too large", message(0x0001, b"", 4)),
        ("length odd", message(0x0001, b"\x80\x22\0")),
        ("longer than any", message(0x0001, bytes.fromhex("80220000") * 320)),
        ("attribute overrun by 1", message(0x0101, bytes.fromhex("8022000500000000"))),
        ("attribute overrun at the end", message(0x0101, bytes.fromhex("8022ffff"))),
        ("endpoint too short", message(0x0101, bytes.fromhex("00200002 00010000"))),
        ("endpoint empty", message(0x0101, bytes.fromhex("00200000"))),
        ("IPv4 with 16 bytes", message(0x0101, bytes.fromhex("00200014 0001a147") + bytes(16))),
        ("IPv6 with 4 bytes", message(0x0101, bytes.fromhex("00200008 0002a147 00000000"))),
        ("family 3", message(0x0101, bytes.fromhex("00200008 0003a147 00000000"))),
        ("family 0", message(0x0101, bytes.fromhex("00200008 0000a147 00000000"))),
        ("no endpoint", message(0x0101)),
        ("must be understood", message(0x0101, bytes.fromhex("00240000"))),
        ("indication", message(0x0011)),
        ("another method", message(0x0003)),
        ("top bits", message(0x4001)),
        ("error without code", message(0x0111)),
        ("error of class 7", message(0x0111, bytes.fromhex("00090004 00000714"))),
        ("error with number 100", message(0x0111, bytes.fromhex("00090004 00000464"))),
    ],
)
def test_dg15_what_is_no_binding_message_is_refused(case: str, datagram: bytes) -> None:
    with pytest.raises(ProtocolError):
        stun.parse(datagram)


@pytest.mark.parametrize(
    "whole",
    [
        stun.encode_request(TRANSACTION),
        stun.encode_response(TRANSACTION, V4),
        stun.encode_response(TRANSACTION, V6),
        *(bytes.fromhex(vector["message"]) for vector in VECTORS),
    ],
    ids=len,
)
def test_dg15_no_prefix_and_no_extension_of_a_message_is_one(whole: bytes) -> None:
    for cut in [*(whole[:size] for size in range(len(whole))), whole + b"\0", whole + bytes(4)]:
        with pytest.raises(ProtocolError):
            stun.parse(cut)


@given(st.binary(max_size=200))
def test_dg11_any_bytes_parse_or_raise(data: bytes) -> None:
    with suppress(ProtocolError):
        stun.parse(memoryview(data))


@given(st.sampled_from((0x0001, 0x0101, 0x0111)), st.binary(max_size=120))
@example(0x0101, bytes.fromhex("0020ffff"))
def test_dg11_any_attributes_parse_or_raise(kind: int, attributes: bytes) -> None:
    with suppress(ProtocolError):
        stun.parse(message(kind, attributes[: len(attributes) & ~3]))


@given(st.data())
def test_dg11_a_damaged_message_parses_or_raises(data: st.DataObject) -> None:
    whole = bytearray.fromhex(data.draw(st.sampled_from(VECTORS))["message"])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ProtocolError):
        parsed = stun.parse(bytes(whole))
        if isinstance(parsed, Response):
            again = stun.encode_response(parsed.transaction, parsed.endpoint)
            address = IPv6Address if ":" in parsed.endpoint.address else IPv4Address
            if not getattr(address(parsed.endpoint.address), "ipv4_mapped", None):
                assert stun.parse(again) == parsed
