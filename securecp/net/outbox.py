"""What waits to go to a server: messages first, then datagrams of circuits while they are fresh.

A relayed transfer can fill any queue. What waits too long is worth nothing any more and spoils the
peers' estimate of the round trip, so a full queue takes no more, and what is stale goes.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

TOLD = 1_024
"""Messages that wait."""
QUEUE = 256 << 10
"""Bytes of datagrams that wait."""
STALE = 0.2
"""Seconds after which datagrams are worth nothing."""


class _Datagrams(NamedTuple):
    since: float
    message: bytes


class Outbox:
    """Filled in one thread and emptied in another; `wake` is called when there is something new."""

    def __init__(
        self, wake: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._told: deque[bytes] = deque()
        self._datagrams: deque[_Datagrams] = deque()
        self._size = 0

    def tell(self, message: bytes) -> None:
        """Have a message sent, or forgotten where far too many wait."""
        with self._lock:
            if len(self._told) < TOLD:
                self._told.append(message)
        self._wake()

    def put(self, message: bytes) -> bool:
        """Have datagrams sent; False if they are lost."""
        with self._lock:
            if self._size + len(message) > QUEUE:
                return False
            self._datagrams.append(_Datagrams(self._clock(), message))
            self._size += len(message)
        self._wake()
        return True

    def message(self) -> bytes | None:
        """The next message."""
        with self._lock:
            return self._told.popleft() if self._told else None

    def datagrams(self, since: float) -> bytes | None:
        """The next that are fresh; what waits has begun to age at `since`, when it could leave."""
        with self._lock:
            oldest = self._clock() - STALE
            while self._datagrams:
                found = self._datagrams.popleft()
                self._size -= len(found.message)
                if max(found.since, since) >= oldest:
                    return found.message
        return None

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._told and not self._datagrams

    def clear(self) -> None:
        """Nothing of it is wanted any more."""
        with self._lock:
            self._told.clear()
            self._datagrams.clear()
            self._size = 0
