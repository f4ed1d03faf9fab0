"""Files that are there already: which chunks of an offer they may hold, read and copied safely."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from securecp.disk import base as base_module
from securecp.disk.base import Base
from securecp.disk.calls import at
from securecp.transfer.manifest import CHUNK, Entry, Manifest
from tests.disk.support import descriptors, file, folder, tree


@contextmanager
def opened(destination: Path, entries: list[Entry]) -> Iterator[tuple[Base, Manifest]]:
    manifest = Manifest(entries)
    root = at.pin(os.fsencode(destination))
    base = Base(root, manifest)
    try:
        base.look()
        yield base, manifest
    finally:
        base.close()
        at.close(root)


def numbers(base: Base) -> list[int]:
    return [number for each in base.chunks() for number in each]


def random_bytes(size: int, seed: int = 1) -> bytes:
    return blake3(seed.to_bytes(2, "big")).digest(length=size)


# which chunks


def test_a_file_of_the_same_size_is_a_candidate_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(random_bytes(2 * CHUNK + 5))
    with opened(tmp_path, [file(b"a", 2 * CHUNK + 5), file(b"b", 7)]) as (base, _):
        assert base.chunks() == (range(3),)
        assert [base.has(number) for number in range(4)] == [True, True, True, False]
        assert base.identical(0)
        assert not base.identical(1)


@given(
    offered=st.integers(0, 5 * CHUNK),
    there=st.integers(0, 5 * CHUNK),
    before=st.sampled_from([0, 1, CHUNK, CHUNK + 1]),
)
def test_candidates_are_the_chunks_that_lie_wholly_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, offered: int, there: int, before: int
) -> None:
    into = tmp_path_factory.mktemp("into")
    with (into / "a").open("wb") as made:
        made.truncate(there)
    with opened(into, [file(b"before", before), file(b"a", offered)]) as (base, manifest):
        wanted = [
            number
            for number in manifest.chunks(1)
            if (chunk := manifest.chunk(number)).start + chunk.length <= there
        ]
        assert numbers(base) == wanted
        assert base.identical(1) == (offered == there)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8))
def test_candidate_ranges_are_ascending_disjoint_and_joined(sizes: list[tuple[int, int]]) -> None:
    at_number = 0
    ranges: list[range] = []
    wanted: list[int] = []
    for gap, length in sizes:
        at_number += gap
        ranges.append(range(at_number, at_number + length))
        wanted += ranges[-1]
        at_number += length
    joined = list(base_module._joined(iter(ranges)))
    assert [number for each in joined for number in each] == wanted
    assert all(joined)
    assert all(one.stop < other.start for one, other in pairwise(joined))


def test_an_empty_file_is_identical_only_to_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "full").write_bytes(b"x")
    entries = [file(b"empty", 0), file(b"full", 0), file(b"none", 0)]
    with opened(tmp_path, entries) as (base, _):
        assert [base.identical(entry) for entry in range(3)] == [True, False, False]
        assert base.chunks() == ()


def test_files_are_found_below_directories_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "t/sub").mkdir(parents=True)
    (tmp_path / "t/sub/a").write_bytes(b"abc")
    (tmp_path / "t/b").write_bytes(b"abcd")
    entries = [folder(b"t"), folder(b"sub", 1), file(b"a", 3, 2), file(b"b", 4, 1)]
    with opened(tmp_path, [*entries, folder(b"no"), file(b"a", 3, 5)]) as (base, manifest):
        assert numbers(base) == [0, 1]
        assert set(base.directories) == {1, 2}
        assert base.digest(manifest.chunk(0)) == blake3(b"abc").digest()
        assert base.digest(manifest.chunk(1)) == blake3(b"abcd").digest()


def test_the_order_of_an_offer_opens_no_directory_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round and round through deep directories is no dearer than one after the other."""
    entries: list[Entry] = []
    for top in range(40):
        inside = tmp_path / f"t{top}"
        entries.append(folder(b"t%d" % top))
        parent = len(entries)
        for depth in range(10):
            inside /= f"d{depth}"
            entries.append(folder(b"d%d" % depth, parent))
            parent = len(entries)
        inside.mkdir(parents=True)
    deepest = [index + 1 for index, entry in enumerate(entries) if entry.name == b"d9"]
    entries += [file(b"f%d" % number, 1, parent) for number in range(20) for parent in deepest]
    opens = 0
    real = at.open_directory

    def counted(parent: int, name: bytes) -> int:
        nonlocal opens
        opens += 1
        return real(parent, name)

    monkeypatch.setattr(at, "open_directory", counted)
    with opened(tmp_path, entries):
        pass
    assert opens < 12 * 440


