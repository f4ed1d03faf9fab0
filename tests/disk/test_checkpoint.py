"""Checkpoints: what is written down was flushed before, whatever the loop does meanwhile."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from securecp.disk import flush, log
from securecp.disk import store as store_module
from securecp.disk.journal import Journals
from securecp.errors import FullError, StorageError
from securecp.transfer.entries import CHUNK
from securecp.transfer.manifest import Manifest
from tests.disk.session import KEY, Session, transfer
from tests.disk.support import content, descriptors, expected, file, folder, parts, tree

MANIFEST = Manifest([folder(b"t"), file(b"a", 6 * CHUNK, 1), file(b"b", CHUNK, 1)])
DATA = content(MANIFEST)


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


def begin(into: Path, journals: Journals, chunks: int = 0) -> Session:
    session = Session(into, MANIFEST, DATA, journals)
    session.prepare()
    session.run(range(chunks))
    return session


def kill(session: Session) -> None:
    session.store._release()


def refuse(code: int) -> Callable[..., None]:
    def refusing(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return refusing


def test_when_a_checkpoint_is_due(into: Path, journals: Journals) -> None:
    session = begin(into, journals)
    store = session.store
    assert not store.due(0)
    assert not store.due(1_000)  # there is nothing new
    session.run([0])
    assert store.unsaved == CHUNK
    assert not store.due(2_000)
    assert not store.due(2_009.9)
    assert store.due(2_010)
    store.checkpoint()
    assert store.unsaved == 0
    assert not store.due(3_000)
    store._stored += store_module.CHECKPOINT_BYTES
    assert store.due(3_000)
    store.abandon()


def test_data_is_flushed_before_it_is_written_down(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, write = flush.sync_data, log._write

    def synced(descriptor: int) -> None:
        order.append("data")
        sync(descriptor)

    def written(descriptor: int, data: bytearray, position: int) -> None:
        order.append("journal")
        write(descriptor, data, position)

    session = begin(into, journals, 2)
    monkeypatch.setattr(flush, "sync_data", synced)
    monkeypatch.setattr(log, "_write", written)
    monkeypatch.setattr(os, "fsync", lambda _: order.append("fsync"))
    session.store.checkpoint()
    names = ["fsync", "fsync"]  # of the part and of the directory that it is in
    assert order[:5] == ["data", *names, "journal", "fsync"]
    session.store.suspend()


@pytest.mark.parametrize("what", ["good", "withdraw", "forget", "fail"])
def test_what_happens_during_the_flush(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The loop goes on while a worker flushes: only what was good before may count."""
    session = begin(into, journals, 2)
    sync = flush.sync_data

    def meanwhile(descriptor: int) -> None:
        sync(descriptor)
        match what:
            case "good":
                session.run([2])
            case "withdraw":
                session.store._holding.where[1] = 1  # as if it was held
                session.store._mixed.add(1)
                session.store._end = session.store._first
                session.half(1)
            case "forget":
                session.restart(1)
            case "fail":
                session.fail(1)

    monkeypatch.setattr(flush, "sync_data", meanwhile)
    session.store.checkpoint()
    monkeypatch.setattr(flush, "sync_data", sync)
    kill(session)
    second = Session(into, MANIFEST, DATA, journals)
    second.prepare()
    want = {"good": {0, 1}, "withdraw": {0}, "forget": set(), "fail": set()}
    assert second.held == want[what]
    second.run()
    second.finish()
    assert tree(into) == expected(MANIFEST, DATA)


