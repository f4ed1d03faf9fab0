"""Whole transfers over a veth pair: no offload in the device, jumbo frames, and black holes.

Needs root and network namespaces; says loudly what it skips. Each test has a pair of its own.
"""

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.cli.program import COMMAND, PATIENCE, keygen, meet

NETWORK = "10.124.0"
THERE = f"{NETWORK}.2"
NO_OFFLOAD = ("gso", "off", "gro", "off", "tso", "off", "tx-udp-segmentation", "off")


def lacking() -> str:
    """What this machine lacks for namespaces; empty if nothing."""
    if os.geteuid():
        return "root"
    for name in ("ip", "ethtool", "nsenter"):
        if not shutil.which(name):
            return name
    probe = f"securecp-probe{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode:
        return "the right to make network namespaces"
    subprocess.run(["ip", "netns", "del", probe], check=False)
    return ""


@dataclass
class Cable:
    """Two namespaces and the veth pair between them; `a` sends, `b` receives."""

    a: str
    b: str

    def inside(self, side: str, *command: str) -> list[str]:
        """A command line that runs in one of them."""
        return ["nsenter", f"--net=/run/netns/{side}", *command]

    def set(self, side: str, *command: str) -> str:
        """Run a command in one of them, to its end."""
        done = subprocess.run(
            self.inside(side, *command), capture_output=True, text=True, check=False
        )
        assert not done.returncode, done.stderr
        return done.stdout

    def mtu(self, side: str, mtu: int) -> None:
        """From now on the device of that side takes no longer packets, and says so to nobody."""
        self.set(side, "ip", "link", "set", "wan0", "mtu", str(mtu))

    def no_offload(self) -> None:
        """Neither device cuts or joins anything."""
        for side in (self.a, self.b):
            self.set(side, "ethtool", "-K", "wan0", *NO_OFFLOAD)

    def sent(self) -> tuple[int, int]:
        """Packets and bytes that the sender's device has sent."""
        told = json.loads(self.set(self.a, "ip", "-j", "-s", "link", "show", "wan0"))
        counters = told[0]["stats64"]["tx"]
        return int(counters["packets"]), int(counters["bytes"])


@pytest.fixture
def cable() -> Iterator[Cable]:
    reason = lacking()
    if reason:
        pytest.skip(f"NOT TESTED: jumbo frames, black holes, devices without offload: no {reason}")
    cable = Cable(*(f"securecp{os.getpid()}{side}" for side in "ab"))
    try:
        for side in (cable.a, cable.b):
            subprocess.run(["ip", "netns", "add", side], check=True)
        pair = ["link", "add", "wan0", "type", "veth", "peer", "name", "wan0", "netns", cable.b]
        subprocess.run(["ip", "-n", cable.a, *pair], check=True)
        for number, side in enumerate((cable.a, cable.b), 1):
            cable.set(side, "ip", "addr", "add", f"{NETWORK}.{number}/24", "dev", "wan0")
            cable.set(side, "ip", "link", "set", "wan0", "up")
        yield cable
    finally:
        for side in (cable.a, cable.b):
            subprocess.run(["ip", "netns", "del", side], check=False)


@dataclass
class Run:
    """What a transfer told of itself."""

    packets: int
    size: int
    """Bytes of those packets."""


def transfer(
    cable: Cable, folder: Path, *options: str, size: int, after: Callable[[], None] | None = None
) -> Run:
    """Send `size` bytes with the installed command; call `after` when a third has arrived."""
    left, right = folder / "left", folder / "right"
    meet(left, "bob", keygen(right))
    meet(right, "alice", keygen(left))
    content = Random(size).randbytes(size)
    (folder / "content").write_bytes(content)
    receiver = subprocess.Popen(
        cable.inside(
            cable.b, COMMAND, "--home", str(right), "receive", "--listen", f"{THERE}:4400",
            "--once", "--yes", "--json", "--into", str(folder / "into"),
        ),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert receiver.stdout is not None
    try:
        assert "listening" in receiver.stdout.readline()
        before = cable.sent()
        sender = subprocess.Popen(
            cable.inside(
                cable.a, COMMAND, "--home", str(left), "send", str(folder / "content"),
                "--to", "bob", "--at", f"{THERE}:4400", "--json", *options,
            ),
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            follow(receiver, size // 3, after)
            assert sender.wait(PATIENCE) == 0
        finally:
            sender.kill()
            sender.wait()
        assert receiver.wait(PATIENCE) == 0
    finally:
        receiver.kill()
        receiver.wait()
        receiver.stdout.close()
    assert (folder / "into" / "content").read_bytes() == content
    packets, total = (now - then for now, then in zip(cable.sent(), before, strict=True))
    return Run(packets, total)


def follow(receiver: "subprocess.Popen[str]", third: int, after: Callable[[], None] | None) -> None:
    """Read the receiver's events until the end."""
    assert receiver.stdout is not None
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if not select.select([receiver.stdout], [], [], 1.0)[0]:
            continue
        line = receiver.stdout.readline()
        if not line:
            return
        event = json.loads(line)
        if after is not None and event["event"] == "progress" and event["bytes"] >= third:
            after()
            after = None
    raise AssertionError("the transfer does not come to its end")


def test_devices_that_cut_and_join_nothing_will_do(cable: Cable, tmp_path: Path) -> None:
    cable.no_offload()
    run = transfer(cable, tmp_path, size=8_000_000)
    assert run.size / run.packets < 1_514


def test_jumbo_frames_are_filled(cable: Cable, tmp_path: Path) -> None:
    """8,972 bytes of datagram, 28 of IP and UDP, 14 of Ethernet."""
    for side in (cable.a, cable.b):
        cable.mtu(side, 9_000)
    cable.no_offload()
    run = transfer(cable, tmp_path, size=20_000_000)
    assert run.size / run.packets > 7_000


@pytest.mark.parametrize("far", [True, False], ids=["far", "near"])
def test_a_black_hole_on_the_way_stops_nothing(cable: Cable, tmp_path: Path, far: bool) -> None:
    """The path carried 8,972 bytes, and in mid-transfer no more than 1,472, without a word.

    Far away they vanish; on our own device the system refuses them.
    """
    for side in (cable.a, cable.b):
        cable.mtu(side, 9_000)
    cable.no_offload()
    narrow = cable.b if far else cable.a
    run = transfer(
        cable, tmp_path, "--limit", "10MB/s", size=12_000_000,
        after=lambda: cable.mtu(narrow, 1_500),
    )  # fmt: skip
    assert run.packets > 4_000, "most of two thirds of it went in short datagrams"
