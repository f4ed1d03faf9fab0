"""Which sockets have something to read: `select` for a few, a selector inside it for a crowd.

    few      main sockets, bell, LAN, …       select: microseconds of timeout, no call to set it up
    crowd    256 sockets that guess ports     epoll or kqueue, itself one file among the few

`epoll_wait` alone would not do: it counts in milliseconds, and pacing in less. `select` alone
neither: it takes files below 1,024 only, and looks at each of them every time.
"""

import select
import selectors
from typing import Any

FEW = 24
"""As many files as `select` is given."""
_SELECTABLE = 1_024
_NESTS = hasattr(selectors.DefaultSelector, "fileno")
"""Else (Windows) the number of a file is no matter to `select`; 512 of them are its limit."""
_POLL = 0.001
"""Seconds between looks at files that `select` does not take: only with 1,000 others open."""


class Readiness:
    """Files and what each stands for; `wait` gives back the latter."""

    def __init__(self) -> None:
        self._few: dict[int, Any] = {}
        self._hasty: dict[int, Any] = {}
        """Those of them that are not let gather."""
        self._crowd: selectors.BaseSelector | None = None
        self._files: list[int] = []
        """What `select` is given: the few, and the crowd if there is one."""
        self._beyond = False
        """Whether the crowd's own number is too large for it."""

    def add(self, file: int, what: Any, *, gathers: bool = False, crowd: bool = False) -> None:
        """Tell of `what` when there is something to read."""
        if _NESTS and (crowd or file >= _SELECTABLE or len(self._few) >= FEW):
            self._crowd = self._crowd or selectors.DefaultSelector()
            self._crowd.register(file, selectors.EVENT_READ, what)
        else:
            self._few[file] = what
            if not gathers:
                self._hasty[file] = what
        self._list()

    def remove(self, file: int) -> None:
        """No more of it; before the file is closed."""
        if file in self._few:
            del self._few[file]
            self._hasty.pop(file, None)
        elif self._crowd is not None:
            self._crowd.unregister(file)
            if not self._crowd.get_map():
                self.close()
        self._list()

    def wait(self, timeout: float, writer: int | None = None, *, hasty: bool = False) -> list[Any]:
        """What has come, or nothing once `writer` takes more or the time is over.

        With `hasty` only what is not let gather ends the wait.
        """
        readers = list(self._hasty) if hasty else self._files
        writers = [] if writer is None else [writer]
        if self._beyond or (writer is not None and _NESTS and writer >= _SELECTABLE):
            readers = [file for file in readers if file < _SELECTABLE]
            writers = [file for file in writers if file < _SELECTABLE]
            timeout = min(timeout, _POLL)
        ready, _, _ = select.select(readers, writers, [], timeout)
        if self._crowd is None:
            return [self._few[file] for file in ready]
        found = [self._few[file] for file in ready if file in self._few]
        if not hasty:
            found += [key.data for key, _ in self._crowd.select(0)]
        return found

    def close(self) -> None:
        """Give back what the crowd needed."""
        if self._crowd is not None:
            self._crowd.close()
            self._crowd = None

    def _list(self) -> None:
        self._files = list(self._few)
        if self._crowd is not None:
            self._files.append(self._crowd.fileno())  # type: ignore[attr-defined]
        self._beyond = _NESTS and max(self._files, default=0) >= _SELECTABLE
