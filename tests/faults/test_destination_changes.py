"""What people do to the destination meanwhile (F-15, F-40, F-41, FS-05, FS-09)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.pair import Pair, check_words
from tests.faults.rights import modest, no_modesty
from tests.faults.underway import big_tree, underway
from tests.torture.invariants import files
from tests.torture.ride import PATIENCE
from tests.torture.side import Side

needs_modesty = pytest.mark.skipif(bool(no_modesty()), reason=f"MODES: {no_modesty()}")


@needs_modesty
def test_f15_a_read_only_folder_is_refused_before_anything_is_sent(
    pairs: Callable[..., Pair],
) -> None:
    pair = pairs()
    pair.into.chmod(0o500)
    receiver = pair.receiver(prefix=modest())
    sender = pair.sender(timeout="5")
    assert sender.ended(PATIENCE).code in {1, 3, 4, 5}
    receiver.stop()
    for side in (receiver, sender):
        check_words(side)
    assert list(pair.into.iterdir()) == []
    pair.into.chmod(0o700)
    pair.complete()


@needs_modesty
def test_f15_permission_that_goes_midway_stops_it_and_can_come_back(
    pairs: Callable[..., Pair], tmp_path: Path
) -> None:
    pair = pairs(top=big_tree(tmp_path / "tree"))
    with underway(pair, 0.3, prefix=tuple(modest())) as (receiver, sender):
        pair.into.chmod(0o500)
        end(receiver, sender)
        if sender.ended(0).code == 0:
            pair.destination.check_complete(single=True)
    pair.destination.check()
    pair.into.chmod(0o700)
    pair.complete()


def test_f40_a_destination_that_was_moved_is_still_the_one(
    pairs: Callable[..., Pair], tmp_path: Path
) -> None:
    """Or it stops; but nothing comes to be where it was."""
    pair = pairs(top=big_tree(tmp_path / "tree"))
    with underway(pair, 0.3) as (receiver, sender):
        moved = pair.into.rename(pair.into.with_name("moved"))
        end(receiver, sender)
    assert not pair.into.exists()
    if sender.ended(0).code == 0:
        assert (moved / "offer" / "middle").read_bytes() == (pair.top / "middle").read_bytes()
    else:
        assert not any(path.startswith("offer") for path in files(moved))


def test_f40_a_destination_that_was_removed_is_not_made_again(
    pairs: Callable[..., Pair], tmp_path: Path
) -> None:
    pair = pairs(top=big_tree(tmp_path / "tree"))
    with underway(pair, 0.3) as (receiver, sender):
        shutil.rmtree(pair.into)
        end(receiver, sender)
    assert not pair.into.exists()
    assert sender.ended(0).code in {1, 5, 7}
    pair.into.mkdir()
    pair.complete()


def test_f40_fs05_a_destination_that_became_a_link_leads_nowhere(
    pairs: Callable[..., Pair], tmp_path: Path
) -> None:
    pair = pairs(top=big_tree(tmp_path / "tree"))
    outside = tmp_path / "outside"
    outside.mkdir()
    with underway(pair, 0.3) as (receiver, sender):
        pair.into.rename(pair.into.with_name("moved"))
        pair.into.symlink_to(outside)
        end(receiver, sender)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("conflict", ["rename", "skip", "overwrite"])
def test_f41_fs09_a_name_that_is_taken_meanwhile(
    pairs: Callable[..., Pair], tmp_path: Path, conflict: str
) -> None:
    pair = pairs(top=big_tree(tmp_path / "tree"), conflict=conflict)
    names = ["a first", "middle", "z last"]
    receiver = pair.receiver()
    receiver.until("listening", PATIENCE)
    sender = pair.sender("--limit", "30MB/s", paths=[pair.top / name for name in names])
    receiver.wait(lambda: receiver.moved > 1_000_000, PATIENCE)
    (pair.into / "middle").write_bytes(b"mine")
    assert sender.ended(PATIENCE).code == 0
    assert receiver.ended(PATIENCE).code == 0
    data = (pair.top / "middle").read_bytes()
    expected = {"rename": b"mine", "skip": b"mine", "overwrite": data}[conflict]
    assert (pair.into / "middle").read_bytes() == expected
    if conflict == "rename":
        assert (pair.into / "middle (1)").read_bytes() == data
    visible = sorted(path.name for path in pair.into.iterdir())
    assert visible == sorted([*names, *(["middle (1)"] if conflict == "rename" else [])])


def end(receiver: Side, sender: Side) -> None:
    """Until it is over, or both only wait for something that does not come."""
    sender.wait(lambda: sender.find("waiting") is not None, 15.0)
    if sender.alive:
        sender.stop()
    receiver.wait(lambda: False, 2.0)
    receiver.stop()
    for side in (receiver, sender):
        assert not side.killed, side.story()
        check_words(side)
