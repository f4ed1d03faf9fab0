"""What a sender remembers: only of files that are as they were, and never more than work saved."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from securecp.disk import Scan, TreeSource, scan
from securecp.disk.memory import LIFETIME, SAVE_BYTES, Memories, Memory
from securecp.transfer.manifest import CHUNK
from tests.disk.support import descriptors

KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files made a moment ago are not remembered; here they are."""
    monkeypatch.setattr("securecp.disk.source._RACY", -(1 << 62))


def make(place: Path, sizes: list[int]) -> Path:
    place.mkdir()
    for number, size in enumerate(sizes):
        (place / f"{number:04}").write_bytes(bytes([number]) * size)
    return place


def tell_all(source: TreeSource, found: Scan, count: int | None = None) -> dict[int, bytes]:
    """Read and tell the first chunks."""
    told = {}
    for number in range(found.manifest.chunk_count if count is None else count):
        chunk = found.manifest.chunk(number)
        digest = source.digest(chunk)
        assert digest is not None
        source.learned(number, digest)
        told[number] = digest
    return told


def known(source: TreeSource, found: Scan) -> dict[int, bytes]:
    numbers = range(found.manifest.chunk_count)
    all_known = ((number, source.known(found.manifest.chunk(number))) for number in numbers)
    return {number: digest for number, digest in all_known if digest is not None}


def interrupted(memories: Memories, place: Path, count: int | None = None) -> dict[int, bytes]:
    """A run that tells something, and ends."""
    found = scan([place])
    source = TreeSource(found, memory=memories.open(found))
    told = tell_all(source, found, count)
    source.close()
    return told


def remembered(memories: Memories, place: Path, *, verify: bool = False) -> dict[int, bytes]:
    """What a later run knows."""
    found = scan([place])
    source = TreeSource(found, memory=memories.open(found), verify=verify)
    try:
        return known(source, found)
    finally:
        source.close()


def test_f02_a_later_run_knows_what_was_told(tmp_path: Path) -> None:
    place = make(tmp_path / "t", [CHUNK + 1, 0, 10, 2 * CHUNK])
    memories = Memories(tmp_path / "home" / "memory", KEY)
    before = descriptors()
    told = interrupted(memories, place, count=3)
    assert remembered(memories, place) == told
    more = interrupted(memories, place)
    assert set(more) == set(range(5))
    assert remembered(memories, place) == more
    assert descriptors() == before
    assert (tmp_path / "home" / "memory").stat().st_mode & 0o777 == 0o700
    [file] = (tmp_path / "home" / "memory").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_verify_reads_everything_again(tmp_path: Path) -> None:
    place = make(tmp_path / "t", [10])
    memories = Memories(tmp_path / "memory", KEY)
    assert interrupted(memories, place)
    assert remembered(memories, place, verify=True) == {}
    assert remembered(memories, place)


def rewrite(path: Path) -> None:
    """The worst case: other content, same size, the time set back."""
    times = path.stat()
    path.write_bytes(b"X" * times.st_size)
    while path.stat().st_ctime_ns == times.st_ctime_ns:  # a tick is up to 10 ms
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(b"X" * path.stat().st_size)
    os.utime(new, ns=(path.stat().st_mtime_ns,) * 2)
    new.replace(path)


