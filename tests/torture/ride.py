"""One transfer that is killed and begun again, as its people would, until it is done.

Who survives a kill is left alone: it waits for the other and goes on. Who was killed is started
again with the same command. After each death and at the end the invariants are checked.
"""

import functools
import importlib.util
import random
import shutil
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path

from tests.torture import straces, trees
from tests.torture.debt import Debt, Point, in_session
from tests.torture.invariants import (
    Broken,
    Destination,
    Outside,
    check_end,
)
from tests.torture.nursery import PROGRAM, ROOT, Nursery
from tests.torture.plan import Kill, Plan
from tests.torture.side import Side

PATIENCE = 60.0
"""Seconds for what nobody disturbs any more."""
AGAIN = 3
"""Of so many rides, one begins once more after its end."""
RETRIES = 2
"""How often a person types the same command again after exit code 5."""
RATE = "100MB/s"
"""So that there is a middle to be killed in."""


class Ride:
    """One plan in a folder of its own."""

    def __init__(self, plan: Plan, top: Path, people: Path, folder: Path, nursery: Nursery) -> None:
        self.points: list[Point] = []
        self.sides: list[Side] = []
        self._plan = plan
        self._top = top
        self._people = people
        self._nursery = nursery
        self.folder = folder
        self._into = folder / "into"
        self.notes = folder / "notes"
        self.notes.mkdir()
        self._counting = False
        self._single = resumes()
        before = folder / "before"
        if plan.old:
            trees.prepare(top, self._into)
            shutil.copytree(self._into, before)
        else:
            self._into.mkdir()
            before.mkdir()
        self._destination = Destination(self._into, before, top, plan.conflict)
        self._outside = Outside(top.parent, before)
        self._port = free_port()
        free = trees.holes(top) + (trees.taken(top, before) if plan.conflict == "skip" else 0)
        self._debt = Debt(free, strict=resumes())
        self._receiver: Side | None = None
        self._sender: Side | None = None
        self._seen = 0
        """Events of the receiver before this round."""

    @property
    def peak(self) -> int:
        """The most memory that one of the processes held."""
        ends = [side.ended(0.1).peak for side in self.sides if not side.alive]
        return max(ends, default=0)

    def run(self) -> None:
        """Until it is done; Broken if an invariant does not hold."""
        for kill in self._plan.kills:
            receiver, sender = self._start(kill)
            if not self._strike(kill, receiver, sender):
                break
            self._settle(receiver)
            self._after(kill, receiver, sender)
            if sender.find("done") is not None:  # to send it again would be another delivery
                break
        self._finish()
        self._settle(self._receiver)
        if resumes():
            self._destination.check_clean()
            if zlib.crc32(str(self._plan).encode()) % AGAIN == 0:
                self._again()

    def count_calls(self) -> None:
        """Until it is done, with nobody killed and both sides' calls noted."""
        self._counting = True
        self._finish()

    def destroy(self) -> None:
        """End whatever still runs."""
        for side in self.sides:
            side.destroy()

    # Rounds

    def _start(self, kill: Kill | None = None) -> tuple[Side, Side]:
        """Both sides running; the one to be killed at a call below strace, from its start."""
        doomed = kill.role if kill is not None and kill.aimed else ""
        receiver, sender = self._receiver, self._sender
        if receiver is not None and receiver.alive and doomed in {"receiver", "both"}:
            receiver.kill()
        if sender is not None and sender.alive and doomed in {"sender", "both"}:
            sender.kill()
        if receiver is None or not receiver.alive:
            receiver = self._run("receiver", kill if doomed == "receiver" else None)
            self._seen = 0
        else:
            self._seen = len(receiver.events)
        if sender is None or not sender.alive:
            sender = self._run("sender", kill if doomed == "sender" else None)
        self._receiver, self._sender = receiver, sender
        return receiver, sender

    def _run(self, role: str, kill: Kill | None) -> Side:
        at = f"127.0.0.1:{self._port}"
        if role == "receiver":
            words: list[str | Path] = ["receive", "--listen", at, "--into", self._into, "--yes"]
            words += ["--once", "--on-conflict", self._plan.conflict]
        else:
            words = ["send", self._top, "--to", "bob", "--at", at, "--limit", RATE]
            words += ["--timeout", "20"]
        strace = killing(kill.call, kill.number) if kill is not None and kill.call else []
        if self._counting:
            strace = straces.counting(self.notes / f"{role}.strace")
        die = kill.moment if kill is not None else ""
        home = self._people / ("bob" if role == "receiver" else "alice")
        side = Side(role, words, home=home, notes=self.notes, strace=strace, die=die,
                    nursery=self._nursery)  # fmt: skip
        self.sides.append(side)
        return side

    def _strike(self, kill: Kill, receiver: Side, sender: Side) -> bool:
        """Kill as planned; False if it was over before."""
        doomed = {"receiver": [receiver], "sender": [sender], "both": [receiver, sender]}[kill.role]
        watched = doomed[0]
        if kill.aimed:
            watched.wait(lambda: not sender.alive, PATIENCE)
            if watched.alive and not sender.alive and sender.ended(0).code == 0:
                watched.wait(lambda: False, PATIENCE)  # it has its last steps to do
            watched.killed = not watched.alive and watched.ended(0).code == -9
            return watched.killed
        if kill.fraction is not None:
            moment = kill.fraction
            watched.wait(lambda: self._fraction(watched) >= moment, PATIENCE)
        else:
            assert kill.seconds is not None
            end = watched.began + kill.seconds
            watched.wait(lambda: time.monotonic() >= end, max(0.0, end - time.monotonic()))
        if not watched.alive:
            return False
        for side in doomed:
            side.killed = True
        for side in doomed:
            side.kill()
        return True

    def _fraction(self, side: Side) -> float:
        """How much of the content has come, in this round."""
        first = self._seen if side is self._receiver else 0
        for event in reversed(in_session(side.events[first:])):
            if event["event"] == "progress":
                return float(event["bytes"] / max(1, event["total"]))
        return -1.0

    def _after(self, kill: Kill, receiver: Side, sender: Side) -> None:
        """Somebody has just died."""
        if sender.find("done") is None:  # else all had been delivered
            self._debt.incur(kill, receiver.events[self._seen :])
        for side in (receiver, sender):
            if not side.alive:
                check_end(side)
        self._destination.check()
        self._outside.check()
        if not sender.alive and sender.ended(0).code == 0:
            self._destination.check_complete(single=resumes())
        elif sender.alive and not receiver.alive and not waits():
            sender.kill()  # it would be silent until its patience is over
            check_end(sender)

    def _finish(self) -> None:
        """Nobody is killed any more: it comes to its end, with success."""
        for tries in range(RETRIES + 1):
            if self._delivered():
                break
            if self._sender is None or not self._sender.alive:
                self._start()
            assert self._sender is not None
            self._see_through(self._sender)
            check_end(self._sender)
            code = self._sender.ended(0).code
            if code == 0:
                break
            if code != 5 or tries == RETRIES:
                raise Broken(f"I6 the sender ended with {code}\n{self._sender.story()}")
        self._destination.check_complete(single=self._single)
        self._outside.check()
        receiver = self._receiver
        assert receiver is not None
        if receiver.killed or receiver.find("offer") is None:  # begun when there was nothing to do
            receiver.stop()
            return
        if receiver.ended(PATIENCE).code != 0:
            raise Broken(f"I6 the receiver ended with {receiver.ended(0).code}\n{receiver.story()}")
        check_end(receiver)

    def _delivered(self) -> bool:
        """Whether the sender has told of its success; it may have been killed after that."""
        sender = self._sender
        if sender is None or sender.alive or sender.find("done") is None:
            return False
        return sender.killed or sender.ended(0).code == 0

    def _settle(self, receiver: Side | None) -> None:
        """See what the last death has cost."""
        events = [] if receiver is None else receiver.events[self._seen :]
        if (point := self._debt.settle(events, self._sender)) is not None:
            self.points.append(point)

    def _see_through(self, sender: Side) -> None:
        """Wait for the sender's end; a receiver that was just done with an earlier one returns."""
        end = time.monotonic() + PATIENCE
        while sender.alive and time.monotonic() < end:
            sender.pause(0.2)
            receiver = self._receiver
            if receiver is not None and not receiver.alive:
                sender.pause(1.0)
                if sender.find("done") is None and not sender.over:
                    check_end(receiver)
                    self._receiver, self._seen = self._run("receiver", None), 0
        sender.ended(1.0)

    def _again(self) -> None:
        """I8: the same command once more meets nothing that is in its way."""
        self._receiver = self._sender = None
        # To a name that was taken by something else, it goes under one more number.
        self._single = not self._plan.old
        self._finish()
        self._destination.check_clean()


def killing(call: str, number: int) -> list[str]:
    """Options of strace: kill -9 before the n-th such call of one thread is carried out."""
    return ["-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", "signal=none",
            "-e", f"inject={call}:signal=KILL:when={number}"]  # fmt: skip


@functools.cache
def resumes() -> bool:
    """Whether the program has a journal: then the rules about what is sent again hold."""
    return importlib.util.find_spec("securecp.disk.journal") is not None


@functools.cache
def waits() -> bool:
    """Whether a sender waits for a receiver that comes back."""
    command = [sys.executable, str(PROGRAM), "--", "send", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return "--wait" in done.stdout


def free_port() -> int:
    """A free port, and not one that the kernel gives to whoever asks for any."""
    while True:
        port = random.randrange(10_240, 32_000)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
