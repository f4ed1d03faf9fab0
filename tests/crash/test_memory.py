"""What a sender remembers, after a power cut: a digest that it believes is the file's."""

import os
from pathlib import Path
from random import Random

from blake3 import blake3

from securecp.disk import TreeSource, scan
from securecp.disk.memory import Memories
from securecp.transfer.manifest import Manifest
from tests.crash.disk import Disk
from tests.crash.meeting import SMALL, small_chunks
from tests.crash.model import Style
from tests.disk.session import KEY

STATES = 150


def _run(disk: Disk, contents: dict[str, bytes], *, every: int) -> list[tuple[int, set[int]]]:
    """Tell and remember all digests; what each save had promised, and at which step."""
    promised: list[tuple[int, set[int]]] = []
    with disk.watched():
        scanned = scan([disk.place / "files" / name for name in contents])
        memory = Memories(disk.place / "home" / "memory", KEY).open(scanned)
        source = TreeSource(scanned, memory=memory, to=b"bob")
        told: set[int] = set()
        for number in range(scanned.manifest.chunk_count):
            digest = _digest(scanned.manifest, contents, number)
            known = source.known(scanned.manifest.chunk(number))
            assert known in (None, digest), "a digest that is not the file's is believed"
            if known is None:
                source.learned(number, digest)
            told.add(number)
            if number % every == every - 1:
                source.save()
                promised.append((disk.record.step, set(told)))
        source.close()
        promised.append((disk.record.step, set(told)))
    return promised


def _digest(manifest: Manifest, contents: dict[str, bytes], number: int) -> bytes:
    chunk = manifest.chunk(number)
    data = contents[os.fsdecode(manifest.entries[chunk.entry].name)]
    return blake3(data[chunk.start : chunk.start + chunk.length]).digest()


def _known(disk: Disk, contents: dict[str, bytes]) -> set[int]:
    with disk.watched():
        scanned = scan([disk.place / "files" / name for name in contents])
        source = TreeSource(
            scanned, memory=Memories(disk.place / "home" / "memory", KEY).open(scanned), to=b"bob"
        )
        manifest = scanned.manifest
        found = set()
        for number in range(manifest.chunk_count):
            known = source.known(manifest.chunk(number))
            if known is not None:
                assert known == _digest(manifest, contents, number)
                found.add(number)
        source.close()
    return found


def test_f17_f18_what_a_power_cut_leaves_of_a_memory_is_never_wrong(memory: Path) -> None:
    rng = Random(17)
    contents = {"a": rng.randbytes(5 * SMALL + 3), "b": rng.randbytes(2 * SMALL)}
    place = memory / "place"
    (place / "files").mkdir(parents=True)
    (place / "home").mkdir()
    for name, data in contents.items():
        (place / "files" / name).write_bytes(data)
    with small_chunks():
        first = Disk(place)
        promised = _run(first, contents, every=2)
        for _ in range(STATES):
            at = rng.randint(0, first.record.step)
            disk = Disk(place, first.record.crash(at, Style.drawn(rng), rng), former=first)
            due = [told for step, told in promised if step <= at]
            found = _known(disk, contents)
            assert not due or due[-1] <= found
            _run(disk, contents, every=3)
            assert len(_known(disk, contents)) == 8
