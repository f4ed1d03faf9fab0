"""One process of the command: its events as they come, its end, and how much memory it had.

A nursery starts it, and strace attaches to it before it begins. Where it is to have a prefix, it is
started from nothing; below strace it is then a grandchild, known by the number in a file.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.torture.nursery import PROGRAM, ROOT, Child, Nursery

STRACE = shutil.which("strace")

Event = dict[str, Any]


class Ended(NamedTuple):
    """How a process ended."""

    code: int
    """Exit code; minus the signal's number if one ended it."""
    stderr: str
    peak: int
    """The most memory that it held at once, in bytes."""


class Side:
    """`role` is what it is called in reports: "receiver" or "sender"."""

    def __init__(
        self,
        role: str,
        arguments: Sequence[str | Path],
        *,
        home: Path,
        notes: Path,
        strace: Sequence[str] = (),
        die: str = "",
        prefix: Sequence[str] = (),
        nursery: Nursery | None = None,
    ) -> None:
        """`strace` are options of strace; `notes` a folder where it may write; `die` a moment of
        `program.py`; `prefix` a command that starts ours. A nursery starts what has neither."""
        self.role = role
        self.events: list[Event] = []
        self.began = time.monotonic()
        self.killed = False
        self._ended: Ended | None = None
        self._peak = 0
        self._looked_at = 0.0
        self._changed = threading.Condition()
        self._pidfile = notes / f"{role}.pid"
        self._pidfile.unlink(missing_ok=True)
        self._traced = False
        self._strace: subprocess.Popen[bytes] | None = None
        words = ["--home", str(home), *map(str, arguments), "--json"]
        self._complaints = notes / f"{role}.stderr"
        self._child: Child | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.command = ["securecp", *words]
        events, ours = os.pipe()
        with self._complaints.open("wb") as complaints:
            if nursery is not None and not prefix:
                self._child = nursery.start(
                    words, ours, complaints.fileno(), die=die, traced=bool(strace)
                )
            else:
                self._traced = bool(strace)
                command = [*prefix, *([STRACE or "", *strace] if strace else [])]
                command += [sys.executable, str(PROGRAM)]
                command += ["--fork", str(self._pidfile)] if strace else []
                command += ["--die", die] if die else []
                self._process = subprocess.Popen(
                    [*command, "--", *words],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=ours,
                    stderr=complaints,
                )
        os.close(ours)
        self._stdout = os.fdopen(events, "rb")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        if self._child is not None and strace:
            self._attach(strace, notes / f"{role}.tracer")

    @property
    def alive(self) -> bool:
        return self._ended is None

    @property
    def over(self) -> bool:
        """Whether it is dead."""
        return not self.alive

    @property
    def moved(self) -> int:
        """Content bytes as the last progress event told."""
        return next((e["bytes"] for e in reversed(self.events) if e["event"] == "progress"), 0)

    def find(self, name: str) -> Event | None:
        """The last event of this name."""
        return next((event for event in reversed(self.events) if event["event"] == name), None)

    def wait(self, until: Callable[[], bool], within: float) -> bool:
        """Until that holds or the process is dead; whether it holds."""
        end = time.monotonic() + within
        with self._changed:
            while not (held := until()):
                left = end - time.monotonic()
                if left <= 0 or not self.alive:
                    return until()
                self._changed.wait(min(left, 0.5))
        return held

    def until(self, name: str, within: float) -> Event:
        """The event, when it comes."""
        self.wait(lambda: self.find(name) is not None, within)
        if (found := self.find(name)) is None:
            raise AssertionError(f"{name} never came\n{self.story()}")
        return found

    def pid(self, within: float = 20.0) -> int:
        """The number of the process that is the command."""
        if self._child is not None:
            return self._child.started()
        if not self._traced:
            assert self._process is not None
            return self._process.pid
        end = time.monotonic() + within
        while not self._pidfile.exists():
            if time.monotonic() > end or not self.alive:
                raise AssertionError(f"it did not start\n{self.story()}")
            self.pause(0.005)
        return int(self._pidfile.read_text())

    def pause(self, seconds: float) -> None:
        """Let time pass, or less if it ends."""
        self.wait(lambda: False, seconds)

    def kill(self) -> Ended:
        """kill -9, and wait until it is dead."""
        self.killed = True
        self._look()
        self.signal(signal.SIGKILL)
        return self.ended(20.0)

    def signal(self, number: signal.Signals) -> None:
        if not self.alive:
            return
        try:
            os.kill(self.pid(), number)
        except (ProcessLookupError, AssertionError):
            return

    def ended(self, within: float) -> Ended:
        """Wait for the end."""
        self._thread.join(within)
        if self._ended is None:
            raise AssertionError(f"it did not end within {within:.0f} s\n{self.story()}")
        return self._ended

    def stop(self) -> Ended:
        """Ctrl-C, and kill -9 if that does not help; not to one that has said its last words."""
        ends = self.role == "sender" or "--once" in self.command
        if ends and self.events and self.events[-1]["event"] in {"done", "error"}:
            self._thread.join(20.0)
        self.signal(signal.SIGINT)
        self._thread.join(5.0)
        return self._ended or self.kill()

    def destroy(self) -> None:
        """Whatever happens: nothing of it runs on."""
        if self.alive:
            self.signal(signal.SIGKILL)
            self._thread.join(2.0)
        if self.alive and self._process is not None:
            self._process.kill()
            self._thread.join(5.0)

    def story(self, events: int = 30) -> str:
        """All that is known of it, with so many of its last events."""
        rare = [event for event in self.events if event["event"] != "progress"]
        lines = [json.dumps(event) for event in rare[-events:]]
        return "\n".join(
            [" ".join(self.command), *lines, f"moved {self.moved}", f"{self._ended}",
             self._complaints.read_text(errors="replace")[-3_000:]]
        )  # fmt: skip

    def _read(self) -> None:
        for line in self._stdout:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "torn line", "line": repr(line)}
            event["after"] = round(time.monotonic() - self.began, 3)
            with self._changed:
                self.events.append(event)
                self._changed.notify_all()
            if event["event"] != "progress" or time.monotonic() - self._looked_at > 0.05:
                self._look()
        code = self._waited()
        if self._strace is not None:
            self._strace.wait()
        self._stdout.close()
        if self._traced and code > 128:
            code = 128 - code
        stderr = self._complaints.read_text(errors="replace")
        with self._changed:
            self._ended = Ended(code, stderr, self._peak)
            self._changed.notify_all()

    def _attach(self, options: Sequence[str], words: Path) -> None:
        """Put strace on the stopped child, and let it go on."""
        assert STRACE
        pid = self.pid()
        self._await(pid, "State:\tT")  # else it could stop when it has been told to go on
        with words.open("wb") as complaints:
            self._strace = subprocess.Popen(
                [STRACE, *options, "-p", str(pid)], stdin=subprocess.DEVNULL, stderr=complaints
            )
        self._await(pid, f"TracerPid:\t{self._strace.pid}\n")
        os.kill(pid, signal.SIGCONT)

    def _await(self, pid: int, words: str) -> None:
        """Until the kernel says so of a process."""
        status = Path(f"/proc/{pid}/status")
        end = time.monotonic() + 20.0
        while words not in status.read_text():
            if time.monotonic() > end or (
                self._strace is not None and self._strace.poll() is not None
            ):
                raise AssertionError(f"strace does not hold it\n{self.story()}")
            self.pause(0.002)

    def _waited(self) -> int:
        if self._child is not None:
            return self._child.wait()
        assert self._process is not None
        return self._process.wait()

    def _look(self) -> None:
        """How much memory it has held at most; the kernel forgets that with the process."""
        self._looked_at = time.monotonic()
        with contextlib.suppress(OSError, StopIteration, AssertionError):
            status = Path(f"/proc/{self.pid(0)}/status").read_text()
            line = next(each for each in status.splitlines() if each.startswith("VmHWM"))
            self._peak = max(self._peak, int(line.split()[1]) << 10)
