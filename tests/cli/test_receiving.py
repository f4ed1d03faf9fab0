"""The receiving side as a person has it: the question at a terminal, hooks, logs, pipes."""

import os
import re
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from keys.contactsfile import ContactsFile
from tests.cli.program import (
    COMMAND,
    Terminal,
    call,
    is_one_line_and_a_hint,
    keygen,
    meet,
    receiving,
    run,
)


class Scene(NamedTuple):
    alice: Path
    bob: Path
    into: Path
    file: Path

    def accept(self) -> str:
        """What Bob's contacts say of Alice."""
        return ContactsFile(self.bob / "contacts.toml").load().lookup("alice").accept


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    alice, bob = keygen(tmp_path / "a"), keygen(tmp_path / "b")
    meet(tmp_path / "a", "bob", bob)
    meet(tmp_path / "b", "alice", alice)
    file = tmp_path / "report.txt"
    file.write_text("new")
    return Scene(tmp_path / "a", tmp_path / "b", tmp_path / "in", file)


class Sent:
    """A command of Alice's that runs beside what happens at Bob's."""

    def __init__(self, scene: Scene, endpoint: str, *arguments: str) -> None:
        command = ["send", *(arguments or (str(scene.file),)), "--to", "bob", "--at", endpoint]
        self._results: list[subprocess.CompletedProcess[str]] = []
        self._thread = threading.Thread(
            target=lambda: self._results.append(run(*command, home=scene.alice))
        )
        self._thread.start()

    def code(self) -> int:
        self._thread.join(30)
        return self._results[0].returncode


def endpoint_of(bob: Terminal) -> str:
    bob.until("Ctrl-C")
    return bob.shown.split(b"waiting at ")[1].split(b";")[0].decode()


def answered(scene: Scene, answer: str, *options: str) -> str:
    """Bob is asked once, at a terminal, and types this; what he saw of the question."""
    wait = ["receive", "--listen", "127.0.0.1:0", "--into", str(scene.into), "--once", *options]
    with Terminal(*wait, home=scene.bob) as bob:
        sent = Sent(scene, endpoint_of(bob))
        bob.until("l lists all: ")
        bob.type(answer)
        code = bob.ended()
        assert sent.code() == code
    shown = bob.shown.decode().replace("\r\n", "\n")
    return shown[shown.index("alice (key not verified) offers") :]


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def free(shown: str) -> str:
    """The room, which is another on each machine."""
    return shown.partition('"')[2].partition(", ")[2].partition(" are free")[0]


def test_mf20_cl04_the_whole_question_at_a_terminal(scene: Scene) -> None:
    """Golden, byte for byte but for the folder and the room: nothing foreign stands elsewhere."""
    root = scene.file.with_name("trip\r\u202e")
    root.mkdir()
    for name in (".bashrc", "a.txt", "run.sh", "x\x1b[2J"):
        (root / name.replace("\x1b", "")).write_text("x")
    (root / "run.sh").chmod(0o755)
    root = root.rename(root.with_name("trip \u202e"))
    shown = answered(scene._replace(file=root), "n\n")
    lines = shown.splitlines()
    assert lines[0] == 'alice (key not verified) offers 4 files, 1 folder, 4 bytes: "trip \\u202e"'
    assert lines[1] == "  look twice at 3 names:"
    assert [line.partition(": ")[0] for line in lines[2:5]] == [
        '    "trip \\u202e"', '    "trip \\u202e/.bashrc"', '    "trip \\u202e/run.sh"',
    ]  # fmt: skip
    assert lines[2].partition(": ")[2] and "executable" in lines[4]
    assert lines[5].startswith(f'  into "{scene.into}", ') and lines[5].endswith(" are free")
    assert lines[6] == "Accept? [y]es, [N]o, [a]lways from alice, l lists all: n"


