"""An internet in a process of its own, with delay, jitter, loss and rates; see forwarder."""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.lab.kernelnet import host
from tests.lab.namespaces import LabError, Space

ROOT = Path(__file__).parent.parent.parent
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
OFFLOAD_CSUM, OFFLOAD_USO = 0x01, 0x20 | 0x40
QUEUE = 4_000
"""Packets that a device holds while the process is at others."""


class UserInternet:
    """Nodes joined by TUN devices to one process, which obeys over a socket."""

    def __init__(self, offload: bool = True) -> None:
        self._offload = offload
        self._links: dict[str, tuple[Space, str, list[str]]] = {}
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(10.0)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.lab.forwarder", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def join(
        self, name: str, space: Space, device: str, addresses: list[str], prefixes: list[str]
    ) -> None:
        with space.inside():
            handle = _tun(device, self._offload)
        try:
            space.ip(
                f"link set {device} up txqueuelen {QUEUE}",
                f"route add default dev {device}",
                f"route add ::/0 dev {device}",
                *(f"addr add {host(a)} dev {device}" for a in addresses),
            )
            self._links[name] = space, device, addresses
            self._wish("join", name, [handle], addresses=addresses, prefixes=_bare(prefixes))
        finally:
            os.close(handle)

    def move(self, name: str, addresses: list[str], prefixes: list[str]) -> None:
        space, device, old = self._links[name]
        self._links[name] = space, device, addresses
        # New before old: without any address, a device would lose its routes as well.
        space.ip(
            *(f"addr add {host(a)} dev {device}" for a in addresses),
            *(f"addr del {host(a)} dev {device}" for a in old),
        )
        self._wish("move", name, addresses=addresses, prefixes=_bare(prefixes))

    def conditions(self, name: str, **values: float | bool) -> None:
        """Of all links with an empty name."""
        self._wish("conditions", name, conditions=values)

    def close(self) -> None:
        self._control.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
            return
        self._process.kill()
        self._process.wait()

    def _wish(
        self, what: str, name: str, handles: list[int] | None = None, **words: object
    ) -> None:
        wish = json.dumps({"do": what, "link": name, **words}).encode()
        socket.send_fds(self._control, [wish], handles or [])
        if self._control.recv(64) != b"done":
            raise LabError("the internet's process has died")


def _bare(prefixes: list[str]) -> list[str]:
    return [prefix.partition("/")[0] for prefix in prefixes]


def _tun(device: str, offload: bool) -> int:
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH22x", device.encode(), flags))
    for features in (OFFLOAD_CSUM | OFFLOAD_USO, OFFLOAD_CSUM) if offload else (OFFLOAD_CSUM,):
        with suppress(OSError):  # kernels before 6.2 know no whole bursts here
            fcntl.ioctl(handle, TUNSETOFFLOAD, features)
            break
    return handle
