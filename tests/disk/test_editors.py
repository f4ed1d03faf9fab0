"""MF-07, F-37, F-38: others write to the files while they are sent; never is it a mixture."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from securecp.disk import Scan, TreeSource
from securecp.disk.memory import Memory
from securecp.transfer.manifest import CHUNK
from tests.disk.journey import Journey
from tests.disk.support import parts

SIZE = 2 * CHUNK + 5_000
EDITED = 2
"""Entry of the file that is written to; `1` and `3` are its neighbours."""
Edit = Callable[[Path, int], None]


def content(version: int) -> bytes:
    return bytes([65 + version]) * SIZE


def modify(path: Path, version: int) -> None:
    """All of it, in place."""
    with path.open("r+b") as stream:
        stream.write(content(version))
    os.utime(path, ns=(version, version))


def modify_the_end(path: Path, version: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(SIZE - 10)
        stream.write(content(version)[:10])
    os.utime(path, ns=(version, version))


def replace(path: Path, version: int) -> None:
    """By rename, the time of the old one kept: only the inode number tells."""
    new = path.with_name("new")
    new.write_bytes(content(version))
    os.utime(new, ns=(path.stat().st_mtime_ns,) * 2)
    new.replace(path)


def truncate(path: Path, version: int) -> None:
    os.truncate(path, CHUNK + version)


def append(path: Path, version: int) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def delete(path: Path, version: int) -> None:
    path.unlink(missing_ok=True)


def supplant(path: Path, version: int) -> None:
    """Something that is no file takes its place."""
    path.unlink(missing_ok=True)
    if not path.exists():
        path.mkdir()


SAME_SIZE = [modify, modify_the_end, replace]
OTHER = [truncate, append, delete, supplant]
PHASES = ["offered", "first read", "half read", "read", "last look", "looked"]


class EditedSource(TreeSource):
    """Somebody edits the file when this source has come to a phase, so and so often."""

    phase = ""
    times = 1
    edit: Callable[[], None]

    def __init__(self, scan: Scan, *, memory: Memory | None = None) -> None:
        super().__init__(scan, memory=memory)
        columns = scan.manifest.columns
        self._begin, self._finish = columns.starts[EDITED], columns.starts[EDITED + 1]
        self._left = self.times
        self._armed = True
        """Edits strike once before the file is taken as it is now, and once after."""
        self._strike("offered")

    def _strike(self, phase: str) -> None:
        if phase == self.phase and self._left and self._armed:
            self._left -= 1
            self._armed = False
            type(self).edit()

    def renew(self, entry: int) -> bool:
        self._armed = True
        return super().renew(entry)

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        end = offset + sum(map(len, slots))
        if offset <= self._begin < end:
            self._strike("first read")
        super().fill(offset, slots)
        if offset <= self._begin + SIZE // 2 < end:
            self._strike("half read")
        if offset < self._finish <= end:
            self._strike("read")

    def unchanged(self, entry: int) -> bool:
        if entry == EDITED:
            self._strike("last look")
        found = super().unchanged(entry)
        if entry == EDITED:
            self._strike("looked")
        return found


def journey(tmp_path: Path, phase: str, edit: Edit, times: int = 1) -> Journey:
    """Three files, and an editor at the one in the middle."""
    place, into = tmp_path / "t", tmp_path / "into"
    into.mkdir()
    if not place.exists():
        make(place)
    versions = iter(range(1, 100))

    class Source(EditedSource):
        pass

    Source.phase, Source.times = phase, times
    Source.edit = staticmethod(lambda: edit(place / "b", next(versions)))
    return Journey([place], into, source=Source)


def make(place: Path) -> None:
    place.mkdir()
    (place / "a").write_bytes(b"a" * 70_000)
    (place / "b").write_bytes(content(0))
    (place / "c").write_bytes(b"c" * 70_000)


def arrived(tmp_path: Path) -> bytes | None:
    """The edited file as it was published, if it was; its neighbours must have been."""
    into = tmp_path / "into" / "t"
    assert (into / "a").read_bytes() == b"a" * 70_000
    assert (into / "c").read_bytes() == b"c" * 70_000
    assert parts(tmp_path / "into") == []
    return (into / "b").read_bytes() if (into / "b").exists() else None


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("edit", SAME_SIZE)
def test_f37_an_edited_file_restarts_and_arrives_as_it_is_then(
    tmp_path: Path, edit: Edit, phase: str
) -> None:
    done = journey(tmp_path, phase, edit).run().done
    assert not done.failed
    now = (tmp_path / "t" / "b").read_bytes()
    # After the last look it may be too late, unless some of it had to be read again.
    assert arrived(tmp_path) in ((now, content(0)) if phase == "looked" else (now,))


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("edit", SAME_SIZE)
def test_f37_a_file_that_is_edited_again_arrives_whole_or_fails_by_name(
    tmp_path: Path, edit: Edit, phase: str
) -> None:
    """Again: after it was taken as it was then."""
    versions = [content(0)]

    def edit_and_keep(path: Path, version: int) -> None:
        edit(path, version)
        versions.append(path.read_bytes())

    done = journey(tmp_path, phase, edit_and_keep, times=2).run().done
    found = arrived(tmp_path)
    if phase == "last look":
        assert len(versions) == 3 and done.failed
    if done.failed:
        assert [name for name, _ in done.failed] == [b"t/b"]
        assert "changed" in done.failed[0][1]
        assert found is None
        assert done.files == 2
    else:
        assert found in versions


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("edit", OTHER)
def test_f37_a_file_of_another_size_or_none_fails_by_name(
    tmp_path: Path, edit: Edit, phase: str
) -> None:
    done = journey(tmp_path, phase, edit).run().done
    if phase == "looked" and not done.failed:
        assert arrived(tmp_path) == content(0)
    else:
        assert [name for name, _ in done.failed] == [b"t/b"]
        assert arrived(tmp_path) is None


@pytest.mark.parametrize("phase", PHASES[:4])
def test_f37_a_file_that_is_written_all_the_time_fails_by_name(tmp_path: Path, phase: str) -> None:
    done = journey(tmp_path, phase, append, times=50).run().done
    assert [name for name, _ in done.failed] == [b"t/b"]
    assert arrived(tmp_path) is None


@pytest.mark.parametrize("edit", SAME_SIZE)
def test_f38_what_vanished_or_changed_before_it_was_opened_is_reported(
    tmp_path: Path, edit: Edit
) -> None:
    """Every file at once, one of each kind; those of other sizes fail, the others arrive."""
    place, into = tmp_path / "t", tmp_path / "into"
    place.mkdir()
    into.mkdir()
    for name in ("deleted", "edited", "left"):
        (place / name).write_bytes(content(0))
    transfer = Journey([place], into)
    delete(place / "deleted", 1)
    edit(place / "edited", 1)
    transfer.run()
    assert set(transfer.failed) == {b"t/deleted"}
    assert not (into / "t" / "deleted").exists()
    for name in ("edited", "left"):
        assert (into / "t" / name).read_bytes() == (place / name).read_bytes()


def test_f38_a_whole_folder_that_vanishes_fails_file_by_file(tmp_path: Path) -> None:
    make(tmp_path / "t")
    (tmp_path / "keep").write_bytes(b"kept")
    into = tmp_path / "into"
    into.mkdir()
    transfer = Journey([tmp_path / "t", tmp_path / "keep"], into)
    (tmp_path / "t").rename(tmp_path / "gone")
    transfer.run()
    assert set(transfer.failed) == {b"t/a", b"t/b", b"t/c"}
    assert (into / "keep").read_bytes() == b"kept"
