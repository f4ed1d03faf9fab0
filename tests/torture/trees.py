"""What is sent, and what lies at the destination before."""

import os
import random
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20
CONFLICTS = ("rename", "skip", "overwrite")
TOP = "offer"
"""The one folder that every tree consists of."""


def large(root: Path, chance: random.Random) -> None:
    """One file of many checkpoints."""
    _write(root / "large.bin", chance.randbytes(24 * MIB + 12_345))


def many(root: Path, chance: random.Random) -> None:
    """Small files in a few folders."""
    for number in range(160):
        _write(root / f"d{number % 5}" / f"f{number}", chance.randbytes(chance.randrange(20_000)))


def deep(root: Path, chance: random.Random) -> None:
    """Folders in folders, empty ones and empty files among them."""
    folder = root
    for level in range(40):
        folder /= f"level {level}"
        _write(folder / "file", chance.randbytes(chance.choice((0, 1, 5_000))))
        (folder / "empty").mkdir()


def sparse(root: Path, chance: random.Random) -> None:
    """Much length, little content."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "sparse.img").open("wb") as file:
        for start in (0, 17 * MIB + 100, 40 * MIB):
            file.seek(start)
            file.write(chance.randbytes(MIB + 500))
        file.truncate(64 * MIB)


def mixed(root: Path, chance: random.Random) -> None:
    """Something of everything, under odd names and with odd modes and times."""
    _write(root / "big", chance.randbytes(6 * MIB + 1))
    for number, name in enumerate(("a b", "-rf", "caf\u00e9", "cafe\u0301", "\udcff")):
        _write(root / "names" / name, chance.randbytes(700 * number))
    for number in range(40):
        _write(root / "small" / f"{number}.txt", chance.randbytes(3_000))
    (root / "empty folder").mkdir()
    (root / "small" / "0.txt").chmod(0o755)
    os.utime(root / "small" / "1.txt", ns=(1, 1_234_567_890_123_456_789))


def few(root: Path, chance: random.Random) -> None:
    """As many calls of each kind as it takes, and no more: for every single one of them."""
    _write(root / "big", chance.randbytes(3 * MIB + 10))
    _write(root / "empty", b"")
    for number in range(4):
        _write(root / "sub" / f"{number}", chance.randbytes(2_000))
    (root / "nothing").mkdir()


KINDS: dict[str, Callable[[Path, random.Random], None]] = {
    "large": large, "many": many, "deep": deep, "sparse": sparse, "mixed": mixed, "few": few,
}  # fmt: skip


def make(kind: str, folder: Path) -> Path:
    """The tree of this kind in a new folder, always with the same content; its top."""
    top = folder / TOP
    top.mkdir(parents=True)
    KINDS[kind](top, random.Random(kind))
    return top


def holes(top: Path) -> int:
    """Bytes in holes of the files below."""
    return sum(max(0, s.st_size - 512 * s.st_blocks) for s in
               (path.stat() for path in top.rglob("*") if path.is_file()))  # fmt: skip


def taken(top: Path, before: Path) -> int:
    """Bytes of the files whose names are taken at the destination."""
    found = (path for path in top.rglob("*") if path.is_file())
    return sum(p.stat().st_size for p in found if (before / TOP / p.relative_to(top)).exists())


def prepare(top: Path, into: Path) -> None:
    """A destination that has seen an older version of some of it, and things of its own.

    A file is there with one other byte in its middle, not at all (a large one: too short), or as it
    is now, in turn.
    """
    into.mkdir()
    _write(into / "mine", b"mine alone")
    _write(into / TOP / "mine as well", b"mine too")
    files = sorted(path for path in top.rglob("*") if path.is_file())
    for number, path in enumerate(files):
        data = bytearray(path.read_bytes())
        if number % 3 == 0 and data:
            data[len(data) // 2] ^= 1
        elif number % 3 == 1:
            if len(data) < MIB:
                continue
            del data[len(data) // 3 :]
        _write(into / TOP / path.relative_to(top), bytes(data))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
