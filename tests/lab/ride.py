"""A transfer that something happens to: what is told and what arrives, before it and after it.

Scene   two homes, servers, a sender, a receiver; what can be done to them
Meter   bytes that reach the receiver's device, and what both programs cost, 50 times a second
ride    runs it all; the outcome says how long nothing came, and by which path it went on
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.lab.matrix import home
from tests.lab.meter import EVERY, Meter
from tests.lab.pairs import PORT, acquaint, sending_to
from tests.lab.programs import Event, Program, settings_of
from tests.lab.routers import Router
from tests.lab.topology import Lab

MEGA = 1_000_000
RATE = 3 * MEGA
"""Bytes per second of every transfer: slow enough to be seen, quick enough not to wait for."""
NOTICED = 0.3
"""Seconds without content that somebody may notice."""
LATE = 1.0
"""Seconds from the sender's end to the receiver's, at most."""
STARTING = 20.0
STEADY = 1.0
"""Seconds that content flows before anything happens."""


class Scene:
    """A lab with a transfer under way, and what can happen to it."""

    def __init__(self, lab: Lab, sending: str, receiving: str) -> None:
        self.lab = lab
        self.sending, self.receiving = sending, receiving
        self.servers: dict[str, Program] = {}
        self._keys: dict[str, str] = {}
        self.sender: Program
        self.receiver: Program
        self.meter: Meter
        self.hurt_at = 0.0
        self.cured_at = 0.0
        """When what had happened was over, if it ever was."""

    # servers

    def serve(self, node: str = "srv") -> None:
        """Start a server there, or start it again."""
        place = self.lab.nodes[node]
        six = [f"[{place.address6}]:{PORT}"] if place.address6 else []
        listen = [word for one in (f"{place.address}:{PORT}", *six) for word in ("--listen", one)]
        too = ["--second-address", place.also[0]] if place.also else []
        server = self.servers[node] = Program(self.lab, node, "serve", *listen, *too)
        url = str(server.until("serving", STARTING).event["url"])
        self._keys[node] = url.partition("#")[2]

    def url(self, node: str = "srv", *, six: bool = False) -> str:
        """Where both find it."""
        place = self.lab.nodes[node]
        host = f"[{place.address6}]" if six else place.address
        return f"ws://{host}:{PORT}#{self._keys[node]}"

    def configure(self, *servers: str) -> None:
        """Both homes use these servers."""
        for node in "ab":
            config = settings_of(self.lab, node) / "config.toml"
            config.write_text(f"servers = {list(servers)!r}\n".replace("'", '"'))
            config.chmod(0o600)

    def close(self) -> None:
        """End all servers."""
        for server in self.servers.values():
            server.stop()

    # what happens

    def waits(self, seconds: float) -> None:
        """Let time pass; nothing is waited for."""
        threading.Event().wait(seconds)

    def cured(self) -> None:
        self.cured_at = time.monotonic()

    def block(self, node: str, *rules: str) -> None:
        """Drop what these rules of nft match and the node would pass on."""
        lines = "\n".join(f"{rule} drop" for rule in rules)
        self.lab.nodes[node].space.nft(
            "table inet fault\ndelete table inet fault\ntable inet fault {\nchain forw {\n"
            f"type filter hook forward priority -10; policy accept;\n{lines}\n}}\n}}\n"
        )

    def unblock(self, node: str) -> None:
        self.lab.nodes[node].space.nft("delete table inet fault\n")

    def stop(self, program: Program, seconds: float) -> None:
        """Suspend it."""
        os.kill(program.process.pid, signal.SIGSTOP)
        self.waits(seconds)
        os.kill(program.process.pid, signal.SIGCONT)


class Outcome(NamedTuple):
    """What was seen."""

    good: bool
    path: str = ""
    """By which paths it went, in the sender's eyes."""
    gap: float | None = None
    """The longest time in which nothing came, in seconds."""
    recovered: float | None = None
    """When that was over: seconds from what happened, or from its end."""
    remarks: str = ""
    story: str = ""


