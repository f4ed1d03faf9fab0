"""Two machines that look for each other through all kinds of networks, on virtual time:

    python -m tests.sim.reach                       every cell of the matrix, three seeds each
    python -m tests.sim.reach --seeds 0:2000        anything at all, as chance wants it
    python -m tests.sim.reach --seed 42 --verbose   one of these, with all that is done

Times are seconds from the moment when both have started. Exit code 1 if a cell has another outcome
than it must, or an invariant did not hold.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from random import Random
from statistics import median

from keys.identity import Identity
from securecp.endpoint import Endpoint
from tests.keys.samples import identity
from tests.sim.clock import Clock
from tests.sim.finder import DAY, Finder, Talk
from tests.sim.host import SimulationError
from tests.sim.internet import Internet, Router, Weather
from tests.sim.meetingpoint import MeetingPoint
from tests.sim.nat import Box
from tests.sim.reachwatch import Watch

BOXES = {
    "fullcone": Box("fullcone"),
    "easy": Box("easy"),
    "remap": Box("remap"),
    "accept": Box("easy", accept=True),
    "seq": Box("hard-seq"),
    "hard": Box("hard"),
    "hard-addr": Box("hard-addr"),
    "blocked": Box("easy", blocked=True),
}
KINDS = ("public", *BOXES)
CALLER, CALLED = identity("caller"), identity("called")


@dataclass(frozen=True)
class Scenario:
    """One run."""

    left: str = "easy"
    """The router of who calls."""
    right: str = "easy"
    seed: int = 0
    delay: float = 0.02
    """Seconds from one to the other."""
    loss: float = 0.0
    jitter: float = 0.0
    skew: float = 0.0
    """Seconds by which the caller starts later; negative: sooner."""
    addresses: int = 2
    """Of each server."""
    servers: int = 1
    early: bool = True
    """Whether STUN is asked before the server's line stands."""
    ipv6: bool = False
    same_lan: bool = False
    lan: bool = True
    carrier: str = ""
    """Another NAT outside: that of both."""
    double: str = ""
    """Another NAT outside: one for each."""
    above: str = ""
    """Another NAT outside: for the caller only."""
    hairpin: bool = False
    mapped: bool = False
    """The caller's router opens a port on request, after 50 ms."""
    both_call: bool = False
    days_off: int = 0
    lasts: float = 12.0
    until_direct: bool = True
    """Whether to end as soon as both have a direct way that works."""
    verbose: bool = field(default=False, compare=False)


