"""Every call that takes a name, relative to a directory descriptor: the only door to the disk.

A name here is one component, never a path; nothing follows a link; creation is exclusive (SPEC §9).
Opens do not block, so a FIFO cannot hold us, and whoever reads must find a regular file behind it.
`tests/disk/test_static.py` keeps such calls out of the other files. Where the operating system has
no such calls (Windows), `plain` stands in with the same names.
"""

import errno
import os
import stat

Identity = tuple[int, int]
"""Device and inode number: what a name must still lead to when it is opened again."""

_SAFE = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)


def pin(path: bytes) -> int:
    """Open a directory that our own user named by a path; links on the way are the user's."""
    return os.open(path, _DIRECTORY | getattr(os, "O_CLOEXEC", 0))


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


def make_directory(parent: int, name: bytes) -> None:
    os.mkdir(name, 0o700, dir_fd=parent)


def link(parent: int, name: bytes, new: bytes) -> None:
    """Give the file a second name; never replaces, never follows."""
    os.link(name, new, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)


def replace(parent: int, name: bytes, new: bytes) -> None:
    """Rename a file over whatever is there, unless that is a directory."""
    os.replace(name, new, src_dir_fd=parent, dst_dir_fd=parent)


def rename_directory(parent: int, name: bytes, new: bytes) -> None:
    """Rename a directory, or raise FileExistsError: only an empty directory that we have just
    made ourselves under the new name is ever replaced (`rename` refuses any other)."""
    os.mkdir(new, 0o700, dir_fd=parent)
    try:
        os.rename(name, new, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # it was exchanged
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.rmdir(new, dir_fd=parent)
        raise


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
    os.close(descriptor)
