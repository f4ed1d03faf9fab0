"""A file that lines are appended to, replaced by a new one when it is large.

    file  →  file.1  →  file.2  →  …  →  gone

Each line goes out in one `write` under a lock, so that several programs may share the file. If
somebody moves it away (logrotate), the next line begins a new one. A line that was cut short, by a
crash or a full disk, is ended first, so that it spoils no other.
"""

import contextlib
import os
import stat
import sys
from pathlib import Path

_ATTEMPTS = 5
_FLAGS = os.O_APPEND | os.O_CREAT
for _name in ("O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


class RotatingFile:
    """At most `keep` files of about `largest` bytes; OSError from anything."""

    def __init__(self, path: Path, *, largest: int, keep: int, follow: bool) -> None:
        """`follow`: whether `path` may be a symbolic link."""
        self.path = path
        self._largest = largest
        self._keep = keep
        self._flags = _FLAGS | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
        self._file: int | None = None
        self._torn = False

    def open(self) -> None:
        """Find out now whether it can be written."""
        self._current()

    def append(self, line: bytes) -> None:
        """Write one line, whole or not at all as far as readers can tell."""
        for _ in range(_ATTEMPTS):
            file = self._current()
            if not stat.S_ISREG(os.fstat(file).st_mode):
                self._write(file, line)
                return
            _lock(file)  # closing unlocks
            size = os.fstat(file).st_size
            if not self._is_current(file):
                self._close()  # another program has moved it while we waited
            elif size and size + len(line) > self._largest:
                self._rotate()
            else:
                self._torn = self._torn or _is_torn(file, size)
                self._write(file, line)
                _unlock(file)
                return
        raise OSError("the file is moved away all the time")

    def close(self) -> None:
        """It can be used again."""
        self._close()

    def _write(self, file: int, line: bytes) -> None:
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(file, line)
        except BlockingIOError:
            raise  # nobody reads it now, but there is somebody
        except OSError:
            self._close()  # perhaps another file stands there next time
            raise
        self._torn = written < len(line)
        if self._torn:
            self._close()
            raise OSError("the line was cut short")

    def _current(self) -> int:
        if self._file is not None and not self._is_current(self._file):
            self._close()
        if self._file is None:
            # Regular files are read, too: their last byte. A FIFO that we read ourselves would
            # seem to have a reader.
            access = os.O_RDWR if self._is_regular() else os.O_WRONLY
            self._file = os.open(self.path, self._flags | access, 0o600)
        return self._file

    def _is_regular(self) -> bool:
        try:
            return stat.S_ISREG(self.path.stat().st_mode)
        except FileNotFoundError:
            return True

    def _is_current(self, file: int) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(file)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _rotate(self) -> None:
        for number in range(self._keep - 1, 0, -1):
            older = numbered(self.path, number)
            younger = numbered(self.path, number - 1)
            with contextlib.suppress(FileNotFoundError):
                younger.replace(older)
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None


def numbered(path: Path, number: int) -> Path:
    """The file of this age; 0 is the one that is written."""
    return path.with_name(f"{path.name}.{number}") if number else path


def _is_torn(file: int, size: int) -> bool:
    """Whether the last line has no end."""
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"


if sys.platform == "win32":

    def _lock(file: int) -> None:
        """One program writes there."""

    _unlock = _lock

else:
    import fcntl

    def _lock(file: int) -> None:
        """Wait for other writers; none holds it for long."""
        fcntl.flock(file, fcntl.LOCK_EX)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
