"""send and receive as scripts run them: two processes of the installed command over loopback."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from keys.identity import PublicKey
from securecp.cli import sample
from securecp.transfer.receipt import Receipt
from tests.cli.program import (
    Background,
    call,
    is_one_line_and_a_hint,
    keygen,
    meet,
    receiving,
    run,
)

CANARY = "canary-7f3a"
BIG = 200_000_000


class People(NamedTuple):
    """Two who know each other, a stranger who knows Bob, and a folder for Bob's files."""

    alice: Path
    bob: Path
    mallory: Path
    into: Path
    keys: dict[str, str]


@pytest.fixture
def people(tmp_path: Path) -> People:
    keys = {name: keygen(tmp_path / name) for name in ("alice", "bob", "mallory")}
    meet(tmp_path / "alice", "bob", keys["bob"])
    meet(tmp_path / "bob", "alice", keys["alice"])
    meet(tmp_path / "mallory", "bob", keys["bob"])
    return People(tmp_path / "alice", tmp_path / "bob", tmp_path / "mallory", tmp_path / "in", keys)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "out" / "holiday"
    (root / "empty folder").mkdir(parents=True)
    (root / "empty file").write_bytes(b"")
    (root / f"{CANARY}.txt").write_text(CANARY * 1000)
    (root / "caf\u00e9 \udcff").write_bytes(b"odd name")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    sample.write_large_file(root / "deep.bin", 3 << 20)
    return root


def send(home: Path, endpoint: str, *paths: Path | str, timeout: str = "10") -> Background:
    return Background(
        "send", *map(str, paths), "--to", "bob", "--at", endpoint, "--timeout", timeout, home=home
    )


def send_slowly(people: People, tmp_path: Path, endpoint: str) -> Background:
    """What is not over before something can happen to it."""
    file = tmp_path / f"{os.urandom(4).hex()}.bin"
    file.write_bytes(b"x" * BIG)
    where = ("--to", "bob", "--at", endpoint, "--limit", "20M")
    return Background("send", str(file), *where, home=people.alice)


def test_the_contract_from_keys_to_receipt(people: People, tree: Path) -> None:
    with receiving(people.bob, people.into, "--yes", "--once") as bob:
        endpoint = bob.until("listening")["endpoint"]
        with send(people.alice, endpoint, tree) as alice:
            assert alice.ended() == (0, "")
        assert bob.ended() == (0, "")
    assert list(sample.differences(tree.parent, people.into)) == []
    for side, peer in ((alice, "bob"), (bob, "alice")):
        told = {event["event"]: event for event in side.events}
        assert told["connected"]["peer"] == peer
        assert told["connected"]["key"] == people.keys[peer]
        assert told["connected"]["path"]
        assert told["offer"]["files"] == 5 and told["offer"]["names"] == ["holiday"]
        assert told["progress"]["bytes"] == told["progress"]["total"] == told["offer"]["bytes"]
        assert told["done"]["files"] == 5 and told["done"]["bytes"] == told["offer"]["bytes"]
        assert told["done"]["bytes_sent"] > 0 and told["done"]["seconds"] > 0
        assert len(told["done"]["digest"]) == 64
        assert list(told)[-1] == "done"
    assert bob.events[0]["event"] == "listening"


def test_the_sender_keeps_a_receipt_that_the_receivers_key_signed(
    people: People, tree: Path
) -> None:
    with receiving(people.bob, people.into, "--yes", "--once") as bob:
        with send(people.alice, bob.until("listening")["endpoint"], tree) as alice:
            assert alice.ended() == (0, "")
        bob.ended()
    (kept,) = (people.alice / "receipts").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    written = json.loads(kept.read_text())
    assert written["receiver"] == people.keys["bob"]
    assert written["sender"] == people.keys["alice"]
    assert written["content_digest"] == alice.events[-1]["digest"]
    receipt = Receipt.parse(bytes.fromhex(written["receipt"]))
    assert receipt.verified(lambda key, text, signed: PublicKey(key).verify(text, signed))
    assert not (people.bob / "receipts").exists()


