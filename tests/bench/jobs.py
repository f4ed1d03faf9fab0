"""How one whole job is timed.

The clock runs from the start of the receiving program until both programs have ended; the sending
one starts as soon as the receiver listens (both at once where they meet at a server). Starting the
interpreter is inside, comparing the two sides afterwards is outside. A service that stands ready
anyway (sshd) starts before the clock; its CPU counts, unless it is somebody else's (a mailbox).
"""

import filecmp
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import machine
from tests.bench.links import Counters, Link, namespace
from tests.bench.peers.peer import Job, Peer
from tests.bench.process import Process, Usage

SERVICE_SETTLES = 0.15
"""Seconds for sshd to collect its children before it is told to stop."""
ENDS = 20.0
"""Seconds for the receiver to end once the sender has."""
STATES = {"udp": "07", "tcp": "0A"}
"""A bound or listening socket, in the kernel's tables."""


@dataclass
class Result:
    """One job; `fault` is empty if both sides ended well and hold the same bytes."""

    seconds: float = 0.0
    sender: Usage = field(default_factory=Usage)
    receiver: Usage = field(default_factory=Usage)
    fault: str = ""
    received: int = 0
    """Bytes that had arrived, of a job that was given up."""
    other_cpu: float = 0.0
    """Seconds of CPU spent meanwhile by others: programs, or the kernel on its own account."""
    link: Counters | None = None


class Unfinished(Exception):
    """A job that did not get so far as to be timed."""


def run(peer: Peer, job: Job, link: Link, seed: int, logs: Path, patience: float) -> Result:
    """One timed job; whatever happens, nothing it started is left running."""
    result = Result()
    with ExitStack() as stack:
        stack.enter_context(machine.borrowed(peer.settings))
        try:
            link.up(seed, peer.control)
            _Run(peer, job, link, logs, stack).time(result, patience)
        except Unfinished as error:
            result.fault = str(error)
        finally:
            stack.close()
            result.link = link.down()
    emulator = result.link.cpu if result.link else 0.0
    own = result.sender.cpu + result.receiver.cpu + emulator
    result.other_cpu = round(max(0.0, result.other_cpu - own), 3)
    return result


class _Run:
    """The processes of one job."""

    def __init__(self, peer: Peer, job: Job, link: Link, logs: Path, stack: ExitStack) -> None:
        self._peer = peer
        self._job = job
        self._link = link
        self._logs = logs
        self._stack = stack

    def time(self, result: Result, patience: float) -> None:
        peer, job = self._peer, self._job
        service = receiver = None
        if peer.service:
            service = self._start(peer.service(job), "service", "b")
            for port in job.ports[: peer.service_ports]:
                self._listens(service, peer.service_protocol, port)
        before, begin = machine.busy(), time.monotonic()
        if peer.receive:
            receiver = self._start(peer.receive(job), "receive", "b")
            if peer.protocol:
                self._listens(receiver, peer.protocol, job.port)
        sender = self._start(peer.send(job), "send", "a")
        result.sender = sender.wait(patience)
        if receiver and not peer.stop_receiver:
            left = patience - (time.monotonic() - begin)
            result.receiver = receiver.wait(max(0.01, min(ENDS, left)))
        result.seconds = round(time.monotonic() - begin, 4)
        result.other_cpu = machine.busy() - before
        if receiver and peer.stop_receiver:
            result.receiver = receiver.stop()
            result.receiver.code = 0
        if service and peer.service_counts:
            time.sleep(SERVICE_SETTLES)  # noqa: TID251
            result.receiver = service.stop()
            result.receiver.code = 0
        self._judge(result, patience, [process for process in (sender, receiver) if process])

    def _judge(self, result: Result, patience: float, processes: list[Process]) -> None:
        if result.seconds >= patience:
            result.fault = f"not done in {patience:g} s"
            result.received = size(self._job.into)
        elif result.sender.code or result.receiver.code:
            words = " | ".join(process.words() for process in processes)
            codes = f"exit codes {result.sender.code} and {result.receiver.code}"
            result.fault = f"{codes}: {words}"
        elif not same(self._job.source, self._peer.target(self._job)):
            result.fault = "the two sides differ"

    def _start(self, command: str, name: str, side: str) -> Process:
        process = Process(command, self._logs / f"{name}.log", self._link.inside(side))
        self._stack.callback(process.abandon)
        return process

    def _listens(self, process: Process, protocol: str, port: int, patience: float = 15.0) -> None:
        """Return once some process has bound `port`, as the kernel's own table says."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            inside = self._link.local or process.entered(namespace("b"))
            if inside and bound(process.tables, protocol, port):
                return
            time.sleep(0.001)  # noqa: TID251
        raise Unfinished(f"nothing listens on {protocol} port {port}: {process.words()}")


def bound(tables: Path, protocol: str, port: int) -> bool:
    for name in (protocol, f"{protocol}6"):
        with suppress(OSError):
            for line in (tables / name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[1].endswith(f":{port:04X}") and fields[3] == STATES[protocol]:
                    return True
    return False


def size(folder: Path) -> int:
    """Bytes on the disk of all files in it; parts with hidden names count, holes do not."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def same(left: Path, right: Path) -> bool:
    """Whether two files, or two trees, hold the same names and bytes."""
    if left.is_file():
        return right.is_file() and filecmp.cmp(left, right, shallow=False)
    ours, theirs = _names(left), _names(right)
    return ours == theirs and all(
        filecmp.cmp(left / name, right / name, shallow=False)
        for name in ours
        if (left / name).is_file()
    )


def _names(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))
