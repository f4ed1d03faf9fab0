"""The sender's states, from offer to authenticated receipt (SPEC §8.5).

    IDLE ──start──► LISTING ──pages written──► ASKING ──ACCEPT──► SENDING ◄──► FINISHED ──RECEIPT──►
                       └────────DECLINE──────────┴──► DECLINED            DELIVERED

From FINISHED a RETRY or a failed file leads back to SENDING; ABORT and `abort` lead to ABORTED from
anywhere but the ends.

Content and digests flow side by side: the first by offsets through the transport, the second from
a worker through this stream. A file restarts once, after a RETRY or because its source has changed:

    restart wanted ─► digests under way come back ─► RESTART, new digests ─► AGAIN ─► content again

Then it fails. Only a receipt that verifies makes a transfer `Delivered`.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import ClassVar

from securecp.errors import ProtocolError
from securecp.transfer import messages
from securecp.transfer.digesting import Digesting, Run
from securecp.transfer.effects import (
    Declined,
    Delivered,
    DigestChunks,
    Effect,
    RestartSource,
    SendContent,
)
from securecp.transfer.entries import FILE
from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.party import Party, Routes
from securecp.transfer.receipt import Receipt, Verify

REASON_CHANGED = "it changed while it was sent"
REASON_UNREADABLE = "it cannot be read"


class State(Enum):
    """Where the sender stands."""

    IDLE = auto()
    LISTING = auto()
    ASKING = auto()
    SENDING = auto()
    FINISHED = auto()
    DELIVERED = auto()
    DECLINED = auto()
    ABORTED = auto()


class Sender(Party):
    """One transfer, seen by who has the files.

    `ours` and `theirs` are public keys (32 bytes), `transfer_id` 16 random bytes.
    """

    over: ClassVar[frozenset[Enum]] = frozenset({State.DECLINED, State.ABORTED})
    ends: ClassVar[frozenset[Enum]] = over | {State.DELIVERED}
    aborted = State.ABORTED

    def __init__(
        self,
        manifest: Manifest,
        *,
        transfer_id: bytes,
        ours: bytes,
        theirs: bytes,
        verify: Verify,
        withdraw: Callable[[int, int], bool] = lambda _start, _end: True,
    ) -> None:
        """`withdraw(start, end)` stops the content of a file; True when none is under way."""
        super().__init__()
        self._withdraw = withdraw
        self.state = State.IDLE
        self.manifest = manifest
        self._transfer_id = transfer_id
        self._ours = ours
        self._theirs = theirs
        self._verify = verify
        self._pages = manifest.pages()
        self._digesting = Digesting(manifest)
        self._run = Run()
        self._failed: dict[int, str] = {}
        self._restarted: set[int] = set()
        self._held: set[int] = set()
        """Restarted files whose digests or content under way have yet to come back or arrive."""
        self._forgetting: set[int] = set()
        """Restarted files whose AGAIN has yet to come."""
        self._finished: dict[bytes, int] = {}
        """Content digests we have told, each with the number of files that had failed then."""

    # What the session tells us.

    def start(self) -> None:
        """Make the offer."""
        if self.state is not State.IDLE:
            raise ValueError("the offer has been made")
        manifest = self.manifest
        self._put(
            messages.Offer(
                self._transfer_id,
                len(manifest.entries),
                manifest.files,
                manifest.size,
                manifest.page_count,
                manifest.digest,
            )
        )
        self.state = State.LISTING

    def digest(self, number: int, digest: bytes | None) -> None:
        """The worker's answer for one chunk: 32 bytes, or None if it cannot be read."""
        chunk = self._digesting.returned(number)
        if self.state is not State.SENDING:
            return
        if chunk.entry in self._held:
            self._restart_if_quiet(chunk.entry)
        elif chunk.entry in self._failed:
            return
        elif digest is None:
            self.fail(chunk.entry, REASON_UNREADABLE)
        else:
            self._digesting.keep(chunk, digest)
            if not self._run.add(number, digest):
                self._flush()
                self._run.add(number, digest)

    def completes(self, chunk: Chunk) -> bool:
        """Whether all other digests of its file are known: then look whether the file changed."""
        return self._digesting.completes(chunk.entry)

    def changed(self, entry: int) -> None:
        """The source is not what was scanned; to be called before its last `digest`.

        Ignored before the file's first digest and after its last: by then the digests are of one
        state of the file, and the receiver compares every byte with them.
        """
        if self._digesting.begun(entry):
            self._restart(entry)

    def fail(self, entry: int, reason: str) -> None:
        """This file will not come; the others are not touched."""
        if self.manifest.entries[entry].kind != FILE:
            raise ValueError("only files fail")
        if entry in self._failed or self.state not in (State.SENDING, State.FINISHED):
            return
        self._failed[entry] = messages.reason(reason)
        self._held.discard(entry)
        self._digesting.drop(entry)
        self._flush()
        self._put(messages.Failed(entry, self._failed[entry]))
        self.state = State.SENDING

    def content_sent(self, offset: int) -> None:
        """Content has gone out up to here; without such calls digests just run ahead."""
        self._digesting.content_sent(offset)

    def effects(self) -> list[Effect]:
        if self.state is State.SENDING:
            for entry in list(self._held):
                self._restart_if_quiet(entry)
            chunks = self._digesting.take()
            if chunks:
                self._effects.append(DigestChunks(chunks))
        return super().effects()

    # Restarts.

    def _restart(self, entry: int) -> None:
        if self.state not in (State.SENDING, State.FINISHED):
            return
        if entry in self._failed or entry in self._held or entry in self._forgetting:
            return
        if entry in self._restarted:
            self.fail(entry, REASON_CHANGED)
            return
        self._restarted.add(entry)
        self._digesting.drop(entry)
        self._held.add(entry)
        self.state = State.SENDING
        self._restart_if_quiet(entry)

    def _restart_if_quiet(self, entry: int) -> None:
        """Neither a digest nor content of the old state must pass for one of the new: wait.

        What is overtaken by RESTART would come after it, and be taken for the beginning of the new.
        """
        start = self.manifest.offset(entry)
        gone = self._withdraw(start, start + self.manifest.entries[entry].size)
        if not gone or self._digesting.busy_with(entry):
            return
        self._held.remove(entry)
        self._forgetting.add(entry)
        self._effects.append(RestartSource(entry))
        self._flush()
        self._put(messages.Restart(entry))
        self._digesting.again(entry)

    # Messages that are made when there is room for them.

    def _refill(self) -> None:
        if self.state is State.LISTING:
            page = next(self._pages, None)
            if page is None:
                self.state = State.ASKING
            else:
                self._outbox.put(page)
        elif self.state is State.SENDING:
            self._flush()
            self._finish_if_done()

    def _flush(self) -> None:
        if self._run.digests:
            self._put(messages.Digests(self._run.first, bytes(self._run.digests)))
            self._run = Run()

    def _finish_if_done(self) -> None:
        if self._digesting.done and not self._held:
            digest = self._digesting.digests.content(self._failed.__contains__)
            self._finished[digest] = len(self._failed)
            self._put(messages.Finished(digest))
            self.state = State.FINISHED

    # What the receiver tells us.

    def _accepted(self, _: messages.Accept) -> None:
        self.state = State.SENDING
        if self.manifest.size:
            self._effects.append(SendContent(0, self.manifest.size))

    def _declined(self, message: messages.Decline) -> None:
        self.state = State.DECLINED
        self._outbox.drop_unsent()
        self._effects.append(Declined(message.code, message.reason))

    def _retry(self, message: messages.Retry) -> None:
        for number in message.chunks:
            if number >= self.manifest.chunk_count:
                raise ProtocolError("RETRY for a chunk that does not exist")
            # What did not match before our RESTART arrived there is of the old state: no matter.
            self._restart(self.manifest.chunk(number).entry)

    def _forgotten(self, message: messages.Again) -> None:
        if message.entry not in self._forgetting:
            raise ProtocolError("AGAIN for a file that was not restarted")
        self._forgetting.remove(message.entry)
        if message.entry not in self._failed:
            start = self.manifest.offset(message.entry)
            end = start + self.manifest.entries[message.entry].size
            self._effects.append(SendContent(start, end))

    def _received(self, message: messages.Received) -> None:
        failed = self._finished.get(message.content_digest)
        if failed is None:
            raise ProtocolError("a receipt for other content, or too early")
        manifest = self.manifest
        missing = manifest.files - message.files
        if (
            message.manifest_digest != manifest.digest
            or message.skipped != missing
            or missing < failed
            or message.size > manifest.size
            or (not missing and message.size != manifest.size)
        ):
            raise ProtocolError("a receipt that does not fit the offer")
        receipt = Receipt(
            self._ours,
            self._theirs,
            self._transfer_id,
            manifest.digest,
            message.content_digest,
            message.files,
            message.skipped,
            message.size,
            message.time,
            message.signature,
        )
        if not receipt.verified(self._verify):
            raise ProtocolError("a receipt that the receiver has not signed")
        self.state = State.DELIVERED
        self._outbox.drop_unsent()
        failures = tuple(self._failed.items())[:failed]
        self._effects.append(Delivered(receipt, receipt.encode(), failures))

    routes: ClassVar[Routes] = {
        State.IDLE: {},
        State.LISTING: {messages.Decline: _declined, messages.Abort: Party._peer_aborted},
        State.ASKING: {
            messages.Accept: _accepted,
            messages.Decline: _declined,
            messages.Abort: Party._peer_aborted,
        },
        State.SENDING: {
            messages.Retry: _retry,
            messages.Again: _forgotten,
            messages.Received: _received,
            messages.Abort: Party._peer_aborted,
        },
        State.FINISHED: {
            messages.Retry: _retry,
            messages.Again: _forgotten,
            messages.Received: _received,
            messages.Abort: Party._peer_aborted,
        },
        State.DELIVERED: {},
    }
