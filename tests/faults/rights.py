"""Rights that tests need, or must do without, and what to say where they lack."""

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
MODEST = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""Starts a program for which modes count, even if it is root's: as for anybody else."""


def modest() -> list[str]:
    """What makes a program obey the modes of files; nothing if it does anyway."""
    return MODEST if os.geteuid() == 0 else []


def no_modesty() -> str:
    """Why that is not possible."""
    if os.geteuid():
        return ""
    if shutil.which("setpriv") is None:
        return "there is no setpriv"
    done = subprocess.run([*MODEST, "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def no_mounts() -> str:
    """Why no disk of our own can be mounted; empty if one can."""
    if os.geteuid():
        return "a mount namespace needs root"
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def with_disk(place: Path, size: int, body: Callable[[], None]) -> None:
    """Run `body` in a thread that alone sees a disk of `size` bytes there, with its programs."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            _mount(place, size)
            body()
        except BaseException as error:  # handed to who waits
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def _mount(place: Path, size: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for code in (
        libc.unshare(CLONE_NEWNS),
        libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None),
        libc.mount(b"none", bytes(place), b"tmpfs", 0, b"size=%d,mode=755" % size),
    ):
        if code:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
