"""What can come of it, given what both sides know of their NATs: a pure function (SPEC §12.5).

one easy, other hard or sequential    the easy one guesses, the other opens a fan of doors
both easy                             probes do it; if not, fresh doors; if not, both guess
both sequential                       ports are predicted; if that fails, those of fresh doors
else neither easy                     only what is mapped, IPv6, or the same network; else the relay

That both guess in the end is for a NAT that takes another port for each address, and whose servers
have but one: it looks easy and is not.
"""

from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple

from securecp.nat.candidate import Candidate, Kind
from securecp.nat.envelope import View
from securecp.nat.sampling import Nat

_MOVES = {Nat.SEQUENTIAL, Nat.HARD}
"""Each destination is sent to from another port."""


class Part(Enum):
    """What is ours when ports must be guessed."""

    NONE = auto()
    GUESS = auto()
    FAN = auto()
    BOTH = auto()


class Prospects(NamedTuple):
    """What to try, and whether it is worth waiting for."""

    part: Part
    hopeless: bool
    """Only the relay is left, as far as both know."""
    repairable: bool
    """Fresh doors are worth a try if probes fail: both NATs keep their ports, or both count."""


def judge(
    ours: View,
    theirs: View,
    our_candidates: Iterable[Candidate],
    their_candidates: Iterable[Candidate],
    *,
    neighbours: bool,
    last_resort: bool = False,
) -> Prospects:
    """`neighbours`: both are seen at one public address; `last_resort`: all else has failed."""
    mine, yours = list(our_candidates), list(their_candidates)
    both6 = all(any(":" in one.address for one in side) for side in (mine, yours))
    mapped = any(one.kind is Kind.MAPPED for one in (*mine, *yours))
    classes = {ours.nat, theirs.nat}
    if Nat.NO_UDP in classes:
        return Prospects(Part.NONE, hopeless=not (both6 or neighbours), repairable=False)
    we_move, they_move = ours.nat in _MOVES, theirs.nat in _MOVES
    part = Part.NONE
    if they_move and not we_move:
        part = Part.GUESS
    elif we_move and not they_move:
        part = Part.FAN
    elif last_resort and not we_move and not neighbours:
        part = Part.BOTH
    predictable = classes == {Nat.SEQUENTIAL}
    hopeless = we_move and they_move and not (predictable or mapped or both6 or neighbours)
    repairable = predictable or not (we_move or they_move)
    return Prospects(part, hopeless=hopeless, repairable=repairable)
