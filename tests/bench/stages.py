"""Runs securecp in this process and counts the CPU time of each stage of it; no root, no perf.

    python -m tests.bench.stages REPORT LARGEST securecp's arguments …

Every stage is a few functions with a wrapper around them, which reads the CPU clock of its thread
before and after: time in which another program runs does not count. What a stage spends in another
one is taken off, and so is what the wrappers cost, which is measured first.
"""

import atexit
import importlib
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

LOOP = "Python: loop, sessions, transport"
THREAD = "second thread: digests, publishing"
STAGES = {
    "system calls: send": ["net.udp:UdpSocket.send"],
    "system calls: receive": ["net.udp:UdpSocket.receive"],
    "system calls: wait": ["net.driver:Driver._sleep"],
    "seal": [
        "transport.seal:Sealer.content",
        "transport.seal:Sealer.trains",
        "transport.seal:Sealer.frames",
    ],
    "open": ["transport.opening:Opener.open"],
    "disk: read": ["disk.source:TreeSource.fill"],
    "disk: write": ["disk.store:Store.store"],
    "digests in passing": ["transfer.passing:PassingDigests.note"],
    "ACKs that come": [
        "transport.recovery:Recovery.on_ack",
        "transport.incoming:Incoming.settle",
    ],
    "ACKs that leave": ["transport.acks:Acks.note", "transport.acks:Acks.frame"],
    LOOP: ["net.driver:Driver.run", "net.driver:Driver.flush"],
}
JOB = "net.workshop:Workshop._do"
ROUNDS = 20_000

_clock = time.thread_time_ns


class Count:
    """What is known of one stage; times in ns of CPU."""

    def __init__(self) -> None:
        self.own = 0.0
        self.calls = 0
        self.datagrams = 0


class Stopwatch:
    """Wrappers that share one stack of stages, in one thread."""

    def __init__(self) -> None:
        self.counts: dict[str, Count] = {}
        self._inner = 0.0
        """What the stages within the present one have spent, wrappers included."""
        self._inside = 0.0
        self._outside = 0.0
        self._thread = threading.get_ident()
        self._calibrate()

    def wrap(
        self, stage: str, function: Callable[..., Any], tally: Callable[..., int] | None = None
    ) -> Callable[..., Any]:
        """`function` with a stopwatch; `tally(result, arguments)` says how many datagrams."""
        count = self.counts.setdefault(stage, Count())

        @wraps(function)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:
                return function(*arguments, **named)
            outer, self._inner = self._inner, 0.0
            begin = _clock()
            try:
                result = function(*arguments, **named)
            finally:
                spent = _clock() - begin
                count.own += spent - self._inner - self._inside
                count.calls += 1
                self._inner = outer + spent + self._outside
            if tally is not None:
                count.datagrams += tally(result, arguments)
            return result

        return wrapped

    def _calibrate(self) -> None:
        """What a wrapper adds to its own stage, and to the one around it, in ns."""

        def nothing() -> None:
            """Costs what a call costs."""

        inner = self.wrap("inner", nothing)

        def around(function: Callable[[], None]) -> None:
            for _ in range(ROUNDS):
                function()

        outer = self.wrap("outer", around)
        outer(nothing)
        plain = self.counts["outer"].own
        outer(inner)
        inside = self.counts["inner"].own / ROUNDS
        both = (self.counts["outer"].own - plain) / ROUNDS
        self._inside, self._outside = max(inside, 0.0), max(both - plain / ROUNDS, 0.0)
        self.counts.clear()

    @property
    def overhead(self) -> float:
        """Nanoseconds that all wrappers have cost."""
        calls = sum(count.calls for count in self.counts.values())
        return calls * (self._inside + self._outside)


def _sent(_: Any, arguments: tuple[Any, ...]) -> int:
    return _received(arguments[1], arguments)


def _received(burst: Any, _: tuple[Any, ...]) -> int:
    return 0 if burst is None else int(-(-len(burst.data) // burst.stride))


TALLIES = {"net.udp:UdpSocket.send": _sent, "net.udp:UdpSocket.receive": _received}


def place(name: str) -> tuple[Any, str]:
    """The class and the attribute of `module:Class.function`; AttributeError if it is not there."""
    module, _, rest = name.partition(":")
    owner, _, attribute = rest.partition(".")
    found = getattr(importlib.import_module(f"securecp.{module}"), owner)
    getattr(found, attribute)
    return found, attribute


def install(watch: Stopwatch) -> Count:
    """Put the wrappers in; what jobs of the second thread cost is in the count returned."""
    for stage, names in STAGES.items():
        for name in names:
            owner, attribute = place(name)
            wrapped = watch.wrap(stage, getattr(owner, attribute), TALLIES.get(name))
            setattr(owner, attribute, wrapped)
    jobs = Count()
    owner, attribute = place(JOB)
    do = getattr(owner, attribute)

    def timed(*arguments: Any) -> None:
        begin = _clock()
        do(*arguments)
        jobs.own += _clock() - begin
        jobs.calls += 1

    setattr(owner, attribute, timed)
    return jobs


def main() -> None:
    report, largest, *arguments = sys.argv[1:]
    watch = Stopwatch()
    jobs = install(watch)
    if int(largest):
        importlib.import_module("securecp.net.station").LARGEST_DATAGRAM = int(largest)  # type: ignore[attr-defined]

    def write() -> None:
        times = os.times()
        stages = {**watch.counts, THREAD: jobs}
        told = {
            "stages": {
                name: [count.own / 1e9, count.calls, count.datagrams]
                for name, count in stages.items()
            },
            "user": times.user,
            "system": times.system,
            "overhead": watch.overhead / 1e9,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
        }
        with open(report, "w") as file:
            json.dump(told, file)

    atexit.register(write)
    sys.argv = ["securecp", *arguments]
    importlib.import_module("securecp.cli.main").main()


if __name__ == "__main__":
    main()
