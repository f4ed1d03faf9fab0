"""The NAT laboratory by hand; needs root, or: unshare -Urnm.

python -m tests.lab matrix [--runs N] [--cells …] [--delay-ms 20]   transfers between all pairs
python -m tests.lab faults [--runs N] [--only …]    transfers to which something happens
python -m tests.lab hold LEFT RIGHT             two homes and a server, until Ctrl-C
python -m tests.lab run LEFT RIGHT -- COMMAND   the same while a command runs
python -m tests.lab speed                       what the internet in user space carries
python -m tests.lab list                        sides and cells
"""

import argparse
import fnmatch
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

from tests.lab import pairs, speed
from tests.lab.faults import FAULTS, Fault
from tests.lab.matrix import CELLS, SIDES, Cell, home
from tests.lab.namespaces import requirements
from tests.lab.ride import Outcome, ride
from tests.lab.rivals import table as rivals
from tests.lab.routers import KINDS
from tests.lab.topology import Lab

MEGA = 1_000_000
HEAD = "| cell | expected | runs | success | how | median | p95 |\n|---|---|---|---|---|---|---|"
FAULTS_HEAD = (
    "| fault | proves | paths (¦: it happens) | longest gap | until it went on | | remarks |\n"
    "|---|---|---|---|---|---|---|"
)


