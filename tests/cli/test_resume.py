"""A transfer that is cut off goes on by the same command: real processes over loopback."""

import os
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from securecp.cli import sample
from tests.cli.program import (
    PATIENCE,
    Background,
    Terminal,
    is_one_line_and_a_hint,
    keygen,
    meet,
    run,
)

MIB = 1 << 20
SIZE = 160 * MIB
LIMIT = "40M"
"""Slow enough to be cut off in the middle, and more than one checkpoint (64 MiB) in all."""


class Scene(NamedTuple):
    alice: Path
    bob: Path
    into: Path
    file: Path
    port: int

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.port}"

    def receiving(self, *options: str) -> list[str]:
        """Bob's command, the same each time."""
        return ["receive", "--listen", self.at, "--into", str(self.into), *options]

    def sending(self, *options: str) -> list[str]:
        """Alice's."""
        return ["send", str(self.file), "--to", "bob", "--at", self.at, *options]

    def has_all(self) -> bool:
        """Bob has the file, and nothing else."""
        got = self.into / self.file.name
        return os.listdir(self.into) == [got.name] and got.read_bytes() == self.file.read_bytes()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    alice, bob = keygen(tmp_path / "a"), keygen(tmp_path / "b")
    meet(tmp_path / "a", "bob", bob)
    meet(tmp_path / "b", "alice", alice)
    file = tmp_path / "disk image.bin"
    sample.write_large_file(file, SIZE)
    return Scene(tmp_path / "a", tmp_path / "b", tmp_path / "in", file, free_port())


def until_kept(side: Background) -> None:
    """Read on until more than one checkpoint must have been made."""
    while side.until("progress")["bytes"] < 90 * MIB:
        pass


def event(side: Background, name: str) -> dict[str, object]:
    return next(event for event in side.events if event["event"] == name)


def test_kill_minus_9_of_the_receiver_and_the_same_commands_go_on(scene: Scene) -> None:
    """The sender never stops: it waits, and goes on by itself when the receiver is back."""
    with Background(*scene.sending("--limit", LIMIT), home=scene.alice) as alice:
        with Background(*scene.receiving("--yes"), home=scene.bob) as killed:
            until_kept(killed)
            killed.process.kill()
            killed.process.wait()
        with Background(*scene.receiving("--once"), home=scene.bob) as bob:  # nobody need be asked
            bob.until("done")
            assert bob.ended()[0] == 0
        assert alice.ended()[0] == 0
    resumed, done = event(bob, "resumed"), event(bob, "done")
    assert resumed["kept"] >= 60 * MIB and resumed["bytes"] == SIZE  # type: ignore[operator]
    assert done["saved"] == resumed["kept"]
    assert event(alice, "done")["saved"] == done["saved"]
    assert scene.has_all()


def test_kill_minus_9_of_the_sender_and_the_same_command_goes_on(scene: Scene) -> None:
    with Background(*scene.receiving("--yes", "--once"), home=scene.bob) as bob:
        with Background(*scene.sending("--limit", LIMIT), home=scene.alice) as killed:
            until_kept(bob)
            killed.process.kill()
            killed.process.wait()
        done = run(*scene.sending(), home=scene.alice)
        assert done.returncode == 0, done.stderr
        assert bob.ended()[0] == 0
    assert "resuming: " in done.stderr
    assert done.stdout.rstrip().endswith("needed not be sent")
    assert event(bob, "resumed")["kept"] >= 60 * MIB  # type: ignore[operator]
    assert scene.has_all()


def hint_of(side: Terminal) -> str:
    """The command that the terminal shows, as a person would copy it."""
    shown = side.shown.decode(errors="replace").replace("\r\n", "\n")
    return shown.rpartition("hint: to go on where it stopped: ")[2].strip()


def typed_again(command: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A shell runs the command as it was printed."""
    return subprocess.run(
        ["bash", "-c", " ".join([command, *options])],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def test_f43_ctrl_c_of_the_sender_shows_the_command_that_goes_on(scene: Scene) -> None:
    with Background(*scene.receiving("--yes"), home=scene.bob) as bob:
        with Terminal(*scene.sending("--limit", LIMIT), home=scene.alice) as alice:
            until_kept(bob)
            alice.type("\x03")
            assert alice.ended() == 5
        command = hint_of(alice)
        assert "'" in command and command.endswith(f"--limit {LIMIT}"), "whole, and quoted"
        error = bob.until("error")
        assert (error["code"], error["resumable"], error["peer"]) == (5, True, "alice")
        done = typed_again(command)
        assert done.returncode == 0, done.stderr
        assert "resuming: " in done.stderr and "needed not be sent" in done.stdout
        bob.until("done")
    assert event(bob, "resumed")["kept"] >= 60 * MIB  # type: ignore[operator]
    assert scene.has_all()


def test_f43_ctrl_c_of_the_receiver_shows_the_command_that_goes_on(scene: Scene) -> None:
    with Terminal(*scene.receiving("--yes", "--once"), home=scene.bob) as bob:
        bob.until("Ctrl-C")
        with Background(*scene.sending("--limit", LIMIT), home=scene.alice) as alice:
            until_kept(alice)
            bob.type("\x03")
            assert bob.ended() == 5
            code, words = alice.ended()
        assert code == 5, "a person has stopped it there: nobody calls by himself"
        assert "bob has stopped" in words and is_one_line_and_a_hint(words)
    command = hint_of(bob)
    assert command.endswith("--yes --once")
    with Background(*scene.sending("--timeout", "20"), home=scene.alice) as alice:
        done = typed_again(command)
        assert done.returncode == 0, done.stderr
        assert "resuming: " in done.stderr
        assert alice.ended()[0] == 0
    assert scene.has_all()


def test_f05_what_was_delivered_is_not_sent_again(scene: Scene) -> None:
    """Its sender may have died before it could say so: the same command says it, with exit 0."""
    small = scene.file.with_name("small")
    small.write_bytes(b"x" * 3_000_000)
    scene = scene._replace(file=small)
    with Background(*scene.receiving("--yes"), home=scene.bob) as bob:
        first, done = (run(*scene.sending(), home=scene.alice) for _ in range(2))
        assert (first.returncode, done.returncode) == (0, 0), first.stderr + done.stderr
        for _ in range(2):
            bob.until("done")
    assert "all of it was there already" in done.stdout
    assert scene.has_all()
    assert event(bob, "done")["present"] == 0
    assert bob.events[-1]["saved"] == 3_000_000
