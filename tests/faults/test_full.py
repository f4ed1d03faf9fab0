"""A disk that is full (F-12): a pause with the bytes that are needed, and it goes on by itself.

On a disk of our own in a mount namespace, with other people's files on it; by quota (injected), by
the largest size of a file (rlimit).
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.errnos import Fault, failing
from tests.faults.pair import MIB, Pair, check_words, write
from tests.faults.rights import no_mounts, with_disk
from tests.faults.underway import SLOW, big_tree, reached
from tests.torture import straces
from tests.torture.ride import PATIENCE, waits
from tests.torture.side import Side

DISK = 40 * MIB
needs_disk = pytest.mark.skipif(bool(no_mounts()), reason=f"NO SIZED DISK: {no_mounts()}")
needs_strace = pytest.mark.skipif(
    bool(straces.lacking()), reason=f"NO CALL IS MADE TO FAIL: {straces.lacking()}"
)
needs_waiting = pytest.mark.skipif(not waits(), reason="a sender does not wait yet")


@contextmanager
def started(pair: Pair, *options: str, once: bool = True) -> Iterator[tuple[Side, Side]]:
    receiver = pair.receiver(*options, once=once)
    receiver.until("listening", PATIENCE)
    sender = pair.sender(*SLOW)
    yield receiver, sender
    for side in (receiver, sender):
        side.destroy()


def fill(place: Path, left: int) -> Path:
    """Somebody else's file, until only so much is left."""
    found = os.statvfs(place)
    ballast = place / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - left)
    return ballast


def is_paused(sender: Side, receiver: Side) -> dict[str, object]:
    """Both know that there is no room; what the receiver's side tells."""

    def told() -> bool:
        return any(side.find("paused") is not None for side in (sender, receiver))

    sender.wait(told, PATIENCE)
    assert told(), f"{sender.story()}\n{receiver.story()}"
    return receiver.find("paused") or sender.find("paused") or {}


@needs_disk
@needs_waiting
@pytest.mark.parametrize("reserve", ["0", "1MB"], ids=["no reserve", "reserve"])
def test_f12_full_midway_it_pauses_and_goes_on_when_there_is_room(
    pairs: Callable[..., Pair], tmp_path: Path, reserve: str
) -> None:
    """Without a reserve it is the disk that says no; with one it is we, before the disk is full."""
    into = tmp_path / "disk"
    into.mkdir()
    pair = pairs(top=big_tree(tmp_path / "tree", 24 * MIB), into=into, forked=False)

    def body() -> None:
        with started(pair, "--reserve", reserve) as (receiver, sender):
            reached(receiver, 0.3)
            ballast = fill(into, 2 * MIB)
            paused = is_paused(sender, receiver)
            needed = int(str(paused["needed"]))
            assert 4 * MIB < needed <= 25 * MIB, paused
            sender.pause(1.0)
            assert sender.alive and receiver.alive, f"{sender.story()}\n{receiver.story()}"
            assert not [p for p in into.rglob("*") if p.name in {"middle", "a first"}]
            ballast.unlink()
            assert sender.ended(PATIENCE).code == 0, sender.story()
            assert receiver.ended(PATIENCE).code == 0, receiver.story()
        pair.destination.check_complete(single=True)
        pair.destination.check_clean()

    with_disk(into, DISK, body)


@needs_disk
@needs_waiting
def test_f12_no_room_from_the_start_and_a_daemon_that_lives_on(
    pairs: Callable[..., Pair], tmp_path: Path
) -> None:
    into = tmp_path / "disk"
    into.mkdir()
    pair = pairs(top=big_tree(tmp_path / "tree", 24 * MIB), into=into, forked=False)

    def body() -> None:
        ballast = fill(into, 2 * MIB)
        with started(pair, "--reserve", "0", once=False) as (receiver, first):
            sender = first
            sender.wait(lambda: not sender.alive, 3.0)
            assert receiver.alive, receiver.story()
            ballast.unlink()
            if not sender.alive:  # never accepted, so it may give up at once
                assert sender.ended(0).code in {3, 5}, sender.story()
                check_words(sender)
                sender = pair.sender(*SLOW)
            assert sender.ended(PATIENCE).code == 0, sender.story()
            receiver.stop()
        pair.destination.check_complete(single=True)

    with_disk(into, DISK, body)


