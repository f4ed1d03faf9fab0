"""Where words go: results to standard output, everything else to standard error.

    result   what was asked for: a key, a table, the closing line    stdout
    event    one JSON object a line, with `--json`                   stdout
    note     what is going on; not with `--quiet` or `--json`        stderr
    advice   the one command that comes next; only for a person      stderr
    failure  `securecp: …` and `hint: …`                             stderr

Every line is whole and flushed. A reader who goes away ends the command, not with a traceback.
"""

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import TextIO

from securecp.cli.failures import Failure, OutputClosedError


class Output:
    """The two streams and how much the person wants to hear."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False):
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.aside = False
        """Standard output is for content alone: results are words like others."""
        self.above: Callable[[str], None] | None = None
        """While progress bars are on the screen: prints a line above them."""
        self.hide: Callable[[], None] = lambda: None
        """Takes them off the screen."""
        self._held: list[str] | None = None
        """What is to be said when the question that stands has its answer."""
        self._lock = threading.RLock()

    @property
    def is_held(self) -> bool:
        """A question stands: nothing is drawn."""
        return self._held is not None

    def hold(self) -> None:
        """A person is asked: keep what else there is to say until `release`."""
        with self._lock:
            self._held = []
        self.hide()

    def release(self) -> None:
        """The question is over."""
        with self._lock:
            lines, self._held = self._held or [], None
            for line in lines:
                self._to_person(line)

    def result(self, text: str) -> None:
        """A line that was asked for."""
        if self.aside or (self.is_held and sys.stdout.isatty()):
            self._to_person(text)
        else:
            write_line(sys.stdout, text)

    def event(self, name: str, **fields: object) -> None:
        """One JSON line; ASCII, so that it is valid in every locale."""
        write_line(sys.stdout, json.dumps({"event": name, **fields}))

    def document(self, fields: object) -> None:
        """An answer to a question asked with `--json`."""
        write_line(sys.stdout, json.dumps(fields))

    def note(self, text: str) -> None:
        """What is going on."""
        if not self.quiet and not self.as_json:
            self._to_person(text)

    def detail(self, text: str) -> None:
        """What only the curious want to know."""
        if self.verbose:
            self.note(text)

    def advice(self, text: str) -> None:
        """What to type next, for a person at a terminal."""
        if sys.stderr.isatty():
            self.note(text)

    def warning(self, text: str) -> None:
        """Something that must be seen, also with `--quiet` and `--json`."""
        self._to_person(f"securecp: {text}")

    def question(self, text: str) -> None:
        """What the person must see before they answer."""
        write_line(sys.stderr, text)

    def failure(self, failure: Failure) -> None:
        """One line and a hint."""
        self._to_person(f"securecp: {failure.message}")
        if failure.hint:
            self._to_person(f"hint: {failure.hint}")

    def _to_person(self, text: str) -> None:
        with self._lock:
            if self._held is not None:
                self._held.append(text)
            elif self.above is not None:
                self.above(text)
            else:
                write_line(sys.stderr, text)


def write_line(stream: TextIO, text: str) -> None:
    """Write and flush one line; a closed stdout ends the command, a closed stderr is no loss."""
    try:
        stream.write(text + "\n")
        stream.flush()
    except (OSError, ValueError) as error:
        if stream is sys.stderr:
            return
        discard_stdout()
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise
        raise OutputClosedError("standard output was closed") from None


def discard_stdout() -> None:
    """Let Python's own flush at exit succeed."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
