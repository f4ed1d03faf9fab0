"""What a walk offers, and what it leaves out by name (FS-07, FS-08)."""

import os
import socket
import time
from pathlib import Path

import pytest

from securecp.disk import TreeSource, scan
from securecp.errors import SourceError
from securecp.transfer.entries import FILE, LINK
from securecp.transfer.manifest import DIRECTORY
from tests.disk.legal import legal_names
from tests.disk.support import descriptors, ordinary_user


def offered(*paths: Path | str) -> list[bytes]:
    found = scan(paths)
    return [b"/".join(found.manifest.path(index)) for index in range(len(found.manifest.entries))]


def why(*paths: Path | str) -> dict[str, str]:
    return {Path(os.fsdecode(path)).name: reason for path, reason in scan(paths).problems}


def test_a_tree_in_order_with_empty_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "t" / "b").mkdir(parents=True)
    (tmp_path / "t" / "a").mkdir()
    for name in ("z", "y", "b/x"):
        (tmp_path / "t" / name).write_bytes(name.encode())
    (tmp_path / "t" / "empty").touch()
    before = descriptors()
    assert offered(tmp_path / "t") == [
        *(b"t", b"t/a", b"t/b", b"t/empty", b"t/y", b"t/z", b"t/b/x"),
    ]
    assert descriptors() == before
    found = scan([tmp_path / "t"])
    assert found.manifest.files == 4
    assert found.manifest.size == 5
    assert found.manifest.entries[0].kind == DIRECTORY
    assert found.manifest.entries[4].mtime_ns == (tmp_path / "t" / "y").stat().st_mtime_ns
    assert not found.problems


def test_several_paths_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").touch()
    (tmp_path / "f").write_bytes(b"f")
    assert offered(tmp_path / "f", tmp_path / "d", tmp_path / "d" / "x") == [
        b"f",
        b"d",
        b"d/x",
        b"x",
    ]


def test_mf22_one_name_twice_is_reported(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").touch()
    (tmp_path / "x").touch()
    found = scan([tmp_path / "x", tmp_path / "d" / "x"])
    assert len(found.manifest.entries) == 1
    assert "one name" in found.problems[0][1]


def test_paths_as_people_type_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "d")
    name = tmp_path.name.encode()
    assert offered(".") == [b"d", b"d/e"]
    assert offered("..") == [name, name + b"/d", name + b"/d/e"]
    assert offered("e/") == [b"e"]
    assert offered("e/.") == [b"e"]
    assert offered("../d//e") == [b"e"]
    assert not offered("/")
    assert "no name" in why("/")[""]
    assert why("") or offered("")


def test_fs07_what_is_no_file_is_left_out_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
    (tmp_path / "file").touch()
    if os.geteuid() == 0:
        os.mknod(tmp_path / "device", 0o20600, os.makedev(1, 5))
    top = tmp_path.name.encode()
    assert offered(tmp_path) == [top, top + b"/file"]
    reasons = why(tmp_path)
    assert "FIFO" in reasons["fifo"]
    assert "socket" in reasons["s"]
    assert os.geteuid() != 0 or "device" in reasons["device"]
    assert why("/dev/zero") == {"zero": "it is a device"}


def test_fs07_pseudo_files_without_a_size_are_left_out_by_name() -> None:
    """They would arrive empty, and nobody would know."""
    assert not offered("/proc/cpuinfo")
    assert "empty" in why("/proc/cpuinfo")["cpuinfo"]


def test_fs08_links_are_not_followed_but_listed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(b"secret")
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "file").symlink_to(secret / "key")
    (shared / "folder").symlink_to(secret)
    (shared / "loop").symlink_to("loop")
    assert offered(shared) == [b"shared"]
    assert set(why(shared)) == {"file", "folder", "loop"}
    assert why(shared / "file") == {"file": "it is a link, and links are not followed"}
    assert why(shared / "folder" / "") == {"folder": "it is a link, and links are not followed"}


