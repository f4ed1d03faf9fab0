"""One network namespace: made, entered, removed.

Its name tells who made it: process and that process's start time. Whoever starts later removes what
the dead have left, and ends the programs that still run in there.
"""

import ctypes
import functools
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "securecp-lab"
NAMED = Path("/run/netns")
OWNED = re.compile(rf"{MARK}-(\d+)-(\d+)-")
CLONE_NEWNET = 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000

_libc = ctypes.CDLL(None, use_errno=True)
_labs = itertools.count(1)


class LabError(Exception):
    """The laboratory itself did not work; says which command, and what it answered."""


def command(*argv: str, text: str | None = None) -> str:
    """Run a tool where this thread is; its output."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(argv)}\n{text or ''}\n{done.stderr}")
    return done.stdout


class Space:
    """A network namespace of its own, with loopback up."""

    def __init__(self, name: str) -> None:
        self.name = name
        command("ip", "netns", "add", name)
        self._handle = os.open(NAMED / name, os.O_RDONLY | os.O_CLOEXEC)
        self.ip("link set lo up")
        self.sysctl(
            {
                # Addresses are ours to give, so nobody else can have them: no wait of a second.
                "ipv6/conf/default/accept_dad": 0,
                "ipv6/conf/all/accept_dad": 0,
                "ipv6/conf/default/keep_addr_on_down": 1,
                "ipv4/conf/all/rp_filter": 0,
                "ipv4/conf/default/rp_filter": 0,
            }
        )

    def remove(self) -> None:
        os.close(self._handle)
        with suppress(LabError):
            command("ip", "netns", "del", self.name)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread makes in here belongs to the namespace: sockets, devices, programs."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(self._handle)
            yield
        finally:
            _enter(back)
            os.close(back)

    def run(self, *argv: str, text: str | None = None) -> str:
        with self.inside():
            return command(*argv, text=text)

    def ip(self, *lines: str) -> None:
        """Lines for `ip -batch`."""
        self.run("ip", "-batch", "-", text="\n".join(lines))

    def nft(self, rules: str) -> None:
        self.run("nft", "-f", "-", text=rules)

    def sysctl(self, values: dict[str, int]) -> None:
        """Settings below /proc/sys/net, which shows those of the namespace we are in."""
        with self.inside():
            for name, value in values.items():
                Path("/proc/sys/net", name).write_text(str(value))

    def eager(self, *devices: str) -> None:
        """Ask for neighbours again soon, not after 1 s, when a device was not yet up to answer."""
        self.sysctl(
            {
                f"{family}/neigh/{device}/{name}": value
                for family in ("ipv4", "ipv6")
                for device in devices
                for name, value in (("retrans_time_ms", 20), ("mcast_solicit", 50))
            }
        )

    def await_words(self, words: str, device: str) -> None:
        """Until `ip` says so of a device: the kernel takes its time to notice a cable."""
        end = time.monotonic() + 5.0
        while words not in self.run("ip", "-d", "link", "show", "dev", device):
            if time.monotonic() > end:
                raise LabError(f"{device} in {self.name} is never {words!r}")


def _enter(handle: int) -> None:
    if _libc.setns(handle, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def label() -> str:
    """A name that no other lab has, here or in another process."""
    return f"{MARK}-{os.getpid()}-{_born(os.getpid())}-{next(_labs)}-"


def _born(pid: int) -> int | None:
    """When a process started, in ticks since boot; None if it is none, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _orphan(name: str) -> bool:
    owned = OWNED.match(name)
    return owned is not None and _born(int(owned[1])) != int(owned[2])


def sweep() -> None:
    """Remove what labs have left whose process is dead."""
    for entry in list(NAMED.iterdir()) if NAMED.is_dir() else []:
        if _orphan(entry.name):
            with suppress(LabError, ProcessLookupError):
                for pid in command("ip", "netns", "pids", entry.name).split():
                    os.kill(int(pid), signal.SIGKILL)
            with suppress(LabError):
                command("ip", "netns", "del", entry.name)
    for folder in Path(tempfile.gettempdir()).glob(f"{MARK}-*"):
        if _orphan(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def requirements(*tools: str) -> str:
    """What the laboratory lacks on this machine, in words; empty if it can work.

    Without root: unshare -Urnm make …, where user namespaces are allowed.
    """
    if lacking := [tool for tool in ("ip", "nft", *tools) if not shutil.which(tool)]:
        return f"there is no {', no '.join(lacking)}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "there is no /dev/net/tun for us"
    if os.geteuid():
        return "network namespaces need root, or: unshare -Urnm"
    if not _writable():
        return f"{NAMED} cannot be written"
    return _tried()


def _writable() -> bool:
    """Whether namespaces can have names. A root in name only (unshare -Urnm) gets a new /run."""
    with suppress(OSError):
        NAMED.mkdir(exist_ok=True)
        if os.access(NAMED, os.W_OK):
            return True
    _libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None)
    if _libc.mount(b"tmpfs", b"/run", b"tmpfs", 0, None):
        return False
    NAMED.mkdir()
    return True


def _tried() -> str:
    """What goes wrong when a namespace, a device and a table are made, as a lab does."""
    try:
        space = Space(label() + "try")
        try:
            space.ip("tuntap add dev wan mode tun")
            space.nft("table ip nat { chain post { type nat hook postrouting priority 100\n}\n}")
        finally:
            space.remove()
    except (LabError, OSError) as error:
        return f"network namespaces do not work here: {' '.join(str(error).split())}"
    return ""
