"""history.jsonl in the state folder: what went to and came from whom, a line for each transfer.

Lines are appended by a thread (`outbox`), and read newest first. It is a diary: if it cannot be
written, lines are lost and counted, and transfers go on (F-47).
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from securecp.daemon import record
from securecp.daemon.outbox import Outbox
from securecp.daemon.record import Hooked, Record
from securecp.daemon.rotating import RotatingFile, numbered

NAME = "history.jsonl"
LARGEST = 8 << 20
KEPT = 4
_READ = 2 * LARGEST
"""No file of ours is as large as that."""


class History:
    """Of one state folder; used by every program that sends or receives."""

    def __init__(self, state: Path, *, largest: int = LARGEST, keep: int = KEPT) -> None:
        self._path = state / NAME
        self._keep = keep
        self._file = RotatingFile(self._path, largest=largest, keep=keep, follow=False)
        self._outbox = Outbox(self._write, "history")

    @property
    def lost(self) -> int:
        """Lines that could not be written."""
        return self._outbox.lost_in_all

    def append(self, item: Record | Hooked) -> None:
        """From any thread; never waits, never fails."""
        self._outbox.put(record.encode(item))

    def settle(self, patience: float) -> bool:
        """Wait until it is written."""
        return self._outbox.settle(patience)

    def close(self, patience: float = 1.0) -> None:
        """Write what there is, for at most that long."""
        self._outbox.close(patience)
        self._file.close()

    def read(self) -> Iterator[Record]:
        """Newest first; lines that are damaged are passed over."""
        hooks: dict[str, int] = {}
        for line in self._lines():
            match record.parse(line):
                case Hooked() as more:
                    hooks.setdefault(more.of, more.hook)
                case Record() as found:
                    hook = hooks.pop(found.id, None)
                    yield found if hook is None else found._replace(hook=hook)

    def _lines(self) -> Iterator[bytes]:
        for number in range(self._keep):
            yield from reversed(_content(numbered(self._path, number)).split(b"\n"))

    def _write(self, lines: list[bytes]) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        written = 0
        for line in lines:
            try:
                self._file.append(line)
                written += 1
            except OSError:
                continue
        return written


def _content(path: Path) -> bytes:
    """Of a regular file; nothing if there is none, or none that can be read."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        file = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return b""
        with open(file, "rb", closefd=False) as content:
            return content.read(_READ)
    except OSError:
        return b""
    finally:
        os.close(file)
