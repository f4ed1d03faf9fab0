"""What a letter says of our own network, from what was found out (SPEC §12.2)."""

import pytest

from securecp.endpoint import Endpoint
from securecp.nat.candidate import MOST_CANDIDATES, Candidate, Kind
from securecp.nat.envelope import View
from securecp.nat.sampling import Nat, NatView, Sample, classify
from securecp.nat.situation import Facts, Situation, describe

SERVERS = [Endpoint("11.0.113.1", port) for port in (3_478, 3_479)]


def facts(*ports: int, address: str = "11.0.2.1", **more: object) -> Facts:
    """With one door of port 40,000, that these ports were seen of."""
    samples = [
        Sample(server, Endpoint(address, port), order)
        for order, (server, port) in enumerate(zip(SERVERS, ports, strict=False))
    ]
    view = classify(samples, 40_000, asked=2) if samples else NatView(Nat.UNKNOWN)
    return Facts(
        {False: 0}, {0: view}, {0: samples}, ("192.168.1.10",), {False: 40_000}, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def kinds(situation: Situation, kind: Kind) -> list[tuple[str, int]]:
    return [one.endpoint for one in situation.candidates if one.kind is kind]


def test_an_easy_nat_shows_one_endpoint() -> None:
    said = describe(facts(40_000, 40_000))
    assert said.view == View(Nat.EASY, 0, 0, ipv6=False)
    assert kinds(said, Kind.REFLEXIVE) == [("11.0.2.1", 40_000)]
    assert kinds(said, Kind.HOST) == [("192.168.1.10", 40_000)]


def test_a_sequential_nat_shows_what_comes_next_and_nothing_that_was() -> None:
    said = describe(facts(20_000, 20_001))
    assert said.view.nat is Nat.SEQUENTIAL
    assert said.view.step == 1
    assert kinds(said, Kind.PREDICTED) == [("11.0.2.1", port) for port in range(20_002, 20_010)]
    assert not kinds(said, Kind.REFLEXIVE)
    assert kinds(said, Kind.HOST)  # not crowded out


def test_a_hard_nat_shows_what_was_seen() -> None:
    said = describe(facts(20_000, 33_333))
    assert said.view.nat is Nat.HARD
    assert kinds(said, Kind.REFLEXIVE) == [("11.0.2.1", 20_000), ("11.0.2.1", 33_333)]


def test_silence_is_no_udp_only_after_a_while() -> None:
    assert describe(facts()).view.nat is Nat.UNKNOWN
    assert describe(facts(silent=True)).view.nat is Nat.NO_UDP
    assert describe(facts(40_000, 40_000, silent=True)).view.nat is Nat.EASY


def test_unseen_by_stun_it_shows_where_our_connection_comes_from() -> None:
    said = describe(facts(silent=True, observed=("11.0.2.1", "11.0.2.1")))
    assert kinds(said, Kind.REFLEXIVE) == [("11.0.2.1", 40_000)]
    seen = describe(facts(41_000, 41_000, observed=("11.0.2.9",)))
    assert kinds(seen, Kind.REFLEXIVE) == [("11.0.2.1", 41_000)]


def test_a_machine_with_many_networks_says_what_matters_first() -> None:
    many = tuple(f"10.{n}.0.1" for n in range(50)) + tuple(f"2600::{n:x}" for n in range(50))
    door = facts(20_000, 20_001)
    said = describe(
        door._replace(
            doors={False: 0, True: 1}, addresses=many, ports={False: 40_000, True: 40_000},
            views={**door.views, 1: NatView(Nat.UNKNOWN)}, samples={**door.samples, 1: []},
            mapped=(Endpoint("100.64.0.1", 50_000),),
        )
    )  # fmt: skip
    assert len(said.candidates) <= MOST_CANDIDATES
    assert said.candidates[0] == Candidate(Kind.MAPPED, "100.64.0.1", 50_000)
    assert len(kinds(said, Kind.PREDICTED)) == 8
    assert len([one for one in kinds(said, Kind.HOST) if ":" in one[0]]) == 4
    assert said.view.ipv6


def test_limits_of_a_letter_are_kept() -> None:
    said = describe(facts(40_000, 40_000, rtt=1e6))
    assert said.view.rtt == 65_535


def candidate(address: str, kind: Kind = Kind.REFLEXIVE) -> Candidate:
    return Candidate(kind, address, 1)


@pytest.mark.parametrize(
    ("ours", "theirs", "near"),
    [
        ("11.0.2.1", [candidate("11.0.2.1")], True),
        ("11.0.2.1", [candidate("11.0.2.1", Kind.PREDICTED)], True),
        ("11.0.2.1", [candidate("11.0.2.1", Kind.HOST)], False),
        ("11.0.2.1", [candidate("11.0.2.1", Kind.MAPPED)], False),
        ("11.0.2.1", [candidate("11.0.1.1")], False),
        ("11.0.2.1", [candidate("10.0.0.1")], False),
        ("11.0.2.1", [], False),
        ("10.0.0.9", [candidate("192.168.1.1")], True),  # by a server within a company
        ("10.0.0.9", [candidate("11.0.1.1")], False),
    ],
)
def test_rv05_neighbours_are_seen_at_one_address(
    ours: str, theirs: list[Candidate], near: bool
) -> None:
    assert describe(facts(1, 1, address=ours)).neighbours(theirs) is near


def test_rv05_nobody_is_a_neighbour_of_who_was_not_seen() -> None:
    assert not describe(facts(silent=True)).neighbours([])
    assert not describe(facts(silent=True)).neighbours([candidate("11.0.1.1")])
