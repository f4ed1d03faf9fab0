"""Questions to the person, and the progress bar: all that needs a terminal.

Rules: a question stands on standard error and is answered on standard input. The default is No, and
without a terminal the answer is No. What is remote in a question was made harmless before.
"""

import contextlib
import select
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from securecp.cli import units

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_POLL = 0.2
_REDRAW = 0.1
"""Seconds between two drawings of the bar: at most ten a second (CL-17)."""


def can_ask() -> bool:
    """Someone sits at the terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, given_up: Callable[[], bool] = lambda: False) -> bool:
    """`y` or `yes` is yes; anything else, the end of input or `given_up()` is no.

    Runs in a thread beside the transfer, so it never blocks for good: an unanswerable question must
    not keep the process alive.
    """
    if not can_ask():
        return False
    _forget_what_was_typed_ahead()
    _say(f"{question} [y/N] ")
    while not given_up():
        if _line_waits():
            return sys.stdin.readline().strip().lower() in {"y", "yes"}
    _say("\n")
    return False


def typed(question: str, expected: str) -> bool:
    """The person must type a whole word, so that no stray key confirms."""
    if not can_ask():
        return False
    _say(f"{question} ")
    return sys.stdin.readline().strip().lower() == expected


def secret(prompt: str) -> str:
    """Read a line without showing it."""
    import getpass

    return getpass.getpass(f"{prompt}: ", stream=sys.stderr)


def _line_waits() -> bool:
    if sys.platform == "win32":  # select knows only sockets there
        return True
    ready, _, _ = select.select([sys.stdin], [], [], _POLL)
    return bool(ready)


def _forget_what_was_typed_ahead() -> None:
    """A `y` that was meant for something else must not accept an offer that came in between."""
    with contextlib.suppress(ImportError, OSError):
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


class Bar:
    """One line at the bottom of the terminal: bar, share, amount, rate and time left."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._drawn = 0.0
        self._progress: RichProgress = Progress(
            BarColumn(bar_width=32),
            TaskProgressColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            console=Console(stderr=True, highlight=False),
            auto_refresh=False,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("", total=max(total, 1), words="")
        self._progress.start()

    def show(self, moved: int, total: int, rate: float) -> None:
        """Draw anew, unless that was done a moment ago."""
        now = time.monotonic()
        if now - self._drawn < _REDRAW and moved < total:
            return
        self._drawn = now
        self._progress.update(self._task, completed=moved, words=progress_words(moved, total, rate))
        self._progress.refresh()

    def above(self, text: str) -> None:
        """Print a line that stays, above the bar."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar off the screen."""
        self._progress.stop()


def progress_words(moved: int, total: int, rate: float) -> str:
    """`512 MB of 1.2 GB, 88 MB/s, 8 s left`."""
    words = f"{units.size(moved)} of {units.size(total)}, {units.rate(rate)}"
    if 0 < rate and moved < total:
        words += f", {units.duration(max((total - moved) / rate, 1))} left"
    return words