def test_cl12_a_stranger_meets_silence_and_leaves_no_trace(people: People, tree: Path) -> None:
    with receiving(people.bob, people.into, "--yes", "--once") as bob:
        endpoint = bob.until("listening")["endpoint"]
        with send(people.mallory, endpoint, tree, timeout="1") as mallory:
            code, words = mallory.ended()
        assert code == 4
        assert is_one_line_and_a_hint(words)
        assert [event["event"] for event in mallory.events] == ["error"]
        assert mallory.events[0]["code"] == 4
        bob.process.send_signal(signal.SIGTERM)
        code, words = bob.ended()
    assert code == 5
    assert words.startswith("securecp: interrupted\n"), "not a word about the stranger"
    assert [event["event"] for event in bob.events] == ["listening", "error"]
    assert list(people.into.iterdir()) == []


def test_hs06_who_expects_another_key_sends_nothing(people: People, tree: Path) -> None:
    """Alice believes that Mallory's key is Bob's; whoever holds Bob's address learns nothing."""
    assert call("contacts", "remove", "bob", home=people.alice).returncode == 0
    meet(people.alice, "bob", people.keys["mallory"])
    with receiving(people.bob, people.into, "--yes", "--once") as bob:
        endpoint = bob.until("listening")["endpoint"]
        with send(people.alice, endpoint, tree, timeout="1") as alice:
            assert alice.ended()[0] == 4
        bob.process.send_signal(signal.SIGTERM)
        assert bob.ended()[0] == 5
    assert [event["event"] for event in bob.events] == ["listening", "error"]


def test_hs06_a_contact_with_a_new_key_is_a_stranger_until_it_is_replaced(
    people: People, tree: Path
) -> None:
    with receiving(people.bob, people.into, "--yes", "--once") as bob:
        endpoint = bob.until("listening")["endpoint"]
        key = call("keygen", "--no-passphrase", "--force", home=people.alice).stdout.strip()
        with send(people.alice, endpoint, tree, timeout="1") as alice:
            assert alice.ended()[0] == 4
        refused = call("contacts", "add", "alice", key, home=people.bob)
        assert refused.returncode == 6
        for one in (people.keys["alice"], key):
            assert PublicKey.parse(one).fingerprint in refused.stderr
        meet(people.bob, "alice", key, "--replace")
        with send(people.alice, endpoint, tree) as alice:
            assert alice.ended()[0] == 0, "the running receiver has read the new key"
        assert bob.ended()[0] == 0


def test_a_blocked_contact_meets_silence_at_once(people: People, tree: Path) -> None:
    with receiving(people.bob, people.into, "--yes") as bob:
        endpoint = bob.until("listening")["endpoint"]
        assert call("contacts", "block", "alice", home=people.bob).returncode == 0
        with send(people.alice, endpoint, tree, timeout="1") as alice:
            assert alice.ended()[0] == 4
        bob.process.send_signal(signal.SIGINT)
        assert bob.ended()[0] == 5
    assert [event["event"] for event in bob.events] == ["listening", "error"]


@pytest.mark.parametrize(
    ("accept", "options"), [("never", ["--yes"]), ("ask", [])], ids=["never", "nobody to ask"]
)
def test_cl12_no_is_the_answer_without_consent(
    people: People, tree: Path, accept: str, options: list[str]
) -> None:
    assert call("contacts", "set", "alice", "--accept", accept, home=people.bob).returncode == 0
    with receiving(people.bob, people.into, "--once", *options) as bob:
        with send(people.alice, bob.until("listening")["endpoint"], tree) as alice:
            code, words = alice.ended()
        assert code == 3
        assert is_one_line_and_a_hint(words)
        assert bob.ended()[0] == 3
    assert alice.events[-1]["code"] == bob.events[-1]["code"] == 3
    assert list(people.into.iterdir()) == []


