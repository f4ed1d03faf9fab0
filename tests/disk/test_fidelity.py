"""What arrives is what was sent: names, bytes, times, modes, holes, links, and nothing else."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.disk import Store, TreeSource, scan
from securecp.transfer import names
from securecp.transfer.manifest import CHUNK, DIRECTORY, FILE
from tests.disk.journey import Journey
from tests.disk.legal import legal_names
from tests.disk.support import parts


class Seen(NamedTuple):
    """All of a file, directory or link that a transfer keeps."""

    kind: int
    content: bytes
    """Bytes of a file, target of a link."""
    mode: int
    mtime_ns: int


def seen(root: Path) -> dict[bytes, Seen]:
    """Everything below `root` by its path; times of links are not compared."""
    found = {}
    for place, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            path = place + b"/" + name
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            data = b""
            if kind == stat.S_IFREG:
                with open(path, "rb") as stream:
                    data = stream.read()
            elif kind == stat.S_IFLNK:
                data = os.fsencode(Path(os.fsdecode(path)).readlink())
            mtime_ns = 0 if kind == stat.S_IFLNK else status.st_mtime_ns
            key = path[len(os.fsencode(root)) + 1 :]
            found[key] = Seen(kind, data, stat.S_IMODE(status.st_mode), mtime_ns)
    return found


def sent(tmp_path: Path, *paths: Path, **scanning: bool) -> Path:
    """Send it all; nothing may be left out."""
    into = tmp_path / "into"
    into.mkdir()
    storing = {"umask": 0o022, "symlinks": scanning.get("symlinks", False)}
    transfer = Journey(paths, into, scanning=scanning, storing=storing).run()
    assert not transfer.scan.problems
    assert not transfer.failed
    assert parts(into) == []
    return into


def write(folder: Path, name: bytes, data: bytes) -> None:
    (folder / os.fsdecode(name)).write_bytes(data)


def test_names_of_every_legal_kind_arrive_byte_for_byte(tmp_path: Path) -> None:
    source = tmp_path / "from"
    source.mkdir()
    for number, name in enumerate(legal_names()):
        write(source, name, b"%d" % number)
        folder = source / os.fsdecode(b"d" + name[:-1])
        folder.mkdir(exist_ok=True)
        write(folder, name, b"in %d" % number)
    into = sent(tmp_path, source)
    assert seen(into / "from") == seen(source)


_component = st.binary(min_size=1, max_size=30).filter(lambda name: names.problem(name) is None)


@settings(max_examples=25)
@given(st.dictionaries(_component, st.binary(max_size=200), min_size=1, max_size=8))
def test_any_names_and_contents_arrive(
    tmp_path_factory: pytest.TempPathFactory, files: dict[bytes, bytes]
) -> None:
    tmp_path = tmp_path_factory.mktemp("any")
    source = tmp_path / "from"
    source.mkdir()
    for name, data in files.items():
        write(source, name, data)
    into = sent(tmp_path, source)
    assert seen(into / "from") == seen(source)


def test_fs12_unsafe_names_arrive_under_safe_ones_if_wanted(tmp_path: Path) -> None:
    source = tmp_path / "from"
    (source / "a\nfolder").mkdir(parents=True)
    write(source / "a\nfolder", b"back\\slash", b"1")
    write(source, b"esc\x1b[2J", b"2")
    write(source, b"back_slash", b"3")
    write(source, b"back\\slash", b"4")
    into = sent(tmp_path, source, rename_unsafe=True)
    arrived = {path: entry.content for path, entry in seen(into / "from").items()}
    assert arrived == {
        "a\u240afolder".encode(): b"",
        "a\u240afolder/back_slash".encode(): b"1",
        "esc\u241b[2J".encode(): b"2",
        b"back_slash": b"3",
        b"back_slash (1)": b"4",
    }


def test_empty_everything_arrives(tmp_path: Path) -> None:
    source = tmp_path / "from"
    (source / "empty" / "emptier").mkdir(parents=True)
    (source / "nothing").touch()
    (source / "empty" / "nothing").touch()
    (tmp_path / "alone").touch()
    (tmp_path / "hollow").mkdir()
    into = sent(tmp_path, source, tmp_path / "alone", tmp_path / "hollow")
    assert seen(into / "from") == seen(source)
    assert (into / "alone").read_bytes() == b""
    assert (into / "hollow").is_dir()


@pytest.mark.parametrize(
    "mtime_ns", [0, 1, 999_999_999, -1, -(10**18), 1_600_000_000_123_456_789, 2**32 * 10**9 + 7]
)
def test_times_arrive_to_the_nanosecond(tmp_path: Path, mtime_ns: int) -> None:
    source = tmp_path / "from"
    (source / "d").mkdir(parents=True)
    (source / "d" / "f").write_bytes(b"x")
    for path in (source / "d" / "f", source / "d", source):
        os.utime(path, ns=(mtime_ns, mtime_ns))
    kept = (source / "d" / "f").stat().st_mtime_ns
    into = sent(tmp_path, source)
    assert {entry.mtime_ns for entry in seen(into).values()} == {kept}


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o700, 0o600, 0o400, 0o500, 0o4755, 0o666])
def test_the_users_rights_arrive_and_no_others(tmp_path: Path, mode: int) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "f").chmod(mode)
    into = sent(tmp_path, tmp_path / "f")
    user = mode >> 6 & 7
    assert (into / "f").stat().st_mode & 0o7777 == (user * 0o111 & ~0o022) | 0o400


def test_fifty_levels_arrive(tmp_path: Path) -> None:
    source = tmp_path / "from"
    deep = source.joinpath(*(f"level {number}" for number in range(49)))
    deep.mkdir(parents=True)
    (deep / "bottom").write_bytes(b"here")
    into = sent(tmp_path, source)
    assert seen(into / "from") == seen(source)


def test_sparse_files_arrive_sparse(tmp_path: Path) -> None:
    source = tmp_path / "from"
    source.mkdir()
    layouts = {
        "all hole": (60 * CHUNK, ()),
        "odd end": (5 * CHUNK + 4_097, ((CHUNK + 10, b"data"),)),
        "islands": (
            40 * CHUNK,
            ((0, b"first"), (20 * CHUNK, b"x" * 9_000), (40 * CHUNK - 1, b"z")),
        ),
    }
    for name, (size, written) in layouts.items():
        with (source / name).open("wb") as stream:
            stream.truncate(size)
            for position, data in written:
                stream.seek(position)
                stream.write(data)
    into = tmp_path / "into"
    into.mkdir()
    transfer = Journey([source], into).run()
    assert not transfer.failed
    assert transfer.done.saved == transfer.scan.manifest.size - 4 * CHUNK
    assert transfer.done.sent < 6 * CHUNK
    for name, (size, written) in layouts.items():
        status = (into / "from" / name).stat()
        assert status.st_size == size
        assert status.st_blocks * 512 <= len(written) * CHUNK
        assert (into / "from" / name).read_bytes() == (source / name).read_bytes()


def test_fs08_links_arrive_if_both_want_them(tmp_path: Path) -> None:
    source = tmp_path / "from"
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "file").write_bytes(b"x")
    for name, target in {
        "l": "a/file",
        "a/up": "../a",
        "gone": "nothing",
        "a/b/loop": "loop",
    }.items():
        (source / name).symlink_to(target)
    into = sent(tmp_path, source, symlinks=True)
    assert seen(into / "from") == seen(source)


def test_f13_a_file_that_cannot_be_read_fails_and_the_others_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "from"
    source.mkdir()
    for name in "abc":
        (source / name).write_bytes(name.encode() * (CHUNK + 7))
    inode = (source / "b").stat().st_ino
    real = os.preadv

    def preadv(descriptor: int, slots: list[memoryview], position: int) -> int:
        bad = position + sum(map(len, slots)) > CHUNK
        if bad and os.fstat(descriptor).st_ino == inode:
            raise OSError(5, "Input/output error")
        return real(descriptor, slots, position)

    monkeypatch.setattr("securecp.disk.spans._read", lambda d, s, p: preadv(d, list(s), p))
    into = tmp_path / "into"
    into.mkdir()
    transfer = Journey([source], into).run()
    assert set(transfer.failed) == {b"from/b"}
    assert not (into / "from" / "b").exists()
    for name in "ac":
        assert (into / "from" / name).read_bytes() == (source / name).read_bytes()


COUNT = 100_000 if os.environ.get("SECURECP_THOROUGH") else 3_000


def test_very_many_files_arrive(tmp_path: Path) -> None:
    """Disk to disk, the network left out."""
    source = tmp_path / "from"
    for number in range(COUNT):
        folder = source / f"{number // 1_000:03}"
        if not number % 1_000:
            folder.mkdir(parents=True)
        (folder / f"{number}").write_bytes(b"%d" % number)
    found = scan([source])
    assert found.manifest.files == COUNT
    into = tmp_path / "into"
    into.mkdir()
    reading = TreeSource(found)
    buffer = memoryview(bytearray(1 << 16))
    with Store(into, reserve=0) as store:
        store.prepare(found.manifest)
        for start in range(0, found.manifest.size, len(buffer)):
            piece = buffer[: min(len(buffer), found.manifest.size - start)]
            reading.fill(start, [piece])
            store.store(start, [piece])
        for number in range(found.manifest.chunk_count):
            chunk = found.manifest.chunk(number)
            digest = reading.digest(chunk)
            assert digest is not None and store.digest(chunk) == digest
            store.good(number, digest)
        for index, entry in enumerate(found.manifest.entries):
            if entry.kind == FILE:
                store.ready(index)
        report = store.publish()
    reading.close()
    assert report.published == COUNT
    for index in range(0, len(found.manifest.entries), 97):
        path = os.fsdecode(b"/".join(found.manifest.path(index)))
        if found.manifest.entries[index].kind != DIRECTORY:
            assert (into / path).read_bytes() == (tmp_path / path).read_bytes()
