"""The groups of the LAN: programs of one machine, two machines, no route, no network at all.

What needs namespaces of its own says loudly that it is skipped where there are none.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from securecp.endpoint import Burst, Endpoint
from securecp.nat.beacon import ANSWER, GROUP_V4, HERE, PORT, QUERY
from securecp.net import lan as module
from securecp.net.bind import bind_both
from securecp.net.doors import Doors
from securecp.net.lan import LanSockets
from securecp.net.udp import UdpSocket

VIA = 9
GROUPS = Endpoint(GROUP_V4, PORT, VIA)
PATIENCE = 2.0


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def station(stack: ExitStack) -> Doors:
    doors = Doors(*bind_both())
    stack.callback(doors.close)
    doors.add(VIA, LanSockets(doors))
    return doors


def beacon(kind: int, name: str) -> bytes:
    return bytes([kind]) + name.encode().ljust(39, b".")


def say(doors: Doors, data: bytes, to: Endpoint = GROUPS) -> None:
    assert doors.send(Burst(to, memoryview(bytearray(data)), len(data))) is None


def hear(doors: Doors, expected: bytes) -> list[Endpoint]:
    """From where those words came, first of all; others are other people's."""
    while True:
        doors.wait(PATIENCE)
        bursts = doors.read()
        if not bursts:
            return []
        found = [burst.endpoint for burst in bursts if bytes(burst.data) == expected]
        if found:
            return found


def test_two_programs_on_one_machine_find_each_other(stack: ExitStack) -> None:
    """The query comes from a main socket, and the answer to it, from the other's."""
    caller, called = station(stack), station(stack)
    say(caller, beacon(QUERY, "one machine"))
    source = hear(called, beacon(QUERY, "one machine"))[0]
    main = caller.endpoint(source.via)
    assert main is not None
    assert source.port == main.port
    say(called, beacon(ANSWER, "one machine"), source)
    answer = hear(caller, beacon(ANSWER, "one machine"))[0]
    theirs = called.endpoint(answer.via)
    assert theirs is not None
    assert answer.port == theirs.port


def test_here_is_heard_as_well(stack: ExitStack) -> None:
    caller, called = station(stack), station(stack)
    say(called, beacon(HERE, "waiting"))
    assert hear(caller, beacon(HERE, "waiting"))


def test_only_beacons_come_in_by_the_groups(stack: ExitStack) -> None:
    """Everything else belongs to the main sockets, where a source is a source."""
    caller, called = station(stack), station(stack)
    for kind in (0x41, 0x50, 0x60, 0x70, ANSWER):
        say(caller, beacon(kind, "not here"))
    for _ in range(100):
        say(caller, b"?")
    say(caller, beacon(QUERY, "last"))
    seen: list[bytes] = []
    while not seen or seen[-1] != beacon(QUERY, "last"):
        called.wait(PATIENCE)
        seen += [bytes(burst.data) for burst in called.read()]
    assert {data[0] for data in seen} <= {QUERY, HERE}


def test_what_is_heard_can_be_opened_in_place(stack: ExitStack) -> None:
    caller, called = station(stack), station(stack)
    say(caller, beacon(QUERY, "in place"))
    called.wait(PATIENCE)
    assert all(not burst.data.readonly for burst in called.read())


def test_refreshing_again_and_again_changes_nothing(stack: ExitStack) -> None:
    doors = Doors(*bind_both())
    stack.callback(doors.close)
    lan = LanSockets(doors)
    doors.add(VIA, lan)
    for _ in range(3):
        lan.refresh()
    say(doors, beacon(QUERY, "still there"))
    assert hear(doors, beacon(QUERY, "still there"))


