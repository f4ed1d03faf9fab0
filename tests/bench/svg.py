"""Horizontal bars as SVG: a picture that a README can show, light or dark. No I/O.

Each group has a scale of its own, from zero. A program that was given up has a pale bar of full
length, with its words inside.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH = 800
LABELS = 170
"""Where bars begin, in pixels from the left."""
LONGEST = 480
ROW = 22
THICK = 14
HEADING = 34
EDGE = 16

STYLE = """
  text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #24292f }
  .paper { fill: #ffffff } .title { font-size: 17px; font-weight: 600 }
  .heading { font-weight: 600 } .note { fill: #59636e }
  .bar { fill: #a8b1bb } .ours { fill: #0969da } .open { fill: #e6e9ec }
  .us { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .paper { fill: #0d1117 } .note { fill: #9198a1 }
    .bar { fill: #59636e } .ours { fill: #4493f8 } .open { fill: #262c36 }
  }
"""


class Bar(NamedTuple):
    """One program: `length` in the unit of the group, None if it was given up."""

    label: str
    length: float | None
    text: str
    ours: bool = False


class Group(NamedTuple):
    """Bars with one scale."""

    heading: str
    bars: Sequence[Bar]


def draw(title: str, note: str, groups: Sequence[Group]) -> str:
    """The whole picture as the text of an SVG file."""
    parts: list[str] = []
    y = EDGE + 18
    parts.append(_text(EDGE, y, title, "title"))
    y += 20
    parts.append(_text(EDGE, y, note, "note"))
    for group in groups:
        y += HEADING
        parts.append(_text(EDGE, y, group.heading, "heading"))
        y += 8
        longest = max((bar.length for bar in group.bars if bar.length is not None), default=0.0)
        for bar in group.bars:
            parts += _bar(bar, y, longest)
            y += ROW
    height = y + EDGE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="6"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _bar(bar: Bar, y: int, longest: float) -> list[str]:
    """Label, bar and figure of one program, in the row that begins at `y`."""
    share = bar.length / longest if bar.length is not None and longest else 1.0
    length = max(1.5, share * LONGEST)
    kind = "open" if bar.length is None else "ours" if bar.ours else "bar"
    middle = y + ROW // 2 + 4
    us = "us" if bar.ours else ""
    after = LABELS + (10 if bar.length is None else length + 6)
    return [
        _text(LABELS - 8, middle, bar.label, us, anchor="end"),
        f'<rect class="{kind}" x="{LABELS}" y="{y + (ROW - THICK) // 2}"'
        f' width="{length:.1f}" height="{THICK}" rx="2"/>',
        _text(after, middle, bar.text, us),
    ]


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
