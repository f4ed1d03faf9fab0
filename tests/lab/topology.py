"""Lab: who is joined to whom.

    inet ─┬─ srv         two IPv4 addresses, one IPv6
          ├─ public      a plain host
          ├─ nat ─┬─ host         both homes are 192.168.1.0/24, on purpose, and so are their hosts
          │       └─ host
          └─ nat (carrier) ─┬─ nat ── host
                            └─ nat ── host
    switch ─┬─ host      a network that leads nowhere
            └─ host

Addresses look public, and not like documentation: those count as private in Python's ipaddress and
for miniupnpd, so programs under test would not use them.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from tests.lab.kernelnet import KernelInternet
from tests.lab.namespaces import LabError, Space, label, sweep
from tests.lab.routers import Router
from tests.lab.usernet import UserInternet

PUBLIC4, PUBLIC6 = "11.0.113", "2600:ab8"
SRV, SRV_TOO, SRV6 = f"{PUBLIC4}.10", f"{PUBLIC4}.11", f"{PUBLIC6}:ffff::10"
HOME, CARRIER, SQUATTED = "192.168.1", "100.64.7", "25.64.7"
"""What networks behind routers are: of homes, of carriers, and of carriers that take others'
addresses, as some do, and as miniupnpd demands: at 100.64.x it refuses to work."""
FIRST_HOST = 10


class Internet(Protocol):
    """What joins nodes that have public addresses."""

    def join(
        self, name: str, space: Space, device: str, addresses: list[str], prefixes: list[str]
    ) -> None: ...
    def move(self, name: str, addresses: list[str], prefixes: list[str]) -> None: ...
    def conditions(self, name: str, **values: float | bool) -> None: ...
    def close(self) -> None: ...


@dataclass
class Node:
    """A machine of the lab."""

    name: str
    space: Space
    device: str
    """Towards the internet."""
    address: str = ""
    """Its own; of a router, the outer one."""
    address6: str = ""
    parent: str = ""
    also: list[str] = field(default_factory=list)
    """Further public addresses."""
    network: str = ""
    """The first three numbers of the network behind it, if there is one …"""
    network6: str = ""
    """… and its IPv6 prefix, such as 2600:ab8:21::"""
    router: Router | None = None
    given: int = 0
    """Addresses given to hosts there."""


class Lab:
    """A laboratory of its own, whatever others are doing; gone at the end of the with block.

    Without `delay`, `jitter` and `rate` the kernel is the internet. `delay` is one way, between any
    two nodes, in seconds; `rate` is of each link and direction, in bytes per second.
    """

    def __init__(
        self,
        delay: float | None = None,
        jitter: float = 0.0,
        loss: float = 0.0,
        rate: float = 0.0,
        offload: bool = True,
        server: bool = True,
    ) -> None:
        self._label = label()
        self._conditions = {"delay": delay or 0.0, "jitter": jitter, "loss": loss, "rate": rate}
        self._userland = delay is not None or bool(jitter or rate)
        self._offload = offload
        self._server = server
        self._programs: list[subprocess.Popen[Any]] = []
        self._internet: Internet | None = None
        self._public = 20
        self.nodes: dict[str, Node] = {}
        self.folder = Path()
        """Everything that programs of this lab write, homes first."""

    def __enter__(self) -> Self:
        sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=self._label))
        try:
            self._internet = self._connected()
            if self._server:
                node = self._node("srv", "eth0")
                self._join(node, SRV, SRV6, SRV_TOO)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for program in self._programs:
            kill(program)
            program.wait()
        if self._internet is not None:
            self._internet.close()
            self._internet = None
        for node in self.nodes.values():
            node.space.remove()
        self.nodes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Building

    def public(self, name: str) -> Node:
        """A host without NAT, such as another server."""
        node = self._node(name, "eth0")
        number = self._number()
        self._join(node, f"{PUBLIC4}.{number}", f"{PUBLIC6}:ffff::{number}")
        return node

    def nat(
        self,
        name: str,
        router: Router | None = None,
        parent: str = "inet",
        network: str = HOME,
        mtu: int = 1500,
        **how: Any,
    ) -> Node:
        """A router and the network behind it; `how` as in routers.Router, unless one is given.

        With `network=CARRIER` homes behind it can have routers of their own, it being `parent`.
        """
        router = router or Router(**how)
        node = self._node(name, "wan", router=router, network=network)
        number = self._number()
        node.space.sysctl({"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1})
        if router.v6 != "none":
            node.network6 = f"{PUBLIC6}:{number}::"
        if parent == "inet":
            six = f"{PUBLIC6}:ffff::{number}" if node.network6 else ""
            self._join(node, f"{PUBLIC4}.{number}", six)
        else:
            self._plug(node, self.nodes[parent])
        own6 = [f"addr add {node.network6}1/64 nodad dev lan"] if node.network6 else []
        node.space.ip(
            f"link set wan mtu {mtu}",
            "link add lan type bridge forward_delay 0 mcast_snooping 0",
            f"addr add {node.network}.1/24 dev lan",
            *own6,
            "link set lan up",
        )
        node.space.eager("wan", "lan")
        _pass_frames_by(node.space)
        node.space.nft(router.rules(node.address))
        node.space.sysctl(router.sysctls())
        return node

    def switch(self, name: str) -> Node:
        """A network that leads nowhere: no router, no route, no server."""
        node = self._node(name, "lan", network=HOME)
        node.space.ip(
            "link add lan type bridge forward_delay 0 mcast_snooping 0", "link set lan up"
        )
        _pass_frames_by(node.space)
        return node

    def host(self, name: str, parent: str, isolated: bool = False) -> Node:
        """A machine in the network behind `parent`; the isolated do not see each other there."""
        node = self._node(name, "eth0")
        self._plug(node, self.nodes[parent])
        if isolated:
            port = f"p-{name}"
            self.nodes[parent].space.ip(f"link set {port} type bridge_slave isolated on")
        return node

    # Changing

    def weather(self, **conditions: float) -> None:
        """Of the whole internet from now on: delay, jitter, loss, rate, queue."""
        self._internet_().conditions("", **conditions)

    def link(self, name: str, **conditions: float | bool) -> None:
        """Of one public node's link, on top of the weather; `up=False` cuts it, untold."""
        self._internet_().conditions(name, **conditions)

    def forget(self, name: str) -> None:
        """The router loses all its mappings, as when it starts anew."""
        node = self.nodes[name]
        node.space.run("conntrack", "-F")
        if node.router is not None:
            node.space.nft(node.router.rules(node.address))

    def renumber(self, name: str) -> str:
        """Another address: of a host in its network, of a public node on the internet. The new one.

        A router loses its mappings by it.
        """
        node = self.nodes[name]
        if node.parent:
            self._give(node, self.nodes[node.parent])
        else:
            number = self._number()
            node.address = f"{PUBLIC4}.{number}"
            node.address6 = node.address6 and f"{PUBLIC6}:ffff::{number}"
            self._internet_().move(name, _addresses(node), _prefixes(node))
        if node.router is not None:
            self.forget(name)
        return node.address

    def unplug(self, name: str) -> None:
        """The host's own device goes down, which the host notices."""
        node = self.nodes[name]
        node.space.ip(f"link set {node.device} down")

    def replug(self, name: str) -> None:
        node = self.nodes[name]
        parent = self.nodes[node.parent]
        node.space.ip(f"link set {node.device} up", *_routes(node, parent))
        _await_port(parent.space, f"p-{name}")

    # Using

    def inside(self, name: str) -> AbstractContextManager[None]:
        """Sockets that are made in this block belong to the node, and go on doing so."""
        return self.nodes[name].space.inside()

    def udp(self, name: str, port: int = 0, address: str = "0.0.0.0") -> socket.socket:
        """A socket of the node, for the test to use."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.inside(name):
            made = socket.socket(family, socket.SOCK_DGRAM)
        made.bind((address, port))
        return made

    def home(self, name: str) -> Path:
        """The node's HOME."""
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def popen(
        self, name: str, argv: list[str], env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """A program at the node, with a HOME of its own; it ends with the lab at the latest."""
        ours = ("XDG_", "SECURECP_", "SSL_CERT_")
        base = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        program = subprocess.Popen(
            ["ip", "netns", "exec", self.nodes[name].space.name, *argv],
            env={**base, "HOME": str(self.home(name)), **(env or {})},
            start_new_session=True,
            **options,
        )
        self._programs.append(program)
        return program

    def mappings(self, name: str) -> list[str]:
        """What the router remembers of UDP, a line each."""
        return self.nodes[name].space.run("conntrack", "-L", "-p", "udp").splitlines()

    # Within

    def _connected(self) -> Internet:
        if self._userland:
            internet: Internet = UserInternet(self._offload)
            internet.conditions("", **self._conditions)
            return internet
        internet = KernelInternet(self._node("inet", "").space)
        if self._conditions["loss"]:
            internet.conditions("", loss=self._conditions["loss"])
        return internet

    def _internet_(self) -> Internet:
        assert self._internet is not None, "the lab is closed"
        return self._internet

    def _number(self) -> int:
        self._public += 1
        return self._public

    def _node(self, name: str, device: str, **more: Any) -> Node:
        node = Node(name, Space(self._label + name), device, **more)
        self.nodes[name] = node
        return node

    def _join(self, node: Node, address: str, address6: str, *also: str) -> None:
        node.address, node.address6, node.also = address, address6, list(also)
        self._internet_().join(
            node.name, node.space, node.device, _addresses(node), _prefixes(node)
        )

    def _plug(self, node: Node, parent: Node) -> None:
        """Join to the network behind `parent`."""
        port = f"p-{node.name}"
        parent.space.ip(
            f"link add {port} type veth peer name {node.device} netns {node.space.name}",
            f"link set {port} master lan up",
        )
        node.parent = parent.name
        node.space.ip(f"link set {node.device} up")
        node.space.eager(node.device)
        self._give(node, parent)
        _await_port(parent.space, port)

    def _give(self, node: Node, parent: Node) -> None:
        """An address in the network behind `parent`, instead of the one it had."""
        number = FIRST_HOST + parent.given
        parent.given += 1
        if node.address:
            node.space.ip(f"addr flush dev {node.device} scope global")
        node.address = f"{parent.network}.{number}"
        six = []
        if parent.network6:
            node.address6 = f"{parent.network6}{number}"
            six = [f"addr add {node.address6}/64 nodad dev {node.device}"]
        node.space.ip(f"addr add {node.address}/24 dev {node.device}", *six, *_routes(node, parent))


def kill(program: subprocess.Popen[Any]) -> None:
    """End a program of the lab and what it has started, for else that would hold its pipes."""
    if program.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)


def _addresses(node: Node) -> list[str]:
    return [address for address in (node.address, *node.also, node.address6) if address]


def _prefixes(node: Node) -> list[str]:
    return [f"{node.network6}/64"] if node.network6 else []


def _routes(node: Node, parent: Node) -> list[str]:
    if parent.router is None:
        return []
    routes = [f"route replace default via {parent.network}.1 dev {node.device}"]
    if parent.network6:
        routes.append(f"route replace ::/0 via {parent.network6}1 dev {node.device}")
    return routes


def _await_port(space: Space, port: str) -> None:
    space.await_words("state forwarding", port)
    space.await_words("state UP", "lan")


def _pass_frames_by(space: Space) -> None:
    """Frames between two hosts of one network are no business of the router's rules."""
    for family in ("iptables", "ip6tables"):
        with suppress(OSError, LabError):  # where the kernel has no rules for frames at all
            space.sysctl({f"bridge/bridge-nf-call-{family}": 0})
