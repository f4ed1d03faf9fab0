"""Which process is killed when, as text: "large/old/rename/receiver@40%,sender@fsync#3,both@0.12s".

Tree, destination (`new`: empty; `old`: with older versions), policy, and the deaths in their order:

    40%       when so much of the content has come, by the side's own progress events
    0.12s     that long after it was started
    fsync#3   at its third fsync, before the call is carried out (strace)
    published at a moment that `program.py` knows
"""

import random
from typing import NamedTuple, Self

from tests.torture.program import MOMENTS
from tests.torture.trees import CONFLICTS, KINDS

ROLES = ("receiver", "sender", "both")
CALLS = (
    "write", "pwrite64", "pwritev", "pwritev2", "fsync", "fdatasync", "syncfs", "linkat",
    "rename", "renameat", "renameat2", "unlinkat", "mkdir", "mkdirat", "ftruncate", "utimensat",
    "fchmod",
)  # fmt: skip
"""Whatever changes something that outlives the process, as Linux calls it."""


class Kill(NamedTuple):
    """One death."""

    role: str
    fraction: float | None = None
    seconds: float | None = None
    call: str = ""
    number: int = 0
    moment: str = ""

    @property
    def aimed(self) -> bool:
        """Whether the process must be started for this death."""
        return bool(self.call or self.moment)

    @property
    def kind(self) -> str:
        """What it counts as in the report."""
        when = self.call or self.moment or ("time" if self.fraction is None else "progress")
        return f"{self.role} at {when}"

    def __str__(self) -> str:
        if self.call:
            return f"{self.role}@{self.call}#{self.number}"
        if self.moment:
            return f"{self.role}@{self.moment}"
        if self.fraction is not None:
            return f"{self.role}@{self.fraction:.1%}"
        return f"{self.role}@{self.seconds:.3f}s"

    @classmethod
    def parse(cls, text: str) -> Self:
        role, _, when = text.partition("@")
        if role not in ROLES:
            raise ValueError(f"nobody is called {role!r}")
        if when.endswith("%"):
            return cls(role, fraction=float(when[:-1]) / 100)
        if when in MOMENTS:
            return cls(role, moment=when)
        if when.endswith("s") and "#" not in when:
            return cls(role, seconds=float(when[:-1]))
        call, _, number = when.partition("#")
        return cls(role, call=call, number=int(number))


class Plan(NamedTuple):
    """One ride: what is sent into what, and the deaths on its way."""

    tree: str
    old: bool
    conflict: str
    kills: tuple[Kill, ...]

    def __str__(self) -> str:
        place = "old" if self.old else "new"
        return f"{self.tree}/{place}/{self.conflict}/{','.join(map(str, self.kills))}"

    @classmethod
    def parse(cls, text: str) -> Self:
        tree, place, conflict, kills = text.split("/")
        if tree not in KINDS or place not in {"old", "new"} or conflict not in CONFLICTS:
            raise ValueError(f"no such tree, destination or policy: {text!r}")
        parsed = tuple(map(Kill.parse, filter(None, kills.split(","))))
        return cls(tree, place == "old", conflict, parsed)


def drawn(seed: int) -> Plan:
    """A plan by chance, always the same for a seed."""
    chance = random.Random(seed)
    kills = tuple(_kill(chance) for _ in range(chance.choice((1, 2, 2, 3, 4))))
    return Plan(chance.choice(list(KINDS)), chance.random() < 0.5, chance.choice(CONFLICTS), kills)


def _kill(chance: random.Random) -> Kill:
    role = chance.choice(("receiver", "receiver", "sender", "both"))
    if chance.random() < 0.65:
        return Kill(role, fraction=round(chance.uniform(0, 0.97), 3))
    return Kill(role, seconds=round(chance.uniform(0.1, 0.6), 3))
