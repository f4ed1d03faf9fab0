"""The plain calls for systems without directory descriptors, run here in place of the real ones."""

import os
from pathlib import Path

import pytest

from securecp.disk import (
    Store,
    TreeSource,
    base,
    calls,
    descent,
    digests,
    finals,
    layout,
    leftovers,
    opening,
    parts,
    plain,
    publishing,
    recovery,
    saving,
    scan,
    settle,
    state,
    store,
    sweep,
    tree,
)
from securecp.disk import source as source_module
from securecp.transfer.manifest import Manifest
from tests.disk.support import content, expected, file, folder, receive, slices
from tests.disk.support import tree as found

USERS = (
    *(
        base,
        calls,
        descent,
        digests,
        finals,
        layout,
        leftovers,
        opening,
        parts,
        publishing,
        recovery,
    ),
    *(saving, settle, state, store, sweep, tree, source_module),
)


@pytest.fixture(autouse=True)
def plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in USERS:
        monkeypatch.setattr(module, "at", plain)


ENTRIES = [
    folder(b"t"),
    file(b"a.txt", 10, 1),
    folder(b"s", 1),
    file(b"b", 9_000, 3),
    file(b"e", 0),
]


def test_a_transfer(tmp_path: Path) -> None:
    (tmp_path / "e").write_bytes(b"mine")
    report = receive(tmp_path, ENTRIES)
    manifest = Manifest(ENTRIES)
    want = expected(manifest, content(manifest))
    assert found(tmp_path) == dict(sorted({**want, "e": b"mine", "e (1)": b""}.items()))
    assert report.renamed == ((4, b"e (1)"),)
    assert not plain._paths


@pytest.mark.parametrize("conflict", ["rename", "skip", "overwrite"])
def test_conflicts(tmp_path: Path, conflict: str) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.txt").write_bytes(b"mine")
    receive(tmp_path, ENTRIES, conflict=conflict)
    assert ((tmp_path / "t" / "a.txt").read_bytes() == b"mine") == (conflict != "overwrite")
    assert (tmp_path / "t (1)").exists() == (conflict == "rename")


def test_abandon_and_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    into = tmp_path / "into"
    into.mkdir()
    (into / "t").symlink_to(outside)
    manifest = Manifest(ENTRIES)
    with Store(into, reserve=0, conflict="skip") as storing:
        storing.prepare(manifest)
        storing.store(0, slices(content(manifest), 500))
    assert os.listdir(into) == ["t"]
    assert not list(outside.iterdir())


def test_reading(tmp_path: Path) -> None:
    receive(tmp_path, ENTRIES)
    scanned = scan([tmp_path / "t", tmp_path / "e", tmp_path / "gone"])
    assert len(scanned.manifest.entries) == 5
    assert len(scanned.problems) == 1
    reading = TreeSource(scanned)
    buffer = bytearray(scanned.manifest.size)
    reading.fill(0, [memoryview(buffer)])
    assert bytes(buffer) == content(Manifest(ENTRIES))
    assert reading.unchanged(1)
    reading.close()
    assert not plain._paths
