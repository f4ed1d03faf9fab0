"""Content into parts in any order and cut, digests back out, publishing what is ready."""

from pathlib import Path
from random import Random

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from securecp.disk import Store, digests
from securecp.disk import spans as spans_module
from securecp.errors import StorageError
from securecp.transfer.manifest import CHUNK, Entry, Manifest
from tests.disk.support import (
    TIME,
    content,
    deliver,
    descriptors,
    expected,
    file,
    folder,
    parts,
    receive,
    slices,
    tree,
)

ENTRIES = [
    folder(b"tree"),
    file(b"empty", 0, 1),
    file(b"one", 1, 1),
    folder(b"inner", 1),
    file(b"long", CHUNK + 77, 4),
    folder(b"bare", 4),
    file(b"alone.txt", 3_000),
    file("n\u00e4me ☃ \udcff".encode("utf-8", "surrogateescape"), 10, 6),
]


def test_everything_arrives_under_its_name(tmp_path: Path) -> None:
    manifest = Manifest(ENTRIES)
    report = receive(tmp_path, ENTRIES, seed=5)
    assert tree(tmp_path) == expected(manifest, content(manifest, 5))
    assert report.published == manifest.files
    assert report.size == manifest.size
    assert not report.skipped
    assert not report.renamed
    assert not report.failed


@given(
    sizes=st.lists(st.integers(0, 5_000), min_size=1, max_size=12),
    cuts=st.lists(st.integers(1, 4_000), min_size=1, max_size=30),
    slice_size=st.integers(1, 700),
    order=st.randoms(use_true_random=False),
)
def test_runs_in_any_order_and_cut_land_in_place(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    cuts: list[int],
    slice_size: int,
    order: Random,
) -> None:
    place = tmp_path_factory.mktemp("into")
    manifest = Manifest([file(b"f%d" % index, size) for index, size in enumerate(sizes)])
    data = content(manifest)
    runs: list[tuple[int, bytes]] = []
    start = 0
    while start < len(data):
        count = cuts[len(runs) % len(cuts)]
        runs.append((start, data[start : start + count]))
        start += count
    order.shuffle(runs)
    with Store(place, reserve=0) as store:
        store.prepare(manifest)
        for start, run in runs:
            store.store(start, slices(run, slice_size))
        for index in range(len(sizes)):
            store.ready(index)
        store.publish()
    assert tree(place) == expected(manifest, data)


def test_more_slices_than_one_call_takes(tmp_path: Path) -> None:
    manifest = Manifest([file(b"a", 5_000), file(b"b", 5_000)])
    data = content(manifest)
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        store.store(0, slices(data, 1))
        store.ready(0)
        store.ready(1)
        store.publish()
    assert tree(tmp_path) == expected(manifest, data)


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = spans_module._write

    def short(descriptor: int, some: "list[memoryview]", position: int) -> int:
        return whole(descriptor, [some[0][:7]], position)

    monkeypatch.setattr(spans_module, "_write", short)
    manifest = Manifest(ENTRIES[6:7])
    data = content(manifest)
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        deliver(store, manifest, data, size=100)
        store.publish()
    assert tree(tmp_path) == expected(manifest, data)


def test_without_positioned_vector_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "_write", spans_module._seek_and_write)
    monkeypatch.setattr(spans_module, "_read", spans_module._seek_and_read)
    receive(tmp_path, ENTRIES)
    manifest = Manifest(ENTRIES)
    assert tree(tmp_path) == expected(manifest, content(manifest))


def test_mf05_only_what_is_ready_is_published(tmp_path: Path) -> None:
    manifest = Manifest([file(b"whole", 100), file(b"half", 100), file(b"never", 100)])
    data = content(manifest)
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        store.store(0, slices(data[:150], 10))
        store.ready(0)
        report = store.publish()
    assert report.published == 1
    assert tree(tmp_path) == {"whole": data[:100]}


