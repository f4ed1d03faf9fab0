"""How a link is shared:  python -m tests.bench.fairness [cubic] [bbr] [ourselves] [queue]

    cubic, bbr    one transfer against one TCP flow (iperf3), 50 Mbit/s, 40 ms, queue of one BDP
    ourselves     two transfers over the same link
    queue         what one transfer adds to round trips at 20 Mbit/s with a second's worth of queue

Needs root for the namespaces of tests/wan/wan, and iperf3. `--seconds` each, of which the
first 5 (start-up) do not count. Goals: a third of the fair share for each side, a Jain index of
0.95, and 50 ms at the 95th percentile.
"""

import argparse
import contextlib
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.bench.links import Link, wan

SECURECP = str(Path(sys.executable).parent / "securecp")
DELAY = 20.0
"""ms one way."""
SHARED = wan("--delay", str(DELAY), "--rate", "50", "--queue", "250000")
DEEP = wan("--delay", str(DELAY), "--rate", "20", "--queue", "2500000")
START_UP = 5.0
HUGE = 1 << 34
MBIT = 1e6 / 8


class Transfer:
    """One sparse file on its way; `rate` afterwards."""

    def __init__(self, link: Link, folder: Path, number: int) -> None:
        port, homes = 4_500 + number, [folder / f"{side}{number}" for side in "ab"]
        keys = [self._identity(home) for home in homes]
        for home, name, key in zip(homes, ("bob", "alice"), reversed(keys), strict=True):
            self._run(home, "contacts", "add", name, key)
        source = folder / f"file{number}"
        with source.open("wb") as file:
            file.truncate(HUGE)
        into = folder / f"into{number}"
        where = f"{link.receiver}:{port}"
        listening = [SECURECP, "--home", str(homes[1]), "receive", "--listen", where, "--yes"]
        self._receiver = subprocess.Popen(
            [*link.inside("b"), *listening, "--once", "--into", str(into), "-q"],
            stderr=subprocess.DEVNULL,
        )
        self._sender = subprocess.Popen(
            [*link.inside("a"), SECURECP, "--home", str(homes[0]), "send", str(source),
             "--to", "bob", "--at", where, "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._seen: list[tuple[float, int]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _identity(self, home: Path) -> str:
        return self._run(home, "keygen", "--no-passphrase").splitlines()[-1]

    def _run(self, home: Path, *words: str) -> str:
        done = subprocess.run(
            [SECURECP, "--home", str(home), *words], check=True, capture_output=True, text=True
        )
        return done.stdout

    def _read(self) -> None:
        for line in self._sender.stdout or ():
            event = json.loads(line)
            if event["event"] == "progress":
                self._seen.append((time.monotonic(), event["bytes"]))

    def go_on(self, seconds: float) -> None:
        """Let it run for so long; it should not end by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._sender.wait(seconds)

    def stop(self) -> None:
        """End both programs, as a person does."""
        for process in (self._sender, self._receiver):
            process.send_signal(signal.SIGINT)
        for process in (self._sender, self._receiver):
            process.wait(20)
        self._reader.join()

    def rate(self, since: float) -> float:
        """Mbit/s of content acknowledged from then on."""
        seen = [point for point in self._seen if point[0] >= since]
        if len(seen) < 2:
            return 0.0
        (began, first), (ended, last) = seen[0], seen[-1]
        return (last - first) / (ended - began) / MBIT


def against_tcp(control: str, seconds: float, folder: Path) -> str:
    """A transfer and a TCP flow that begin together."""
    SHARED.up(1, control)
    try:
        server = subprocess.Popen(
            [*SHARED.inside("b"), "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL
        )
        ours = Transfer(SHARED, folder, 1)
        ours.go_on(0.5)
        began = time.monotonic()
        client = subprocess.run(
            [*SHARED.inside("a"), "iperf3", "-c", SHARED.receiver, "-t", str(int(seconds)),
             "-O", str(int(START_UP)), "-C", control, "-J"],
            capture_output=True, check=True,
        )  # fmt: skip
        rate = ours.rate(began + START_UP)
        ours.stop()
        server.wait(10)
    finally:
        SHARED.down()
    theirs = json.loads(client.stdout)["end"]["sum_received"]["bits_per_second"] / 1e6
    return f"with TCP {control}: securecp {rate:.1f}, TCP {theirs:.1f} Mbit/s"


def ourselves(seconds: float, folder: Path) -> str:
    """Two transfers, the second a little later."""
    SHARED.up(1, "")
    try:
        transfers = [Transfer(SHARED, folder, number) for number in (1, 2)]
        began = time.monotonic()
        transfers[0].go_on(seconds)
        rates = [each.rate(began + START_UP) for each in transfers]
        for each in transfers:
            each.stop()
    finally:
        SHARED.down()
    jain = sum(rates) ** 2 / len(rates) / sum(rate**2 for rate in rates)
    return f"two transfers: {rates[0]:.1f}, {rates[1]:.1f} Mbit/s, Jain index {jain:.3f}"


def queue(seconds: float, folder: Path) -> str:
    """Small datagrams beside one transfer, and how much longer than 40 ms they take."""
    DEEP.up(1, "")
    ping = [sys.executable, "-m", "tests.bench.ping", DEEP.receiver]
    try:
        echo = subprocess.Popen([*DEEP.inside("b"), *ping])
        transfer = Transfer(DEEP, folder, 1)
        began = time.monotonic()
        transfer.go_on(START_UP)
        pings = subprocess.run(
            [*DEEP.inside("a"), *ping, str(seconds)], capture_output=True, check=True
        )
        rate = transfer.rate(began + START_UP)
        transfer.stop()
        echo.kill()
    finally:
        DEEP.down()
    added = sorted(took - 2 * DELAY for took in json.loads(pings.stdout))
    return (
        f"20 Mbit/s, queue of a second: {rate:.1f} Mbit/s, added to {len(added)} round trips: "
        f"median {statistics.median(added):.1f}, "
        f"95th percentile {added[int(0.95 * len(added))]:.1f}, most {added[-1]:.1f} ms"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fairness", description=__doc__)
    names = ("cubic", "bbr", "ourselves", "queue")
    parser.add_argument("items", nargs="*", metavar="|".join(names))
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    if unknown := set(options.items) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    memory = Path("/dev/shm")
    for item in options.items or names:
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
            place, seconds = Path(folder), options.seconds
            if item in {"cubic", "bbr"}:
                print(against_tcp(item, seconds, place), flush=True)
            else:
                measure = ourselves if item == "ourselves" else queue
                print(measure(seconds, place), flush=True)


if __name__ == "__main__":
    main()