def test_where_multicast_does_not_work_the_door_is_deaf_and_no_error(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ear", lambda _: None)
    doors = station(stack)
    say(doors, beacon(QUERY, "hello?"))
    doors.wait(0)
    assert doors.read() == []
    doors.remove(VIA)
    assert VIA not in doors


def test_a_taken_port_is_no_error(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have the port without sharing it."""
    alone = UdpSocket(Endpoint("127.0.0.1", 0))
    stack.callback(alone.close)
    monkeypatch.setattr(module, "PORT", alone.endpoint.port)
    monkeypatch.setattr(module, "GROUP_V4", "127.0.0.1")
    doors = Doors(*bind_both())
    stack.callback(doors.close)
    LanSockets(doors).close()


# namespaces

WORKER = """
import sys
from contextlib import ExitStack
from tests.net.test_lan import *
with ExitStack() as stack:
    doors = station(stack)
    print("ready", flush=True)
    sys.stdin.readline()
    {}
"""
ASK = """
    say(doors, beacon(QUERY, "over there"))
    places = []
    while not (places := [at for at in hear(doors, beacon(ANSWER, "over there"))]):
        pass
    print(sorted({at.address.partition("%")[0] for at in places}), flush=True)
"""
REPLY = """
    seen = set()
    while len(seen) < int(sys.argv[1]):
        for at in hear(doors, beacon(QUERY, "over there")):
            seen.add((at.via, at.port))
            say(doors, beacon(ANSWER, "over there"), at)
    print(sorted(via for via, _ in seen), flush=True)
    sys.stdin.readline()
"""


AT_ONCE = [f"net.ipv6.conf.{which}.accept_dad=0" for which in ("all", "default")]
"""Addresses of IPv6 can be used without a wait for others who have them."""


def lacking() -> str:
    """What this machine lacks for namespaces; empty if nothing."""
    if os.geteuid():
        return "root"
    for name in ("ip", "sysctl"):
        if not shutil.which(name):
            return name
    probe = f"securecp-lan{os.getpid()}-probe"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode:
        return "the right to make network namespaces"
    subprocess.run(["ip", "netns", "del", probe], check=False)
    return ""


class Program:
    """A part of this file in a namespace."""

    def __init__(self, space: str, body: str, *arguments: str) -> None:
        self._child = subprocess.Popen(
            [*inside(space), sys.executable, "-c", WORKER.format(body.strip()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.line() == "ready"

    def line(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()

    def go(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()

    def close(self) -> None:
        self._child.kill()
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()
        self._child.wait()


def inside(space: str) -> list[str]:
    return ["ip", "netns", "exec", space]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def two_hosts() -> Iterator[tuple[str, str]]:
    """Two namespaces and a cable; neither has a default route."""
    if reason := lacking():
        pytest.skip(f"LAN over two hosts is NOT tested: {reason}")
    left, right = (f"securecp-lan{os.getpid()}-{side}" for side in "ab")
    try:
        for space in (left, right):
            ip("netns", "add", space)
            command = [*inside(space), "sysctl", "-qw", *AT_ONCE]
            subprocess.run(command, check=True)
            ip("-n", space, "link", "set", "lo", "up")
        ip("-n", left, "link", "add", "lan0", "type", "veth", "peer", "lan0", "netns", right)
        for space, number in ((left, 1), (right, 2)):
            ip("-n", space, "link", "set", "lan0", "up")
            ip("-n", space, "addr", "add", f"10.77.0.{number}/24", "dev", "lan0")
        yield left, right
    finally:
        for space in (left, right):
            subprocess.run(["ip", "netns", "del", space], check=False)


def test_two_hosts_without_any_route_find_each_other_in_both_families(
    two_hosts: tuple[str, str],
) -> None:
    called = Program(two_hosts[1], REPLY, "2")
    caller = Program(two_hosts[0], ASK)
    try:
        called.go()
        caller.go()
        assert called.line() == "[0, 1]"
        assert caller.line().startswith(("['10.77.0.2'", "['fe80::"))
    finally:
        called.close()
        caller.close()


def test_two_hosts_with_ipv6_only(two_hosts: tuple[str, str]) -> None:
    """Link-local addresses are enough, and lead back through the interface they came by."""
    for space in two_hosts:
        ip("-n", space, "-4", "addr", "flush", "dev", "lan0")
    called = Program(two_hosts[1], REPLY, "1")
    caller = Program(two_hosts[0], ASK)
    try:
        called.go()
        caller.go()
        assert called.line() == "[1]"
        assert caller.line().startswith("['fe80::")
    finally:
        called.close()
        caller.close()
