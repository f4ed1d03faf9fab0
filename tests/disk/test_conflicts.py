"""Names that are taken when a file is published: nothing is replaced unless the user said so."""

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.disk import Store, at, settle
from securecp.disk.journal import Journals
from securecp.disk.names import numbered
from securecp.transfer.manifest import Entry, Manifest
from tests.disk.support import (
    content,
    deliver,
    expected,
    file,
    folder,
    parts,
    receive,
    slices,
    tree,
)

TREE = [folder(b"t"), file(b"a.txt", 10, 1), folder(b"sub", 1), file(b"b.txt", 20, 3)]


def test_fs09_a_taken_name_is_never_replaced_by_default(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"mine")
    (tmp_path / "a (1).txt").write_bytes(b"mine too")
    report = receive(tmp_path, [file(b"a.txt", 10)])
    data = content(Manifest([file(b"a.txt", 10)]))
    assert tree(tmp_path) == {"a.txt": b"mine", "a (1).txt": b"mine too", "a (2).txt": data}
    assert report.renamed == ((0, b"a (2).txt"),)
    assert report.published == 1


def test_fs09_skip_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"mine")
    report = receive(tmp_path, [file(b"a.txt", 10)], conflict="skip")
    assert tree(tmp_path) == {"a.txt": b"mine"}
    assert report.skipped == (0,)
    assert report.published == 0


def test_fs09_overwrite_replaces_the_name_and_not_what_a_link_leads_to(tmp_path: Path) -> None:
    into, outside = tmp_path / "into", tmp_path / "outside"
    into.mkdir()
    outside.write_bytes(b"precious")
    (into / "a.txt").symlink_to(outside)
    (into / "b.txt").write_bytes(b"old")
    entries = [file(b"a.txt", 10), file(b"b.txt", 5)]
    report = receive(into, entries, conflict="overwrite")
    manifest = Manifest(entries)
    assert tree(into) == expected(manifest, content(manifest))
    assert outside.read_bytes() == b"precious"
    assert report.published == 2


def test_fs09_overwrite_never_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    report = receive(tmp_path, [file(b"a", 10)], conflict="overwrite")
    assert report.renamed == ((0, b"a (1)"),)
    assert (tmp_path / "a").is_dir()


@pytest.mark.parametrize("conflict", ["rename", "skip"])
def test_fs06_a_fifo_or_link_under_the_name_stays(tmp_path: Path, conflict: str) -> None:
    into, outside = tmp_path / "into", tmp_path / "outside"
    into.mkdir()
    os.mkfifo(into / "fifo")
    (into / "link").symlink_to(outside)
    receive(into, [file(b"fifo", 10), file(b"link", 10)], conflict=conflict)
    assert stat.S_ISFIFO((into / "fifo").lstat().st_mode)
    assert (into / "link").is_symlink()
    assert not outside.exists()
    assert (into / "fifo (1)").exists() == (conflict == "rename")


