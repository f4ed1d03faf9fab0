"""Crash states:  python -m tests.crash --states 10000
                 python -m tests.crash --case "restart" --seed 42

Prints each failure with the command that repeats it; exit code 1 if there was one.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.crash.cases import CASES
from tests.crash.judge import Bench, State


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--states", type=int, default=1_000)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--keep", type=Path, help="where to work, instead of a folder that goes")
    parser.add_argument("--verbose", action="store_true", help="print every call, and what is left")
    options = parser.parse_args(arguments)
    cases = options.case or list(CASES)
    share = -(-options.states // len(cases))
    seeds = range(share) if options.seed is None else [options.seed]
    began, failed, count = time.perf_counter(), 0, 0
    for name in cases:
        with tempfile.TemporaryDirectory(dir=memory()) as place:
            bench = Bench(name, options.keep or Path(place, "place"))
            bench.verbose = options.verbose
            wrong = 0
            for seed in seeds:
                count += 1
                try:
                    bench.run(seed)
                except Exception as error:
                    wrong += 1
                    if wrong <= 3 or options.seed is not None:
                        print(
                            f"{error!s}\n  {type(error).__name__}; {State(name, seed)}", flush=True
                        )
                    if options.seed is not None:
                        raise
            failed += wrong
            print(f"{len(seeds):6} states, {wrong} failed: {name}", flush=True)
    print(f"{count} states, {failed} failed, {time.perf_counter() - began:.1f} s")
    return 1 if failed else 0


def memory() -> str | None:
    """A file system in memory, if there is one: nothing need survive."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
