"""Journals: approval, unfinished transfers, giving them up, and what is never trusted."""

import os
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.disk import Store, journal, records, sweep
from securecp.disk.claims import Claims
from securecp.disk.journal import Journals
from securecp.disk.names import is_part
from securecp.disk.records import FinalRecord, Header, PartRecord, PlaceRecord, Remembered
from securecp.errors import StorageError
from securecp.transfer.entries import CHUNK
from securecp.transfer.manifest import Manifest
from tests.disk.session import KEY, PEER, Session, transfer
from tests.disk.support import content, expected, file, folder, parts, tree

MANIFEST = Manifest([folder(b"t"), file(b"a", 3 * CHUNK, 1), file(b"b", CHUNK)])
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


def cut_off(into: Path, journals: Journals, chunks: int = 2) -> None:
    session = Session(into, MANIFEST, DATA, journals)
    session.prepare()
    session.run(range(chunks))
    session.store.suspend()


def test_approval_is_for_this_peer_this_manifest_and_this_folder(
    into: Path, journals: Journals, tmp_path: Path
) -> None:
    assert not journals.approved(PEER, MANIFEST.digest, into)
    cut_off(into, journals)
    assert journals.approved(PEER, MANIFEST.digest, into)
    assert journals.approved(PEER, MANIFEST.digest, into / ".." / "into")
    assert not journals.approved(b"q" * 32, MANIFEST.digest, into)
    assert not journals.approved(PEER, bytes(32), into)
    assert not journals.approved(PEER, MANIFEST.digest, tmp_path)


def test_mf10_another_peer_with_the_same_manifest_begins_anew(
    into: Path, journals: Journals
) -> None:
    cut_off(into, journals)
    before = set(parts(into))
    with Store(into, reserve=0, journals=journals, peer=b"q" * 32) as store:
        assert not store.prepare(MANIFEST).chunks
        assert before < set(parts(into))
    assert set(parts(into)) == before


def test_unfinished_transfers_are_listed(into: Path, journals: Journals) -> None:
    cut_off(into, journals)
    [found] = journals.unfinished()
    assert found.peer == PEER
    assert found.digest == MANIFEST.digest
    assert found.destination == into
    assert found.names == (b"t", b"b")
    assert found.size == MANIFEST.size
    assert found.kept == 2 * CHUNK
    assert abs(found.at - time.time()) < 600
    transfer(into, MANIFEST, DATA, journals)
    assert not journals.unfinished()


def test_discard_removes_parts_and_journal_and_nothing_else(into: Path, journals: Journals) -> None:
    (into / "mine").write_bytes(b"mine")
    (into / ".securecp-0123456789abcdef.part").write_bytes(b"of another transfer")
    cut_off(into, journals, 4)
    [found] = journals.unfinished()
    assert journals.discard(found.id)
    assert not journals.discard(found.id)
    assert set(tree(into)) == {"mine", ".securecp-0123456789abcdef.part"}
    assert not journals.unfinished()


def test_discard_leaves_what_took_the_place_of_a_part(into: Path, journals: Journals) -> None:
    cut_off(into, journals, 4)
    [part] = [path for path in into.glob(".securecp-*") if path.is_file()]
    [hidden] = [path for path in into.glob(".securecp-*") if path.is_dir()]
    part.rename(into / "moved")
    part.write_bytes(b"theirs")
    (hidden / "theirs").write_bytes(b"theirs")
    journals.discard(journals.unfinished()[0].id)
    assert part.read_bytes() == b"theirs"
    assert tree(hidden) == {"theirs": b"theirs"}
    assert (into / "moved").exists()


