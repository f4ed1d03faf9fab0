"""Files that are there already: skipped when they are the same, copied from when they are not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from securecp.disk.journal import Journals
from securecp.disk.settle import Conflict
from securecp.transfer.entries import CHUNK, LINK, LINK_MODE, Entry
from securecp.transfer.manifest import Manifest
from tests.disk.session import KEY, Session, transfer
from tests.disk.support import TIME, content, expected, file, folder, parts, tree

SINGLE = Manifest([file(b"a.bin", 3 * CHUNK + 5)])
TREE = Manifest(
    [
        folder(b"t"),
        file(b"one", 2 * CHUNK, 1),
        folder(b"sub", 1),
        file(b"two", 9, 3),
        folder(b"x", 1),
    ]
)
POLICIES = ("rename", "skip", "overwrite")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    place = tmp_path / "into"
    place.mkdir()
    return place


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[Journals]:
    found = Journals(tmp_path / "state", KEY)
    yield found
    found.close()


def put(into: Path, manifest: Manifest, data: bytes) -> None:
    """What an earlier transfer, or anybody, has left under these names."""
    for path, piece in expected(manifest, data).items():
        place = into / path
        if piece is None:
            place.mkdir()
        else:
            place.write_bytes(piece)


@pytest.mark.parametrize("conflict", ["rename", "overwrite"])
@pytest.mark.parametrize("journal", [True, False])
def test_an_identical_file_is_present_and_nothing_appears(
    into: Path, journals: Journals, conflict: Conflict, journal: bool
) -> None:
    data = content(SINGLE)
    put(into, SINGLE, data)
    inode = (into / "a.bin").stat().st_ino
    report, session = transfer(into, SINGLE, data, journals if journal else None, conflict=conflict)
    assert session.came == 0
    assert report.present == (0,)
    assert report.published == 1
    assert report.size == SINGLE.size
    assert not report.renamed
    assert tree(into) == expected(SINGLE, data)
    assert (into / "a.bin").stat().st_ino == inode


def test_skip_drops_what_has_the_name_without_a_look(into: Path) -> None:
    (into / "a.bin").write_bytes(b"mine")
    session = Session(into, SINGLE, content(SINGLE), None, conflict="skip")
    assert session.prepare().drops == (0,)
    assert session.finish().published == 0
    assert tree(into) == {"a.bin": b"mine"}


@pytest.mark.parametrize("conflict", ["rename", "overwrite"])
def test_only_chunks_that_differ_come(into: Path, conflict: Conflict) -> None:
    data = content(SINGLE)
    old = bytearray(data)
    old[CHUNK + 3] ^= 1
    put(into, SINGLE, bytes(old))
    report, session = transfer(into, SINGLE, data, None, conflict=conflict)
    assert session.came == CHUNK
    assert report.published == 1
    assert not report.present
    if conflict == "rename":
        assert tree(into) == {"a.bin": bytes(old), "a (1).bin": data}
    else:
        assert tree(into) == {"a.bin": data}


def test_a_shorter_file_is_a_beginning(into: Path) -> None:
    data = content(SINGLE)
    (into / "a.bin").write_bytes(data[: CHUNK + 10])
    _, session = transfer(into, SINGLE, data, None, conflict="overwrite")
    assert session.came == SINGLE.size - CHUNK
    assert tree(into) == {"a.bin": data}


def test_a_longer_file_is_cut(into: Path) -> None:
    data = content(SINGLE)
    (into / "a.bin").write_bytes(data + b"more")
    report, session = transfer(into, SINGLE, data, None, conflict="overwrite")
    assert session.came == 0
    assert not report.present
    assert tree(into) == {"a.bin": data}


def test_a_file_that_changes_after_it_was_compared_is_never_mixed(into: Path) -> None:
    data = content(SINGLE)
    old = bytearray(data)
    old[3 * CHUNK] ^= 1
    put(into, SINGLE, bytes(old))
    session = Session(into, SINGLE, data, None)
    session.prepare()
    session.run()
    with (into / "a.bin").open("r+b") as stream:
        stream.write(b"edited")
    report = session.store.publish()
    assert [entry for entry, _ in report.failed] == [0]
    assert report.published == 0
    assert not parts(into)
    assert list(tree(into)) == ["a.bin"]


def test_an_identical_file_that_changes_before_the_end_is_not_called_present(into: Path) -> None:
    data = content(SINGLE)
    put(into, SINGLE, data)
    session = Session(into, SINGLE, data, None)
    session.prepare()
    session.run()
    with (into / "a.bin").open("r+b") as stream:
        stream.write(b"edited")
    report = session.store.publish()
    assert not report.present
    assert [entry for entry, _ in report.failed] == [0]


def test_mf16_a_link_under_the_name_is_not_read(into: Path, tmp_path: Path) -> None:
    data = content(SINGLE)
    (tmp_path / "secret").write_bytes(data)
    (into / "a.bin").symlink_to(tmp_path / "secret")
    session = Session(into, SINGLE, data, None)
    assert not session.prepare().chunks
    session.store.abandon()


def test_a_whole_tree_that_is_there_counts_as_present(into: Path) -> None:
    data = content(TREE)
    put(into, TREE, data)
    report, session = transfer(into, TREE, data, None)
    assert session.came == 0
    assert set(report.present) == {1, 3}
    assert not report.renamed
    assert tree(into) == expected(TREE, data)
    assert not parts(into)


@pytest.mark.parametrize("what", ["file", "folder", "content"])
def test_a_tree_that_lacks_something_gets_a_name_of_its_own(into: Path, what: str) -> None:
    data = content(TREE)
    put(into, TREE, data)
    came = 0
    match what:
        case "file":
            (into / "t" / "sub" / "two").unlink()
            came = 9
        case "folder":
            (into / "t" / "x").rmdir()
        case "content":
            (into / "t" / "sub" / "two").write_bytes(b"different")
            came = 9
    before = tree(into)
    report, session = transfer(into, TREE, data, None)
    assert session.came == came
    assert not report.present
    assert report.renamed == ((0, b"t (1)"),)
    fresh = {path.replace("t", "t (1)", 1): value for path, value in expected(TREE, data).items()}
    assert tree(into) == dict(sorted({**before, **fresh}.items()))


def test_merged_trees_take_only_what_differs(into: Path) -> None:
    data = content(TREE)
    put(into, TREE, data)
    (into / "t" / "sub" / "two").write_bytes(b"different")
    report, session = transfer(into, TREE, data, None, conflict="overwrite")
    assert session.came == 9
    assert report.present == (1,)
    assert report.published == 2
    assert tree(into) == expected(TREE, data)


def test_a_cut_off_delta_goes_on(into: Path, journals: Journals) -> None:
    data = content(SINGLE)
    old = bytearray(data)
    old[3] ^= 1
    old[2 * CHUNK] ^= 1
    put(into, SINGLE, bytes(old))
    first = Session(into, SINGLE, data, journals)
    first.prepare()
    first.run([0, 1])
    assert first.came == CHUNK
    first.store.suspend()
    report, second = transfer(into, SINGLE, data, journals)
    assert second.came == CHUNK
    assert report.renamed == ((0, b"a (1).bin"),)
    assert tree(into) == {"a.bin": bytes(old), "a (1).bin": data}


def test_without_a_journal_a_tree_that_arrived_is_known_by_its_content(
    into: Path, tmp_path: Path
) -> None:
    """F-50: the state folder is lost after everything was published."""
    data = content(TREE)
    one, two = Journals(tmp_path / "1", KEY), Journals(tmp_path / "2", KEY)
    transfer(into, TREE, data, one)
    _, session = transfer(into, TREE, data, two)
    assert session.came == 0
    assert tree(into) == expected(TREE, data)


def link(name: bytes, target: bytes, parent: int = 0) -> Entry:
    return Entry(LINK, parent, name, 0, LINK_MODE, TIME, target)


LINKED = Manifest(
    [
        folder(b"t"),
        file(b"f", 10, 1),
        link(b"good", b"f", 1),
        folder(b"d", 1),
        link(b"up", b"../f", 4),
    ]
)


def test_fs02_links_are_made_last_and_only_on_request(into: Path) -> None:
    data = content(LINKED)
    session = Session(into, LINKED, data, None)
    assert session.prepare().drops == (2, 4)
    session.run()
    assert session.finish().links == 0
    assert not any((path.is_symlink()) for path in into.rglob("*"))


def test_fs02_links_are_made_when_wanted(into: Path) -> None:
    data = content(LINKED)
    session = Session(into, LINKED, data, None, symlinks=True)
    assert not session.prepare().drops
    session.run()
    report = session.finish()
    assert report.links == 2
    assert not report.failed
    assert str((into / "t" / "good").readlink()) == "f"
    assert (into / "t" / "d" / "up").read_bytes() == data


def test_fs02_a_link_that_failed_at_the_sender_is_not_made(into: Path) -> None:
    session = Session(into, LINKED, content(LINKED), None, symlinks=True)
    session.prepare()
    session.fail(2)
    session.run()
    assert session.finish().links == 1
    assert not (into / "t" / "good").is_symlink()


def test_fs02_links_of_a_tree_that_is_there_count_too(into: Path, journals: Journals) -> None:
    data = content(LINKED)
    transfer(into, LINKED, data, None, symlinks=True)
    before = tree(into)
    report, session = transfer(into, LINKED, data, journals, symlinks=True)
    assert session.came == 0
    assert report.links == 2
    assert tree(into) == before
    (into / "t" / "good").unlink()
    report, _ = transfer(into, LINKED, data, journals, symlinks=True)
    assert report.renamed == ((0, b"t (1)"),)
