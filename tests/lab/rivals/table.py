"""The matrix with rivals: what each did between the same homes."""

import statistics
from pathlib import Path

from tests.lab import pairs
from tests.lab.matrix import Cell
from tests.lab.namespaces import requirements
from tests.lab.pairs import Options, Outcome
from tests.lab.rivals.install import PACKAGES, python
from tests.lab.rivals.meeting import PATIENCE, RIVALS, attempt, unable

NONE = "–"
SIGNALS = {
    "free": "their signals arrive after twice the delay, always, with nothing to be connected",
    "tcp": "their signals go over TCP through a server, which they have to connect to first",
}
ENOUGH = 3
"""Failures, and nothing else, after which a rival is not tried again between the same homes."""


def main(
    cells: list[Cell],
    options: Options,
    runs: int,
    stories: Path | None = None,
    signals: str = "free",
) -> int:
    """Print it; whether any attempt of ours failed."""
    interpreter, why = python()
    names = [rival.name for rival in RIVALS] if interpreter else []
    versions = ", ".join(f"{name} {version}" for name, version in PACKAGES.items())
    print(f"rivals: {versions}; {SIGNALS[signals]}" if interpreter else f"no rivals: {why}")
    print(
        f"{options.delay * 1000:g} ms one way, {options.loss:.0%} lost, {runs} runs each; "
        f"direct paths only, median / p95; rivals have {PATIENCE:g} s\n"
    )
    heads = ["cell", "expected", "securecp", "how", *names]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    bad = 0
    for cell in cells:
        if lacking := requirements(*cell.tools):
            print(f"| {cell.name} | {cell.expected} | not tried: {lacking} |", flush=True)
            continue
        ours = [pairs.attempt(cell, options, run % 2 == 1) for run in range(runs)]
        bad += sum(not each.good for each in ours)
        ways = ", ".join(sorted({each.how for each in ours}))
        words = [cell.name, cell.expected, shown(ours), ways]
        if interpreter:
            words += _rivals(interpreter, cell, options, runs, stories, signals)
        print(f"| {' | '.join(words)} |", flush=True)
    return min(bad, 1)


def _rivals(
    interpreter: Path, cell: Cell, options: Options, runs: int, stories: Path | None, signals: str
) -> list[str]:
    words = []
    for rival in RIVALS:
        if why := unable(cell):
            words.append(f"{NONE} ({why})")
            continue
        outcomes: list[Outcome] = []
        while len(outcomes) < runs and not hopeless(outcomes):
            swapped = len(outcomes) % 2 == 1
            outcomes.append(attempt(rival, interpreter, cell, options, swapped, signals))
        words.append(shown(outcomes))
        if stories:
            with stories.open("a") as file:
                file.writelines(
                    f"== {cell.name} {rival.name}\n{each.story}\n\n"
                    for each in outcomes
                    if not each.good
                )
    return words


def hopeless(outcomes: list[Outcome]) -> bool:
    """Whether to leave it at that: failures wait long, and nothing else has been seen."""
    return len(outcomes) >= ENOUGH and not any(each.good for each in outcomes)


def shown(outcomes: list[Outcome]) -> str:
    """Success, and times where there are any: `5/5, 130 / 152 ms`."""
    times = sorted(1000 * each.seconds for each in outcomes if each.seconds is not None)
    good = f"{sum(each.good for each in outcomes)}/{len(outcomes)}"
    if not times:
        return good
    late = times[min(len(times) - 1, int(0.95 * len(times)))]
    return f"{good}, {statistics.median(times):.0f} / {late:.0f} ms"
