"""A folder of our own state: who may look into it, and its files, opened without following links.

Like a destination it is one descriptor from the start (`at`). Files in it are 0600, and whoever
uses one holds its lock.
"""

import contextlib
import errno
import os
import stat
from pathlib import Path

from securecp.disk import flush
from securecp.disk.calls import at
from securecp.errors import StorageError

_TRIES = 8


class StateFolder:
    """One folder, 0700, made if it is missing; OSError where that cannot be."""

    def __init__(self, path: Path) -> None:
        self._directory = at.pin_private(os.fsencode(path))

    def open(self, name: bytes, *, create: bool, lock: bool = True) -> int | None:
        """A descriptor to read and write the file, locked; None if there is none.

        StorageError if another program, or another part of this one, has the lock.
        """
        for _ in range(_TRIES):
            descriptor = self._open(name, create=create)
            if descriptor is None:
                return None
            if not lock:
                return descriptor
            try:
                _lock(descriptor)
                if self._is_there(name, descriptor):
                    return descriptor
            except BaseException:
                at.close(descriptor)
                raise
            at.close(descriptor)  # removed between opening and locking: look again
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def replace(self, name: bytes, new: bytes) -> None:
        """Give the file `name` the name `new`, instead of what has it; durable after `sync`."""
        at.replace(self._directory, name, new)

    def remove(self, name: bytes) -> None:
        """Remove a file; nothing happens if it is not there."""
        with contextlib.suppress(FileNotFoundError):
            at.remove(self._directory, name)

    def names(self) -> list[bytes]:
        return at.names(self._directory)

    def status(self, name: bytes) -> os.stat_result:
        return at.status(self._directory, name)

    def sync(self) -> None:
        """Make the names durable, where the file system can."""
        flush.sync_directory(self._directory)

    def close(self) -> None:
        at.close(self._directory)

    def _open(self, name: bytes, *, create: bool) -> int | None:
        try:
            return self._open_ours(name)
        except FileNotFoundError:
            pass
        if not create:
            return None
        try:
            return at.create(self._directory, name)
        except FileExistsError:  # another program was quicker
            return self._open(name, create=False)

    def _open_ours(self, name: bytes) -> int:
        found = at.status(self._directory, name)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
            return at.open_file(self._directory, name, found.st_ino, writing=True)
        # Something else has the name of our file: it keeps its content and loses the name.
        at.replace(self._directory, name, name + b".strange")
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _is_there(self, name: bytes, descriptor: int) -> bool:
        try:
            return at.status(self._directory, name).st_ino == os.fstat(descriptor).st_ino
        except FileNotFoundError:
            return False


def _lock(descriptor: int) -> None:
    """Lock while the descriptor is open; where locks are unknown there are none."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StorageError(
            "it is already being received by another program",
            "Wait for the other one, or end it.",
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL):
            raise
