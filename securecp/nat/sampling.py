"""What kind of NAT stands before a door of ours, told from how servers see it.

    all servers see one endpoint                      easy: peers will see the same
    another port for each, one step apart             sequential: the next ports can be told
    anything else                                     hard: peers see a port that nobody knows
    silence everywhere                                no UDP

What cannot be told: with one server address, a NAT whose port depends on the peer's address alone
looks easy; with one endpoint, nothing is known. How a NAT filters is not asked, as it changes
nothing of what we do. And a NAT that gives out its ports in sequence, but each to whoever comes
next, is only as predictable as it is quiet.
"""

from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise
from math import gcd
from typing import Final, NamedTuple

from securecp.endpoint import Endpoint

LONGEST_STEP: Final = 16
STRANGERS: Final = 8
"""Ports that others may have taken between two of our samples, in a sequence that we still see."""
PREDICTED: Final = 8


class Nat(IntEnum):
    """How a NAT gives out ports, in the numbers of the wire."""

    UNKNOWN = 0
    EASY = 1
    SEQUENTIAL = 2
    HARD = 3
    NO_UDP = 4


class Sample(NamedTuple):
    """One answer: whom we asked, and from which endpoint the request came there."""

    server: Endpoint
    seen: Endpoint
    order: int
    """When it was first asked: 0 for the first server endpoint, and no number left out."""


class NatView(NamedTuple):
    """What the samples of one door come to."""

    nat: Nat
    reflexive: Endpoint | None = None
    """Where peers see us if the NAT is easy; else the last known."""
    preserved: bool = False
    """Whether the NAT keeps our own port number."""
    step: int = 0
    predicted: tuple[int, ...] = ()
    """The ports that a sequential NAT gives out next, the next one first."""
    addresses: int = 0
    """How many server addresses have answered; with one, `EASY` may be wrong."""


def classify(samples: Sequence[Sample], port: int, *, asked: int = 0) -> NatView:
    """The view from a door with this local port that has asked `asked` server endpoints in all."""
    if not samples:
        return NatView(Nat.UNKNOWN)
    ordered = sorted(samples, key=lambda sample: sample.order)
    nat, step = _kind(ordered)
    last = ordered[-1]
    # On a hard NAT any endpoint is as good: the first is the one that stays the same.
    shown = last if nat is Nat.SEQUENTIAL else ordered[0]
    return NatView(
        nat,
        shown.seen,
        all(sample.seen.port == port for sample in ordered),
        step,
        _predict(last, step, asked) if step else (),
        len({sample.server.address for sample in ordered}),
    )


def _kind(samples: Sequence[Sample]) -> tuple[Nat, int]:
    if len({sample.server[:2] for sample in samples}) < 2:
        return Nat.UNKNOWN, 0
    if len({sample.seen[:2] for sample in samples}) == 1:
        return Nat.EASY, 0
    step = _step(samples)
    return (Nat.SEQUENTIAL, step) if step else (Nat.HARD, 0)


def _step(samples: Sequence[Sample]) -> int:
    """The one step that explains all ports, if there is one; else 0.

    Between two samples there lie as many steps as requests were sent, lost answers among them, and
    one more for each port that somebody else took. Of several steps that would do it is the
    longest, so that a sequence of even ports has the step 2.
    """
    if len({sample.seen.address for sample in samples}) > 1:
        return 0
    apart = [(b.seen.port - a.seen.port, b.order - a.order) for a, b in pairwise(samples)]
    if not (all(ports > 0 for ports, _ in apart) or all(ports < 0 for ports, _ in apart)):
        return 0
    common = gcd(*(ports for ports, _ in apart))
    longest = min(LONGEST_STEP, *(abs(ports) // requests for ports, requests in apart))
    step = max((n for n in range(1, longest + 1) if common % n == 0), default=0)
    if any(abs(ports) > step * (requests + STRANGERS) for ports, requests in apart):
        return 0
    return step if apart[0][0] > 0 else -step


def _predict(last: Sample, step: int, asked: int) -> tuple[int, ...]:
    """The ports after the last one seen, without those that unanswered requests have used up."""
    used = max(asked - 1 - last.order, 0)
    first = last.seen.port + step * (used + 1)
    ports = range(first, first + step * PREDICTED, step)
    return tuple(port for port in ports if 0 < port < 65_536)