@pytest.mark.parametrize("change", [rewrite, replace])
def test_mf07_a_file_that_was_touched_is_read_again(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    place = make(tmp_path / "t", [10, 20, 30])
    memories = Memories(tmp_path / "memory", KEY)
    told = interrupted(memories, place)
    folder = place.stat()
    change(place / "0001")
    os.utime(place, ns=(folder.st_atime_ns, folder.st_mtime_ns))
    assert remembered(memories, place) == {0: told[0], 2: told[2]}
    assert interrupted(memories, place)[1] == blake3(b"X" * 20).digest()
    assert set(remembered(memories, place)) == {0, 1, 2}
    assert remembered(memories, place)[1] == blake3(b"X" * 20).digest()


@pytest.mark.parametrize("change", [rewrite, replace, Path.unlink])
def test_mf07_a_file_touched_after_the_offer_is_not_known(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    place = make(tmp_path / "t", [10, 20])
    memories = Memories(tmp_path / "memory", KEY)
    interrupted(memories, place)
    found = scan([place])
    source = TreeSource(found, memory=memories.open(found))
    change(place / "0000")
    assert set(known(source, found)) == {1}
    source.close()


@pytest.mark.parametrize("change", [rewrite, replace, Path.unlink])
def test_mf07_a_file_touched_after_its_digests_were_recalled_is_found_out(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Or chunks that are told from memory and chunks that are read would be of two states."""
    place = make(tmp_path / "t", [CHUNK + 1, 20])
    memories = Memories(tmp_path / "memory", KEY)
    interrupted(memories, place, count=1)
    found = scan([place])
    source = TreeSource(found, memory=memories.open(found))
    assert set(known(source, found)) == {0}
    assert source.unchanged(1)
    change(place / "0000")
    assert not source.unchanged(1)
    assert source.unchanged(2)
    if change is not Path.unlink:
        assert source.renew(1)
        assert known(source, found) == {}
        tell_all(source, found)
        assert source.unchanged(1)
    source.close()
    if change is not Path.unlink:
        offered_again = remembered(memories, place)
        assert offered_again in ({}, {0: blake3(b"X" * CHUNK).digest(), **offered_again})


def test_mf07_what_was_read_of_a_file_that_changed_meanwhile_is_not_believed(
    tmp_path: Path,
) -> None:
    """Read before the change, told after it, the time set back, cut off before it is noticed."""
    place = make(tmp_path / "t", [CHUNK + 1])
    memories = Memories(tmp_path / "memory", KEY)
    found = scan([place])
    source = TreeSource(found, memory=memories.open(found))
    digest = source.digest(found.manifest.chunk(0))
    assert digest is not None
    rewrite(place / "0000")
    source.learned(0, digest)
    source.close()
    assert remembered(memories, place) == {}


def test_mf07_what_was_told_of_another_file_of_that_name_is_not_remembered(tmp_path: Path) -> None:
    """A folder swapped for another and back: nothing of ours has changed its times."""
    place = make(tmp_path / "t", [10])
    memories = Memories(tmp_path / "memory", KEY)
    found = scan([place])
    source = TreeSource(found, memory=memories.open(found))
    place.rename(tmp_path / "away")
    make(tmp_path / "t", [10])
    told = tell_all(source, found)
    assert not source.unchanged(1)
    source.close()
    (tmp_path / "t" / "0000").unlink()
    (tmp_path / "t").rmdir()
    (tmp_path / "away").rename(tmp_path / "t")
    assert remembered(memories, place) == {}
    assert interrupted(memories, place) != told


def test_a_file_that_changed_a_moment_ago_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may change again without a change of its times."""
    monkeypatch.setattr("securecp.disk.source._RACY", 10**9)
    place = make(tmp_path / "t", [10])
    memories = Memories(tmp_path / "memory", KEY)
    interrupted(memories, place)
    assert not (tmp_path / "memory").exists()
    monkeypatch.setattr("securecp.disk.source._RACY", -(10**9))
    interrupted(memories, place)
    assert remembered(memories, place)


def test_another_offer_another_key_or_another_time_know_nothing(tmp_path: Path) -> None:
    place = make(tmp_path / "t", [10])
    folder = tmp_path / "memory"
    interrupted(Memories(folder, KEY), place)
    assert remembered(Memories(folder, bytes(32)), place) == {}
    (place / "more").touch()
    assert remembered(Memories(folder, KEY), place) == {}
    (place / "more").unlink()
    late = Memories(folder, KEY, now=lambda: time.time() + LIFETIME + 60)
    assert remembered(late, place) == {}
    assert list(folder.iterdir()) == []


def test_nothing_is_written_for_a_transfer_that_soon_succeeds(tmp_path: Path) -> None:
    place = make(tmp_path / "t", [10, 20])
    found = scan([place])
    source = TreeSource(found, memory=Memories(tmp_path / "memory", KEY).open(found))
    assert not source.due(0.0)
    tell_all(source, found)
    assert not source.due(5.0)
    assert not source.due(14.9)
    source.finish()
    source.close()
    assert not (tmp_path / "memory").exists()


def test_it_is_saved_after_some_time_or_some_bytes_and_forgotten_when_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make(tmp_path / "t", [10, CHUNK, CHUNK, CHUNK])
    folder = tmp_path / "memory"
    found = scan([place])
    source = TreeSource(found, memory=Memories(folder, KEY).open(found))
    told = tell_all(source, found, count=1)
    assert not source.due(100.0)
    assert source.due(110.0)
    source.save()
    assert not source.due(200.0)
    assert remembered(Memories(tmp_path / "memory2", KEY), place) == {}
    assert SAVE_BYTES == 64 << 20
    monkeypatch.setattr("securecp.disk.source.SAVE_BYTES", 2 << 20)
    told |= tell_all(source, found, count=2)
    assert not source.due(200.0)
    told |= tell_all(source, found, count=3)
    assert source.due(200.0)
    source.save()
    [file] = folder.iterdir()
    size = file.stat().st_size
    told |= tell_all(source, found)
    source.finish()
    assert list(folder.iterdir()) == []
    source.close()
    assert list(folder.iterdir()) == []
    assert 0 < size < 1_000


def test_a_kill_after_a_save_leaves_what_was_saved(tmp_path: Path) -> None:
    place = make(tmp_path / "t", [10, 20])
    found = scan([place])
    memory = Memories(tmp_path / "memory", KEY).open(found)
    source = TreeSource(found, memory=memory)
    told = tell_all(source, found, count=1)
    source.save()
    tell_all(source, found)
    memory._close()  # as the system does it for a program that is killed
    assert remembered(Memories(tmp_path / "memory", KEY), place) == told


def test_several_recipients_share_it_until_all_have_the_files(tmp_path: Path) -> None:
    place = make(tmp_path / "t", [10, 20])
    folder = tmp_path / "memory"
    found = scan([place])
    memory = Memories(folder, KEY).open(found)
    alice = TreeSource(found, memory=memory, to=b"alice")
    bob = TreeSource(found, memory=memory, to=b"bob")
    told = tell_all(alice, found)
    alice.save()
    assert known(bob, found) == told
    alice.finish()
    alice.close()
    assert len(list(folder.iterdir())) == 1
    again = TreeSource(found, memory=memory, to=b"alice")
    again.finish()
    again.close()
    bob.close()
    assert len(list(folder.iterdir())) == 1
    bob = TreeSource(found, memory=memory, to=b"bob")
    assert known(bob, found) == told
    bob.finish()
    bob.close()
    assert list(folder.iterdir()) == []


def test_what_one_recipient_saw_later_counts_for_none_who_saw_it_earlier(tmp_path: Path) -> None:
    place = make(tmp_path / "t", [10])
    found = scan([place])
    memory = Memories(tmp_path / "memory", KEY).open(found)
    alice = TreeSource(found, memory=memory, to=b"alice")
    bob = TreeSource(found, memory=memory, to=b"bob")
    tell_all(alice, found)
    old = alice.digest(found.manifest.chunk(0)) or b""
    rewrite(place / "0000")
    os.utime(place / "0000", ns=(1, 1))
    assert not alice.unchanged(1)
    assert alice.renew(1)
    tell_all(alice, found)
    alice.save()
    assert known(bob, found) == {}
    bob.learned(0, old)
    bob.save()
    assert memory.known(0) == blake3(b"X" * 10).digest()
    alice.close()
    bob.close()


@pytest.mark.parametrize("damage", ["empty", "torn", "garbage", "flipped", "folder", "link"])
def test_f18_a_damaged_memory_is_no_memory_and_no_error(tmp_path: Path, damage: str) -> None:
    place = make(tmp_path / "t", [10, 20])
    folder = tmp_path / "memory"
    memories = Memories(folder, KEY)
    interrupted(memories, place)
    [file] = folder.iterdir()
    raw = file.read_bytes()
    if damage in ("folder", "link"):
        file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage == "link":
        (tmp_path / "other").write_bytes(raw)
        file.symlink_to(tmp_path / "other")
    else:
        changed = {"empty": b"", "torn": raw[:-1], "garbage": b"\xff" * len(raw)}
        flipped = raw[:60] + bytes([raw[60] ^ 1]) + raw[61:]
        file.write_bytes(changed.get(damage, flipped))
    assert remembered(memories, place) == {}
    told = interrupted(memories, place)
    assert remembered(memories, place) in ({}, told)
    if damage == "link":
        assert (tmp_path / "other").read_bytes() == raw


@given(cut=st.integers(0, 400), flip=st.integers(0, 400))
def test_f18_any_damage_leaves_only_what_is_true(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int
) -> None:
    tmp_path = tmp_path_factory.mktemp("m")
    place = make(tmp_path / "t", [10, 20])
    folder = tmp_path / "memory"
    found = scan([place])
    source = TreeSource(found, memory=Memories(folder, KEY).open(found))
    told = tell_all(source, found, count=1)
    source.save()
    told |= tell_all(source, found)
    source.close()
    [file] = folder.iterdir()
    raw = bytearray(file.read_bytes())
    if flip < len(raw):
        raw[flip] ^= 0x40
    file.write_bytes(raw[:cut])
    rest = remembered(Memories(folder, KEY), place)
    assert rest.items() <= told.items()


def test_two_programs_at_once_do_not_mix(tmp_path: Path) -> None:
    place = make(tmp_path / "t", [10, 20])
    found = scan([place])
    memories = Memories(tmp_path / "memory", KEY)
    first = TreeSource(found, memory=memories.open(found))
    told = tell_all(first, found)
    first.save()
    second = TreeSource(found, memory=memories.open(found))
    assert known(second, found) == {}
    tell_all(second, found, count=1)
    second.save()
    second.close()
    first.close()
    assert remembered(memories, place) == told


def test_a_folder_that_cannot_be_written_means_no_memory(tmp_path: Path) -> None:
    place = make(tmp_path / "t", [10])
    (tmp_path / "file").touch()
    memories = Memories(tmp_path / "file" / "memory", KEY)
    told = interrupted(memories, place)
    assert told
    assert remembered(memories, place) == {}


def test_f14_a_failed_save_is_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = make(tmp_path / "t", [10, 20])
    found = scan([place])
    source = TreeSource(found, memory=Memories(tmp_path / "memory", KEY).open(found))
    tell_all(source, found, count=1)
    calls = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(5, "I/O error")

    monkeypatch.setattr(os, "fsync", fsync)
    source.save()
    tell_all(source, found)
    assert not source.due(1e9)
    source.save()
    source.close()
    assert len(calls) == 1


def test_100_gib_are_remembered_and_loaded_quickly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # 1,600 times
    place = tmp_path / "huge"
    with place.open("wb") as stream:
        stream.truncate(100 << 30)
    found = scan([place])
    memories = Memories(tmp_path / "memory", KEY)
    memory = memories.open(found)
    source = TreeSource(found, memory=memory)
    for number in range(found.manifest.chunk_count):
        source.learned(number, number.to_bytes(32, "big"))
        if number % 64 == 63:
            source.save()
    source.close()
    start = time.process_time()
    memory = memories.open(found)
    source = TreeSource(found, memory=memory)
    assert source.known(found.manifest.chunk(102_399)) == (102_399).to_bytes(32, "big")
    assert time.process_time() - start < 0.5
    assert len(known(source, found)) == 102_400
    source.close()
    assert isinstance(memory, Memory)