def test_always_is_written_into_the_contacts_and_nobody_asks_again(scene: Scene) -> None:
    shown = answered(scene, "a\n")
    assert scene.accept() == "always"
    assert f'from now on without asking, into "{scene.into}"' in shown
    assert "securecp contacts set alice --accept ask" in shown
    assert names(scene.into) == ["report.txt"]
    with receiving(scene.bob, scene.into, "--once") as bob:  # no terminal, and no --yes
        assert Sent(scene, bob.until("listening")["endpoint"]).code() == 0
        assert bob.ended() == (0, "")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("r\n", {"report.txt": "old", "report (1).txt": "new"}),
        ("o\n", {"report.txt": "new"}),
        ("\n", {"report.txt": "old"}),
        ("y\n", {"report.txt": "old"}),
    ],
)
def test_a_name_that_is_taken_is_asked_about(
    scene: Scene, answer: str, found: dict[str, str]
) -> None:
    scene.into.mkdir()
    (scene.into / "report.txt").write_text("old")
    shown = answered(scene, answer, "--on-conflict", "ask")
    assert '  there already: "report.txt"\n' in shown
    assert "Accept? [r]ename, [s]kip, [o]verwrite, [N]o" in shown
    assert {one.name: one.read_text() for one in scene.into.iterdir()} == found


def test_a_name_that_is_taken_is_pointed_out_also_where_nobody_asks_about_it(scene: Scene) -> None:
    scene.into.mkdir()
    (scene.into / "report.txt").write_text("old")
    shown = answered(scene, "y\n")
    assert '  there already (it gets another name): "report.txt"\n' in shown
    assert '"report.txt" was taken: it is "report (1).txt" now' in shown
    assert names(scene.into) == ["report (1).txt", "report.txt"]


def test_while_a_question_stands_other_transfers_go_on_and_nothing_disturbs_it(
    scene: Scene, tmp_path: Path
) -> None:
    meet(scene.bob, "carol", keygen(tmp_path / "c"), "--accept", "always")
    meet(tmp_path / "c", "bob", call("id", home=scene.bob).stdout.strip())
    wait = ["receive", "--listen", "127.0.0.1:0", "--into", str(scene.into)]
    with Terminal(*wait, home=scene.bob) as bob:
        endpoint = endpoint_of(bob)
        sent = Sent(scene, endpoint)
        bob.until("l lists all: ")
        other = tmp_path / "of carol"
        other.write_bytes(b"x" * 1_000_000)
        done = run("send", str(other), "--to", "bob", "--at", endpoint, home=tmp_path / "c")
        assert done.returncode == 0, done.stderr
        assert bob.shown.endswith(b"l lists all: ")
        bob.type("y\n")
        bob.until("from alice in")
        assert sent.code() == 0
        bob.type("\x03")
        assert bob.ended() == 5
    assert b"received 1 file, 1.0 MB from carol" in bob.shown
    assert names(scene.into) == ["of carol", "report.txt"]


# hook, log


def test_a_program_runs_after_each_transfer(scene: Scene, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "arrived"
    program.write_text(f'#!/bin/sh\n{{ echo "$SECURECP_PEER" "$@"; tr "\\0" "\\n"; }} > "{ran}"\n')
    program.chmod(0o755)
    log = tmp_path / "log"
    options = ("--yes", "--once", "--exec", f"{program} first", "--log", str(log))
    with receiving(scene.bob, scene.into, *options) as bob:
        assert Sent(scene, bob.until("listening")["endpoint"]).code() == 0
        assert bob.ended() == (0, "")
    assert ran.read_text() == f"alice first -- {scene.into}\nreport.txt\n"
    noted = log.read_text()
    assert re.search(r'^\S+ done peer="alice" .*files=1 ', noted, re.MULTILINE), noted


def test_a_program_that_is_not_there_is_a_usage_error(scene: Scene) -> None:
    for words in ("/nowhere/program", "'", " "):
        done = call("receive", "--listen", "127.0.0.1:0", "--exec", words, home=scene.bob)
        assert done.returncode == 2
        assert "--exec cannot be used" in done.stderr and is_one_line_and_a_hint(done.stderr)


# one file, pipes


def pipe(scene: Scene, reader: str, tmp_path: Path, *options: str) -> "subprocess.Popen[bytes]":
    """Bob's output goes to another program; `tmp_path/err` says where he waits."""
    command = f'"$0" --home "$1" receive --listen 127.0.0.1:0 --yes -o - 2>"$2" | {reader}'
    return subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", command, COMMAND, str(scene.bob), str(tmp_path / "err")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )


def waits_at(tmp_path: Path, process: "subprocess.Popen[bytes]") -> str:
    words = tmp_path / "err"
    while process.poll() is None:
        if words.exists() and ";" in (text := words.read_text()):
            return text.split("waiting at ")[1].split(";")[0]
        threading.Event().wait(0.02)
    raise AssertionError(words.read_text())


def test_tar_goes_through_from_pipe_to_pipe(scene: Scene, tmp_path: Path) -> None:
    tree, there = tmp_path / "tree", tmp_path / "there"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "big").write_bytes(os.urandom(5_000_000))
    (tree / "odd \udcff").write_bytes(b"1")
    there.mkdir()
    with pipe(scene, "tar x -C there", tmp_path) as bob:
        endpoint = waits_at(tmp_path, bob)
        command = '"$0" --home "$1" send - --name tree.tar --to bob --at "$2"'
        sent = subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"tar c tree | {command}", COMMAND,
             str(scene.alice), endpoint],
            cwd=tmp_path, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert sent.returncode == 0, sent.stderr
        assert sent.stdout.startswith(b"delivered 1 file, 5.")
        assert bob.communicate(timeout=30)[0] == b""
        assert bob.returncode == 0, (tmp_path / "err").read_text()
    diff = subprocess.run(["diff", "-r", "tree", "there/tree"], cwd=tmp_path, check=False)
    assert diff.returncode == 0
    words = (tmp_path / "err").read_text()
    assert "received 1 file, 5." in words, "results are words here"
    assert b"size not known: a stream" in sent.stderr


