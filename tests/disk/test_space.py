"""Room on the disk: refused before, stopped during, and said in one line (MF-04, MF-21, F-12)."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.disk import Store, at, digests, flush, space, spans
from securecp.disk import store as store_module
from securecp.errors import FullError, StorageError
from securecp.transfer.manifest import Manifest
from tests.disk.support import content, deliver, file, folder, parts, slices, tree

GIB = 1 << 30


@pytest.mark.parametrize(
    ("total", "want"),
    [(64 << 20, (64 << 20) // 10), (10 * GIB, GIB), (20 * GIB, GIB), (1000 * GIB, 50 * GIB)],
)
def test_mf21_default_reserve(total: int, want: int) -> None:
    assert space.default_reserve(total) == want


@given(st.integers(0, 1 << 60))
def test_mf21_the_reserve_leaves_room_to_receive(total: int) -> None:
    assert 0 <= space.default_reserve(total) <= total // 10


@pytest.mark.parametrize("size", [1 << 62, (1 << 63) - 1])
def test_mf04_an_offer_that_cannot_fit_is_refused_before_anything_is_made(
    tmp_path: Path, size: int
) -> None:
    with Store(tmp_path, reserve=0) as store, pytest.raises(StorageError) as caught:
        store.prepare(Manifest([folder(b"t"), file(b"sparse", size, 1)]))
    assert f"{size + 2 * 4096:,} bytes are needed" in caught.value.message
    assert caught.value.hint
    assert not tree(tmp_path)


def test_mf04_empty_files_are_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "free", lambda _: (100 * 4096, 1 << 40, 4096))
    with Store(tmp_path, reserve=0) as store, pytest.raises(StorageError):
        store.prepare(Manifest([file(b"%d" % number, 0) for number in range(101)]))


def test_mf21_the_reserve_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "free", lambda _: (1_000_000, 1 << 40, 4096))
    with Store(tmp_path, reserve=900_000) as store, pytest.raises(StorageError):
        store.prepare(Manifest([file(b"a", 100_000)]))
    with Store(tmp_path, reserve=800_000) as store:
        store.prepare(Manifest([file(b"a", 100_000)]))
    with Store(tmp_path) as store, pytest.raises(StorageError, match="a reserve of 54,975,581,388"):
        store.prepare(Manifest([file(b"a", 1)]))


def test_mf04_nothing_is_allocated_before_it_is_earned(tmp_path: Path) -> None:
    manifest = Manifest([file(b"a", 1 << 30)])
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        store.store((1 << 30) - 100, slices(bytes(100), 100))
        [part] = parts(tmp_path)
        assert part.stat().st_blocks * 512 <= 1 << 20


def test_mf21_others_may_fill_the_disk_while_we_receive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_LOOK_EVERY", 1_000)
    manifest = Manifest([file(b"a", 10_000)])
    data = content(manifest)
    with Store(tmp_path, reserve=1 << 20) as store:
        store.prepare(manifest)
        store.store(0, slices(data[:2_000], 100))
        monkeypatch.setattr(space, "free", lambda _: ((1 << 20) - 1, 1 << 40, 4096))
        with pytest.raises(StorageError, match="7,000 bytes are still needed"):
            store.store(2_000, slices(data[2_000:3_000], 100))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full, 10 bytes are still needed"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "no permission"),
        (errno.EMFILE, "too many files are open"),
        (errno.EXDEV, os.strerror(errno.EXDEV)),
    ],
)
def test_f12_every_error_of_the_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(store_module, "write_span", refuse)
    manifest = Manifest([file(b"name.txt", 10)])
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        with pytest.raises(StorageError) as caught:
            store.store(0, slices(bytes(10), 10))
    assert words in caught.value.message
    assert "name.txt" in caught.value.message
    assert "\n" not in caught.value.message
    assert not tree(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_f12_a_full_disk_is_told_with_the_bytes_that_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    manifest = Manifest([file(b"a", 10), file(b"b", 90)])
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        store.store(0, slices(bytes(10), 10))
        monkeypatch.setattr(store_module, "write_span", refuse)
        with pytest.raises(FullError) as caught:
            store.store(10, slices(bytes(10), 10))
    assert caught.value.needed == 90


@pytest.mark.parametrize("code", [errno.EIO, errno.EFBIG])
def test_f13_an_error_of_one_file_breaks_that_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    whole = spans.write_span

    def refuse(descriptor: int, position: int, some: list[memoryview], length: int) -> None:
        if bytes(some[0][:1]) == b"b":
            raise OSError(code, os.strerror(code))
        whole(descriptor, position, some, length)

    monkeypatch.setattr(store_module, "write_span", refuse)
    manifest = Manifest([file(b"a", 10), file(b"b", 10), file(b"c", 10)])
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        store.store(0, slices(b"a" * 10 + b"b" * 10 + b"c" * 10, 10))
        [(entry, reason)] = store.broken()
        assert entry == 1
        assert reason in (
            "the disk reports an error",
            "the file system does not take files that large",
        )
        store.store(10, slices(b"b" * 10, 10))  # what is still under way is dropped
        assert not store.broken()
        for number in (0, 1, 2):
            store.ready(number)
        store.failed(1)
        assert store.publish().published == 2
    assert tree(tmp_path) == {"a": b"a" * 10, "c": b"c" * 10}


def test_f13_an_error_of_reading_back_breaks_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest([file(b"a", 10)])
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        store.store(0, slices(bytes(10), 10))

        def refuse(*_: object) -> int:
            raise OSError(errno.EIO, "bad disk")

        monkeypatch.setattr(digests, "read_span", refuse)
        assert store.digest(manifest.chunk(0)) == b""
        assert store.broken() == [(0, "the disk reports an error")]


def test_f13_an_error_of_closing_breaks_the_file_that_was_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = at.close_written
    failing = False

    def failing_once(descriptor: int) -> None:
        nonlocal failing
        close(descriptor)
        if failing:
            failing = False
            raise OSError(errno.EIO, "bad disk")

    monkeypatch.setattr(at, "close_written", failing_once)
    manifest = Manifest([file(b"%d" % number, 10) for number in range(40)])
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        store.store(0, slices(bytes(10), 10))
        failing = True
        for number in range(1, 40):  # more files than are kept open
            store.store(10 * number, slices(bytes(10), 10))
        assert store.broken() == [(0, "the disk reports an error")]


@pytest.mark.parametrize("count", [3, 40])
def test_f12_an_error_of_the_flush_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "bad disk")

    monkeypatch.setattr(flush, "sync_all", refuse)
    monkeypatch.setattr(os, "fsync", refuse)
    manifest = Manifest([file(b"%d" % number, 10) for number in range(count)])
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        deliver(store, manifest, content(manifest))
        with pytest.raises(StorageError, match="reports an error"):
            store.publish()
        assert not list(tmp_path.glob("[!.]*"))
    assert not tree(tmp_path)


@pytest.mark.parametrize(("count", "syncfs"), [(3, True), (40, True), (40, False)])
def test_f12_content_is_flushed_before_it_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, syncfs: bool
) -> None:
    log: list[str] = []
    link, fsync, sync_all = at.link, os.fsync, flush.sync_all

    def logged_link(parent: int, name: bytes, new: bytes) -> None:
        log.append("link")
        link(parent, name, new)

    def logged_fsync(descriptor: int) -> None:
        log.append("fsync")
        fsync(descriptor)

    def logged_sync(descriptor: int) -> bool:
        log.append("syncfs")
        return syncfs and sync_all(descriptor)

    monkeypatch.setattr(at, "link", logged_link)
    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(flush, "sync_all", logged_sync)
    manifest = Manifest([folder(b"t"), *(file(b"%d" % number, 10, 1) for number in range(count))])
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        deliver(store, manifest, content(manifest))
        store.publish()
    first = log.index("link")
    before, after = log[:first], log[first + count :]
    assert log[first : first + count] == ["link"] * count
    if count <= flush.FEW:
        assert before == ["fsync"] * count
        assert after == ["fsync"] * 3  # the folder, the destination, and it again once t has a name
    elif syncfs:
        assert before == ["syncfs"]
        assert after == ["syncfs", "fsync"]
    else:
        assert before == ["syncfs", *["fsync"] * count]
        assert after == ["syncfs", *["fsync"] * 3]


def test_sync_all_works_or_says_that_it_cannot(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert flush.sync_all(descriptor) in (True, False)
        assert not flush.sync_all(-2)
    finally:
        os.close(descriptor)
    if sys.platform == "linux":
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            flush.sync_all(descriptor)


ON_A_SMALL_DISK = """
import json, os, subprocess, sys
from pathlib import Path
from securecp.disk import Store
from securecp.errors import StorageError
from tests.disk.support import *
place = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", place], check=True)
big = Manifest([folder(b"t"), file(b"a", 1 << 20, 1), file(b"b", 5 << 20, 1)])
data = content(big)
found = {}
with Store(place) as store:
    try:
        store.prepare(Manifest([file(b"a", 9 << 20)]))
    except StorageError as error:
        found["refused"] = error.message
