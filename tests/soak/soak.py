"""The transfers, the faults between them, and what is measured."""

import gc
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from keys import keyfile
from keys.identity import Identity
from securecp.endpoint import Endpoint
from securecp.errors import SecurecpError
from securecp.events import Event, Progress
from securecp.net import dial
from securecp.net.dial import SendOptions
from securecp.net.running import Running
from tests.soak.usage import Usage, growth, usage
from tests.torture import homes
from tests.torture.invariants import same
from tests.torture.nursery import Nursery
from tests.torture.ride import PATIENCE, free_port
from tests.torture.side import Side

MOMENTS = 24
"""How often it is measured."""
CUT_OFF, KILLED, CHANGED, AGAIN = 0.05, 0.02, 0.03, 0.05
"""How often each of these happens."""
TRIES = 5


@dataclass
class Story:
    """What came of it."""

    transfers: int = 0
    seconds: float = 0.0
    series: list[tuple[int, Usage, Usage]] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class Soak:
    """A receiver, which lives all the time, and whoever sends to it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._chance = random.Random(seed)
        self._people = homes.make(folder / "people")
        self._identity = _identity(self._people / "alice")
        self._peer = bytes(_identity(self._people / "bob").public)
        self._into = folder / "into"
        self._into.mkdir()
        self._port = free_port()
        self._nursery = Nursery()
        self._receiver = Side(
            "receiver",
            ["receive", "--listen", f"127.0.0.1:{self._port}", "--into", self._into, "--yes"],
            home=self._people / "bob",
            notes=folder,
            nursery=self._nursery,
        )
        self._receiver.until("listening", PATIENCE)
        self._story = Story()
        self._lock = threading.Lock()

    def run(self, transfers: int, warm_up: int, jobs: int, memory: int) -> Story:
        """So many transfers; what is measured before `warm_up` does not count, and after it no
        process may come to hold `memory` more bytes."""
        story, began = self._story, time.monotonic()
        every = max(1, transfers // MOMENTS)
        for first in range(0, transfers, every):
            count = min(every, transfers - first)
            kinds = [self._kind() for _ in range(count)]
            with ThreadPoolExecutor(jobs) as pool:
                list(pool.map(self._guarded, range(first, first + count), kinds))
            self._measure(first + count)
            self._receiver.events.clear()
        story.transfers, story.seconds = transfers, time.monotonic() - began
        self._judge(warm_up, memory)
        return story

    def close(self) -> None:
        """End the receiver, which must end well."""
        end = self._receiver.stop()
        if end.code != 5 or "Traceback" in end.stderr or "unexpected" in end.stderr:
            self._story.problems.append(f"the receiver ended so: {end}")
        self._nursery.close()

    # Transfers

    def _kind(self) -> str:
        return self._chance.choices(
            ["plain", "cut off", "killed", "changed", "again"],
            [1.0 - CUT_OFF - KILLED - CHANGED - AGAIN, CUT_OFF, KILLED, CHANGED, AGAIN],
        )[0]

    def _guarded(self, number: int, kind: str) -> None:
        try:
            self._transfer(number, kind)
        except (SecurecpError, AssertionError, OSError) as error:
            with self._lock:
                self._story.problems.append(f"transfer {number}, {kind}: {error!r}")
        with self._lock:
            self._story.happened[kind] += 1

    def _transfer(self, number: int, kind: str) -> None:
        chance = random.Random(number)
        top = self._folder / "out" / f"t{number}"
        large = kind in {"cut off", "killed", "changed"}
        for each in range(chance.randrange(1, 6)):
            size = chance.randrange(60_000)
            _write(top / f"f{each}", chance.randbytes(size))
        if large:
            _write(top / "large", chance.randbytes(3 << 20))
        if kind == "killed":
            self._killed(top)
        elif kind == "changed":
            self._changed(top)
        else:
            self._sent(top, cut=kind == "cut off")
            if kind == "again":
                self._sent(top)
        if not self._receiver.alive:
            raise AssertionError(f"the receiver has ended\n{self._receiver.story()}")
        self._check(top, partial=kind == "changed")

    def _sent(self, top: Path, *, cut: bool = False) -> None:
        """By a thread of this process; `cut` off by its own person once, and begun again."""
        running = Running()
        moment = random.Random(str(top)).random()

        def emit(event: Event) -> None:
            if cut and isinstance(event, Progress) and event.moved > moment * event.size:
                running.stop()

        for attempt in range(TRIES):
            try:
                dial.send(self._options(top, running), emit)
            except SecurecpError as error:
                if error.exit_code != 5 or attempt == TRIES - 1:
                    raise
                running, cut = Running(), False
            else:
                return

    def _options(self, top: Path, running: Running) -> SendOptions:
        return SendOptions(
            identity=self._identity,
            peer=self._peer,
            endpoints=[Endpoint("127.0.0.1", self._port)],
            paths=[top],
            timeout=20.0,
            running=running,
        )

    def _killed(self, top: Path) -> None:
        """By a process of its own, which is killed, and another that goes on."""
        chance = random.Random(str(top))
        side = self._process(top, "--limit", "20MB/s")
        side.wait(lambda: side.moved > chance.random() * (3 << 20), PATIENCE)
        side.signal(signal.SIGKILL)
        side.ended(PATIENCE)
        side = self._process(top)
        if side.ended(PATIENCE).code != 0:
            raise AssertionError(side.story())

    def _changed(self, top: Path) -> None:
        """Somebody writes into the file while it is sent."""
        side = self._process(top, "--limit", "20MB/s")
        side.wait(lambda: side.moved > 1 << 20, PATIENCE)
        with (top / "large").open("r+b") as file:
            file.write(b"changed")
        if side.ended(PATIENCE).code not in {0, 7}:
            raise AssertionError(side.story())

    def _process(self, top: Path, *options: str) -> Side:
        notes = self._folder / "notes" / top.name
        notes.mkdir(parents=True, exist_ok=True)
        words: list[str | Path] = [
            "send",
            top,
            "--to",
            "bob",
            "--timeout",
            "30",
            "--at",
            f"127.0.0.1:{self._port}",
            *options,
        ]
        return Side("sender", words, home=self._people / "alice", notes=notes,
                    nursery=self._nursery)  # fmt: skip

    def _check(self, top: Path, *, partial: bool) -> None:
        """All is there, and goes."""
        for path in top.iterdir():
            arrived = self._into / top.name / path.name
            if partial and path.name == "large" and not arrived.exists():
                continue
            if not same(path, arrived) and not partial:
                raise AssertionError(f"{path.name} is not what was sent")
        shutil.rmtree(self._into / top.name)
        shutil.rmtree(top)

    # Measuring

    def _measure(self, count: int) -> None:
        gc.collect()
        both = usage(self._receiver.pid()), usage(os.getpid())
        self._story.series.append((count, *both))

    def _judge(self, warm_up: int, memory: int) -> None:
        """The first third after the warm-up against the last third."""
        counted = [each for each in self._story.series if each[0] > warm_up]
        third = max(1, len(counted) // 3)
        picks: tuple[tuple[str, Callable[[tuple[int, Usage, Usage]], Usage]], ...] = (
            ("receiver", lambda each: each[1]),
            ("senders", lambda each: each[2]),
        )
        for name, pick in picks:
            first, last = map(pick, counted[:third]), map(pick, counted[-third:])
            self._story.problems += growth(name, list(first), list(last), memory)
        left = [path.name for path in self._into.iterdir()]
        if left:
            self._story.problems.append(f"left at the destination: {left[:5]}")


def _identity(home: Path) -> Identity:
    return keyfile.load(home / "identity.key")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
