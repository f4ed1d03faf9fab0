"""A peer that is faster than our disk: content is written as it comes, and never queued."""

import tracemalloc

from securecp.endpoint import Burst, Endpoint
from securecp.transport.connection import Connection
from securecp.transport.wire import Parameters, SessionKeys

ENDPOINT = Endpoint("192.0.2.1", 4400)
WINDOW = 1 << 20
ROOT = bytes(32)
OTHER_ROOT = bytes(range(32))


class Zeros:
    """A source that never ends."""

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        for slot in slots:
            slot[:] = bytes(len(slot))


class Disk:
    """A sink that counts."""

    def __init__(self) -> None:
        self.stored = 0

    def store(self, offset: int, slices: list[memoryview]) -> None:
        assert offset == self.stored
        self.stored += sum(map(len, slices))


def pair(size: int) -> tuple[Connection, Connection, Disk]:
    """A sender of `size` bytes, a receiver with a content window of `WINDOW`, and its disk."""
    ours, theirs = (
        Parameters(True, 65_507, WINDOW, WINDOW),
        Parameters(True, 65_507, WINDOW, WINDOW),
    )
    sender = Connection(
        SessionKeys(ROOT, OTHER_ROOT, 1, 2, bytes(32), True, b"", ours, theirs),
        ENDPOINT,
        0.0,
        bytes,
    )
    receiver = Connection(
        SessionKeys(OTHER_ROOT, ROOT, 2, 1, bytes(32), False, b"", ours, theirs),
        ENDPOINT,
        0.0,
        bytes,
    )
    disk = Disk()
    sender.source, receiver.sink = Zeros(), disk
    sender.send_content(0, size)
    receiver.expect_content(0, size)
    return sender, receiver, disk


def carry(now: float, source: Connection, target: Connection | None) -> int:
    """Move all that `source` has to say; returns its bytes."""
    total = 0
    while (burst := source.transmit(now)) is not None:
        total += len(burst.data)
        if target is not None:
            data = memoryview(bytearray(burst.data))
            target.receive(now, Burst(ENDPOINT, data, burst.stride))
    return total


def test_tr23_a_disk_that_stands_still_stops_the_sender_at_the_window() -> None:
    size = 64 * WINDOW
    sender, receiver, disk = pair(size)
    now = 0.0
    while disk.stored < WINDOW // 2:  # the path is fast, and the sender has found that out
        carry(now, sender, receiver)
        carry(now + 0.001, receiver, sender)
        now += 0.002
    credit = receiver.content_in.limit - disk.stored
    sent = 0
    for _ in range(2_000):  # the receiver's thread hangs in a write: nothing is read or acked
        sent += carry(now, sender, None)
        now += 0.001
    assert sent < 1.5 * credit + WINDOW // 4, "what is past the window are probes"


def test_tr23_memory_stays_flat_however_much_comes() -> None:
    size = 32 * WINDOW
    sender, receiver, disk = pair(size)
    now = 0.0
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        while disk.stored < size:
            carry(now, sender, receiver)
            carry(now + 0.001, receiver, sender)
            now += 0.002
            for end in (sender, receiver):
                due = end.deadline()
                if due is not None and due <= now:
                    end.wake(now)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - before < 8 * WINDOW, "some volleys, their slices and the books, of 32 windows"
