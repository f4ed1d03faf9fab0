"""Content space read back from files, whatever happens to them meanwhile (MF-07)."""

import os
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from securecp.disk import TreeSource, scan
from securecp.disk import spans as spans_module
from securecp.transfer.manifest import CHUNK
from tests.disk.support import descriptors


def read(source: TreeSource, offset: int, length: int, slot: int = 1_000) -> bytes:
    buffer = bytearray(b"?" * length)
    view = memoryview(buffer)
    source.fill(offset, [view[at : at + slot] for at in range(0, length, slot)])
    return bytes(buffer)


def make(place: Path, contents: list[bytes]) -> bytes:
    place.mkdir()
    for number, data in enumerate(contents):
        (place / f"{number:04}").write_bytes(data)
    return b"".join(contents)


@given(
    contents=st.lists(st.binary(max_size=300), min_size=1, max_size=12),
    spans=st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 900)), max_size=12),
    slot=st.integers(1, 100),
)
def test_any_span_is_what_the_files_hold(
    tmp_path_factory: pytest.TempPathFactory,
    contents: list[bytes],
    spans: list[tuple[int, int]],
    slot: int,
) -> None:
    place = tmp_path_factory.mktemp("from") / "t"
    data = make(place, contents)
    source = TreeSource(scan([place]))
    for start, length in [(0, len(data)), *spans]:
        want = data[start : start + length]
        if want:
            assert read(source, start, len(want), slot) == want
    assert not source.changed
    source.close()


def test_digests_and_bounded_descriptors(tmp_path: Path) -> None:
    data = make(
        tmp_path / "t", [b"x" * CHUNK + b"tail", *(b"%d" % number for number in range(100))]
    )
    before = descriptors()
    found = scan([tmp_path / "t"])
    source = TreeSource(found)
    assert read(source, 0, len(data), 30_000) == data
    for number in range(found.manifest.chunk_count):
        chunk = found.manifest.chunk(number)
        assert source.digest(chunk) == blake3(data[chunk.offset :][: chunk.length]).digest()
    assert all(source.unchanged(index) for index in range(1, 102))
    assert descriptors() - before <= 64
    source.close()
    assert descriptors() == before


def test_without_positioned_vector_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "_read", spans_module._seek_and_read)
    data = make(tmp_path / "t", [b"abc", b"", b"defg"])
    source = TreeSource(scan([tmp_path / "t"]))
    assert read(source, 0, 7, 2) == data
    source.close()


def test_relative_paths_survive_many_open_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = []
    for number in range(50):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / f"f{number}").write_bytes(b"%02d" % number)
        paths.append(f"d{number}/f{number}")
    source = TreeSource(scan(paths))
    want = b"".join(b"%02d" % number for number in range(50))
    assert read(source, 0, 100, 7) == want
    assert read(source, 0, 100, 7) == want
    source.close()


def changes(path: Path, kind: str) -> None:
    if kind == "shrinks":
        os.truncate(path, 3)
    elif kind == "grows":
        with path.open("ab") as stream:
            stream.write(b"more")
    elif kind == "vanishes":
        path.unlink()
    elif kind == "is written":
        path.write_bytes(b"B" * 10)
        os.utime(path, ns=(1, 1))
    elif kind == "is replaced":
        path.with_name("new").write_bytes(b"B" * 10)
        os.utime(path.with_name("new"), ns=(path.stat().st_mtime_ns,) * 2)
        path.with_name("new").replace(path)
    elif kind == "becomes a link":
        path.rename(path.with_name("old"))
        path.symlink_to("old")
    else:
        path.unlink()
        os.mkfifo(path)


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize(
    "kind",
    [
        "shrinks",
        "grows",
        "vanishes",
        "is written",
        "is replaced",
        "becomes a link",
        "becomes a fifo",
    ],
)
def test_mf07_a_file_that_changes_is_noticed_and_slots_are_filled(
    tmp_path: Path, kind: str, opened: bool
) -> None:
    make(tmp_path / "t", [b"A" * 10, b"x" * 10])
    found = scan([tmp_path / "t"])
    source = TreeSource(found)
    if opened:
        read(source, 0, 20)
    changes(tmp_path / "t" / "0000", kind)
    assert b"?" not in read(source, 0, 20, 3)
    assert read(source, 10, 10) == b"x" * 10
    assert not source.unchanged(1)
    assert source.unchanged(2)
    if kind not in ("grows", "becomes a link") and not opened:
        assert source.digest(found.manifest.chunk(0)) != blake3(b"A" * 10).digest()
    source.close()


def test_mf07_a_file_that_shrank_is_zeros_from_there(tmp_path: Path) -> None:
    make(tmp_path / "t", [b"A" * 10, b"x" * 10])
    source = TreeSource(scan([tmp_path / "t"]))
    os.truncate(tmp_path / "t" / "0000", 3)
    assert read(source, 0, 20, 4) == b"AAA" + bytes(7) + b"x" * 10
    assert source.changed == {1}
    source.close()


def test_mf07_zeros_that_were_sent_are_remembered_when_the_file_is_back(tmp_path: Path) -> None:
    """The stat triple alone would not tell: the very file is there again."""
    make(tmp_path / "t", [b"A" * 10])
    source = TreeSource(scan([tmp_path / "t"]))
    (tmp_path / "t" / "0000").rename(tmp_path / "away")
    assert read(source, 0, 10) == bytes(10)
    (tmp_path / "away").rename(tmp_path / "t" / "0000")
    assert not source.unchanged(1)
    assert source.renew(1)
    assert read(source, 0, 10) == b"A" * 10
    assert source.unchanged(1)
    source.close()


def test_mf07_a_rewritten_file_can_be_taken_as_it_is_now(tmp_path: Path) -> None:
    make(tmp_path / "t", [b"A" * 10])
    found = scan([tmp_path / "t"])
    source = TreeSource(found)
    chunk = found.manifest.chunk(0)
    assert source.digest(chunk) == blake3(b"A" * 10).digest()
    read(source, 0, 10)
    changes(tmp_path / "t" / "0000", "is replaced")
    assert not source.unchanged(1)
    assert source.renew(1)
    assert source.unchanged(1)
    assert read(source, 0, 10) == b"B" * 10
    assert source.digest(chunk) == blake3(b"B" * 10).digest()
    changes(tmp_path / "t" / "0000", "grows")
    assert not source.renew(1)
    (tmp_path / "t" / "0000").unlink()
    assert not source.renew(1)
    source.close()


def test_fs08_a_folder_swapped_for_a_link_is_not_entered(tmp_path: Path) -> None:
    make(tmp_path / "t", [b"A" * 10])
    secret = tmp_path / "secret"
    make(secret, [b"S" * 10])
    source = TreeSource(scan([tmp_path / "t"]))
    (tmp_path / "t").rename(tmp_path / "moved")
    (tmp_path / "t").symlink_to(secret)
    assert read(source, 0, 10) == bytes(10)
    assert source.changed == {1}
    source.close()
