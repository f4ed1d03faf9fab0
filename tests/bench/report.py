"""`make report`: put the figures of the JSON lines into docs/performance.md, and draw them.

Only what stands between `<!-- measured: NAME -->` and `<!-- end -->` is replaced; the words around
it are written by hand.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.bench import results, svg, tables
from tests.bench.figures import Row, rows
from tests.bench.items import ITEMS, Item
from tests.bench.results import Line

DOCS = Path("docs")
PAGE = DOCS / "performance.md"
MARKED = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


class Section(NamedTuple):
    """Items that stand together, in the page and in a picture."""

    title: str
    items: tuple[str, ...]


SECTIONS = {
    "bulk": Section("One large file on a fast path", ("1g", "1g-veth")),
    "links": Section(
        "One file over long and lossy links", ("64m-wan", "64m-loss1", "64m-loss5", "128m-long")
    ),
    "small": Section("Many small files, and one", ("tree", "tree-wan", "1k", "1k-wan")),
    "buffers": Section("Socket buffers", ("1g-stock",)),
    "memory": Section("Memory", ("8g-sparse",)),
}
DRAWN = ("bulk", "links", "small")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make report", description=__doc__)
    parser.add_argument("results", nargs="*", type=Path, default=[results.RESULTS])
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    lines = results.read(options.results)
    if not lines:
        parser.error("nothing was measured yet: make bench, make bench-wan")
    page: Path = options.page
    page.write_text(filled(page.read_text(), lines))
    for name in DRAWN:
        if picture := drawn(SECTIONS[name], lines):
            page.with_name(f"{name}.svg").write_text(picture)
    return 0


def filled(page: str, lines: list[Line]) -> str:
    """The page with every marked place filled anew; a place with nothing measured is left."""
    blocks: dict[str, Callable[[], str]] = {
        "goals": lambda: goals(lines),
        "machine": lambda: machines(lines),
    }
    for name, section in SECTIONS.items():
        blocks[name] = lambda section=section: measured(section, lines)  # type: ignore[misc]

    def fill(match: re.Match[str]) -> str:
        block = blocks[match[2]]()
        return f"{match[1]}\n{block}\n{match[3]}" if block else match[0]

    return MARKED.sub(fill, page)


def measured(section: Section, lines: list[Line]) -> str:
    return "\n".join(tables.markdown(item, lines) for item in present(section, lines))


def goals(lines: list[Line]) -> str:
    """One row for each goal of each item."""
    table = ["| item | goal | result |", "| --- | --- | --- |"]
    for item in ITEMS.values():
        for goal, result in tables.judged(item, lines):
            table.append(f"| {item.title} | {goal} | {result} |")
    return "\n".join(table) + "\n"


def machines(lines: list[Line]) -> str:
    """Where and when, and which securecp."""
    days = sorted({time.strftime("%Y-%m-%d", time.gmtime(line.time)) for line in lines})
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    where = "; ".join(sorted({line.machine for line in lines}))
    revisions = sorted({line.revision for line in lines if line.peer.startswith("securecp")})
    return f"{where}. Measured {span}, at revision {', '.join(revisions)}.\n"


def present(section: Section, lines: list[Line]) -> list[Item]:
    return [ITEMS[name] for name in section.items if any(line.item == name for line in lines)]


def drawn(section: Section, lines: list[Line]) -> str:
    """The section as a picture; empty if nothing of it was measured."""
    groups = [
        svg.Group(item.title, [bar(row) for row in rows(item, lines)])
        for item in present(section, lines)
    ]
    note = "seconds for the whole job, both programs' start included: median; shorter is better"
    return svg.draw(section.title, note, groups) if groups else ""


def bar(row: Row) -> svg.Bar:
    if row.seconds is None:
        about = f"given up, about {row.estimate:,.0f} s" if row.estimate else "failed"
        return svg.Bar(row.peer, None, about, row.ours)
    return svg.Bar(row.peer, row.seconds, f"{row.seconds:.2f}", row.ours)


if __name__ == "__main__":
    sys.exit(main())
