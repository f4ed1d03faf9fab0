"""A loop of `securecp.net` in a thread of its own, and how asyncio hears of it."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

from securecp.events import Progress
from securecp.net.running import Running

T = TypeVar("T")


class Engine:
    """Runs `work` in a thread; whatever is `told` reaches the asyncio loop in order."""

    def __init__(self, work: Callable[["Engine"], Any], then: Callable[[Any], None]) -> None:
        """`then` is called in the asyncio loop with the result, or with the exception."""
        self.running = Running()
        self.over: asyncio.Future[None]
        self._loop = asyncio.get_running_loop()
        self.over = self._loop.create_future()
        self._work = work
        self._then = then
        self._thread = threading.Thread(target=self._run, name="securecp", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def tell(self, function: Callable[..., None], *arguments: Any) -> None:
        """From the thread: have it called in the asyncio loop."""
        with contextlib.suppress(RuntimeError):  # that loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(function, *arguments)

    async def end(self) -> None:
        """Stop in order, and wait until that is done, which takes no longer than two seconds."""
        self.running.stop()
        await asyncio.shield(self.over)

    def _run(self) -> None:
        result: object
        try:
            result = self._work(self)
        except BaseException as error:  # it is raised where the result is awaited
            result = error
        self.tell(self._finish, result)

    def _finish(self, result: object) -> None:
        self._then(result)
        if not self.over.done():
            self.over.set_result(None)


class Feed(Generic[T]):
    """What has come and was not yet read; one reader. Progress that nobody read makes room."""

    def __init__(self) -> None:
        self._waiting: deque[T] = deque()
        self._something = asyncio.Event()
        self._ended = False

    def put(self, item: T) -> None:
        waiting = self._waiting
        if waiting and isinstance(item, Progress) and isinstance(waiting[-1], Progress):
            waiting.pop()
        waiting.append(item)
        self._something.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._something.set()

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._ended:
                return
            self._something.clear()
            await self._something.wait()