def main() -> int:
    options = parse()
    if options.command == "list":
        return listed()
    if lacking := requirements("conntrack"):
        print(f"no NAT laboratory: {lacking}", file=sys.stderr)
        return 1
    # So that the lab is taken down; a second one is not waited for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.command == "speed":
        return speed.main()
    if options.command == "matrix":
        return matrix(options)
    if options.command == "faults":
        return faults(options)
    return entered(options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    commands.add_parser("speed")
    over = commands.add_parser("matrix")
    over.add_argument("--runs", type=int, default=1, help="of each cell (1); roles take turns")
    over.add_argument("--cells", default="*", help="such as 'easy*,same-lan' (all)")
    over.add_argument("--skew", type=float, default=0.0, help="seconds that one side waits (0)")
    over.add_argument("--size", type=int, default=0, help="bytes of content (by cell)")
    over.add_argument("--patience", type=float, default=30.0, help="seconds for one transfer (30)")
    over.add_argument("--stories", type=Path, help="a file for all events of what went wrong")
    over.add_argument(
        "--rivals",
        nargs="?",
        const="free",
        choices=("free", "tcp"),
        help="beside aioice and iroh, from PyPI; how their signals are carried (free)",
    )
    _internet(over, rate=10.0, delay=20.0)
    wrong = commands.add_parser("faults")
    wrong.add_argument("--runs", type=int, default=1, help="of each fault (1); roles take turns")
    wrong.add_argument("--only", default="*", help="such as 'cut*,mtu*' (all)")
    wrong.add_argument("--stories", type=Path, help="a file for all events of what went wrong")
    for name in ("hold", "run"):
        entered = commands.add_parser(name)
        entered.add_argument("left", choices=SIDES)
        entered.add_argument("right", choices=SIDES)
        _internet(entered, rate=0.0, delay=None)
        if name == "run":
            entered.add_argument("argv", nargs="+")
    return parser.parse_args()


def _internet(parser: argparse.ArgumentParser, rate: float, delay: float | None) -> None:
    parser.add_argument("--delay-ms", type=float, default=delay, help=f"one way ({delay})")
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    parser.add_argument("--loss", type=float, default=0.0, help="share of datagrams, such as 0.02")
    parser.add_argument("--rate", type=float, default=rate, help=f"MB/s of each link ({rate})")


def listed() -> int:
    for kind, what in KINDS.items():
        print(f"{kind:12} {what}")
    print()
    for cell in CELLS.values():
        print(f"{cell.expected}  {cell.name}")
    return 0


def matrix(options: argparse.Namespace) -> int:
    patterns = str(options.cells).split(",")
    chosen = [
        cell
        for cell in CELLS.values()
        if any(fnmatch.fnmatchcase(cell.name, pattern) for pattern in patterns)
    ]
    how = pairs.Options(
        options.delay_ms / 1000,
        options.jitter_ms / 1000,
        options.loss,
        options.rate * MEGA,
        options.skew,
        options.size,
        options.patience,
    )
    if options.rivals:
        return rivals.main(chosen, how, options.runs, options.stories, options.rivals)
    print(
        f"{options.delay_ms:g} ms one way, {options.loss:.0%} lost, {options.rate:g} MB/s\n\n{HEAD}"
    )
    bad = 0
    for cell in chosen:
        if lacking := requirements(*cell.tools):
            print(f"| {cell.name} | {cell.expected} | 0 | not tried: {lacking} | | | |", flush=True)
            continue
        outcomes = [pairs.attempt(cell, how, swapped=run % 2 == 1) for run in range(options.runs)]
        print(row(cell, outcomes), flush=True)
        failed = [outcome for outcome in outcomes if not outcome.good]
        bad += len(failed)
        if failed and options.stories:
            with options.stories.open("a") as stories:
                stories.writelines(f"== {cell.name}\n{each.story}\n\n" for each in failed)
    print(f"\n{len(chosen)} cells, {bad} attempts failed")
    return min(bad, 1)


def row(cell: Cell, outcomes: list[pairs.Outcome]) -> str:
    """A line of the table."""
    times = sorted(each.seconds for each in outcomes if each.seconds is not None)
    ways = ", ".join(sorted({each.how for each in outcomes}))
    shown = ["", ""]
    if times:
        late = times[min(len(times) - 1, int(0.95 * len(times)))]
        shown = [f"{1000 * each:.0f} ms" for each in (statistics.median(times), late)]
    good = sum(each.good for each in outcomes)
    words = [cell.name, cell.expected, len(outcomes), f"{good}/{len(outcomes)}", ways, *shown]
    return f"| {' | '.join(map(str, words))} |"


def faults(options: argparse.Namespace) -> int:
    patterns = str(options.only).split(",")
    print(f"{FAULTS_HEAD}", flush=True)
    tried = bad = 0
    for fault in FAULTS.values():
        if not any(fnmatch.fnmatchcase(fault.name, pattern) for pattern in patterns):
            continue
        if lacking := requirements(*fault.tools):
            print(f"| {fault.name} | {fault.ids} | | | | not tried | {lacking} |", flush=True)
            continue
        for run in range(options.runs):
            outcome = ride(fault.ride, swapped=run % 2 == 1)
            print(fault_row(fault, outcome), flush=True)
            tried, bad = tried + 1, bad + (not outcome.good)
            if outcome.story and options.stories:
                with options.stories.open("a") as stories:
                    stories.write(f"== {fault.name}\n{outcome.story}\n\n")
    print(f"\n{tried} rides, {bad} failed")
    return min(bad, 1)


def fault_row(fault: Fault, outcome: Outcome) -> str:
    times = ["" if each is None else f"{each:.2f} s" for each in (outcome.gap, outcome.recovered)]
    verdict = "ok" if outcome.good else "FAILED"
    words = [fault.name, fault.ids, outcome.path.replace("|", "¦"), *times, verdict]
    return f"| {' | '.join([*words, outcome.remarks])} |"


def entered(options: argparse.Namespace) -> int:
    delay = None if options.delay_ms is None else options.delay_ms / 1000
    conditions = (delay, options.jitter_ms / 1000, options.loss, options.rate * MEGA)
    with Lab(*conditions) as lab:
        home(lab, "a", SIDES[options.left])
        home(lab, "b", SIDES[options.right])
        names = {f"LAB_{name.upper()}": node.space.name for name, node in lab.nodes.items()}
        if options.command == "run":
            return subprocess.run(options.argv, env={**os.environ, **names}, check=False).returncode
        for name, space in names.items():
            print(f"{name}={space}    # ip netns exec {space} …")
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