def test_missing_paths_are_reported_and_others_offered(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    assert offered(tmp_path / "gone", tmp_path / "here", tmp_path / "here" / "x") == [b"here"]
    assert why(tmp_path / "gone") == {"gone": "no such file or folder"}
    assert why(tmp_path / "no" / "gone") == {"gone": "no such file or folder"}
    assert "not a folder" in why(tmp_path / "here" / "x")["x"]
    assert why("nul\0byte")


def test_unreadable_files_and_folders_are_reported_and_others_offered() -> None:
    with ordinary_user() as place:
        top = place / "t"
        (top / "closed").mkdir(parents=True)
        (top / "closed" / "x").touch()
        (top / "closed").chmod(0)
        (top / "mine").touch()
        (top / "secret").write_bytes(b"x")
        (top / "secret").chmod(0)
        assert offered(top) == [b"t", b"t/closed", b"t/mine"]
        reasons = why(top)
        assert reasons == {
            "closed": "no permission to read it",
            "secret": "no permission to read it",
        }


@pytest.mark.parametrize(
    "name", [b"new\nline", b"esc\x1b[2J", b"back\\slash", b".securecp-0123456789abcdef.part"]
)
def test_fs12_names_that_would_be_refused_are_left_out_by_the_sender(
    tmp_path: Path, name: bytes
) -> None:
    (tmp_path / "ok").touch()
    (tmp_path / os.fsdecode(name)).touch()
    found = scan([tmp_path])
    assert found.manifest.files == 1
    assert len(found.problems) == 1


def test_unfinished_parts_are_not_sent_on(tmp_path: Path) -> None:
    (tmp_path / ".securecp-0123456789abcdef.part").mkdir()
    (tmp_path / "file").touch()
    found = scan([tmp_path])
    assert found.manifest.files == 1
    assert "unfinished" in found.problems[0][1]


def test_fs11_too_deep_a_tree_is_cut_with_a_report(tmp_path: Path) -> None:
    place = tmp_path / "0"
    place.mkdir()
    (tmp_path / "0" / "file").touch()
    here = os.open(place, os.O_RDONLY)
    for number in range(1, 80):
        os.mkdir(str(number), dir_fd=here)
        below = os.open(str(number), os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    found = scan([place])
    assert found.manifest.files == 1
    assert len(found.manifest.entries) == 65
    [(_, reason)] = found.problems
    assert "64" in reason


def test_fs11_fifty_levels_are_offered_and_read(tmp_path: Path) -> None:
    deep = tmp_path.joinpath("t", *map(str, range(49)))
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"deep")
    found = scan([tmp_path / "t"])
    assert not found.problems
    assert len(found.manifest.entries) == 51
    source = TreeSource(found)
    slot = bytearray(4)
    source.fill(0, [memoryview(slot)])
    assert slot == b"deep"
    source.close()


def test_fs11_a_path_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for number in range(20):
        name = f"{number:02}" + "n" * 250
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    found = scan([next(tmp_path.iterdir())])
    assert len(found.manifest.entries) == 16
    [(_, why)] = found.problems
    assert "too long" in why


def test_more_entries_than_an_offer_holds_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("securecp.disk.tree.ENTRY_LIMIT", 10)
    for number in range(9):
        (tmp_path / f"{number}").touch()
    assert scan([tmp_path]).manifest.files == 9
    (tmp_path / "one more").touch()
    before = descriptors()
    with pytest.raises(SourceError, match="more than 10 files") as refused:
        scan([tmp_path])
    assert "--exclude" in refused.value.hint
    assert descriptors() == before
    assert scan([tmp_path], exclude=["one more"]).manifest.files == 9


def links(place: Path) -> tuple[dict[bytes, bytes], dict[str, str]]:
    """Links that are offered with their targets, and why others are not."""
    found = scan([place], symlinks=True)
    entries = found.manifest.entries
    offered = {
        b"/".join(found.manifest.path(index)[1:]): entry.target
        for index, entry in enumerate(entries)
        if entry.kind == LINK
    }
    return offered, {Path(os.fsdecode(path)).name: why for path, why in found.problems}


def test_fs08_links_that_stay_inside_are_offered_if_wanted(tmp_path: Path) -> None:
    place = tmp_path / "t"
    (place / "a" / "b").mkdir(parents=True)
    inside = {
        "l": "a",
        "dot": "./a/b",
        "gone": "nothing",
        "a/up": "../l",
        "a/b/top": "../../a",
        "a/loop": "loop",
        "a/odd": os.fsdecode(b"\xff\xfe"),
    }
    for name, target in inside.items():
        (place / name).symlink_to(target)
    offered, why = links(place)
    assert offered == {os.fsencode(name): os.fsencode(to) for name, to in inside.items()}
    assert not why
    total = scan([place], symlinks=True).total
    assert (total.files, total.folders, total.links) == (0, 3, 7)
    assert len(scan([place]).problems) == 7


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "/",
        "..",
        "../t",
        "../secret",
        "a/../../secret",
        "a/..",
        "../../../../etc/passwd",
        "a//b",
        "a/",
        "a\nb",
        ".securecp-0123456789abcdef.part",
        "~",
        "a\\b",
    ],
)
def test_fs08_links_that_lead_out_are_left_out_by_name(tmp_path: Path, target: str) -> None:
    place = tmp_path / "t"
    (place / "a").mkdir(parents=True)
    (place / "link").symlink_to(target)
    (tmp_path / "secret").touch()
    offered, why = links(place)
    assert not offered
    assert set(why) == {"link"}
    assert "link" in why["link"] or "target" in why["link"]


@pytest.mark.parametrize("target", ["../..", "../../secret", "../../t/x"])
def test_fs08_links_from_below_may_not_leave_their_tree(tmp_path: Path, target: str) -> None:
    place = tmp_path / "t"
    (place / "a").mkdir(parents=True)
    (place / "a" / "link").symlink_to(target)
    offered, why = links(place)
    assert not offered and set(why) == {"link"}


