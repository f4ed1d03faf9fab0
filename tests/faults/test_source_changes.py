"""Files that change while they are sent (F-37, F-38): never a mixture, the others arrive."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.pair import MIB, Pair, check_words, write
from tests.faults.underway import big_tree, underway
from tests.torture.ride import PATIENCE
from tests.torture.side import Side

SIZE = 16 * MIB
PHASES = [0.0, 0.3, 0.95]


def modify(path: Path) -> None:
    """At its beginning, which has been sent, and at its end, which has not."""
    with path.open("r+b") as file:
        file.write(b"NEW")
        file.seek(SIZE - 10)
        file.write(b"NEW")


def truncate(path: Path) -> None:
    os.truncate(path, SIZE // 2)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replace(path: Path) -> None:
    other = write(path.with_name("other"), SIZE, 77)
    other.replace(path)


def delete(path: Path) -> None:
    path.unlink()


EDITS = {edit.__name__: edit for edit in (modify, truncate, append, replace, delete)}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", EDITS)
def test_f37_a_file_that_changes_arrives_whole_or_not_at_all(
    pairs: Callable[..., Pair], tmp_path: Path, name: str, phase: float
) -> None:
    pair = pairs(top=big_tree(tmp_path / "tree"))
    victim = pair.top / "middle"
    old = victim.read_bytes()
    with underway(pair, phase) as (receiver, sender):
        EDITS[name](victim)
        new = victim.read_bytes() if victim.exists() else old
        code = ended(receiver, sender)
    arrived = pair.into / "offer" / "middle"
    others_have_arrived(pair)
    if code == 0:
        assert arrived.read_bytes() in (old, new)
    else:
        assert code == 7, sender.story()
        assert not arrived.exists()
        assert "middle" in str(sender.find("done")), sender.story()


def test_f37_a_file_that_changes_all_the_time_fails_by_name(
    pairs: Callable[..., Pair], tmp_path: Path
) -> None:
    """One byte pattern after the other, never two at once in what is published."""
    pair = pairs(top=big_tree(tmp_path / "tree"))
    victim = pair.top / "middle"
    over = threading.Event()

    def edit() -> None:
        version = 0
        with victim.open("r+b") as file:
            while not over.is_set():
                version = (version + 1) % 251
                file.seek(0)
                file.write(bytes([version]) * SIZE)
                file.flush()

    editor = threading.Thread(target=edit)
    with underway(pair, 0.2) as (receiver, sender):
        editor.start()
        try:
            code = ended(receiver, sender)
        finally:
            over.set()
            editor.join()
    others_have_arrived(pair)
    arrived = pair.into / "offer" / "middle"
    assert code == 7, sender.story()
    assert not arrived.exists()


def test_f38_a_file_that_vanishes_before_its_turn_is_reported(
    pairs: Callable[..., Pair], tmp_path: Path
) -> None:
    pair = pairs(top=big_tree(tmp_path / "tree"))
    with underway(pair, 0.2) as (receiver, sender):
        (pair.top / "z last").unlink()
        assert ended(receiver, sender) == 7
    assert "z last" in str(sender.find("done"))
    assert (pair.into / "offer" / "middle").read_bytes() == (pair.top / "middle").read_bytes()
    assert not (pair.into / "offer" / "z last").exists()


def ended(receiver: Side, sender: Side) -> int:
    """The sender's exit code, when both are over."""
    code = sender.ended(PATIENCE).code
    receiver.ended(PATIENCE)
    check_words(sender)
    check_words(receiver)
    return code


def others_have_arrived(pair: Pair) -> None:
    for name in ("a first", "z last"):
        arrived = pair.into / "offer" / name
        assert arrived.read_bytes() == (pair.top / name).read_bytes()
