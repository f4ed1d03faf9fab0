"""The n-th call of a side fails:  python -m tests.faults.errnos --repeat "receiver/fsync/EIO/3"

A run: one call of one thread fails by strace injection, everything else is real. Whatever comes
of it, nobody may show a traceback, hang, or publish a wrong file; then the same command again
completes.
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

from tests.faults.pair import Pair, check_words
from tests.torture import homes, straces
from tests.torture.invariants import Broken
from tests.torture.nursery import Nursery
from tests.torture.ride import PATIENCE
from tests.torture.side import Side

ERRORS: dict[str, dict[str, tuple[str, ...]]] = {
    "receiver": {
        "openat": ("EIO", "EMFILE"),
        "pwritev2": ("EIO", "ENOSPC", "EDQUOT"),
        "pwrite64": ("EIO", "ENOSPC"),
        "write": ("EIO", "ENOSPC"),
        "preadv2": ("EIO",),
        "pread64": ("EIO",),
        "read": ("EIO",),
        "fsync": ("EIO",),
        "fdatasync": ("EIO",),
        "syncfs": ("EIO",),
        "linkat": ("EIO", "ENOSPC"),
        "renameat": ("EIO", "ENOSPC"),
        "unlinkat": ("EIO",),
        "mkdirat": ("EIO", "ENOSPC"),
        "mkdir": ("EIO", "ENOSPC"),
        "ftruncate": ("EIO",),
        "utimensat": ("EIO",),
        "fchmod": ("EIO",),
        "close": ("EIO",),
        "getdents64": ("EIO",),
        "fstatfs": ("EIO",),
        "flock": ("ENOLCK",),
    },
    "sender": {
        "openat": ("EIO", "EMFILE"),
        "read": ("EIO",),
        "preadv2": ("EIO",),
        "pread64": ("EIO",),
        "getdents64": ("EIO",),
        "write": ("EIO", "ENOSPC"),
        "fsync": ("EIO",),
        "fdatasync": ("EIO",),
        "rename": ("EIO", "ENOSPC"),
        "renameat": ("EIO", "ENOSPC"),
        "mkdir": ("EIO", "ENOSPC"),
        "close": ("EIO",),
    },
}
"""Whose calls fail how. What a side never calls is left out by counting."""
LIMIT = 25.0
"""Seconds within which everything must have ended: a sender's call is given up after 20 s."""


class Fault(NamedTuple):
    """The n-th call of a side fails."""

    role: str
    call: str
    error: str
    number: int

    def __str__(self) -> str:
        return "/".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> Self:
        role, call, error, number = text.split("/")
        return cls(role, call, error, int(number))


class Faults:
    """Runs faults, each in a folder of its own, with trees and people made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._people = homes.make(folder / "people")
        self._nursery = Nursery()

    def close(self) -> None:
        """End what has been started."""
        self._nursery.close()

    def all(self) -> list[Fault]:
        """Every call of both sides that can fail, each way, counted in a run without faults."""
        pair = self._pair("count")
        logs = {role: pair.notes / f"{role}.strace" for role in ERRORS}
        counting = {r: straces.counting(logs[r], tuple(ERRORS[r])) for r in ERRORS}
        try:
            receiver = pair.receiver(strace=counting["receiver"])
            receiver.until("listening", PATIENCE)
            sender = pair.sender(strace=counting["sender"])
            sender.ended(PATIENCE)
            receiver.ended(PATIENCE)
        finally:
            pair.close()
        counts = {role: straces.counts(logs[role]) for role in ERRORS}
        return [fault for role in ERRORS for fault in _of(role, counts[role])]

    def run(self, fault: Fault) -> str:
        """What is wrong with how it ended, empty if nothing."""
        pair = self._pair(str(fault).replace("/", "-"))
        try:
            self._run(pair, fault)
        except AssertionError as error:
            return f"{error}\n    python -m tests.faults.errnos --repeat {str(fault)!r}\n"
        finally:
            pair.close()
        shutil.rmtree(pair.folder)
        return ""

    def _run(self, pair: Pair, fault: Fault) -> None:
        strace = failing(fault, pair.notes / "strace")
        receiver = pair.receiver(strace=strace if fault.role == "receiver" else ())
        receiver.wait(lambda: receiver.find("listening") is not None, PATIENCE)
        if receiver.alive:
            sender = pair.sender(strace=strace if fault.role == "sender" else ())
            _end(receiver, sender)
            check_words(sender)
            if sender.ended(0).code == 0:
                pair.destination.check_complete(single=True)
        check_words(receiver)
        pair.destination.check()
        pair.outside.check()
        pair.complete()

    def _pair(self, name: str) -> Pair:
        return Pair(self._people, self._folder / name, self._nursery, old=True,
                    conflict="overwrite")  # fmt: skip


def _of(role: str, counts: Counter[str]) -> Iterator[Fault]:
    for call, errors in ERRORS[role].items():
        for number in range(1, counts[call] + 1):
            for error in errors:
                yield Fault(role, call, error, number)


def failing(fault: Fault, log: Path) -> list[str]:
    """Options of strace that make it so."""
    return ["-f", "-qq", "-y", "-e", "signal=none", "-o", str(log),
            "-e", f"trace={fault.call}",
            "-e", f"inject={fault.call}:error={fault.error}:when={fault.number}"]  # fmt: skip


def _end(receiver: Side, sender: Side) -> None:
    """Let both come to their ends; a receiver that waits for the sender to return is told to go."""
    sender.wait(lambda: not receiver.alive and not sender.alive, LIMIT)
    if sender.alive:
        # It waits for a receiver that has given up; a person would see that and end it.
        if receiver.alive and sender.find("waiting") is None and sender.find("paused") is None:
            raise Broken(f"I6 it hangs\n{sender.story()}\n{receiver.story()}")
        sender.stop()
    if receiver.alive:
        receiver.wait(lambda: False, 4.0)
        receiver.stop()
    if receiver.killed or sender.killed:
        raise Broken(f"I6 Ctrl-C does not end it\n{sender.story()}\n{receiver.story()}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.errnos", description=__doc__)
    parser.add_argument("--repeat", metavar="FAULT", help="this one alone")
    parser.add_argument("--only", default="", help="only faults with this in their text")
    parser.add_argument("--jobs", type=int, default=6)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="securecp-faults-") as name:
        faults = Faults(Path(name))
        chosen = [Fault.parse(options.repeat)] if options.repeat else faults.all()
        chosen = [fault for fault in chosen if options.only in str(fault)]
        with ThreadPoolExecutor(options.jobs) as pool:
            found = 0
            for words in filter(None, pool.map(faults.run, chosen)):
                found += 1
                print(words, flush=True)
        faults.close()
    print(f"{len(chosen)} faults, {found} not borne well")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
