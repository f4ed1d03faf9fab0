"""Run seeds of the simulator:  python -m tests.sim.run --seeds 0:500
                              python -m tests.sim.run --seed 42 --verbose

Prints each failure with its options and the command that repeats it, then how often every fault
struck. Exit code 1 if a seed failed; with `--all-faults` also if a fault never struck.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tests.sim.direct import Direct
from tests.sim.host import SimulationError
from tests.sim.options import LINK_FAULTS, swarm
from tests.sim.scenario import run
from tests.sim.whole import Whole

EXPECTED = (
    *(LINK_FAULTS.keys() - {"jitter", "rate"}),
    *("queue", "stall", "socket full", "receive buffer", "calm"),
    *("sender killed", "receiver killed", "killed after publishing", "killed after the receipt"),
    *("disk full", "file broken", "rotten", "flush failed", "naming failed"),
    *("journal lost", "journal older", "memory lost", "source changes", "source grows"),
    *("zeros", "missed", "sender saved", "sender skipped", "sender resumed"),
    *("sender not reached", "sender done", "receiver done", "finished"),
)
"""What must be seen in any few thousand seeds."""


def span(text: str) -> range:
    """`FIRST:LAST` as a half-open range."""
    first, _, last = text.partition(":")
    return range(int(first), int(last))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.run", description=__doc__)
    parser.add_argument("--seeds", type=span, default=range(100), metavar="FIRST:LAST")
    parser.add_argument("--seed", type=int, help="one seed only")
    parser.add_argument("--size", type=int, help="bytes of content, instead of the seed's own")
    parser.add_argument("--direct", action="store_true", help="the transport alone")
    parser.add_argument("--verbose", action="store_true", help="print every event")
    parser.add_argument("--all-faults", action="store_true", help="every fault must have struck")
    options = parser.parse_args(arguments)
    seeds = options.seeds if options.seed is None else [options.seed]
    began, struck, failed = time.perf_counter(), Counter[str](), 0
    for seed in seeds:
        chosen = swarm(seed)
        if options.size is not None:
            chosen = replace(chosen, size=options.size)
        try:
            outcome = run(
                chosen,
                kind=Direct if options.direct else Whole,
                log=print if options.verbose else None,
            )
        except SimulationError as error:
            failed += 1
            print(f"seed {seed} failed: {error}", flush=True)
            continue
        struck.update(outcome.struck)
        if options.seed is not None:
            print(f"seed {seed}: {outcome.seconds:.3f} s, {outcome.datagrams} datagrams, "
                  f"{outcome.digest}")  # fmt: skip
    for name, count in sorted(struck.items()):
        print(f"{count:10}  {name}")
    print(f"{len(seeds)} seeds, {failed} failed, {time.perf_counter() - began:.1f} s")
    absent = [name for name in EXPECTED if not struck[name]] if options.all_faults else []
    if absent:
        print("never struck: " + ", ".join(absent))
    return 1 if failed or absent else 0


if __name__ == "__main__":
    sys.exit(main())
