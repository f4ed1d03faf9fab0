"""Chunks in holes: all that are wholly zeros because nothing was ever written, and no others."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.disk import TreeSource, scan
from securecp.disk import holes as holes_module
from securecp.transfer.manifest import CHUNK

TIB = 1 << 40


def sparse(path: Path, size: int, *written: tuple[int, bytes]) -> Path:
    with path.open("wb") as stream:
        stream.truncate(size)
        for position, data in written:
            stream.seek(position)
            stream.write(data)
    return path


def holes(*paths: Path, verify: bool = False) -> list[tuple[int, int]]:
    source = TreeSource(scan(paths), verify=verify)
    try:
        return [(each.start, each.stop) for each in source.holes()]
    finally:
        source.close()


def test_only_chunks_without_any_data_are_holes(tmp_path: Path) -> None:
    file = sparse(tmp_path / "f", 10 * CHUNK, (3 * CHUNK + 5, b"x"), (7 * CHUNK - 1, b"yz"))
    assert holes(file) == [(0, 3), (4, 6), (8, 10)]


def test_a_short_last_chunk_is_a_hole_if_the_file_ends_in_one(tmp_path: Path) -> None:
    assert holes(sparse(tmp_path / "a", 2 * CHUNK + 1, (0, b"x"))) == [(1, 3)]
    assert holes(sparse(tmp_path / "b", 2 * CHUNK + 9_000, (2 * CHUNK + 8_999, b"x"))) == [(0, 2)]
    assert holes(sparse(tmp_path / "c", 100_000)) == [(0, 1)]


def test_numbers_count_through_the_whole_offer(tmp_path: Path) -> None:
    place = tmp_path / "t"
    place.mkdir()
    (place / "a").write_bytes(b"x" * (CHUNK + 1))
    sparse(place / "b", 3 * CHUNK)
    sparse(place / "c", 3 * CHUNK, (CHUNK, b"x"))
    assert holes(place) == [(2, 5), (5, 6), (7, 8)]
    assert holes(place, verify=True) == []


def test_files_without_holes_are_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(bytes(2 * CHUNK))
    (tmp_path / "small").write_bytes(b"x")
    found = scan([tmp_path])
    assert found.sparse == ()
    monkeypatch.setattr(os, "lseek", None)
    assert holes(tmp_path) == []


def test_zeros_that_were_written_are_sent(tmp_path: Path) -> None:
    """Only the file system's word counts; nothing is read to find zeros."""
    file = sparse(tmp_path / "f", 3 * CHUNK, (0, bytes(CHUNK)))
    with file.open("rb+") as stream:
        os.fsync(stream)
    assert holes(file) == [(1, 3)]


def test_a_tib_of_hole_is_seen_at_once(tmp_path: Path) -> None:
    file = sparse(tmp_path / "f", TIB, (TIB // 2, b"x"), (TIB - 1, b"y"))
    start = time.process_time()
    half = TIB // 2 // CHUNK
    assert holes(file) == [(0, half), (half + 1, TIB // CHUNK - 1)]
    assert time.process_time() - start < 0.05


def test_a_file_system_that_does_not_know_has_no_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = sparse(tmp_path / "f", 3 * CHUNK)
    monkeypatch.setattr(holes_module, "_SEEK_DATA", None)
    assert holes(file) == []
    assert scan([file]).sparse == ()


@pytest.mark.parametrize("gone", ["deleted", "replaced"])
def test_mf07_a_file_that_is_gone_or_another_has_no_holes(tmp_path: Path, gone: str) -> None:
    file = sparse(tmp_path / "f", 3 * CHUNK)
    source = TreeSource(scan([file]))
    file.unlink()
    if gone == "replaced":
        file.with_name("keeps the inode number").touch()
        sparse(tmp_path / "f", 3 * CHUNK)
    assert source.holes() == ()
    assert not source.unchanged(0)
    source.close()


def test_mf07_a_hole_that_is_filled_later_is_a_change(tmp_path: Path) -> None:
    file = sparse(tmp_path / "f", 3 * CHUNK)
    os.utime(file, ns=(1, 1))
    source = TreeSource(scan([file]))
    assert source.holes() == (range(3),)
    with file.open("r+b") as stream:
        stream.write(b"x")
    assert not source.unchanged(0)
    source.close()


@settings(max_examples=40)
@given(
    size=st.integers(1, 12 * CHUNK),
    written=st.lists(st.tuples(st.integers(0, 12 * CHUNK), st.integers(1, CHUNK * 2)), max_size=5),
)
def test_any_file_has_exactly_the_holes_that_nothing_was_written_to(
    tmp_path_factory: pytest.TempPathFactory, size: int, written: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("h") / "f"
    with path.open("wb") as stream:
        stream.truncate(size)
        for position, length in written:
            stream.seek(min(position, size - 1))
            stream.write(b"x" * min(length, size - stream.tell()))
    found = {number for start, stop in holes(path) for number in range(start, stop)}
    data = path.read_bytes()
    zeros = {n for n in range(-(-size // CHUNK)) if not any(data[n * CHUNK :][:CHUNK])}
    # Blocks are no smaller than a page, so a whole chunk of zeros is a hole if none was written.
    assert found == zeros or path.stat().st_blocks * 512 >= size or size < holes_module.LEAST
    path.unlink()
