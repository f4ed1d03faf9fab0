"""A program that we start, wait for, and have the kernel account for.

CPU is that of the program and of the children it waited for. Peak memory is that of its largest
process, as GNU time says, which starts small; without GNU time a program smaller than this one
(about 25 MiB) shows our size, since it begins as our copy.
"""

import os
import shutil
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TIME = shutil.which("time")


@dataclass
class Usage:
    """What one side cost: seconds of CPU, bytes of peak resident memory."""

    cpu: float = 0.0
    memory: int = 0
    code: int = 0


class Process:
    """A program with its own log and its own process group."""

    def __init__(self, command: str, log: Path, prefix: list[str]) -> None:
        self._log = log
        self._peak = log.with_suffix(".peak")
        self._peak.unlink(missing_ok=True)
        timer = [TIME, "-q", "-f", "%M", "-o", str(self._peak)] if TIME else []
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                [*prefix, *timer, "sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._ended = False

    @property
    def tables(self) -> Path:
        """The kernel's network tables, as this process sees them."""
        return Path(f"/proc/{self._child.pid}/net")

    def entered(self, namespace: Path) -> bool:
        """Whether it has got into its network namespace yet."""
        with suppress(OSError):
            ours = Path(f"/proc/{self._child.pid}/ns/net").stat()
            return ours.st_ino == namespace.stat().st_ino
        return False

    def wait(self, patience: float) -> Usage:
        """Wait until it has ended; after `patience` seconds it is killed, as its code shows."""
        guard = threading.Timer(patience, self._signal, (signal.SIGKILL,))
        guard.start()
        _, status, usage = os.wait4(self._child.pid, 0)
        guard.cancel()
        self._ended = True
        self._child.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        return Usage(cpu, self._memory() or usage.ru_maxrss * 1024, self._child.returncode)

    def stop(self) -> Usage:
        """End the program, and let the one that measures it report."""
        self._signal_program(signal.SIGTERM)
        return self.wait(5.0)

    def abandon(self) -> None:
        if not self._ended:
            self._signal(signal.SIGKILL)
            self.wait(5.0)

    def words(self) -> str:
        """The last of what it printed."""
        return self._log.read_text(errors="replace")[-400:].strip()

    def _memory(self) -> int:
        with suppress(OSError, ValueError, IndexError):
            return int(self._peak.read_text().split()[-1]) * 1024
        return 0

    def _signal_program(self, number: signal.Signals) -> None:
        if TIME is None:
            self._signal(number)
            return
        for process in members(self._child.pid) - {self._child.pid}:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)


def members(session: int) -> set[int]:
    """The processes of a session that we made."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    found.add(int(entry.name))
    return found
