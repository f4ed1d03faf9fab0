"""One transfer: awaited for its result, iterated for its events, cancelled."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Generator
from types import TracebackType
from typing import Self

from keys.identity import PublicKey
from securecp.api.engine import Feed
from securecp.errors import InterruptedTransferError, SecurecpError
from securecp.events import Done, Event, Progress


class Transfer:
    """Files on their way to, or from, one contact.

    `await transfer` gives `securecp.events.Done`, or raises why it did not come to that. Leaving
    `async with transfer:` early, or cancelling a task that awaits it, cancels the transfer.
    """

    def __init__(self, peer: bytes, name: str, cancel: Callable[[], None]) -> None:
        self.peer = PublicKey(peer)
        self.name = name
        """What the contact is called here."""
        self.progress: Progress | None = None
        """The latest."""
        self._cancel = cancel
        self._feed: Feed[Event] = Feed()
        self._result: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._result.add_done_callback(_looked_at)

    def __repr__(self) -> str:
        state = "over" if self.over else "running"
        return f"<Transfer {self.name} {state}>"

    @property
    def over(self) -> bool:
        """Whether there is a result."""
        return self._result.done()

    def cancel(self) -> None:
        """Ask for its end; `await` raises InterruptedTransferError once it has come."""
        if not self.over:
            self._cancel()

    async def wait(self) -> Done:
        """What `await transfer` does."""
        try:
            return await asyncio.shield(self._result)
        except asyncio.CancelledError:
            await self._cancelled()
            raise

    def __await__(self) -> Generator[object, None, Done]:
        return self.wait().__await__()

    def __aiter__(self) -> AsyncIterator[Event]:
        return aiter(self._feed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._cancelled()

    async def _cancelled(self) -> None:
        self.cancel()
        with contextlib.suppress(SecurecpError):
            await asyncio.shield(self._result)

    # what the engine says

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Progress):
            self.progress = event
        self._feed.put(event)

    def _on_done(self, done: Done) -> None:
        if not self.over:
            self._result.set_result(done)
            self._feed.end()

    def _on_error(self, error: BaseException) -> None:
        if not self.over:
            if isinstance(error, KeyboardInterrupt):
                error = InterruptedTransferError("interrupted")
            self._result.set_exception(error)
            self._feed.end()


def _looked_at(result: "asyncio.Future[Done]") -> None:
    """Whoever does not await a transfer does not want to know."""
    if not result.cancelled():
        result.exception()
