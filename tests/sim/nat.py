"""Routers in a few lines each: how they give out ports, whom they let in, what they forget.

    easy       one outside port for each inside endpoint, our own if free (Linux masquerade)
    remap      one outside port for each inside endpoint, another one
    fullcone   as `easy`, and whoever knows it may come in
    hard       another port for each destination endpoint, by chance
    hard-addr  another port for each destination address, by chance
    hard-seq   another port for each destination endpoint, the next one

A router of type *accept* keeps an entry for what comes in unasked, as Linux does without an INPUT
rule: what goes out later to the same endpoint then gets another port, and for that peer only.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

Place = tuple[str, int]
"""Address and port."""


@dataclass(frozen=True)
class Box:
    """What kind of router it is."""

    kind: str = "easy"
    accept: bool = False
    hairpin: bool = False
    blocked: bool = False
    """No UDP passes."""
    first_port: int = 1_024
    last_port: int = 65_535
    unreplied: float = 30.0
    replied: float = 120.0
    strangers: int = 0
    """How often in 100 somebody else takes a port before us (`hard-seq`)."""


@dataclass
class Flow:
    """An entry of the table."""

    inside: Place
    port: int
    used_at: float
    replied: bool = False


@dataclass
class Translation:
    """The table of one router, for IPv4."""

    box: Box
    rng: Random
    flows: dict[tuple[Place, Place], Flow] = field(default_factory=dict)
    """By inside endpoint and remote endpoint."""
    back: dict[tuple[int, Place], Flow] = field(default_factory=dict)
    """By outside port and remote endpoint."""
    base: dict[Place, int] = field(default_factory=dict)
    """The port of an inside endpoint, where it has one for all."""
    by_address: dict[tuple[Place, str], int] = field(default_factory=dict)
    unasked: dict[tuple[int, Place], float] = field(default_factory=dict)
    mapped: dict[int, Place] = field(default_factory=dict)
    """What was opened on request."""
    following: int = 0

    def __post_init__(self) -> None:
        self.following = self.rng.randrange(20_000, 40_000)

    def outgoing(self, now: float, inside: Place, remote: Place) -> int:
        """From which port it goes on."""
        flow = self.flows.get((inside, remote))
        if flow is None or not self._alive(now, flow):
            flow = self._begin(now, inside, remote, self._port(inside, remote))
        flow.used_at = now
        return flow.port

    def incoming(self, now: float, port: int, remote: Place) -> Place | None:
        """To whom inside it goes, if to anybody."""
        flow = self.back.get((port, remote))
        if flow is not None and self._alive(now, flow):
            flow.replied, flow.used_at = True, now
            return flow.inside
        inside = self.mapped.get(port)
        if inside is None and self.box.kind == "fullcone":
            inside = next((one for one, its in self.base.items() if its == port), None)
        if inside is not None:
            self._begin(now, inside, remote, port)
            return inside
        if self.box.accept:
            self.unasked[port, remote] = now
        return None

    def flush(self) -> None:
        """Forget everything but what was asked for, as when the router starts again."""
        for table in (self.flows, self.back, self.by_address, self.unasked):
            table.clear()
        if self.box.kind not in {"easy", "fullcone"}:
            self.base.clear()

    def _alive(self, now: float, flow: Flow) -> bool:
        life = self.box.replied if flow.replied else self.box.unreplied
        return now - flow.used_at < life

    def _begin(self, now: float, inside: Place, remote: Place, port: int) -> Flow:
        while self._taken(now, port, inside, remote):
            port = self._any()
        old = self.flows.get((inside, remote))
        if old is not None:
            self.back.pop((old.port, remote), None)
        flow = Flow(inside, port, now)
        self.flows[inside, remote] = self.back[port, remote] = flow
        return flow

    def _taken(self, now: float, port: int, inside: Place, remote: Place) -> bool:
        if now - self.unasked.get((port, remote), float("-inf")) < self.box.unreplied:
            return True
        flow = self.back.get((port, remote))
        return flow is not None and flow.inside != inside and self._alive(now, flow)

    def _port(self, inside: Place, remote: Place) -> int:
        match self.box.kind:
            case "hard":
                return self._any()
            case "hard-seq":
                if self.rng.randrange(100) < self.box.strangers:
                    self.following += 1
                self.following += 1
                return self.following
            case "hard-addr":
                return self.by_address.setdefault((inside, remote[0]), self._any())
            case kind:
                if inside not in self.base:
                    taken = set(self.base.values())
                    kept = kind != "remap" and inside[1] not in taken
                    self.base[inside] = inside[1] if kept else next(self._free(taken))
                return self.base[inside]

    def _any(self) -> int:
        return self.rng.randint(self.box.first_port, self.box.last_port)

    def _free(self, taken: set[int]) -> Iterator[int]:
        while True:
            port = self._any()
            if port not in taken:
                yield port


@dataclass
class Firewall:
    """IPv6: nothing comes in that was not asked for; no port changes."""

    open: bool = False
    life: float = 120.0
    asked: dict[tuple[Place, Place], float] = field(default_factory=dict)

    def outgoing(self, now: float, inside: Place, remote: Place) -> None:
        self.asked[inside, remote] = now

    def incoming(self, now: float, inside: Place, remote: Place) -> bool:
        if self.open:
            return True
        passes = now - self.asked.get((inside, remote), float("-inf")) < self.life
        if passes:
            self.asked[inside, remote] = now
        return passes