@needs_disk
@needs_waiting
def test_f12_without_patience_it_ends_and_the_same_command_goes_on(
    pairs: Callable[..., Pair], tmp_path: Path
) -> None:
    into = tmp_path / "disk"
    into.mkdir()
    pair = pairs(top=big_tree(tmp_path / "tree", 24 * MIB), into=into, forked=False)

    def body() -> None:
        receiver = pair.receiver("--reserve", "0", "--wait", "0s")
        receiver.until("listening", PATIENCE)
        sender = pair.sender(*SLOW, "--wait", "0s")
        reached(receiver, 0.3)
        ballast = fill(into, 2 * MIB)
        assert sender.ended(PATIENCE).code == 5, sender.story()
        assert receiver.ended(PATIENCE).code == 5, receiver.story()
        words = sender.ended(0).stderr + receiver.ended(0).stderr
        assert "needed" in words, words
        check_words(sender)
        check_words(receiver)
        ballast.unlink()
        pair.complete()

    with_disk(into, DISK, body)


@needs_strace
@needs_waiting
@pytest.mark.parametrize("error", ["EDQUOT", "ENOSPC"])
def test_f12_a_quota_that_is_used_up_for_once_is_no_end(
    pairs: Callable[..., Pair], tmp_path: Path, error: str
) -> None:
    pair = pairs(top=big_tree(tmp_path / "tree", 4 * MIB))
    strace = failing(Fault("receiver", "pwritev2", error, 20), pair.notes / "strace")
    receiver = pair.receiver(strace=strace)
    receiver.until("listening", PATIENCE)
    sender = pair.sender(*SLOW)
    paused = is_paused(sender, receiver)
    assert int(str(paused["needed"])) > 0
    assert sender.ended(PATIENCE).code == 0, sender.story()
    assert receiver.ended(PATIENCE).code == 0, receiver.story()
    pair.destination.check_complete(single=True)


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="NO FILE IS TOO LARGE: no prlimit")
def test_f12_a_file_that_is_too_large_for_the_disk_fails_and_others_arrive(
    pairs: Callable[..., Pair], tmp_path: Path
) -> None:
    """EFBIG by rlimit: that file fails by name, exit 7."""
    pair = pairs(top=big_tree(tmp_path / "tree", 8 * MIB))
    receiver = pair.receiver(prefix=["prlimit", f"--fsize={4 * MIB}"])
    receiver.until("listening", PATIENCE)
    sender = pair.sender(*SLOW)
    sender.wait(lambda: not receiver.alive, 15.0)
    sender.wait(lambda: False, 1.0)
    receiver.stop()
    sender.stop()
    for side in (receiver, sender):
        check_words(side)
    pair.destination.check()
    if waits():
        assert sender.ended(0).code == 7, sender.story()
        for name in ("a first", "z last"):
            assert (pair.into / "offer" / name).exists()
        assert not (pair.into / "offer" / "middle").exists()
    pair.complete(single=False)


def test_f16_few_descriptors_are_enough_or_it_says_so(pairs: Callable[..., Pair]) -> None:
    """EMFILE by rlimit, in the receiver and in the sender: never a traceback, never a hang."""
    pair = pairs()
    for limit in (12, 24, 48):
        prefix = ["prlimit", f"--nofile={limit}"]
        receiver = pair.receiver(prefix=prefix)
        receiver.wait(lambda: receiver.find("listening") is not None, PATIENCE)  # noqa: B023
        sender = pair.sender(prefix=prefix, timeout="2")
        sender.wait(lambda: False, 5.0)
        sender.stop()
        receiver.stop()
        for side in (receiver, sender):
            check_words(side)
        pair.destination.check()
    pair.complete(single=False)


def test_what_fills_a_disk_leaves_what_it_should(tmp_path: Path) -> None:
    if reason := no_mounts():
        pytest.skip(f"NO SIZED DISK: {reason}")
    place = tmp_path / "disk"
    place.mkdir()

    def body() -> None:
        fill(place, 2 * MIB)
        with pytest.raises(OSError):
            write(place / "more", 3 * MIB)

    with_disk(place, 8 * MIB, body)
    assert list(place.iterdir()) == []
