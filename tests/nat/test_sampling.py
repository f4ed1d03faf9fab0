"""Which NAT is told from which samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.endpoint import Endpoint
from securecp.nat.sampling import LONGEST_STEP, STRANGERS, Nat, NatView, Sample, classify

A1, A2, B1, B2 = (Endpoint(f"11.0.113.{n}", port) for n in (10, 11) for port in (3478, 3479))
SERVERS = (A1, A2, B1, B2)
US = "11.0.113.21"
PORT = 47_167


def samples(*ports: int | None, servers: tuple[Endpoint, ...] = SERVERS) -> list[Sample]:
    """One for each server endpoint in turn; None is a lost one."""
    return [
        Sample(server, Endpoint(US, port), order)
        for order, (server, port) in enumerate(zip(servers, ports, strict=False))
        if port is not None
    ]


def view(*ports: int | None) -> NatView:
    return classify(samples(*ports), PORT, asked=len(ports))


@pytest.mark.parametrize(
    ("ports", "nat", "step"),
    [
        ((PORT,) * 4, Nat.EASY, 0),
        ((23_206,) * 4, Nat.EASY, 0),
        ((28_366, 44_195, 38_717, 3_826), Nat.HARD, 0),
        ((20_797, 20_797, 20_328, 20_328), Nat.HARD, 0),
        ((20_000, 20_001, 20_002, 20_003), Nat.SEQUENTIAL, 1),
        ((20_003, 20_002, 20_001, 20_000), Nat.SEQUENTIAL, -1),
        ((20_000, 20_002, 20_004, 20_006), Nat.SEQUENTIAL, 2),
        ((20_000, 20_016, 20_032, 20_048), Nat.SEQUENTIAL, 16),
        ((20_000, 20_017, 20_034, 20_051), Nat.HARD, 0),
        ((20_000, 20_001, 20_000, 20_001), Nat.HARD, 0),
    ],
)
def test_kinds_as_they_were_measured(ports: tuple[int, ...], nat: Nat, step: int) -> None:
    told = view(*ports)
    assert (told.nat, told.step) == (nat, step)


def test_the_port_preserved_or_not() -> None:
    assert view(*(PORT,) * 4).preserved
    assert not view(*(23_206,) * 4).preserved
    assert not view(PORT, 20_001, 20_002, 20_003).preserved


def test_nothing_asked_or_answered_is_nothing_known() -> None:
    assert classify([], PORT) == NatView(Nat.UNKNOWN)


def test_one_endpoint_tells_no_kind() -> None:
    one = classify(samples(PORT), PORT, asked=4)
    assert one.nat is Nat.UNKNOWN
    assert one.reflexive == Endpoint(US, PORT)
    assert one.preserved


def test_one_address_cannot_tell_address_dependence() -> None:
    one = classify(samples(20_797, 20_797), PORT, asked=2)
    assert (one.nat, one.addresses) == (Nat.EASY, 1)
    assert view(20_797, 20_797, 20_328, 20_328).addresses == 2


def test_several_external_addresses_are_hard() -> None:
    mixed = [
        Sample(server, Endpoint(f"11.0.113.{20 + n}", 20_000 + n), n)
        for n, server in enumerate(SERVERS)
    ]
    assert classify(mixed, PORT).nat is Nat.HARD


@pytest.mark.parametrize(
    ("ports", "step"),
    [
        ((20_000, None, 20_002, 20_003), 1),
        ((20_000, None, None, 20_003), 1),
        ((None, 20_001, 20_002, None), 1),
        ((20_000, None, 20_004, None), 2),
        ((20_000, 20_001, 20_003, 20_004), 1),  # somebody took 20,002
        ((20_000, 20_004, 20_006, 20_008), 2),
        ((20_008, 20_004, 20_002, None), -2),
    ],
)
def test_lost_samples_and_strangers_in_between(ports: tuple[int | None, ...], step: int) -> None:
    assert view(*ports).step == step


def test_the_next_ports_come_after_all_that_was_asked() -> None:
    assert view(20_000, 20_001, 20_002, 20_003).predicted == tuple(range(20_004, 20_012))
    assert view(20_000, 20_001, None, None).predicted == tuple(range(20_004, 20_012))
    assert view(20_006, 20_004, 20_002, 20_000).predicted == tuple(range(19_998, 19_982, -2))


def test_a_sequence_shows_its_last_endpoint_and_a_hard_nat_its_first() -> None:
    assert view(20_000, 20_001, 20_002, 20_003).reflexive == Endpoint(US, 20_003)
    assert view(28_366, 44_195, 38_717, 3_826).reflexive == Endpoint(US, 28_366)


def test_no_port_is_predicted_that_does_not_exist() -> None:
    assert view(65_530, 65_531, 65_532, 65_533).predicted == (65_534, 65_535)
    assert view(4, 3, 2, 1).predicted == ()


@given(
    st.integers(1, LONGEST_STEP) | st.integers(-LONGEST_STEP, -1),
    st.lists(st.integers(0, STRANGERS), min_size=3, max_size=3),
    st.integers(0, 3),
    st.integers(4_000, 60_000),
)
def test_a_sequence_is_told_whatever_strangers_take(
    step: int, strangers: list[int], lost: int, first: int
) -> None:
    ports: list[int | None] = [first]
    at = first
    for taken in strangers:
        at += step * (1 + taken)
        ports.append(at)
    ports[lost] = None
    told = view(*ports)
    # Several in between may make it look like a longer step, but never like another kind...
    assert told.nat is Nat.SEQUENTIAL or sum(strangers) > STRANGERS
    if not any(strangers):
        assert told.step == step  # ... and on a quiet NAT the step is the true one.


@given(st.lists(st.none() | st.integers(1, 65_535), max_size=4))
def test_any_ports_give_a_view(ports: list[int | None]) -> None:
    told = view(*ports)
    assert (told.step != 0) == (told.nat is Nat.SEQUENTIAL)
    assert abs(told.step) <= LONGEST_STEP
    assert all(0 < port < 65_536 for port in told.predicted)
    assert (told.reflexive is None) == (not any(port is not None for port in ports))
