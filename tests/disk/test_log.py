"""Logs: what was written comes back, what anything else has done to the file does not (F-18)."""

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.disk import log as log_module
from securecp.disk.log import BLOCK_LIMIT, MAGIC_LENGTH, Log, parse, read
from securecp.disk.state import StateFolder
from securecp.errors import StorageError

KEY = b"k" * 32
MAGIC = b"securecp test 01"
NAME = b"name"


def written(blocks: list[bytes], key: bytes = KEY, name: bytes = NAME) -> bytes:
    """The bytes of a log that holds these blocks."""
    data = bytearray(MAGIC)
    mac = parse(b"", name, key, MAGIC)[2]
    for block in blocks:
        row = len(block).to_bytes(4, "big") + block
        mac = log_module._mac(key, mac, row)
        data += row + mac
    return bytes(data)


def opened(folder: Path, *, key: bytes = KEY, magic: bytes = MAGIC, name: bytes = NAME) -> Log:
    log = Log.open(StateFolder(folder), name, key, magic)
    assert log is not None
    return log


def test_blocks_come_back_in_order(tmp_path: Path) -> None:
    one = opened(tmp_path / "a" / "state")
    one.append(b"first", b"second")
    one.append(b"third")
    one.sync()
    one.close()
    two = opened(tmp_path / "a" / "state")
    assert two.blocks == [b"first", b"second", b"third"]
    two.append(b"fourth")
    two.close()
    assert opened(tmp_path / "a" / "state").blocks[-1] == b"fourth"
    assert stat.S_IMODE((tmp_path / "a" / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "state" / "name").stat().st_mode) == 0o600


@given(
    blocks=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=5),
    cut=st.integers(0, 400),
)
def test_f18_a_torn_end_costs_the_last_blocks_only(blocks: list[bytes], cut: int) -> None:
    data = written(blocks)[:cut]
    found, end, _ = parse(data, NAME, KEY, MAGIC)
    assert found == blocks[: len(found)]
    assert end <= len(data)
    assert len(found) == len(blocks) or cut < len(written(blocks))


@given(
    blocks=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=5),
    place=st.integers(0, 10_000),
    bit=st.integers(0, 7),
)
def test_f18_a_flipped_bit_ends_what_counts(blocks: list[bytes], place: int, bit: int) -> None:
    data = bytearray(written(blocks))
    place %= len(data)
    data[place] ^= 1 << bit
    found, end, _ = parse(bytes(data), NAME, KEY, MAGIC)
    assert found == blocks[: len(found)]
    assert len(found) < len(blocks)
    assert end <= place


@given(st.binary(max_size=300))
def test_f18_garbage_is_nothing(data: bytes) -> None:
    assert parse(data, NAME, KEY, MAGIC)[0] == []
    assert parse(MAGIC + data, NAME, KEY, MAGIC)[0] == []


@given(st.permutations([b"one", b"two", b"three"]))
def test_f18_blocks_cannot_change_places(order: list[bytes]) -> None:
    rows = {}
    data = written([b"one", b"two", b"three"])
    position = MAGIC_LENGTH
    for block in (b"one", b"two", b"three"):
        rows[block] = data[position : position + 4 + len(block) + 32]
        position += len(rows[block])
    moved = MAGIC + b"".join(rows[block] for block in order)
    found = parse(moved, NAME, KEY, MAGIC)[0]
    assert found == [b"one", b"two", b"three"][: len(found)]
    assert (len(found) == 3) == (order == [b"one", b"two", b"three"])


def test_mf10_a_log_of_another_key_name_or_version_is_nothing() -> None:
    data = written([b"block"])
    assert parse(data, NAME, KEY, MAGIC)[0] == [b"block"]
    assert parse(data, NAME, b"x" * 32, MAGIC)[0] == []
    assert parse(data, b"other", KEY, MAGIC)[0] == []
    assert parse(data, NAME, KEY, b"securecp test 02")[0] == []


def test_f18_what_is_torn_is_written_over(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(b"first", b"second")
    log.close()
    with (tmp_path / "name").open("r+b") as stream:
        stream.truncate(stream.seek(0, os.SEEK_END) - 3)
        stream.seek(0, os.SEEK_END)
    log = opened(tmp_path)
    assert log.blocks == [b"first"]
    log.append(b"third")
    log.close()
    assert (tmp_path / "name").read_bytes() == written([b"first", b"third"])
    assert opened(tmp_path).blocks == [b"first", b"third"]


def test_f18_a_log_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    log = opened(tmp_path, magic=b"securecp test 99")
    log.append(b"from the future")
    log.close()
    log = opened(tmp_path)
    assert log.blocks == []
    log.append(b"now")
    log.close()
    assert opened(tmp_path).blocks == [b"now"]


def test_an_append_that_failed_halfway_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    log.append(b"first")
    whole = log_module._write

    def half(descriptor: int, data: bytearray, position: int) -> None:
        whole(descriptor, data[: len(data) // 2], position)
        raise OSError("full")

    monkeypatch.setattr(log_module, "_write", half)
    with pytest.raises(OSError, match="full"):
        log.append(b"a longer second block")
    monkeypatch.setattr(log_module, "_write", whole)
    log.append(b"second")
    log.close()
    assert (tmp_path / "name").read_bytes() == written([b"first", b"second"])


def test_f18_a_log_that_somebody_made_huge_is_not_read_to_its_end(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(b"block")
    log.close()
    os.truncate(tmp_path / "name", 1 << 40)
    assert opened(tmp_path).blocks == [b"block"]


def test_one_program_at_a_time(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(b"block")
    with pytest.raises(StorageError, match="another program"):
        opened(tmp_path)
    assert read(StateFolder(tmp_path), NAME, KEY, MAGIC) == [b"block"]
    log.close()
    opened(tmp_path).close()


def test_a_log_that_is_removed_between_opening_and_locking(tmp_path: Path) -> None:
    """Whoever gets the lock of a file that has no name any more looks again."""
    one = opened(tmp_path)
    one.append(b"block")
    done = threading.Event()
    found: list[Log] = []

    def other() -> None:
        while not found:
            try:
                found.append(opened(tmp_path))
            except StorageError:
                done.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert done.wait(10)
    one.remove()
    thread.join()
    assert found[0].blocks == []
    found[0].append(b"new")
    found[0].close()
    assert opened(tmp_path).blocks == [b"new"]


@pytest.mark.parametrize("strange", ["link", "folder", "fifo"])
def test_what_is_no_file_of_ours_is_put_aside(tmp_path: Path, strange: str) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    match strange:
        case "link":
            (folder / "name").symlink_to(outside)
        case "folder":
            (folder / "name").mkdir()
        case "fifo":
            os.mkfifo(folder / "name")
    log = opened(folder)
    log.append(b"block")
    log.close()
    assert outside.read_bytes() == b"precious"
    assert opened(folder).blocks == [b"block"]
    assert os.path.lexists(folder / "name.strange")


def test_a_folder_that_others_may_enter_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o755)
    opened(folder).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_behind_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        opened(tmp_path / "state")


def test_the_largest_block(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(bytes(BLOCK_LIMIT))
    with pytest.raises(AssertionError):
        log.append(bytes(BLOCK_LIMIT + 1))
    log.close()
    assert opened(tmp_path).blocks == [bytes(BLOCK_LIMIT)]
