"""A second thread for slow jobs: digests, publishing, questions; results come back in the loop."""

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[[], Any], Callable[[Any], None]]


class Workshop:
    """Runs jobs one after another in one thread; `collect` calls back in the thread of the loop."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Callable[[Any], None], Any]] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="workshop", daemon=True)
        self._thread.start()

    def start(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        """Have `job` done after those that were started before."""
        self._jobs.put((job, then))

    def start_aside(self, job: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        """Have `job` done in a thread of its own: it may take for ever."""
        threading.Thread(target=self._do, args=(job, then), name="aside", daemon=True).start()

    def collect(self) -> None:
        """Hand back every result that has come in."""
        while not self._results.empty():
            then, result = self._results.get()
            then(result)

    def close(self) -> None:
        """Stop after the job at hand; those behind it are not begun."""
        self._closed = True
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None and not self._closed:
            self._do(*item)

    def _do(self, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        result: object
        try:
            result = job()
        except Exception as error:  # whoever asked for the job decides
            result = error
        self._results.put((then, result))
        self._notify()
