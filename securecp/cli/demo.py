"""`securecp demo`: two people on one machine, a real transfer between two processes, explained.

Everything is done by the installed command itself, exactly as a person would type it.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from securecp.cli import sample, units
from securecp.cli.failures import UsageError
from securecp.cli.output import Output
from securecp.cli.text import safe_text
from securecp.cli.ui import Bars, progress_words
from securecp.errors import SecurecpError, StorageError

_PATIENCE = 60.0
_STRANGER_TIMEOUT = "1.5"
_FILM = 96 << 20
_SLOWLY = "80M"
"""Fast enough for who watches, slow enough to be cut off in the middle."""
_DIFFERENCES_SHOWN = 10

Event = dict[str, object]


@click.command(epilog="Example: securecp demo --size 1GiB")
@click.option("--size", default="256MiB", show_default=True, help="Size of the large file.")
@click.option("--keep", is_flag=True, help="Leave the folder with both homes in place.")
def demo(size: str, keep: bool) -> None:
    """See a real transfer on this machine.

    Makes two people, Alice and Bob, in a temporary folder, lets Alice send Bob a tree of
    thousands of files and one large file over UDP, cuts off another transfer and goes on with it,
    compares every byte and says what happened.
    """
    try:
        large = units.parse_size(size)
    except ValueError as error:
        raise UsageError(str(error)) from None
    output = Output()
    folder = Path(tempfile.mkdtemp(prefix="securecp-demo-"))
    try:
        Demo(folder, large, output).run()
    finally:
        if keep:
            output.note(f"Left in place: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


class Demo:
    """The story, step by step; each step fails with one line."""

    def __init__(self, folder: Path, large: int, output: Output) -> None:
        self._folder = folder
        self._large = large
        self._output = output
        self._step = 0

    def run(self) -> None:
        self._check_space()
        self._tell("Two people, each with a key pair; the public key is the name.")
        keys = {name: self._keygen(name) for name in ("alice", "bob", "mallory")}
        for name in ("alice", "bob"):
            self._say(f"{name.capitalize():6} {keys[name]}")
        self._tell("They give each other their public keys.")
        self._meet("alice", "bob", keys["bob"])
        self._meet("bob", "alice", keys["alice"])
        self._meet("mallory", "bob", keys["bob"])  # Bob does not know Mallory
        self._say(f"securecp contacts add bob {keys['bob'][:12]}…   (and the other way round)")
        total = self._make_files()
        with self._receiver() as (receiver, endpoint):
            self._stranger(endpoint)
            done, seconds = self._send(endpoint, total)
            self._killed(endpoint)
            _expect(receiver.poll() is None, "Bob's receiver ended too early")
        self._compare()
        self._report(done, seconds, total)

    def _check_space(self) -> None:
        free = shutil.disk_usage(self._folder).free
        needed = 2 * self._large + 1_500_000_000
        if free < needed:
            raise StorageError(
                f"the demo needs about {units.size(needed)} in {self._folder.parent}, "
                f"and {units.size(free)} is free",
                "set TMPDIR to a folder with more room, or use --size 64MiB",
            )

    def _keygen(self, name: str) -> str:
        return self._run(name, "keygen", "--no-passphrase", "--quiet").strip()

    def _meet(self, name: str, other: str, key: str) -> None:
        self._run(name, "contacts", "add", other, key, "--quiet")

    def _make_files(self) -> sample.Size:
        self._tell("Alice's files: the Python packages installed here, and one large file.")
        outgoing = self._folder / "outgoing"
        tree = sample.copy_packages(outgoing / "packages")
        sample.write_large_file(outgoing / "large.bin", self._large)
        self._say(f"packages/   {units.count(tree.files, 'file')}, {units.size(tree.size)}")
        self._say(f"large.bin   {units.size(self._large)} of random bytes")
        return sample.measure(outgoing)

    def _stranger(self, endpoint: str) -> None:
        self._tell("Mallory knows Bob's key and address, but Bob does not know Mallory.")
        secret = self._folder / "outgoing" / "large.bin"
        call = self._start(
            "mallory", "send", str(secret), "--to", "bob", "--at", endpoint,
            "--timeout", _STRANGER_TIMEOUT, "--quiet",
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            code = call.wait(_PATIENCE)
        finally:
            _end(call)
        _expect(code == 4, f"a stranger got exit code {code} instead of 4: nobody there")
        self._say("Mallory gets no answer at all, as if nobody were there (exit code 4).")

    @contextlib.contextmanager
    def _receiver(self) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
        self._tell("Bob waits for files, in a process of his own.")
        self._say("securecp receive --listen 127.0.0.1:0 --into incoming --yes")
        process = self._start(
            "bob", "receive", "--listen", "127.0.0.1:0", "--into", str(self._folder / "incoming"),
            "--yes", "--json", stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            endpoint = str(self._await(process, "listening")["endpoint"])
            yield process, endpoint
        finally:
            _end(process)

    def _send(self, endpoint: str, total: sample.Size) -> tuple[Event, float]:
        self._tell("Alice sends, in another process, over UDP through the loopback interface.")
        outgoing = self._folder / "outgoing"
        self._say(f"securecp send packages large.bin --to bob --at {endpoint}")
        started = time.monotonic()
        sender = self._start(
            "alice", "send", str(outgoing / "packages"), str(outgoing / "large.bin"),
            "--to", "bob", "--at", endpoint, "--json",
        )  # fmt: skip
        try:
            done = self._watch(sender, total.size)
        finally:
            _end(sender)
        return done, time.monotonic() - started

    def _killed(self, endpoint: str) -> None:
        """A transfer that is cut off goes on where it stopped."""
        film = self._folder / "outgoing" / "film.bin"
        sample.write_large_file(film, _FILM)
        self._tell(f"Alice sends film.bin, {units.size(_FILM)}, and her program is killed (-9).")
        command = "send", str(film), "--to", "bob", "--at", endpoint, "--json"
        killed = self._start("alice", *command, "--limit", _SLOWLY, stderr=subprocess.DEVNULL)
        try:
            moved = self._until_moved(killed, _FILM // 3)
            killed.kill()
        finally:
            _end(killed)
        self._say(f"That was after {units.size(moved)}. The same command again:")
        again = self._start("alice", *command)
        try:
            done = self._watch(again, _FILM)
        finally:
            _end(again)
        saved = _number(done, "saved")
        _expect(saved > 0, "it began again from the start")
        self._say(f"{units.size(saved)} were there already and did not have to be sent again.")

    def _until_moved(self, sender: "subprocess.Popen[bytes]", size: int) -> float:
        for event in _events(sender):
            if event["event"] == "progress" and _number(event, "bytes") >= size:
                return _number(event, "bytes")
        raise SecurecpError("Alice's sender stopped too early")

    def _watch(self, sender: "subprocess.Popen[bytes]", size: int) -> Event:
        bars = Bars() if sys.stderr.isatty() else None
        try:
            for event in _events(sender):
                if event["event"] == "done":
                    _expect(sender.wait(_PATIENCE) == 0, "Alice's sender ended with an error")
                    return event
                if event["event"] == "progress" and bars is not None:
                    moved, rate = int(_number(event, "bytes")), _number(event, "rate")
                    bars.show("bob", "", moved, size, progress_words(moved, size, rate))
        finally:
            if bars is not None:
                bars.close()
        raise SecurecpError("Alice's sender stopped before the receipt")

    def _compare(self) -> None:
        self._tell("Compare what Alice has with what Bob has: names, permissions, times, bytes.")
        found = list(sample.differences(self._folder / "outgoing", self._folder / "incoming"))
        for difference in found[:_DIFFERENCES_SHOWN]:
            self._output.warning(safe_text(difference))
        if found:
            raise SecurecpError(f"{units.count(len(found), 'difference')} between the two sides")
        self._say("No difference.")

    def _report(self, done: Event, seconds: float, total: sample.Size) -> None:
        took = _number(done, "seconds") or seconds
        overhead = _number(done, "bytes_sent") / max(total.size, 1) - 1
        files, size = units.count(total.files, "file"), units.size(total.size)
        self._output.result("")
        self._output.result(
            f"Bob has {files} in {units.count(total.folders, 'folder')}, {size},"
            f" byte for byte what Alice sent."
        )
        self._output.result(
            f"It took {units.duration(took)}: {total.size / took / 1e6:.0f} MB/s, encrypted,"
            f" verified, flushed to disk, with Bob's signed receipt;"
            f" {overhead:.1%} more bytes on the wire than in the files."
        )
        self._output.result(_FOR_REAL)

    # processes

    def _run(self, name: str, *arguments: str) -> str:
        process = subprocess.run(  # noqa: S603  our own command
            [*_command(), "--home", str(self._folder / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=_environment(),
            timeout=_PATIENCE,
            check=False,
        )
        _expect(process.returncode == 0, f"`securecp {arguments[0]}` failed for {name}")
        return process.stdout.decode()

    def _start(
        self, name: str, *arguments: str, stderr: int | None = None
    ) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603  our own command
            [*_command(), "--home", str(self._folder / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=_environment(),
        )

    def _await(self, process: "subprocess.Popen[bytes]", name: str) -> Event:
        for event in _events(process):
            if event["event"] == name:
                return event
        raise SecurecpError("Bob's receiver did not start")

    # words

    def _tell(self, text: str) -> None:
        self._step += 1
        self._output.result(f"{self._step}. {text}")

    def _say(self, text: str) -> None:
        self._output.result(f"   {text}")


def _command() -> list[str]:
    """The command that was typed; if that cannot be found, the same through the interpreter.

    `-P` keeps the current folder out of the import path, as the installed command does.
    """
    typed = Path(sys.argv[0])
    if typed.name.startswith("securecp") and typed.is_file() and os.access(typed, os.X_OK):
        return [str(typed.resolve())]
    start = "import sys; from securecp.cli.main import main; sys.exit(main())"
    return [sys.executable, "-P", "-c", start]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "SECURECP_HOME"}


def _events(process: "subprocess.Popen[bytes]") -> Iterator[Event]:
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "error":
            raise SecurecpError(f"the transfer failed: {event['message']}")
        yield event


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _number(event: Event, field: str) -> float:
    value = event.get(field, 0)
    return float(value) if isinstance(value, int | float) else 0.0


def _expect(truth: bool, otherwise: str) -> None:
    if not truth:
        raise SecurecpError(otherwise)


_FOR_REAL = """
To do it for real between two machines:

  on both                      securecp keygen
                               securecp id                           (prints your public key)
  on Bob's    192.0.2.7        securecp contacts add alice age1…     (her public key)
                               securecp receive --listen 0.0.0.0:4400
  on Alice's                   securecp contacts add bob age1…       (his public key)
                               securecp send holiday/ --to bob --at 192.0.2.7:4400

  to be sure of the keys       securecp contacts verify bob          (compare a code aloud)"""
