"""The n-th call fails, in real processes (F-12, F-13, F-14, F-16): some of all, or all of them.

SECURECP_THOROUGH=1 takes every call of both sides, each way that it can fail.
"""

import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import pytest

from tests.faults.errnos import Fault, Faults, failing
from tests.faults.pair import Pair, check_words, thorough
from tests.torture import straces
from tests.torture.ride import PATIENCE

SHARES = 4
A_FEW = 2
"""Of each call and error, when not all are taken."""
JOBS = 4

pytestmark = pytest.mark.skipif(
    bool(straces.lacking()), reason=f"NO CALL IS MADE TO FAIL: {straces.lacking()}"
)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    faults = Faults(tmp_path_factory.mktemp("faults"))
    yield faults
    faults.close()


@pytest.fixture(scope="module")
def chosen(faults: Faults) -> list[Fault]:
    everything = faults.all()
    if thorough():
        return everything
    chance = random.Random(12)
    some: list[Fault] = []
    for _, group in groupby(everything, key=lambda fault: fault[:2]):
        these = list(group)
        some += chance.sample(these, min(A_FEW, len(these)))
    chance.shuffle(some)
    return some


@pytest.mark.parametrize("share", range(SHARES))
def test_f12_f13_f16_a_call_that_fails_costs_no_byte(
    faults: Faults, chosen: list[Fault], share: int
) -> None:
    with ThreadPoolExecutor(JOBS) as pool:
        words = [found for found in pool.map(faults.run, chosen[share::SHARES]) if found]
    assert not words, "\n".join(words)


@pytest.mark.parametrize("call", ["fsync", "fdatasync", "syncfs"])
def test_f14_a_flush_that_failed_is_never_tried_again(
    pairs: Callable[..., Pair], call: str
) -> None:
    """Not of the same file in the same process: its pages are clean by then, and lost."""
    flushes = ",".join(f"?{name}" for name in ("fsync", "fdatasync", "syncfs"))
    seen = 0
    for number in range(1, 5):
        pair = pairs()
        log = pair.notes / "flushes"
        strace = failing(Fault("receiver", call, "EIO", number), log)
        strace[strace.index(f"trace={call}")] = f"trace={flushes}"
        receiver = pair.receiver(strace=strace)
        receiver.wait(lambda: receiver.find("listening") is not None, PATIENCE)  # noqa: B023
        if receiver.alive:  # without a journal it does not even begin
            sender = pair.sender()
            receiver.wait(lambda: not sender.alive, 10.0)  # noqa: B023  called at once
            receiver.stop()
            sender.stop()
            check_words(sender)
        check_words(receiver)
        pair.destination.check()
        seen += _check_flushes(log.read_text(), pair.into)
        pair.complete()
    if not seen:
        pytest.skip(f"the receiver calls no {call}")


def _check_flushes(log: str, into: Path) -> int:
    """How many flushes failed; none at the destination is followed by another of the same file.

    In our own state a lost entry costs a part of the journal, and is found out by its MAC.
    """
    failed: set[str] = set()
    for line in log.splitlines():
        match = re.search(r"\w+\((\d+<.*>)\) += (-?\d+)", line)
        if match is None:
            continue
        file, result = match.groups()
        path = file.split("<", 1)[1]
        assert path not in failed or str(into) not in path, log
        if result != "0":
            failed.add(path)
    return len(failed)


def test_what_is_injected_is_text_that_repeats_it() -> None:
    fault = Fault("receiver", "fsync", "EIO", 3)
    assert Fault.parse(str(fault)) == fault
    assert "inject=fsync:error=EIO:when=3" in failing(fault, Path("log"))
