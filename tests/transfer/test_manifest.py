"""The manifest: content space, chunks, pages, limits, and what is refused while it is parsed."""

import tracemalloc
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from securecp import codec
from securecp.errors import ProtocolError
from securecp.transfer import entries
from securecp.transfer.manifest import CHUNK, PAGE_LIMIT, Entry, Manifest, ManifestReader
from tests.transfer.pair import file, folder, small_chunks

MANIFESTS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 0, 1, 7, 8, 9, 40])), max_size=12
)


def tree(shape: list[tuple[int, int]]) -> list[Entry]:
    """Files of these sizes; 3 means a folder, others say which of the latest folders is parent."""
    result: list[Entry] = []
    folders = [0]
    for number, (what, size) in enumerate(shape):
        parent = folders[-1 - what % len(folders)]
        if what == 3:
            result.append(folder(f"{number}", parent))
            folders.append(len(result))
        else:
            result.append(file(f"{number}", size, parent))
    return result


def read(pages: list[bytes]) -> Manifest:
    reader = ManifestReader()
    for page in pages:
        reader.page(page)
    return reader.finish()


@given(MANIFESTS)
def test_content_space_is_the_files_end_to_end(shape: list[tuple[int, int]]) -> None:
    manifest = Manifest(tree(shape))
    assert list(manifest.entries) == tree(shape)
    owners = [n for n, entry in enumerate(manifest.entries) for _ in range(entry.size)]
    assert manifest.size == len(owners)
    assert [manifest.locate(offset) for offset in range(manifest.size)] == owners
    for index, entry in enumerate(manifest.entries):
        assert manifest.offset(index) == sum(e.size for e in manifest.entries[:index])
        assert manifest.path(index)[-1] == entry.name
        if entry.parent:
            assert manifest.path(index)[:-1] == manifest.path(entry.parent - 1)
    for outside in (-1, manifest.size, 2**63):
        with pytest.raises(IndexError):
            manifest.locate(outside)


@given(MANIFESTS)
def test_chunks_tile_every_file(shape: list[tuple[int, int]]) -> None:
    with small_chunks(8):
        manifest = Manifest(tree(shape))
        chunks = [manifest.chunk(number) for number in range(manifest.chunk_count)]
        assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
        position = 0
        for chunk in chunks:
            assert chunk.offset == position == manifest.offset(chunk.entry) + chunk.start
            assert 0 < chunk.length <= 8 and chunk.start % 8 == 0
            assert chunk.number in manifest.chunks(chunk.entry)
            for offset in (chunk.offset, chunk.offset + chunk.length - 1):
                assert manifest.chunk_at(offset) == chunk
            position += chunk.length
        assert position == manifest.size
        for outside in (-1, len(chunks)):
            with pytest.raises(IndexError):
                manifest.chunk(outside)


def test_a_chunk_is_a_mebibyte() -> None:
    manifest = Manifest([file("a", 0), file("b", CHUNK + 1), file("c", 2**62)])
    assert CHUNK == 1 << 20
    assert manifest.chunk(1) == (1, 1, CHUNK, 1, CHUNK)
    assert manifest.chunks(2) == range(2, 2 + 2**42)
    assert manifest.chunk(1 + 2**42).offset == CHUNK + 1 + 2**62 - CHUNK


@given(MANIFESTS)
def test_pages_carry_the_manifest(shape: list[tuple[int, int]]) -> None:
    manifest = Manifest(tree(shape))
    pages = list(manifest.pages())
    received = read(pages)
    assert list(received.entries) == list(manifest.entries)
    assert received.digest == manifest.digest == blake3(b"".join(pages)).digest()
    assert received.page_count == manifest.page_count == len(pages)
    assert (received.files, received.size) == (manifest.files, manifest.size)


def test_pages_stay_below_their_limit() -> None:
    long = [file(f"{number:0250}", number, 0) for number in range(1_000)]
    pages = list(Manifest(long).pages())
    assert len(pages) == 5 and max(map(len, pages)) <= PAGE_LIMIT
    assert list(read(pages).entries) == long


