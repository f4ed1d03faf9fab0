"""Lines on their way to a file, written by a thread: who puts them there never waits (F-47).

A target that is full or stands still costs lines, and nothing else. Lost ones are counted.
"""

import threading
from collections import deque
from collections.abc import Callable

MOST_LINES = 4_096
MOST_BYTES = 4 << 20


class Outbox:
    """`write` gets the lines in order and returns how many of them it has written."""

    def __init__(self, write: Callable[[list[bytes]], int], name: str) -> None:
        self.lost = 0
        """Lines that nobody will read, since the last `forget`."""
        self.lost_in_all = 0
        self._write = write
        self._name = name
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._busy = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def put(self, line: bytes) -> bool:
        """From any thread; False if it is lost."""
        with self._changed:
            full = len(self._lines) >= MOST_LINES or self._size + len(line) > MOST_BYTES
            if self._closed or full:
                self._lose(1)
                return False
            self._lines.append(line)
            self._size += len(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return True

    def forget(self, count: int) -> None:
        """So many lost lines have been told."""
        with self._changed:
            self.lost -= count

    def settle(self, patience: float) -> bool:
        """Wait until everything is written; False if that takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._busy, patience)

    def close(self, patience: float) -> None:
        """Write what there is, for at most that long."""
        self.settle(patience)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _lose(self, count: int) -> None:
        self.lost += count
        self.lost_in_all += count

    def _work(self) -> None:
        while (lines := self._next()) is not None:
            try:
                written = self._write(lines)
            except OSError:
                written = 0
            with self._changed:
                self._lose(len(lines) - written)
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> list[bytes] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closed)
            if not self._lines:
                return None
            lines = list(self._lines)
            self._lines.clear()
            self._size = 0
            self._busy = True
            return lines
