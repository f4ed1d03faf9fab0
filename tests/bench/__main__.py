"""`make bench`: alternate the installed programs over each item and print medians.

Options go through ARGS, for example `make bench ARGS="--items 1g --runs 3"`. Every job is also a
JSON line in .bench/. Other work on the machine shows in the figures: compare ratios, not days.
"""

import argparse
import json
import shlex
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from tests.bench import jobs, peers
from tests.bench.jobs import ITEMS, MIB, Job, Peer, Result

RESULTS = Path(".bench")
ROW = "  {:<10} {:>5} {:>22} {:>7} {:>6} {:>13} {:>11}"
"""CPU seconds and peak memory are those of the sender + those of the receiver."""
GOAL_SECONDS = 7
GOAL_MEMORY = 80
"""For 1 GiB over loopback: the whole job, and the peak of each process in MiB."""


def main() -> int:
    options = parse()
    with tempfile.TemporaryDirectory(prefix="securecp-bench-", dir=memory()) as name:
        folder = Path(name)
        found, lacking = peers.installed(shlex.split(options.securecp), folder)
        chosen = [
            peer for peer in found.values() if not options.peers or peer.name in options.peers
        ]
        if lacking:
            print(f"left out, not installed here: apt-get install {' '.join(lacking)}\n")
        results = [measure(ITEMS[item], chosen, folder, options) for item in options.items]
    faults = sum(
        bool(result.fault) for item in results for runs in item.values() for result in runs
    )
    if faults:
        print(f"{faults} jobs failed")
    return min(faults, 1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    own = Path(sys.executable).with_name("securecp")
    parser.add_argument("--securecp", default=str(own), help="the command to measure")
    parser.add_argument("--runs", type=int, default=5, help="of each program and item (5)")
    parser.add_argument("--items", type=names, default=["1g", "tree", "1k"], help=",".join(ITEMS))
    parser.add_argument("--peers", type=names, help="only these: securecp,scp,rsync,tar | nc")
    parser.add_argument(
        "--patience", type=float, default=120.0, help="seconds before a job is given up"
    )
    options = parser.parse_args()
    if unknown := [item for item in options.items if item not in ITEMS]:
        parser.error(f"no such item: {', '.join(unknown)}")
    return options


def names(text: str) -> list[str]:
    return text.split(",")


def memory() -> str | None:
    """A file system in memory, so that no disk is in the figures."""
    shm = Path("/dev/shm")
    if shm.is_dir() and shutil.disk_usage(shm).free > 3 * 1024 * MIB:
        return str(shm)
    print("no room in /dev/shm: these figures include the disk")
    return None


def measure(
    item: jobs.Item, chosen: list[Peer], folder: Path, options: argparse.Namespace
) -> dict[str, list[Result]]:
    """Run one item `--runs` times with each program in turn, and print its table."""
    source = folder / "source"
    item.make(source)
    results: dict[str, list[Result]] = defaultdict(list)
    for number in range(options.runs):
        for peer in chosen:
            into = folder / "into"
            into.mkdir()
            result = jobs.run(peer, Job(source, into, free_port(peer)), folder, options.patience)
            shutil.rmtree(into)
            results[peer.name].append(result)
            record(item, peer, number, result)
            if result.fault:
                print(f"{item.title}, {peer.name}: {result.fault}", file=sys.stderr)
    if source.is_dir():
        shutil.rmtree(source)
    else:
        source.unlink()
    table(item, results)
    return results


def free_port(peer: Peer) -> int:
    kind = socket.SOCK_DGRAM if peer.protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def record(item: jobs.Item, peer: Peer, number: int, result: Result) -> None:
    RESULTS.mkdir(exist_ok=True)
    line = {
        "time": int(time.time()),
        "item": item.title,
        "bytes": item.total,
        "peer": peer.name,
        "run": number,
    }
    with (RESULTS / "results.jsonl").open("a") as file:
        file.write(json.dumps(line | asdict(result)) + "\n")


def table(item: jobs.Item, results: dict[str, list[Result]]) -> None:
    """Medians of the jobs that ended well; `x` is the time of that program over ours."""
    print(f"{item.title}, loopback, whole job")
    print(ROW.format("", "runs", "seconds (least-most)", "MB/s", "x", "CPU s", "MiB"))
    ours = None
    for name, runs in results.items():
        good = [result for result in runs if not result.fault]
        count = f"{len(good)}/{len(runs)}"
        if not good:
            print(ROW.format(name, count, "failed", "", "", "", ""))
            continue
        seconds = [result.seconds for result in good]
        middle = statistics.median(seconds)
        ours = ours or (middle if name == "securecp" else None)
        span = f"{middle:.2f} ({min(seconds):.2f}-{max(seconds):.2f})"
        rate = f"{item.total / middle / 1e6:.3g}"
        ratio = f"{middle / ours:.2f}" if ours else ""
        cpu = " + ".join(f"{statistics.median(side):.2f}" for side in sides(good, "cpu"))
        peak = " + ".join(f"{max(side) / MIB:.0f}" for side in sides(good, "memory"))
        print(ROW.format(name, count, span, rate, ratio, cpu, peak))
    if item is ITEMS["1g"]:
        goals([result for result in results.get("securecp", []) if not result.fault])
    print()


def sides(good: list[Result], field: str) -> list[list[float]]:
    """One figure of every job: the sender's, then the receiver's."""
    return [
        [getattr(result.sender, field) for result in good],
        [getattr(result.receiver, field) for result in good],
    ]


def goals(good: list[Result]) -> None:
    """Hold the figures for 1 GiB against what the project promises."""
    if not good:
        return
    seconds = statistics.median(result.seconds for result in good)
    peak = max(max(side) for side in sides(good, "memory")) / MIB
    for figure, goal, unit in ((seconds, GOAL_SECONDS, "s"), (peak, GOAL_MEMORY, "MiB each")):
        verdict = "met" if figure <= goal else "NOT met"
        print(f"  goal: at most {goal} {unit}: {verdict}, {figure:.1f}")


if __name__ == "__main__":
    sys.exit(main())
