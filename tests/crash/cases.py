"""What is sent in the crash tests, and what must come of it."""

from securecp.transfer.entries import LINK, Entry
from tests.crash.meeting import SMALL, Case
from tests.disk.support import file, folder

TIMES = 1_600_000_000 * 10**9 + 123_456_789


def _link(name: bytes, target: bytes, parent: int = 0) -> Entry:
    return Entry(LINK, parent, name, 0, 0o777, TIMES, target)


TREE = (
    folder(b"tree", mode=0o750, mtime_ns=TIMES),
    file(b"a", 3 * SMALL + 5, 1, mode=0o600, mtime_ns=TIMES),
    file(b"empty", 0, 1),
    folder(b"deep", 1),
    file(b"b", SMALL, 4),
    file(b"c", 700, 4, mode=0o755),
)
MANY = tuple(file(b"small %d" % number, 100 + 37 * number) for number in range(24))
ONE = (file(b"large", 7 * SMALL + 11, mtime_ns=TIMES),)
TWO = (file(b"mine", 4 * SMALL), file(b"yours", 2 * SMALL + 1))
MINE = b"was here before " * 2_000
"""Larger than one chunk, and another size than what is offered under the name."""

CASES: dict[str, Case] = {
    "one": Case(ONE),
    "one, backwards": Case(ONE, every=3, backwards=True, coarse=7),
    "one, read again": Case(ONE, verify=True),
    "many": Case(MANY, every=5),
    "many, seldom saved": Case(MANY, every=20, coarse=50),
    "tree": Case(TREE),
    "tree, seldom saved": Case(TREE, every=4, coarse=9),
    "tree beside another": Case(TREE, before={"tree/a": MINE, "tree/kept": MINE}),
    "tree into another": Case(TREE, "overwrite", before={"tree/a": MINE, "tree/kept": MINE}),
    "tree with links": Case((*TREE, _link(b"link", b"deep/b", 1)), symlinks=True),
    "rename": Case(TWO, before={"mine": MINE}),
    "skip": Case(TWO, "skip", before={"mine": MINE}),
    "overwrite": Case(TWO, "overwrite", before={"mine": MINE}),
    "delta": Case(TWO, "overwrite", before={"mine": b"DELTA"}),
    "delta beside": Case(TWO, before={"mine": b"DELTA"}),
    "the same": Case(TWO, before={"mine": b"SAME"}),
    "holes": Case(ONE, holes=(0, 1, 4, 6, 7)),
    "holes in two": Case(TWO, holes=(0, 3, 4, 6), every=3, coarse=5),
    "nothing but zeros": Case(TWO, holes=tuple(range(7))),
    "restart": Case(ONE, restarts=True),
    "restart in one tick": Case(ONE, restarts=True, coarse=1_000_000),
    "restart of many": Case(TWO, every=3, restarts=True, coarse=20),
    "parts are edited": Case(TWO, edited=True),
    "an older journal": Case(ONE, older=True),
    "an older journal of a tree": Case(TREE, older=True),
    "a flush fails": Case(ONE, fails=True),
    "a flush of many fails": Case(MANY, every=4, fails=True),
}