def test_fs08_a_link_that_is_named_is_offered_with_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("./file")
    (tmp_path / "self").symlink_to("self")
    both = scan([tmp_path / "link", tmp_path / "file"], symlinks=True)
    assert [path for path, _, _ in both.listing()] == [b"file", b"link"]
    alone = scan([tmp_path / "link", tmp_path / "self"], symlinks=True)
    assert list(alone.listing()) == []
    assert ["not offered" in why for _, why in alone.problems] == [True, True]


def test_fs12_unsafe_names_get_safe_ones_if_wanted(tmp_path: Path) -> None:
    place = tmp_path / "t"
    (place / "bad\ndir").mkdir(parents=True)
    (place / "bad\ndir" / "x").write_bytes(b"in it")
    (place / "a\\b").write_bytes(b"back")
    (place / "a_b").write_bytes(b"under")
    (place / "a\x80b").write_bytes(b"c1 ")
    (place / "~").write_bytes(b"home")
    (place / os.fsdecode(b"\xff\x01")).write_bytes(b"bytes")
    found = scan([place], rename_unsafe=True)
    assert not found.problems
    listing = [path for path, _, _ in found.listing()]
    assert listing == sorted(set(listing), key=listing.index)
    assert {path.partition(b"/")[2] for path in listing} == {
        b"",
        "bad\u240adir".encode(),
        "bad\u240adir/x".encode(),
        b"a_b",
        b"a_b (1)",
        b"a_b (2)",
        b"_~",
        b"\xff\xe2\x90\x81",
    }
    root = os.fsencode(place)
    assert (root + b"/a\\b", root + b"/a_b (1)") in found.renamed
    assert (root + b"/~", root + b"/_~") in found.renamed
    assert len(found.renamed) == found.total.renamed == 5
    source = TreeSource(found)
    slot = bytearray(found.manifest.size)
    source.fill(0, [memoryview(slot)])
    assert not source.changed
    assert bytes(slot).endswith(b"in it") and b"bytes" in slot and b"home" in slot
    files = (index for index, entry in enumerate(found.manifest.entries) if entry.kind == FILE)
    assert all(map(source.unchanged, files))
    source.close()


def test_fs12_a_renamed_file_that_is_left_out_does_not_pass_on_its_name(tmp_path: Path) -> None:
    """Its path would be too long with a safe name; the next file has its place in the offer."""
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(17):
        os.mkdir("n" * 200, dir_fd=here)
        below = os.open("n" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    for number, name in enumerate(["p" * 255, "p" * 255, "\n" * 250, "z"]):
        if number < 2:
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        else:
            file = os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=here)
            os.write(file, b"right" if name == "z" else b"wrong")
            os.close(file)
    os.close(here)
    found = scan([tmp_path / ("n" * 200)], rename_unsafe=True)
    assert ["too long" in why for _, why in found.problems] == [True]
    assert not found.actual and not found.renamed
    source = TreeSource(found)
    slot = bytearray(5)
    source.fill(0, [memoryview(slot)])
    assert slot == b"right"
    source.close()


def test_fs12_a_renamed_name_at_the_top_gives_way_to_a_real_one(tmp_path: Path) -> None:
    (tmp_path / "a\nb").write_bytes(b"1")
    (tmp_path / "a\u240ab").write_bytes(b"2")
    found = scan([tmp_path / "a\nb", tmp_path / "a\u240ab"], rename_unsafe=True)
    assert [path for path, _, _ in found.listing()] == [
        "a\u240ab (1)".encode(),
        "a\u240ab".encode(),
    ]


def test_fs12_names_of_every_legal_kind_are_offered_as_they_are(tmp_path: Path) -> None:
    names = legal_names()
    for number, name in enumerate(names):
        (tmp_path / os.fsdecode(name)).write_bytes(b"%d" % number)
    found = scan([tmp_path])
    assert not found.problems
    assert {path.partition(b"/")[2] for path, _, _ in found.listing()} == {b"", *names}


def test_what_would_be_sent_in_figures(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "f").write_bytes(b"12345")
    (tmp_path / "d" / "x.o").touch()
    os.mkfifo(tmp_path / "d" / "pipe")
    found = scan([tmp_path / "d"], exclude=["*.o"])
    assert found.total._asdict() == {
        "files": 1,
        "folders": 2,
        "links": 0,
        "size": 5,
        "left_out": 1,
        "excluded": 1,
        "renamed": 0,
    }
    assert list(found.listing()) == [(b"d", 1, 0), (b"d/e", 1, 0), (b"d/f", 0, 5)]


COUNT = 100_000 if os.environ.get("SECURECP_THOROUGH") else 10_000


def test_many_files_are_found_quickly(tmp_path: Path) -> None:
    for number in range(COUNT // 1_000):
        folder = tmp_path / f"{number:03}"
        folder.mkdir()
        here = os.open(folder, os.O_RDONLY)
        for name in range(1_000):
            os.close(os.open(f"file-{name}", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.close(here)
    start = time.process_time()
    found = scan([tmp_path], exclude=["*.o", "/build/"])
    taken = time.process_time() - start
    assert found.manifest.files == COUNT
    assert taken / COUNT < 100e-6  # about 10 µs; the rest is for slow machines
