"""What a job is, and what a program must say of itself to be timed."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple


class Job(NamedTuple):
    """One transfer to make: from `source` into the empty folder `into`, on `ports` of `host`."""

    source: Path
    into: Path
    host: str
    """Where the receiver listens."""
    sender_host: str
    ports: tuple[int, ...]

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def target(self) -> Path:
        return self.into / self.source.name


def usual_target(job: Job) -> Path:
    return job.target


Command = Callable[[Job], str]


class Peer(NamedTuple):
    """A program to be timed; commands are for `sh`."""

    name: str
    send: Command
    receive: Command | None = None
    protocol: str = ""
    """Where its receiver listens: `tcp` or `udp`; empty if both ends start at once."""
    service: Command | None = None
    """What stands ready at the receiver's end, on the first `service_ports` of the job's ports."""
    service_protocol: str = "tcp"
    service_ports: int = 1
    service_counts: bool = True
    stop_receiver: bool = False
    """Its sender ends when all has arrived, its receiver does not by itself."""
    tcp: bool = True
    """Whether the kernel's congestion control is its own."""
    trees: bool = True
    local: bool = True
    """Whether it runs over loopback."""
    target: Callable[[Job], Path] = usual_target
    settings: Mapping[str, str] = {}
    """Kernel settings of the host while it runs."""
    control: str = ""

    @property
    def label(self) -> str:
        return f"{self.name} ({self.control})" if self.control else self.name


def quote(*words: object) -> str:
    """A command for `sh` of these words; `exec` makes the process we watch the program itself."""
    return "exec " + shlex.join(str(word) for word in words)
