"""Questions to the person, and the progress bar: all that needs a terminal.

Rules: a question stands on standard error and is answered on standard input. The default is No, and
without a terminal the answer is No. What is remote in a question was made harmless before.
"""

import contextlib
import select
import shutil
import sys
import time
from collections.abc import Callable, Hashable
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


def answer(question: str, *, given_up: Callable[[], bool] = lambda: False) -> str:
    """What is typed, in small letters; nothing at the end of input, or when `given_up()`.

    Runs in a thread beside the transfer, so it never blocks for good: an unanswerable question must
    not keep the process alive.
    """
    if not can_ask():
        return ""
    _forget_what_was_typed_ahead()
    _say(f"{question} ")
    while not given_up():
        if _line_waits():
            return sys.stdin.readline().strip().lower()
    _say("\n")
    return ""


def rows() -> int:
    """How many lines the terminal has."""
    return shutil.get_terminal_size().lines


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


class Bars:
    """The last lines of the terminal: for each transfer a bar, its share, and words beside it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._drawn = 0.0
        self._tasks: dict[Hashable, TaskID] = {}
        self._console = Console(stderr=True, highlight=False)
        self._progress: RichProgress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            console=self._console,
            auto_refresh=False,
            transient=True,
        )
        self._progress.start()

    def show(self, key: Hashable, label: str, moved: int, total: int, words: str) -> None:
        """How far one has come; without a total nobody knows how much there is to come."""
        whole = max(total, moved) if total else None
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(
                label, total=whole, completed=moved, words=words
            )
        self._progress.update(
            self._tasks[key], description=label, completed=moved, total=whole, words=words
        )
        self._refresh(at_once=0 < total <= moved)

    def say(self, key: Hashable, words: str) -> None:
        """Other words beside one that is there."""
        if key in self._tasks:
            self._progress.update(self._tasks[key], words=words)
            self._refresh(at_once=False)

    def drop(self, key: Hashable) -> None:
        """Take one off the screen."""
        if key in self._tasks:
            self._progress.remove_task(self._tasks.pop(key))

    def __len__(self) -> int:
        return len(self._tasks)

    def above(self, text: str) -> None:
        """Print a line that stays, above the bars."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take all off the screen."""
        self._progress.stop()

    def _refresh(self, *, at_once: bool) -> None:
        now = time.monotonic()
        if at_once or now - self._drawn >= _REDRAW:
            self._drawn = now
            self._progress.refresh()


def progress_words(moved: int, total: int, rate: float) -> str:
    """`512 MB of 1.2 GB, 88 MB/s, 8 s left`; of a stream, whose end nobody knows, without both."""
    if not total:
        return f"{units.size(moved)}, {units.rate(rate)}"
    words = f"{units.size(moved)} of {units.size(total)}, {units.rate(rate)}"
    if 0 < rate and moved < total:
        words += f", {units.duration(max((total - moved) / rate, 1))} left"
    return words
