"""A second thread for slow jobs: digests, publishing, questions; results come back in the loop."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

LAST_PATIENCE = 1.5
"""Seconds that leaving takes at most: what has not become of a transfer by then is as after a
crash, and a crash loses nothing that a checkpoint has kept."""


class _Job(NamedTuple):
    job: Callable[[], Any]
    then: Callable[[Any], None]
    last: bool
    """Whether it is done even when everybody leaves."""


class Workshop:
    """Runs jobs one after another in one thread; `collect` calls back in the thread of the loop."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Callable[[Any], None], Any]] = queue.SimpleQueue()
        self._shut_at: float | None = None
        self._thread = threading.Thread(target=self._work, name="workshop", daemon=True)
        self._thread.start()

    def start(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        """Have `job` done after those that were started before."""
        self._jobs.put(_Job(job, then, last=False))

    def start_last(
        self, job: Callable[[], T], then: Callable[[T | Exception], None] = lambda _: None
    ) -> None:
        """The same for what must not be left undone, such as the last checkpoint."""
        self._jobs.put(_Job(job, then, last=True))

    def start_aside(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        """Have `job` done in a thread of its own: it may take for ever."""
        threading.Thread(target=self._do, args=(job, then), name="aside", daemon=True).start()

    def collect(self) -> None:
        """Hand back every result that has come in."""
        while not self._results.empty():
            then, result = self._results.get()
            then(result)

    def shut(self) -> None:
        """We are leaving: from now on only the last jobs are begun."""
        if self._shut_at is None:
            self._shut_at = time.monotonic()

    def close(self) -> None:
        """Wait a little for the job at hand and for the last ones."""
        self.shut()
        assert self._shut_at is not None
        self._jobs.put(None)
        self._thread.join(max(0.0, self._shut_at + LAST_PATIENCE - time.monotonic()))

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            if item.last or self._shut_at is None:
                self._do(item.job, item.then)

    def _do(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        result: object
        try:
            result = job()
        except Exception as error:  # whoever asked for the job decides
            result = error
        self._results.put((then, result))
        self._notify()
