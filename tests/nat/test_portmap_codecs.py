"""NAT-PMP and PCP: bytes as the RFCs draw them, and everything else refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.errors import ProtocolError
from securecp.nat import natpmp, pcp

NONCE = bytes(range(12))
ANSWER = bytes.fromhex(
    "02 81 00 00 00000258 000001f4" + "00" * 12 + "000102030405060708090a0b"
    "11 000000 1388 ea60 00000000000000000000ffff0b007115"
)
"""RFC 6887 §7.2 and §11.1: success, 600 s, epoch 500, port 5000 as 11.0.113.21:60000."""


def test_natpmp_requests_are_as_drawn() -> None:
    assert natpmp.ADDRESS_REQUEST == bytes.fromhex("0000")
    assert natpmp.encode_map(5_000, 60_000, 600) == bytes.fromhex("0001 0000 1388 ea60 00000258")


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("0080 0000 000001f4 0b007115", natpmp.Address("11.0.113.21")),
        ("0081 0000 000001f4 1388 ea60 00000258", natpmp.Mapping(5_000, 60_000, 600)),
        ("0081 0002 000001f4 1388 0000 00000000", natpmp.Refusal(2)),
        ("0081 0001", natpmp.Refusal(1)),
        ("0082 0005 000001f4", natpmp.Refusal(5)),
        ("0081 0001 000001f4" + "00" * 52, natpmp.Refusal(1)),
    ],
)
def test_natpmp_answers_are_read(answer: str, value: object) -> None:
    assert natpmp.parse(bytes.fromhex(answer)) == value


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "008000",
        "0000",
        "0000 0000 000001f4 0b007115",
        "0080 0000 000001f4 0b0071",
        "0080 0000 000001f4 0b007115 00",
        "0081 0000 000001f4 1388 ea60 000002",
        "0081 0000 000001f4 1388 ea60 00000258 00",
        "0082 0000 000001f4 1388 ea60 00000258",
        "0180 0000 000001f4 0b007115",
        "0081 0001" + "00" * 1_100,
    ],
)
def test_natpmp_refuses_what_is_no_answer(answer: str) -> None:
    with pytest.raises(ProtocolError):
        natpmp.parse(bytes.fromhex(answer))


def test_a_pcp_request_is_as_drawn() -> None:
    request = pcp.encode_map(NONCE, "192.168.1.10", 5_000, 600, external=60_000)
    assert request == bytes.fromhex(
        "02 01 0000 00000258 00000000000000000000ffffc0a8010a 000102030405060708090a0b"
        "11 000000 1388 ea60 00000000000000000000ffff00000000"
    )
    wished = pcp.encode_map(NONCE, "192.168.1.10", 5_000, 600, wished="11.0.113.21")
    assert wished.endswith(bytes.fromhex("0000 00000000000000000000ffff0b007115"))
    six = pcp.encode_map(NONCE, "2600:ab8::5", 5_000, 600)
    assert six.endswith(bytes(16))
    assert len(six) == 60


def test_a_pcp_answer_is_read_with_and_without_options() -> None:
    mapping = pcp.Mapping(NONCE, 5_000, 60_000, "11.0.113.21", 600, 500)
    assert pcp.parse(ANSWER) == mapping
    assert pcp.parse(ANSWER + bytes.fromhex("03000004 00000000")) == mapping
    six = ANSWER[:44] + bytes.fromhex("26000ab8" + "00" * 11 + "05")
    assert pcp.parse(six) == mapping._replace(address="2600:ab8::5")


@pytest.mark.parametrize("size", [24, 60])
def test_a_pcp_refusal_is_read_short_and_long(size: int) -> None:
    assert pcp.parse((ANSWER[:3] + b"\x0c" + ANSWER[4:])[:size]) == pcp.Refusal(12, 600)


@pytest.mark.parametrize(
    ("case", "answer"),
    [
        ("nothing", b""),
        ("version 1", b"\1" + ANSWER[1:]),
        ("a request", b"\2\1" + ANSWER[2:]),
        ("PEER", b"\2\x82" + ANSWER[2:]),
        ("TCP", ANSWER[:36] + b"\6" + ANSWER[37:]),
        ("odd", ANSWER + b"\0"),
        ("header alone", ANSWER[:24]),
        ("too long", ANSWER + bytes(1_044)),
    ],
)
def test_pcp_refuses_what_is_no_answer(case: str, answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        pcp.parse(answer)


def test_no_prefix_of_a_pcp_answer_is_one() -> None:
    for size in range(len(ANSWER)):
        with pytest.raises(ProtocolError):
            pcp.parse(ANSWER[:size])


@given(st.binary(max_size=80), st.sampled_from((b"", b"\0\x80", b"\0\x81", b"\2\x81")))
def test_dg11_any_bytes_parse_or_raise(rest: bytes, head: bytes) -> None:
    for parse in (natpmp.parse, pcp.parse):
        with suppress(ProtocolError):
            parse(memoryview(head + rest))


@given(st.integers(0, 59), st.integers(0, 255))
def test_dg11_a_damaged_answer_parses_or_raises(place: int, value: int) -> None:
    with suppress(ProtocolError):
        pcp.parse(ANSWER[:place] + bytes((value,)) + ANSWER[place + 1 :])
