"""The folder of control sockets: ours alone, one socket for each program that runs.

A socket is made under another name and renamed when it listens, so that one which refuses a
connection is one that a dead program left. Paths of sockets are short (108 bytes); where ours is
not, the folder is named by its descriptor.
"""

import contextlib
import os
import re
import socket
import stat
from pathlib import Path

NAME = "control"
_SOCKET = re.compile(r"[1-9][0-9]{0,9}\.sock")
_LONGEST_PATH = 100
_BACKLOG = 64
_PATIENCE = 2.0


class Folder:
    """Held open; everything happens relative to it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def names(self) -> list[str]:
        """Sockets, of the living and the dead."""
        return sorted(name for name in os.listdir(self._descriptor) if _SOCKET.fullmatch(name))

    def address(self, name: str) -> str:
        """What `bind` and `connect` take."""
        path = str(self.path / name)
        if len(os.fsencode(path)) <= _LONGEST_PATH:
            return path
        return f"/proc/self/fd/{self._descriptor}/{name}"

    def protect(self, name: str) -> None:
        """Nobody else may connect."""
        os.chmod(name, 0o600, dir_fd=self._descriptor)

    def rename(self, name: str, new: str) -> None:
        os.rename(name, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def open_folder(state: Path, *, create: bool) -> Folder:
    """OSError if there is none, or if it is not safe."""
    path = state / NAME
    if create:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise PermissionError(f"{path} belongs to another user")
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.fchmod(descriptor, 0o700)
    except BaseException:
        os.close(descriptor)
        raise
    return Folder(path, descriptor)


def listen(folder: Folder, name: str) -> socket.socket:
    """A socket of this name, after those of dead programs are gone."""
    sweep(folder)
    new = f".{name}.new"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        with contextlib.suppress(FileNotFoundError):
            folder.remove(new)
        listener.bind(folder.address(new))
        folder.protect(new)
        listener.listen(_BACKLOG)
        folder.rename(new, name)
    except BaseException:
        listener.close()
        raise
    return listener


def sweep(folder: Folder) -> None:
    """Remove sockets behind which nobody is."""
    for name in folder.names():
        with contextlib.suppress(OSError):
            connect(folder, name).close()


def connect(folder: Folder, name: str) -> socket.socket:
    """To the program behind a socket; a dead one's socket is removed, and the error comes."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_PATIENCE)
        connection.connect(folder.address(name))
    except ConnectionRefusedError:
        connection.close()
        folder.remove(name)
        raise
    except BaseException:
        connection.close()
        raise
    return connection