def test_discard_after_a_kill_in_the_middle_of_naming(
    into: Path, journals: Journals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files in a folder that nobody has seen go, files that can be seen stay."""
    session = Session(into, MANIFEST, DATA, journals)
    session.prepare()
    session.run()
    monkeypatch.setattr(session.store._layout, "reveal", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        session.store.publish()
    session.store._release()
    assert "b" in tree(into)
    journals.discard(journals.unfinished()[0].id)
    assert tree(into) == {"b": DATA[3 * CHUNK :]}


def test_what_is_being_received_is_not_discarded(into: Path, journals: Journals) -> None:
    session = Session(into, MANIFEST, DATA, journals)
    session.prepare()
    [found] = journals.unfinished()
    with pytest.raises(StorageError, match="another program"):
        journals.discard(found.id)
    with pytest.raises(StorageError, match="another program"):
        Session(into, MANIFEST, DATA, journals).prepare()
    session.run()
    session.finish()
    assert tree(into) == expected(MANIFEST, DATA)


@pytest.mark.parametrize("name", ["..", "../into/b", "", "x", "0" * 32, "\0", "é"])
def test_only_an_id_of_ours_is_discarded(into: Path, journals: Journals, name: str) -> None:
    cut_off(into, journals)
    assert not journals.discard(name)
    assert len(journals.unfinished()) == 1


def test_after_14_days_a_transfer_is_given_up(into: Path, journals: Journals) -> None:
    cut_off(into, journals)
    journals.expire(time.time() + journal.AGE - 60)
    assert journals.unfinished()
    assert parts(into)
    journals.expire(time.time() + journal.AGE + 60)
    assert not journals.unfinished()
    assert not tree(into)


def test_parts_that_are_wanted_are_not_swept_however_old(into: Path, journals: Journals) -> None:
    cut_off(into, journals)
    then = time.time() - sweep.AGE - 60
    for path in [*into.rglob("*")]:
        os.utime(path, (then, then))
    before = set(parts(into))
    (into / ".securecp-00000000000000aa.part").write_bytes(b"nobody's")
    os.utime(into / ".securecp-00000000000000aa.part", (then, then))
    Store(into, journals=journals).abandon()
    assert set(parts(into)) == before
    Store(into).abandon()  # a program that knows of no journal sweeps as ever
    assert not parts(into)


def test_part_names_tell_whose_they_are_and_nothing_else(into: Path, journals: Journals) -> None:
    cut_off(into, journals, 4)
    [found] = journals.unfinished()
    names = [path.name for path in parts(into)]
    assert {name[10:18] for name in names} == {found.id[:8]}
    assert len({name[18:26] for name in names}) == len(names) == 3
    assert all(is_part(name.encode()) for name in names)


@pytest.mark.parametrize("damage", ["empty", "garbage", "foreign", "gone", "truncated", "folder"])
def test_f18_a_journal_that_is_no_good_is_a_clean_start(
    into: Path, journals: Journals, tmp_path: Path, damage: str
) -> None:
    cut_off(into, journals)
    [path] = (tmp_path / "state").glob("*.journal")
    whole = path.read_bytes()
    match damage:
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(os.urandom(5000))
        case "foreign":
            path.write_bytes(bytes([whole[0]]) + whole[1:20] + whole[30:])
        case "gone":
            path.unlink()
        case "truncated":
            path.write_bytes(whole[:50])
        case "folder":
            path.unlink()
            path.mkdir()
    assert not journals.approved(PEER, MANIFEST.digest, into)
    _, session = transfer(into, MANIFEST, DATA, journals)
    assert session.came == MANIFEST.size
    visible = {path: data for path, data in tree(into).items() if ".securecp" not in path}
    assert visible == expected(MANIFEST, DATA)


def test_f18_a_journal_cut_anywhere_is_never_fatal_and_never_wrong(
    into: Path, journals: Journals, tmp_path: Path
) -> None:
    cut_off(into, journals, 4)
    [path] = (tmp_path / "state").glob("*.journal")
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        before = Remembered(journals._read(path.name.encode()).chunks)
        assert before.header is None
        assert journals._read(path.name.encode()).kept <= 4 * CHUNK
    path.write_bytes(whole[:-20])
    transfer(into, MANIFEST, DATA, journals)
    assert tree(into) == expected(MANIFEST, DATA)


@given(st.binary(max_size=200))
def test_any_block_is_read_or_ends_the_reading(data: bytes) -> None:
    head = records.header(Header(PEER, bytes(32), b"/", (b"a",), 5, 1, bytes(32), 5))
    for kind in "HDCZWFRPIKBNX":
        block = kind.encode() + data
        found = Remembered([head, block])
        assert found.header is not None
        claims = Claims(MANIFEST)
        claims.replay(found.chunks)
        assert 0 <= claims.size() <= MANIFEST.size


def test_blocks_say_what_they_were_told() -> None:
    part = PartRecord(5, 0, 2, 77, 100, -5, 6)
    place = PlaceRecord(1, 0, 9, True, 1, b"x" * 255)
    final = FinalRecord(2, 1, 8, -1, 2, b"name")
    blocks = [
        records.header(Header(PEER, b"d" * 32, b"/into", (b"a", b"b"), 5, 3, b"k" * 32, 7)),
        *records.parts([part]),
        *records.inodes(7, 1, array("Q", [0, 5, 6])),
        *records.places([place]),
        *records.finals([final]),
        *records.finals([final._replace(entry=3)]),
        *records.forgotten([3]),
        records.kept(99),
        records.NAMING,
    ]
    found = Remembered(blocks)
    assert found.header == Header(PEER, b"d" * 32, b"/into", (b"a", b"b"), 5, 3, b"k" * 32, 7)
    assert found.parts == {
        5: part,
        8: PartRecord(8, 1, 0, 5, 0, 0, 0),
        9: PartRecord(9, 1, 0, 6, 0, 0, 0),
    }
    assert found.places == {1: place}
    assert found.finals == {2: final}
    assert (found.kept, found.naming, found.complete) == (99, True, False)
    assert Remembered([*blocks, records.COMPLETE]).complete
    assert not Remembered([*blocks, records.COMPLETE, records.kept(1)]).complete


MANY = Manifest(
    [file(b"a", 40 * CHUNK + 1), file(b"b", CHUNK), file(b"c", 5), file(b"d", 9 * CHUNK)]
)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("good"), st.integers(0, MANY.chunk_count - 1)),
            st.tuples(st.just("zero"), st.integers(0, MANY.chunk_count - 1)),
            st.tuples(st.just("withdraw"), st.integers(0, MANY.chunk_count - 1)),
            st.tuples(st.just("forget"), st.integers(0, 3)),
            st.tuples(st.just("doubt"), st.integers(0, 3)),
        ),
        max_size=60,
    )
)
def test_claims_replay_to_what_a_dictionary_says(events: list[tuple[str, int]]) -> None:
    blocks: list[bytes] = []
    model: dict[int, bytes] = {}
    for moment, (what, number) in enumerate(events):
        digest = bytes([moment]) * 32
        match what:
            case "good":
                blocks += records.good(records.in_runs([(number, digest)]))
                model[number] = digest
            case "zero":
                blocks += records.good(records.in_runs([(number, b"")]))
                model[number] = b""
            case "withdraw":
                blocks += records.withdrawn([number])
                model.pop(number, None)
            case "forget":
                blocks += records.forgotten([number])
                for each in MANY.chunks(number):
                    model.pop(each, None)
            case "doubt":
                blocks += records.doubted([number])
    claims = Claims(MANY)
    claims.replay(blocks)
    assert {n for n in range(MANY.chunk_count) if claims.has(n)} == set(model)
    for number, digest in model.items():
        if digest:
            assert claims.of(number) == digest
    assert claims.size() == sum(MANY.chunk(number).length for number in model)
    assert claims.entries() == sorted({MANY.chunk(number).entry for number in model})


def test_mf02_what_has_arrived_is_not_approved_once_more(into: Path, journals: Journals) -> None:
    """Names and sizes are approved, not bytes: a second delivery is another question."""
    session = Session(into, MANIFEST, DATA, journals)
    session.prepare()
    session.run()
    assert journals.approved(PEER, MANIFEST.digest, into)
    session.store.publish()
    assert not journals.approved(PEER, MANIFEST.digest, into)
    session.store.suspend()  # nobody knows whether the receipt has arrived: the journal stays
    assert not journals.approved(PEER, MANIFEST.digest, into)
    assert [path.suffix for path in (into.parent / "state").iterdir()] == [".journal"]
