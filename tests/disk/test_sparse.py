"""Chunks of zeros: holes in parts, claimed without being written (SPEC §9.7)."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from securecp.disk import space
from securecp.disk.journal import Journals
from securecp.transfer.entries import CHUNK
from securecp.transfer.holdings import zero_digest
from securecp.transfer.manifest import Manifest
from tests.disk.session import KEY, Session
from tests.disk.support import file, parts, tree

MANIFEST = Manifest([file(b"sparse", 8 * CHUNK + 9), file(b"other", CHUNK)])
DATA = bytes(2 * CHUNK) + b"x" * CHUNK + bytes(5 * CHUNK + 9) + b"y" * CHUNK
HOLES = [0, 1, *range(3, 9)]


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


def blocks(path: Path) -> int:
    return path.stat().st_blocks * 512


def begin(into: Path, journals: Journals | None, **options: bool) -> Session:
    session = Session(into, MANIFEST, DATA, journals, **options)
    session.prepare()
    return session


def holes(session: Session, numbers: list[int]) -> None:
    """The sender tells that these are zeros."""
    for number in numbers:
        if number not in session.held:
            session.store.zeros(range(number, number + 1))
    for number in numbers:
        assert session.compare(number)


@pytest.mark.parametrize("journal", [True, False])
def test_zeros_are_never_written(into: Path, journals: Journals, journal: bool) -> None:
    session = begin(into, journals if journal else None)
    holes(session, HOLES)
    assert session.reread == 0
    session.run([2, 9])
    report = session.finish()
    session.store.suspend()
    assert report.published == 2
    assert tree(into) == {"sparse": DATA[: 8 * CHUNK + 9], "other": b"y" * CHUNK}
    assert blocks(into / "sparse") <= CHUNK + 65_536


def test_a_file_of_nothing_but_zeros(into: Path, journals: Journals) -> None:
    manifest = Manifest([file(b"sparse", 3 * CHUNK + 1)])
    session = Session(into, manifest, bytes(manifest.size), journals)
    session.prepare()
    holes(session, [0, 1, 2, 3])
    assert session.finish().published == 1
    assert (into / "sparse").stat().st_size == manifest.size
    assert blocks(into / "sparse") == 0


def test_zeros_are_remembered(into: Path, journals: Journals) -> None:
    first = begin(into, journals)
    holes(first, HOLES)
    first.run([2])
    first.store.suspend()
    second = begin(into, journals)
    assert second.held == set(range(9))
    second.run()
    assert second.reread == 0
    assert second.came == CHUNK
    second.finish()
    assert tree(into) == {"sparse": DATA[: 8 * CHUNK + 9], "other": b"y" * CHUNK}


def test_zeros_in_a_part_that_was_touched_are_made_sure_of(into: Path, journals: Journals) -> None:
    first = begin(into, journals)
    holes(first, HOLES)
    first.run([2])
    first.store.suspend()
    [part] = parts(into)
    with part.open("r+b") as stream:
        stream.seek(CHUNK + 1)
        stream.write(b"not zero")
        stream.seek(5 * CHUNK)
        stream.write(b"nor this")
    second = begin(into, journals)
    second.run()
    assert second.reread == 9
    second.finish()
    assert tree(into) == {"sparse": DATA[: 8 * CHUNK + 9], "other": b"y" * CHUNK}


@pytest.mark.parametrize("zero", [0, 1, 2])
def test_holes_over_what_an_earlier_session_left(into: Path, journals: Journals, zero: int) -> None:
    """Bytes of a chunk that came in half and was forgotten are no zeros."""
    first = begin(into, journals)
    first.run([2])
    first.store.store(zero * CHUNK, [memoryview(b"z" * 1000)])
    first.store.suspend()
    data = bytearray(DATA)
    data[2 * CHUNK : 3 * CHUNK] = bytes(CHUNK)
    second = Session(into, MANIFEST, bytes(data), journals)
    second.prepare()
    second.restart(0)
    for number in range(9):
        second.store.zeros(range(number, number + 1))
        assert second.compare(number)
    second.run([9])
    second.finish()
    assert tree(into)["sparse"] == bytes(8 * CHUNK + 9)


def test_a_hole_that_was_no_hole_is_found_out(into: Path) -> None:
    session = begin(into, None)
    session.store.zeros(range(2, 3))
    assert session.store.known(2) == zero_digest(CHUNK)
    assert not session.compare(2)


def test_the_constant_is_the_digest_of_zeros() -> None:
    assert zero_digest(77) == blake3(bytes(77)).digest()


def test_resuming_100_gib_of_holes_is_quick(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "free", lambda _: (1 << 50, 1 << 51, 4096))
    count = 100 << 10
    manifest = Manifest([file(b"huge", count * CHUNK)])
    session = Session(into, manifest, b"", journals)
    session.prepare()
    session.store.zeros(range(1, count - 1))
    zero = zero_digest(CHUNK)
    for number in range(1, count - 1):
        session.store.good(number, zero)
    for number in (0, count - 1):
        session.store.store(number * CHUNK, [memoryview(b"x" * CHUNK)])
        session.store.good(number, blake3(b"x" * CHUNK).digest())
    session.store.suspend()
    began = time.perf_counter()
    second = Session(into, manifest, b"", journals)
    holdings = second.prepare()
    took = time.perf_counter() - began
    assert holdings.chunks == (range(count),)
    assert second.store.known(5) == zero
    assert second.store.known(0) == blake3(b"x" * CHUNK).digest()
    second.store.abandon()
    assert took < 3  # 0.1 s, when nothing else runs
