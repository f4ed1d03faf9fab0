"""Every call that takes a name, relative to a directory descriptor: the only door to the disk.

A name here is one component, never a path; nothing follows a link; creation is exclusive (SPEC §9).
Opens do not block, so a FIFO cannot hold us, and whoever reads must find a regular file behind it.
`tests/disk/test_static.py` keeps such calls out of the other files. Where the operating system has
no such calls (Windows), `plain` stands in with the same names.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable

from securecp.disk.flush import sync_directory

Identity = tuple[int, int]
"""Device and inode number: what a name must still lead to when it is opened again."""

_SAFE = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_NO_REPLACE = 1
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)


def pin(path: bytes) -> int:
    """Open a directory that our own user named by a path; links on the way are the user's."""
    return os.open(path, _DIRECTORY | getattr(os, "O_CLOEXEC", 0))


def pin_private(path: bytes) -> int:
    """Open a folder of our own state by its path; what is missing of it is made, 0700."""
    made = _missing(path)
    os.makedirs(os.path.dirname(path) or b".", exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    try:
        for each in made:
            _keep(os.path.dirname(each) or b".")
    except OSError:  # or the next try would find them there and not ask again
        for each in made:
            with contextlib.suppress(OSError):
                os.rmdir(each)
        raise
    descriptor = os.open(path, _DIRECTORY | _SAFE)
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid():
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "it belongs to another user")
    if found.st_mode & 0o077:
        os.fchmod(descriptor, 0o700)
    return descriptor


def _missing(path: bytes) -> list[bytes]:
    """The folder and those above it that are not there yet, the innermost first."""
    found = []
    while path and not os.path.lexists(path):
        found.append(path)
        path = os.path.dirname(path)
    return found


def _keep(directory: bytes) -> None:
    """Make the names in a directory durable, if we may open it."""
    try:
        descriptor = os.open(directory, _DIRECTORY | getattr(os, "O_CLOEXEC", 0))
    except PermissionError:
        return
    try:
        sync_directory(descriptor)
    finally:
        os.close(descriptor)


def open_directory(parent: int, name: bytes) -> int:
    return os.open(name, _DIRECTORY | _SAFE, dir_fd=parent)


def open_file(parent: int, name: bytes, inode: int, *, writing: bool = False) -> int:
    """Open the regular file that has this inode number; OSError (ELOOP, ESTALE…) for any other."""
    flags = os.O_RDWR if writing else os.O_RDONLY
    descriptor = os.open(name, flags | _SAFE, dir_fd=parent)
    found = os.fstat(descriptor)
    if found.st_ino != inode or not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    return descriptor


def create(parent: int, name: bytes) -> int:
    """Make a new file that only we can read, or raise FileExistsError."""
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFE, 0o600, dir_fd=parent)


def create_nameless(parent: int) -> int:
    """Make a file without a name, gone when it is closed; OSError where the system has none."""
    if not hasattr(os, "O_TMPFILE"):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    return os.open(b".", os.O_RDWR | os.O_TMPFILE | _SAFE, 0o600, dir_fd=parent)


def make_directory(parent: int, name: bytes) -> None:
    os.mkdir(name, 0o700, dir_fd=parent)


def link(parent: int, name: bytes, new: bytes) -> None:
    """Give the file a second name; never replaces, never follows."""
    os.link(name, new, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)


def replace(parent: int, name: bytes, new: bytes) -> None:
    """Rename a file over whatever is there, unless that is a directory."""
    os.replace(name, new, src_dir_fd=parent, dst_dir_fd=parent)


def rename_directory(parent: int, name: bytes, new: bytes) -> None:
    """Rename a directory, or raise FileExistsError.

    Where one call cannot do that, a directory is made under the new name and replaced (`rename`
    refuses any that is not empty): a crash in between leaves it there.
    """
    if rename_exclusively(parent, name, new):
        return
    os.mkdir(new, 0o700, dir_fd=parent)
    try:
        os.rename(name, new, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # it was exchanged
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.rmdir(new, dir_fd=parent)
        raise


def rename_exclusively(parent: int, name: bytes, new: bytes) -> bool:
    """Rename, or raise FileExistsError; False where the system or the file system cannot."""
    call = _renameat2()
    if call is None:
        return False
    code = call(parent, name, new)
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM):  # EPERM: by a sandbox
        return False
    if code:
        raise OSError(code, os.strerror(code))
    return True


def _renameat2() -> Callable[[int, bytes, bytes], int] | None:
    """`renameat2` of the C library, not replacing, as a function that returns an errno."""
    with contextlib.suppress(ImportError, OSError, AttributeError, TypeError):
        import ctypes  # 10 ms to import, and only here and in `flush`

        function = ctypes.CDLL(None, use_errno=True).renameat2
        return lambda parent, name, new: (
            ctypes.get_errno() if function(parent, name, parent, new, _NO_REPLACE) else 0
        )
    return None


def remove(parent: int, name: bytes) -> None:
    os.unlink(name, dir_fd=parent)


def remove_directory(parent: int, name: bytes) -> None:
    """Remove an empty directory."""
    os.rmdir(name, dir_fd=parent)


def status(parent: int, name: bytes) -> os.stat_result:
    return os.stat(name, dir_fd=parent, follow_symlinks=False)


def names(directory: int) -> list[bytes]:
    """What the directory holds, in no order."""
    return [os.fsencode(name) for name in os.listdir(directory)]


def inodes(directory: int) -> list[tuple[bytes, int]]:
    """Names with inode numbers, as the directory itself tells them: nothing in it is looked at."""
    with os.scandir(directory) as found:
        return [(os.fsencode(entry.name), entry.inode()) for entry in found]


def split(path: str) -> tuple[bytes, bytes]:
    """A path that our own user typed as (directory, last component); `.` and `..` are resolved.

    The last component is empty for the root of the file system.
    """
    head, tail = os.path.split(path.rstrip("/") or path)
    if tail in ("", ".", ".."):
        head, tail = os.path.split(os.path.realpath(path))
    return os.fsencode(head or "."), os.fsencode(tail)


def identity(descriptor: int) -> Identity:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def close(descriptor: int) -> None:
    """Close what nothing was written to, or what has been flushed: an error says nothing new."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


def close_written(descriptor: int) -> None:
    """Close a file that was written to; OSError: what it holds is unknown."""
    os.close(descriptor)


def symlink(parent: int, name: bytes, target: bytes) -> None:
    """Make a symbolic link, or raise FileExistsError; the target is bytes like any others here."""
    os.symlink(target, name, dir_fd=parent)


def read_link(parent: int, name: bytes) -> bytes:
    return os.readlink(name, dir_fd=parent)


def set_link_time(parent: int, name: bytes, mtime_ns: int) -> None:
    """Set the times of the link itself, never of what it leads to."""
    os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=parent, follow_symlinks=False)
