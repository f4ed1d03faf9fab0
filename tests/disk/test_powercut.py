"""What a power cut may take, and the order that keeps it from mattering; found by `tests.crash`."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from securecp.disk import at, flush, log
from securecp.disk.journal import Journals
from securecp.disk.log import Log
from securecp.disk.publishing import Publisher
from securecp.disk.saving import Saving
from securecp.disk.state import StateFolder
from securecp.errors import StorageError
from securecp.transfer.entries import CHUNK
from securecp.transfer.manifest import Manifest
from tests.disk.session import KEY, Session, transfer
from tests.disk.support import content, expected, file, folder, parts, tree

ONE = Manifest([file(b"a", 3 * CHUNK)])
DATA = content(ONE)
MAGIC = b"securecp test 01"


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


def begin(into: Path, journals: Journals, manifest: Manifest = ONE, data: bytes = DATA) -> Session:
    session = Session(into, manifest, data, journals)
    session.prepare()
    return session


def kill(session: Session) -> None:
    session.store._release()


def failing(*_: Any) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def flushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Inode numbers of what is flushed from here on, in order."""
    found: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        found.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_f17_folders_of_ours_are_durable_where_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = flushed(monkeypatch)
    os.close(at.pin_private(os.fsencode(tmp_path / "home" / "state")))
    assert set(found) == {tmp_path.stat().st_ino, (tmp_path / "home").stat().st_ino}
    found.clear()
    os.close(at.pin_private(os.fsencode(tmp_path / "home" / "state")))
    assert not found


def test_f14_a_folder_that_may_not_last_is_made_anew_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing)
        with pytest.raises(OSError):
            at.pin_private(os.fsencode(tmp_path / "home" / "state"))
    assert not (tmp_path / "home").exists()


def test_f17_i4_names_revealed_in_a_directory_that_was_there_are_flushed(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    (into / "t").mkdir()
    manifest = Manifest([folder(b"t"), folder(b"new", 1), file(b"a", 10, 2)])
    data = content(manifest)
    session = Session(into, manifest, data, journals, conflict="overwrite")
    session.prepare()
    session.run()
    found = flushed(monkeypatch)
    real = at.rename_directory

    def rename(parent: int, name: bytes, new: bytes) -> None:
        real(parent, name, new)
        found.clear()

    monkeypatch.setattr(at, "rename_directory", rename)
    session.store.publish()
    assert (into / "t").stat().st_ino in found


def test_f17_a_directory_gets_its_name_by_one_call(tmp_path: Path) -> None:
    root = at.pin(os.fsencode(tmp_path))
    (tmp_path / "mine" / "inner").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    with pytest.raises(FileExistsError):
        at.rename_directory(root, b"mine", b"other")
    if not at.rename_exclusively(root, b"mine", b"new"):
        pytest.skip("this file system cannot rename without replacing")
    assert tree(tmp_path) == {"new": None, "new/inner": None, "other": None}
    os.close(root)


def test_f14_a_log_goes_back_to_what_was_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateFolder(tmp_path / "state")
    found = Log.open(state, b"x", KEY, MAGIC)
    assert found is not None
    found.append(b"kept")
    found.sync()
    found.append(b"in doubt")
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing)
        with pytest.raises(OSError):
            found.sync()
    found.close()
    assert log.read(state, b"x", KEY, MAGIC) == [b"kept"]
    state.close()


