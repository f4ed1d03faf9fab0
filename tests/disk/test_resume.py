"""What is kept when a session ends early, and what becomes of it in the next (SPEC §9.7)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from securecp.disk.journal import Journals
from securecp.disk.names import is_part
from securecp.transfer.entries import CHUNK, Entry
from securecp.transfer.manifest import Manifest
from tests.disk.session import KEY, Session, transfer
from tests.disk.support import content, descriptors, expected, file, folder, parts, tree

TREE: list[Entry] = [
    folder(b"t"),
    file(b"large", 5 * CHUNK + 7, 1),
    folder(b"sub", 1),
    file(b"small", 100, 3),
    file(b"empty", 0, 3),
    file(b"alone", 2 * CHUNK),
]
MANIFEST = Manifest(TREE)
DATA = content(MANIFEST, 3)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    place = tmp_path / "into"
    place.mkdir()
    return place


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[Journals]:
    found = Journals(tmp_path / "state" / "transfers", KEY)
    yield found
    found.close()


def part_of(into: Path, size: int) -> Path:
    [found] = [path for path in parts(into) if path.is_file() and path.stat().st_size == size]
    return found


def begin(into: Path, journals: Journals, chunks: int = 4, **options: bool) -> Session:
    """A session that is cut off after some chunks."""
    session = Session(into, MANIFEST, DATA, journals, **options)
    session.prepare()
    session.run(range(chunks))
    return session


def check_done(into: Path) -> None:
    assert tree(into) == expected(MANIFEST, DATA)


def test_what_was_good_does_not_come_again(into: Path, journals: Journals) -> None:
    before = descriptors()
    first = begin(into, journals)
    assert first.store.resumable
    first.store.suspend()
    first.store.suspend()
    assert descriptors() == before
    report, second = transfer(into, MANIFEST, DATA, journals)
    assert second.held == {0, 1, 2, 3}
    assert second.reread == 0
    assert second.came == MANIFEST.size - 4 * CHUNK
    assert report.published == MANIFEST.files
    assert not report.renamed
    check_done(into)
    assert descriptors() == before
    assert not journals.unfinished()


def test_without_a_journal_nothing_is_kept(into: Path) -> None:
    session = Session(into, MANIFEST, DATA, None)
    session.prepare()
    session.run(range(2))
    assert not session.store.resumable
    assert not session.store.unsaved
    assert not session.store.due(1e9)
    session.store.checkpoint()
    session.store.suspend()
    assert not tree(into)


def test_after_a_kill_what_the_last_checkpoint_says_is_read_again(
    into: Path, journals: Journals
) -> None:
    first = begin(into, journals, 2)
    first.store.checkpoint()
    first.run(range(2, 4))
    first.half(4)
    abandon_without_a_word(first)
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert second.held == {0, 1}
    assert second.reread == 2
    check_done(into)


def test_after_a_kill_right_behind_a_checkpoint_nothing_is_read(
    into: Path, journals: Journals
) -> None:
    first = begin(into, journals, 4)
    first.store.checkpoint()
    abandon_without_a_word(first)
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert second.held == {0, 1, 2, 3}
    assert second.reread == 0
    check_done(into)


def abandon_without_a_word(session: Session) -> None:
    """As a kill does: descriptors and locks go, nothing else happens."""
    store = session.store
    store._release()
    store._closed = True


def test_parts_that_no_journal_knows_are_removed(into: Path, journals: Journals) -> None:
    first = begin(into, journals, 1)
    first.store.checkpoint()
    first.run([6, 7])  # "small", and a chunk of "alone"
    abandon_without_a_word(first)
    assert len([path for path in parts(into) if path.is_file()]) == 3
    second = Session(into, MANIFEST, DATA, journals)
    second.prepare()
    assert len([path for path in parts(into) if path.is_file()]) == 1
    second.run()
    second.finish()
    check_done(into)


def test_a_strange_file_with_our_tag_stays(into: Path, journals: Journals) -> None:
    """What the journal does not know is removed only under a name that nobody could foresee."""
    begin(into, journals, 4).store.suspend()
    [hidden] = into.glob(".securecp-*.part")
    strange = into / f"{hidden.name[:18]}01234567.part"
    strange.write_bytes(b"theirs")
    transfer(into, MANIFEST, DATA, journals)
    assert strange.read_bytes() == b"theirs"
    strange.unlink()
    check_done(into)


def test_f39_a_part_that_was_edited_is_read_again_and_only_the_bad_chunk_comes(
    into: Path, journals: Journals
) -> None:
    begin(into, journals).store.suspend()
    with part_of(into, 4 * CHUNK).open("r+b") as stream:
        stream.seek(CHUNK + 5)
        stream.write(b"edited")
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert second.held == {0, 1, 2, 3}
    assert second.reread == 4
    assert second.came == MANIFEST.size - 3 * CHUNK
    check_done(into)


def test_f19_a_bit_that_flips_without_a_trace_is_found_by_verify(
    into: Path, journals: Journals
) -> None:
    begin(into, journals).store.suspend()
    part = part_of(into, 4 * CHUNK)
    with part.open("r+b") as stream:
        stream.seek(7)
        byte = stream.read(1)[0] ^ 1
        stream.seek(7)
        stream.write(bytes([byte]))
    _, second = transfer(into, MANIFEST, DATA, journals, verify=True)
    assert second.reread == 4
    check_done(into)


def test_f39_a_part_that_was_cut_short(into: Path, journals: Journals) -> None:
    begin(into, journals).store.suspend()
    os.truncate(part_of(into, 4 * CHUNK), 2 * CHUNK + 10)
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert second.held == {0, 1}
    assert second.reread == 2
    check_done(into)


def test_f39_a_part_that_was_made_longer_is_cut(into: Path, journals: Journals) -> None:
    begin(into, journals, 6).store.suspend()
    with part_of(into, 5 * CHUNK + 7).open("ab") as stream:
        stream.write(b"more")
    transfer(into, MANIFEST, DATA, journals)
    check_done(into)


@pytest.mark.parametrize("swap", ["deleted", "link", "hard link", "folder", "fifo", "copy"])
def test_f39_a_part_that_was_swapped_is_not_used_and_not_touched(
    into: Path, journals: Journals, tmp_path: Path, swap: str
) -> None:
    begin(into, journals).store.suspend()
    part = part_of(into, 4 * CHUNK)
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious" * CHUNK)
    part.rename(tmp_path / "moved")
    match swap:
        case "link":
            part.symlink_to(outside)
        case "hard link":
            part.hardlink_to(outside)
        case "folder":
            part.mkdir()
        case "fifo":
            os.mkfifo(part)
        case "copy":
            part.write_bytes((tmp_path / "moved").read_bytes())
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert not second.held
    assert outside.read_bytes() == b"precious" * CHUNK
    if swap != "deleted":
        strange = into / "t" / part.name
        assert os.path.lexists(strange)
        strange.rmdir() if swap == "folder" else strange.unlink()
    check_done(into)


def test_f39_folders_that_were_swapped_are_not_used(
    into: Path, journals: Journals, tmp_path: Path
) -> None:
    begin(into, journals).store.suspend()
    [hidden] = into.glob(".securecp-*.part")
    outside = tmp_path / "outside"
    outside.mkdir()
    hidden.rename(tmp_path / "moved")
    hidden.symlink_to(outside)
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert not second.held
    assert not list(outside.iterdir())
    hidden.unlink()
    check_done(into)


def test_f50_without_the_state_folder_all_begins_anew(into: Path, tmp_path: Path) -> None:
    one = Journals(tmp_path / "one", KEY)
    begin(into, one).store.suspend()
    two = Journals(tmp_path / "two", KEY)
    _, second = transfer(into, MANIFEST, DATA, two)
    assert second.came == MANIFEST.size
    found = {name for name in tree(into) if not is_part(name.split("/")[0].encode())}
    assert found == set(expected(MANIFEST, DATA))


def test_f03_an_older_copy_of_the_journal_is_believed_only_after_a_look(
    into: Path, journals: Journals, tmp_path: Path
) -> None:
    first = begin(into, journals, 2)
    first.store.checkpoint()
    [journal] = (tmp_path / "state" / "transfers").glob("*.journal")
    older = journal.read_bytes()
    first.run(range(2, 4))
    first.store.suspend()
    journal.write_bytes(older)
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert second.held == {0, 1}
    assert second.reread == 2
    check_done(into)


def test_claims_of_a_part_that_is_gone_do_not_come_back_with_the_next_part(
    into: Path, journals: Journals
) -> None:
    begin(into, journals).store.suspend()
    part_of(into, 4 * CHUNK).unlink()
    second = Session(into, MANIFEST, DATA, journals)
    second.prepare()
    assert not second.held
    second.run([3])  # so that the new part is as long as the old one
    second.store.suspend()
    _, third = transfer(into, MANIFEST, DATA, journals)
    assert third.held == {3}
    check_done(into)


def test_doubted_claims_are_not_made_sure_by_a_later_checkpoint(
    into: Path, journals: Journals
) -> None:
    """A chunk that was spoilt and not looked at yet must be looked at, however often we stop."""
    begin(into, journals, 3).store.suspend()
    with part_of(into, 3 * CHUNK).open("r+b") as stream:
        stream.seek(2 * CHUNK)
        stream.write(b"spoilt")
    second = Session(into, MANIFEST, DATA, journals)
    second.prepare()
    second.run([0, 3])
    second.store.suspend()
    third = Session(into, MANIFEST, DATA, journals)
    third.prepare()
    assert third.held == {0, 1, 2, 3}
    assert third.store.known(0) is not None
    assert third.store.known(3) is not None
    assert third.store.known(1) is None
    assert third.store.known(2) is None
    third.run()
    third.finish()
    check_done(into)


def test_a_chunk_that_is_being_written_again_does_not_count(into: Path, journals: Journals) -> None:
    begin(into, journals, 3).store.suspend()
    second = Session(into, MANIFEST, DATA, journals)
    second.prepare()
    second.half(1)  # the sender sends it all the same
    second.run([3])
    second.store.suspend()
    third = Session(into, MANIFEST, DATA, journals)
    third.prepare()
    assert third.held == {0, 2, 3}
    third.store.suspend()


def test_a_file_that_restarts_counts_for_nothing(into: Path, journals: Journals) -> None:
    first = begin(into, journals, 4)
    first.store.checkpoint()
    first.restart(1)
    first.run([2])
    first.store.suspend()
    second = Session(into, MANIFEST, DATA, journals)
    second.prepare()
    assert second.held == {2}
    second.run()
    second.finish()
    check_done(into)


def test_a_failed_file_counts_for_nothing_and_others_stay(into: Path, journals: Journals) -> None:
    first = begin(into, journals, 7)
    first.fail(1)
    first.store.suspend()
    second = Session(into, MANIFEST, DATA, journals)
    second.prepare()
    assert second.held == {6}
    second.store.suspend()


def test_when_nothing_was_good_only_the_approval_stays(into: Path, journals: Journals) -> None:
    session = Session(into, MANIFEST, DATA, journals)
    session.prepare()
    session.half(0)
    session.store.suspend()
    assert not tree(into)
    assert [each.kept for each in journals.unfinished()] == [0]


def test_abandon_forgets_everything(into: Path, journals: Journals) -> None:
    begin(into, journals).store.suspend()
    session = Session(into, MANIFEST, DATA, journals)
    session.prepare()
    session.store.abandon()
    assert not tree(into)
    assert not journals.unfinished()


def test_f04_a_receipt_that_was_lost_costs_nothing(into: Path, journals: Journals) -> None:
    first = begin(into, journals, MANIFEST.chunk_count)
    first.store.publish()
    first.store.suspend()
    check_done(into)
    report, second = transfer(into, MANIFEST, DATA, journals)
    assert second.came == 0
    assert second.reread == 1  # the small file
    assert report.published == MANIFEST.files
    assert report.size == MANIFEST.size
    assert not report.renamed
    check_done(into)


def test_f39_a_published_file_that_was_edited_stays_and_the_offered_one_comes_beside_it(
    into: Path, journals: Journals
) -> None:
    first = begin(into, journals, MANIFEST.chunk_count)
    first.store.publish()
    first.store.suspend()
    with (into / "t" / "large").open("r+b") as stream:
        stream.write(b"edited")
    edited = (into / "t" / "large").read_bytes()
    report, second = transfer(into, MANIFEST, DATA, journals)
    assert second.came == CHUNK
    assert report.published == MANIFEST.files
    found = tree(into)
    assert found.pop("t/large (1)") == DATA[: 5 * CHUNK + 7]
    assert found.pop("t/large") == edited
    whole = expected(MANIFEST, DATA)
    del whole["t/large"]
    assert found == whole


def test_a_published_file_that_is_gone_comes_again(into: Path, journals: Journals) -> None:
    first = begin(into, journals, MANIFEST.chunk_count)
    first.store.publish()
    first.store.suspend()
    (into / "alone").unlink()
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert second.came == 2 * CHUNK
    check_done(into)


def test_a_tree_that_was_moved_away_comes_again(
    into: Path, journals: Journals, tmp_path: Path
) -> None:
    first = begin(into, journals, MANIFEST.chunk_count)
    first.store.publish()
    first.store.suspend()
    (into / "t").rename(tmp_path / "elsewhere")
    _, second = transfer(into, MANIFEST, DATA, journals)
    assert second.came == MANIFEST.size - 2 * CHUNK
    check_done(into)
