"""One JSON line for every job: written as soon as it ends, read again to go on or to report."""

import json
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench import machine
from tests.bench.items import ITEMS, Item
from tests.bench.jobs import Result
from tests.bench.peers.peer import Peer

RESULTS = Path(".bench/jobs.jsonl")


class Line(NamedTuple):
    """One job, as figures need it; sizes in bytes, times in seconds."""

    item: str
    peer: str
    run: int
    """Jobs of one run met the same losses, one after the other: only they are compared."""
    seconds: float
    cpu: tuple[float, float]
    """Sender's, receiver's."""
    memory: tuple[int, int]
    wire: int
    """Bytes sent into the link; 0 if not known."""
    fault: str = ""
    received: int = 0
    other_cpu: float = 0.0
    late_ms: float = 0.0
    late_share: float = 0.0
    queue_ms: float = 0.0
    time: int = 0
    """When it was written, in seconds since 1970."""
    machine: str = ""
    revision: str = ""


def write(path: Path, item: Item, peer: Peer, run: int, result: Result) -> Line:
    """Append a job; every field of it is kept, also those that no table shows yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "time": int(time.time()),
        "item": item.name,
        "bytes": item.total,
        "peer": peer.label,
        "run": run,
        "machine": machine.describe(),
        "revision": revision(),
        **asdict(result),
        "link": result.link._asdict() if result.link else None,
    }
    with path.open("a") as file:
        file.write(json.dumps(content) + "\n")
    return parse(content)


def parse(content: dict[str, Any]) -> Line:
    link = content["link"] or {}
    sides = (content["sender"], content["receiver"])
    return Line(
        item=content["item"],
        peer=content["peer"],
        run=content["run"],
        seconds=content["seconds"],
        cpu=(sides[0]["cpu"], sides[1]["cpu"]),
        memory=(sides[0]["memory"], sides[1]["memory"]),
        wire=link.get("sent", 0),
        fault=content["fault"],
        received=content["received"],
        other_cpu=content["other_cpu"],
        late_ms=link.get("late_ms", 0.0),
        late_share=link.get("late_share", 0.0),
        queue_ms=link.get("queue_ms", 0.0),
        time=content["time"],
        machine=content["machine"],
        revision=content["revision"],
    )


@cache
def revision() -> str:
    """What git calls this state of the project."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def read(paths: Iterable[Path]) -> list[Line]:
    """All jobs of these files, those of items that are no more left out."""
    lines = []
    for path in paths:
        if path.exists():
            lines += [parse(json.loads(text)) for text in path.read_text().splitlines() if text]
    return [line for line in lines if line.item in ITEMS]