receive(place, [file(b"mine", 1 << 20)])
with Store(place) as store:
    store.prepare(big)
    store.store(0, slices(data[:1 << 20], 1000))
    (place / "others").write_bytes(bytes(2 << 20))
    try:
        store.store(1 << 20, slices(data[1 << 20:], 50_000))
    except StorageError as error:
        found["full"] = error.message
        found["hint"] = error.hint
found["after"] = sorted(tree(place))
(place / "others").unlink()
found["again"] = receive(place, big.entries).published
subprocess.run(["mount", "-o", "remount,ro", place], check=True)
try:
    Store(place)
except StorageError as error:
    found["read_only"] = error.message
print(json.dumps(found))
"""


def in_namespace(script: str, place: Path) -> str:
    """What the script prints, run where it may mount; skips the test where nobody may."""
    unshare = shutil.which("unshare")
    mount = ["-Urm", "mount", "-t", "tmpfs", "none", str(place)]
    if unshare is None or subprocess.run([unshare, *mount], check=False).returncode:
        pytest.skip("NOT TESTED HERE: no permission to mount a small file system in a namespace")
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [unshare, "-Urm", sys.executable, "-c", script, str(place)],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert not run.returncode, run.stderr
    return run.stdout


def test_f12_mf04_on_a_disk_that_is_really_too_small(tmp_path: Path) -> None:
    found = json.loads(in_namespace(ON_A_SMALL_DISK, tmp_path))
    assert "9,441,280 bytes are needed" in found["refused"]
    assert "the disk is full" in found["full"]
    assert "5,242,880 bytes are still needed" in found["full"]
    assert "same command" in found["hint"]
    assert found["after"] == ["mine", "others"]
    assert found["again"] == 2
    assert "read-only" in found["read_only"]


RESUMED_ON_A_SMALL_DISK = """
import json, subprocess, sys
from pathlib import Path
from securecp.disk.journal import Journals
from securecp.errors import FullError
from tests.disk.session import KEY, Session
from tests.disk.support import *
place = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", place], check=True)
(place / "into").mkdir()
journals = Journals(place / "state", KEY)
big = Manifest([folder(b"t"), file(b"a", 5 << 20, 1), file(b"b", 1 << 20)])
data = content(big)
found = {}
session = Session(place / "into", big, data, journals)
session.prepare()
(place / "others").write_bytes(bytes(4 << 20))
try:
    session.run()
