"""Symbolic links of an offer: which may be made, under which name, and where they may lead."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.disk import links
from securecp.disk.calls import at
from securecp.disk.descent import Descent, Place
from securecp.disk.links import LinkReport, make_all, problem
from securecp.disk.names import PartNames
from securecp.transfer.entries import LINK, Entries, Entry
from tests.disk.support import TIME, descriptors, file, folder, parts

TOPS = {b"t", b"other"}


def link(name: bytes, target: bytes, parent: int = 0) -> Entry:
    return Entry(LINK, parent, name, 0, 0o777, TIME, target)


def made(into: Path, entries: list[Entry], conflict: str = "rename") -> LinkReport:
    """Make the links of an offer whose directories are there."""
    columns = Entries()
    for entry in entries:
        columns.add(entry)
    root = at.pin(os.fsencode(into))
    places: dict[int, Place] = {}
    walk = Descent(places, 8, pinned=root)
    for key, entry in enumerate(entries, 1):
        if entry.kind == 1:
            found = at.open_directory(walk.take(entry.parent), entry.name)
            places[key] = Place(entry.parent, entry.name, at.identity(found))
            at.close(found)
    try:
        return make_all(columns, walk, PartNames(), conflict)  # type: ignore[arg-type]
    finally:
        walk.close()
        at.close(root)


# targets


@pytest.mark.parametrize(
    ("depth", "target"),
    [
        (1, b"t"),
        (1, b"t/deep/er"),
        (1, b"./t"),
        (2, b"sibling"),
        (2, b"./lib.so.1"),
        (2, b"."),
        (3, b".."),
        (3, b"../a"),
        (4, b"../../a"),
        (2, b"../other/x"),
        (2, b"../t/x"),
        (2, b"caf\xc3\xa9"),
        (2, b"\xff\xfe"),
        (2, b"a b"),
        (2, b"-rf"),
    ],
)
def test_links_inside_may_be_made(depth: int, target: bytes) -> None:
    assert problem(target, depth, TOPS) == ""


@pytest.mark.parametrize(
    ("depth", "target"),
    [
        (1, b""),
        (2, b"a" * 4_097),
        (2, b"/etc/passwd"),
        (2, b"//x"),
        (1, b"."),
        (1, b".."),
        (1, b"../t"),
        (1, b"mail"),  # there before us, or to come: not of this offer
        (2, b".."),
        (2, b"../mail"),
        (2, b"../../t/x"),
        (3, b"../../mail"),
        (3, b"a/../../.."),
        (3, b"up/../x"),  # `up` may be a link to a higher folder
        (9, b"a/.."),
        (2, b"a//b"),
        (2, b"a/"),
        (2, b"a\0b"),
        (2, b"a\nb"),
        (2, b"a\x1b[31m"),
        (2, b"a\x7f"),
        (2, b"a\xc2\x9bb"),
        (2, b"..\\..\\x"),
        (2, b"a/" + b"x" * 256),
        (2, b".securecp-0123456789abcdef.part"),
    ],
)
def test_fs02_links_that_could_leave_are_refused(depth: int, target: bytes) -> None:
    assert problem(target, depth, TOPS)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.lists(
                st.sampled_from([b"..", b".", b"l0", b"l1", b"l2", b"l3", b"d"]),
                min_size=1,
                max_size=4,
            ),
        ),
        max_size=4,
    )
)
def test_fs02_no_set_of_links_that_pass_leads_out_of_the_offer(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[int, list[bytes]]]
) -> None:
    """Followed by the operating system, not as text: links through links included."""
    root = tmp_path_factory.mktemp("r").resolve()
    into = root / "into"
    places = [into, into / "t", into / "t/d", into / "t/d/d"]
    places[3].mkdir(parents=True)
    (into / "mail").mkdir()
    for number, (depth, target) in enumerate(wanted):
        joined = b"/".join(target)
        if not problem(joined, depth + 1, {b"t", b"l0", b"l1", b"l2", b"l3"}):
            (places[depth] / f"l{number}").symlink_to(os.fsdecode(joined))
    for place in places:
        for name in place.glob("l*"):
            try:
                leads_to = name.resolve(strict=True)
            except (OSError, RuntimeError):
                continue  # nowhere, or round and round
            assert leads_to.is_relative_to(into)
            assert leads_to != into
            assert leads_to != into / "mail"


# making


def test_links_are_made_with_their_targets_and_times(tmp_path: Path) -> None:
    (tmp_path / "t/sub").mkdir(parents=True)
    report = made(
        tmp_path,
        [
            folder(b"t"),
            folder(b"sub", 1),
            link(b"l", b"../file", 2),
            link(b"dangling", b"t/nothing"),
            file(b"f", 3, 1),
        ],
    )
    assert report == LinkReport(made=2)
    assert (tmp_path / "t/sub/l").readlink() == Path("../file")
    assert (tmp_path / "dangling").readlink() == Path("t/nothing")
    assert (tmp_path / "dangling").lstat().st_mtime_ns == TIME


def test_a_link_that_is_there_already_is_present(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "l").symlink_to("t/a")
    before = (tmp_path / "l").lstat().st_ino
    for conflict in ("rename", "skip", "overwrite"):
        report = made(tmp_path, [folder(b"t"), link(b"l", b"t/a")], conflict)
        assert report == LinkReport(present=(1,))
    assert (tmp_path / "l").lstat().st_ino == before


@pytest.mark.parametrize("there", ["file", "link", "directory", "fifo"])
def test_fs09_a_taken_name_is_numbered_or_skipped(tmp_path: Path, there: str) -> None:
    (tmp_path / "t").mkdir()
    take(tmp_path / "l", there)
    before = tree_without_fifo(tmp_path)
    report = made(tmp_path, [folder(b"t"), link(b"l", b"t/a")], "skip")
    assert report == LinkReport(skipped=(1,))
    assert tree_without_fifo(tmp_path) == before
    report = made(tmp_path, [folder(b"t"), link(b"l", b"t/a")], "rename")
    assert report == LinkReport(made=1, renamed=((1, b"l (1)"),))
    assert tree_without_fifo(tmp_path) == dict(sorted({**before, "l (1)": ("link", "t/a")}.items()))


@pytest.mark.parametrize("there", ["file", "link"])
def test_overwrite_replaces_a_file_or_a_link_and_not_what_it_leads_to(
    tmp_path: Path, there: str
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    take(tmp_path / "l", there)
    report = made(tmp_path, [folder(b"t"), link(b"l", b"t/a")], "overwrite")
    assert report == LinkReport(made=1)
    assert (tmp_path / "l").readlink() == Path("t/a")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not parts(tmp_path)


@pytest.mark.parametrize("there", ["directory", "fifo"])
def test_overwrite_replaces_nothing_else(tmp_path: Path, there: str) -> None:
    (tmp_path / "t").mkdir()
    take(tmp_path / "l", there)
    before = (tmp_path / "l").lstat()
    report = made(tmp_path, [folder(b"t"), link(b"l", b"t/a")], "overwrite")
    assert report == LinkReport(made=1, renamed=((1, b"l (1)"),))
    assert (tmp_path / "l").lstat().st_ino == before.st_ino
    assert not parts(tmp_path)


@pytest.mark.parametrize("empty", [True, False])
def test_fs15_a_directory_that_comes_in_between_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty: bool
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "l").write_bytes(b"old")
    real = at.status

    def swap(parent: int, name: bytes) -> os.stat_result:
        found = real(parent, name)
        (tmp_path / "l").unlink()
        (tmp_path / "l").mkdir()
        if not empty:
            (tmp_path / "l/mine").touch()
        return found

    monkeypatch.setattr(at, "status", swap)
    report = made(tmp_path, [folder(b"t"), link(b"l", b"t/a")], "overwrite")
    assert report.renamed == ((1, b"l (1)"),)
    assert (tmp_path / "l").is_dir()
    assert not parts(tmp_path)


def test_fs04_a_directory_swapped_for_a_link_gets_nothing(tmp_path: Path) -> None:
    outside, into = tmp_path / "outside", tmp_path / "into"
    outside.mkdir()
    (into / "t").mkdir(parents=True)
    columns = Entries()
    for entry in (folder(b"t"), link(b"l", b"a", 1)):
        columns.add(entry)
    root = at.pin(os.fsencode(into))
    found = at.open_directory(root, b"t")
    walk = Descent({1: Place(0, b"t", at.identity(found))}, 8, pinned=root)
    at.close(found)
    (into / "t").rename(into / "moved")
    (into / "t").symlink_to(outside)
    report = make_all(columns, walk, PartNames(), "rename")
    assert [entry for entry, _ in report.failed] == [1]
    assert not list(outside.iterdir())
    assert not list((into / "moved").iterdir())
    walk.close()
    at.close(root)


def test_a_bad_target_that_came_through_is_reported_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("securecp.transfer.links.problem", lambda *_: None)
    (tmp_path / "t").mkdir()
    report = made(tmp_path, [folder(b"t"), link(b"bad", b"/etc/passwd", 1), link(b"good", b"x", 1)])
    assert report.made == 1
    assert [entry for entry, _ in report.failed] == [1]
    assert os.listdir(tmp_path / "t") == ["good"]


def test_many_links_leave_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    before = descriptors()
    made(tmp_path, [folder(b"t"), *(link(b"l%d" % number, b"x", 1) for number in range(500))])
    assert descriptors() == before
    assert len(list((tmp_path / "t").iterdir())) == 500


def test_names_that_are_too_long_for_the_system_fail_alone(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    long = b"/".join([b"x" * 250] * 16) + b"/" + b"y" * 80
    assert len(long) == 4_096
    report = made(tmp_path, [folder(b"t"), link(b"a", long, 1), link(b"b", b"x", 1)])
    assert report.made == 1
    assert [entry for entry, _ in report.failed] == [1]


def take(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_bytes(b"old")
    elif kind == "link":
        path.symlink_to("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)


def tree_without_fifo(root: Path) -> dict[str, object]:
    """As `tree`, but it opens nothing."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        shown: object = stat.S_IFMT(status.st_mode)
        if path.is_symlink():
            shown = ("link", str(path.readlink()))
        found[str(path.relative_to(root))] = shown
    return found


def test_the_check_is_stricter_than_the_offer_s() -> None:
    """What the manifest refuses is refused here too, whatever becomes of either."""
    from securecp.transfer.links import problem as offered

    for target in (b"..", b"../x", b"a/../b", b"a\\b", b"/a", b"", b"a//b", b"a\nb"):
        for depth in (1, 2, 3):
            if offered(target, depth):
                assert links.problem(target, depth, TOPS)
