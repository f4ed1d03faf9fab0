"""Figures as a table: for the terminal, and as Markdown."""

from collections.abc import Iterable
from math import isfinite

from tests.bench.figures import Row, reached, rows, verdict
from tests.bench.items import MIB, Goal, Item
from tests.bench.results import Line

HEAD = (
    "program", "runs", "seconds (least–most)", "Mbit/s", "ours ÷ theirs", "CPU s", "MiB", "wire",
)  # fmt: skip
LEGEND = (
    "medians of whole jobs; ours ÷ theirs: median of the ratios of seconds, below 1 we are faster;"
    " CPU s and peak MiB: sender + receiver; wire: bytes sent into the link ÷ bytes of the files;"
    " *: disturbed by other programs, or the emulator was late"
)


def cells(item: Item, row: Row) -> tuple[str, ...]:
    """One row of the table, a text for each of HEAD."""
    runs = f"{row.used}/{row.runs}" + ("*" if row.disturbed else "")
    if row.seconds is None:
        about = f"gave up; about {row.estimate:,.0f}" if row.estimate else "failed"
        pace = rate(item.total, row.estimate) if row.estimate else ""
        return (row.peer, runs, about, pace, "", "", "", "")
    return (
        row.peer,
        runs,
        f"{row.seconds:.2f} ({row.least:.2f}–{row.most:.2f})",
        rate(item.total, row.seconds) if item.total > MIB else "",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        f"{row.cpu[0]:.2f} + {row.cpu[1]:.2f}",
        f"{row.memory[0] / MIB:.0f} + {row.memory[1] / MIB:.0f}",
        f"{row.wire:.3f}" if row.wire and item.total > MIB else "",
    )


def rate(size: int, seconds: float) -> str:
    """Mbit/s with three digits."""
    figure = size * 8e-6 / seconds
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def text(item: Item, lines: Iterable[Line]) -> str:
    """The table and the goals of one item, for the terminal."""
    lines = list(lines)
    table = [HEAD, *(cells(item, row) for row in rows(item, lines))]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEAD))]
    drawn = [
        "  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in table
    ]
    goals = [f"  goal: {sentence}: {result}" for sentence, result in judged(item, lines)]
    return "\n".join([item.title, *drawn, *goals])


def judged(item: Item, lines: Iterable[Line]) -> list[tuple[str, str]]:
    """Each goal as a sentence, and whether it was met."""
    lines = list(lines)
    found = []
    for goal in item.goals:
        figure = reached(item, goal, lines)
        shown = "" if figure is None else f", {figure:.3g}" if isfinite(figure) else ", never done"
        found.append((sentence(goal), verdict(goal, figure) + shown))
    return found


def sentence(goal: Goal) -> str:
    what = {
        "seconds": f"at most {goal.limit:g} s",
        "ratio": f"at most {goal.limit:g} × the time of {goal.rival}",
        "cpu": f"at most {goal.limit:g} × the CPU time of {goal.rival}",
        "wire": f"at most {goal.limit:g} bytes sent for each byte of the file",
        "memory": f"at most {goal.limit:g} MiB on either side",
    }[goal.figure]
    return f"{what} (stretch)" if goal.stretch else what


def markdown(item: Item, lines: Iterable[Line]) -> str:
    """The same, for docs/performance.md."""
    lines = list(lines)
    parts = [
        f"### {item.title} (`{item.name}`)\n",
        _row(HEAD),
        _row(["---", *["---:"] * (len(HEAD) - 1)]),
    ]
    parts += [_row(cells(item, row)) for row in rows(item, lines)]
    for sentence_, result in judged(item, lines):
        parts.append(f"\nGoal: {sentence_}: **{result}**.")
    return "\n".join(parts) + "\n"


def _row(texts: Iterable[str]) -> str:
    return "| " + " | ".join(texts) + " |"
