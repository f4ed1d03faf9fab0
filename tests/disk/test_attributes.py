"""Modes and times of what is published (MF-17, MF-18, FS-16, FS-20)."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.disk.attributes import directory_mode, file_mode, modified
from tests.disk.support import TIME, file, folder, ordinary_user, receive, tree


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("offered", "umask", "want"),
    [
        (0o644, 0o022, 0o644),
        (0o755, 0o022, 0o755),
        (0o600, 0o022, 0o644),
        (0o777, 0o077, 0o700),
        (0o666, 0o002, 0o664),
        (0o444, 0o022, 0o444),
        (0o000, 0o022, 0o444),
        (0o7777, 0o022, 0o755),
        (0o077, 0o000, 0o444),
        (0o200, 0o777, 0o400),
    ],
)
def test_mf17_only_the_users_bits_count_under_the_umask(
    offered: int, umask: int, want: int
) -> None:
    assert file_mode(offered, umask, executable=True) == want


@given(st.integers(0, 0o7777), st.integers(0, 0o777))
def test_mf17_no_offered_mode_gives_more_than_a_new_file_would_have(
    offered: int, umask: int
) -> None:
    for got in (file_mode(offered, umask, executable=True), directory_mode(offered, umask)):
        assert not got & ~0o777
        assert not got & 0o077 & umask
        assert got & 0o400
    assert not file_mode(offered, umask, executable=False) & 0o111
    assert directory_mode(offered, umask) & 0o100


def test_mf17_modes_on_the_disk(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    entries = [
        folder(b"t", mode=0o7777),
        file(b"suid", 1, 1, mode=0o6777),
        file(b"script", 1, 1, mode=0o700),
        file(b"locked", 1, 1, mode=0o400),
    ]
    receive(tmp_path, entries, umask=0o027)
    assert mode(tmp_path) == 0o750
    assert mode(tmp_path / "t") == 0o750
    assert mode(tmp_path / "t" / "suid") == 0o750
    assert mode(tmp_path / "t" / "script") == 0o750
    assert mode(tmp_path / "t" / "locked") == 0o440
    assert (tmp_path / "t" / "suid").stat().st_uid == os.geteuid()


def test_fs20_execute_bits_can_be_kept_off(tmp_path: Path) -> None:
    receive(tmp_path, [file(b"script", 1, mode=0o755)], executable=False, umask=0)
    assert mode(tmp_path / "script") == 0o666


def test_mf17_the_umask_is_the_processs_own(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        receive(tmp_path, [file(b"a", 1, mode=0o777)])
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)
    assert mode(tmp_path / "a") == 0o750


def test_fs16_folders_that_lock_us_out_are_locked_last() -> None:
    with ordinary_user() as place:
        entries = [
            folder(b"t", mode=0o500),
            folder(b"u", 1, mode=0o000),
            file(b"a", 5, 2, mode=0o000),
            folder(b"v", 2, mode=0o500),
            file(b"b", 5, 4),
        ]
        report = receive(place, entries, umask=0o077)
        assert report.published == 2
        assert not report.failed
        assert {mode(place / name) for name in ("t", "t/u", "t/u/v")} == {0o500}
        assert len(tree(place)) == 5


@pytest.mark.parametrize("mtime_ns", [0, -1, 1, TIME, TIME + 123_456_789])
def test_times_are_kept(tmp_path: Path, mtime_ns: int) -> None:
    receive(tmp_path, [folder(b"d", mtime_ns=mtime_ns), file(b"a", 1, 1, mtime_ns=mtime_ns)])
    assert (tmp_path / "d" / "a").stat().st_mtime_ns == mtime_ns
    assert (tmp_path / "d").stat().st_mtime_ns == mtime_ns


@pytest.mark.parametrize("seconds", [-(1 << 63), 884_541_340_800, 1 << 63, (1 << 64) + 5])
def test_mf18_an_absurd_time_never_fails_a_file(tmp_path: Path, seconds: int) -> None:
    entries = [folder(b"d", mtime_ns=seconds * 10**9), file(b"a", 1, 1, mtime_ns=seconds * 10**9)]
    report = receive(tmp_path, entries)
    assert report.published == 1
    assert not report.failed


@given(st.integers())
def test_mf18_a_time_is_clamped_into_what_can_be_shown(mtime_ns: int) -> None:
    got = modified(mtime_ns)
    assert -(1 << 31) * 10**9 <= got < 253_402_300_800 * 10**9
    assert got == mtime_ns or abs(mtime_ns) > abs(got)


def test_mf18_what_reaches_the_system_is_clamped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "utime", lambda _, *, ns: times.append(ns))
    receive(tmp_path, [file(b"a", 1, mtime_ns=(1 << 63) - 1), file(b"b", 1, mtime_ns=-(1 << 63))])
    assert times == [((1 << 63) - 1,) * 2, (-(1 << 31) * 10**9,) * 2]


def test_mf18_a_file_system_without_modes_or_times_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "fchmod", refuse)
    assert receive(tmp_path, [file(b"a", 1)]).published == 1
    assert (tmp_path / "a").stat().st_mtime_ns == TIME
    monkeypatch.setattr(os, "utime", refuse)
    assert receive(tmp_path, [file(b"b", 1)]).published == 1
