"""`make bench`, `make bench-wan`: alternate the installed programs over each item; print medians.

Options go through ARGS, for example `make bench ARGS="--items 1g --runs 3"`. Every job is also a
JSON line in .bench/jobs.jsonl; --resume goes on where a bench was interrupted. Other work on the
machine shows in the figures: compare ratios, not days.
"""

import argparse
import fcntl
import os
import shlex
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import jobs, links, machine, results, tables
from tests.bench.items import FAR, HERE, ITEMS, Item
from tests.bench.peers.found import installed
from tests.bench.peers.own import BUFFERS
from tests.bench.peers.peer import Job, Peer

NO_ROOT = "skipped, network namespaces need root: "
INSIDE = (4400, 4401)
"""Ports in a namespace, which is all ours."""
GIVEN_UP = 2
"""A program that was not done in time so often at one item is not tried again there."""


def main() -> int:
    options = parse()
    items = [ITEMS[name] for name in options.items]
    if not links.permitted():
        far = [item for item in items if not item.link.local or set(item.peers) & set(BUFFERS)]
        items = [item for item in items if item not in far]
        if far:
            print(f"{NO_ROOT}{', '.join(item.name for item in far)}\n")
    need = max((item.total * (1 if item.sparse else 2) for item in items), default=0) * 5 // 4
    with tempfile.TemporaryDirectory(prefix="securecp-bench-", dir=machine.memory(need)) as name:
        folder = Path(name)
        command = shlex.split(options.securecp)
        peers, lacking = installed(command, folder, options.peers_dir, options.peers)
        if lacking:
            print(f"{lacking}\n")
        print(f"{machine.describe()}\n{tables.LEGEND}\n")
        faults = sum(Bench(item, peers, folder, options).measure() for item in items)
    if faults:
        print(f"{faults} jobs failed")
    return min(faults, 1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    own = Path(sys.executable).with_name("securecp")
    everything = ",".join(ITEMS)
    parser.add_argument("--wan", action="store_true", help="the emulated links by default")
    parser.add_argument("--items", type=names, help=everything)
    parser.add_argument("--runs", type=int, default=5, help="of each program and item (5)")
    parser.add_argument("--peers", type=names, help="beside securecp only these, or none: ''")
    parser.add_argument("--securecp", default=str(own), help="the command to measure")
    parser.add_argument(
        "--peers-dir", type=Path, default=os.environ.get("BENCH_PEERS"),
        help="where venv/ and npm/ with further programs are (BENCH_PEERS)",
    )  # fmt: skip
    parser.add_argument(
        "--cc", type=names, default=["cubic"],
        help="congestion control of TCP programs on links, each measured: cubic,bbr,reno (cubic)",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=float, default=60.0, help="seconds before a job is given up (60)"
    )
    parser.add_argument("--results", type=Path, default=results.RESULTS, help="the JSON lines")
    parser.add_argument("--resume", action="store_true", help="skip jobs that are there already")
    parser.add_argument("--first-run", type=int, default=1, help="its number seeds the losses (1)")
    parser.add_argument("--idle", type=float, default=0.0, metavar="SECONDS",
        help="wait so long for other programs to become quiet before each job",
    )  # fmt: skip
    parser.add_argument("--lock", type=Path, help="a file to hold an flock on during each job")
    options = parser.parse_args()
    options.items = options.items or (FAR if options.wan else HERE)
    if unknown := [name for name in options.items if name not in ITEMS]:
        parser.error(f"no such item: {', '.join(unknown)}; there are {everything}")
    if lacking := set(options.cc) - set(machine.controls()):
        parser.error(f"this kernel has no congestion control {', '.join(lacking)}")
    return options


def names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


class Bench:
    """One item, with every program that can do it, in turn."""

    def __init__(
        self, item: Item, peers: list[Peer], folder: Path, options: argparse.Namespace
    ) -> None:
        self._item = item
        self._folder = folder
        self._options = options
        self._peers = suitable(item, peers, options.cc)
        done = results.read([options.results]) if options.resume else []
        self._lines = [line for line in done if line.item == item.name]

    def measure(self) -> int:
        """Run all that is not done yet, and print the table; the number of jobs that failed."""
        source = self._folder / "source"
        first = self._options.first_run
        wanted = [
            (run, peer)
            for run in range(first, first + self._options.runs)
            for peer in self._peers
            if not any((line.peer, line.run) == (peer.label, run) for line in self._lines)
        ]
        if wanted:
            self._item.make(source)
        faults = sum(self._measure(source, run, peer) for run, peer in wanted)
        if source.is_dir():
            shutil.rmtree(source)
        else:
            source.unlink(missing_ok=True)
        print(tables.text(self._item, self._lines) + "\n", flush=True)
        return faults

    def _measure(self, source: Path, run: int, peer: Peer) -> bool:
        given_up = [line for line in self._lines if line.peer == peer.label and line.received]
        if len(given_up) >= GIVEN_UP:
            return False
        link, options = self._item.link, self._options
        into = self._folder / "into"
        into.mkdir()
        ports = free_ports(peer) if link.local else INSIDE
        job = Job(source, into, link.receiver, link.sender, ports)
        with alone(options.lock):
            machine.wait_idle(options.idle)
            result = jobs.run(peer, job, link, run, self._folder, options.patience)
        shutil.rmtree(into)
        self._lines.append(results.write(options.results, self._item, peer, run, result))
        words = result.fault or f"{result.seconds:.2f} s"
        print(f"  {self._item.name} {run} {peer.label}: {words}", file=sys.stderr, flush=True)
        return bool(result.fault) and not result.received


def suitable(item: Item, peers: list[Peer], controls: list[str]) -> list[Peer]:
    """The programs that can do this item; those over TCP once for each congestion control.

    Over loopback the host's own is used, and says nothing.
    """
    found: list[Peer] = []
    for peer in peers:
        if item.peers and peer.name not in item.peers:
            continue
        if not item.peers and peer.name in BUFFERS:
            continue
        if (item.files > 1 and not peer.trees) or (item.link.local and not peer.local):
            continue
        if peer.tcp and not item.link.local:
            found += [peer._replace(control=control) for control in controls]
        else:
            found.append(peer)
    return found


def free_ports(peer: Peer) -> tuple[int, int]:
    """Two that nobody uses on this host now."""
    kind = socket.SOCK_DGRAM if peer.protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as one, socket.socket(socket.AF_INET, kind) as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@contextmanager
def alone(lock: Path | None) -> Iterator[None]:
    """Hold the lock of this file, if one is given, so that benches take turns."""
    if lock is None:
        yield
        return
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `timeout` leaves nothing behind
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; what is done is kept: --resume goes on")
