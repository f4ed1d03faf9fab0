"""status and cancel: every program of a home, what was cut off, and how it ends or goes on."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.cli.status import program_lines, row_line
from securecp.daemon import asking
from tests.cli.program import (
    Background,
    Terminal,
    call,
    is_one_line_and_a_hint,
    keygen,
    meet,
    receiving,
)
from tests.daemon.samples import ESCAPES

SLOW = ("--limit", "1M")


class Pair:
    """Alice sends slowly to Bob."""

    def __init__(self, root: Path) -> None:
        self.a, self.b, self.into = root / "a", root / "b", root / "in"
        alice, bob = keygen(self.a), keygen(self.b)
        meet(self.a, "bob", bob)
        meet(self.b, "alice", alice, "--accept", "always")
        self.file = root / "large.bin"
        self.file.write_bytes(bytes(range(256)) * (40 << 12))

    def receive(self, *options: str) -> Background:
        return receiving(self.b, self.into, *options)

    def send(self, where: str) -> Background:
        return Background("send", str(self.file), "--to", "bob", "--at", where, *SLOW, home=self.a)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def status(home: Path) -> dict[str, Any]:
    done = call("status", "--json", home=home)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def moving(home: Path) -> dict[str, Any]:
    """The transfer that runs, once content moves."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for program in status(home)["programs"]:
            for row in program["transfers"]:
                if row["bytes"] > 3 << 20:
                    assert isinstance(row, dict)
                    return row
    raise AssertionError(f"nothing moves: {status(home)}")


def test_without_anything_there_is_nothing_to_tell(tmp_path: Path) -> None:
    for home in (tmp_path / "none", tmp_path / "a"):
        done = call("status", home=home)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == "nothing runs, and nothing is unfinished\n"
        keygen(tmp_path / "a") if home.name == "none" else None
    assert status(tmp_path / "a") == {"programs": [], "unfinished": [], "sealed": False}
    assert not (tmp_path / "none").exists(), "asking makes nothing"


def test_both_sides_show_a_transfer_and_either_can_stop_it(pair: Pair) -> None:
    with pair.receive() as receiver:
        where = receiver.until("listening")["endpoint"]
        with pair.send(where) as sender:
            theirs, ours = moving(pair.b), moving(pair.a)
            assert (theirs["name"], theirs["direction"]) == ("alice", "received")
            assert (ours["name"], ours["direction"]) == ("bob", "sent")
            assert theirs["total"] == ours["total"] == pair.file.stat().st_size
            shown = call("status", home=pair.b).stdout
            assert "receive (process" in shown and "from alice  running" in shown
            assert " left" in shown and '"large.bin"' in shown
            stopped = call("cancel", theirs["id"], home=pair.b)
            assert stopped.returncode == 0 and "stopped 1 transfer" in stopped.stderr
            code, stderr = sender.ended()
            assert code == 5 and "bob has stopped" in stderr
        receiver.until("error")
        assert receiver.process.poll() is None, "it waits on"
        (left,) = status(pair.b)["unfinished"]
        assert left["name"] == "alice" and 0 < left["bytes"] < left["total"]
        with pair.send(where) as sender:
            moving(pair.a)
            assert call("cancel", "--all", home=pair.a).returncode == 0
            assert sender.ended()[0] == 5
        receiver.process.send_signal(signal.SIGTERM)
        assert receiver.ended()[0] == 5


def cut_off(pair: Pair) -> dict[str, Any]:
    with pair.receive() as receiver, pair.send(receiver.until("listening")["endpoint"]) as sender:
        moving(pair.b)
        receiver.process.send_signal(signal.SIGTERM)
        assert receiver.ended()[0] == 5
        sender.process.send_signal(signal.SIGTERM)
        sender.ended()
    (left,) = status(pair.b)["unfinished"]
    assert isinstance(left, dict)
    return left