def test_from_another_contact_is_refused(people: People, tree: Path) -> None:
    meet(people.bob, "mallory", people.keys["mallory"])
    with receiving(people.bob, people.into, "--yes", "--once", "--from", "mallory") as bob:
        endpoint = bob.until("listening")["endpoint"]
        with send(people.alice, endpoint, tree) as alice:
            assert alice.ended()[0] == 6
        with send(people.mallory, endpoint, tree) as mallory:
            assert mallory.ended()[0] == 0
        assert bob.ended()[0] == 0


def test_without_once_the_receiver_goes_on_until_interrupted(people: People, tree: Path) -> None:
    with receiving(people.bob, people.into, "--yes") as bob:
        endpoint = bob.until("listening")["endpoint"]
        for content in ("once", "once", "and again"):
            (tree / "run.sh").write_text(content)
            os.utime(tree / "run.sh", ns=(0, 0))
            with send(people.alice, endpoint, tree) as alice:
                assert alice.ended()[0] == 0
            bob.until("done")
        bob.process.send_signal(signal.SIGINT)
        assert bob.ended(2.5)[0] == 5
    assert sorted(path.name for path in people.into.iterdir()) == ["holiday", "holiday (1)"]
    done = [event for event in bob.events if event["event"] == "done"]
    assert [event["present"] for event in done] == [0, 5, 0], "what is there does not come again"
    assert done[2]["renamed"][0] == {"name": "holiday", "to": "holiday (1)"}


def test_what_is_missing_is_named_and_the_rest_is_sent(people: People, tree: Path) -> None:
    with receiving(people.bob, people.into, "--yes", "--once") as bob:
        endpoint = bob.until("listening")["endpoint"]
        with send(people.alice, endpoint, tree / "run.sh", "gone\x1b", tree / "x") as alice:
            code, words = alice.ended()
        assert code == 7
        assert bob.ended()[0] == 0
    assert 'left out: "gone\\x1b": no such file' in words
    assert f'left out: "{tree}/x": no such file' in words
    done = next(event for event in alice.events if event["event"] == "done")
    assert [entry["name"] for entry in done["failed"]] == ["gone\\x1b", f"{tree}/x"]
    assert alice.events[-1]["code"] == 7
    assert (people.into / "run.sh").stat().st_mode & 0o100


def test_nothing_to_send_says_so_before_anyone_is_called(people: People) -> None:
    done = call("send", "gone", "--to", "bob", "--at", "127.0.0.1:9", home=people.alice)
    assert done.returncode == 1
    assert is_one_line_and_a_hint(done.stderr)
    assert '"gone": no such file' in done.stderr
    for path in ("", "-"):
        done = call("send", path, "--to", "bob", "--at", "127.0.0.1:9", home=people.alice)
        assert done.returncode == 2


def test_no_address_names_both_ways_to_give_one(people: People, tree: Path) -> None:
    done = call("send", str(tree), "--to", "bob", home=people.alice)
    assert done.returncode == 2
    assert "--at HOST:PORT" in done.stderr and "contacts set bob --endpoint" in done.stderr


def test_the_endpoint_in_the_contacts_is_used(people: People, tree: Path) -> None:
    with receiving(people.bob, people.into, "--yes", "--once") as bob:
        endpoint = bob.until("listening")["endpoint"]
        call("contacts", "set", "bob", "--endpoint", endpoint, home=people.alice)
        done = run("send", str(tree), "--to", "bob", home=people.alice)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("delivered 5 files, 3.2 MB to bob in ")
        bob.ended()


def test_an_occupied_port_is_one_line(people: People) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        done = run(
            "receive", "--listen", f"127.0.0.1:{port}", "--into", str(people.into), home=people.bob
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2].startswith(f"securecp: cannot listen at 127.0.0.1:{port}:")
    assert done.stderr.splitlines()[-1].startswith("hint: ")
    assert "Traceback" not in done.stderr


def test_fs13_a_destination_that_programs_obey_needs_the_flag(
    people: People, nobodys_home: Path
) -> None:
    for into in (nobodys_home, nobodys_home / ".ssh", Path("/etc")):
        done = call("receive", "--listen", "127.0.0.1:0", "--into", str(into), home=people.bob)
        assert done.returncode == 2
        assert is_one_line_and_a_hint(done.stderr)
        assert "--into-anywhere" in done.stderr


