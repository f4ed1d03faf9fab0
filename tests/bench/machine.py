"""What else this machine is doing, and settings of the kernel that a job borrows."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

IDLE = 0.15
"""Cores in use by others, below which the machine counts as idle."""
PAUSE = 0.5


def busy() -> float:
    """Seconds of CPU used on this machine so far by programs, and taken from it by its host.

    Not the kernel's interrupts: they are our own packets as likely as anything.
    """
    with open("/proc/stat") as file:
        user, nice, system, _, _, _, _, steal, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + steal) / os.sysconf("SC_CLK_TCK")


def wait_idle(patience: float) -> None:
    """Return when others use almost nothing, or after `patience` seconds."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        before = busy()
        time.sleep(PAUSE)  # noqa: TID251
        if busy() - before < IDLE * PAUSE:
            return


@contextmanager
def borrowed(settings: Mapping[str, str]) -> Iterator[None]:
    """Kernel settings (`net.core.rmem_max`) for a while; needs root."""
    files = {Path("/proc/sys") / name.replace(".", "/"): text for name, text in settings.items()}
    before = {path: path.read_text() for path in files}
    try:
        for path, text in files.items():
            path.write_text(text)
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)


def memory(need: int) -> str | None:
    """A file system in memory with room for `need` bytes, so that no disk is in the figures."""
    shm = Path("/dev/shm")
    if shm.is_dir() and shutil.disk_usage(shm).free > need:
        return str(shm)
    print("no room in /dev/shm: these figures include the disk")
    return None


def controls() -> list[str]:
    """The TCP congestion controls that this kernel has."""
    path = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
    return path.read_text().split() if path.exists() else []


def usual_control() -> str:
    path = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    return path.read_text().strip() if path.exists() else ""


@cache
def describe() -> str:
    """This machine in one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    system = os.uname()
    return f"{os.cpu_count()} cores ({model}), {pages >> 30} GiB, {system.sysname} {system.release}"
