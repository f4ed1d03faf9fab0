"""Signals: the first stops in order, the second at once; what was ignored stays ignored."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from securecp.cli.personal import to_receiver, to_sender
from securecp.errors import DeclinedError, FullError, InterruptedTransferError, NotReachedError
from tests.cli.program import Terminal, keygen, meet, receiving

STUBBORN = """
import signal, sys, threading
from securecp.cli import process
process.catch_signals()
process.quiet_threads()
try:
    print("ready", flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("first", flush=True)
    threading.Event().wait(30)
"""


def stubborn() -> "subprocess.Popen[bytes]":
    child = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cl13_the_second_signal_ends_at_once(number: signal.Signals) -> None:
    with stubborn() as child:
        child.send_signal(number)
        assert child.stdout is not None
        assert child.stdout.readline() == b"first\n"
        child.send_signal(number)
        assert child.wait(2) == 5
        assert child.stderr is not None
        assert child.stderr.read() == b""


def test_cl13_a_hangup_that_the_parent_ignores_stays_ignored() -> None:
    script = (
        "import signal\n"
        "from securecp.cli import process\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "process.catch_signals()\n"
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN\n"
        "assert signal.getsignal(signal.SIGTERM) is process._stop\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_failed_thread_prints_nothing() -> None:
    script = (
        "import threading\n"
        "from securecp.cli import process\n"
        "process.quiet_threads()\n"
        "thread = threading.Thread(target=lambda: 1 / 0)\n"
        "thread.start(); thread.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_peer_is_called_by_name() -> None:
    assert to_sender(DeclinedError("declined"), "bob").message == "bob declined"
    said = to_sender(DeclinedError("declined: no\x1b room"), "bob").message
    assert said == 'bob declined: "no\\x1b room"'
    assert to_receiver(DeclinedError("declined"), "bob").message == "declined the offer of bob"
    assert to_sender(NotReachedError("nobody answered"), "bob").message == "no answer from bob"
    full = to_sender(FullError("the peer's disk is full", needed=1_500_000), "bob")
    assert full.message == "bob's disk is full: 1.5 MB more are needed"
    gone = to_sender(InterruptedTransferError("the peer has gone silent"), "bob")
    assert (gone.message, gone.hint) == (
        "bob has gone silent", "the same command goes on where it stopped",
    )  # fmt: skip


def test_cl17_the_bar_shows_rate_and_goes_away(tmp_path: Path) -> None:
    alice, bob = keygen(tmp_path / "a"), keygen(tmp_path / "b")
    meet(tmp_path / "a", "bob", bob)
    meet(tmp_path / "b", "alice", alice)
    big = tmp_path / "big.bin"
    big.write_bytes(b"x" * 200_000_000)
    with receiving(tmp_path / "b", tmp_path / "in", "--yes", "--once") as receiver:
        endpoint = receiver.until("listening")["endpoint"]
        options = ["send", str(big), "--to", "bob", "--at", endpoint]
        with Terminal(*options, home=tmp_path / "a") as sender:
            sender.until("MB/s, ")
            sender.until(" left")
            assert sender.ended() == 0
        seconds = receiver.until("done")["seconds"]
    assert b"of 200 MB" in sender.shown
    assert sender.shown.endswith(b"MB/s)\r\n")
    drawings = sender.shown.count(b"of 200 MB")
    assert drawings <= 10 * seconds + 10, "at most ten a second"
