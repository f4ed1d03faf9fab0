"""What the transport makes of paths of every kind, on virtual time:

    python -m tests.sim.sweep              the table, about two minutes
    python -m tests.sim.sweep --seed 2     the same paths with other luck
    python -m tests.sim.sweep --cubic      the other controller

Each line is one path and one transfer: how much of the rate was used, what was sent for each byte
that arrived (headers of IP and UDP included), and the longest time in which nothing new came. A
transfer that stands still for `STALL` seconds beyond ten round trips, or is not done in time, is a
failure, and the exit code 1.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from securecp.transport.bbr import Bbr
from securecp.transport.cubic import Cubic
from tests.sim.dumbbell import Dumbbell, Way

MBIT = 1e6 / 8
STALL = 5.0
LEAST_QUEUE = 4_500
"""Three datagrams: less is no queue at all."""
MOST_DATAGRAMS = 30_000
SHORTEST = 20
"""Round trips that a transfer takes at least, at full rate."""
OVERHEAD = 1_500 / 1_426
"""Bytes of IP for each byte of content."""
PATIENCE = 600.0


class Path(NamedTuple):
    """One line of the table; queue in products of rate and round trip."""

    rate: float = 100.0
    rtt: float = 50.0
    loss: float = 0.0
    queue: float = 1.0
    reorder: float = 0.0
    ack_loss: float = 0.0
    asymmetry: float = 1.0

    def __str__(self) -> str:
        notes = [
            f"{text} {value:g}{unit}"
            for text, value, unit in (
                ("reordering", self.reorder, " %"),
                ("ACK loss", self.ack_loss, " %"),
                ("way back 1:", self.asymmetry if self.asymmetry != 1 else 0, ""),
            )
            if value
        ]
        return ", ".join(notes)


class Result(NamedTuple):
    """How it went."""

    share: float
    """Of the rate, from the first datagram to the last."""
    cost: float
    """Bytes on the path for each byte of content."""
    pause: float
    """Longest time, in seconds, without new content."""
    seconds: float
    """Virtual time of the whole; infinite if it was not done."""


PATHS: tuple[Path, ...] = (
    *(Path(loss=loss) for loss in (0, 0.1, 1, 2, 5, 10, 15, 20, 30)),
    *(Path(rtt=rtt) for rtt in (1, 5, 20, 200, 750)),
    *(Path(rtt=750, loss=loss) for loss in (1, 5)),
    *(Path(rate=rate) for rate in (0.2, 1, 10, 500, 2_000)),
    *(Path(rate=rate, loss=5) for rate in (0.2, 1, 10, 500)),
    *(Path(queue=queue) for queue in (0.25, 0.5, 2, 10)),
    *(Path(queue=0.25, loss=loss) for loss in (1, 5)),
    *(Path(reorder=share) for share in (1, 10)),
    *(Path(ack_loss=share) for share in (10, 30, 50)),
    Path(asymmetry=50),
    Path(asymmetry=50, loss=1),
    Path(asymmetry=50, rtt=200),
    Path(rate=200, rtt=200, loss=0.1),
    Path(rate=2_000, rtt=1),
)
"""Each changes one or two things of 100 Mbit/s, 50 ms, a queue of one product and no loss."""


def measure(path: Path, *, seed: int = 0, cubic: bool = False) -> Result:
    """One transfer over one path."""
    rate, delay = path.rate * MBIT, path.rtt / 2_000
    product = 2 * delay * rate
    size = int(min(max(1 << 18, SHORTEST * product), MOST_DATAGRAMS * 1_426))
    queue = max(path.queue * product, LEAST_QUEUE)
    forth = Way(rate, delay, queue, path.loss / 100, path.reorder / 100, delay / 4)
    narrow = rate / path.asymmetry
    back = Way(narrow, delay, max(2 * delay * narrow, 65_536), (path.ack_loss or path.loss) / 100)
    line = Dumbbell(forth, back, seed=seed)
    flow = line.add(size, Cubic() if cubic else Bbr())
    step, pause, stored, since = max(2 * delay, 0.05), 0.0, 0, 0.0
    while flow.ended is None and line.now < PATIENCE:
        line.run(line.now + step)
        if flow.stored > stored:
            stored, since = flow.stored, line.now
        pause = max(pause, line.now - since)
    seconds = flow.ended if flow.ended is not None else float("inf")
    return Result(size * OVERHEAD / rate / seconds, flow.sent / max(stored, 1), pause, seconds)


def fails(path: Path, result: Result) -> bool:
    """Whether it stood still or came to no end."""
    return result.seconds > PATIENCE or result.pause > STALL + path.rtt / 100


def table(paths: Sequence[Path], *, seed: int = 0, cubic: bool = False) -> Iterator[str]:
    """Lines of Markdown; what fails is marked."""
    yield "| Mbit/s | RTT ms | loss % | queue BDP | other | rate used | sent | pause s |"
    yield "| ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |"
    for path in paths:
        result = measure(path, seed=seed, cubic=cubic)
        mark = " **stall**" if fails(path, result) else ""
        yield (
            f"| {path.rate:g} | {path.rtt:g} | {path.loss:g} | {path.queue:g} | {path}{mark} "
            f"| {100 * result.share:.0f} % | {result.cost:.3f} | {result.pause:.2f} |"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if a path was too much."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.sweep", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cubic", action="store_true")
    options = parser.parse_args(arguments)
    stalled = False
    for line in table(PATHS, seed=options.seed, cubic=options.cubic):
        print(line, flush=True)
        stalled = stalled or "stall*" in line
    return int(stalled)


if __name__ == "__main__":
    sys.exit(main())