@dataclass(frozen=True)
class Ride:
    """How a transfer is run, what happens to it, and what must be seen."""

    hurt: Callable[[Scene], None]
    sides: tuple[Router | None, Router | None] = (Router(), Router())
    prepare: Callable[[Scene], None] = lambda _: None
    """Before the programs start."""
    servers: tuple[str, ...] = ("srv",)
    before: str = "direct"
    """The path that it must have got by then …"""
    after: str = ""
    """… and the one it must go on by; empty: any."""
    first: float = 5.0
    """Most seconds from both programs' beginning to the first content."""
    gap: float = 1.0
    """Most seconds without content, what happened included."""
    seconds: float = 8.0
    """How long content would take."""
    tells: tuple[str, ...] = ()
    """Events that the sender must tell after it."""
    delay: float = 0.020
    loss: float = 0.0
    skew: float = 0.0
    """Seconds that the receiver waits for the sender; below 0, the sender for it."""
    env: dict[str, dict[str, str]] = field(default_factory=dict)
    """Of the sender and of the receiver."""
    patience: float = 60.0
    sessions: int = 1
    """How many it may take."""


def ride(how: Ride, swapped: bool = False) -> Outcome:
    """One transfer from a to b, or from b to a."""
    sending, receiving = ("b", "a") if swapped else ("a", "b")
    with Lab(delay=how.delay, loss=how.loss, rate=10 * MEGA) as lab, ExitStack() as stack:
        scene = Scene(lab, sending, receiving)
        stack.callback(scene.close)
        first, second = reversed(how.sides) if swapped else how.sides
        home(lab, "a", first)
        home(lab, "b", second)
        acquaint(lab)
        for name in how.servers:
            if name not in lab.nodes:
                lab.public(name)
        try:
            for name in how.servers:
                scene.serve(name)
            scene.configure(*map(scene.url, how.servers))
            how.prepare(scene)
            return _ridden(scene, how, stack)
        except AssertionError as error:
            return Outcome(False, remarks=_first_line(error), story=_stories(scene, str(error)))


def _ridden(scene: Scene, how: Ride, stack: ExitStack) -> Outcome:
    content = scene.lab.home(scene.sending) / "content"
    content.write_bytes(os.urandom(round(how.seconds * RATE)))
    into = scene.lab.home(scene.receiving) / "into"
    _start(scene, how, content, into, stack)
    sender, receiver = scene.sender, scene.receiver
    sender.until(_has_content, STARTING)
    if how.before:
        sender.until(_goes(how.before), STARTING)
    scene.waits(STEADY)
    scene.hurt_at = time.monotonic()
    how.hurt(scene)
    code = sender.ended(how.patience)
    left_at = time.monotonic()
    codes = code, receiver.ended(how.patience)
    late = time.monotonic() - left_at
    scene.meter.stop()
    end = (receiver.find(_all_came) or receiver.find("done") or receiver.seen[-1]).at
    gap, over = scene.meter.gap(scene.hurt_at - 2 * EVERY, end)
    first = sender.until(_has_content).at - _begun_at(scene)
    wrong = _wrong(scene, how, codes, gap)
    if first > how.first:
        wrong.append("content comes late")
    if late > LATE:
        wrong.append(f"the receiver ends {late:.1f} s after the sender")
    if not codes[0] and not codes[1] and not _same(into / "content", content):
        wrong.append("CONTENT IS NOT THE SAME")
    recovered = None
    if gap > NOTICED:
        recovered = max(over - (scene.cured_at or scene.hurt_at), 0.0)
    remarks = "; ".join([*wrong, f"content after {first:.1f} s", *_costs(scene, end)])
    story = _stories(scene, remarks) if wrong else ""
    return Outcome(not wrong, _paths(scene, sender), gap, recovered, remarks, story)


