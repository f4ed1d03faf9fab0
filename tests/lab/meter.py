"""What reaches a node, and what programs cost, looked at 50 times a second."""

import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

from tests.lab.programs import Program
from tests.lab.topology import Lab

EVERY = 0.02


class Cost(NamedTuple):
    """What a process holds and has used."""

    cpu: float
    files: int
    threads: int


class Meter:
    """Looks at the receiver's device and at the programs until stopped."""

    def __init__(self, lab: Lab, node: str, programs: dict[str, Program], flowing: float) -> None:
        """`flowing`: bytes between two looks that are content; less is probes and the like."""
        self.came: list[tuple[float, int]] = []
        self.costs: dict[str, list[tuple[float, Cost]]] = {name: [] for name in programs}
        self._programs = programs
        self._flowing = flowing
        self._device = lab.nodes[node].device
        self._over = threading.Event()
        with lab.inside(node):  # once opened, it stays that namespace's
            self._file = os.open("/proc/thread-self/net/dev", os.O_RDONLY)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._file)

    def gap(self, start: float, end: float) -> tuple[float, float]:
        """The longest time without content between the two, and when it was over."""
        longest, over, last = 0.0, start, start
        for (_, before), (at, now) in zip(self.came, self.came[1:], strict=False):
            if start <= at <= end and now - before >= self._flowing:
                if at - last > longest:
                    longest, over = at - last, at
                last = at
        return (end - last, end) if end - last > longest else (longest, over)

    def busy(self, name: str, start: float, end: float) -> float:
        """The share of a core that a program used between the two."""
        costs = [(at, cost) for at, cost in self.costs[name] if start <= at <= end]
        if len(costs) < 2:
            return 0.0
        (first, before), (last, after) = costs[0], costs[-1]
        return (after.cpu - before.cpu) / (last - first)

    def held(self, name: str, at: float) -> Cost | None:
        """What it held then."""
        return next((cost for when, cost in reversed(self.costs[name]) if when <= at), None)

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            now = time.monotonic()
            text = os.pread(self._file, 4096, 0).decode()
            line = next((one for one in text.splitlines() if f"{self._device}:" in one), None)
            if line is not None:
                self.came.append((now, int(line.partition(":")[2].split()[0])))
            for name, program in self._programs.items():
                cost = _cost(program.process.pid)
                if cost is not None:
                    self.costs[name].append((now, cost))


def _cost(pid: int) -> Cost | None:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
    ticks = int(words[11]) + int(words[12])
    return Cost(ticks / os.sysconf("SC_CLK_TCK"), files, int(words[17]))
