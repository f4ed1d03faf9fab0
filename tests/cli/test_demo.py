"""The demo: real processes, every difference found, nothing left behind."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from securecp.cli import demo, sample
from tests.cli.program import call, is_one_line_and_a_hint


@pytest.fixture
def few_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A tree that takes less time, and a temporary folder of our own."""

    def copy(destination: Path) -> sample.Size:
        for number in range(30):
            folder = destination / f"package {number}"
            folder.mkdir(parents=True)
            (folder / "module.py").write_text(f"number = {number}\n")
            (folder / "empty").mkdir()
        return sample.measure(destination)

    monkeypatch.setattr(sample, "copy_packages", copy)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_the_demo_tells_what_happened_and_cleans_up(few_packages: Path) -> None:
    done = call("demo", "--size", "2MiB")
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("Alice  age1", "30 files", "Mallory gets no answer", "No difference.",
                  "byte for byte", "MB/s", "for real between two machines"):  # fmt: skip
        assert words in done.stdout
    assert list(few_packages.iterdir()) == []


def test_the_demo_fails_on_any_difference(
    few_packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = sample.differences

    def tampered(ours: Path, theirs: Path) -> Iterator[str]:
        victim = theirs / "packages" / "package 7" / "module.py"
        times = victim.stat()
        victim.write_text("number = 8\n")
        os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
        return honest(ours, theirs)

    monkeypatch.setattr(sample, "differences", tampered)
    done = call("demo", "--size", "1MiB")
    assert done.returncode == 1
    assert "not the same bytes: packages/package 7/module.py" in done.stderr
    assert "1 difference between the two sides" in done.stderr
    assert list(few_packages.iterdir()) == []


def test_the_demo_needs_a_size_and_room(
    few_packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("demo", "--size", "big").returncode == 2
    done = call("demo", "--size", "900TB")
    assert done.returncode == 1
    assert is_one_line_and_a_hint(done.stderr)
    assert list(few_packages.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: (root / "a").unlink(), "missing: a"),
        (lambda root: (root / "c").write_text("x"), "unexpected: c"),
        (lambda root: (root / "a").write_text("longer"), "not the same size: a"),
        (lambda root: (root / "a").chmod(0o700), "not the same permissions: a"),
        (lambda root: os.utime(root / "a", (1, 1)), "not the same time: a"),
        (lambda root: (root / "b").rmdir(), "missing: b"),
    ],
)
def test_every_kind_of_difference_is_found(
    tmp_path: Path, change: Callable[[Path], object], words: str
) -> None:
    for side in ("ours", "theirs"):
        (tmp_path / side / "b").mkdir(parents=True)
        (tmp_path / side / "a").write_text("x")
        os.utime(tmp_path / side / "a", (5, 5))
    assert list(sample.differences(tmp_path / "ours", tmp_path / "theirs")) == []
    change(tmp_path / "theirs")
    assert words in list(sample.differences(tmp_path / "ours", tmp_path / "theirs"))


def test_the_large_file_is_the_same_each_time_and_has_no_two_equal_blocks(tmp_path: Path) -> None:
    for name in ("one", "two"):
        sample.write_large_file(tmp_path / name, (2 << 20) + 17)
    one = (tmp_path / "one").read_bytes()
    assert one == (tmp_path / "two").read_bytes()
    assert len(one) == (2 << 20) + 17
    assert one[: 1 << 20] != one[1 << 20 : 2 << 20]


def test_the_demo_uses_the_command_that_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.cli.program import COMMAND

    monkeypatch.setattr("sys.argv", [COMMAND])
    assert demo._command() == [str(Path(COMMAND).resolve())]
    monkeypatch.setattr("sys.argv", ["pytest"])
    assert demo._command()[1:3] == ["-P", "-c"]
