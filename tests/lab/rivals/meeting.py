"""Two ends of a rival in a laboratory of their own, and how long it takes them to meet.

Time runs from when both have been told to start, everything loaded, until both say that they are
connected: ICE has nominated a pair, or a QUIC handshake is complete, so the path works both ways.
"""

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.lab.matrix import Cell, build
from tests.lab.pairs import PORT, STARTING, Options, Outcome
from tests.lab.programs import Program
from tests.lab.rivals.courier import Courier, Deliver, Free, Tcp
from tests.lab.topology import SRV, SRV_TOO, Lab, kill
from tests.lab.usernet import ROOT

PATIENCE = 8.0
"""Seconds, after which no path is expected any more. Our own guessing has as much."""

_ALONE = {"same-lan-no-server", "same-lan-no-internet"}

Carried = Callable[[Deliver], Courier]


class Rival(NamedTuple):
    """A program to be compared with."""

    name: str
    module: str
    stun: bool
    """Whether it, or we in its place, ask our server for the outer address."""


RIVALS = (
    Rival("aioice", "tests.lab.rivals.icepeer", stun=True),
    Rival("iroh", "tests.lab.rivals.irohpeer", stun=False),
    Rival("iroh and STUN", "tests.lab.rivals.irohpeer", stun=True),
)


class Heard(NamedTuple):
    """A line from one end, and when it had been read."""

    at: float
    node: str
    message: dict[str, Any]


class End:
    """The process at one node."""

    def __init__(
        self, lab: Lab, node: str, argv: list[str], heard: "queue.SimpleQueue[Heard]"
    ) -> None:
        self.node = node
        self._complaints = ""
        self._log = (lab.home(node) / "rival.log").open("w+")
        self._process = lab.popen(
            node,
            argv,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(heard,), daemon=True)
        self._reader.start()

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        # When it has ended, or been closed, its own last line says why.
        with suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(line.rstrip() + "\n")
            self._process.stdin.flush()

    def close(self) -> str:
        """The end of it, and what it complained of."""
        kill(self._process)
        self._process.wait()
        self._reader.join(5.0)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        if not self._log.closed:
            with self._log as log:
                log.seek(0)
                self._complaints = log.read()
        return self._complaints

    def _read(self, heard: "queue.SimpleQueue[Heard]") -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            heard.put(Heard(time.monotonic(), self.node, json.loads(line)))
        heard.put(Heard(time.monotonic(), self.node, {"event": "failed", "why": "it has ended"}))


def attempt(
    rival: Rival, python: Path, cell: Cell, options: Options, swapped: bool, signals: str
) -> Outcome:
    """One meeting; `swapped` says that b leads. Signals are carried `free`, or by `tcp`."""

    def carried(deliver: Deliver) -> Courier:
        return Tcp(deliver, lab) if signals == "tcp" else Free(deliver, 2 * options.delay)

    with Lab(options.delay, options.jitter, options.loss, options.rate) as lab:
        build(lab, cell)
        with _stun(lab):
            meeting = Meeting(lab, [str(python), "-m", rival.module], carried)
            try:
                return meeting.run("b" if swapped else "a", rival.stun)
            finally:
                meeting.close()


def unable(cell: Cell) -> str:
    """Why rivals are not tried between these homes."""
    if "no-udp" in cell.name or cell.name.startswith("only-"):
        return "needs a relay"
    return "nobody carries its signals" if cell.name in _ALONE else ""


class Meeting:
    """Both ends, and the signals between them."""

    def __init__(self, lab: Lab, argv: list[str], carried: Carried) -> None:
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._story: list[Heard] = []
        self._ends = {node: End(lab, node, argv, self._heard) for node in "ab"}
        self._courier = carried(lambda node, line: self._ends[node].say(line))

    def run(self, leader: str, stun: bool) -> Outcome:
        if len(self._gather("ready", time.monotonic() + STARTING)) < 2:
            return Outcome(False, "none", None, self._told())
        for node, end in self._ends.items():
            start = {"leads": node == leader, "stun": [SRV, PORT] if stun else None}
            end.say(json.dumps(start))
        begun = time.monotonic()
        self._courier.start()
        times = self._gather("connected", begun + PATIENCE)
        if len(times) < 2:
            return Outcome(False, "none", None, self._told())
        return Outcome(True, "direct", max(times.values()) - begun)

    def close(self) -> None:
        self._courier.close()
        for end in self._ends.values():
            end.close()

    def _gather(self, event: str, until: float) -> dict[str, float]:
        """When each end said so; what they say to each other is carried meanwhile."""
        said: dict[str, float] = {}
        while len(said) < 2 and (heard := self._next(until)) is not None:
            name = heard.message.get("event")
            if name == "failed":
                break
            if name == "signal":
                self._courier.send(heard.node, json.dumps(heard.message["signal"]))
            elif name == event:
                said[heard.node] = heard.at
        return said

    def _next(self, until: float) -> Heard | None:
        """What is said next; None when time is up."""
        try:
            heard = self._heard.get(timeout=max(until - time.monotonic(), 0.0))
        except queue.Empty:
            return None
        self._story.append(heard)
        return heard

    def _told(self) -> str:
        complaints = [end.close() for end in self._ends.values()]
        return "\n".join([*map(str, self._story), *complaints])


@contextmanager
def _stun(lab: Lab) -> Iterator[None]:
    """Our server, for its STUN."""
    places = ("--listen", f"{SRV}:{PORT}", "--second-address", SRV_TOO)
    with Program(lab, "srv", "serve", *places) as server:
        server.until("serving", STARTING)
        yield