def test_what_was_good_during_the_flush_counts_the_next_time(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(into, journals, 2)
    sync = flush.sync_data

    def meanwhile(descriptor: int) -> None:
        session.run([2])
        sync(descriptor)

    monkeypatch.setattr(flush, "sync_data", meanwhile)
    session.store.checkpoint()
    monkeypatch.setattr(flush, "sync_data", sync)
    assert session.store.unsaved == CHUNK
    session.store.checkpoint()
    kill(session)
    second = Session(into, MANIFEST, DATA, journals)
    second.prepare()
    assert second.held == {0, 1, 2}
    assert second.store.known(2) is not None
    second.store.suspend()


def test_a_thread_saves_while_another_stores(into: Path, journals: Journals) -> None:
    manifest = Manifest([file(b"%d" % number, CHUNK + number) for number in range(60)])
    data = content(manifest)
    session = Session(into, manifest, data, journals)
    session.prepare()
    over = threading.Event()
    failures: list[BaseException] = []

    def save() -> None:
        try:
            while not over.is_set():
                session.store.checkpoint()
        except BaseException as error:
            failures.append(error)

    worker = threading.Thread(target=save)
    worker.start()
    session.run(range(manifest.chunk_count - 1))
    over.set()
    worker.join()
    assert not failures
    session.store.checkpoint()
    kill(session)
    _, second = transfer(into, manifest, data, journals)
    assert second.held == set(range(manifest.chunk_count - 1))
    assert second.reread == 0
    assert tree(into) == expected(manifest, data)


@pytest.mark.parametrize("count", [3, 40])
def test_f14_a_flush_that_fails_is_final_and_the_last_checkpoint_counts(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    manifest = Manifest([file(b"%d" % number, 100) for number in range(count + 2)])
    data = content(manifest)
    session = Session(into, manifest, data, journals)
    session.prepare()
    session.run([0, 1])
    session.store.checkpoint()
    session.run(range(2, count + 2))
    calls: list[int] = []

    def failing(descriptor: int) -> bool:
        calls.append(descriptor)
        raise OSError(errno.EIO, "bad disk")

    monkeypatch.setattr(flush, "sync_data", failing)
    monkeypatch.setattr(flush, "sync_all", failing)
    with pytest.raises(StorageError, match="reports an error"):
        session.store.checkpoint()
    monkeypatch.undo()
    made = len(calls)
    with pytest.raises(StorageError):
        session.store.checkpoint()
    assert not session.store.due(1e9)
    session.store.suspend()
    assert len(calls) == made == 1
    second = Session(into, manifest, data, journals)
    second.prepare()
    assert second.held == {0, 1}
    second.run()
    second.finish()
    assert tree(into) == expected(manifest, data)


def test_f14_a_flush_that_fails_while_publishing_gives_no_name(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(into, journals, 3)
    session.store.checkpoint()
    session.run(range(3, 7))
    monkeypatch.setattr(flush, "sync_file", refuse(errno.EIO))
    with pytest.raises(StorageError):
        session.store.publish()
    monkeypatch.undo()
    session.store.suspend()
    assert not list(into.glob("[!.]*"))
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert second.held == {0, 1, 2}
    assert tree(into) == expected(MANIFEST, DATA)


def test_f12_a_full_disk_while_writing_down_costs_no_more_than_the_interval(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(into, journals, 2)
    session.store.checkpoint()
    session.run([2])
    monkeypatch.setattr(log, "_write", refuse(errno.ENOSPC))
    with pytest.raises(FullError):
        session.store.checkpoint()
    session.store.suspend()
    monkeypatch.undo()
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert second.held == {0, 1}
    assert tree(into) == expected(MANIFEST, DATA)


def test_f12_a_disk_that_is_full_when_an_identical_chunk_is_copied(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = bytearray(DATA[: 6 * CHUNK])
    old[0] ^= 1
    (into / "t").mkdir()
    (into / "t" / "a").write_bytes(old)
    session = begin(into, journals, 7)
    assert session.came == 2 * CHUNK
    monkeypatch.setattr("securecp.disk.digests.write_span", refuse(errno.ENOSPC))
    with pytest.raises(FullError):
        session.store.publish()
    session.store.suspend()
    monkeypatch.undo()
    report, second = transfer(into, MANIFEST, DATA, journals)
    assert second.came == 0
    assert report.published == 2


def test_f16_no_descriptors_left_ends_the_session_and_not_the_transfer(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    session = begin(into, journals, 3)
    session.store.checkpoint()
    monkeypatch.setattr("securecp.disk.at.create", refuse(errno.EMFILE))
    with pytest.raises(StorageError, match="too many files"):
        session.run([6])
    monkeypatch.undo()
    session.store.suspend()
    assert descriptors() == before
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert second.held == {0, 1, 2}


def test_a_part_that_vanishes_during_the_transfer_breaks_its_file_only(
    into: Path, journals: Journals
) -> None:
    session = begin(into, journals, 7)
    [part] = [path for path in parts(into) if path.is_file() and path.stat().st_size == CHUNK]
    part.unlink()
    session.store.checkpoint()
    assert [entry for entry, _ in session.store.broken()] == [2]
    session.store.failed(2)
    assert session.store.publish().published == 1


def test_f40_a_destination_that_is_removed_and_made_again_gets_nothing(
    into: Path, journals: Journals
) -> None:
    session = begin(into, journals, 1)
    session.store.checkpoint()
    moved = into.with_name("moved")
    into.rename(moved)
    into.mkdir()
    session.run([1])
    session.store.suspend()
    assert not list(into.iterdir())
    assert parts(moved)
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert not second.held
    assert tree(into) == expected(MANIFEST, DATA)
