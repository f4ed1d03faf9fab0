"""history: what went to and came from whom, readable, harmless, and whole in JSON."""

import json
from pathlib import Path

import pytest

from securecp.daemon.history import NAME, History
from securecp.daemon.record import Hooked, names_of
from tests.cli.program import Terminal, call, is_one_line_and_a_hint, keygen, meet, receiving, run
from tests.daemon.samples import ESCAPES, record

PATIENCE = 20.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    keygen(tmp_path / "a")
    return tmp_path / "a"


def keep(home: Path, *items: object) -> None:
    history = History(home)
    for item in items:
        history.append(item)  # type: ignore[arg-type]
    assert history.settle(PATIENCE)
    history.close()


def test_an_empty_history_is_no_error(home: Path) -> None:
    done = call("history", home=home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "nothing yet\n")
    assert call("history", "--json", home=home).stdout == ""


def test_newest_come_first_and_at_most_so_many(home: Path) -> None:
    keep(home, *(record(n, names=(f"file-{n}",), files=n, bytes=n * 1_000) for n in range(1, 70)))
    lines = call("history", home=home).stdout.splitlines()
    assert len(lines) == 50 and '"file-69"' in lines[0] and "69 files, 69.0 kB" in lines[0]
    assert len(call("history", "--limit", "3", home=home).stdout.splitlines()) == 3
    assert call("history", "--limit", "0", home=home).returncode == 2


def test_how_each_ended_is_said(home: Path) -> None:
    keep(
        home,
        record(1, direction="sent", name="bob", result="failed", code=5, reason="gone silent"),
        record(2, result="partial", code=7, names=("a", "b", "c", "d"), more=6),
        Hooked(record(2).id, -9),
    )
    two, one = call("history", home=home).stdout.splitlines()
    assert "to bob" in one and "failed" in one and "(gone silent)" in one
    assert "from alice" in two and '"a", "b", "c" and 7 more' in two
    assert "(--exec ended with -9)" in two


def test_json_is_whole_and_each_line_a_record(home: Path) -> None:
    keep(home, record(1, content="ab" * 32, names=("a",), folder="/in", path="lan", hook=0))
    told = json.loads(call("history", "--json", home=home).stdout)
    assert told["content"] == "ab" * 32 and told["manifest"] == record(1).manifest
    assert told["time"] == "2026-09-21T14:13:21.000Z" and told["hook"] == 0
    assert told["folder"] == "/in" and told["names"] == ["a"] and told["code"] == 0


def test_cl01_names_and_reasons_are_harmless(home: Path) -> None:
    names, _ = names_of([ESCAPES])
    keep(home, record(1, names=names, name="evil\x1b[2J", reason="a\nb\x9b", folder="/\u202ein"))
    for arguments in ([], ["--json"]):
        shown = call("history", *arguments, home=home).stdout
        assert len(shown.splitlines()) == 1
        assert not any(c in shown for c in "\x1b\x9b\u202e\u2028\r")
    told = json.loads(call("history", "--json", home=home).stdout)
    assert not any(c in json.dumps(told, ensure_ascii=False) for c in "\x1b\x9b\u202e\u2028")


def test_one_contact_is_found_by_key_whatever_they_were_called(home: Path, tmp_path: Path) -> None:
    bob = keygen(tmp_path / "b")
    meet(home, "robert", bob)
    keep(home, record(1, name="bob", key=bob), record(2, name="alice"), record(3, name="zoe"))
    assert "from bob" in call("history", "--with", "Robert", home=home).stdout
    assert len(call("history", "--with", "ZOE", home=home).stdout.splitlines()) == 1
    unknown = call("history", "--with", "robrt", home=home)
    assert unknown.returncode == 6 and "did you mean robert?" in unknown.stderr
    assert is_one_line_and_a_hint(unknown.stderr)


def test_a_damaged_history_shows_what_can_be_read(home: Path) -> None:
    keep(home, record(1), record(2))
    path = home / NAME
    path.write_bytes(b"\xff\x00garbage\n" + path.read_bytes()[:-20])
    done = call("history", home=home)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1


def test_both_sides_keep_a_record_with_the_same_digests(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    alice, bob = keygen(a), keygen(b)
    meet(a, "bob", bob)
    meet(b, "alice", alice)
    (tmp_path / "note.txt").write_text("hello")
    with receiving(b, tmp_path / "in", "--yes", "--once") as receiver:
        where = receiver.until("listening")["endpoint"]
        sent = run("send", str(tmp_path / "note.txt"), "--to", "bob", "--at", where, home=a)
        assert sent.returncode == 0, sent.stderr
        assert receiver.ended()[0] == 0
    ours, theirs = (json.loads(call("history", "--json", home=home).stdout) for home in (a, b))
    assert (ours["direction"], theirs["direction"]) == ("sent", "received")
    assert (ours["name"], theirs["name"]) == ("bob", "alice")
    for field in ("transfer", "manifest", "content", "files", "bytes", "names", "result"):
        assert ours[field] == theirs[field], field
    assert theirs["folder"] == str(tmp_path / "in") and theirs["path"] == "direct"
    with Terminal("history", home=b) as terminal:
        terminal.until("note.txt")
        assert terminal.ended() == 0
