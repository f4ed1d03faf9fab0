"""The log: a record a line whatever is in it, kept small, and never in the way of a transfer."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.cli.text import safe_text
from securecp.daemon.logfile import LogFile
from securecp.daemon.outbox import MOST_LINES, Outbox
from securecp.daemon.plain import one_line, plain
from tests.daemon.samples import ESCAPES, Time, lines

PATIENCE = 20.0


def log_at(path: Path, **more: object) -> LogFile:
    return LogFile(path, clock=Time(), **more)  # type: ignore[arg-type]


def test_a_record_is_time_word_and_fields(tmp_path: Path) -> None:
    log = log_at(tmp_path / "log")
    log.note("done", peer="alice", files=3, seconds=1.25, rate=2.0, code=None, names=b"a b")
    log.close(PATIENCE)
    assert list(lines(tmp_path / "log")) == [
        '2026-09-21T14:13:20Z done peer="alice" files=3 seconds=1.250 rate=2 code=- names="a b"'
    ]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("show", [plain, safe_text, str])
def test_cl06_no_name_can_begin_or_end_a_record(tmp_path: Path, show: object) -> None:
    log = log_at(tmp_path / "log", show=show)
    log.note("offer", names=ESCAPES, reason=ESCAPES.decode("utf-8", "replace"))
    log.note("done")
    log.close(PATIENCE)
    data = (tmp_path / "log").read_bytes()
    assert data.count(b"\n") == 2
    text = data.decode()
    for character in text.replace("\n", ""):
        assert ord(character) >= 0x20 and not 0x7F <= ord(character) < 0xA0
    assert "\u202e" not in text and "\u2028" not in text
    assert ' peer="bob"' not in text, "a quote within a name is no end of it"


@given(st.text() | st.binary())
def test_cl06_any_text_is_one_line(value: str | bytes) -> None:
    text = value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
    line = one_line(text)
    assert line.endswith(b"\n")
    assert all(byte >= 0x20 and byte != 0x7F for byte in line[:-1])


def test_it_stays_small(tmp_path: Path) -> None:
    log = log_at(tmp_path / "log", largest=2_000, keep=3)
    for number in range(300):
        log.note("record", number=number)
    log.close(PATIENCE)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["log", "log.1", "log.2"]
    assert all(path.stat().st_size <= 2_000 for path in tmp_path.iterdir())
    newest = list(lines(tmp_path / "log"))[-1]
    assert newest.endswith("number=299")


def test_moved_away_by_somebody_else_it_begins_a_new_one(tmp_path: Path) -> None:
    log = log_at(tmp_path / "log")
    log.note("one")
    assert log.settle(PATIENCE)
    (tmp_path / "log").rename(tmp_path / "old")
    log.note("two")
    assert log.settle(PATIENCE)
    (tmp_path / "log").unlink()
    log.note("three")
    log.close(PATIENCE)
    assert "one" in (tmp_path / "old").read_text()
    assert [line.split()[1] for line in lines(tmp_path / "log")] == ["three"]


def test_a_file_that_cannot_be_opened_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        log_at(tmp_path / "nowhere" / "log")
    with pytest.raises(OSError):
        log_at(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_f47_a_full_disk_costs_records_and_says_how_many(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.symlink_to("/dev/full")
    log = log_at(path)
    for _ in range(4):
        log.note("lost")
        assert log.settle(PATIENCE)
    assert log.lost == 4
    path.unlink()
    log.note("again")
    log.close(PATIENCE)
    assert [line.split(None, 1)[1] for line in lines(path)] == ["lost records=4", "again"]


def test_f47_a_target_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    os.mkfifo(path)
    with pytest.raises(OSError):
        log_at(path)  # nobody is there to read it
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = log_at(path)
    for _ in range(3_000):
        log.note("record", text="x" * 100)
    assert log.settle(PATIENCE)
    assert log.lost > 0
    while len(os.read(reader, 1 << 16)) == 1 << 16:
        pass
    log.note("again")
    assert log.settle(PATIENCE)
    text = os.read(reader, 1 << 20).decode()
    os.close(reader)
    log.note("nobody reads")
    assert log.settle(PATIENCE)
    assert "lost records=" in text and text.rstrip().endswith("again")
    log.close(PATIENCE)


def test_f47_a_target_that_stands_still_costs_lines_and_no_time() -> None:
    gate, begun = threading.Event(), threading.Event()
    seen: list[bytes] = []

    def write(batch: list[bytes]) -> int:
        begun.set()
        gate.wait(PATIENCE)
        seen.extend(batch)
        return len(batch)

    outbox = Outbox(write, "test")
    assert outbox.put(b"first")
    assert begun.wait(PATIENCE)
    taken = [outbox.put(b"%d" % number) for number in range(MOST_LINES + 50)]
    assert taken.count(False) == 50 and outbox.lost == 50
    gate.set()
    assert outbox.settle(PATIENCE)
    assert len(seen) == MOST_LINES + 1 and seen[0] == b"first"
    outbox.close(PATIENCE)
    assert outbox.put(b"late") is False


def test_f47_a_line_that_a_full_disk_cut_short_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("half a li")
    log = log_at(path)
    log.note("next")
    log.close(PATIENCE)
    assert [line.split()[-1] for line in lines(path)] == ["li", "next"]
