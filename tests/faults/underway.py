"""A transfer in full swing, for who wants to disturb it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.pair import MIB, Pair, write
from tests.torture.ride import PATIENCE
from tests.torture.side import Side

SLOW = ("--limit", "30MB/s")
TOP = "offer"


def big_tree(folder: Path, size: int = 16 * MIB) -> Path:
    """A small file before, a large one in the middle, another small one after it."""
    top = folder / TOP
    write(top / "a first", 300_000, 1)
    write(top / "middle", size, 2)
    write(top / "z last", 300_000, 3)
    return top


@contextmanager
def underway(
    pair: Pair,
    fraction: float,
    *options: str | Path,
    prefix: tuple[str, ...] = (),
    receive: tuple[str, ...] = (),
) -> Iterator[tuple[Side, Side]]:
    """Receiver and sender when so much has come; both are ended afterwards."""
    receiver = pair.receiver(*receive, prefix=prefix)
    receiver.until("listening", PATIENCE)
    sender = pair.sender(*SLOW, *options)
    reached(receiver, fraction)
    yield receiver, sender
    for side in (receiver, sender):
        side.destroy()


def reached(receiver: Side, fraction: float) -> None:
    """Wait until so much of the content has come."""

    def there() -> bool:
        event = receiver.find("progress")
        return event is not None and event["bytes"] >= fraction * event["total"]

    if not receiver.wait(there, PATIENCE):
        raise AssertionError(f"it does not get that far\n{receiver.story()}")


def killed(pair: Pair, fraction: float) -> None:
    """As far as that, then kill -9 of both, when a checkpoint has had its time."""
    with underway(pair, fraction) as (receiver, sender):
        end = time.monotonic() + 0.05
        receiver.wait(lambda: time.monotonic() > end, 1.0)
        receiver.killed = sender.killed = True
        receiver.kill()
        sender.kill()
