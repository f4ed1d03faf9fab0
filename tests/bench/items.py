"""What is sent, over which link, and what the project wants to reach there.

Links count IP packets of at most 1,500 bytes; the emulator's queue holds one product of rate and
round trip. Loss is independent and strikes both ways, data and acknowledgements alike.
"""

import os
from pathlib import Path
from typing import NamedTuple

from tests.bench.links import LOOPBACK, Link, veth, wan

MIB = 1 << 20
GIB = 1 << 30
DSL = ("--delay", "25", "--rate", "100")
LONG = ("--delay", "100", "--rate", "200", "--loss", "0.1")
STOCK = "securecp-stock"
LARGE = "securecp-large"


class Goal(NamedTuple):
    """One figure of `peer` that shall be at most `limit`."""

    figure: str
    """`seconds`; `ratio` and `cpu` (both over those of `rival`, run by run); `wire`, bytes sent
    into the link over bytes of the files; `memory`, peak MiB of the larger side."""
    limit: float
    rival: str = ""
    peer: str = "securecp"
    stretch: bool = False


class Item(NamedTuple):
    """Something to send, and where."""

    name: str
    title: str
    link: Link
    files: int
    size: int
    """Bytes of each file."""
    goals: tuple[Goal, ...] = ()
    sparse: bool = False
    peers: tuple[str, ...] = ()
    """Only these make sense here; empty for all of the usual ones."""

    @property
    def total(self) -> int:
        return self.files * self.size

    def make(self, path: Path) -> None:
        """Write it: one file, or 50 files a directory. Random, so that nothing can compress it."""
        if self.sparse:
            path.touch()
            os.truncate(path, self.size)
        elif self.files == 1:
            _fill(path, self.size)
        else:
            for number in range(self.files):
                folder = path / f"d{number // 50:03}"
                folder.mkdir(parents=True, exist_ok=True)
                _fill(folder / f"f{number % 50:02}.bin", self.size)


def _fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for offset in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - offset)))


def most(figure: str, limit: float, rival: str = "") -> Goal:
    return Goal(figure, limit, rival)


def stretch(figure: str, limit: float, rival: str) -> Goal:
    return Goal(figure, limit, rival, stretch=True)


def wire(loss: float = 0.0) -> Goal:
    """At most 7 % for headers, acknowledgements and what is sent twice without being lost."""
    return Goal("wire", round(1.07 / (1 - loss) ** 2, 3))


_ITEMS = (
    Item(
        "1g", "1 GiB, loopback", LOOPBACK, 1, GIB,
        (most("ratio", 0.6, "scp"), stretch("ratio", 1.0, "socat-tls"), most("memory", 64)),
    ),
    Item(
        "1g-veth", "1 GiB, veth pair, MTU 1500", veth(), 1, GIB,
        (
            most("ratio", 0.8, "scp"), stretch("ratio", 1.5, "socat-tls"),
            most("cpu", 1.0, "scp"), most("memory", 64),
        ),
    ),
    Item(
        "64m-wan", "64 MiB, 100 Mbit/s, 50 ms", wan(*DSL), 1, 64 * MIB,
        (most("seconds", 6.2), wire()),
    ),
    Item(
        "64m-loss1", "64 MiB, 100 Mbit/s, 50 ms, 1 % loss", wan(*DSL, "--loss", "1"), 1, 64 * MIB,
        (most("seconds", 6.4), most("ratio", 0.95, "udx"), wire(0.01)),
    ),
    Item(
        "64m-loss5", "64 MiB, 100 Mbit/s, 50 ms, 5 % loss", wan(*DSL, "--loss", "5"), 1, 64 * MIB,
        (most("seconds", 7.0), most("ratio", 0.95, "udx"), wire(0.05)),
    ),
    Item(
        "128m-long", "128 MiB, 200 Mbit/s, 200 ms, 0.1 % loss", wan(*LONG), 1, 128 * MIB,
        (most("seconds", 7.5), wire(0.001)),
    ),
    Item(
        "tree", "5,000 files of 4 KiB, loopback", LOOPBACK, 5_000, 4096,
        (most("ratio", 1.0, "rsync"), stretch("ratio", 1.0, "iroh")),
    ),
    Item(
        "tree-wan", "5,000 files of 4 KiB, 100 Mbit/s, 50 ms", wan(*DSL), 5_000, 4096,
        (most("seconds", 2.6),),
    ),
    Item("1k", "1 kB, loopback", LOOPBACK, 1, 1000),
    Item("1k-wan", "1 kB, 50 ms", wan(*DSL), 1, 1000, (most("seconds", 0.45),)),
    Item(
        "1g-stock", "1 GiB, 1 Gbit/s, stock and large socket buffers", veth(1000), 1, GIB,
        (Goal("ratio", 1.43, LARGE, peer=STOCK),), peers=(LARGE, STOCK),
    ),
    Item(
        "8g-sparse", "8 GiB of zeros, loopback", LOOPBACK, 1, 8 * GIB,
        (most("memory", 64),), sparse=True, peers=("securecp",),
    ),
)  # fmt: skip
ITEMS = {item.name: item for item in _ITEMS}
HERE = ("1g", "1g-veth", "tree", "1k")
"""What `make bench` runs; the emulated links are `make bench-wan`."""
FAR = ("64m-wan", "64m-loss1", "64m-loss5", "128m-long", "tree-wan", "1k-wan")