def test_f14_after_a_failed_flush_nothing_is_published(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(into, journals)
    session.run()
    with monkeypatch.context() as broken:
        broken.setattr(flush, "sync_data", failing)
        with pytest.raises(StorageError):
            session.store.checkpoint()
    with pytest.raises(StorageError):  # it would find nothing to flush
        session.store.publish()
    session.store.suspend()
    assert "a" not in tree(into)


def test_f14_where_nothing_could_be_kept_nothing_stays(
    into: Path, tmp_path: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(into, journals)
    session.run([0])
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError):
        session.store.checkpoint()
    assert not session.store.resumable
    session.store.suspend()
    assert not parts(into)
    assert not list((tmp_path / "state").iterdir())


@pytest.mark.parametrize("holes", [{2}, {0, 1, 2}, {0, 2}])
def test_f45_holes_that_the_journal_knows_have_their_size(
    into: Path, journals: Journals, holes: set[int]
) -> None:
    data = bytearray(DATA)
    for number in holes:
        data[number * CHUNK : (number + 1) * CHUNK] = bytes(CHUNK)
    session = begin(into, journals, ONE, bytes(data))
    for number in sorted(holes):
        session.store.zeros(range(number, number + 1))
        digest = session.store.known(number)
        assert digest == session.told(number)
        session._keep(number, digest)
    session.store.checkpoint()
    kill(session)
    transfer(into, ONE, bytes(data), journals)
    assert (into / "a").read_bytes() == data


def test_f17_i8_a_part_that_was_lost_twice_is_not_left_behind(
    into: Path, journals: Journals
) -> None:
    first = begin(into, journals)
    first.run([0])
    first.store.checkpoint()
    kill(first)
    (part,) = parts(into)
    part.unlink()  # by the power cut
    second = begin(into, journals)
    second.run([0, 1])
    kill(second)
    assert parts(into) == [part]
    transfer(into, ONE, DATA, journals)
    assert tree(into) == expected(ONE, DATA)


class _PowerCutError(Exception):
    pass


def test_f17_i8_a_part_of_which_nothing_was_claimed_is_not_left_behind(
    into: Path, tmp_path: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest([file(b"a", 10), file(b"empty", 0)])
    data = content(manifest)

    def cut(*_: Any) -> None:
        raise _PowerCutError

    def publish_until(owner: type, name: str) -> Path:
        """Returns the part of the empty file."""
        session = begin(into, journals, manifest, data)
        session.run()
        with monkeypatch.context() as crash:
            crash.setattr(owner, name, cut)
            with pytest.raises(_PowerCutError):
                session.store.publish()
        kill(session)
        (part,) = (part for part in parts(into) if not part.stat().st_size)
        return part

    lost = publish_until(Publisher, "_settle")
    lost.rename(tmp_path / "lost")  # as if it were gone; its inode number is not used again
    assert publish_until(Saving, "publishing") == lost
    transfer(into, manifest, data, journals)
    assert tree(into) == expected(manifest, data)


@pytest.mark.parametrize("how", ["restart", "missed"])
def test_f17_i1_claims_are_void_on_the_disk_before_their_bytes_are_written_over(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A crash may keep the new bytes and the old times: nothing would tell but the journal."""
    first = begin(into, journals)
    first.run()
    first.store.checkpoint()
    kill(first)
    (part,) = parts(into)
    before = part.stat()
    second = begin(into, journals)
    assert second.store.known(1) == second.told(1)
    if how == "restart":
        second.restart(0)
    else:
        second.store.missed(1)
    found = flushed(monkeypatch)
    second.store.store(CHUNK, [memoryview(b"other")])
    assert not found  # it was flushed before
    kill(second)
    real = os.stat

    def unchanged(*given: Any, **named: Any) -> os.stat_result:
        stat = real(*given, **named)
        return before if stat.st_ino == before.st_ino else stat

    with monkeypatch.context() as crashed:
        crashed.setattr(os, "stat", unchanged)
        third = begin(into, journals)
    assert third.store.known(1) is None
    third.run()
    third.finish()
    assert tree(into) == expected(ONE, DATA)


def test_claims_are_doubted_once_for_each_checkpoint(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(into, journals)
    session.run([0, 1])
    session.store.checkpoint()
    written: list[int] = []
    real = log._write

    def write(descriptor: int, data: bytearray, position: int) -> None:
        written.append(position)
        real(descriptor, data, position)

    monkeypatch.setattr(log, "_write", write)
    session.store.missed(0)
    session.store.missed(1)
    assert len(written) == 1
    session.store.good(0, session.told(0))
    session.store.checkpoint()
    session.store.missed(0)
    assert len(written) == 3
    session.store.abandon()


def test_a_doubt_that_cannot_be_written_down_ends_the_session(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(into, journals)
    session.run([0])
    session.store.checkpoint()
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing)
        with pytest.raises(StorageError):
            session.restart(0)
    assert isinstance(session.store._saving, Saving) and session.store._saving.damaged
    session.store.suspend()