def test_a_destination_that_cannot_be_written_is_one_line(people: People, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for into in (tmp_path / "file", Path("/proc/1/fd")):
        done = call(
            "receive", "--listen", "127.0.0.1:0", "--into", str(into), "--into-anywhere",
            home=people.bob,
        )  # fmt: skip
        assert done.returncode == 1
        assert is_one_line_and_a_hint(done.stderr)
        assert "cannot write to" in done.stderr


def test_cl09_no_secret_and_no_content_in_any_output(people: People, tree: Path) -> None:
    with receiving(people.bob, people.into, "--yes", "--once", "-v") as bob:
        endpoint = bob.until("listening")["endpoint"]
        done = run(
            "send", str(tree), "--to", "bob", "--at", endpoint, "-v", home=people.alice,
            env={"SECURECP_DEBUG": "1"},
        )  # fmt: skip
        code, words = bob.ended()
    assert (done.returncode, code) == (0, 0)
    shown = done.stdout + done.stderr + words + json.dumps(bob.events)
    for home in (people.alice, people.bob):
        assert (home / "identity.key").read_text().splitlines()[-1] not in shown
    assert CANARY not in shown, "neither content nor names below the top"
    assert "AGE-SECRET" not in shown


@contextlib.contextmanager
def underway(people: People, tmp_path: Path) -> Iterator[tuple[Background, Background]]:
    """Sender and receiver of a transfer in full swing, which must not leave a finished file."""
    into = tmp_path / f"in-{os.urandom(4).hex()}"
    with receiving(people.bob, into, "--yes", "--once") as bob:
        endpoint = bob.until("listening")["endpoint"]
        with send_slowly(people, tmp_path, endpoint) as alice:
            bob.until("progress")
            yield alice, bob
    assert [path.name for path in into.iterdir() if not path.name.startswith(".")] == []


def assert_interrupted(side: Background, within: float) -> str:
    """It ends with exit code 5 and says so in one line, a hint and an event; the words."""
    code, words = side.ended(within)
    assert code == 5, words
    assert is_one_line_and_a_hint(words)
    assert side.events[-1]["event"] == "error" and side.events[-1]["code"] == 5
    return words


def test_kill_minus_9_leaves_no_file_and_the_other_side_says_that_it_waits(
    people: People, tmp_path: Path
) -> None:
    """It waits, since the peer may only be cut off, until 70 s are over or the person ends it."""
    with (
        underway(people, tmp_path) as (killed_sender, left_receiver),
        underway(people, tmp_path) as (left_sender, killed_receiver),
    ):
        for killed in (killed_sender, killed_receiver):
            killed.process.kill()
            killed.process.wait()
        for left in (left_receiver, left_sender):
            left.until("silent")
            left.process.send_signal(signal.SIGINT)
            assert_interrupted(left, 5.0)


@pytest.mark.parametrize(
    ("side", "number"),
    [(0, signal.SIGINT), (0, signal.SIGHUP), (1, signal.SIGINT), (1, signal.SIGTERM)],
)
def test_cl13_a_signal_stops_both_sides_in_order(
    people: People, tmp_path: Path, side: int, number: signal.Signals
) -> None:
    with underway(people, tmp_path) as sides:
        sides[side].process.send_signal(number)
        assert "to go on where it stopped: " in assert_interrupted(sides[side], 2.5)
        assert_interrupted(sides[1 - side], 5.0)


def test_cl13_a_reader_who_goes_away_stops_the_transfer(people: People, tmp_path: Path) -> None:
    with receiving(people.bob, people.into, "--yes", "--once") as bob:
        endpoint = bob.until("listening")["endpoint"]
        with send_slowly(people, tmp_path, endpoint) as alice:
            alice.until("progress")
            assert alice.process.stdout is not None
            alice.process.stdout.close()
            assert alice.process.wait(5.0) == 5
        assert bob.ended()[0] == 5
    assert all(name.startswith(".securecp-") for name in os.listdir(people.into))
