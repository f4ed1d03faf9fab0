"""What `securecp demo` sends, and the proof that it arrived: a tree, a large file, a comparison.

Nothing here knows of the network or of securecp: it copies, generates and compares files.
"""

import os
import random
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_MOST_FILES = 20_000
_MOST_BYTES = 600_000_000
"""So that the demo stays under a minute whatever is installed."""
_BLOCK = 1 << 20
_SEED = 20_260_101


class Size(NamedTuple):
    """How much a tree holds."""

    files: int
    folders: int
    size: int


def copy_packages(destination: Path) -> Size:
    """A copy of the installed packages; a copy, because running programs add to the original."""
    source = Path(sysconfig.get_path("purelib"))
    files = size = 0
    for folder, folders, names in os.walk(source):
        folders.sort()
        here = destination / Path(folder).relative_to(source)
        here.mkdir(parents=True, exist_ok=True)
        for name in sorted(names):
            original = Path(folder) / name
            if original.is_symlink() or not original.is_file():
                continue
            size += original.stat().st_size
            if files >= _MOST_FILES or size > _MOST_BYTES:
                return measure(destination)
            shutil.copy2(original, here / name)
            files += 1
    return measure(destination)


def write_large_file(path: Path, size: int) -> None:
    """`size` bytes that no compression makes smaller, the same on every run."""
    chance = random.Random(_SEED)  # noqa: S311  sample content, no secret
    block = bytearray(chance.randbytes(_BLOCK))
    with path.open("wb") as file:
        for number in range(-(-size // _BLOCK)):
            block[:8] = number.to_bytes(8)  # no two chunks are alike
            file.write(memoryview(block)[: min(_BLOCK, size - number * _BLOCK)])


def measure(root: Path) -> Size:
    """Count what is there."""
    files = folders = size = 0
    for entry in root.rglob("*"):
        if entry.is_dir():
            folders += 1
        else:
            files += 1
            size += entry.stat().st_size
    return Size(files, folders, size)


def differences(ours: Path, theirs: Path) -> Iterator[str]:
    """Every way in which the trees differ: names, kinds, permissions, times, bytes."""
    here, there = _entries(ours), _entries(theirs)
    for name in sorted(here.keys() | there.keys()):
        if name not in there:
            yield f"missing: {name}"
        elif name not in here:
            yield f"unexpected: {name}"
        else:
            difference = _difference(here[name], there[name])
            if difference:
                yield f"{difference}: {name}"


def _entries(root: Path) -> dict[str, Path]:
    return {str(path.relative_to(root)): path for path in root.rglob("*")}


def _difference(one: Path, other: Path) -> str:
    if one.is_dir() or other.is_dir():
        return "" if one.is_dir() and other.is_dir() else "not the same kind"
    ours, theirs = one.lstat(), other.lstat()
    if ours.st_size != theirs.st_size:
        return "not the same size"
    if ours.st_mode & 0o700 != theirs.st_mode & 0o700:
        return "not the same permissions"
    if ours.st_mtime_ns != theirs.st_mtime_ns:
        return "not the same time"
    return "" if _same_bytes(one, other) else "not the same bytes"


def _same_bytes(one: Path, other: Path) -> bool:
    with one.open("rb") as left, other.open("rb") as right:
        while True:
            ours, theirs = left.read(_BLOCK), right.read(_BLOCK)
            if ours != theirs:
                return False
            if not ours:
                return True
