"""What is tried, for each pair of NATs (SPEC §12.5)."""

from itertools import product

import pytest

from securecp.nat.candidate import Candidate, Kind
from securecp.nat.envelope import View
from securecp.nat.prospects import Part, Prospects, judge
from securecp.nat.sampling import Nat

KEEP = (Nat.UNKNOWN, Nat.EASY)
MOVE = (Nat.SEQUENTIAL, Nat.HARD)


def of(
    ours: Nat, theirs: Nat, *kinds: str, neighbours: bool = False, last_resort: bool = False
) -> Prospects:
    mine = [Candidate(Kind.REFLEXIVE, "11.0.1.1", 1)]
    yours = [Candidate(Kind.REFLEXIVE, "11.0.2.1", 1)]
    if "mapped" in kinds:
        yours.append(Candidate(Kind.MAPPED, "11.0.2.1", 2))
    if "ipv6" in kinds:
        mine.append(Candidate(Kind.HOST, "2600::1", 1))
    if "ipv6" in kinds or "their ipv6" in kinds:
        yours.append(Candidate(Kind.HOST, "2600::2", 1))
    return judge(
        View(ours, 0, 0, ipv6=False), View(theirs, 0, 0, ipv6=False), mine, yours,
        neighbours=neighbours, last_resort=last_resort,
    )  # fmt: skip


@pytest.mark.parametrize(("one", "other"), list(product(KEEP, MOVE)))
def test_one_side_guesses_and_the_other_opens_a_fan(one: Nat, other: Nat) -> None:
    assert of(one, other) == Prospects(Part.GUESS, hopeless=False, repairable=False)
    assert of(other, one) == Prospects(Part.FAN, hopeless=False, repairable=False)


@pytest.mark.parametrize(("one", "other"), list(product(KEEP, KEEP)))
def test_two_that_keep_their_ports_are_repaired_and_then_guess(one: Nat, other: Nat) -> None:
    assert of(one, other) == Prospects(Part.NONE, hopeless=False, repairable=True)
    assert of(one, other, last_resort=True).part is Part.BOTH
    assert of(one, other, last_resort=True, neighbours=True).part is Part.NONE


def test_two_that_move_have_only_the_relay() -> None:
    for one, other in product(MOVE, MOVE):
        both = {one, other} == {Nat.SEQUENTIAL}
        assert of(one, other) == Prospects(Part.NONE, hopeless=not both, repairable=both)
        for way_out in ("mapped", "ipv6"):
            assert not of(one, other, way_out).hopeless
        assert of(one, other, "their ipv6").hopeless != both
        assert not of(one, other, neighbours=True).hopeless
        assert of(one, other, last_resort=True).part is Part.NONE


def test_without_udp_there_is_no_hope_but_in_one_network() -> None:
    for other in Nat:
        for pair in ((Nat.NO_UDP, other), (other, Nat.NO_UDP)):
            assert of(*pair) == Prospects(Part.NONE, hopeless=True, repairable=False)
            assert not of(*pair, neighbours=True).hopeless
            assert not of(*pair, "ipv6").hopeless
