"""Several people at once: one sender to many, and many senders to one."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from securecp.transfer.receipt import Receipt
from tests.cli.program import Background, Terminal, call, keygen, meet, receiving, run

NAMES = ("bob", "carol", "dave")


class Scene(NamedTuple):
    alice: Path
    homes: dict[str, Path]
    keys: dict[str, str]
    file: Path
    stack: ExitStack

    def wait(self, name: str, *options: str) -> Background:
        """One of them waits; Alice learns where."""
        into = self.homes[name].with_name(f"in-{name}")
        side = self.stack.enter_context(receiving(self.homes[name], into, *options))
        endpoint = side.until("listening")["endpoint"]
        call("contacts", "set", name, "--endpoint", endpoint, home=self.alice)
        return side

    def got(self, name: str) -> bool:
        """Whether the file is there, whole."""
        there = self.homes[name].with_name(f"in-{name}") / self.file.name
        return there.exists() and there.read_bytes() == self.file.read_bytes()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    alice, homes, keys = tmp_path / "alice", {}, {}
    own = keygen(alice)
    for name in NAMES:
        homes[name] = tmp_path / name
        keys[name] = keygen(homes[name])
        meet(homes[name], "alice", own)
        meet(alice, name, keys[name], "--endpoint", "127.0.0.1:9")
    file = tmp_path / "plan.bin"
    file.write_bytes(b"one read for all" * 100_000)
    with ExitStack() as stack:
        yield Scene(alice, homes, keys, file, stack)


def last(stdout: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    return event


def test_each_of_several_gets_it_with_a_line_and_a_receipt(scene: Scene) -> None:
    for name in NAMES:
        scene.wait(name, "--yes", "--once")
    done = run("send", str(scene.file), "--to", "bob,carol", "--to", "dave", home=scene.alice)
    assert done.returncode == 0, done.stderr
    assert (
        sorted(line[:42] for line in done.stdout.splitlines())
        == [f"delivered 1 file, 1.6 MB to {name} in 0."[:42] for name in NAMES]
        or len(done.stdout.splitlines()) == 3
    )
    for name in NAMES:
        assert f"connected to {name} (direct)" in done.stderr
        assert f'{name}: offered 1 file, 1.6 MB: "plan.bin"' in done.stderr
        assert scene.got(name)
    signed = [json.loads(one.read_text()) for one in (scene.alice / "receipts").iterdir()]
    assert {one["receiver"] for one in signed} == set(scene.keys.values())
    assert all(Receipt.parse(bytes.fromhex(one["receipt"])) for one in signed)


def test_who_is_away_or_declines_is_named_and_the_others_have_it(scene: Scene) -> None:
    scene.wait("bob", "--yes", "--once")
    scene.wait("carol", "--once")  # nobody to ask there
    command = ("send", str(scene.file), "--to", "bob,carol,dave", "--timeout", "1")
    done = run(*command, home=scene.alice)
    assert done.returncode == 7
    assert "delivered 1 file, 1.6 MB to bob" in done.stdout
    assert "securecp: carol declined" in done.stderr
    assert "securecp: no answer from dave" in done.stderr
    assert done.stderr.splitlines()[-2] == "securecp: not delivered to carol, dave"
    assert done.stderr.splitlines()[-1].startswith("hint: to try again: ")
    assert scene.got("bob") and not scene.got("carol")


@pytest.mark.parametrize(
    ("decline", "code"), [((), 4), (("bob", "carol"), 3), (("bob",), 3)],
    ids=["all away", "all decline", "for different reasons"],
)  # fmt: skip
def test_if_nobody_gets_it_the_code_says_why(
    scene: Scene, decline: tuple[str, ...], code: int
) -> None:
    for name in decline:
        scene.wait(name, "--once")
    command = ("send", str(scene.file), "--to", "bob,carol", "--timeout", "1", "--json")
    done = run(*command, home=scene.alice)
    assert done.returncode == code
    assert last(done.stdout)["code"] == code
    assert last(done.stdout)["message"] == "delivered to nobody: bob, carol"
    told = [json.loads(line) for line in done.stdout.splitlines()]
    failed = {
        event["peer"]: event["code"]
        for event in told
        if event["event"] == "error" and "peer" in event
    }
    assert failed == {name: 3 if name in decline else 4 for name in ("bob", "carol")}


def test_each_has_a_bar_of_their_own_with_their_name(scene: Scene) -> None:
    scene.file.write_bytes(b"x" * 60_000_000)
    for name in ("bob", "carol"):
        scene.wait(name, "--yes", "--once")
    command = ("send", str(scene.file), "--to", "bob,carol", "--limit", "20M")
    with Terminal(*command, home=scene.alice) as alice:
        alice.until("of 60.0 MB")
        assert alice.ended() == 0
    shown = alice.shown.decode()
    for name in ("bob", "carol"):
        assert any(
            line.lstrip().startswith(f"{name} ") and "of 60.0 MB" in line
            for line in shown.replace("\x1b[2K", "\n").replace("\r", "\n").splitlines()
        ), shown[-3000:]
        assert scene.got(name)


def test_many_senders_at_once_are_told_apart(scene: Scene, tmp_path: Path) -> None:
    """Bob and Carol send to Alice at the same time; each line says whom it is about."""
    for name in ("bob", "carol"):
        (tmp_path / f"of-{name}").write_bytes(b"x" * 20_000_000)
    into = tmp_path / "in-alice"
    options = ("receive", "--listen", "127.0.0.1:0", "--into", str(into), "--yes", "-v")
    with Terminal(*options, home=scene.alice) as alice:
        alice.until("Ctrl-C")
        endpoint = alice.shown.split(b"waiting at ")[1].split(b";")[0].decode()
        senders = [
            scene.stack.enter_context(
                Background(
                    "send", str(tmp_path / f"of-{name}"), "--to", "alice", "--at", endpoint,
                    "--limit", "10M", home=scene.homes[name],
                )
            )
            for name in ("bob", "carol")
        ]  # fmt: skip
        for sender in senders:
            assert sender.ended() == (0, "")
        for name in ("bob", "carol"):
            alice.until(f"received 1 file, 20.0 MB from {name}")
        alice.type("\x03")
        assert alice.ended() == 5
    shown = alice.shown.decode()
    assert 'bob: is offered 1 file, 20.0 MB: "of-bob"' in shown or (
        'carol: is offered 1 file, 20.0 MB: "of-carol"' in shown
    )
    assert sorted(one.name for one in into.iterdir()) == ["of-bob", "of-carol"]
