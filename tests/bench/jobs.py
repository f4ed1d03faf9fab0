"""What is sent, and how one whole job is timed.

The clock runs from the start of the receiving program until both programs have ended; the sending
one starts as soon as the receiver listens. Starting the interpreter is inside, comparing the two
sides afterwards is outside. A service that stands ready anyway (sshd) starts before the clock; its
CPU counts. CPU and peak memory are what the kernel reports for a process and the children it waited
for; a program smaller than this one (about 20 MiB) shows our size, since it starts as our copy.
"""

import filecmp
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20
SERVICE_SETTLES = 0.15
"""Seconds for sshd to collect its children before it is told to stop."""


class Item(NamedTuple):
    """Something to send."""

    title: str
    files: int
    size: int
    """Bytes of each file."""

    @property
    def total(self) -> int:
        return self.files * self.size

    def make(self, path: Path) -> None:
        """Write it: one file, or 50 files a directory. Random, so that nothing can compress it."""
        if self.files == 1:
            _fill(path, self.size)
            return
        for number in range(self.files):
            folder = path / f"d{number // 50:03}"
            folder.mkdir(parents=True, exist_ok=True)
            _fill(folder / f"f{number % 50:02}.bin", self.size)


ITEMS = {
    "1g": Item("1 GiB in one file", 1, 1024 * MIB),
    "64m": Item("64 MiB in one file", 1, 64 * MIB),
    "tree": Item("5,000 files of 4 KiB", 5_000, 4096),
    "1k": Item("one file of 1 kB", 1, 1000),
}


class Job(NamedTuple):
    """One transfer to make: from `source` into the empty folder `into`, on `port` of loopback."""

    source: Path
    into: Path
    port: int

    @property
    def target(self) -> Path:
        return self.into / self.source.name


class Peer(NamedTuple):
    """A program to be timed; commands are for `sh`."""

    name: str
    protocol: str
    """Where its receiver listens: `tcp` or `udp`."""
    send: Callable[[Job], str]
    receive: Callable[[Job], str] | None = None
    service: Callable[[Job], str] | None = None


@dataclass
class Usage:
    """What one side cost: seconds of CPU, bytes of peak resident memory."""

    cpu: float = 0.0
    memory: int = 0
    code: int = 0


@dataclass
class Result:
    """One job; `fault` is empty if both sides ended well and hold the same bytes."""

    seconds: float
    sender: Usage
    receiver: Usage
    fault: str


class Process:
    """A program we started, with its own log, which the kernel will account for."""

    def __init__(self, command: str, log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                ["sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._ended = False

    def wait(self, patience: float) -> Usage:
        """Wait until it has ended; after `patience` seconds it is killed, as its code shows."""
        guard = threading.Timer(patience, self._signal, (signal.SIGKILL,))
        guard.start()
        _, status, usage = os.wait4(self._child.pid, 0)
        guard.cancel()
        self._ended = True
        self._child.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        return Usage(cpu, usage.ru_maxrss * 1024, self._child.returncode)

    def stop(self) -> Usage:
        self._signal(signal.SIGTERM)
        return self.wait(5.0)

    def abandon(self) -> None:
        if not self._ended:
            self._signal(signal.SIGKILL)
            self.wait(5.0)

    def words(self) -> str:
        """The last of what it printed."""
        return self._log.read_text(errors="replace")[-400:].strip()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)


def run(peer: Peer, job: Job, logs: Path, patience: float) -> Result:
    """One timed job; whatever happens, nothing it started is left running."""
    started: list[Process] = []

    def start(command: str, name: str) -> Process:
        process = Process(command, logs / f"{name}.log")
        started.append(process)
        return process

    try:
        return _run(peer, job, start, patience)
    except TimeoutError as error:
        words = " | ".join(process.words() for process in started)
        return Result(0.0, Usage(), Usage(), f"{error}: {words}")
    finally:
        for process in started:
            process.abandon()


def _run(peer: Peer, job: Job, start: Callable[[str, str], Process], patience: float) -> Result:
    service = receiver = None
    if peer.service:
        service = start(peer.service(job), "service")
        _listens(peer.protocol, job.port)
    begin = time.monotonic()
    if peer.receive:
        receiver = start(peer.receive(job), "receive")
        _listens(peer.protocol, job.port)
    sender = start(peer.send(job), "send")
    sending = sender.wait(patience)
    receiving = receiver.wait(patience) if receiver else Usage()
    seconds = time.monotonic() - begin
    if service:
        time.sleep(SERVICE_SETTLES)  # noqa: TID251
        receiving = service.stop()
        receiving.code = 0
    fault = ""
    if sending.code or receiving.code:
        words = [process.words() for process in (sender, receiver) if process]
        fault = f"exit codes {sending.code} and {receiving.code}: {' | '.join(words)}"
    elif not same(job.source, job.target):
        fault = "the two sides differ"
    return Result(seconds, sending, receiving, fault)


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


def _fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for offset in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - offset)))


def _listens(protocol: str, port: int, patience: float = 15.0) -> None:
    """Return once some process has bound `port`, as the kernel's own table says."""
    states = {"udp": "07", "tcp": "0A"}
    until = time.monotonic() + patience
    while time.monotonic() < until:
        for table in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[1].endswith(f":{port:04X}") and fields[3] == states[protocol]:
                    return
        time.sleep(0.001)  # noqa: TID251
    raise TimeoutError(f"nothing listens on {protocol} port {port}")


def quote(*words: object) -> str:
    """A command for `sh` of these words; `exec` makes the process we watch the program itself."""
    return "exec " + shlex.join(str(word) for word in words)
