"""What a walk offers, and what it leaves out by name (FS-07, FS-08)."""

import os
import socket
from pathlib import Path

import pytest

from securecp.disk import scan
from securecp.transfer.manifest import DIRECTORY
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
