"""Runs the command as a person or a script would.

call        in this process: the same code from arguments to exit code, and quick
run         the installed command, without a terminal
Terminal    the installed command in a terminal of its own
Background  the installed command beside the test, its events by line
"""

import contextlib
import fcntl
import io
import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from securecp.cli import main

COMMAND = str(Path(sys.executable).with_name("securecp"))
PATIENCE = 30.0


def call(*arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run in this process, without a terminal."""
    where = [] if home is None else ["--home", str(home)]
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = main.run([*where, *arguments])
    return subprocess.CompletedProcess(
        [*where, *arguments], code, stdout.getvalue(), stderr.getvalue()
    )


def run(
    *arguments: str | bytes,
    home: Path | None = None,
    env: dict[str, str] | None = None,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run to the end, without a terminal."""
    where: list[str | bytes] = [] if home is None else ["--home", str(home)]
    return subprocess.run(
        [COMMAND, *where, *arguments],
        env={**os.environ, **(env or {})},
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=PATIENCE,
        check=False,
    )


def keygen(home: Path, *, lan: bool = False) -> str:
    """A new identity without passphrase; its public key.

    What is tested on this machine says nothing to its network: only laboratories have `lan`.
    """
    done = call("keygen", "--no-passphrase", home=home)
    assert done.returncode == 0, done.stderr
    if not lan:
        settings = home / "config.toml"
        settings.write_text("lan = false\n")
        settings.chmod(0o600)
    return done.stdout.strip()


def meet(home: Path, name: str, key: str, *options: str) -> None:
    """`home` gets to know `key` as `name`."""
    done = call("contacts", "add", name, key, *options, home=home)
    assert done.returncode == 0, done.stderr


def is_one_line_and_a_hint(stderr: str) -> bool:
    """What every failure looks like."""
    lines = stderr.splitlines()
    return (
        len(lines) in {1, 2}
        and lines[0].startswith("securecp: ")
        and all(line.startswith("hint: ") for line in lines[1:])
        and "Traceback" not in stderr
    )


class Terminal:
    """The command in a terminal of its own; what it shows, and keys for it."""

    def __init__(self, *arguments: str, home: Path, env: dict[str, str] | None = None) -> None:
        ours, theirs = pty.openpty()
        self._master = ours
        self.shown = b""
        self.process = subprocess.Popen(
            [COMMAND, "--home", str(home), *arguments],
            env={**os.environ, "TERM": "xterm", **(env or {})},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            # So that Ctrl-C is one; the child does nothing else before it is the command.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def until(self, words: str) -> None:
        """Wait until `words` stand on the screen."""
        deadline = time.monotonic() + PATIENCE
        while words.encode() not in self.shown:
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"never saw {words!r} in {self.shown!r}")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def ended(self) -> int:
        """Wait for the end; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read()
        assert self.process.poll() is not None, f"it goes on: {self.shown[-500:]!r}"
        while self._read():
            pass
        return self.process.wait(1)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 0.2)
        if not ready:
            return self.process.poll() is None
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            data = os.read(self._master, 65_536)
            self.shown += data
            return bool(data)
        return False


class Background:
    """The installed command running beside the test, without a terminal; JSON events by line."""

    def __init__(self, *arguments: str, home: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self._read = b""
        self.process = subprocess.Popen(
            [COMMAND, "--home", str(home), *arguments, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def until(self, name: str) -> dict[str, Any]:
        """Read events until the one of this name; not for ever."""
        deadline = time.monotonic() + PATIENCE
        while (line := self._line(deadline)) is not None:
            event: dict[str, Any] = json.loads(line)
            self.events.append(event)
            if event["event"] == name:
                return event
        raise AssertionError(f"{name} never came: {self.events[-5:]}")

    def ended(self, within: float = PATIENCE) -> tuple[int, str]:
        """Wait for the end; exit code and standard error."""
        stdout, stderr = self.process.communicate(timeout=within)
        self.events += map(json.loads, (self._read + stdout).splitlines())
        self._read = b""
        return self.process.returncode, stderr.decode()

    def _line(self, deadline: float) -> bytes | None:
        """The next one; None if there will be none, or none in time."""
        assert self.process.stdout is not None
        file = self.process.stdout.fileno()
        while b"\n" not in self._read:
            ready, _, _ = select.select([file], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(file, 65_536) if ready else b""
            if not data:
                return None
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line


def receiving(home: Path, into: Path, *options: str) -> Background:
    """A receiver that listens; `endpoint` of its first event says where."""
    return Background(
        "receive", "--listen", "127.0.0.1:0", "--into", str(into), *options, home=home
    )
