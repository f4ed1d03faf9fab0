"""A securecp command at a node of the lab, its JSON events as they come, each with its time."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.lab.topology import Lab, kill

COMMAND = str(Path(sys.executable).with_name("securecp"))
PATIENCE = 30.0

Event = dict[str, Any]


class Seen(NamedTuple):
    """One event, and when its line had been read."""

    at: float
    event: Event

    @property
    def name(self) -> str:
        return str(self.event.get("event", ""))


Wanted = str | Callable[[Event], bool]
"""The name of an event, or what must hold for it."""


class Program:
    """The installed command, with --json, and a SECURECP_HOME of its node unless one is given."""

    def __init__(
        self,
        lab: Lab,
        node: str,
        *arguments: str,
        home: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.node = node
        self.home = home or settings_of(lab, node)
        self.seen: list[Seen] = []
        self._changed = threading.Condition()
        self._silent = False
        self._stderr: list[str] = []
        self.started = time.monotonic()
        self.process = lab.popen(
            node,
            [COMMAND, *arguments, "--json"],
            env={"SECURECP_HOME": str(self.home), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._threads = [
            threading.Thread(target=reads, daemon=True) for reads in (self._read, self._complain)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def until(self, wanted: Wanted, within: float = PATIENCE, after: float = 0.0) -> Seen:
        """The first event like that later than `after`; an AssertionError if it does not come."""
        end = time.monotonic() + within
        with self._changed:
            while (found := self.find(wanted, after)) is None:
                left = end - time.monotonic()
                if left <= 0 or self._silent:
                    break
                self._changed.wait(left)
        if found is None:
            raise AssertionError(f"{wanted} never came\n{self.story()}")
        return found

    def find(self, wanted: Wanted, after: float = 0.0) -> Seen | None:
        """The first event like that among those which have come."""
        for each in self.seen:
            if each.at > after and _is(each, wanted):
                return each
        return None

    def ended(self, within: float = PATIENCE) -> int:
        """Wait for the end, and for everything that was printed; the exit code."""
        try:
            self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end\n{self.story()}") from None
        return self._collected()

    def waits(self, seconds: float) -> None:
        """Let time pass while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            raise AssertionError(f"it has ended\n{self.story()}")

    def stop(self, within: float = 5.0) -> int:
        """Ask it to end, or end it by force after a while; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                kill(self.process)
        return self._collected()

    def kill(self) -> None:
        """Without a word to anybody, as when the power goes."""
        kill(self.process)
        self._collected()

    @property
    def stderr(self) -> str:
        return "".join(self._stderr)

    def story(self) -> str:
        """All that is known, for a test that has failed."""
        lines = [f"{each.at - self.started:8.3f} {json.dumps(each.event)}" for each in self.seen]
        code = self.process.poll()
        return "\n".join([f"{self.process.args!r}: {code}", *lines, "stderr:", self.stderr])

    def _collected(self) -> int:
        code = int(self.process.wait())
        for thread in self._threads:
            thread.join(5.0)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            now = time.monotonic()
            with self._changed:
                self.seen.append(Seen(now, _event(line)))
                self._changed.notify_all()
        with self._changed:
            self._silent = True
            self._changed.notify_all()

    def _complain(self) -> None:
        assert self.process.stderr is not None
        self._stderr.extend(self.process.stderr)


def settings_of(lab: Lab, node: str) -> Path:
    """Where keys, contacts and config.toml of the node's programs are."""
    return lab.home(node) / "securecp"


def _event(line: str) -> Event:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    return event if isinstance(event, dict) else {"event": "not JSON", "line": line}


def _is(seen: Seen, wanted: Wanted) -> bool:
    return seen.name == wanted if isinstance(wanted, str) else wanted(seen.event)
