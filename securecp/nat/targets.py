"""Where probes may go, of all that a peer says of itself: pure functions (RV-05, RL-10).

A contact can name anybody's endpoint, and its probes are ours to send. So addresses that mean
nobody, or somebody in our own network, are out; our own and the servers' as well; and ports are
guessed at no address but one at which the peer is seen, and so often only (`Budget`).
"""

from collections.abc import Iterable
from typing import NamedTuple

from securecp.endpoint import Endpoint
from securecp.nat.candidate import Candidate, Kind, canonical, screen
from securecp.nat.sampling import Nat
from securecp.nat.situation import Situation


def targets(
    ours: Situation,
    known: Iterable[Candidate],
    candidates: Iterable[Candidate],
    own: Iterable[Endpoint],
) -> list[tuple[Endpoint, str]]:
    """Endpoints to probe, each with the kind of its candidate, in the order in which to begin.

    `known` is all that the peer has said of itself; `own` are endpoints of ours and of servers.
    """
    refused = [*own, *(Endpoint(one.address, one.port) for one in ours.candidates)]
    chosen = screen(candidates, same_public=ours.neighbours(known), refused=refused)
    if ours.view.nat is Nat.SEQUENTIAL:
        # Each new destination takes our next port: those must come first that count on it.
        chosen.sort(key=lambda one: one.kind is not Kind.PREDICTED)
    return [
        (Endpoint(one.address, one.port, door), one.kind.name.lower())
        for one in chosen
        if (door := ours.doors.get(":" in one.address)) is not None
    ]


class Mark(NamedTuple):
    """Where ports are guessed, and where a fan of doors probes."""

    endpoint: Endpoint
    ports: list[int]
    """Of this address, as servers saw them."""


def mark(ours: Situation, known: Iterable[Candidate], own: Iterable[Endpoint]) -> Mark | None:
    """The peer's address for guessing: IPv4, one that the world sees, not ours and no server's."""
    theirs = tuple(known)
    door = ours.doors.get(False)
    others = {canonical(one.address) for one in own}
    seen = [
        one
        for one in screen(theirs, same_public=ours.neighbours(theirs))
        if one.kind in {Kind.REFLEXIVE, Kind.PREDICTED}
        and ":" not in one.address
        and one.address not in others
    ]
    if door is None or not seen:
        return None
    first = seen[0]
    ports = [one.port for one in seen if one.address == first.address]
    return Mark(Endpoint(first.address, first.port, door), ports)
