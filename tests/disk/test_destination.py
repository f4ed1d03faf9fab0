"""The destination against links, races, replacement and clean-up (FS rows)."""

import contextlib
import errno
import os
import stat
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from securecp.disk import Store, at, offer, sweep
from securecp.disk.names import PartNames, is_part, shown
from securecp.errors import StorageError
from securecp.transfer.manifest import Entry, Manifest
from tests.disk.support import (
    content,
    deliver,
    expected,
    file,
    folder,
    ordinary_user,
    parts,
    receive,
    slices,
    tree,
)

HOSTILE = [
    *(b"..", b".", b"", b"/", b"/etc/passwd", b"a/b", b"../x", b"x/", b"a\0b", b"\0", b"a" * 256),
    b".securecp-0123456789abcdef.part",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_fs01_a_hostile_name_that_slipped_through_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    monkeypatch.setattr("securecp.transfer.names.problem", lambda _: None)
    into = tmp_path / "into"
    into.mkdir()
    for entries in (
        [file(name, 3)],
        [folder(name), file(b"a", 3, 1)],
        [folder(b"t"), file(name, 3, 1)],
    ):
        with Store(into, reserve=0) as store, pytest.raises(StorageError):
            store.prepare(Manifest(entries))
    assert list(tree(tmp_path)) == ["into"]


@pytest.mark.parametrize(
    "entry",
    [
        file(b"a", 3, parent=9),
        file(b"a", 3, parent=1),
        file(b"a", 3, parent=-1),
        Entry(2, 0, b"a", 0, 0o777, 0, b"../../etc/passwd"),
        Entry(3, 0, b"a", 0, 0o644, 0),
        Entry(9, 0, b"a", 3, 0o644, 0),
        Entry(0, 0, b"a", -3, 0o644, 0),
        Entry(0, 0, b"a", 1 << 63, 0o644, 0),
    ],
)
def test_fs01_fs03_an_impossible_entry_is_refused(entry: Entry) -> None:
    """FS-03, FS-06: hard links and devices are kinds that do not exist."""
    with pytest.raises(StorageError):
        offer.check([file(b"first", 1), entry])


def test_fs11_too_deep_an_offer_is_refused() -> None:
    offer.check([folder(b"d", depth) for depth in range(64)])
    with pytest.raises(StorageError):
        offer.check([folder(b"d", depth) for depth in range(65)])


def swap_while(action: Callable[[], None], place: Path, outside: Path, swaps: int) -> int:
    """Exchange `place` for a link to `outside` again and again while the action runs."""
    stop = threading.Event()
    done = 0

    def swap() -> None:
        nonlocal done
        while not stop.is_set() and done < swaps:
            aside = place.with_name(f"aside{done}")
            for step in (
                partial(place.rename, aside),
                partial(place.symlink_to, outside),
                place.unlink,
                partial(aside.rename, place),  # unless the receiver has just made its own there
            ):
                with contextlib.suppress(OSError):
                    step()
            done += 1

    racer = threading.Thread(target=swap)
    racer.start()
    try:
        action()
    finally:
        stop.set()
        racer.join()
    return done


@pytest.mark.parametrize("conflict", ["skip", "overwrite"])
def test_fs04_folders_swapped_for_links_during_the_transfer(tmp_path: Path, conflict: str) -> None:
    into, outside = tmp_path / "into", tmp_path / "outside"
    outside.mkdir()
    (outside / "f0").write_bytes(b"precious")
    (into / "t" / "sub").mkdir(parents=True)
    entries = [folder(b"t"), folder(b"sub", 1), *(file(b"f%d" % n, 10, 2) for n in range(6))]
    # More directories than are kept open, so that the way down is walked again and again.
    for number in range(20):
        entries.append(folder(b"d%d" % number, 1))
        entries.append(file(b"f", 10, len(entries)))
    published = 0

    def transfers() -> None:
        nonlocal published
        for seed in range(25):
            with contextlib.suppress(StorageError):
                published += receive(into, entries, conflict=conflict, seed=seed).published

    assert swap_while(transfers, into / "t" / "sub", outside, 100_000)
    assert tree(outside) == {"f0": b"precious"}
    assert published


def test_fs04_a_component_swapped_before_it_is_entered_again(tmp_path: Path) -> None:
    """The race, won for certain: each folder is exchanged while its descriptor is closed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for replacement in ("link", "folder"):
        into = tmp_path / replacement
        into.mkdir()
        entries = [folder(b"t")]
        for number in range(40):
            entries.append(folder(b"d%d" % number, 1))
            entries.append(file(b"f", 10, len(entries)))
        manifest = Manifest(entries)
        data = content(manifest)
        with Store(into, reserve=0) as store:
            store.prepare(manifest)
            [top] = into.glob(".securecp-*")
            (top / "d0").rename(top / "moved")
            if replacement == "link":
                (top / "d0").symlink_to(outside)
            else:
                (top / "d0").mkdir()
            store.store(0, slices(data, 100))
            [(entry, reason)] = store.broken()
            assert entry == 2
            assert "replaced" in reason
            (top / "d0").unlink() if replacement == "link" else (top / "d0").rmdir()
        assert not list(outside.iterdir())


def test_fs05_a_destination_that_is_renamed_gets_the_files_all_the_same(tmp_path: Path) -> None:
    into, moved = tmp_path / "into", tmp_path / "moved"
    into.mkdir()
    entries = [folder(b"t"), file(b"a", 10, 1), file(b"b", 10)]
    manifest = Manifest(entries)
    data = content(manifest)
    with Store(into, reserve=0) as store:
        store.prepare(manifest)
        into.rename(moved)
        into.mkdir()
        deliver(store, manifest, data)
        store.publish()
    assert not tree(into)
    assert tree(moved) == expected(manifest, data)


def test_fs05_a_destination_that_is_removed_stops_with_an_error(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    manifest = Manifest([file(b"a", 10)])
    with Store(into, reserve=0) as store:
        store.prepare(manifest)
        into.rmdir()
        into.mkdir()
        with pytest.raises(StorageError, match="the destination is gone"):
            store.store(0, slices(content(manifest), 10))
    assert not tree(into)


def test_fs06_a_fifo_under_a_part_name_does_not_hold_us(tmp_path: Path) -> None:
    entries = [file(b"f%d" % number, 10) for number in range(40)]  # more than are kept open
    manifest = Manifest(entries)
    data = content(manifest)
    with Store(tmp_path, reserve=0) as store:
        store.prepare(manifest)
        store.store(0, slices(data[:10], 10))
        [part] = parts(tmp_path)
        part.unlink()
        os.mkfifo(part)
        store.store(10, slices(data[10:], 10))
        store.store(0, slices(data[:10], 10))
        assert [entry for entry, _ in store.broken()] == [0]
        assert not store.digest(manifest.chunk(0))
        assert not store.broken()
    assert part.is_fifo()


def test_fs06_what_is_opened_must_be_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    directory = at.pin(os.fsencode(tmp_path))
    try:
        for name in (b"fifo", b"folder"):
            with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
                at.open_file(directory, name, at.status(directory, name).st_ino)
    finally:
        at.close(directory)


def test_fs04_publishing_a_link_publishes_no_more_than_the_link(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "part").symlink_to("secret")
    directory = at.pin(os.fsencode(tmp_path))
    try:
        at.link(directory, b"part", b"file")
    finally:
        at.close(directory)
    assert (tmp_path / "file").is_symlink()
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_fs14_parts_are_hidden_private_and_unpredictable(tmp_path: Path) -> None:
    os.umask(old := os.umask(0))
    entries = [folder(b"t", mode=0o777), file(b"a", 10, 1, mode=0o777), file(b"b", 10, mode=0o777)]
    manifest = Manifest(entries)
    seen = set()
    for _ in range(2):
        with Store(tmp_path, reserve=0, umask=0) as store:
            store.prepare(manifest)
            store.store(0, slices(content(manifest), 10))
            assert not list(tmp_path.glob("[!.]*"))
            found = parts(tmp_path)
            assert len(found) == 3
            for path in found:
                assert is_part(path.name.encode())
                assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
                seen.add(path.name[18:26])  # before that stands whose it is
    assert len(seen) == 6
    assert os.umask(old) == old


def test_fs14_a_part_name_that_is_taken_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into, outside = tmp_path / "into", tmp_path / "outside"
    into.mkdir()
    outside.write_bytes(b"precious")
    monkeypatch.setattr(PartNames, "of", lambda _, number: b".securecp-%016x.part" % (number + 7))
    manifest = Manifest([file(b"a", 10)])
    with Store(into, reserve=0) as store:
        store.prepare(manifest)
        (into / ".securecp-0000000000000007.part").symlink_to(outside)
        with pytest.raises(StorageError):
            store.store(0, slices(content(manifest), 10))
    assert outside.read_bytes() == b"precious"


def leave(into: Path, *, age: float) -> None:
    """What a killed receiver leaves: a part, and a hidden tree with one more."""
    hidden = into / ".securecp-00000000000000aa.part"
    (hidden / "sub").mkdir(parents=True)
    for place in (into / ".securecp-00000000000000bb.part", hidden / "sub" / hidden.name):
        place.write_bytes(b"half")
    then = time.time() - age
    for path in [*into.rglob("*")]:
        os.utime(path, (then, then))


def test_fs14_old_parts_of_a_killed_receiver_are_swept(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    leave(tmp_path, age=sweep.AGE + 60)
    Store(tmp_path).abandon()
    assert tree(tmp_path) == {"file": b"mine"}


def test_fs17_young_parts_stay(tmp_path: Path) -> None:
    leave(tmp_path, age=60)
    Store(tmp_path).abandon()
    assert len(parts(tmp_path)) == 3


def test_fs17_nothing_is_swept_while_another_receiver_is_at_work(tmp_path: Path) -> None:
    with Store(tmp_path):
        leave(tmp_path, age=sweep.AGE + 60)
        Store(tmp_path).abandon()
        assert len(parts(tmp_path)) == 3
    Store(tmp_path).abandon()
    assert not parts(tmp_path)


def test_fs17_the_sweep_takes_nothing_but_parts(tmp_path: Path) -> None:
    into, outside = tmp_path / "into", tmp_path / "outside"
    into.mkdir()
    outside.mkdir()
    (outside / ".securecp-00000000000000cc.part").write_bytes(b"precious")
    leave(into, age=0)
    hidden = into / ".securecp-00000000000000aa.part"
    (hidden / "kept").write_bytes(b"no part")
    (hidden / "link").symlink_to(outside)
    (into / ".securecp-00000000000000dd.part").symlink_to(outside)
    (into / ".securecp-00000000000000ee.partial").write_bytes(b"another name")
    os.mkfifo(into / ".securecp-00000000000000ff.part")
    then = time.time() - sweep.AGE - 60
    for path in into.iterdir():
        os.utime(path, (then, then), follow_symlinks=False)
    Store(into).abandon()
    assert set(tree(outside)) == {".securecp-00000000000000cc.part"}
    assert {path.name for path in into.iterdir()} == {
        hidden.name,
        *(f".securecp-00000000000000{end}" for end in ("dd.part", "ee.partial", "ff.part")),
    }
    assert {path.name for path in hidden.iterdir()} == {"kept", "link"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can make another user's file")
def test_fs17_parts_of_another_user_stay(tmp_path: Path) -> None:
    leave(tmp_path, age=sweep.AGE + 60)
    for path in tmp_path.rglob("*"):
        os.chown(path, 65_534, 65_534)
    Store(tmp_path).abandon()
    assert len(parts(tmp_path)) == 3


def test_fs14_old_parts_in_a_merged_folder_are_swept(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    leave(tmp_path / "t", age=sweep.AGE + 60)
    receive(tmp_path, [folder(b"t"), file(b"a", 3, 1)], conflict="skip")
    assert list(tree(tmp_path)) == ["t", "t/a"]


def test_fs17_abandon_leaves_what_others_put_there(tmp_path: Path) -> None:
    manifest = Manifest([folder(b"t"), folder(b"u", 1), file(b"a", 10, 2)])
    store = Store(tmp_path, reserve=0)
    store.prepare(manifest)
    store.store(0, slices(content(manifest), 10))
    [top] = tmp_path.iterdir()
    (top / "theirs").write_bytes(b"theirs")
    store.abandon()
    assert tree(top) == {"theirs": b"theirs"}


def test_fs17_abandon_leaves_a_folder_that_took_the_place_of_ours(tmp_path: Path) -> None:
    manifest = Manifest([folder(b"t"), folder(b"u", 1)])
    store = Store(tmp_path, reserve=0)
    store.prepare(manifest)
    [top] = tmp_path.iterdir()
    top.rename(tmp_path / "moved")
    top.mkdir()
    store.abandon()
    assert top.is_dir()


def test_fs02_links_in_a_merged_tree_are_not_followed(tmp_path: Path) -> None:
    into, outside = tmp_path / "into", tmp_path / "outside"
    (into / "t").mkdir(parents=True)
    outside.mkdir()
    (into / "t" / "sub").symlink_to(outside)
    for conflict in ("skip", "overwrite"):
        receive(into, [folder(b"t"), folder(b"sub", 1), file(b"x", 9, 2)], conflict=conflict)
    assert not list(outside.iterdir())
    assert (into / "t" / "sub (1)" / "x").exists()
    assert (into / "t" / "sub").is_symlink()


def test_a_destination_we_may_not_write_to() -> None:
    with ordinary_user() as place:
        place.chmod(0o500)
        with pytest.raises(StorageError, match="no permission") as caught:
            Store(place)
        place.chmod(0o700)
    assert "--into" in caught.value.hint


def test_cl07_names_in_messages_are_harmless() -> None:
    assert shown(b"\x1b[2J\n\xff") == r"\x1b[2J\n\xff"
    assert shown("a\u202egpj".encode()) == r"a\u202egpj"
    assert len(shown(b"x" * 5_000)) == 200
