"""A log that cannot be written (F-47), and a disk that is slow (F-44): the transfer goes on."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.pair import MIB, Pair, check_words
from tests.faults.underway import big_tree
from tests.torture import straces
from tests.torture.nursery import PROGRAM, ROOT
from tests.torture.ride import PATIENCE

FLAT = 100 << 20


def has_log() -> bool:
    command = [sys.executable, str(PROGRAM), "--", "receive", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return "--log" in done.stdout


@pytest.mark.skipif(not has_log(), reason="there is no --log yet")
@pytest.mark.parametrize("target", ["full", "blocked", "gone"])
def test_f47_a_log_that_cannot_be_written_stops_nothing(
    pairs: Callable[..., Pair], tmp_path: Path, target: str
) -> None:
    pair = pairs()
    log = tmp_path / "logs" / "log"
    log.parent.mkdir()
    reader = -1
    if target == "full":
        log = Path("/dev/full")
    elif target == "blocked":
        os.mkfifo(log)
        reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)  # there, and never reads
        writer = os.open(log, os.O_WRONLY | os.O_NONBLOCK)
        try:
            while True:
                os.write(writer, b"x" * 4_096)
        except BlockingIOError:
            os.close(writer)
    receiver = pair.receiver("--log", log)
    receiver.wait(lambda: receiver.find("listening") is not None, 10.0)
    if not receiver.alive:  # refused before anything began: also an answer
        check_words(receiver)
        assert target != "gone"
        return
    if target == "gone":
        log.unlink(missing_ok=True)
        log.parent.rmdir()
    sender = pair.sender()
    assert sender.ended(PATIENCE).code == 0, sender.story()
    assert receiver.ended(PATIENCE).code == 0, receiver.story()
    check_words(receiver)
    pair.destination.check_complete(single=True)
    if reader >= 0:
        os.close(reader)


@pytest.mark.skipif(bool(straces.lacking()), reason=f"NO SLOW DISK: {straces.lacking()}")
def test_f44_memory_stays_flat_before_a_slow_disk(
    pairs: Callable[..., Pair], tmp_path: Path
) -> None:
    """Each write takes 20 ms longer: some MB/s, and the network carries a thousand times that."""
    pair = pairs(top=big_tree(tmp_path / "tree", 12 * MIB))
    writes = "pwritev2,pwritev"
    slow = ["-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", f"trace={writes}",
            "-e", f"inject={writes}:delay_enter=20000"]  # fmt: skip
    receiver = pair.receiver(strace=slow)
    receiver.until("listening", PATIENCE)
    sender = pair.sender()
    assert sender.ended(PATIENCE).code == 0, sender.story()
    assert receiver.ended(PATIENCE).code == 0, receiver.story()
    pair.destination.check_complete(single=True)
    assert receiver.ended(0).peak < FLAT
    assert sender.ended(0).peak < FLAT
