"""Medians, ratios and verdicts from jobs: no I/O.

A ratio is taken run by run, between jobs that followed one another and met the same losses, and
then its median: what the machine did that hour cancels out.
"""

from collections.abc import Callable, Iterable
from math import inf
from statistics import median as _median
from typing import NamedTuple

from tests.bench.items import MIB, Goal, Item
from tests.bench.results import Line

DISTURBED = 0.35
"""Cores that went to others during a job, above which it is left out, if enough others remain."""
LATE = 0.02
"""Share of packets that the emulator delivered over 1 ms late, above which the same holds."""
TICKS = 0.05
"""Seconds of CPU that the kernel's coarse counters may be wrong by."""
ENOUGH = 3


class Row(NamedTuple):
    """One program at one item."""

    peer: str
    runs: int
    used: int
    """Undisturbed and ended well, or where those are too few, all that ended well."""
    disturbed: int
    """Of those used."""
    seconds: float | None
    """Median; None if none ended well."""
    least: float
    most: float
    cpu: tuple[float, float]
    memory: tuple[int, int]
    """Highest peak of any job."""
    wire: float | None
    """Bytes sent over bytes of the files."""
    ratio: float | None
    """Our seconds over theirs."""
    ours: bool = False
    estimate: float | None = None
    """Of a program that was given up: the seconds that it would have taken at that pace."""


def disturbed(line: Line) -> bool:
    return line.other_cpu > DISTURBED * line.seconds + TICKS or line.late_share > LATE


def used(lines: Iterable[Line]) -> list[Line]:
    """Those that count: without a fault, undisturbed if enough are."""
    good = [line for line in lines if not line.fault]
    quiet = [line for line in good if not disturbed(line)]
    return quiet if len(quiet) >= min(ENOUGH, len(good)) else good


def rows(item: Item, lines: Iterable[Line], ours: str = "securecp") -> list[Row]:
    """One row for each program, fastest first."""
    by_peer: dict[str, list[Line]] = {}
    for line in lines:
        if line.item == item.name:
            by_peer.setdefault(line.peer, []).append(line)
    own = by_peer.get(ours, [])
    made = [_row(item, peer, jobs, own) for peer, jobs in by_peer.items()]
    return sorted(made, key=lambda row: row.seconds or row.estimate or inf)


def _row(item: Item, peer: str, jobs: list[Line], own: list[Line]) -> Row:
    count = used(jobs)
    ours = peer.startswith("securecp")
    if not count:
        about = estimate(item, jobs)
        return Row(peer, len(jobs), 0, 0, None, 0, 0, (0, 0), (0, 0), None, None, ours, about)
    seconds = [line.seconds for line in count]
    wires = [line.wire / item.total for line in count if line.wire]
    return Row(
        peer,
        len(jobs),
        len(count),
        sum(disturbed(line) for line in count),
        _median(seconds),
        min(seconds),
        max(seconds),
        (_median(line.cpu[0] for line in count), _median(line.cpu[1] for line in count)),
        (max(line.memory[0] for line in count), max(line.memory[1] for line in count)),
        _median(wires) if wires else None,
        None if jobs is own else ratio(own, jobs, _seconds),
        ours,
    )


def ratio(
    ours: Iterable[Line], theirs: Iterable[Line], figure: Callable[[Line], float]
) -> float | None:
    """The median of ours over theirs, of the runs that both ended well and undisturbed."""
    mine = {line.run: figure(line) for line in used(ours)}
    yours = {line.run: figure(line) for line in used(theirs)}
    pairs = [mine[run] / yours[run] for run in mine.keys() & yours.keys() if yours[run]]
    return _median(pairs) if pairs else None


def estimate(item: Item, jobs: Iterable[Line]) -> float | None:
    """Seconds for the whole, at the median pace of jobs that were given up on the way."""
    paces = [line.received / line.seconds for line in jobs if line.received and line.seconds]
    return item.total / _median(paces) if paces else None


def reached(item: Item, goal: Goal, lines: Iterable[Line]) -> float | None:
    """The figure that a goal speaks of; None if it was not measured, infinite if no job ended well.

    Of a rival under several congestion controls, the one that is hardest to beat counts.
    """
    here = [line for line in lines if line.item == item.name]
    ours = [line for line in here if line.peer == goal.peer]
    count = used(ours)
    if not count:
        return inf if ours else None
    if goal.figure in {"ratio", "cpu"}:
        figure = _cpu if goal.figure == "cpu" else _seconds
        names = {line.peer for line in here if line.peer.split(" ")[0] == goal.rival}
        found = [
            ratio(ours, [line for line in here if line.peer == name], figure) for name in names
        ]
        return max((one for one in found if one is not None), default=None)
    if goal.figure == "memory":
        return max(max(line.memory) for line in count) / MIB
    if goal.figure == "wire":
        return _median(line.wire / item.total for line in count)
    return _median(line.seconds for line in count)


def _seconds(line: Line) -> float:
    return line.seconds


def _cpu(line: Line) -> float:
    return sum(line.cpu)


def verdict(goal: Goal, figure: float | None) -> str:
    if figure is None:
        return "not measured"
    return "met" if figure <= goal.limit else "NOT met"
