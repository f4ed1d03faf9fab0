"""What is done to parts, published files and our state between two runs (F-18, F-19, F-39, F-50).

Whatever it is: never followed, never trusted, never fatal; the next run completes.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from securecp.disk.names import is_part
from tests.faults.pair import MIB, Pair, write
from tests.faults.underway import big_tree, killed
from tests.torture.ride import PATIENCE, resumes

SIZE = 16 * MIB
needs_journal = pytest.mark.skipif(not resumes(), reason="nothing is resumed yet")


@pytest.fixture
def pair(pairs: Callable[..., Pair], tmp_path: Path) -> Pair:
    """Killed in the middle of the large file."""
    pair = pairs(top=big_tree(tmp_path / "tree", SIZE))
    killed(pair, 0.6)
    return pair


def parts(into: Path) -> list[Path]:
    """Our files under hidden names, the largest first."""
    found = [p for p in into.rglob("*") if p.is_file() and is_part(os.fsencode(p.name))]
    return sorted(found, key=lambda path: -path.stat().st_blocks)


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def bit(part: Path, _: Path) -> None:
    flip(part, 3 * MIB + 5)


def bit_under_old_time(part: Path, _: Path) -> None:
    was = part.stat()
    flip(part, 3 * MIB + 5)
    os.utime(part, ns=(was.st_atime_ns, was.st_mtime_ns))


def shorter(part: Path, _: Path) -> None:
    os.truncate(part, MIB + 17)


def longer(part: Path, _: Path) -> None:
    os.truncate(part, 20 * MIB)


def empty(part: Path, _: Path) -> None:
    os.truncate(part, 0)


def gone(part: Path, _: Path) -> None:
    part.unlink()


def another(part: Path, _: Path) -> None:
    data = part.read_bytes()
    part.unlink()
    part.write_bytes(data[: len(data) // 2])


def link(part: Path, outside: Path) -> None:
    part.unlink()
    part.symlink_to(outside / "precious")


def hard_link(part: Path, outside: Path) -> None:
    part.unlink()
    os.link(outside / "precious", part)


def folder(part: Path, _: Path) -> None:
    part.unlink()
    part.mkdir()


def fifo(part: Path, _: Path) -> None:
    part.unlink()
    os.mkfifo(part)


def folder_link(part: Path, outside: Path) -> None:
    """The hidden folder in which the part lies leads elsewhere, to a copy of what it held."""
    hidden = part.parent
    shutil.copytree(hidden, outside / "hidden")
    shutil.rmtree(hidden)
    hidden.symlink_to(outside / "hidden")


HARM = {harm.__name__: harm for harm in (
    bit, bit_under_old_time, shorter, longer, empty, gone, another, link, hard_link, folder, fifo,
    folder_link,
)}  # fmt: skip


@needs_journal
@pytest.mark.parametrize("name", HARM)
def test_f19_f39_parts_that_are_not_what_they_were(pair: Pair, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    write(outside / "precious", SIZE, 9)
    precious = (outside / "precious").read_bytes()
    HARM[name](parts(pair.into)[0], outside)
    seen = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    receiver = pair.receiver()
    receiver.until("listening", PATIENCE)
    sender = pair.sender()
    assert sender.ended(PATIENCE).code == 0, f"{sender.story()}\n{receiver.story()}"
    assert receiver.ended(PATIENCE).code == 0, receiver.story()
    pair.destination.check_complete(single=True)
    assert (outside / "precious").read_bytes() == precious
    assert {path: path.read_bytes() for path in seen} == seen, "written through a link"
    if name.startswith("bit"):
        assert_only_bad_chunks_came_again(pair)


def assert_only_bad_chunks_came_again(pair: Pair) -> None:
    """F-19: with 6 of 16 MiB missing and one bad, 8 MiB are more than enough."""
    done = pair.sides[-1].find("done")
    assert done is not None
    rest = SIZE * 0.4 + 4 * MIB  # what may have been unsaved, see `program.RESEND_BOUND`
    assert done["bytes_sent"] < (rest + MIB) * 1.05, done


def journals(pair: Pair) -> list[Path]:
    found = list((pair.folder / "bob" / "transfers").glob("*.journal"))
    assert found, "there is no journal"
    return found


def torn(path: Path, chance: random.Random) -> None:
    os.truncate(path, chance.randrange(1, path.stat().st_size))


def emptied(path: Path, _: random.Random) -> None:
    os.truncate(path, 0)


def garbage(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(path.stat().st_size))


def garbage_behind(path: Path, chance: random.Random) -> None:
    with path.open("ab") as file:
        file.write(chance.randbytes(500))


def one_bit(path: Path, chance: random.Random) -> None:
    flip(path, chance.randrange(path.stat().st_size))


def other_version(path: Path, _: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:14] + b"99" + data[16:])


def huge(path: Path, _: random.Random) -> None:
    os.truncate(path, 1 << 40)


def a_link(path: Path, _: random.Random) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def a_folder(path: Path, _: random.Random) -> None:
    path.unlink()
    path.mkdir()


def twice(path: Path, _: random.Random) -> None:
    path.write_bytes(path.read_bytes() * 2)


def removed(path: Path, _: random.Random) -> None:
    path.unlink()


SPOILT = {spoil.__name__: spoil for spoil in (
    torn, emptied, garbage, garbage_behind, one_bit, other_version, huge, a_link, a_folder, twice,
    removed,
)}  # fmt: skip


@needs_journal
@pytest.mark.parametrize("name", SPOILT)
def test_f18_a_journal_that_is_not_what_was_written(pair: Pair, name: str) -> None:
    chance = random.Random(name)
    for path in journals(pair):
        SPOILT[name](path, chance)
    pair.complete_with_leftovers()


@needs_journal
def test_f18_the_journal_of_another_identity_or_transfer(
    pair: Pair, pairs: Callable[..., Pair], tmp_path: Path
) -> None:
    other = pairs(top=big_tree(tmp_path / "other", SIZE))
    killed(other, 0.3)
    (mine,), (theirs,) = journals(pair), journals(other)
    shutil.copy(theirs, mine)
    pair.complete_with_leftovers()


@needs_journal
@pytest.mark.parametrize("lost", [("bob",), ("alice",), ("alice", "bob")], ids="+".join)
def test_f50_state_that_is_lost_costs_time_and_nothing_else(
    pair: Pair, lost: Iterable[str]
) -> None:
    keep = {"identity.key", "identity.pub", "contacts.toml", "config.toml"}
    for who in lost:
        for path in (pair.folder / who).iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in keep:
                path.unlink()
    codes = pair.complete_with_leftovers()
    assert codes == (0, 0)


@needs_journal
@pytest.mark.parametrize("edit", ["changed", "deleted", "link"])
def test_f39_published_files_that_changed_are_sent_again_and_not_lost(
    pairs: Callable[..., Pair], tmp_path: Path, edit: str
) -> None:
    pair = pairs()
    pair.complete()
    published = pair.into / "offer" / "big"
    outside = write(tmp_path / "outside", 1_000)
    data = bytearray(published.read_bytes())
    data[MIB] ^= 1
    if edit == "changed":
        published.write_bytes(bytes(data))
    else:
        published.unlink()
        if edit == "link":
            published.symlink_to(outside)
    receiver = pair.receiver()
    receiver.until("listening", PATIENCE)
    sender = pair.sender()
    assert sender.ended(PATIENCE).code == 0, sender.story()
    assert receiver.ended(PATIENCE).code == 0, receiver.story()
    assert outside.read_bytes() == write(tmp_path / "same", 1_000).read_bytes()
    if edit == "changed":
        assert published.read_bytes() == bytes(data), "what somebody has edited is lost"
    wanted = (pair.top / "big").read_bytes()
    copies = [path for path in pair.into.rglob("big*") if not path.is_symlink()]
    assert wanted in [path.read_bytes() for path in copies]