def test_what_was_cut_off_is_shown_and_given_up_only_after_a_yes(pair: Pair) -> None:
    left = cut_off(pair)
    parts = [path for path in pair.into.rglob("*") if path.is_file()]
    assert parts, "there is something to go on with"
    shown = call("status", home=pair.b).stdout
    assert left["id"][:8] in shown and "unfinished" in shown
    refused = call("cancel", left["id"][:8], home=pair.b)
    assert refused.returncode == 1 and "nothing was given up" in refused.stderr
    with Terminal("cancel", "alice", home=pair.b) as terminal:
        terminal.until("Type yes to give up")
        terminal.type("no\n")
        assert terminal.ended() == 1
    assert status(pair.b)["unfinished"] == [left]
    with Terminal("cancel", left["id"][:6], home=pair.b) as terminal:
        terminal.until("Type yes to give up")
        terminal.type("yes\n")
        assert terminal.ended() == 0
    assert status(pair.b)["unfinished"] == []
    assert [path for path in pair.into.rglob("*") if path.is_file()] == []


def test_a_yes_on_the_command_line_is_a_yes(pair: Pair) -> None:
    left = cut_off(pair)
    given_up = call("cancel", left["id"], "--yes", "--json", home=pair.b)
    assert json.loads(given_up.stdout) == {"stopped": 0, "given_up": 1}
    assert status(pair.b)["unfinished"] == []


def test_with_a_passphrase_what_was_cut_off_needs_it(tmp_path: Path) -> None:
    home, word = tmp_path / "a", tmp_path / "word"
    word.write_text("correct horse\n")
    assert call("keygen", "--passphrase-file", str(word), home=home).returncode == 0
    (home / "transfers").mkdir(mode=0o700)
    (home / "transfers" / ("0" * 32 + ".journal")).write_bytes(b"x")
    told = status(home)
    assert told["sealed"] is True and told["unfinished"] == []
    assert "--passphrase-file FILE" in call("status", home=home).stderr
    done = call("status", "--json", "--passphrase-file", str(word), home=home)
    assert json.loads(done.stdout)["sealed"] is False


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["x", "--all"], 2),
        (["nobody"], 1),
        (["abcd"], 1),
        ([""], 1),
        (["1.1", "--yes"], 1),
    ],
)
def test_what_cannot_be_meant_is_refused(pair: Pair, arguments: list[str], code: int) -> None:
    done = call("cancel", *arguments, home=pair.b)
    assert done.returncode == code and is_one_line_and_a_hint(done.stderr)


def test_cl01_what_a_program_tells_is_made_harmless_once_more() -> None:
    evil = ESCAPES.decode("utf-8", "surrogateescape")
    answer = {"pid": 1, "kind": evil, "since": 0, "resting": [{"name": evil, "reason": evil}],
              "transfers": [{"id": evil, "name": evil, "state": evil, "names": [evil],
                             "message": evil, "direction": evil}]}  # fmt: skip
    for line in program_lines(answer, asking.rows(answer), 5.0):
        assert not any(c in line for c in "\x1b\n\r\x9b\u202e\u2028")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
ROWS = st.dictionaries(st.sampled_from([*asking.Row._fields, "x"]), VALUES)
ANSWERS = st.fixed_dictionaries(
    {"pid": st.integers(1, 99)},
    optional={
        "kind": VALUES, "since": VALUES, "lost": VALUES, "lost_log": VALUES,
        "resting": VALUES | st.lists(st.dictionaries(st.sampled_from(["name", "reason"]), VALUES)),
        "transfers": st.lists(ROWS, max_size=3),
    },
)  # fmt: skip


@given(ANSWERS)
def test_whatever_a_program_tells_it_is_shown(answer: dict[str, Any]) -> None:
    found = asking.parse(json.dumps(answer).encode() + b"\n")
    assert found is not None
    rows = asking.rows(found)
    for row in rows:
        assert row_line(row).isprintable()
    assert program_lines(found, rows, 1e9)
