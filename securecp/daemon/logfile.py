"""`--log FILE`: what happened, a record a line, for people and programs that read logs.

    2026-11-26T21:48:00Z done peer="alice" files=3 bytes=1234 folder="/home/bob/in"

Text stands in double quotes as JSON has it, made harmless before: no name can begin a line, end one
or pass for a field (CL-06). The file is replaced when it is large, and found again when somebody
else moves it. If it cannot be written, records are lost, and that is the first thing to be written
when it can be again (F-47).
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from securecp.daemon.outbox import Outbox
from securecp.daemon.plain import Show, one_line, plain
from securecp.daemon.rotating import RotatingFile

LARGEST = 4 << 20
KEPT = 5


class LogFile:
    """OSError at once if the file cannot be opened; nothing is raised later."""

    def __init__(
        self,
        path: Path,
        *,
        show: Show = plain,
        largest: int = LARGEST,
        keep: int = KEPT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._show = show
        self._clock = clock
        self._file = RotatingFile(path, largest=largest, keep=keep, follow=True)
        self._file.open()
        self._outbox = Outbox(self._write, "log")

    @property
    def lost(self) -> int:
        """Records that could not be written."""
        return self._outbox.lost_in_all

    def note(self, what: str, **fields: bytes | str | float | None) -> None:
        """From any thread; never waits, never fails. `what` is a word of ours.

        Empty text is left out.
        """
        self._outbox.put(self._record(what, fields))

    def settle(self, patience: float) -> bool:
        """Wait until it is written."""
        return self._outbox.settle(patience)

    def close(self, patience: float = 0.5) -> None:
        """Write what there is, for at most that long."""
        self._outbox.close(patience)
        self._file.close()

    def _record(self, what: str, fields: dict[str, bytes | str | float | None]) -> bytes:
        when = datetime.fromtimestamp(self._clock(), UTC)
        words = [f"{when:%Y-%m-%dT%H:%M:%SZ}", what]
        words += [f"{name}={self._value(value)}" for name, value in fields.items() if value != ""]
        return one_line(" ".join(words))

    def _value(self, value: bytes | str | float | None) -> str:
        if isinstance(value, bytes | str):
            return json.dumps(self._show(value), ensure_ascii=False)
        if value is None:
            return "-"
        return f"{value:.3f}" if value % 1 else f"{value:.0f}"

    def _write(self, lines: list[bytes]) -> int:
        written = 0
        for line in lines:
            try:
                self._tell_lost()
                self._file.append(line)
            except OSError:
                continue
            written += 1
        return written

    def _tell_lost(self) -> None:
        lost = self._outbox.lost
        if lost:
            self._file.append(self._record("lost", {"records": lost}))
            self._outbox.forget(lost)
