"""A word on the desktop when something has come in: if there is a desktop, else silence.

The text is made harmless before it comes here; here the signs are escaped that desktops take for
markup. A program that hangs delays nobody, and a burst of transfers is one word in three seconds.
"""

import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from securecp.daemon.process import Workers, run

PROGRAM = "notify-send"
TIMEOUT = 5.0
EVERY = 3.0
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Notifier:
    """Speaks by this program."""

    def __init__(
        self,
        program: str,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._program = program
        self._environ = dict(environ)
        self._clock = clock
        self._told_at = -math.inf
        self._workers = Workers(1, 1, "notify")

    def tell(self, title: str, text: str) -> bool:
        """Show it, unless something was shown a moment ago. Never waits, never fails."""
        now = self._clock()
        if now - self._told_at < EVERY:
            return False
        self._told_at = now
        arguments = [self._program, "--app-name=securecp", "--", title, text.translate(_MARKUP)]
        return self._workers.start(
            lambda: void(run(arguments, environ=self._environ, timeout=TIMEOUT))
        )

    def close(self, patience: float = 0.5) -> None:
        """What is being shown may be shown."""
        self._workers.close(patience)


def void(_: object) -> None:
    """How it ended is nobody's business."""


def find(environ: Mapping[str, str] = os.environ) -> Notifier | None:
    """The desktop's, if there is one: the program, and the bus of a session to speak on."""
    program = shutil.which(PROGRAM, path=environ.get("PATH"))
    if program is None or not _has_bus(environ):
        return None
    return Notifier(str(Path(program).absolute()), environ)


def _has_bus(environ: Mapping[str, str]) -> bool:
    if environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return True
    folder = environ.get("XDG_RUNTIME_DIR")
    return bool(folder) and Path(folder or "/", "bus").exists()
