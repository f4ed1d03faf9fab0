"""Scenarios from seeds: a run, a crash, perhaps another run and crash, the last run, the judgement.

I1  what has a final name is whole and right     I3  what was there before still is
I4  what was published before the crash is there     I5  what a checkpoint promised is held
I8  nothing of ours is left over
"""

import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import NamedTuple

from securecp.disk.names import is_part
from securecp.transfer.entries import FILE, LINK
from securecp.transfer.manifest import Manifest
from tests.crash.cases import CASES
from tests.crash.disk import TICK, Disk
from tests.crash.meeting import Marks, meet, small_chunks
from tests.crash.model import Image, Kind, Names, Node, Record, Style
from tests.disk.support import content, tree

_NUMBER = re.compile(r" \(\d+\)")


class Wrong(AssertionError):
    """Something that must hold does not."""


class State(NamedTuple):
    """One crash state: everything that it takes to make it again."""

    case: str
    seed: int

    def __str__(self) -> str:
        return f'python -m tests.crash --case "{self.case}" --seed {self.seed}'


class Bench:
    """Runs of one case; the first run is recorded once for many states."""

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self.case = CASES[name]
        self.place = place
        self.step = self.style = ""  # of the state in hand, for people
        self.verbose = False
        self._orphans: set[str] = set()
        with small_chunks():
            self.manifest = Manifest(self.case.entries)
            self.data = _dug(content(self.manifest, 5), self.manifest, self.case.holes)
            self.before = {
                path: self._existing(path, old) for path, old in self.case.before.items()
            }
            self._runs: dict[int, tuple[Record, Marks, Disk, set[str]]] = {}

    def _existing(self, path: str, old: bytes) -> bytes:
        entry = (
            next(
                index
                for index in range(len(self.case.entries))
                if b"/".join(self.manifest.path(index)).decode() == path
            )
            if old in (b"DELTA", b"SAME")
            else -1
        )
        if entry < 0:
            return old
        start = self.manifest.offset(entry)
        same = bytearray(self.data[start : start + self.case.entries[entry].size])
        if old == b"DELTA":
            same[len(same) // 2] ^= 1
        return bytes(same)

    # Running

    def _fresh(self) -> Disk:
        shutil.rmtree(self.place, ignore_errors=True)
        (self.place / "into").mkdir(parents=True)
        (self.place / "home").mkdir()
        for path, old in self.before.items():
            file = self.place / "into" / path
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(old)
        return Disk(self.place, coarse=self.case.coarse)

    def _first(self, fail: int) -> tuple[Record, Marks, Disk, set[str]]:
        if fail not in self._runs:
            disk = self._fresh()
            disk.fail_flush = fail
            marks = meet(disk, self.case, self.data)
            orphans: set[str] = set()
            if marks.failed:  # they go on at once: what the flush lost stays in doubt
                if not marks.saved:  # not even the key of the names was kept
                    orphans = {path for path in tree(self.place / "into") if _hidden(path)}
                marks = meet(disk, self.case, self.data, first=False, seed=1)
            self._runs[fail] = disk.record, marks, disk, orphans
        return self._runs[fail]

    def run(self, seed: int) -> None:
        """One state, judged."""
        rng = Random(f"{self.name} {seed}")
        self._orphans = set()
        with small_chunks():
            fail = rng.randint(1, 6) if self.case.fails else 0
            record, marks, disk, orphans = self._first(fail)
            self._orphans = set(orphans)
            at = self._moment(record, marks, rng)
            disk, marks = self._crash(disk, marks, at, rng)
            if rng.random() < 0.3 and marks.finished:
                again = meet(disk, self.case, self.data, first=False, seed=2)
                self._judge_held(marks, again)
                at = self._moment(disk.record, again, rng)
                if marks.saved:  # what the first has promised holds as well
                    promised = marks.saved[-1][1] | again.saved_at(at)
                    again.saved.append((at, promised))
                    again.saved.sort(key=lambda mark: mark[0])
                disk, marks = self._crash(disk, again, at, rng)
            last = meet(disk, self.case, self.data, first=False, seed=3)
            self._judge_held(marks, last)
            self._judge_end(marks)

    def _moment(self, record: Record, marks: Marks, rng: Random) -> int:
        """A step to crash after; half of them while files get their names."""
        if marks.naming < record.step and rng.random() < 0.5:
            return rng.randint(marks.naming, record.step)
        return rng.randint(0, record.step)

    def _crash(self, disk: Disk, marks: Marks, at: int, rng: Random) -> tuple[Disk, Marks]:
        """The disk after it; what was promised by then."""
        style = Style.drawn(rng)
        self.step, self.style = f"{at} of {disk.record.step}", str(style)
        image = disk.record.crash(at, style, rng)
        if self.verbose:
            self._show(disk.record, image, at)
        self._judge_image(image, disk.record, marks, at)
        done = Marks([(0, marks.saved_at(at))])
        done.naming = 0 if at >= marks.naming else done.naming
        done.published = 0 if at >= marks.published else done.published
        done.finished = 0 if at >= marks.finished else done.finished
        if style.names is Names.ANY and at >= marks.naming:
            done.saved.clear()  # it may keep that a part lost its name, and not that it got another
        if at < marks.first_saved:  # perhaps no journal has their names: swept a day later
            done.saved.clear()
            self._orphans |= _all_hidden(image, image.names[disk.record.root][b"into"], "")
        self._meddle(disk, image, at, done, rng)
        after = Disk(self.place, image, coarse=self.case.coarse, former=disk)
        return after, done

    def _meddle(self, disk: Disk, image: Image, at: int, done: Marks, rng: Random) -> None:
        """What somebody does before the next session; nothing is promised then."""
        if self.case.edited:
            for node in _parts_alone(image):
                data = bytearray(image.content[node])
                data[rng.randrange(len(data))] ^= 1
                image.content[node] = bytes(data)
                later = disk.now + TICK
                stamp = image.stamps[node]
                image.stamps[node] = stamp._replace(mtime_ns=later, ctime_ns=later)
            done.saved.clear()
        if self.case.older:
            for names in image.names.values():
                for name, node in names.items():
                    if name.endswith(b".journal"):
                        image.content[node] = node.content(rng.randint(0, at))
            done.saved.clear()
            done.published = sys.maxsize
            self._orphans |= _all_hidden(image, image.names[disk.record.root][b"into"], "")

    def _show(self, record: Record, image: Image, at: int) -> None:
        for step, call in enumerate(record.calls, 1):
            print(f"{step:5} {call}" + ("\n      --- crash ---" if step == at else ""))
        for directory, names in image.names.items():
            for name, node in names.items():
                size = len(image.content.get(node, b""))
                print(f"  left: {directory.number}/{name!r}: {node.number}, {size} bytes")

    # Judging

    def _judge_image(self, image: Image, record: Record, marks: Marks, at: int) -> None:
        """What the power cut has left, before anybody touches it."""
        into = image.names[record.root][b"into"]
        found = _files(image, into, "")
        for path, old in self.before.items():
            if self.case.conflict == "overwrite":
                self._check(path in found, f"I3: {path} has gone")
            else:
                self._check(found.get(path) == old, f"I3: {path} is not what it was")
        for path, data in found.items():
            known = {old for old in (self.before.get(path), self._wanted(path)) if old is not None}
            self._check(data in known, f"I1: {path} is there and is not right")
        self._judge_trees(image, into, found)
        if at >= marks.published:
            for path, want in self._final().items():
                if isinstance(want, bytes):
                    self._check(found.get(path) == want, f"I4: {path} was published")
                self._check(path in found or want is None, f"I4: {path} was published")

    def _judge_trees(self, image: Image, into: Node, found: dict[str, bytes]) -> None:
        """A tree appears whole or not at all."""
        for top, data in self._final().items():
            if data is None and top.encode() in image.names[into]:
                for path, want in self._final().items():
                    if path.startswith(top + "/") and want is not None:
                        whole = path in found or any(p.startswith(top + "/") for p in self.before)
                        self._check(whole, f"I1: {top} is there without {path}")

    def _judge_held(self, before: Marks, now: Marks) -> None:
        if before.finished <= 0:
            return  # another transfer of the same
        if before.published <= 0:
            self._check(now.came == 0, f"F-04: {now.came} bytes of what is published come again")
        else:
            missing = (before.saved[-1][1] if before.saved else frozenset()) - now.held
            self._check(not missing, f"I5: {sorted(missing)} were saved and come again")

    def _judge_end(self, marks: Marks) -> None:
        found = tree(self.place / "into")
        shown = {path: data for path, data in found.items() if not _hidden(path)}
        want = self._final()
        if marks.finished <= 0 and self.case.conflict == "rename":
            # The transfer was over; another one like it is another transfer.
            self._check(want.items() <= shown.items(), f"after the end: {sorted(shown)}")
            return
        if self.case.older:  # what it does not know of may be there twice
            twice = shown.keys() - want.keys()
            for path in twice:
                self._check(shown.pop(path) == want.get(_NUMBER.sub("", path)), f"I1: {path}")
        self._check(shown.keys() == want.keys(), f"I1: there is {sorted(shown)}")
        for path in want:
            self._check(shown[path] == want[path], f"I1: {path} is not right")
        left = {path for path in found if _hidden(path)} - self._orphans
        self._check(not left, f"I8: left over {left}")
        journals = os.listdir(self.place / "home" / "state")
        self._check(not journals, f"I8: left over {journals}")

    def _wanted(self, path: str) -> bytes | None:
        return next((v for k, v in self._final().items() if k == path), None)

    def _final(self) -> dict[str, bytes | None]:
        """What must be there in the end; None for directories."""
        case = self.case
        names: dict[int, str] = {}
        final: dict[str, bytes | None] = {}
        taken = {path.split("/")[0] for path in self.before}
        for path, old in self.before.items():
            final[path] = old
            if "/" in path:
                final[path.split("/")[0]] = None
        for index, entry in enumerate(case.entries):
            start = self.manifest.offset(index)
            data: bytes | None = None
            if entry.kind == FILE:
                data = self.data[start : start + entry.size]
            elif entry.kind == LINK:
                data = b"-> " + entry.target
            name = entry.name.decode()
            path = f"{names[entry.parent]}/{name}" if entry.parent else name
            if not entry.parent and name in taken and case.conflict == "rename":
                same = data is not None and self.before.get(name) == data
                path = name if same else f"{name} (1)"
            names[index + 1] = path
            if not (case.conflict == "skip" and path in self.before):
                final[path] = data
        return final

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            raise Wrong(f"{what}\n  crash after step {self.step}, {self.style}")


def _dug(data: bytes, manifest: Manifest, holes: Iterable[int]) -> bytes:
    dug = bytearray(data)
    for number in holes:
        chunk = manifest.chunk(number)
        dug[chunk.offset : chunk.offset + chunk.length] = bytes(chunk.length)
    return bytes(dug)


def _hidden(path: str) -> bool:
    return any(is_part(os.fsencode(part)) for part in path.split("/"))


def _files(image: Image, directory: Node, path: str) -> dict[str, bytes]:
    """Everything under final names, links as `-> target`."""
    found: dict[str, bytes] = {}
    for name, node in image.names.get(directory, {}).items():
        if is_part(name):
            continue
        inner = f"{path}{name.decode()}"
        if node.kind is Kind.DIRECTORY:
            found.update(_files(image, node, inner + "/"))
        elif node.kind is Kind.LINK:
            found[inner] = b"-> " + node.target
        else:
            found[inner] = image.content[node]
    return found


def _all_hidden(image: Image, directory: Node, path: str) -> set[str]:
    """File paths of parts, and of what is below hidden directories."""
    found = set()
    for name, node in image.names.get(directory, {}).items():
        inner = f"{path}{name.decode()}"
        if _hidden(inner):
            found.add(inner)
        found |= _all_hidden(image, node, inner + "/")
    return found


def _parts_alone(image: Image) -> list[Node]:
    """Parts with content that have no other name."""
    shown: set[Node] = set()
    parts: list[Node] = []
    for names in image.names.values():
        for name, node in names.items():
            if not is_part(name):
                shown.add(node)
            elif image.content.get(node):
                parts.append(node)
    return [node for node in parts if node not in shown]