def page(*rows: Any, number: int = 0) -> bytes:
    return codec.encode([2, number, [row_of(row) for row in rows]])


def row_of(entry: Any) -> list[Any]:
    """An entry as it stands in a page; what is no `Entry` stays as it is."""
    return list(entry[:6] if isinstance(entry, Entry) and not entry.target else entry)


BAD_ENTRIES = {
    "fs03 a hard link": (2, 0, b"a", 0, 0, 0),
    "fs03 a symbolic link": (3, 0, b"a", 0, 0, 0),
    "fs03 a device": (255, 0, b"a", 0, 0, 0),
    "fs03 a negative kind": (-1, 0, b"a", 0, 0, 0),
    "fs03 a link with a target": (2, 0, b"a", 0, 0, 0, b"/etc/passwd"),
    "dg12 a field is missing": (0, 0, b"a", 0, 0),
    "dg12 a field too many": (0, 0, b"a", 0, 0, 0, 0),
    "dg12 a bool for the kind": (False, 0, b"a", 0, 0, 0),
    "dg12 text for the name": (0, 0, "a", 0, 0, 0),
    "dg12 a list for the name": (0, 0, [b"a", b"b"], 0, 0, 0),
    "dg12 nil for the size": (0, 0, b"a", None, 0, 0),
    "mf04 a negative size": (0, 0, b"a", -1, 0, 0),
    "mf04 a size of 2^63": (0, 0, b"a", 2**63, 0, 0),
    "mf04 a size of 2^64 - 1": (0, 0, b"a", 2**64 - 1, 0, 0),
    "a directory with a size": (1, 0, b"a", 1, 0, 0),
    "a parent that is itself": (1, 1, b"a", 0, 0, 0),
    "a parent to come": (0, 2, b"a", 0, 0, 0),
    "a negative parent": (0, -1, b"a", 0, 0, 0),
    "a parent of 2^64 - 1": (0, 2**64 - 1, b"a", 0, 0, 0),
    "mf17 a mode with more bits": (0, 0, b"a", 0, 0o10000, 0),
    "mf17 a negative mode": (0, 0, b"a", 0, -1, 0),
    "mf19 a flag to unpack": (0, 0, b"a", 0, 0, 0, {"unpack": True}),
    "not even an array": b"abcdef",
}


