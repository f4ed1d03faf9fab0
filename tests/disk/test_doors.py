"""The few calls that make, open and remove by name: each refuses what is not its own."""

import os
import secrets
from pathlib import Path

import pytest

import keys.files
from keys.errors import FileFailedError
from keys.files import PrivateDirectory
from securecp.disk import Store, at
from securecp.transfer.manifest import Manifest
from tests.disk.support import content, file, slices

pytestmark = pytest.mark.skipif(os.name != "posix", reason="directory descriptors")


def test_fs14_creation_is_exclusive(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"precious")
    directory = at.pin(os.fsencode(tmp_path))
    try:
        with pytest.raises(FileExistsError):
            at.create(directory, b"taken")
    finally:
        at.close(directory)
    assert (tmp_path / "taken").read_bytes() == b"precious"


def test_fs06_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    directory = at.pin(os.fsencode(tmp_path))
    try:
        inode = (tmp_path / "fifo").stat().st_ino
        with pytest.raises(OSError):
            at.open_file(directory, b"fifo", inode)
        (tmp_path / "file").write_bytes(b"")
        at.close(at.open_file(directory, b"file", (tmp_path / "file").stat().st_ino))
    finally:
        at.close(directory)


def test_fs17_a_file_that_took_the_place_of_a_part_stays(tmp_path: Path) -> None:
    manifest = Manifest([file(b"a", 10)])
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        store.store(0, slices(content(manifest), 10))
        (part,) = tmp_path.glob(".securecp-*.part")
        part.rename(tmp_path / "elsewhere")  # so that its inode number is not given again
        part.write_bytes(b"theirs")
    assert part.read_bytes() == b"theirs"


def test_kc02_a_temporary_name_that_is_taken_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda count: "0" * (2 * count))
    # Under this name the sweep of leftovers would remove it first.
    monkeypatch.setattr(keys.files.PrivateDirectory, "_sweep", lambda _: None)
    taken = tmp_path / f".securecp-{'0' * 16}.new"
    tmp_path.chmod(0o700)
    taken.write_bytes(b"precious")
    held = taken.open("rb")
    with held, PrivateDirectory(tmp_path) as directory, directory.locked():
        with pytest.raises(FileFailedError):
            directory.replace("identity", b"new", overwrite=True)
        assert held.read() == b"precious"