def test_a_failed_file_leaves_nothing_and_late_bytes_are_dropped(tmp_path: Path) -> None:
    manifest = Manifest([file(b"good", 100), file(b"bad", 100)])
    data = content(manifest)
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        store.store(0, slices(data[:150], 10))
        store.failed(1)
        assert len(parts(tmp_path)) == 1
        store.store(150, slices(data[150:], 10))
        store.ready(0)
        assert store.publish().published == 1
    assert tree(tmp_path) == {"good": data[:100]}


def test_mf05_bytes_for_a_verified_file_are_refused(tmp_path: Path) -> None:
    """What was verified is what is published: nothing may be written in between."""
    manifest = Manifest([file(b"a", 100)])
    data = content(manifest)
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        deliver(store, manifest, data)
        with pytest.raises(ValueError, match="verified"):
            store.store(0, slices(b"x" * 100, 100))
        store.publish()
    assert tree(tmp_path) == {"a": data}


def test_ready_without_content_is_our_bug(tmp_path: Path) -> None:
    with Store(tmp_path, reserve=0) as store:
        store.prepare(Manifest([file(b"a", 100), folder(b"d")]))
        with pytest.raises(ValueError, match="not a file"):
            store.ready(1)
        store.ready(0)
        with pytest.raises(ValueError, match="nothing was stored"):
            store.publish()
    assert not tree(tmp_path)


def test_a_digest_shows_what_is_on_the_disk(tmp_path: Path) -> None:
    manifest = Manifest([file(b"a", CHUNK + 5)])
    data = content(manifest)
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        store.store(0, slices(data, 1 << 16))
        assert store.digest(manifest.chunk(1)) == blake3(data[CHUNK:]).digest()
        [part] = parts(tmp_path)
        with part.open("r+b") as stream:
            stream.seek(CHUNK)
            stream.write(b"?")
        assert store.digest(manifest.chunk(1)) != blake3(data[CHUNK:]).digest()


def test_descriptors_are_bounded_and_returned(tmp_path: Path) -> None:
    before = descriptors()
    entries: list[Entry] = [folder(b"top")]
    for number in range(100):
        entries.append(folder(b"d%d" % number, 1))
        entries.append(file(b"f", 10, len(entries)))
    manifest = Manifest(entries)
    data = content(manifest)
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        deliver(store, manifest, data, run=64)
        assert descriptors() - before <= 64
        store.publish()
    assert descriptors() == before
    assert tree(tmp_path) == expected(manifest, data)


def test_abandon_returns_every_descriptor(tmp_path: Path) -> None:
    before = descriptors()
    store = Store(tmp_path, reserve=0)
    store.prepare(Manifest(ENTRIES))
    deliver(store, Manifest(ENTRIES), content(Manifest(ENTRIES)))
    store.abandon()
    store.abandon()
    assert descriptors() == before
    assert not tree(tmp_path)


def test_many_files_are_flushed_at_once(tmp_path: Path) -> None:
    entries = [folder(b"t"), *(file(b"%d" % number, 50, 1) for number in range(40))]
    report = receive(tmp_path, entries)
    assert report.published == 40
    assert all(path.stat().st_mtime_ns == TIME for path in (tmp_path / "t").iterdir())


@pytest.mark.parametrize("missing", [True, False])
def test_the_destination_must_be_a_folder(tmp_path: Path, missing: bool) -> None:
    place = tmp_path / "x"
    if not missing:
        place.write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        Store(place)
    assert "does not exist" in caught.value.message or "not a folder" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_thread_at_work_gives_its_descriptors_back_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    manifest = Manifest([file(b"a", 10), file(b"b", 10)])
    store = Store(tmp_path, reserve=0)
    store.prepare(manifest)
    store.store(0, slices(content(manifest), 10))

    def meanwhile(*_: object) -> int:
        store.abandon()
        return 0

    monkeypatch.setattr(digests, "read_span", meanwhile)
    store.digest(manifest.chunk(0))
    with pytest.raises(StorageError):
        store.digest(manifest.chunk(1))
    assert descriptors() == before
