"""What a process holds: memory, open files, threads."""

import os
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    """At one moment."""

    memory: int
    """Bytes that are resident."""
    files: int
    tasks: int


def usage(pid: int) -> Usage:
    """Of a process that runs."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage(
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(os.listdir(f"/proc/{pid}/fd")),
        len(os.listdir(f"/proc/{pid}/task")),
    )


def growth(name: str, before: list[Usage], after: list[Usage], memory: int) -> list[str]:
    """What has grown between two groups of moments, judged by the least of each: work in hand
    comes and goes, a leak stays."""
    words = []
    for what, allowed in (("memory", memory), ("files", 2), ("tasks", 2)):
        first = min(getattr(each, what) for each in before)
        last = min(getattr(each, what) for each in after)
        if last > first + allowed:
            words.append(f"{name}: {what} grew from {first:,} to {last:,}")
    return words