def test_a_hundred_thousand_files_take_microseconds_each(tmp_path: Path) -> None:
    """Fewer here, and loosely: 15 µs are asked for, 8 measured. And few descriptors."""
    count = 6_000
    for number in range(count // 2):
        (tmp_path / f"f{number}").touch()
    entries = [file(b"f%d" % number, 0) for number in range(count)]
    before = descriptors()
    manifest = Manifest(entries)
    root = at.pin(os.fsencode(tmp_path))
    base = Base(root, manifest)
    began = time.process_time()
    base.look()
    each = (time.process_time() - began) / count
    assert sum(base.identical(entry) for entry in range(count)) == count // 2
    assert descriptors() - before <= 3
    base.close()
    at.close(root)
    assert descriptors() == before
    assert each < 60e-6


# what is not a file


def test_fs06_fifos_devices_and_links_are_not_looked_into(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    into = tmp_path / "into"
    into.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    os.mkfifo(into / "fifo")
    (into / "link").symlink_to(outside / "secret")
    (into / "folder").symlink_to(outside)
    (into / "real").mkdir()
    entries = [
        file(b"fifo", 6),
        file(b"link", 6),
        folder(b"folder"),
        file(b"secret", 6, 3),
        file(b"real", 6),
    ]
    with opened(into, entries) as (base, manifest):
        assert base.chunks() == ()
        assert not base.directories
        assert not any(base.files)
        for number in range(manifest.chunk_count):
            with pytest.raises(OSError):
                base.digest(manifest.chunk(number))


@pytest.mark.parametrize("swap", ["fifo", "link", "another", "directory", "gone"])
def test_fs04_a_file_swapped_after_the_look_is_neither_read_nor_copied(
    tmp_path: Path, swap: str
) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "other").write_bytes(b"abc")
    part = os.open(tmp_path / "part", os.O_RDWR | os.O_CREAT)
    with opened(tmp_path, [file(b"a", 3)]) as (base, manifest):
        (tmp_path / "a").rename(tmp_path / "moved")
        if swap == "fifo":
            os.mkfifo(tmp_path / "a")
        elif swap == "link":
            (tmp_path / "a").symlink_to("moved")
        elif swap == "another":
            (tmp_path / "other").rename(tmp_path / "a")
        elif swap == "directory":
            (tmp_path / "a").mkdir()
        with pytest.raises(OSError):
            base.digest(manifest.chunk(0))
        assert not base.identical(0)
        assert base.copy(0, [0], [blake3(b"abc").digest()], part) == [0]
        assert os.fstat(part).st_size == 0
    os.close(part)


def test_fs04_a_directory_swapped_after_the_look_is_not_entered(tmp_path: Path) -> None:
    outside, into = tmp_path / "outside", tmp_path / "into"
    for place in (outside, into / "t"):
        place.mkdir(parents=True)
        (place / "a").write_bytes(b"abc")
    with opened(into, [folder(b"t"), file(b"a", 3, 1)]) as (base, manifest):
        base._walk.close()
        (into / "t").rename(into / "moved")
        (into / "t").symlink_to(outside)
        with pytest.raises(OSError):
            base.digest(manifest.chunk(0))
        assert not base.identical(1)
        (into / "t").unlink()
        outside.rename(into / "t")
        with pytest.raises(OSError):
            base.digest(manifest.chunk(0))


def test_fs04_links_swapped_in_by_a_racing_thread_are_never_followed(tmp_path: Path) -> None:
    outside, into = tmp_path / "outside", tmp_path / "into"
    (into / "t").mkdir(parents=True)
    outside.mkdir()
    (into / "t/a").write_bytes(b"mine" * 100)
    (outside / "a").write_bytes(b"evil" * 100)
    mine, evil = blake3(b"mine" * 100).digest(), blake3(b"evil" * 100).digest()
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (into / "t").rename(into / "aside")
            (into / "t").symlink_to(outside)
            (into / "t").unlink()
            (into / "aside").rename(into / "t")
            for _ in range(20):
                (into / "t").stat()

    racer = threading.Thread(target=swap)
    racer.start()
    seen = {b"": 0, mine: 0}
    try:
        for turn in range(50_000):
            if turn >= 1_000 and seen[mine]:
                break
            with opened(into, [folder(b"t"), file(b"a", 400, 1)]) as (base, manifest):
                try:
                    digest = base.digest(manifest.chunk(0))
                except OSError:
                    digest = b""
                assert digest != evil
                seen[digest] += 1
    finally:
        stop.set()
        racer.join()
    assert seen[mine]


# changes


def test_a_touched_file_is_not_identical_any_more(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    os.utime(tmp_path / "a", ns=(1, 1))
    with opened(tmp_path, [file(b"a", 3)]) as (base, _):
        assert base.identical(0)
        with (tmp_path / "a").open("r+b") as again:
            again.write(b"xyz")
        os.utime(tmp_path / "a", ns=(1, 1))  # the time alone is back
        assert not base.identical(0)


def test_another_file_with_the_same_times_is_not_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_module, "_stamp", lambda _: 1)
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"xyz")
    with opened(tmp_path, [file(b"a", 3)]) as (base, _):
        assert base.identical(0)
        (tmp_path / "b").replace(tmp_path / "a")
        assert not base.identical(0)


