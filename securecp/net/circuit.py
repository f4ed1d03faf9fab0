"""A circuit through a server's WebSocket, as a door: one leg, with a number on its link.

Nothing of it is sealed again: it is sealed from end to end already.
"""

import threading
from collections import deque
from collections.abc import Callable

from securecp.endpoint import Burst, Endpoint
from securecp.nat.relay import LARGEST_CIRCUIT_DATA, encode_circuit

QUEUE = 256 << 10
"""Bytes that wait to be read here; more is lost."""


class Circuit:
    """A door; once its link has been down it leads nowhere."""

    def __init__(
        self,
        leg: int,
        put: Callable[["Circuit", bytes], bool],
        forget: Callable[["Circuit"], None],
        server: Callable[[], Endpoint],
    ) -> None:
        self.via = 0
        self.leg = leg
        self.dropped = 0
        """Bursts that were lost here, in either direction."""
        self._put = put
        self._forget = forget
        self._server = server
        self._come: deque[Burst] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def send(self, burst: Burst) -> None:
        """Have the link send it. A circuit is never full: what is too much is lost."""
        data, stride = burst.data, burst.stride
        size = max(LARGEST_CIRCUIT_DATA // stride, 1) * stride
        for at in range(0, len(data), size):
            message = encode_circuit(self.leg, stride, data[at : at + size])
            self.dropped += not self._put(self, message)

    def receive(self) -> Burst | None:
        """What has come from the other leg, as if from the server."""
        if not self._come:
            return None
        with self._lock:
            burst = self._come.popleft()
            self._size -= len(burst.data)
        return burst._replace(endpoint=burst.endpoint._replace(via=self.via))

    def take(self, data: memoryview, stride: int) -> None:
        """Datagrams for us, in the link's thread."""
        with self._lock:
            if self._size + len(data) > QUEUE:
                self.dropped += 1
                return
            self._come.append(Burst(self._server(), data, stride))
            self._size += len(data)

    def filenos(self) -> list[int]:
        """None: the link rings the bell."""
        return []

    def close(self) -> None:
        """Take nothing any more; to leave the circuit is the business of whoever joined it."""
        self._forget(self)
