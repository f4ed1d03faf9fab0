"""A receiver and a sender for one transfer, which may go wrong and be begun again."""

import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.torture import homes
from tests.torture.invariants import Broken, Destination, Outside, check_end
from tests.torture.nursery import Nursery
from tests.torture.ride import PATIENCE, free_port, resumes
from tests.torture.side import Side
from tests.torture.trees import make, prepare

MIB = 1 << 20
FULL_CODES = {0, 1, 3, 4, 5, 6, 7}
"""Every documented exit code but that for a mistake in what was typed."""


class Codes(NamedTuple):
    """Exit codes of both."""

    receiver: int
    sender: int


class Pair:
    """Two people, a source and a destination in one folder; processes on demand."""

    def __init__(
        self,
        people: Path,
        folder: Path,
        nursery: Nursery | None = None,
        *,
        top: Path | None = None,
        old: bool = False,
        conflict: str = "rename",
        into: Path | None = None,
    ) -> None:
        """`people` are copied; without `top` the tree `few` is offered."""
        self.folder = folder
        self._nursery = nursery
        folder.mkdir(parents=True, exist_ok=True)
        homes.copy(people, folder)
        self.top = top or make("few", folder / "tree")
        self.into = into or folder / "into"
        self.conflict = conflict
        self.notes = folder / "notes"
        self.notes.mkdir()
        self.sides: list[Side] = []
        before = folder / "before"
        if old:
            prepare(self.top, self.into)
            shutil.copytree(self.into, before)
        else:
            self.into.mkdir(exist_ok=True)
            before.mkdir()
        self.destination = Destination(self.into, before, self.top, conflict)
        self.outside = Outside(self.top.parent, before)
        self.port = free_port()

    def receiver(
        self,
        *options: str | Path,
        once: bool = True,
        strace: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> Side:
        """Bob, who accepts everything, waiting; not yet when this returns."""
        words: list[str | Path] = ["receive", "--listen", f"127.0.0.1:{self.port}"]
        words += ["--into", self.into, "--yes", "--on-conflict", self.conflict, *options]
        if once:
            words.append("--once")
        return self._run("receiver", "bob", words, strace, prefix)

    def sender(
        self,
        *options: str | Path,
        paths: Sequence[Path] = (),
        strace: Sequence[str] = (),
        prefix: Sequence[str] = (),
        timeout: str = "20",
    ) -> Side:
        """Alice, who offers the tree."""
        words: list[str | Path] = ["send", *(paths or [self.top]), "--to", "bob"]
        words += ["--at", f"127.0.0.1:{self.port}", "--timeout", timeout, *options]
        return self._run("sender", "alice", words, strace, prefix)

    def complete_with_leftovers(self) -> Codes:
        """The same when nobody can know any more whose the old parts are: they go after a day."""
        return self.complete(clean=False)

    def complete(self, *, single: bool | None = None, clean: bool | None = None) -> Codes:
        """Both from the beginning, undisturbed: it must come to its end, with everything there."""
        receiver = self.receiver()
        receiver.until("listening", PATIENCE)
        sender = self.sender()
        codes = Codes(0, sender.ended(PATIENCE).code)
        if codes.sender != 0:
            raise Broken(f"I8 the next run ended with {codes.sender}\n{sender.story()}"
                         f"\n{receiver.story()}")  # fmt: skip
        self.destination.check_complete(single=resumes() if single is None else single)
        code = receiver.ended(PATIENCE).code
        if code != 0:
            raise Broken(f"I8 the next run's receiver ended with {code}\n{receiver.story()}")
        for side in (receiver, sender):
            check_end(side)
        self.outside.check()
        if resumes() if clean is None else clean:
            self.destination.check_clean()
        return Codes(code, codes.sender)

    def close(self) -> None:
        """End what still runs."""
        for side in self.sides:
            side.destroy()

    def _run(
        self,
        role: str,
        who: str,
        words: list[str | Path],
        strace: Sequence[str],
        prefix: Sequence[str],
    ) -> Side:
        side = Side(role, words, home=self.folder / who, notes=self.notes, strace=strace,
                    prefix=prefix, nursery=self._nursery)  # fmt: skip
        self.sides.append(side)
        return side


def check_words(side: Side) -> None:
    """It has ended as it should: a documented exit code, one line and a hint, no traceback."""
    code, stderr, _ = side.ended(0.1)
    if code not in FULL_CODES:
        raise Broken(f"I6 the {side.role} ended with {code}\n{side.story()}")
    if "Traceback" in stderr or "this is a bug" in stderr or "unexpected " in stderr:
        raise Broken(f"I6 the {side.role} met what it did not expect\n{side.story()}")
    if code not in {0, 7} and not stderr.startswith("securecp: ") and "\nsecurecp: " not in stderr:
        raise Broken(f"I6 the {side.role} ended with {code} and does not say why\n{side.story()}")


def write(path: Path, size: int, seed: int = 0) -> Path:
    """A file of random bytes, the same for a seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        chance = random.Random(seed)
        for start in range(0, size, MIB):
            file.write(chance.randbytes(min(MIB, size - start)))
    return path


def thorough() -> bool:
    """Whether all is wanted, however long it takes."""
    return bool(os.environ.get("SECURECP_THOROUGH"))