def _start(scene: Scene, how: Ride, content: Path, into: Path, stack: ExitStack) -> None:
    send = ("send", str(content), "--to", sending_to(scene.receiving), "--limit", str(RATE))
    receive = ("receive", "--yes", "--once", "--into", str(into))

    def begin(node: str, role: str, argv: tuple[str, ...]) -> Program:
        return stack.enter_context(Program(scene.lab, node, *argv, "-v", env=how.env.get(role, {})))

    if how.skew < 0:
        scene.sender = begin(scene.sending, "sender", send)
        scene.waits(-how.skew)
    scene.receiver = begin(scene.receiving, "receiver", receive)
    if how.skew > 0:
        scene.receiver.until("listening", STARTING)
        scene.waits(how.skew)
    if how.skew >= 0:
        scene.sender = begin(scene.sending, "sender", send)
    programs = {"sender": scene.sender, "receiver": scene.receiver}
    scene.meter = Meter(scene.lab, scene.receiving, programs, flowing=RATE * EVERY / 15)


def _wrong(scene: Scene, how: Ride, codes: tuple[int, int], gap: float) -> list[str]:
    """What is not as it must be."""
    if any(codes):
        return [f"exit codes {codes}"]
    wrong = []
    last = _path_events(scene.sender)[-1]
    if how.after and last != how.after:
        wrong.append(f"ends {last}")
    if gap > how.gap:
        wrong.append(f"more than {how.gap:g} s")
    wrong += [
        f"{program.node} has connected more often than {how.sessions}"
        for program in (scene.sender, scene.receiver)
        if sum(one.name == "connected" for one in program.seen) > how.sessions
    ]
    wrong += [
        f"never told {name!r}"
        for name in how.tells
        if scene.sender.find(name, after=scene.hurt_at) is None
    ]
    return wrong


def _costs(scene: Scene, end: float) -> Iterator[str]:
    """What the programs used; the time is the 0.5 s before the end, and from the fault on."""
    for name in ("sender", "receiver"):
        before = scene.meter.held(name, scene.hurt_at)
        after = scene.meter.held(name, end)
        if before is None or after is None:
            continue
        busy = scene.meter.busy(name, scene.hurt_at, end)
        yield (
            f"{name} {busy:.0%} cpu, files {before.files}→{after.files}, "
            f"threads {before.threads}→{after.threads}"
        )


def _path_events(program: Program) -> list[str]:
    return [str(s.event["path"]) for s in program.seen if s.name in {"connected", "path"}]


def _paths(scene: Scene, program: Program) -> str:
    """Such as `relayed, direct | relayed`; what happened is at the bar."""
    words: list[str] = []
    barred = False
    for each in program.seen:
        if each.at >= scene.hurt_at and not barred:
            barred = True
            words.append("|")
        if each.name in {"connected", "path"}:
            six = " v6" if "[" in str(each.event.get("endpoint", "")) else ""
            words.append(f"{each.event['path']}{six}")
        elif each.name in {"silent", "back"}:
            words.append(f"({each.name})")
    return " ".join(words)


def _stories(scene: Scene, why: str) -> str:
    told = [why, f"hurt at {scene.hurt_at:.3f}, cured at {scene.cured_at:.3f}"]
    for name in ("sender", "receiver"):
        program = getattr(scene, name, None)
        if program is not None:
            told.append(f"{name} started at {program.started:.3f}\n{program.story()}")
    told += [f"{name}: {server.story()}" for name, server in scene.servers.items()]
    return "\n".join(told)


def _first_line(error: AssertionError) -> str:
    return str(error).splitlines()[0] if str(error) else "nothing is known"


def _begun_at(scene: Scene) -> float:
    """When both programs had begun to look for each other."""
    return max(
        each.until(lambda event: event["event"] in {"reaching", "listening"}).at
        for each in (scene.sender, scene.receiver)
    )


def _has_content(event: Event) -> bool:
    return bool(event["event"] == "progress" and event["bytes"])


def _all_came(event: Event) -> bool:
    return bool(event["event"] == "progress" and event["bytes"] == event["total"])


def _goes(path: str) -> Callable[[Event], bool]:
    return lambda event: event["event"] in {"connected", "path"} and event["path"] == path


def _same(one: Path, other: Path) -> bool:
    return one.exists() and one.read_bytes() == other.read_bytes()
