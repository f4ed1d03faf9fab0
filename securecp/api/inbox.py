"""Waiting for offers, and answering them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import ExitStack, closing
from types import TracebackType
from typing import TYPE_CHECKING, Self

from keys.identity import PublicKey
from securecp.api.engine import Engine, Feed
from securecp.api.transfer import Transfer
from securecp.errors import (
    DeclinedError,
    InterruptedTransferError,
    SecurecpError,
    TrustError,
)
from securecp.events import Done, Event, Failed, Listening, Offered
from securecp.session import Decision

if TYPE_CHECKING:
    from securecp.net.attend import ReceiveOptions
    from securecp.net.udp import UdpSocket

_KINDS: dict[int, type[SecurecpError]] = {
    error.exit_code: error
    for error in (SecurecpError, DeclinedError, InterruptedTransferError, TrustError)
}


class Offer:
    """What a contact would like to give us; without an answer nothing comes."""

    def __init__(self, inbox: "Inbox", offered: Offered, transfer: Transfer) -> None:
        self.peer = PublicKey(offered.peer)
        self.name = transfer.name
        """What the contact is called here."""
        self.files = offered.files
        self.size = offered.size
        """Bytes."""
        self.names = offered.names
        """What stands at the top: bytes of the peer, to be escaped before anybody sees them."""
        self.resumed = offered.approved
        """It was accepted before and goes on already; nobody waits for the answer."""
        self.offered = offered
        """Everything that is known of it."""
        self._inbox = inbox
        self._transfer = transfer

    def accept(self) -> Transfer:
        """Take it."""
        self._inbox._answer(self.offered.transfer, yes=True)
        return self._transfer

    def decline(self) -> None:
        """Say no."""
        if self.resumed:
            self._transfer.cancel()
        else:
            self._inbox._answer(self.offered.transfer, yes=False)


class Inbox:
    """Offers of contacts, one after another, until it is left; made by `Person.receive`.

    Any number of transfers may run at once. Contacts that are blocked are not even answered, and
    `accept = never` and `max_size` in the contacts hold here as well.
    """

    def __init__(
        self,
        sockets: "Callable[[], list[UdpSocket]]",
        options: "Callable[[list[UdpSocket], Inbox], ReceiveOptions]",
        name_of: Callable[[bytes], str],
        refuses: Callable[[Offered], bool],
    ) -> None:
        self.endpoint = ""
        """Where we wait, as HOST:PORT."""
        self._sockets = sockets
        self._options = options
        self._name_of = name_of
        self._refuses = refuses
        self._feed: Feed[Offer] = Feed()
        self._transfers: dict[int, Transfer] = {}
        self._accepted: set[int] = set()
        self._sessions: dict[int, bytes] = {}
        """The id of the session that each transfer has now."""
        self._answers: dict[bytes, Future[bool]] = {}
        """What was said, or is to be said, about each session's offer."""
        self._lock = threading.Lock()
        self._engine = Engine(self._work, self._finish)
        self._listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._error: BaseException | None = None

    async def __aenter__(self) -> Self:
        self._engine.start()
        try:
            await self._listening
        except BaseException:
            await self._engine.end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._engine.end()

    async def __aiter__(self) -> AsyncIterator[Offer]:
        async for offer in self._feed:
            yield offer
        if self._error is not None:
            raise self._error

    # in the engine's thread

    def _work(self, engine: Engine) -> int:
        from securecp.net import attend

        with ExitStack() as stack:
            sockets = [stack.enter_context(closing(one)) for one in self._sockets()]
            options = self._options(sockets, self)._replace(
                policy=self._decide, running=engine.running
            )
            if options.journals is not None:
                stack.callback(options.journals.close)
            return attend.receive(options, lambda event: engine.tell(self._hear, event), self._ask)

    def _decide(self, offered: Offered) -> Decision:
        return Decision.DECLINE if self._refuses(offered) else Decision.ASK

    def _ask(self, offered: Offered) -> bool:
        """In a thread of its own, until the program has answered or nobody waits any more."""
        return self._question(offered.transfer_id).result()

    def _question(self, transfer_id: bytes) -> "Future[bool]":
        with self._lock:
            return self._answers.setdefault(transfer_id, Future())

    def _answer(self, number: int, *, yes: bool) -> None:
        if yes:
            self._accepted.add(number)
        if (transfer_id := self._sessions.get(number)) is not None:
            question = self._question(transfer_id)
            if not question.done():
                question.set_result(yes)

    # in the asyncio loop

    def _hear(self, event: Event) -> None:
        if isinstance(event, Listening):
            self.endpoint = event.endpoint
            self._listening.set_result(None)
        number = getattr(event, "transfer", 0)
        if isinstance(event, Offered):
            self._begin(number, event)
        transfer = self._transfers.get(number)
        if transfer is None:
            return
        transfer._on_event(event)
        if isinstance(event, Done | Failed):
            del self._transfers[number]
            self._accepted.discard(number)
            self._forget(self._sessions.pop(number, b""))
        if isinstance(event, Done):
            transfer._on_done(event)
        elif isinstance(event, Failed):
            kind = _KINDS.get(event.code, SecurecpError)
            transfer._on_error(kind(event.message, event.hint))

    def _begin(self, number: int, offered: Offered) -> None:
        """An offer, or a session in which a transfer of ours goes on."""
        if self._refuses(offered):
            return
        self._forget(self._sessions.get(number, b""))
        self._sessions[number] = offered.transfer_id
        if number in self._accepted:
            self._answer(number, yes=True)
        if number in self._transfers:
            return
        running = self._engine.running
        transfer = self._transfers[number] = Transfer(
            offered.peer,
            self._name_of(offered.peer),
            lambda: running.call(lambda: running.cancel(number)),
        )
        self._feed.put(Offer(self, offered, transfer))

    def _forget(self, transfer_id: bytes) -> None:
        with self._lock:
            question = self._answers.pop(transfer_id, None)
        if question is not None and not question.done():
            question.set_result(False)

    def _finish(self, result: object) -> None:
        ours = self._engine.running.stopping
        error = result if isinstance(result, BaseException) else SecurecpError("it has ended")
        if not ours:
            self._error = error
        if not self._listening.done():
            self._listening.set_exception(error)
        for transfer in self._transfers.values():
            transfer._on_error(error)
        for transfer_id in list(self._answers):
            self._forget(transfer_id)
        self._feed.end()
