"""`at` for systems without directory descriptors (Windows): the same names, over joined paths.

What is lost there: a component swapped for a link between two calls is followed. Creation stays
exclusive and publishing still never replaces. A "descriptor" of a directory is a negative number
that stands for its path, so that the callers are the same.
"""

import errno
import itertools
import os
import stat

from securecp.disk.at import Identity, split

__all__ = ["Identity", "split"]

_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
_paths: dict[int, bytes] = {}
_numbers = itertools.count(-2, -1)


def _path(parent: int, name: bytes) -> bytes:
    return os.path.join(_paths[parent], name)


def pin(path: bytes) -> int:
    if not stat.S_ISDIR(os.stat(path).st_mode):
        raise NotADirectoryError(path)
    number = next(_numbers)
    _paths[number] = os.path.abspath(path)
    return number


def pin_private(path: bytes) -> int:
    os.makedirs(path, mode=0o700, exist_ok=True)
    return pin(path)


def open_directory(parent: int, name: bytes) -> int:
    if not stat.S_ISDIR(status(parent, name).st_mode):
        raise NotADirectoryError(name)
    return pin(_path(parent, name))


def open_file(parent: int, name: bytes, inode: int, *, writing: bool = False) -> int:
    found = status(parent, name)
    if found.st_ino != inode or not stat.S_ISREG(found.st_mode):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    return os.open(_path(parent, name), (os.O_RDWR if writing else os.O_RDONLY) | _BINARY)


def create(parent: int, name: bytes) -> int:
    return os.open(_path(parent, name), os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)


def create_nameless(_: int) -> int:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def make_directory(parent: int, name: bytes) -> None:
    os.mkdir(_path(parent, name), 0o700)


def link(parent: int, name: bytes, new: bytes) -> None:
    os.link(_path(parent, name), _path(parent, new))


def replace(parent: int, name: bytes, new: bytes) -> None:
    os.replace(_path(parent, name), _path(parent, new))


def rename_directory(parent: int, name: bytes, new: bytes) -> None:
    if os.name != "nt":  # where rename would replace an empty directory, make sure it is ours
        os.mkdir(_path(parent, new), 0o700)
    os.rename(_path(parent, name), _path(parent, new))


def rename_exclusively(*_: object) -> bool:
    return False


def remove(parent: int, name: bytes) -> None:
    os.unlink(_path(parent, name))


def remove_directory(parent: int, name: bytes) -> None:
    os.rmdir(_path(parent, name))


def status(parent: int, name: bytes) -> os.stat_result:
    return os.stat(_path(parent, name), follow_symlinks=False)


def names(directory: int) -> list[bytes]:
    return os.listdir(_paths[directory])


def inodes(directory: int) -> list[tuple[bytes, int]]:
    return [(name, status(directory, name).st_ino) for name in names(directory)]


def identity(descriptor: int) -> Identity:
    found = os.stat(_paths[descriptor]) if descriptor < 0 else os.fstat(descriptor)
    return found.st_dev, found.st_ino


def close_written(descriptor: int) -> None:
    os.close(descriptor)


def close(descriptor: int) -> None:
    if descriptor < 0:
        del _paths[descriptor]
    else:
        os.close(descriptor)


def symlink(parent: int, name: bytes, target: bytes) -> None:
    os.symlink(target, _path(parent, name))


def read_link(parent: int, name: bytes) -> bytes:
    return os.readlink(_path(parent, name))


def set_link_time(parent: int, name: bytes, mtime_ns: int) -> None:
    os.utime(_path(parent, name), ns=(mtime_ns, mtime_ns), follow_symlinks=False)
