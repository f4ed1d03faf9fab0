"""Processes of the command without the time that imports take: forked from one that has them all.

A parent that has imported everything and done nothing else waits for requests; for each it forks a
child, which then is what the installed command would be: a process of its own, with its own
descriptors, that runs `main` from the first argument to the exit code, and can be killed.

    harness ── Start: id, arguments …; stdout, stderr (descriptors) ──► nursery ── fork ──► child
            ◄── Started: id, process number;  Ended: id, status ──
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

PROGRAM = Path(__file__).with_name("program.py")
ROOT = Path(__file__).parents[2]
LONGEST = 1 << 16


class Child:
    """A process that the nursery has started."""

    def __init__(self) -> None:
        self.pid = 0
        self.status: int | None = None
        """As `wait` gives it, when it is dead."""
        self._changed = threading.Condition()

    def tell(self, *, pid: int | None = None, status: int | None = None) -> None:
        with self._changed:
            self.pid = pid or self.pid
            self.status = status if status is not None else self.status
            self._changed.notify_all()

    def started(self) -> int:
        """Its number, when it has one."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.pid, 60.0):
                raise AssertionError("the nursery starts nothing")
        return self.pid

    def wait(self) -> int:
        """Its exit code, when it is dead; minus the signal's number if one ended it."""
        with self._changed:
            self._changed.wait_for(lambda: self.status is not None)
        assert self.status is not None
        return os.waitstatus_to_exitcode(self.status)


class Nursery:
    """One parent of many children; they die with it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM), "--serve", str(theirs.fileno()), "--"],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._socket = ours
        self._children: list[Child] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def start(
        self, arguments: Sequence[str], stdout: int, stderr: int, *, die: str, traced: bool
    ) -> Child:
        """A process with these arguments and streams; one to be traced stops before it begins."""
        child = Child()
        request = {"arguments": list(arguments), "die": die, "traced": traced}
        with self._lock:
            request["id"] = len(self._children)
            self._children.append(child)
            socket.send_fds(self._socket, [json.dumps(request).encode()], [stdout, stderr])
        return child

    def close(self) -> None:
        """End it, and whatever it has started."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5.0)
        self._socket.close()
        self._process.wait(5.0)

    def _listen(self) -> None:
        while data := self._socket.recv(LONGEST):
            news = json.loads(data)
            self._children[news["id"]].tell(pid=news.get("pid"), status=news.get("status"))
        for child in self._children:
            if child.status is None:
                child.tell(pid=child.pid or -1, status=9)
