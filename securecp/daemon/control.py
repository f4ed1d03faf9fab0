"""The control socket of a running program: `securecp status` and `cancel` speak with it.

    STATE/control/<pid>.sock      a stream of JSON lines: one request, one answer, closed

It is a Unix socket, mode 0600, in a folder of mode 0700; who connects must be our own user or root,
whatever the modes have become (CL-14). There is no TCP. Everything is bounded, nothing blocks the
loop of the program, and what is not understood is answered so, or not at all.
"""

import contextlib
import json
import os
import selectors
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from securecp.daemon import controlfolder

if TYPE_CHECKING:
    from securecp.net.running import Running, Transfer

VERSION = 1
LONGEST_REQUEST = 4_096
MOST_CLIENTS = 16
LONGEST_ANSWER = 1 << 20
MOST_ROWS = 500
"""Transfers in one answer; 2 KB each at most."""

_REQUESTS = ("ping", "status", "cancel")

Fields = dict[str, Any]


class Request(NamedTuple):
    """What is asked."""

    do: str
    """`ping`, `status` or `cancel`."""
    id: str = ""
    """Which transfer; empty: all."""


def parse(line: bytes) -> Request | None:
    """Any bytes are a request or none."""
    if len(line) > LONGEST_REQUEST:
        return None
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or told.get("do") not in _REQUESTS:
        return None
    number = told.get("id", "")
    if not isinstance(number, str) or len(number) > 64:
        return None
    if told["do"] == "cancel" and not number and told.get("all") is not True:
        return None  # all of them only in so many words
    return Request(told["do"], number)


class Control:
    """Takes part in the program's loop (`net.running.Control`); never raises, never blocks."""

    def __init__(
        self,
        state: Path,
        row_of: "Callable[[Transfer], Fields]",
        about: Callable[[], Fields],
    ) -> None:
        """`row_of` words a transfer, `about` the program."""
        self.trouble = ""
        """Why there is no socket."""
        self.refused = 0
        """Connections of other users."""
        self._state = state
        self._row_of = row_of
        self._about = about
        self._running: Running | None = None
        self._listener: socket.socket | None = None
        self._folder: controlfolder.Folder | None = None
        self._selector = selectors.DefaultSelector()
        self._clients: dict[socket.socket, _Client] = {}

    # net.running.Control

    def begin(self, running: "Running") -> None:
        self._running = running
        try:
            self._folder = controlfolder.open_folder(self._state, create=True)
            self._listener = controlfolder.listen(self._folder, f"{os.getpid()}.sock")
        except (OSError, AttributeError) as error:  # no Unix sockets here
            self.trouble = getattr(error, "strerror", None) or str(error)
            return
        self._selector.register(self._listener, selectors.EVENT_READ)
        # A selector is a file itself: the loop watches one, however many clients there are.
        running.watch(self._selector.fileno(), self._turn)

    def turn(self, now: float) -> None:
        """Whoever connects rings by a file."""

    def deadline(self) -> float | None:
        return None

    def end(self) -> None:
        for client in list(self._clients):
            self._drop(client)
        if self._listener is not None and self._running is not None:
            self._running.unwatch(self._selector.fileno())
            self._selector.unregister(self._listener)
            self._listener.close()
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.remove(f"{os.getpid()}.sock")
            self._folder.close()
        self._selector.close()
        self._running = self._listener = self._folder = None

    # what is asked

    def cancel(self, number: int, reason: str) -> bool:
        """End one transfer so that it can be resumed; False if that cannot be done."""
        return self._running is not None and self._running.cancel(number, reason)

    def cancel_soon(self, number: int, reason: str) -> None:
        """The same in the loop's next turn: for who is called by the session itself."""
        running = self._running
        if running is not None:
            running.call(lambda: void(running.cancel(number, reason)))

    @property
    def can_cancel(self) -> bool:
        """Whether the loop turns."""
        return self._running is not None

    def answer(self, line: bytes) -> Fields:
        """To one request."""
        request = parse(line)
        if request is None:
            return _no("not understood")
        told: Fields = {"v": VERSION, "ok": True, "pid": os.getpid()}
        transfers = self._running.transfers() if self._running is not None else []
        if request.do == "status":
            told |= self._about()
            told["transfers"] = [self._told(one) for one in transfers[:MOST_ROWS]]
            told["more"] = max(0, len(transfers) - MOST_ROWS)
        elif request.do == "cancel":
            wanted = [one for one in transfers if request.id in ("", id_of(one.number))]
            ended = [one for one in wanted if self.cancel(one.number, "cancelled")]
            told |= {"ok": bool(ended) or not request.id, "cancelled": len(ended)}
        return told

    def _answer(self, line: bytes) -> Fields:
        try:
            return self.answer(line)
        except Exception as error:  # a question must not end what it is asked about
            return _no(f"unexpected {type(error).__name__}")

    def _told(self, one: "Transfer") -> Fields:
        return {"id": id_of(one.number), **self._row_of(one)}

    # clients

    def _turn(self) -> None:
        for key, _ in self._selector.select(0):
            if key.fileobj is self._listener:
                self._accept()
            else:
                self._serve(key.fileobj)  # type: ignore[arg-type]

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            client, _ = self._listener.accept()
        except OSError:  # gone already, or no file is left: they may come again
            return
        if not is_ours(client):
            self.refused += 1
            client.close()
            return
        client.setblocking(False)
        if len(self._clients) >= MOST_CLIENTS:
            self._drop(next(iter(self._clients)))
        self._clients[client] = _Client()
        self._selector.register(client, selectors.EVENT_READ)

    def _serve(self, connection: socket.socket) -> None:
        client = self._clients[connection]
        try:
            over = client.write(connection) if client.answer else self._read(connection, client)
        except BlockingIOError:
            return
        except OSError:
            over = True
        if over:
            self._drop(connection)

    def _read(self, connection: socket.socket, client: "_Client") -> bool:
        """Take in what has come; True if nothing more is to be done."""
        data = connection.recv(LONGEST_REQUEST)
        client.request += data
        line, end, _ = client.request.partition(b"\n")
        if not end:
            return not data or len(client.request) > LONGEST_REQUEST
        client.answer = json.dumps(self._answer(bytes(line))).encode() + b"\n"
        if client.write(connection):
            return True
        self._selector.modify(connection, selectors.EVENT_WRITE)
        return False

    def _drop(self, connection: socket.socket) -> None:
        del self._clients[connection]
        self._selector.unregister(connection)
        connection.close()


class _Client:
    """One that has connected."""

    def __init__(self) -> None:
        self.request = bytearray()
        self.answer = b""

    def write(self, connection: socket.socket) -> bool:
        """Send what it takes; True at the end."""
        with contextlib.suppress(BlockingIOError):
            self.answer = self.answer[connection.send(self.answer) :]
        return not self.answer


def _no(why: str) -> Fields:
    return {"v": VERSION, "ok": False, "pid": os.getpid(), "error": why}


def void(_: object) -> None:
    """What came of it is told by an event."""


def id_of(number: int) -> str:
    """What people call a running transfer, on the whole machine."""
    return f"{os.getpid()}.{number}"


def is_ours(connection: socket.socket) -> bool:
    """Whether the other end is our own user or root; where nobody can say, the modes must do."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    try:
        credentials = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    except OSError:
        return False
    _, user, _ = struct.unpack("3i", credentials)
    return user in {os.geteuid(), 0}