def test_fs09_a_taken_folder_name_is_numbered_and_its_tree_untouched(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.txt").write_bytes(b"mine")
    report = receive(tmp_path, TREE)
    manifest = Manifest(TREE)
    want = {
        key.replace("t", "t (1)", 1) if key[0] == "t" else key: value
        for key, value in expected(manifest, content(manifest)).items()
    }
    assert tree(tmp_path) == dict(sorted({"t": None, "t/a.txt": b"mine", **want}.items()))
    assert report.renamed == ((0, b"t (1)"),)


@pytest.mark.parametrize("conflict", ["skip", "overwrite"])
def test_fs09_folders_are_merged_on_request(tmp_path: Path, conflict: str) -> None:
    (tmp_path / "t").mkdir(mode=0o750)
    (tmp_path / "t").chmod(0o750)
    (tmp_path / "t" / "a.txt").write_bytes(b"mine")
    (tmp_path / "t" / "c.txt").write_bytes(b"stays")
    report = receive(tmp_path, TREE, conflict=conflict)
    data = content(Manifest(TREE))
    first = b"mine" if conflict == "skip" else data[:10]
    want = {
        "t": None,
        "t/a.txt": first,
        "t/c.txt": b"stays",
        "t/sub": None,
        "t/sub/b.txt": data[10:],
    }
    assert tree(tmp_path) == want
    assert stat.S_IMODE((tmp_path / "t").stat().st_mode) == 0o750
    assert report.skipped == ((1,) if conflict == "skip" else ())


@pytest.mark.parametrize("conflict", ["skip", "overwrite"])
def test_fs04_a_link_is_not_merged_into(tmp_path: Path, conflict: str) -> None:
    into, outside = tmp_path / "into", tmp_path / "outside"
    into.mkdir()
    outside.mkdir()
    (into / "t").symlink_to(outside)
    report = receive(into, TREE, conflict=conflict)
    assert not list(outside.iterdir())
    assert report.renamed == ((0, b"t (1)"),)
    assert (into / "t").is_symlink()


def test_fs15_names_that_are_taken_during_the_transfer(tmp_path: Path) -> None:
    manifest = Manifest([*TREE, file(b"x", 4)])
    data = content(manifest)
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        deliver(store, manifest, data)
        (tmp_path / "t").mkdir()
        (tmp_path / "x").write_bytes(b"mine")
        report = store.publish()
    assert set(report.renamed) == {(0, b"t (1)"), (4, b"x (1)")}
    assert not list((tmp_path / "t").iterdir())
    assert (tmp_path / "x").read_bytes() == b"mine"


def test_nothing_is_seen_of_a_tree_before_it_is_published(tmp_path: Path) -> None:
    manifest = Manifest(TREE)
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        deliver(store, manifest, content(manifest))
        assert not (tmp_path / "t").exists()
        store.publish()
    assert not parts(tmp_path)


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_fs18_without_hard_links_nothing_is_replaced_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def link(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(at, "link", link)
    (tmp_path / "a.txt").write_bytes(b"mine")
    entries = [file(b"a.txt", 10), file(b"b.txt", 20)]
    report = receive(tmp_path, entries)
    data = content(Manifest(entries))
    want = {"a.txt": b"mine", "a (1).txt": data[:10], "b.txt": data[10:]}
    assert tree(tmp_path) == dict(sorted(want.items()))
    assert report.published == 2


def test_fs18_a_placeholder_that_was_exchanged_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    create = at.create

    def exchanged(parent: int, name: bytes) -> int:
        descriptor = create(parent, name)
        if name == b"a":
            (tmp_path / "a").unlink()
            (tmp_path / "other").write_bytes(b"theirs")
            (tmp_path / "other").rename(tmp_path / "a")
        return descriptor

    entries: list[Entry] = [file(b"a", 10)]
    manifest = Manifest(entries)
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        deliver(store, manifest, content(manifest))
        monkeypatch.setattr(at, "link", link)
        monkeypatch.setattr(at, "create", exchanged)
        report = store.publish()
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert report.renamed == ((0, b"a (1)"),)


def test_a_file_that_cannot_be_published_is_reported_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = at.link

    def link(parent: int, name: bytes, new: bytes) -> None:
        if new == b"a":
            raise OSError(errno.ENOSPC, "full")
        whole(parent, name, new)

    monkeypatch.setattr(at, "link", link)
    report = receive(tmp_path, [file(b"a", 10), file(b"b", 10)])
    assert report.failed == ((0, "the disk is full"),)
    assert report.published == 1
    assert list(tree(tmp_path)) == ["b"]


def test_a_part_that_was_exchanged_is_not_published(tmp_path: Path) -> None:
    """FS-04: what was verified is published, not what stands under the part's name."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    into = tmp_path / "into"
    into.mkdir()
    manifest = Manifest([file(b"a", 10), file(b"b", 10), file(b"c", 10)])
    with Store(into, reserve=0) as store:
        store.prepare(manifest)
        deliver(store, manifest, content(manifest))
        inodes = {path.stat().st_ino: path for path in parts(into)}
        first, second, _ = (inodes[number] for number in sorted(inodes))
        first.unlink()
        first.symlink_to(secret)
        second.unlink()
        second.write_bytes(b"theirs....")
        report = store.publish()
    assert report.published == 1
    assert len(report.failed) == 2
    assert stat.S_IMODE(secret.stat().st_mode) == 0o644
    # FS-17: what is not ours is not removed either.
    assert first.is_symlink()
    assert second.read_bytes() == b"theirs...."


@pytest.mark.parametrize(
    ("name", "want"),
    [
        (b"a.txt", b"a (3).txt"),
        (b"a", b"a (3)"),
        (b".bashrc", b".bashrc (3)"),
        (b"a.tar.gz", b"a (3).tar.gz"),
        (b"a.b.c", b"a.b (3).c"),
        (b"v1. final draft", b"v1. final draft (3)"),
        (b"\xff\xfe.x", b"\xff\xfe (3).x"),
        ("é".encode() * 127 + b".x", "é".encode() * 124 + b" (3).x"),
    ],
)
def test_numbered_names(name: bytes, want: bytes) -> None:
    assert numbered(name, 3) == want


@given(
    st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name), st.integers(1, 9999)
)
def test_numbered_names_fit_and_differ(name: bytes, number: int) -> None:
    other = numbered(name, number)
    assert len(other) <= 255
    assert other != name
    assert b"/" not in other


def test_names_run_out_with_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settle, "_TRIES", 3)
    for name in ("a", "a (1)", "a (2)"):
        (tmp_path / name).mkdir()
    report = receive(tmp_path, [file(b"a", 10)])
    assert report.published == 0
    assert len(report.failed) == 1
    assert not parts(tmp_path)


def test_mf22_two_transfers_to_one_name(tmp_path: Path) -> None:
    manifest = Manifest(TREE)
    with Store(tmp_path, reserve=0) as one, Store(tmp_path, reserve=0) as two:
        for store in (one, two):
            store.prepare(manifest)
        one.store(0, slices(content(manifest, 1), 30))
        two.store(0, slices(content(manifest, 2), 30))
        for store in (one, two):
            store.ready(1)
            store.ready(3)
        assert not one.publish().renamed
        assert two.publish().renamed == ((0, b"t (1)"),)
    assert (tmp_path / "t" / "a.txt").read_bytes() == content(manifest, 1)[:10]
    assert (tmp_path / "t (1)" / "a.txt").read_bytes() == content(manifest, 2)[:10]


def test_mf22_the_same_offer_of_two_people_at_once(tmp_path: Path) -> None:
    """Each peer has a journal and parts of its own; the second finds the first one's files."""
    into = tmp_path / "into"
    into.mkdir()
    manifest = Manifest(TREE)
    data = content(manifest)
    journals = Journals(tmp_path / "state", bytes(32))
    one = Store(into, reserve=0, journals=journals, peer=b"1" * 32)
    two = Store(into, reserve=0, journals=journals, peer=b"2" * 32)
    for store in (one, two):
        store.prepare(manifest)
        deliver(store, manifest, data)
    assert one.publish().published == 2
    assert two.publish().renamed == ((0, b"t (1)"),)
    assert tree(into)["t/a.txt"] == tree(into)["t (1)/a.txt"]
    journals.close()
