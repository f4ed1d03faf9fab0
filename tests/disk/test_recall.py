"""F-02, MF-07: a transfer that was cut off goes on with what its sender remembers of the files."""

import os
import random
from pathlib import Path
from typing import ClassVar

import pytest

from securecp.disk import Scan, TreeSource
from securecp.disk.memory import Memory
from securecp.transfer.manifest import CHUNK, Chunk
from tests.disk.journey import Journey
from tests.disk.support import parts


class CountingSource(TreeSource):
    """Notes which chunks are read for their digests, and how much for the wire."""

    digested: ClassVar[list[int]] = []
    filled: ClassVar[list[int]] = []

    def digest(self, chunk: Chunk) -> bytes | None:
        self.digested.append(chunk.number)
        return super().digest(chunk)

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        self.filled.append(sum(map(len, slots)))
        super().fill(offset, slots)


@pytest.fixture
def cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A transfer of 6 chunks of which some have arrived; both ends remember it."""
    monkeypatch.setattr("securecp.disk.source._RACY", -(1 << 62))
    monkeypatch.setattr(CountingSource, "digested", [])
    monkeypatch.setattr(CountingSource, "filled", [])
    place, into = tmp_path / "t", tmp_path / "into"
    place.mkdir()
    into.mkdir()
    (place / "f").write_bytes(random.Random(1).randbytes(6 * CHUNK))
    (place / "small").write_bytes(b"small")
    os.utime(place, ns=(1, 1))
    Journey([place], into, state=tmp_path / "state").cut_off(0.15)
    assert parts(into)
    return place


def test_f02_what_arrived_is_neither_sent_nor_read_again(tmp_path: Path, cut_off: Path) -> None:
    again = Journey(
        [cut_off], tmp_path / "into", state=tmp_path / "state", source=CountingSource
    ).run()
    assert not again.failed
    assert again.done.saved >= 2 * CHUNK
    assert sum(CountingSource.filled) + again.done.saved <= again.scan.manifest.size + CHUNK
    assert CountingSource.digested == []
    assert (tmp_path / "into" / "t" / "f").read_bytes() == (cut_off / "f").read_bytes()
    assert list((tmp_path / "state" / "sent").iterdir()) == []


@pytest.mark.parametrize("change", ["in place", "replaced"])
def test_mf07_what_arrived_is_not_mixed_with_what_the_file_is_now(
    tmp_path: Path, cut_off: Path, change: str
) -> None:
    """Edited between the runs and its times set back: the manifest is the same one."""
    file = cut_off / "f"
    before, old = file.stat(), file.read_bytes()
    if change == "replaced":
        file.rename(tmp_path / "old")
    file.write_bytes(bytes(byte ^ 1 for byte in old))
    os.utime(file, ns=(0, before.st_mtime_ns))
    os.utime(cut_off, ns=(1, 1))
    again = Journey(
        [cut_off], tmp_path / "into", state=tmp_path / "state", source=CountingSource
    ).run()
    assert not again.failed
    assert CountingSource.digested
    assert (tmp_path / "into" / "t" / "f").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("change", ["in place", "replaced"])
def test_mf07_a_file_edited_after_some_of_it_was_recalled_restarts(
    tmp_path: Path, cut_off: Path, change: str
) -> None:
    """Its first digests come from the memory, of what it was; the rest would be read."""
    file = cut_off / "f"
    before, old = file.stat(), file.read_bytes()
    edits: list[int] = []

    class Source(TreeSource):
        def fill(self, offset: int, slots: list[memoryview]) -> None:
            if not edits and self._recalled:
                edits.append(offset)
                if change == "replaced":
                    file.rename(tmp_path / "old")
                file.write_bytes(bytes(byte ^ 1 for byte in old))
                os.utime(file, ns=(0, before.st_mtime_ns))
            super().fill(offset, slots)

    again = Journey([cut_off], tmp_path / "into", state=tmp_path / "state", source=Source).run()
    assert edits
    assert not again.failed
    assert (tmp_path / "into" / "t" / "f").read_bytes() == file.read_bytes() != old


def test_verify_reads_all_of_it_again(tmp_path: Path, cut_off: Path) -> None:
    """And so finds what no time tells: bytes that went bad on the sender's disk."""

    def source(found: Scan, *, memory: Memory | None) -> TreeSource:
        return CountingSource(found, memory=memory, verify=True)

    again = Journey([cut_off], tmp_path / "into", state=tmp_path / "state", source=source).run()
    assert not again.failed
    assert again.done.saved >= 2 * CHUNK
    assert len(CountingSource.digested) >= again.done.saved // CHUNK