def test_one_file_goes_to_standard_output_and_nothing_else_does(
    scene: Scene, tmp_path: Path
) -> None:
    scene.file.write_bytes(os.urandom(3_000_000))
    with pipe(scene, "cat", tmp_path) as bob:
        sent = Sent(scene, waits_at(tmp_path, bob))
        assert bob.communicate(timeout=30)[0] == scene.file.read_bytes()
        assert (bob.returncode, sent.code()) == (0, 0)


def test_one_file_goes_where_o_says_under_that_name(scene: Scene, tmp_path: Path) -> None:
    target = tmp_path / "here.txt"
    command = ["receive", "--listen", "127.0.0.1:0", "--yes", "-o", str(target)]
    for _ in range(2):
        with Terminal(*command, home=scene.bob) as bob:
            assert Sent(scene, endpoint_of(bob)).code() == 0
            assert bob.ended() == 0
        assert target.read_text() == "new"
        assert f'it is "{target}"'.encode() in bob.shown and b"was taken" not in bob.shown
        command += ["--on-conflict", "overwrite"]
        scene.file.write_text("new")
    done = call("receive", "-o", str(target), home=scene.bob)
    assert done.returncode == 2 and "is there already" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "-", "--json"], "standard output is for content alone"),
        (["-o", "x", "--into", "y"], "-o and --into exclude each other"),
        (["-o", "x", "--on-conflict", "ask"], "--on-conflict ask means nothing with -o"),
        (["-o", "/"], "-o names a file, not a folder"),
        (["-o", "/nowhere/at/all"], "there is no folder for"),
        (["--reserve", "much"], "--reserve: "),
        (["--wait", "long"], "--wait: "),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    scene: Scene, options: list[str], words: str
) -> None:
    done = call("receive", "--listen", "127.0.0.1:0", *options, home=scene.bob)
    assert done.returncode == 2
    assert is_one_line_and_a_hint(done.stderr)
    assert words in done.stderr


def test_content_does_not_go_to_a_terminal(scene: Scene) -> None:
    with Terminal("receive", "-o", "-", home=scene.bob) as bob:
        assert bob.ended() == 2
    assert b"the content would go to the terminal" in bob.shown


def test_cl13_a_receiver_whose_output_is_closed_stops(scene: Scene) -> None:
    with receiving(scene.bob, scene.into, "--yes") as bob:
        endpoint = bob.until("listening")["endpoint"]
        assert bob.process.stdout is not None
        bob.process.stdout.close()
        sent = Sent(scene, endpoint)
        assert bob.process.wait(10) == 5
        assert sent.code() in {1, 5}


def test_cl05_in_the_c_locale_names_and_hints_are_ascii(scene: Scene) -> None:
    odd = scene.file.with_name("caf\u00e9 \udcff")
    odd.write_text("x")
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with receiving(scene.bob, scene.into, "--yes", "--once") as bob:
        endpoint = bob.until("listening")["endpoint"]
        command = ("send", os.fsencode(odd), "--to", "bob", "--at", endpoint)
        done = run(*command, home=scene.alice, env=env)
        assert done.returncode == 0, done.stderr
        assert bob.ended()[0] == 0
    assert done.stderr.isascii() and 'offered 1 file, 1 byte: "caf\\xe9 \\xff"' in done.stderr
    assert (scene.into / odd.name).exists()