class Meet:
    """The world of one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = s = scenario
        self.clock = Clock()
        self.internet = Internet(self.clock, self.random("weather"), Weather(s.loss, s.jitter))
        self.servers = [
            MeetingPoint(
                self.clock, self.internet, self.random(f"server {n}"),
                tuple(f"11.0.{113 + n}.{a + 1}" for a in range(s.addresses)), s.delay / 2,
            )
            for n in range(s.servers)
        ]  # fmt: skip
        self.routers: list[Router] = []
        self.watch = Watch(self.clock, [one.stun for one in self.servers])
        self.left = self._finder("left", CALLER, CALLED, waiting=s.both_call, day=DAY + s.days_off)
        self.right = self._finder("right", CALLED, CALLER, waiting=True, day=DAY)
        self._wire()
        self.talk: Talk | None = None
        self.began_at = max(s.skew, 0.0) if s.skew >= 0 else -s.skew

    def random(self, purpose: str) -> Random:
        return Random(f"{self.scenario.seed} {purpose}")

    def _finder(
        self, name: str, own: Identity, other: Identity, *, waiting: bool, day: int
    ) -> Finder:
        s = self.scenario
        finder = Finder(
            self.clock, self.random(name), name, own, [bytes(other.public)],
            waiting=waiting, ipv6=s.ipv6, lan=s.lan, day=day,
        )  # fmt: skip
        finder.distance = s.delay / 2
        if s.verbose:
            finder.log = self.log = getattr(self, "log", [])
        self.watch.follow(finder)
        return finder

    def _wire(self) -> None:
        s = self.scenario
        outside: Internet | Router = self.internet
        carrier = None
        if s.carrier:
            carrier = self.router("carrier", BOXES[s.carrier], self.internet, "11.0.9.1")
            outside = carrier
        for number, (finder, kind) in enumerate(((self.left, s.left), (self.right, s.right)), 1):
            v6 = (f"2600:ab8:{number}::10",) if s.ipv6 else ()
            if kind == "public":
                finder.host.plug(self.internet, (f"11.0.{number}.10", *v6), s.delay / 2)
                finder.seen = (f"11.0.{number}.10", 1)
                continue
            if s.same_lan and number == 2:
                router = self.routers[-1]
                finder.host.plug(router, ("192.168.1.11", *v6))
                finder.seen = self.left.seen
                continue
            above, address = outside, f"11.0.{number}.1"
            more = s.double or (s.above if number == 1 else "")
            if more:
                above = self.router(f"double {number}", BOXES[more], self.internet, address)
                address = f"100.64.0.{number}"
            elif carrier:
                address = f"100.64.0.{number}"
            router = self.router(f"home {number}", BOXES[kind], above, address)
            finder.host.plug(router, ("192.168.1.10", *v6))
            finder.seen = ("11.0.9.1" if carrier else f"11.0.{number}.1", 1)

    def router(self, name: str, box: Box, outside: Internet | Router, address: str) -> Router:
        far = isinstance(outside, Internet)
        box = replace(box, hairpin=self.scenario.hairpin)
        router = Router(
            self.clock, self.random(name), box, outside, address,
            self.scenario.delay / 2 if far else 0.0005,
        )  # fmt: skip
        self.routers.append(router)
        return router

    # what happens

    def start(self) -> None:
        s = self.scenario
        first = max(-s.skew, 0.0), max(s.skew, 0.0)
        self.clock.at(first[0], lambda: self.right.begin(self.servers, early=s.early))
        self.clock.at(first[1], self._call)

    def _call(self) -> None:
        s = self.scenario
        self.left.begin(self.servers, early=s.early)
        self.talk = self.left.call(bytes(CALLED.public))
        if s.both_call:
            self.clock.after(0.0, self._call_back)
        if s.mapped:
            self.clock.after(0.05, self._map)

    def _call_back(self) -> None:
        self.right.call(bytes(CALLER.public))

    def _map(self) -> None:
        router = self.left.host.outside
        assert isinstance(router, Router)
        port = self.left.host.ports[0][1]
        router.table.mapped[50_000] = (self.left.host.addresses[0], port)
        self.left.reach.mapped([Endpoint(router.address, 50_000)])
        self.left.turn()

    def run(self, until: Callable[[], bool] | None = None) -> "Result":
        self.start()
        return self.go(self.began_at + self.scenario.lasts, until)

    def go(self, limit: float, until: Callable[[], bool] | None = None) -> "Result":
        """On until then; `until`: or until that."""
        done, steps = until or self._direct, 0
        while self.clock.step(limit):
            steps += 1
            if steps % 16 == 0 and done():
                break
        else:
            self.clock.now = max(self.clock.now, limit)
        return self.result()

    def _direct(self) -> bool:
        talk = self.talk
        if not self.scenario.until_direct or talk is None:
            return False
        other = self.right.talks.get(talk.session)
        return (
            other is not None
            and any(f"{kind} works" in talk.first for kind in ("lan", "direct"))
            and talk.endpoint is not None
            and other.endpoint is not None
            and _kind(talk) != "relayed"
        )

    def result(self) -> "Result":
        assert self.talk is not None
        first = {kind: at - self.began_at for kind, at in self.talk.first.items()}
        direct = min((first[k] for k in ("lan", "direct") if k in first), default=None)
        works = min((first[f"{k} works"] for k in ("lan", "direct") if f"{k} works" in first),
                    default=None)  # fmt: skip
        return Result(self.scenario, first, direct, works, first.get("relayed works"))


def _kind(talk: Talk) -> str:
    return next((way.kind for way in talk.ways if way.endpoint == talk.endpoint), "?")


@dataclass(frozen=True)
class Result:
    """What came out for the caller; times from the moment when both had started."""

    scenario: Scenario
    first: dict[str, float]
    direct: float | None
    """A direct path is known."""
    works: float | None
    """A direct path has carried something both ways."""
    relayed: float | None
    """The relay has carried something both ways."""

    @property
    def connected(self) -> bool:
        return self.works is not None or self.relayed is not None


def meet(scenario: Scenario) -> Result:
    """Run it; whatever goes wrong says how to see it again."""
    world = Meet(scenario)
    try:
        return world.run()
    except Exception as error:
        raise SimulationError(f"{error!r}\n{explain(scenario)}") from error


def explain(scenario: Scenario) -> str:
    shown = (
        f"{each.name}={getattr(scenario, each.name)!r}"
        for each in fields(scenario)
        if getattr(scenario, each.name) != each.default
    )
    return f"Scenario({', '.join(shown)})"


MOVES = {"seq", "hard", "hard-addr"}


def expected(left: str, right: str) -> str:
    """The letter of the cell: P, Q, B or R."""
    pair = {left, right}
    if "blocked" in pair:
        return "R"
    if pair & {"public", "fullcone"}:
        return "P"
    if not pair & MOVES:
        return "P"
    if pair <= MOVES:
        return "Q" if pair == {"seq"} else "R"
    return "Q" if "seq" in pair else "B"


def swarm(seed: int) -> Scenario:
    """Anything at all."""
    rng = Random(f"swarm {seed}")
    some = rng.random() < 0.5
    return Scenario(
        left=rng.choice(KINDS),
        right=rng.choice(KINDS),
        seed=seed,
        delay=rng.choice((0.0, 0.002, 0.02, 0.08)),
        loss=rng.choice((0.0, 0.0, 0.02, 0.1, 0.3)),
        jitter=rng.choice((0.0, 0.0, 0.005, 0.02)),
        skew=rng.choice((0.0, 0.0, 0.01, -0.01, 0.05, -0.05, 5.0, -5.0)),
        addresses=rng.choice((1, 2, 2)),
        servers=rng.choice((1, 1, 1, 2)),
        early=rng.random() < 0.7,
        ipv6=rng.random() < 0.15,
        carrier=rng.choice(("easy", "remap", "hard")) if some and rng.random() < 0.2 else "",
        hairpin=rng.random() < 0.3,
        both_call=rng.random() < 0.1,
        days_off=rng.choice((0, 0, 0, 1, -1)),
    )


def must_be_direct(s: Scenario) -> bool:
    """Whether the relay alone is not good enough here, within the time that a run lasts."""
    if s.carrier or s.double or s.loss > 0.1 or s.jitter > 0.01:
        return False  # too much is left to chance
    if s.ipv6 and "blocked" not in {s.left, s.right}:
        return True
    if s.addresses == 1 and {s.left, s.right} & {"hard-addr", "seq"}:
        return False
    return expected(s.left, s.right) in {"P", "Q"}


def run_cells(seeds: range, base: Scenario, show: Callable[[str], None]) -> int:
    """Every cell; how many have another outcome than they must."""
    wrong = 0
    for left in KINDS:
        for right in KINDS:
            letter = expected(left, right)
            scenarios = [replace(base, left=left, right=right, seed=seed) for seed in seeds]
            results = [meet(one) for one in scenarios]
            direct = [one.direct for one in results if one.direct is not None]
            relayed = [one.relayed for one in results if one.relayed is not None]
            good = all(one.connected for one in results)
            good &= not direct if letter == "R" else len(direct) == len(results)
            wrong += not good
            times = f"{median(direct):6.3f} max {max(direct):6.3f}" if direct else " " * 17
            spare = f"{median(relayed):6.3f}" if relayed else ""
            show(f"{left:10} {right:10} {letter}  {len(direct)}/{len(results)} direct {times}"
                 f"  relayed {spare}{'' if good else '   WRONG'}")  # fmt: skip
    return wrong


def run_swarm(seeds: Sequence[int], *, verbose: bool) -> int:
    wrong = 0
    for seed in seeds:
        scenario = replace(swarm(seed), verbose=verbose)
        world = Meet(scenario)
        try:
            result = world.run()
            problem = "" if result.connected else "not connected"
            if must_be_direct(scenario) and result.works is None:
                problem = "not direct"
        except Exception as error:
            problem = repr(error)
        if verbose:
            print("\n".join(world.left.log or []))
            print(world.result())
        if problem:
            wrong += 1
            print(f"seed {seed}: {problem}\n  {explain(scenario)}", flush=True)
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.reach", description=__doc__)
    parser.add_argument("--seeds", metavar="FIRST:LAST")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--runs", type=int, default=3, help="of each cell")
    parser.add_argument("--delay", type=float, default=0.02)
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--skew", type=float, default=0.0)
    parser.add_argument("--addresses", type=int, default=2)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    if options.seed is not None:
        wrong = run_swarm([options.seed], verbose=options.verbose)
    elif options.seeds:
        first, _, last = options.seeds.partition(":")
        wrong = run_swarm(range(int(first), int(last)), verbose=options.verbose)
    else:
        base = Scenario(
            delay=options.delay, loss=options.loss, skew=options.skew, addresses=options.addresses
        )
        wrong = run_cells(range(options.runs), base, print)
    print(f"{wrong} wrong, {time.perf_counter() - began:.1f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