@pytest.mark.parametrize("row", BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_bad_entries_refuse_the_whole_offer(row: Any) -> None:
    reader = ManifestReader()
    rows = [row_of(file("good", 1)), row if isinstance(row, bytes) else list(row)]
    with pytest.raises(ProtocolError):
        reader.page(codec.encode([2, 0, rows]))


def test_a_file_is_no_parent() -> None:
    with pytest.raises(ProtocolError):
        ManifestReader().page(page(file("a", 1), file("b", 1, 1)))


def test_mf04_the_sum_of_sizes_is_below_2_to_63() -> None:
    half = 2**62
    assert Manifest([file("a", half), file("b", half - 1)]).size == 2**63 - 1
    with pytest.raises(ProtocolError, match="sum"):
        ManifestReader().page(page(file("a", half), file("b", half)))


def test_mf04_a_huge_offer_costs_nothing_before_consent() -> None:
    tracemalloc.start()
    manifest = read([page(file("a", 2**63 - 1))])
    assert manifest.chunk_count == 2**43
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_mf18_any_time_is_kept_or_clamped() -> None:
    for time, kept in ((-(2**63), -(2**63)), (2**63 - 1, 2**63 - 1), (2**64 - 1, 2**63 - 1)):
        manifest = read([page(Entry(0, 0, b"a", 0, 0, time))])
        assert manifest.entries[0].mtime_ns == kept


def test_fs10_one_name_twice_in_a_folder_is_refused() -> None:
    Manifest([folder("d"), file("a", 1), file("a", 1, 1)])
    for twice in (
        [file("a", 1), file("a", 2)],
        [file("a", 1), folder("a")],
        [folder("d"), file("a", 1, 1), file("b", 1, 1), file("a", 1, 1)],
    ):
        with pytest.raises(ProtocolError, match="one name"):
            ManifestReader().page(page(*twice))


def test_fs11_long_components_are_refused_by_name() -> None:
    Manifest([file("n" * 255, 1)])
    with pytest.raises(ProtocolError, match="nnnn"):
        ManifestReader().page(page(file("n" * 256, 1)))


def nested(depth: int, length: int) -> list[Entry]:
    return [folder(f"{level:0{length}}", level) for level in range(depth)]


def test_fs11_deep_paths_are_refused() -> None:
    assert len(Manifest(nested(64, 2)).path(63)) == 64
    with pytest.raises(ProtocolError, match="deep"):
        ManifestReader().page(page(*nested(65, 2)))


def test_fs11_long_paths_are_refused() -> None:
    longest = nested(16, 255)
    assert len(b"/".join(Manifest(longest).path(15))) == 4_095
    Manifest([*nested(15, 255), folder("x" * 255, 15)])
    with pytest.raises(ProtocolError, match="long"):
        ManifestReader().page(page(*longest, file("", 1, 16)._replace(name=b"xx")))
    exact = [*nested(15, 255), file("y" * 255, 1, 15)]
    assert len(b"/".join(Manifest(exact).path(15))) == 4_095


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(codec.encode([2, 0, []]), id="empty"),
        pytest.param(codec.encode([2, 1, [row_of(file("a", 1))]]), id="not the next"),
        pytest.param(codec.encode([2, True, [row_of(file("a", 1))]]), id="a bool"),
        pytest.param(codec.encode([2, 0, [row_of(file("a", 1))], 0]), id="a field too many"),
        pytest.param(codec.encode([3, 0, [row_of(file("a", 1))]]), id="another type"),
        pytest.param(codec.encode([2, 0]), id="a field is missing"),
        pytest.param(codec.encode({2: 0}), id="a map"),
        pytest.param(b"\x93\x02", id="cut short"),
        pytest.param(codec.encode([2, 0, [row_of(file("a", 1))]]) + b"\0", id="more after it"),
    ],
)
def test_pages_have_one_form(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        ManifestReader().page(raw)


def test_mf02_the_digest_is_over_the_pages_as_sent() -> None:
    one = read([page(file("a", 1), file("b", 1))])
    two = read([page(file("a", 1)), page(file("b", 1), number=1)])
    assert list(one.entries) == list(two.entries)
    assert one.digest != two.digest


def test_mf03_entries_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "ENTRY_LIMIT", 3)
    Manifest([file(f"{number}", 1) for number in range(3)])
    with pytest.raises(ProtocolError, match="more than 3"):
        ManifestReader().page(page(*(file(f"{number}", 1) for number in range(4))))


def test_mf03_a_million_entries_in_one_folder_would_stay_small() -> None:
    pages = list(Manifest(file(f"{number:08}.txt", 1) for number in range(10_000)).pages())
    tracemalloc.start()
    manifest = read(pages)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert manifest.files == 10_000
    assert kept < 10_000 * 70
    assert peak < 4 << 20  # a page being read, and the names of the folder


def test_nothing_can_be_added_to_a_manifest() -> None:
    columns = entries.Entries()
    columns.add(file("a", 1))
    Manifest(columns)
    with pytest.raises(ValueError, match="complete"):
        columns.add(file("b", 1))


def test_entries_are_a_sequence() -> None:
    manifest = Manifest([file("a", 1), file("b", 2)])
    assert manifest.entries[-1] == file("b", 2)
    assert manifest.entries[0:2] == [file("a", 1), file("b", 2)]
    assert len(manifest.entries) == 2
    for outside in (2, -3):
        with pytest.raises(IndexError):
            manifest.entries[outside]
