"""Virtual time: actions at times, run in order; ties in the order they were set."""

import heapq
from collections.abc import Callable


class Clock:
    """The event heap. `now` is in seconds and moves only when the next action is due."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._set = 0

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Run `action` at `when`, or at once if that is past."""
        self._set += 1
        heapq.heappush(self._heap, (max(when, self.now), self._set, action))

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Run `action` in `delay` seconds."""
        self.at(self.now + delay, action)

    def step(self, limit: float) -> bool:
        """Run the next action; False if there is none up to `limit`."""
        if not self._heap or self._heap[0][0] > limit:
            return False
        self.now, _, action = heapq.heappop(self._heap)
        action()
        return True
