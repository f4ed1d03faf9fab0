"""A TCP connection to a name or address, soon: all its addresses are tried, a little apart.

A slow or dead resolver, and addresses that swallow what is sent to them, cost seconds that are
counted, and no more (after RFC 8305, "Happy Eyeballs"). Each address is tried more than once beside
itself: the system sends a lost SYN again only after a second, which is longer than all the rest.
"""

import errno
import os
import queue
import selectors
import socket
import threading
import time
from itertools import zip_longest
from typing import Any, NamedTuple

STEP = 0.15
"""Seconds until the next address is tried beside those before, or the same once more."""
TRIES = 3
CAP = 3.0
"""Seconds for the resolver, and for each address."""
ADDRESSES = 8
_UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


class _Target(NamedTuple):
    family: int
    address: tuple[Any, ...]


class Dialler:
    """Connects to one host again and again; knows its addresses from the last time."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._known: list[_Target] = []

    def connect(self) -> socket.socket:
        """A connection that does not block; OSError says why there is none."""
        try:
            self._known = _resolve(self._host, self._port) or self._known
        except OSError:
            if not self._known:
                raise
        return _race(self._known)


def _resolve(host: str, port: int) -> list[_Target]:
    """Addresses of both families in turn, in the system's order."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        found = _ask(host, port)
    targets = list(dict.fromkeys(_Target(item[0], item[4]) for item in found))
    first = [target for target in targets if target.family == targets[0].family]
    second = [target for target in targets if target.family != targets[0].family]
    pairs = zip_longest(first, second)
    return [target for pair in pairs for target in pair if target is not None][:ADDRESSES]


def _ask(host: str, port: int) -> list[Any]:
    """The resolver cannot be interrupted: it is left alone with its question."""
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.put(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        found = answer.get(timeout=CAP)
    except queue.Empty:
        raise TimeoutError("the resolver is silent") from None
    if isinstance(found, Exception):
        raise OSError("no such host") from found
    assert isinstance(found, list)
    return found


class _Race:
    """Connections under way; the first that stands wins, and the others are closed."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.deadlines: dict[socket.socket, float] = {}
        self.refused: set[_Target] = set()
        """Where it is certain that nobody is."""
        self._targets: dict[socket.socket, _Target] = {}
        self.error: OSError = TimeoutError("no answer")

    def start(self, target: _Target, now: float) -> None:
        try:
            runner = socket.socket(target.family, socket.SOCK_STREAM)
        except OSError as error:
            self.error = error
            return
        runner.setblocking(False)
        code = runner.connect_ex(target.address)
        if code not in _UNDER_WAY:
            self.error = OSError(code, os.strerror(code))
            self.refused.add(target)
            runner.close()
            return
        self._selector.register(runner, selectors.EVENT_WRITE)
        self.deadlines[runner] = now + CAP
        self._targets[runner] = target

    def wait(self, timeout: float) -> socket.socket | None:
        for key, _ in self._selector.select(max(timeout, 0.0)):
            runner = key.fileobj
            assert isinstance(runner, socket.socket)
            code = runner.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._selector.unregister(runner)
            del self.deadlines[runner]
            if not code:
                return runner
            self.error = OSError(code, os.strerror(code))
            self.refused.add(self._targets[runner])
            runner.close()
        return None

    def expire(self, now: float) -> None:
        for runner in [runner for runner, at in self.deadlines.items() if at <= now]:
            self._selector.unregister(runner)
            del self.deadlines[runner]
            runner.close()

    def close(self) -> None:
        for runner in self.deadlines:
            runner.close()
        self._selector.close()


def _race(targets: list[_Target]) -> socket.socket:
    race, waiting = _Race(), [target for _ in range(TRIES) for target in targets]
    next_at = time.monotonic()
    try:
        while waiting or race.deadlines:
            now = time.monotonic()
            waiting = [target for target in waiting if target not in race.refused]
            if waiting and (now >= next_at or not race.deadlines):
                race.start(waiting.pop(0), now)
                next_at = now + STEP
            times = [*race.deadlines.values(), *([next_at] if waiting else [])]
            winner = race.wait(min(times, default=now) - now) if race.deadlines else None
            if winner is not None:
                winner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return winner
            race.expire(time.monotonic())
    finally:
        race.close()
    raise race.error
