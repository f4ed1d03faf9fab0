"""Candidates: what a peer may make us send a probe to, and in which order."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat.candidate import (
    MOST_CANDIDATES,
    Candidate,
    Kind,
    allowed,
    canonical,
    is_private,
    pack_address,
    parse_address,
    priority,
    screen,
)

VALUES = st.recursive(
    st.integers(-1, 2**17)
    | st.binary(max_size=17)
    | st.text(max_size=3)
    | st.booleans()
    | st.none(),
    lambda inner: st.lists(inner, max_size=4),
)
CANDIDATES = st.builds(
    Candidate.at,
    st.sampled_from(Kind),
    (st.ip_addresses(v=4) | st.ip_addresses(v=6)).map(str),
    st.integers(1, 65_535),
)


def host(address: str, port: int = 50_000, kind: Kind = Kind.HOST) -> Candidate:
    return Candidate.at(kind, address, port)


@given(CANDIDATES)
def test_a_candidate_survives_its_encoding(candidate: Candidate) -> None:
    parsed = Candidate.parse(candidate.encode())
    assert parsed == candidate
    assert type(parsed.kind) is Kind


@given(
    VALUES
    | st.tuples(st.integers(-1, 5), st.binary(max_size=17), st.integers(-1, 70_000)).map(list)
)
def test_rv05_any_value_is_a_candidate_or_refused(value: object) -> None:
    try:
        candidate = Candidate.parse(value)
    except ProtocolError:
        return
    assert candidate.encode() == value
    allowed(candidate, same_public=True)


@pytest.mark.parametrize(
    "value",
    [
        [4, b"\1\1\1\1", 5],
        [-1, b"\1\1\1\1", 5],
        [True, b"\1\1\1\1", 5],
        [0, b"\1\1\1", 5],
        [0, b"\1" * 15, 5],
        [0, b"", 5],
        [0, "1.1.1.1", 5],
        [0, bytes(10) + b"\xff\xff\1\1\1\1", 5],
        [0, b"\1\1\1\1", 0],
        [0, b"\1\1\1\1", 65_536],
        [0, b"\1\1\1\1", True],
        [0, b"\1\1\1\1"],
        [0, b"\1\1\1\1", 5, 5],
        (0, b"\1\1\1\1", 5),
    ],
)
def test_what_is_not_a_candidate(value: object) -> None:
    with pytest.raises(ProtocolError):
        Candidate.parse(value)


@given(st.binary(min_size=16, max_size=16))
def test_sixteen_bytes_are_an_address_in_one_spelling(data: bytes) -> None:
    text = parse_address(data)
    assert pack_address(text) == data
    assert canonical(text) == text


def test_spellings_of_an_address_become_one() -> None:
    assert canonical("::ffff:11.0.113.5") == "11.0.113.5"
    assert canonical("FE80::0:1%eth0") == "fe80::1"
    assert Candidate.at(Kind.HOST, "fe80::1%2", 5).address == "fe80::1"
    for text in ("", "host.example", "1.2.3", "1.2.3.4:5"):
        with pytest.raises(ValueError):
            canonical(text)


@given(CANDIDATES, st.booleans())
def test_rv05_nothing_unroutable_is_allowed(candidate: Candidate, same: bool) -> None:
    """Against the standard library's own opinion, where all its releases agree."""
    address = ipaddress.ip_address(candidate.address)
    if address.is_loopback or address.is_multicast or address.is_unspecified:
        assert not allowed(candidate, same)
    if (
        address.is_global
        and isinstance(address, ipaddress.IPv4Address)
        and not address.is_multicast
    ):
        assert allowed(candidate, same) or str(address).startswith("192.0.0.")
    if not same and isinstance(address, ipaddress.IPv4Address) and allowed(candidate, same):
        documentation = ("192.0.2.", "198.18.", "198.19.", "198.51.100.", "203.0.113.")
        assert not address.is_private or str(address).startswith(documentation)


@pytest.mark.parametrize("address", ["10.9.8.7", "192.168.1.1", "100.64.0.9", "fe80::1", "fd00::1"])
def test_rv05_private_addresses_only_behind_the_same_public_one(address: str) -> None:
    assert is_private(address)
    assert allowed(host(address), same_public=True)
    assert not allowed(host(address), same_public=False)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "::"]
)
def test_rv05_loopback_multicast_and_broadcast_never(address: str) -> None:
    assert not allowed(host(address), same_public=True)


@pytest.mark.parametrize(
    "address", ["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "2001::1"]
)
def test_rv05_no_ipv4_address_hides_inside_ipv6(address: str) -> None:
    assert not allowed(Candidate(Kind.HOST, address, 50_000), same_public=True)


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_rv05_a_port_that_is_none(port: int) -> None:
    assert not allowed(host("11.0.113.5", port), same_public=True)


def test_public_goes_before_private_and_guesses_come_last() -> None:
    wanted = [
        host("2600:ab8:1::20"),
        host("11.0.113.5", 1, Kind.REFLEXIVE),
        host("11.0.113.5", 2, Kind.MAPPED),
        host("fd00::20"),
        host("192.168.1.20"),
        host("11.0.113.5", 3, Kind.PREDICTED),
    ]
    assert sorted(wanted[3:] + wanted[:3], key=priority) == wanted
    assert screen(wanted, same_public=True) == wanted


def test_rl10_own_endpoints_and_the_relay_are_refused() -> None:
    ours, relay = Endpoint("11.0.113.5", 61_000), Endpoint("::ffff:11.0.113.1", 4_480, via=7)
    named = [
        host("11.0.113.5", 61_000),
        host("11.0.113.1", 4_480, Kind.MAPPED),
        host("11.0.113.1", 4_481),
        host("11.0.113.5", 61_001),
    ]
    assert screen(named, same_public=False, refused=[ours, relay]) == named[2:]


@given(st.lists(CANDIDATES, max_size=60), st.booleans())
def test_rv05_what_is_tried_is_little_and_each_once(named: list[Candidate], same: bool) -> None:
    chosen = screen(named + named, same_public=same, refused=[Endpoint("192.0.2.1", 1)])
    assert len(chosen) <= MOST_CANDIDATES
    assert len({candidate.endpoint for candidate in chosen}) == len(chosen)
    assert all(allowed(candidate, same) for candidate in chosen)
    assert chosen == sorted(chosen, key=priority)
    if len(chosen) < MOST_CANDIDATES:
        right = {one.endpoint for one in named if allowed(one, same)} - {("192.0.2.1", 1)}
        assert {candidate.endpoint for candidate in chosen} == right


def test_rv05_of_many_candidates_the_best_few_are_tried() -> None:
    private = [host("192.168.1.20", port) for port in range(1, 30)]
    public = [host("11.0.113.5", port) for port in range(1, 10)]
    chosen = screen(private + public, same_public=True)
    assert chosen == public + private[: MOST_CANDIDATES - len(public)]


def test_a_refused_endpoint_that_is_no_address_refuses_nothing() -> None:
    circuit = Endpoint("relay", 3, via=9)
    assert screen([host("11.0.113.5")], same_public=False, refused=[circuit])
