"""How long a datagram this path carries, found out by trying (RFC 8899, DPLPMTUD; SPEC §7.7).

It starts at 1,200 bytes, which always work, and tries the sizes of common links from small to
large, two at a time; the first that is lost twice ends the search. A probe that is lost says
nothing of congestion. Where long datagrams stop getting through (a black hole), it falls back to
1,200 and searches again later.
"""

from securecp.transport.wire import BASE_DATAGRAM

SIZES = (1_372, 1_452, 1_472, 8_952, 8_972, 32_000, 65_487, 65_507)
"""UDP payloads worth trying: tunnels, then IPv6 and IPv4 over Ethernet, jumbo frames, loopback."""
UNDER_WAY = 2
TRIES = 2
RETRY_AFTER = 60.0
"""Seconds from a black hole to the next search: it may have been no more than heavy loss."""
SUSPICIONS = 3
"""Rounds of long datagrams lost, and not one acknowledged, that make a black hole."""


class MtuSearch:
    """The size in use, and the probes that may raise it."""

    def __init__(self, largest: int) -> None:
        self.size = BASE_DATAGRAM
        self.largest = largest
        """What both sides take, whatever the path carries."""
        self._retry_at: float | None = None
        self._untried: list[int] = []
        self._under_way: list[int] = []
        self._losses: dict[int, int] = {}
        self._suspicions = 0
        self._suspect_from = 0.0
        self._begin()

    def _begin(self) -> None:
        self._losses.clear()
        self._untried = [size for size in SIZES if self.size < size <= self.largest]

    def probe(self, now: float, room: int) -> int | None:
        """A size to try now, if probes under way and this one take no more than `room` bytes."""
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self._begin()
        if not self._untried or len(self._under_way) >= UNDER_WAY:
            return None
        size = self._untried[0]
        if sum(self._under_way) + size > room:
            return None
        del self._untried[0]
        self._under_way.append(size)
        return size

    def acked(self, size: int) -> bool:
        """A probe got through; True if datagrams may now be longer."""
        self._forget(size)
        if size <= self.size:
            return False
        self.size = size
        self._suspicions = 0
        self._untried = [other for other in self._untried if other > size]
        return True

    def lost(self, size: int) -> None:
        """A probe did not get through: once more, then it and all longer ones are too long."""
        self._forget(size)
        if size <= self.size or self._retry_at is not None:
            return
        self._losses[size] = self._losses.get(size, 0) + 1
        if self._losses[size] >= TRIES:
            self._untried = [other for other in self._untried if other < size]
        else:
            self._untried = sorted({size, *self._untried})

    def interrupt(self) -> None:
        """The path is left: probes under way tell nothing and are to be tried anew."""
        self._untried = sorted({*self._untried, *self._under_way})
        self._under_way.clear()

    def _forget(self, size: int) -> None:
        if size in self._under_way:
            self._under_way.remove(size)

    def long_acked(self) -> None:
        """A datagram longer than 1,200 bytes, and no probe, got through."""
        self._suspicions = 0

    def long_lost(self, now: float, sent_at: float) -> bool:
        """Such a datagram did not: True if it looks like a black hole.

        Short ones may get through all the while, so that no PTO expires. What was sent before the
        last suspicion tells nothing new.
        """
        if sent_at < self._suspect_from:
            return False
        self._suspicions += 1
        self._suspect_from = now
        return self._suspicions >= SUSPICIONS

    def black_hole(self, now: float) -> bool:
        """Nothing long gets through any more; True if the size changes."""
        if self.size == BASE_DATAGRAM:
            return False
        self.size = BASE_DATAGRAM
        self._suspicions = 0
        self._untried.clear()
        self._retry_at = now + RETRY_AFTER
        return True
