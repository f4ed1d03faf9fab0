"""`server.key`: made once, private, and refused when it is anything else."""

import os
import stat
from pathlib import Path

import pytest

from keys.errors import FileRefusedError, KeyFileError
from securecp.nat.serveraddress import key_text
from securecp.server.keyfile import NAME, load_or_create


def test_the_key_is_made_once_and_stays(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = load_or_create(home, os.urandom)
    path = home / NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert load_or_create(home, os.urandom).public == first.public
    text = path.read_text()
    assert f"# public key: {key_text(first.public)}\n" in text
    assert "\nSCPSERVER-SECRET-1" in text


def test_who_comes_second_at_the_first_start_uses_the_key_of_the_first(tmp_path: Path) -> None:
    made: list[bytes] = []

    def interrupted(count: int) -> bytes:
        made.append(load_or_create(tmp_path, os.urandom).public)
        return os.urandom(count)

    assert load_or_create(tmp_path, interrupted).public == made[0]


@pytest.mark.parametrize(
    "content",
    ["", "# nothing\n", "age1xyz\n", "SCPSERVER-SECRET-1QQQ\n", "\xff\n", "a\nb\n", "x" * 5_000],
)
def test_a_damaged_key_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content, "latin-1")
    (tmp_path / NAME).chmod(0o600)
    with pytest.raises((KeyFileError, FileRefusedError)):
        load_or_create(tmp_path, os.urandom)
    assert (tmp_path / NAME).read_text("latin-1") == content


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_or_create(tmp_path, os.urandom)
    (tmp_path / NAME).chmod(0o644)
    with pytest.raises(FileRefusedError, match="other users may read"):
        load_or_create(tmp_path, os.urandom)
