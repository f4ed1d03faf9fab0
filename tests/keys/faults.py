"""A stand-in for `os` that fails, or kills the process, at the n-th call that touches the disk."""

import os
import signal
import warnings
from collections.abc import Callable
from typing import Any

CALLS = ("mkdir", "open", "write", "fchmod", "fsync", "close", "link", "replace", "unlink", "read")


class Faulty:
    """Everything of `os`; the calls in `CALLS` are counted, noted, and given to `at` before."""

    def __init__(self, at: Callable[[int, str], None] = lambda number, name: None) -> None:
        self._at = at
        self.log: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._counted(name, real) if name in CALLS else real

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.log.append(name)
            done = None
            if name == "write":  # half of it is on the disk when it happens
                half = max(1, len(arguments[1]) // 2)
                done = real(arguments[0], arguments[1][:half])
            if name == "close":  # closes even when it fails
                real(*arguments)
            self._at(len(self.log), name)
            return done if name in ("write", "close") else real(*arguments, **options)

        return counted


def fails_at(n: int, errno: int) -> Faulty:
    """The n-th call fails, as on a full or broken disk; those after it work."""

    def at(number: int, name: str) -> None:
        if number == n:
            raise OSError(errno, os.strerror(errno))

    return Faulty(at)


def dies_at(n: int) -> Faulty:
    """The process is killed, as by `kill -9`, before the n-th call."""

    def at(number: int, name: str) -> None:
        if number == n:
            os.kill(os.getpid(), signal.SIGKILL)

    return Faulty(at)


def start(work: Callable[[], None]) -> int:
    """Do the work in a forked child, whose number this is; it ends with 0 or, if it raises, 1."""
    with warnings.catch_warnings():  # the child starts no threads and needs no lock of ours
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> int:
    """The exit code of a child, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(work: Callable[[], None]) -> int:
    """Do the work in a child and wait for how it ends."""
    return ended(start(work))
