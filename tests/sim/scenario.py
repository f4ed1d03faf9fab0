"""One run from its options, and what to say when it fails."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields

from tests.sim.direct import Direct
from tests.sim.host import SimulationError
from tests.sim.options import Options
from tests.sim.whole import Whole


@dataclass(frozen=True)
class Outcome:
    """How a run went."""

    seconds: float
    """Virtual time until the end."""
    datagrams: int
    digest: str
    """Hash of all events."""
    struck: Counter[str]


def run(
    options: Options,
    *,
    kind: type[Whole] | type[Direct] = Whole,
    log: Callable[[str], None] | None = None,
) -> Outcome:
    """Run once; whatever goes wrong tells its seed, its options and how to see it again."""
    scenario = kind(options, log=log)
    try:
        scenario.run()
    except Exception as error:
        raise SimulationError(f"{error!r}\n{explain(options, kind)}") from error
    world = scenario.world
    return Outcome(world.clock.now, world.datagrams, world.digest, world.struck)


def explain(options: Options, kind: type[Whole] | type[Direct] = Whole) -> str:
    """The options in full and the command that runs them again."""
    lines = [f"  {each.name} = {getattr(options, each.name)!r}" for each in fields(options)]
    direct = " --direct" if kind is Direct else ""
    command = f"python -m tests.sim.run --seed {options.seed}{direct} --verbose"
    return "\n".join([*lines, f"  to see it again:  {command}"])
