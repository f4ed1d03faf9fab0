"""Private files: safe to read, and replaced whole or not at all (SPEC §3.1).

Everything happens relative to one open directory, which is checked once: it belongs to us and
nobody else may write in it. So between a check and a use nothing can be exchanged
(and therefore `os`, not `pathlib`, which knows no directory descriptors).

    replace:  temporary file, new, 0600 → write → fsync → link or rename → fsync of the directory
              a crash at any point leaves the old content or the new; the leftover temporary file
              is removed by the next writer

Readers need no lock, since a file changes in one step. Writers hold the lock file; it is never
removed, because a lock on a removed file locks nobody out.

On Windows there are no directory descriptors, owners or modes: the user's profile directory is
private there by its access list, and this file only replaces and locks.
"""

import os
import re
import shlex
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import ELOOP, EMLINK, ENOSYS, ENOTSUP, EPERM
from pathlib import Path
from typing import Self

from keys.errors import FileFailedError, FileRefusedError

LOCK_NAME = ".securecp.lock"
LOCK_PATIENCE = 10.0
"""Seconds to wait for another writer, which holds the lock for milliseconds."""

_POSIX = os.name == "posix"
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINKS = {EPERM, ENOTSUP, ENOSYS, EMLINK}
_TEMPORARY = re.compile(r"\.securecp-[0-9a-f]{16}\.new")


class PrivateDirectory:
    """One directory of ours, held open; use it in a `with` statement."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open and check it; `create` makes it first, 0700, with whatever is missing above it."""
        self.path = path
        self._locked = False
        with _explained(path, "open"):
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileExistsError):
                    path.mkdir(mode=0o700)
            self._fd = (
                os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if _POSIX else None
            )
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the directory."""
        if self._fd is not None:
            with suppress(OSError):  # nothing was written through it
                os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._fd is None:
            return
        status = os.fstat(self._fd)
        _check_owner(status, self.path)
        if status.st_mode & 0o022:
            raise FileRefusedError(
                f"other users may write in {self.path}", f"chmod 700 {_quoted(self.path)}"
            )

    def _at(self, name: str) -> str:
        return name if self._fd is not None else str(self.path / name)

    def read(self, name: str, *, limit: int, secret: bool) -> bytes | None:
        """The content, at most `limit` bytes; None if there is no such file.

        `secret` refuses a file that others can read; without it, one that others can write.
        """
        path = self.path / name
        with _explained(path, "read"):
            try:
                flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _FLAGS
                descriptor = os.open(self._at(name), flags, dir_fd=self._fd)
            except FileNotFoundError:
                return None
            try:
                _check_file(os.fstat(descriptor), path, secret=secret)
                return _read_all(descriptor, path, limit)
            finally:
                os.close(descriptor)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers out, also those of our own process; waits up to `LOCK_PATIENCE`."""
        path = self.path / LOCK_NAME
        with _explained(path, "lock"):
            flags = os.O_RDWR | os.O_CREAT | _FLAGS
            descriptor = os.open(self._at(LOCK_NAME), flags, 0o600, dir_fd=self._fd)
        try:
            _wait_for_lock(descriptor, path)
            self._locked = True
            yield
        finally:
            self._locked = False
            with suppress(OSError):  # closed, and so unlocked, all the same
                os.close(descriptor)

    def replace(
        self,
        name: str,
        data: bytes,
        *,
        overwrite: bool,
        unchanged: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Put `data` there, 0600, whole or not at all. Needs the lock.

        False, and nothing changed, if the file exists and `overwrite` is not set, or if
        `unchanged()`, asked at the last moment, says no.
        """
        assert self._locked
        self._sweep()
        import secrets  # 3 ms to import, and only for writers

        temporary = f".securecp-{secrets.token_hex(8)}.new"
        with _explained(self.path / name, "write"):
            try:
                self._write(temporary, data)
                done = unchanged() and self._publish(temporary, name, overwrite=overwrite)
            except BaseException:
                self._unlink(temporary)
                raise
            self._unlink(temporary)
            if self._fd is not None:
                os.fsync(self._fd)
        return done

    def _write(self, name: str, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS
        descriptor = os.open(self._at(name), flags, 0o600, dir_fd=self._fd)
        try:
            if _POSIX:
                os.fchmod(descriptor, 0o600)  # whatever the umask made of it
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _publish(self, temporary: str, name: str, *, overwrite: bool) -> bool:
        if not overwrite:
            try:
                os.link(
                    self._at(temporary), self._at(name), src_dir_fd=self._fd, dst_dir_fd=self._fd
                )
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                if self._exists(name):  # no hard links on this file system: the lock must do
                    return False
            else:
                return True
        os.replace(self._at(temporary), self._at(name), src_dir_fd=self._fd, dst_dir_fd=self._fd)
        return True

    def _exists(self, name: str) -> bool:
        try:
            os.stat(self._at(name), dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _unlink(self, name: str) -> None:
        with suppress(OSError):  # renamed, never made, or left for the next writer
            os.unlink(self._at(name), dir_fd=self._fd)

    def _sweep(self) -> None:
        """Remove what a crashed writer left; the lock says that nobody is writing now."""
        for name in os.listdir(self.path if self._fd is None else self._fd):
            if _TEMPORARY.fullmatch(name):
                self._unlink(name)


def _check_owner(status: os.stat_result, path: Path) -> None:
    if _POSIX and status.st_uid != os.geteuid():
        raise FileRefusedError(
            f"{path} belongs to another user", f'sudo chown "$(id -u)" {_quoted(path)}'
        )


def _check_file(status: os.stat_result, path: Path, *, secret: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FileRefusedError(f"{path} is not a regular file", f"ls -ld {_quoted(path)}")
    _check_owner(status, path)
    if _POSIX and secret and status.st_mode & 0o077:
        raise FileRefusedError(f"other users may read {path}", f"chmod 600 {_quoted(path)}")
    if _POSIX and status.st_mode & 0o022:
        raise FileRefusedError(f"other users may write {path}", f"chmod go-w {_quoted(path)}")


def _read_all(descriptor: int, path: Path, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit + 1
    while left and (part := os.read(descriptor, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    if not left:
        raise FileRefusedError(f"{path} is larger than {limit} bytes", f"ls -l {_quoted(path)}")
    return b"".join(parts)


@contextmanager
def _explained(path: Path, verb: str) -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except OSError as error:
        # a link in the last place: ELOOP, on some systems EMLINK
        if error.errno in (ELOOP, EMLINK) and path.is_symlink():
            raise FileRefusedError(
                f"{path} is a symbolic link", f"ls -l {_quoted(path)}, then rm {_quoted(path)}"
            ) from None
        raise FileFailedError(f"cannot {verb} {path}: {error.strerror or error}") from error


def _wait_for_lock(descriptor: int, path: Path) -> None:
    give_up_at = time.monotonic() + LOCK_PATIENCE
    while not _try_lock(descriptor):
        if time.monotonic() > give_up_at:
            raise FileFailedError(
                f"another securecp is busy with {path.parent}", "Try again in a moment."
            )
        time.sleep(0.01)  # noqa: TID251  # a lock file has no event, and flock no time limit


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise FileFailedError(f"this file system cannot lock: {error.strerror}") from error
        return True


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
