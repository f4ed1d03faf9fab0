"""kill -9 at so many points:  python -m tests.torture --points 200 --seed 1 --jobs 4
                            python -m tests.torture --every-call
                            python -m tests.torture --repeat "few/new/rename/receiver@linkat#3"

Ends with 1 if an invariant was broken, after a table and the commands that repeat each failure.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from tests.torture import report, straces
from tests.torture.base import Base, Outcome
from tests.torture.census import SCENES, census
from tests.torture.plan import Plan, drawn


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--points", type=int, default=200, help="kill at least so often")
    parser.add_argument("--seed", type=int, default=1, help="where chance begins")
    parser.add_argument("--jobs", type=int, default=6, help="rides at once; most of it is waiting")
    parser.add_argument("--every-call", action="store_true", help="at every call, both sides")
    parser.add_argument("--scene", metavar="TREE/PLACE/POLICY", action="append",
                        help="with --every-call: in this setting")  # fmt: skip
    parser.add_argument("--share", type=int, default=1, metavar="N", help="of all calls each N-th")
    parser.add_argument("--repeat", metavar="PLAN", help="this ride alone, and keep its folder")
    options = parser.parse_args(arguments)
    if (options.every_call or "#" in (options.repeat or "")) and (reason := straces.lacking()):
        print(f"not possible here: {reason}", file=sys.stderr)
        return 2
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="securecp-torture-"))
    base = Base(folder)
    if options.repeat:
        outcomes = [base.ride(Plan.parse(options.repeat))]
        print(f"what is left of it: {folder}")
    elif options.every_call:
        scenes = list(map(scene, options.scene or SCENES))
        moments = list(census(base, scenes))[:: options.share]
        outcomes = ride_all(base, moments, options.jobs, lambda _: False)
    else:
        outcomes = ride_all(base, plans(options.seed), options.jobs, enough(options.points))
    base.close()
    if not options.repeat:
        shutil.rmtree(folder, ignore_errors=True)
    print(report.table(outcomes, time.monotonic() - began))
    return int(any(outcome.failure for outcome in outcomes))


def scene(text: str) -> Plan:
    """A setting without any death."""
    return Plan.parse(f"{text}/")


def plans(seed: int) -> Iterator[Plan]:
    """By chance, without end."""
    while True:
        yield drawn(seed)
        seed += 1


def enough(points: int) -> Callable[[list[Outcome]], bool]:
    """Whether somebody was killed that often."""
    return lambda outcomes: sum(len(outcome.points) for outcome in outcomes) >= points


def ride_all(
    base: Base,
    plans: Iterator[Plan] | list[Plan],
    jobs: int,
    done: Callable[[list[Outcome]], bool],
) -> list[Outcome]:
    """So many at once, until there are no more or it is enough."""
    outcomes: list[Outcome] = []
    waiting = iter(plans)
    running: set[Future[Outcome]] = set()
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            while len(running) < jobs and not done(outcomes) and (plan := next(waiting, None)):
                running.add(pool.submit(base.ride, plan))
            if not running:
                return outcomes
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for each in ended:
                outcomes.append(each.result())
                if outcomes[-1].failure:
                    print(report.failure(outcomes[-1]), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
