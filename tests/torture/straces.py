"""How often each thread of a side makes each call that changes something: where it can be killed.

strace counts for each thread by itself, and so does `when=N`. So N goes up to the most that one
thread made, and the thread that gets there first dies with all the others.
"""

import functools
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.torture.plan import CALLS, Kill, Plan
from tests.torture.side import STRACE

_LINE = re.compile(r"(\d+) +(\w+)\(")
MISSES = 2
"""Runs beyond the counted ones, which must meet no such call any more."""


@functools.cache
def lacking() -> str:
    """Why calls cannot be counted on this machine; empty if they can."""
    if STRACE is None:
        return "there is no strace"
    script = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_long(-1));"
        "print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as probe:
        assert probe.stdin and probe.stdout
        probe.stdout.readline()
        tracer = subprocess.Popen([STRACE, "-qq", "-o", "/dev/null", "-p", str(probe.pid)],
                                  stderr=subprocess.PIPE)  # fmt: skip
        status = Path(f"/proc/{probe.pid}/status")
        while tracer.poll() is None and "TracerPid:\t0\n" in status.read_text():
            pass
        probe.stdin.close()
        words = tracer.communicate()[1].decode().strip()
    return f"strace may not trace: {words}" if tracer.returncode else ""


def counting(log: Path, calls: tuple[str, ...] = CALLS) -> list[str]:
    """Options of strace: note every such call."""
    return ["-f", "-qq", "-e", "signal=none", "-o", str(log),
            "-e", f"trace={','.join('?' + call for call in calls)}"]  # fmt: skip


def counts(log: Path) -> Counter[str]:
    """The most calls that one thread has made, of each kind."""
    each: Counter[tuple[str, str]] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        if match := _LINE.match(line):
            each[match[1], match[2]] += 1
    most: Counter[str] = Counter()
    for (_, call), count in each.items():
        most[call] = max(most[call], count)
    return most


def every_call(role: str, scene: Plan, found: Counter[str]) -> Iterator[Plan]:
    """A plan for each moment before such a call."""
    for call, count in sorted(found.items()):
        for number in range(1, count + MISSES + 1):
            yield scene._replace(kills=(Kill(role, call=call, number=number),))
