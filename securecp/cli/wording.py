"""What is offered, delivered and left out, in words; the same for `send` and `receive`.

Pure functions. Every name passes through `cli.text`, and the size stands before any name.
"""

from collections.abc import Sequence

from securecp.cli import units
from securecp.cli.text import listed, quoted, safe_text
from securecp.events import Done, Offered

_FAILURES_SHOWN = 20
_RENAMES_SHOWN = 5


def offer_words(event: Offered) -> str:
    """`3 files, 2 folders, 1.2 GB: "a", "b"`; the size stands before any name."""
    what = f"{counted(event)}, {how_large(event)}"
    return f"{what}: {listed(event.names)}" if event.names else what


def counted(event: Offered) -> str:
    """`3 files, 2 folders, 1 link`."""
    parts = [units.count(event.files, "file")]
    folders = event.entries - event.files - event.links
    if folders > 0:
        parts.append(units.count(folders, "folder"))
    if event.links:
        parts.append(units.count(event.links, "link"))
    return ", ".join(parts)


def how_large(event: Offered) -> str:
    """The size; of a stream nobody knows it."""
    return "size not known: a stream" if event.stream else units.size(event.size)


def done_words(event: Done, name: str, *, sending: bool) -> str:
    """`delivered 5 files, 1.2 GB to bob in 3 s (88 MB/s); 1.1 GB needed not be sent`."""
    verb, side = ("delivered", "to") if sending else ("received", "from")
    what = f"{verb} {units.count(event.files, 'file')}, {units.size(event.size)} {side} {name}"
    if event.size and event.saved >= event.size and event.present >= event.files:
        return f"{what}: all of it was there already"
    moved = max(event.size - event.saved, 0)
    took = f" in {units.duration(event.seconds)}"
    pace = f" ({units.rate(moved / event.seconds)})" if event.seconds > 0 and moved else ""
    saved = ""
    if event.saved:
        saved = f"; {units.size(event.saved)} needed not be sent" if moved else "; nothing was sent"
    return f"{what}{took}{pace}{saved}"


def done_lines(event: Done) -> list[str]:
    """What else there is to know of a transfer that is complete, a line each."""
    lines = [
        f"{quoted(old)} was taken: it is {quoted(new)} now"
        for old, new in event.renamed[:_RENAMES_SHOWN]
    ]
    if len(event.renamed) > _RENAMES_SHOWN:
        lines.append(f"{len(event.renamed) - _RENAMES_SHOWN:,} more have other names, too")
    if 0 < event.present and event.saved < event.size:
        were = "was" if event.present == 1 else "were"
        lines.append(f"{units.count(event.present, 'file')} {were} there already")
    if event.skipped:
        lines.append(f"{units.count(event.skipped, 'file')} skipped: already there")
    return lines


def failed_lines(failed: Sequence[tuple[bytes, str]]) -> list[str]:
    """One line for each file that did not make it, up to a bearable number."""
    lines = [
        f"left out: {quoted(name)}: {safe_text(reason)}"
        for name, reason in failed[:_FAILURES_SHOWN]
    ]
    if len(failed) > _FAILURES_SHOWN:
        lines.append(f"left out: {len(failed) - _FAILURES_SHOWN:,} more")
    return lines
