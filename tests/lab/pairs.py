"""The installed command between the homes of a cell: run, timed, and what became of it.

One attempt is a lab of its own: `serve` at srv, `receive` in one home, `send` in the other. Time
runs from when both have begun to look for each other. For a cell that should be direct it ends
with the first event that says so, for a relayed one with the first byte of content.
"""

import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.cli.program import keygen, meet
from tests.lab.matrix import Cell, Ground, build
from tests.lab.namespaces import label
from tests.lab.programs import Event, Program, settings_of
from tests.lab.services import Proxy
from tests.lab.topology import SRV, SRV6, SRV_TOO, Lab

PORT = 4480
STARTING = 15.0
MEGA = 1_000_000
SIZES = {"B": 48 * MEGA, "M": 16 * MEGA}
"""Content enough to be still under way, at the usual rate, when the direct path is found."""
USUAL = 4 * MEGA


@dataclass(frozen=True)
class Options:
    """How the internet is in all attempts, and how long one may take."""

    delay: float = 0.020
    jitter: float = 0.0
    loss: float = 0.0
    rate: float = 10.0 * MEGA
    skew: float = 0.0
    """Seconds that the receiver waits before anybody calls."""
    size: int = 0
    patience: float = 30.0


class Outcome(NamedTuple):
    """What became of one attempt."""

    good: bool
    how: str
    """The path at the end; `direct` may have more about it."""
    seconds: float | None = None
    story: str = ""
    """All events, where it went wrong."""


def attempt(cell: Cell, options: Options, swapped: bool = False) -> Outcome:
    """One transfer from a to b, or from b to a."""
    try:
        return _attempt(cell, options, swapped)
    except AssertionError as error:  # a program did not even begin
        return Outcome(False, "none", None, str(error))


def _attempt(cell: Cell, options: Options, swapped: bool) -> Outcome:
    sending, receiving = ("b", "a") if swapped else ("a", "b")
    conditions = (options.delay, options.jitter, options.loss, options.rate)
    with Lab(*conditions) as lab:
        ground = build(lab, cell)
        acquaint(lab)
        with _served(lab, ground) as server:
            content = lab.home(sending) / "content"
            content.write_bytes(os.urandom(options.size or SIZES.get(cell.expected, USUAL)))
            into = lab.home(receiving) / "into"
            receive = ("receive", "--yes", "--once", "--into", str(into))
            send = ("send", str(content), "--to", sending_to(receiving))
            with Program(lab, receiving, *receive, env=ground.of(receiving)) as receiver:
                if options.skew:
                    receiver.until(_begun, STARTING)
                    receiver.waits(options.skew)
                with Program(lab, sending, *send, env=ground.of(sending)) as sender:
                    outcome = _watched(cell, sender, receiver, options.patience)
            if not outcome.good and server:
                return outcome._replace(story=f"{outcome.story}\n{server.story()}")
            if outcome.good and (into / "content").read_bytes() != content.read_bytes():
                return outcome._replace(good=False, story="the content is not the same")
            return outcome


def _watched(cell: Cell, sender: Program, receiver: Program, patience: float) -> Outcome:
    try:
        begun = max(each.until(_begun, STARTING).at for each in (sender, receiver))
        reached = sender.until(_goal(cell), patience)
        codes = sender.ended(patience), receiver.ended(patience)
    except AssertionError:
        codes, begun, reached = (-1, -1), 0.0, None
    how = _path(sender)
    if reached is None or any(codes) or not _fits(cell, how):
        return Outcome(False, how or "none", None, f"{sender.story()}\n{receiver.story()}")
    return Outcome(True, how, reached.at - begun)


# What the command says, and how it is asked: all that must follow when it changes.


def _begun(event: Event) -> bool:
    return event["event"] in {"reaching", "listening"}


def _goal(cell: Cell) -> Callable[[Event], bool]:
    return _has_content if cell.expected == "R" else _is_direct


def _has_content(event: Event) -> bool:
    return event["event"] == "done" or bool(event["event"] == "progress" and event["bytes"])


def _is_direct(event: Event) -> bool:
    named = event["event"] in {"reached", "connected", "path"}
    return named and str(event["path"]).partition(" ")[0] in {"lan", "direct"}


def _path(program: Program) -> str:
    """The last path it went on by, and IPv6 as such."""
    for each in reversed(program.seen):
        if each.name in {"connected", "path"}:
            six = "[" in str(each.event.get("endpoint", ""))
            return f"{each.event['path']}{' v6' if six else ''}"
    return ""


def _fits(cell: Cell, how: str) -> bool:
    kind = how.partition(" ")[0]
    if cell.expected == "6":
        return how == "direct v6"
    return kind == {"H": "lan", "R": "relayed"}.get(cell.expected, "direct")


def sending_to(node: str) -> str:
    """What each calls the other."""
    return f"home-{node}"


@functools.cache
def _people() -> dict[str, Path]:
    """Two homes with identities, who know each other; made once, copied into every lab."""
    folder = tempfile.TemporaryDirectory(prefix=f"{label()}people-")
    _kept.append(folder)
    homes = {node: Path(folder.name, node) for node in "ab"}
    keys = {node: keygen(where, lan=True) for node, where in homes.items()}
    for node, other in (("a", "b"), ("b", "a")):
        meet(homes[node], sending_to(other), keys[other])
    return homes


_kept: "list[tempfile.TemporaryDirectory[str]]" = []


def acquaint(lab: Lab) -> None:
    for node, where in _people().items():
        theirs = settings_of(lab, node)
        theirs.mkdir(mode=0o700)
        for file in where.iterdir():
            if file.is_file():
                copy = theirs / file.name
                copy.write_bytes(file.read_bytes())
                copy.chmod(file.stat().st_mode & 0o777)


@contextmanager
def _served(lab: Lab, ground: Ground) -> Iterator[Program | None]:
    """A server, and both homes' settings name it; or none."""
    if not ground.server:
        yield None
        return
    with served(lab, "ab", ground.tls) as server:
        yield server


@contextmanager
def served(lab: Lab, nodes: str, tls: Proxy | None = None) -> Iterator[Program]:
    """A server, and the settings of these nodes name it."""
    listen = [f"{SRV}:{PORT}", f"[{SRV6}]:{PORT}"]
    proxied = []
    if tls:
        listen.append(f"127.0.0.1:{PORT}")
        proxied = ["--proxy", "127.0.0.1"]
    places = [word for place in listen for word in ("--listen", place)]
    with Program(lab, "srv", "serve", *places, "--second-address", SRV_TOO, *proxied) as server:
        url = str(server.until("serving", STARTING).event["url"])
        key = url.partition("#")[2]
        where = tls.url if tls else f"ws://{SRV}:{PORT}"
        for node in nodes:
            config = settings_of(lab, node) / "config.toml"
            config.write_text(f'servers = ["{where}#{key}"]\n')
            config.chmod(0o600)
        yield server
