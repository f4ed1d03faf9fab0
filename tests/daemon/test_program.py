"""The installed `receive` as it runs for weeks: policies, bursts, hooks, logs, other people."""

import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Background, call, keygen, meet, run

HOSTILE = b"-rf $(touch pwned);`touch pwned`'|&\xff"


class House:
    """Bob receives; friends of his send."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "bob"
        self.key = keygen(self.home)
        self.received = self.home / "received"
        self.where = ""

    def friend(self, name: str, *policy: str) -> Path:
        home = self.root / name
        meet(self.home, name, keygen(home), *policy)
        meet(home, "bob", self.key)
        return home

    def receive(self, *options: str) -> Background:
        receiver = Background("receive", "--listen", "127.0.0.1:0", *options, home=self.home)
        self.where = receiver.until("listening")["endpoint"]
        return receiver

    def send(self, home: Path, path: Path) -> Any:
        return run("send", str(path), "--to", "bob", "--at", self.where, home=home)

    def sending(self, home: Path, path: Path) -> Background:
        return Background("send", str(path), "--to", "bob", "--at", self.where, home=home)

    def file(self, name: str | bytes, size: int = 10) -> Path:
        path = self.root / os.fsdecode(name)
        path.write_bytes(os.urandom(size))
        return path

    def history(self) -> list[dict[str, Any]]:
        lines = call("history", "--json", home=self.home).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def status(self) -> dict[str, Any]:
        (program,) = json.loads(call("status", "--json", home=self.home).stdout)["programs"]
        assert isinstance(program, dict)
        return program


def stop(receiver: Background) -> str:
    receiver.process.send_signal(signal.SIGTERM)
    code, stderr = receiver.ended()
    assert code == 5 and "Traceback" not in stderr
    return stderr


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_mb10_without_a_policy_nothing_comes_in_and_with_one_into_a_folder_apart(
    house: House,
) -> None:
    alice, carol = house.friend("alice"), house.friend("carol", "--accept", "always")
    with house.receive() as receiver:
        assert house.send(alice, house.file("a")).returncode == 3
        assert house.send(carol, house.file("c")).returncode == 0
        stop(receiver)
    assert [str(path.relative_to(house.received)) for path in house.received.rglob("*")
            if path.is_file()] == ["carol/c"]  # fmt: skip
    assert [one["result"] for one in house.history()] == ["done", "declined"]


def test_mb06_mf21_a_quota_holds_and_others_go_on(house: House) -> None:
    alice = house.friend("alice", "--accept", "always", "--daily-quota", "1500")
    carol = house.friend("carol", "--accept", "always")
    with house.receive() as receiver:
        assert house.send(alice, house.file("one", 1_000)).returncode == 0
        assert house.send(alice, house.file("two", 501)).returncode == 3
        assert house.send(carol, house.file("three", 100_000)).returncode == 0
        assert house.send(alice, house.file("four", 500)).returncode == 0
        assert house.status()["declined"] == 1
        assert "1 offer declined" in call("status", home=house.home).stdout
        (declined,) = [one for one in house.history() if one["result"] == "declined"]
        assert declined["reason"].endswith("(daily_quota)")
        stop(receiver)
    with house.receive() as receiver:
        assert house.send(alice, house.file("five", 1)).returncode == 3, "a restart changes nothing"
        stop(receiver)


def test_mb11_a_burst_of_the_same_names_is_all_kept_and_all_told(house: House) -> None:
    friends = [house.friend(name, "--accept", "always") for name in ("alice", "carol", "dave")]
    paths = []
    for number in range(6):
        (house.root / str(number)).mkdir()
        paths.append(house.file(f"{number}/photo.jpg", 50_000))
    with house.receive("--into", str(house.root / "in")) as receiver:
        with ExitStack() as stack:
            senders = [
                stack.enter_context(house.sending(friends[n % 3], path))
                for n, path in enumerate(paths)
            ]
            assert [sender.ended()[0] for sender in senders] == [0] * 6
        stop(receiver)
    kept = [path for path in (house.root / "in").iterdir() if path.is_file()]
    assert {one.read_bytes() for one in kept} == {path.read_bytes() for path in paths}
    told = house.history()
    assert len({one["id"] for one in told}) == 6
    assert {one["result"] for one in told} == {"done"}


def test_fs21_a_hook_gets_hostile_names_as_data_alone(house: House) -> None:
    alice = house.friend("alice", "--accept", "always")
    hook = house.root / "hook.py"
    hook.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "names = sys.stdin.buffer.read()\n"
        f"with open({str(house.root / 'told')!r}, 'w') as out:\n"
        "    json.dump([sys.argv[1:], names.hex(), os.environ['SECURECP_PEER']], out)\n"
        "print('\\x1b[2Jseen\\nfake record')\n"
    )
    hook.chmod(0o700)
    log = house.root / "log"
    receiver = house.receive("--exec", f"{hook} --flag", "--log", str(log), "--once")
    with receiver:
        assert house.send(alice, house.file(HOSTILE)).returncode == 0
        assert receiver.ended()[0] == 0
    arguments, names, peer = json.loads((house.root / "told").read_text())
    assert arguments == ["--flag", "--", str(house.received / "alice")]
    assert bytes.fromhex(names) == HOSTILE + b"\0" and peer == "alice"
    assert not list(house.root.rglob("pwned"))
    text = log.read_text()
    assert "\x1b" not in text and all(line[:2] == "20" for line in text.splitlines())
    assert house.history()[0]["hook"] == 0


def test_fs21_a_hook_that_fails_takes_nothing_back(house: House) -> None:
    alice = house.friend("alice", "--accept", "always")
    with house.receive("--exec", "false", "--once") as receiver:
        assert house.send(alice, house.file("kept")).returncode == 0
        assert receiver.ended()[0] == 0
    assert (house.received / "alice" / "kept").exists()
    assert house.history()[0]["hook"] == 1


def test_a_hook_that_cannot_work_is_refused_before_anybody_is_answered(house: House) -> None:
    house.friend("alice", "--accept", "always")
    done = run("receive", "--listen", "127.0.0.1:0", "--exec", "/no/such/program", home=house.home)
    assert done.returncode == 2 and "no program" in done.stderr


@pytest.mark.parametrize("target", ["full", "pipe"])
def test_f47_a_log_that_cannot_be_written_stops_nothing(house: House, target: str) -> None:
    alice = house.friend("alice", "--accept", "always")
    log = house.root / "log"
    reader = -1
    if target == "full":
        log.symlink_to("/dev/full")
    else:
        os.mkfifo(log)
        reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
        blocker = os.open(log, os.O_WRONLY | os.O_NONBLOCK)
        while True:
            try:
                os.write(blocker, b"x" * 4_096)
            except BlockingIOError:
                break
        os.close(blocker)
    with house.receive("--log", str(log)) as receiver:
        assert house.send(alice, house.file("a", 100_000)).returncode == 0
        until = time.monotonic() + 20
        while not house.status()["lost_log"] and time.monotonic() < until:
            pass
        assert house.status()["lost_log"] > 0
        assert "of the log could not be written" in call("status", home=house.home).stdout
        stop(receiver)
    if reader >= 0:
        os.close(reader)


def test_mb07_an_offer_that_can_never_be_stored_ends_nothing_else(house: House) -> None:
    alice = house.friend("alice", "--accept", "always")
    carol = house.friend("carol", "--accept", "always")
    path = house.file("poison")
    with house.receive() as receiver:
        # A folder that nobody can make, set while it runs.
        changed = call("contacts", "set", "alice", "--into", "/proc/nowhere", "--into-anywhere",
                       home=house.home)  # fmt: skip
        assert changed.returncode == 0
        codes = [house.send(alice, path).returncode for _ in range(2)]
        assert 0 not in codes and 5 not in codes, "no program comes again for that by itself"
        assert house.send(carol, house.file("fine")).returncode == 0
        assert house.status()["transfers"] == []
        stop(receiver)


def test_cl09_the_secret_key_stands_in_nothing_that_is_written(house: House) -> None:
    alice = house.friend("alice", "--accept", "always")
    text = (house.home / "identity.key").read_text()
    (canary,) = [line for line in text.splitlines() if line.startswith("AGE-SECRET-KEY")]
    log = house.root / "log"
    receiver = house.receive("-v", "--log", str(log), "--exec", "/usr/bin/env")
    with receiver:
        house.send(alice, house.file("a"))
        told = json.dumps(house.status())
        stderr = stop(receiver)
    written = [told, stderr, json.dumps(receiver.events), log.read_text()]
    written += [path.read_bytes().decode("latin-1") for path in house.home.rglob("*")
                if path.is_file() and path.name != "identity.key"]  # fmt: skip
    for one in written:
        assert canary not in one and canary[20:40] not in one
