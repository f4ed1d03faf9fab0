"""When whole bursts may be sealed as one and sent as trains of fragments (SPEC §5.5).

A train saves most of the work of sealing and opening its fragments one by one, and one lost
fragment costs all of it. So trains run while the share of what is lost stays small, and plain
datagrams, which tell more closely what the path loses, run otherwise.
"""

FIRST_LOOK = 1 << 20
"""Bytes without trains before they are tried, so that a new path is known first."""
LOOK = 16 << 20
"""Bytes acknowledged or lost between two looks."""
MOST_LOST = 1 / 32
"""Share of bytes lost above which trains cost more than they save."""
LONGEST_PAUSE = 64 * LOOK
FEWEST_FRAGMENTS = 4
"""A train of fewer saves nothing."""


class TrainPolicy:
    """Counts what was acknowledged and what was lost of a path."""

    __slots__ = ("_left", "_lost", "_pause", "running")

    def __init__(self) -> None:
        self.running = False
        self._pause = FIRST_LOOK
        """Bytes without trains before the next try."""
        self._left = FIRST_LOOK
        self._lost = 0

    def on_acked(self, size: int) -> None:
        """`size` bytes have arrived."""
        self._left -= size
        if self._left <= 0:
            self._look()

    def on_lost(self, size: int, count: int) -> None:
        """`size` bytes were lost; a train of such datagrams would have `count` fragments.

        A datagram lost alone would have cost a whole train.
        """
        self._left -= size
        self._lost += size if self.running else size * count
        if self.running and self._lost > LOOK * MOST_LOST:
            self._stop()
        elif self._left <= 0:
            self._look()

    def _look(self) -> None:
        if self.running:
            self._pause = max(self._pause // 2, FIRST_LOOK)
        elif self._lost <= self._pause * MOST_LOST:
            self.running = True
        self._left = LOOK if self.running else self._pause
        self._lost = 0

    def _stop(self) -> None:
        """Wait twice as long as last time before the next try."""
        self.running = False
        self._pause = min(max(2 * self._pause, LOOK), LONGEST_PAUSE)
        self._left, self._lost = self._pause, 0
