"""A session of who gets the files: the receiver's effects, carried out (SPEC §8.6)."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Protocol

from securecp.errors import (
    DeclinedError,
    InterruptedTransferError,
    SecurecpError,
    StorageError,
)
from securecp.events import Done, Offered
from securecp.session import Decision, Handlers, Session, Workshop, groups
from securecp.transfer import messages
from securecp.transfer.effects import (
    Aborted,
    Complete,
    Consent,
    Declined,
    ExpectContent,
    FileFailed,
    FilesReady,
    ForgetContent,
    Prepare,
    Publish,
    VerifyChunks,
)
from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.passing import PassingDigests
from securecp.transfer.receiver import Receiver
from securecp.transport import connection as transport
from securecp.transport.connection import Connection
from securecp.transport.limit import Credit

VERIFY_BYTES = 8 << 20
VERIFY_CHUNKS = 64
RECEIPT_PATIENCE = 3.0
"""Seconds for which the receipt is sent again, if the sender does not say that it has it."""
OFFER_PATIENCE = 60.0
"""Seconds within which whoever has connected must have made the offer."""


class Report(Protocol):
    """What publishing came to."""

    @property
    def published(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def skipped(self) -> tuple[int, ...]: ...
    @property
    def failed(self) -> tuple[tuple[int, str], ...]: ...


class Store(Protocol):
    """Where the files go: the disk, or memory in the simulator. StorageError from anything."""

    def prepare(self, manifest: Manifest) -> None: ...
    def store(self, offset: int, slices: list[memoryview]) -> None: ...
    def digest(self, chunk: Chunk) -> bytes: ...
    def ready(self, entry: int) -> None: ...
    def failed(self, entry: int) -> None: ...
    def publish(self) -> Report: ...
    def abandon(self) -> None: ...


class ReceiveSession(Session):
    """Waits for one offer of the peer and sees it through to the receipt."""

    party: Receiver

    def __init__(
        self,
        connection: Connection,
        workshop: Workshop,
        now: float,
        *,
        ours: bytes,
        sign: Callable[[bytes], bytes],
        wall_clock: Callable[[], float],
        open_store: Callable[[bytes], Store],
        policy: Callable[[Offered], Decision],
        ask: Callable[[Offered], bool],
        limit: int | None = None,
    ) -> None:
        """`limit` is in bytes per second, and needs `first_credit` of it as content window."""
        super().__init__(connection, workshop, now)
        self.party = Receiver(ours=ours, theirs=self.peer, sign=sign)
        self._wall_clock = wall_clock
        self._open_store = open_store
        self._policy = policy
        self._ask = ask
        self._store: Store | None = None
        self._passing: PassingDigests | None = None
        self._offered = False
        self._refusal: SecurecpError | None = None
        """Why we said no; the session is over when the peer has heard it."""
        self._complete: Complete | None = None
        self._receipt_until = 0.0
        self._report: Report | None = None
        self._limit = limit
        self._credit: Credit | None = None
        connection.sink = self

    def advance(self, now: float) -> None:
        super().advance(now)
        if self.over:
            return
        if self._credit is not None:
            self._grant(self._credit)
        if self._complete is not None and (
            self.connection.control_idle or now >= self._receipt_until
        ):
            self._conclude()
        elif not self._offered and now - self.started_at > OFFER_PATIENCE:
            self._stop(
                InterruptedTransferError("connected, but nothing was offered"),
                transport.CLOSE_FAILED,
                "nothing was offered",
            )

    def deadline(self) -> float | None:
        """When `advance` is due even if nothing comes."""
        if self._complete is not None:
            return self._receipt_until
        if self._credit is not None:
            return self._now + self._credit.step
        return None if self._offered else self.started_at + OFFER_PATIENCE

    def store(self, offset: int, slices: list[memoryview]) -> None:
        """The connection's sink: to the disk, then to the books."""
        if self.over or self._store is None:
            return
        try:
            self._store.store(offset, slices)
        except StorageError as error:
            self._give_up(error)
            return
        if self._passing is not None:
            self._passing.note(offset, slices)
        self.party.stored(offset, sum(map(len, slices)))

    def _grant(self, credit: Credit) -> None:
        """Let the peer send what the limit allows by now."""
        connection = self.connection
        received, content = connection.bytes_received, connection.content_in.came
        connection.grant_content(credit.total(self._now, received, content, connection.rtt))

    def _progress(self) -> tuple[int, int]:
        size = self.party.manifest.size if self._store is not None else 0
        return self.connection.content_in.stored, size

    def _expect(self, effect: ExpectContent) -> None:
        self.connection.expect_content(effect.start, effect.end)

    def _forget(self, effect: ForgetContent) -> None:
        self.connection.forget_content(effect.start, effect.end)
        if self._passing is not None:
            self._passing.forget(self.party.manifest.locate(effect.start))

    def _ready(self, effect: FilesReady) -> None:
        for entry in effect.entries:
            self._files.ready(entry)

    def _file_failed(self, effect: FileFailed) -> None:
        self._files.failed(effect.entry)

    def _publish(self, _: Publish) -> None:
        self._done_elsewhere(self._files.publish, self._published)

    def _completed(self, effect: Complete) -> None:
        self._complete = effect
        self._receipt_until = self._now + RECEIPT_PATIENCE

    def _declined(self, effect: Declined) -> None:
        self._refusal = DeclinedError(f"declined: {effect.reason}")

    def _aborted(self, effect: Aborted) -> None:
        self.fail(InterruptedTransferError(f"the peer has stopped: {effect.reason}"))

    @property
    def _files(self) -> Store:
        assert self._store is not None
        return self._store

    def _consent(self, effect: Consent) -> None:
        summary = effect.summary
        self._offered = True
        offered = Offered(
            self.peer,
            summary.files,
            summary.size,
            summary.names,
            tuple(b"/".join(remark.path) for remark in summary.remarks),
        )
        self._events.append(offered)
        match self._policy(offered):
            case Decision.ACCEPT:
                self.party.accept()
            case Decision.DECLINE:
                self._decline(messages.CODE_DECLINED, "")
            case Decision.ASK:
                self._done_elsewhere(lambda: self._ask(offered), self._answered, aside=True)

    def _answered(self, yes: bool) -> None:
        if yes:
            self.party.accept()
        else:
            self._decline(messages.CODE_DECLINED, "")

    def _decline(self, code: int, reason: str, error: SecurecpError | None = None) -> None:
        """Say no; the peer closes when it has heard it."""
        self.party.decline(code, reason)
        self._write()
        self._refusal = error if error is not None else DeclinedError("declined")

    def _prepare(self, effect: Prepare) -> None:
        try:
            self._store = self._open_store(self.peer)
            self._store.prepare(effect.manifest)
        except SecurecpError as error:
            self._decline(messages.CODE_NO_ROOM, "it cannot be stored", error)
            return
        self._passing = PassingDigests(effect.manifest)
        self.started_at = self._now
        if self._limit is not None:
            self._credit = Credit(self._limit, self._now, self.connection.bytes_received)
        self.party.prepared()

    def _verify(self, effect: VerifyChunks) -> None:
        """What was stored in order has been digested in passing; the rest is read back."""
        assert self._passing is not None
        passed, others = self._passing.part(effect.chunks)
        self._verified([(chunk.number, digest) for chunk, digest in passed])
        sizes = ((chunk, chunk.length) for chunk in others)
        for group in groups(sizes, VERIFY_BYTES, VERIFY_CHUNKS):
            self._done_elsewhere(partial(_digest_all, self._files, group), self._verified)

    def _verified(self, results: list[tuple[int, bytes]]) -> None:
        for number, digest in results:
            self.party.verified(number, digest)

    def _published(self, report: Report) -> None:
        self._report = report
        self.party.published(report.published, report.size, int(self._wall_clock()))

    def _give_up(self, error: StorageError) -> None:
        self._stop(error, transport.CLOSE_FAILED, "the receiver's disk cannot take it")

    def _conclude(self) -> None:
        """The receipt has arrived, or has been sent for long enough: all is on our disk."""
        assert self._complete is not None
        assert self._report is not None
        manifest, receipt = self.party.manifest, self._complete.receipt
        failed = (*self._complete.failed, *self._report.failed)
        self._events.append(
            Done(
                size=receipt.size,
                sent=self.connection.bytes_sent,
                seconds=self._now - self.started_at,
                files=receipt.files,
                digest=receipt.content_digest,
                skipped=len(self._report.skipped),
                failed=tuple((b"/".join(manifest.path(entry)), reason) for entry, reason in failed),
            )
        )
        self._store = None
        self._finish()

    def _gone(self, error: SecurecpError) -> None:
        if self._refusal is not None:
            self.fail(self._refusal)
        elif self._complete is not None:
            self._conclude()
        else:
            self.fail(error)

    def _clean_up(self) -> None:
        if self._store is not None:
            self._store.abandon()
            self._store = None

    handlers: ClassVar[Handlers] = {
        Consent: _consent,
        Prepare: _prepare,
        ExpectContent: _expect,
        ForgetContent: _forget,
        VerifyChunks: _verify,
        FilesReady: _ready,
        FileFailed: _file_failed,
        Publish: _publish,
        Complete: _completed,
        Declined: _declined,
        Aborted: _aborted,
    }


def _digest_all(store: Store, chunks: list[Chunk]) -> list[tuple[int, bytes]]:
    return [(chunk.number, store.digest(chunk)) for chunk in chunks]
