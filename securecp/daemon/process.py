"""Programs of the person's, run beside us: a list of arguments, no shell, an end in time (FS-21).

What a program prints is kept in part and never waited for once the program has ended; a child of
its own may live on. Standard input is a file, so that nobody waits for a reader.
"""

import contextlib
import os
import queue
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

KEPT = 4_096
"""Bytes of output that are kept, from the beginning."""
GRACE = 3.0
"""Seconds between being asked to end and being ended."""
_LOOK = 0.1


class Finished(NamedTuple):
    """How it ended."""

    code: int | None
    """None: it could not be started; negative: the signal that ended it."""
    output: bytes
    """The beginning of what it printed, errors too."""
    seconds: float
    timed_out: bool = False


def run(
    arguments: Sequence[str],
    *,
    stdin: bytes = b"",
    environ: Mapping[str, str],
    timeout: float,
    stopping: Callable[[], bool] = lambda: False,
) -> Finished:
    """Run it to its end, at most `timeout` seconds; blocks, never raises."""
    began = time.monotonic()
    try:
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            program = subprocess.Popen(  # noqa: S603  the person's own command, as a list
                list(arguments),
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                cwd="/" if os.name == "posix" else None,
                start_new_session=True,
            )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        reason = getattr(error, "strerror", None) or "it cannot be started"
        return Finished(None, reason.encode(), 0.0)
    with program:
        output, timed_out = _follow(program, began + timeout, stopping)
    return Finished(program.returncode, output, time.monotonic() - began, timed_out)


def _follow(
    program: "subprocess.Popen[bytes]", until: float, stopping: Callable[[], bool]
) -> tuple[bytes, bool]:
    """Read what it prints until it ends; what it has printed, and whether it was ended."""
    assert program.stdout is not None
    pipe = program.stdout.fileno()
    os.set_blocking(pipe, False)
    kept = bytearray()
    signals = [signal.SIGTERM, signal.SIGKILL]
    ended_by_us, is_open = False, True
    while program.poll() is None:
        if signals and (time.monotonic() >= until or (stopping() and not ended_by_us)):
            _signal(program, signals.pop(0))
            ended_by_us = True
            until = time.monotonic() + GRACE
        is_open = _read(pipe, kept, wait=_LOOK) if is_open else _pause(program)
    if is_open:
        _read(pipe, kept, wait=0)
    return bytes(kept), ended_by_us


def _read(pipe: int, kept: bytearray, *, wait: float) -> bool:
    """Take what there is and keep the beginning; False at the end."""
    poll = select.poll()  # `select` takes no file beyond 1,024
    poll.register(pipe, select.POLLIN)
    if not poll.poll(wait * 1000):
        return True
    with contextlib.suppress(BlockingIOError):
        data = os.read(pipe, 65_536)
        kept += data[: KEPT - len(kept)]
        return bool(data)
    return True


def _pause(program: "subprocess.Popen[bytes]") -> bool:
    """It prints no more, and runs on."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(_LOOK)
    return False


def _signal(program: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """To the program and its children: they are a group of their own."""
    with contextlib.suppress(OSError):
        os.killpg(program.pid, number)


class Workers:
    """A few threads for jobs that take their time; more jobs than `most` are refused."""

    def __init__(self, count: int, most: int, name: str) -> None:
        self._count = count
        self._name = name
        self._jobs: queue.Queue[Callable[[], None]] = queue.Queue(most)
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._running = 0
        """Jobs that are waiting or at work."""
        self._threads = 0
        self.stopping = False

    def start(self, job: Callable[[], None]) -> bool:
        """Have it done; False if there is too much to do, or it is too late."""
        with self._lock:
            if self.stopping:
                return False
            try:
                self._jobs.put_nowait(job)
            except queue.Full:
                return False
            self._running += 1
            if self._threads < min(self._count, self._running):
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return True

    def settle(self, patience: float) -> bool:
        """Wait until all jobs are done."""
        with self._lock:
            return self._idle.wait_for(lambda: self._running == 0, patience)

    def close(self, patience: float) -> bool:
        """No new ones; those that wait are dropped by their own check of `stopping`."""
        self.stopping = True
        return self.settle(patience)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            finally:
                with self._lock:
                    self._running -= 1
                    self._idle.notify_all()