def test_copying_hashes_what_it_writes_and_names_what_has_changed(tmp_path: Path) -> None:
    data = random_bytes(3 * CHUNK + 9)
    (tmp_path / "a").write_bytes(data)
    part = os.open(tmp_path / "part", os.O_RDWR | os.O_CREAT)
    with opened(tmp_path, [file(b"first", 4), file(b"a", len(data))]) as (base, manifest):
        chunks = [manifest.chunk(number) for number in manifest.chunks(1)]
        digests = [base.digest(chunk) for chunk in chunks]
        with (tmp_path / "a").open("r+b") as again:
            again.seek(CHUNK + 3)
            again.write(b"changed")
            again.truncate(3 * CHUNK + 4)  # and the last one is not whole any more
        changed = base.copy(1, [chunk.number for chunk in chunks], digests, part)
        assert changed == [chunks[1].number, chunks[3].number]
        written = (tmp_path / "part").read_bytes()
        assert written[:CHUNK] == data[:CHUNK]
        assert written[CHUNK : 2 * CHUNK] == bytes(CHUNK)  # a hole
        assert written[2 * CHUNK :] == data[2 * CHUNK : 3 * CHUNK]
    os.close(part)


def test_a_file_that_changes_all_the_time_never_brings_a_mixture(tmp_path: Path) -> None:
    """MF-07, for the receiver's own files: what is copied is what was hashed, whoever writes."""
    versions = [bytes([value]) * CHUNK for value in range(4)]
    (tmp_path / "a").write_bytes(versions[0])
    good = blake3(versions[0]).digest()
    part = os.open(tmp_path / "part", os.O_RDWR | os.O_CREAT)
    stop = threading.Event()

    def write() -> None:
        descriptor = os.open(tmp_path / "a", os.O_WRONLY)
        while not stop.is_set():
            for version in versions:
                os.pwrite(descriptor, version, 0)
        os.close(descriptor)

    writer = threading.Thread(target=write)
    writer.start()
    copied = 0
    try:
        with opened(tmp_path, [file(b"a", CHUNK)]) as (base, _):
            for _ in range(300):
                os.ftruncate(part, 0)
                if base.copy(0, [0], [good], part) == []:
                    copied += 1
                    assert os.pread(part, CHUNK, 0) == versions[0]
                else:
                    assert os.fstat(part).st_size == 0
    finally:
        stop.set()
        writer.join()
        os.close(part)


def test_errors_of_the_part_are_raised(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    part = os.open(tmp_path / "a", os.O_RDONLY)
    with opened(tmp_path, [file(b"a", 3)]) as (base, _), pytest.raises(OSError):
        base.copy(0, [0], [blake3(b"abc").digest()], part)
    os.close(part)


def test_nothing_that_exists_is_changed(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/a").write_bytes(b"abc")
    before = (tree(tmp_path), (tmp_path / "t/a").stat(), (tmp_path / "t").stat())
    part = os.open(tmp_path, os.O_RDWR | os.O_TMPFILE)
    with opened(tmp_path, [folder(b"t"), file(b"a", 3, 1)]) as (base, manifest):
        base.digest(manifest.chunk(0))
        base.copy(1, [0], [blake3(b"abc").digest()], part)
        base.identical(1)
    os.close(part)
    stats = (tmp_path / "t/a").stat(), (tmp_path / "t").stat()
    assert tree(tmp_path) == before[0]
    for now, then in zip(stats, before[1:], strict=True):
        assert (now.st_ino, now.st_mtime_ns, now.st_ctime_ns, now.st_mode) == (
            (then.st_ino, then.st_mtime_ns, then.st_ctime_ns, then.st_mode)
        )


# whole trees


def test_a_tree_is_whole_only_if_everything_in_it_is_there(tmp_path: Path) -> None:
    for name in ("one/sub", "two", "three"):
        (tmp_path / name).mkdir(parents=True)
    entries = [
        folder(b"one"),
        folder(b"two"),
        folder(b"sub", 1),
        file(b"a", 1, 3),
        file(b"b", 1, 2),
        file(b"c", 1),
        folder(b"three"),
        folder(b"missing", 7),
    ]
    with opened(tmp_path, entries) as (base, _):
        asked: list[int] = []

        def same(entry: int) -> bool:
            asked.append(entry)
            return entry in {3, 5}

        assert base.whole_trees(same) == {1, 6}
        assert asked == [3, 4, 5]
        assert [base.top(entry) for entry in range(8)] == [1, 2, 1, 1, 2, 6, 7, 7]


def test_digests_from_many_threads_keep_descriptors_few(tmp_path: Path) -> None:
    entries = [file(b"f%d" % number, 4) for number in range(200)]
    for number in range(200):
        (tmp_path / f"f{number}").write_bytes(b"%04d" % number)
    before = descriptors()
    with opened(tmp_path, entries) as (base, manifest):
        wrong: list[int] = []

        def work(first: int) -> None:
            for number in range(first, 200, 4):
                if base.digest(manifest.chunk(number)) != blake3(b"%04d" % number).digest():
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert descriptors() - before <= 1 + 1 + 4 * 2
    assert descriptors() == before
