"""The person's program: words and no shell, nothing hostile in its arguments, an end in time."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from securecp.daemon.hook import Delivery, Hook
from securecp.daemon.notify import Notifier, find
from securecp.daemon.process import KEPT, Finished, Workers, run
from tests.daemon.samples import ESCAPES, Time

PATIENCE = 20.0
HOSTILE = (b"-rf", b"--help", b"$(touch x)", b"a;b|c`d`", b"\xff\n", ESCAPES)


def delivery(folder: Path, names: tuple[bytes, ...] = HOSTILE) -> Delivery:
    return Delivery("alice", "age1xyz", 6, 1 << 40, "ab" * 32, str(folder), "cd" * 16, names)


def script(folder: Path, text: str) -> str:
    program = folder / "hook.py"
    program.write_text(f"#!{sys.executable}\nimport os, sys, time\n{text}\n")
    program.chmod(0o700)
    return str(program)


def test_fs21_names_are_in_no_argument_and_no_variable(tmp_path: Path) -> None:
    told = script(
        tmp_path,
        "print(sys.argv[1:],"
        " sorted(item for item in os.environb.items() if b'SECURECP' in item[0]),"
        " sys.stdin.buffer.read().split(b'\\0'), os.getcwd(), sep='\\n')",
    )
    hook = Hook(f"{told} one 'two three' $HOME *", environ={"PATH": "/bin", "SECURECP_X": "old"})
    finished = hook.run(delivery(tmp_path))
    arguments, variables, names, folder = finished.output.decode().splitlines()
    assert arguments == str(["one", "two three", "$HOME", "*", "--", str(tmp_path)])
    assert names == str([*HOSTILE, b""])
    assert variables == str(
        [
            (b"SECURECP_BYTES", b"%d" % (1 << 40)),
            (b"SECURECP_DIGEST", b"ab" * 32),
            (b"SECURECP_FILES", b"6"),
            (b"SECURECP_FOLDER", str(tmp_path).encode()),
            (b"SECURECP_KEY", b"age1xyz"),
            (b"SECURECP_PEER", b"alice"),
            (b"SECURECP_TRANSFER", b"cd" * 16),
        ]
    )
    assert (finished.code, finished.timed_out, folder) == (0, False, "/")


def test_fs21_no_shell_reads_the_command(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hook = Hook(f"echo $(touch {canary}) ; touch {canary} > {canary}")
    assert hook.run(delivery(tmp_path)).code == 0
    assert not canary.exists()


def test_fs21_the_program_is_found_once_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder, word in ((good, "good"), (bad, "bad")):
        folder.mkdir()
        (folder / "prog").write_text(f"#!/bin/sh\necho {word}\n")
        (folder / "prog").chmod(0o700)
    hook = Hook("prog", environ={"PATH": f"{good}:/bin"})
    assert hook.arguments == (str(good / "prog"),)
    monkeypatch.setenv("PATH", f"{bad}:/bin")
    monkeypatch.chdir(bad)
    assert hook.run(delivery(tmp_path)).output == b"good\n"


@pytest.mark.parametrize(
    "command",
    [
        "",
        "   ",
        "'unfinished",
        "/nowhere/at/all",
        "no-such-program-x",
        "/etc/passwd",
        "\0",
        "ls \0",
    ],
)
def test_a_command_that_can_never_work_is_refused_at_once(command: str) -> None:
    with pytest.raises(ValueError):
        Hook(command)


def test_fs21_a_program_that_never_ends_is_ended(tmp_path: Path) -> None:
    hook = Hook(script(tmp_path, "print('on', flush=True); time.sleep(999)"), timeout=0.5)
    finished = hook.run(delivery(tmp_path))
    assert finished.timed_out and finished.code == -signal.SIGTERM and finished.output == b"on\n"


def test_fs21_one_that_will_not_end_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("securecp.daemon.process.GRACE", 0.2)
    text = (
        "import signal, subprocess\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '999'], preexec_fn=lambda: signal.signal(15, 1))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(999)"
    )
    hook = Hook(script(tmp_path, text), timeout=1.0)
    finished = hook.run(delivery(tmp_path))
    assert finished.code == -signal.SIGKILL
    child = int(finished.output)
    until = time.monotonic() + PATIENCE
    while not _is_gone(child) and time.monotonic() < until:
        os.sched_yield()
    assert _is_gone(child)


def _is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_fs21_endless_output_is_cut_and_costs_no_memory(tmp_path: Path) -> None:
    hook = Hook(script(tmp_path, "sys.stdout.write('x' * 50_000_000)"))
    finished = hook.run(delivery(tmp_path))
    assert finished.code == 0 and finished.output == b"x" * KEPT


def test_a_program_that_leaves_somebody_behind_is_not_waited_for(tmp_path: Path) -> None:
    text = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"
    began = time.monotonic()
    finished = Hook(script(tmp_path, text)).run(delivery(tmp_path))
    os.kill(int(finished.output), signal.SIGKILL)
    assert finished.code == 0 and not finished.timed_out
    assert time.monotonic() - began < 30


def test_a_program_that_reads_nothing_is_no_trouble(tmp_path: Path) -> None:
    names = (b"n" * 255,) * 10_000
    assert Hook("true").run(delivery(tmp_path, names)).code == 0


def test_one_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    program = tmp_path / "gone"
    program.write_text("#!/nowhere/python\n")
    program.chmod(0o700)
    finished = Hook(str(program)).run(delivery(tmp_path))
    assert finished.code is None and b"No such file" in finished.output


def test_fs21_so_many_at_once_and_no_more_wait_than_a_bound() -> None:
    gate, most = threading.Event(), 0
    at_work: list[int] = []
    lock = threading.Lock()

    def job() -> None:
        nonlocal most
        with lock:
            at_work.append(1)
            most = max(most, len(at_work))
        gate.wait(PATIENCE)
        with lock:
            at_work.pop()

    workers = Workers(2, 5, "test")
    taken = [workers.start(job) for _ in range(20)]
    assert 5 <= sum(taken) <= 7
    gate.set()
    assert workers.close(PATIENCE)
    assert most <= 2
    assert workers.start(job) is False


def test_at_the_end_those_that_run_may_finish(tmp_path: Path) -> None:
    hook = Hook(script(tmp_path, "time.sleep(0.3); print('whole')"))
    ended: list[Finished] = []
    assert hook.start(delivery(tmp_path), ended.append)
    assert hook.close(wait=True)
    assert [one.output for one in ended] == [b"whole\n"]


def test_in_a_hurry_they_are_asked_to_end(tmp_path: Path) -> None:
    hook = Hook(script(tmp_path, "open(sys.argv[2] + '/on', 'w'); time.sleep(999)"))
    ended: list[Finished] = []
    assert hook.start(delivery(tmp_path), ended.append)
    until = time.monotonic() + PATIENCE
    while not (tmp_path / "on").exists() and time.monotonic() < until:
        os.sched_yield()
    began = time.monotonic()
    hook.close(wait=False)
    assert time.monotonic() - began < 5
    assert hook._workers.settle(PATIENCE)
    assert [one.code for one in ended] == [-signal.SIGTERM]


# the desktop


def desktop(folder: Path) -> dict[str, str]:
    program = folder / "notify-send"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> {folder}/shown\necho >> {folder}/shown\n')
    program.chmod(0o700)
    return {"PATH": f"{folder}:/bin:/usr/bin", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/x"}


def test_a_desktop_is_told_with_its_markup_escaped(tmp_path: Path) -> None:
    notifier = find(desktop(tmp_path))
    assert notifier is not None
    assert notifier.tell("Files from alice", "<b>&amp; --help")
    notifier.close(PATIENCE)
    shown = (tmp_path / "shown").read_text()
    assert shown == "--app-name=securecp|--|Files from alice|&lt;b&gt;&amp;amp; --help|\n"


def test_without_a_desktop_there_is_silence(tmp_path: Path) -> None:
    environ = desktop(tmp_path)
    assert find({"PATH": environ["PATH"]}) is None
    assert find({**environ, "PATH": "/nowhere"}) is None
    assert find({"PATH": environ["PATH"], "XDG_RUNTIME_DIR": str(tmp_path)}) is None
    (tmp_path / "bus").write_bytes(b"")
    assert find({"PATH": environ["PATH"], "XDG_RUNTIME_DIR": str(tmp_path)}) is not None


def test_a_burst_is_one_word(tmp_path: Path) -> None:
    clock = Time()
    notifier = Notifier(str(tmp_path / "none"), {}, clock)
    told = []
    for _ in range(10):
        told.append(notifier.tell("a", "b"))
        clock.now += 0.5
    assert told.count(True) <= 2
    notifier.close(PATIENCE)


def test_what_cannot_be_run_is_an_answer_too() -> None:
    environ: dict[str, Any] = {"PATH": "/bin"}
    assert run(["/nowhere"], environ=environ, timeout=1.0).code is None
    assert run(["/bin/echo", "a\0b"], environ=environ, timeout=1.0).code is None
