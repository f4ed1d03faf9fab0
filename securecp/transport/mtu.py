"""How long a datagram this path carries, found out by trying (RFC 8899, DPLPMTUD).

It starts at 1,200 bytes, which always work, and tries the sizes of common links all at once: one
round trip later the longest that was acknowledged is in use. A probe that is lost says nothing of
congestion. Where long datagrams stop getting through (a black hole), it falls back to 1,200.
"""

from securecp.transport.wire import BASE_DATAGRAM

SIZES = (1_372, 1_452, 1_472, 8_932, 8_952, 32_000, 65_487, 65_507)
"""UDP payloads worth trying: tunnels, Ethernet over IPv6 and IPv4, jumbo frames, loopback."""
_TRIES = 2
_RETRY_AFTER = 600.0


class MtuSearch:
    """The size in use, and the probes that may raise it."""

    def __init__(self, largest: int) -> None:
        self.size = BASE_DATAGRAM
        self._largest = largest
        self._retry_at: float | None = None
        self._waiting: list[int] = []
        self._losses: dict[int, int] = {}
        self._fill()

    def _fill(self) -> None:
        self._losses.clear()
        self._waiting = [size for size in SIZES if self.size < size <= self._largest]

    def probe(self, now: float) -> int | None:
        """A size to try now."""
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self._fill()
        return self._waiting.pop(0) if self._waiting else None

    def acked(self, size: int) -> bool:
        """A probe got through; True if datagrams may now be longer."""
        if size <= self.size:
            return False
        self.size = size
        self._waiting = [other for other in self._waiting if other > size]
        return True

    def lost(self, size: int) -> None:
        """A probe did not get through: once more, then it counts as too long."""
        self._losses[size] = self._losses.get(size, 0) + 1
        if self._losses[size] < _TRIES and size > self.size:
            self._waiting.append(size)

    def black_hole(self, now: float) -> bool:
        """Nothing long gets through any more; True if the size changes."""
        if self.size == BASE_DATAGRAM:
            return False
        self.size = BASE_DATAGRAM
        self._waiting.clear()
        self._retry_at = now + _RETRY_AFTER
        return True
