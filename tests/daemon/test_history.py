"""The history is written beside the transfers, read newest first, and never in the way."""

import os
import tempfile
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from securecp.daemon.history import NAME, History
from securecp.daemon.record import Hooked, encode
from tests.daemon.samples import record

PATIENCE = 20.0


def test_newest_come_first_with_what_was_added_later(tmp_path: Path) -> None:
    history = History(tmp_path)
    for number in (1, 2, 3):
        history.append(record(number))
    history.append(Hooked(record(1).id, 4))
    assert history.settle(PATIENCE)
    assert [one.id for one in history.read()] == [record(n).id for n in (3, 2, 1)]
    assert [one.hook for one in history.read()] == [None, None, 4]
    history.close()


def test_it_is_ours_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    history = History(state)
    old = os.umask(0)
    try:
        history.append(record())
        assert history.settle(PATIENCE)
    finally:
        os.umask(old)
    assert (state / NAME).stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
    history.close()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"")
    (tmp_path / NAME).symlink_to(target)
    history = History(tmp_path)
    history.append(record())
    assert history.settle(PATIENCE)
    assert history.lost == 1 and target.read_bytes() == b""
    history.close()


def test_old_files_are_replaced_and_the_rest_is_read_over_them(tmp_path: Path) -> None:
    size = len(encode(record()))
    history = History(tmp_path, largest=10 * size, keep=3)
    for number in range(100):
        history.append(record(number))
    assert history.settle(PATIENCE)
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, f"{NAME}.1", f"{NAME}.2"]
    assert all(path.stat().st_size <= 11 * size for path in tmp_path.iterdir())
    found = [one.id for one in history.read()]
    assert found == [record(number).id for number in range(99, 99 - len(found), -1)]
    assert 20 < len(found) <= 33
    history.close()


def test_a_torn_line_costs_itself_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(encode(record(1)) + encode(record(2))[:-9])
    history = History(tmp_path)
    history.append(record(3))
    assert history.settle(PATIENCE)
    assert [one.id for one in history.read()] == [record(3).id, record(1).id]
    history.close()


@given(st.binary(max_size=200))
def test_whatever_stands_between_them_the_other_lines_are_read(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = encode(record(1)) + data + b"\n" + encode(record(2)) + data
        Path(folder, NAME).write_bytes(text)
        assert [one.id for one in History(Path(folder)).read()] == [record(2).id, record(1).id]


def test_f47_a_history_that_cannot_be_written_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    history = History(tmp_path)
    for _ in range(5):
        history.append(record())
    assert history.settle(PATIENCE)
    assert history.lost == 5
    (tmp_path / NAME).rmdir()
    history.append(record(9))
    assert history.settle(PATIENCE)
    assert [one.id for one in history.read()] == [record(9).id]
    history.close()


def test_several_programs_share_it(tmp_path: Path) -> None:
    """Each line whole, and none lost while files are exchanged under the others."""
    size = len(encode(record()))
    histories = [History(tmp_path, largest=40 * size, keep=50) for _ in range(4)]

    def write(history: History, first: int) -> None:
        for number in range(first, first + 100):
            history.append(record(number))

    threads = [
        threading.Thread(target=write, args=(history, 100 * n))
        for n, history in enumerate(histories)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(history.settle(PATIENCE) for history in histories)
    found = [one.id for one in histories[0].read()]
    assert sorted(found) == [record(number).id for number in range(400)]
    assert all(history.lost == 0 for history in histories)
    for history in histories:
        history.close()


def test_mb11_transfers_of_one_moment_are_each_recorded(tmp_path: Path) -> None:
    history = History(tmp_path)
    for number in range(3_000):
        history.append(record(number)._replace(time=1_790_000_000.0))
    assert history.settle(PATIENCE)
    assert len({one.id for one in history.read()}) == 3_000
    history.close()