except FullError as error:
    found["needed"] = error.needed
found["came"] = session.came
session.store.suspend()
again = Session(place / "into", big, data, journals)
try:
    again.prepare()
except FullError as error:
    found["still"] = error.needed
found["unfinished"] = len(journals.unfinished())
(place / "others").unlink()
last = Session(place / "into", big, data, journals)
last.prepare()
last.run()
found["published"] = last.finish().published
found["rest"] = last.came
found["right"] = tree(place / "into") == expected(big, data)
print(json.dumps(found))
"""


def test_f12_a_full_disk_is_gone_on_with_when_there_is_room(tmp_path: Path) -> None:
    found = json.loads(in_namespace(RESUMED_ON_A_SMALL_DISK, tmp_path))
    size = 6 << 20
    assert found["came"] >= 3 << 20
    assert 0 < found["needed"] <= size - found["came"]
    assert found["rest"] == size - found["came"]
    assert found["still"] >= found["rest"]
    assert found["unfinished"] == 1
    assert found["published"] == 2
    assert found["right"]


BOUND = """
import subprocess, sys
from pathlib import Path
from tests.disk.support import *
into, other = Path(sys.argv[1], "into"), Path(sys.argv[1], "other")
(into / "t").mkdir(parents=True)
other.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "none", other], check=True)
subprocess.run(["mount", "--bind", other, into / "t"], check=True)
entries = [folder(b"t"), *(file(b"%d" % n, 9, 1) for n in range(20)), folder(b"u", 1)]
entries.append(file(b"x", 9, 22))
assert receive(into, entries, conflict="skip").published == 21
assert len(tree(other)) == 22 and not list(Path(into).glob(".*"))
"""


def test_fs19_a_folder_on_another_mount(tmp_path: Path) -> None:
    in_namespace(BOUND, tmp_path)
