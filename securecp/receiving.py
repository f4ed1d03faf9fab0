"""A session of who gets the files: the receiver's effects, carried out (SPEC §8.6)."""

from collections.abc import Callable
from typing import ClassVar

from securecp.errors import (
    DeclinedError,
    FullError,
    InterruptedTransferError,
    SecurecpError,
    StorageError,
)
from securecp.events import Done, Event, Offered, Paused, Resumed
from securecp.intake import (
    CONTENT_EFFECTS,
    FileIntake,
    Intake,
    Report,
    Store,
    StreamIntake,
    StreamSink,
    Tools,
)
from securecp.session import Decision, Handlers, Session, Workshop
from securecp.transfer import messages
from securecp.transfer.effects import (
    Aborted,
    Complete,
    Consent,
    Declined,
    Prepare,
    Publish,
)
from securecp.transfer.manifest import FILE, Manifest
from securecp.transfer.offer import Summary, top_names
from securecp.transfer.receiver import Receiver
from securecp.transport import connection as transport
from securecp.transport.connection import Connection
from securecp.transport.limit import Credit

__all__ = ["ReceiveSession", "Report", "Store", "StreamSink"]

RECEIPT_PATIENCE = 3.0
"""Seconds for which the receipt is sent again, if the sender does not say that it has it."""
PARTING = 10.0
"""Seconds within which the peer must have heard that we do not want it, or cannot go on."""
OFFER_PATIENCE = 60.0
"""Seconds within which whoever has connected must have made the offer."""


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
        approved: Callable[[Offered], bool] = lambda _: False,
        open_stream: Callable[[bytes, Offered], StreamSink] | None = None,
        limit: int | None = None,
    ) -> None:
        """`limit` is in bytes per second, and needs `first_credit` of it as content window.

        `approved` says whether the very same offer was accepted before: then nobody is asked.
        Without `open_stream` no stream is taken.
        """
        super().__init__(connection, workshop, now)
        self.party = Receiver(ours=ours, theirs=self.peer, sign=sign)
        self._wall_clock = wall_clock
        self._open_store = open_store
        self._policy = policy
        self._ask = ask
        self._approved = approved
        self._open_stream = open_stream
        self._summary: Summary | None = None
        self._offer: Offered | None = None
        self.consented = False
        """Whether we have taken the offer."""
        self._intake: Intake | None = None
        self._opening: _Opening | None = None
        """What the workshop makes ready."""
        self._offered = False
        self._refusal: SecurecpError | None = None
        """Why we said no, or stopped; the session is over when the peer has heard it."""
        self._parts_at: float | None = None
        """When we do not wait for that any longer."""
        self._publishing = False
        self._complete: Complete | None = None
        self._receipt_until = 0.0
        self._report: Report | None = None
        self._limit = limit
        self._credit: Credit | None = None
        connection.sink = self

    @property
    def manifest_digest(self) -> bytes:
        """What was offered; nothing before all of it is here."""
        return self._summary.digest if self._summary else b""

    @property
    def transfer_id(self) -> bytes:
        """The peer's name for this session's transfer; nothing before all of the offer is here."""
        return self._summary.transfer_id if self._summary else b""

    def supersede(self) -> None:
        """A newer session of the same transfer goes on."""
        if not self.over and self._refusal is None and self._complete is None:
            reason = "a newer session goes on"
            self._abort(messages.CODE_SUPERSEDED, reason, InterruptedTransferError(reason))

    def advance(self, now: float) -> None:
        super().advance(now)
        if self.over:
            return
        if self._intake is not None:
            self._intake.turn(now)
            self._grant(self._intake)
        if self._parts_at is not None and now >= self._parts_at:
            assert self._refusal is not None
            self._stop(self._refusal, transport.CLOSE_FAILED, "it does not go on")
        elif self._complete is not None and (
            self.waits or self.connection.control_idle or now >= self._receipt_until
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
        if self._parts_at is not None:
            return self._parts_at
        if not self._offered:
            return self.started_at + OFFER_PATIENCE
        times = [None if self._intake is None else self._intake.deadline(self._now)]
        times.append(None if self._credit is None else self._now + self._credit.step)
        return min((time for time in times if time is not None), default=None)

    def store(self, offset: int, slices: list[memoryview]) -> None:
        """The connection's sink."""
        if self.over or self._intake is None:
            return
        try:
            self._intake.store(offset, slices)
        except StorageError as error:
            self._give_up(error)

    def _grant(self, intake: Intake) -> None:
        """Let the peer send what the limit and the store allow by now."""
        total = None
        if self._credit is not None:
            received, content = self.connection.bytes_received, self.connection.content_in.came
            total = self._credit.total(self._now, received, content, self.connection.rtt)
        intake.grant(total)

    def _work(self) -> None:
        try:
            if self._intake is not None and not self.over:
                self._intake.refuse_broken()
            super()._work()
        except StorageError as error:
            self._give_up(error)

    def _report_progress(self) -> None:
        """Nothing is on its way before the store is ready, nor after we have said that it stops."""
        if self._intake is not None:
            super()._report_progress()

    def _progress(self) -> tuple[int, int]:
        self._skipped = self._content.skipped
        return self._content.progress()

    def _take(self, effect: object) -> None:
        """An effect that has to do with content."""
        self._content.handle(effect)

    @property
    def _content(self) -> Intake:
        assert self._intake is not None
        return self._intake

    def _publish(self, _: Publish) -> None:
        self._publishing = True
        self._done_elsewhere(self._content.publish, self._published)

    def _completed(self, effect: Complete) -> None:
        self._complete = effect
        self._receipt_until = self._now + RECEIPT_PATIENCE

    def _declined(self, effect: Declined) -> None:
        self._part(DeclinedError(f"declined: {effect.reason}"))

    def _aborted(self, effect: Aborted) -> None:
        self.code = effect.code
        self.cancelled = effect.code == messages.CODE_INTERRUPTED
        self.fail(InterruptedTransferError(f"the peer has stopped: {effect.reason}"))

    def _consent(self, effect: Consent) -> None:
        self._summary = summary = effect.summary
        self._offered = True
        offered = Offered(
            self.peer,
            summary.files,
            summary.size,
            summary.names,
            tuple(b"/".join(remark.path) for remark in summary.remarks),
            transfer_id=summary.transfer_id,
            manifest_digest=summary.digest,
            reasons=tuple(remark.reasons for remark in summary.remarks),
            stream=summary.stream,
            links=summary.links,
            entries=summary.entries,
            remarkable_total=summary.remarkable,
        )
        offered = self._offer = offered._replace(approved=self._approved(offered))
        self._events.append(offered)
        match self._policy(offered):
            case Decision.ACCEPT:
                self._answered(yes=True)
            case Decision.DECLINE:
                self._answered(yes=False)
            case Decision.ASK if offered.approved:
                self._answered(yes=True)
            case Decision.ASK:
                self._done_elsewhere(lambda: self._ask(offered), self._answered, aside=True)

    def _answered(self, yes: bool) -> None:
        if self._refusal is not None:  # a newer session goes on, and asks for itself
            return
        if yes:
            self.consented = True
            self.party.accept()
        else:
            self._decline(messages.CODE_DECLINED, "")

    def _decline(self, code: int, reason: str, error: SecurecpError | None = None) -> None:
        """Say no; the peer closes when it has heard it."""
        self.party.decline(code, reason)
        self._part(error if error is not None else DeclinedError("declined"))

    def _abort(self, code: int, reason: str, error: SecurecpError) -> None:
        """Go no further; what is good stays for a later session."""
        self.party.abort(code, reason)
        self._clean_up()
        self._part(error)

    def _part(self, error: SecurecpError) -> None:
        """The last word is on its way."""
        self._refusal = error
        if self.waits:
            self.fail(error)
            return
        self._write()
        self._parts_at = self._now + PARTING

    def _prepare(self, effect: Prepare) -> None:
        """In the workshop, behind the end of an older session of the same transfer."""
        opening = self._opening = _Opening()

        def prepare() -> object:
            opening.intake, opening.store = self._open(effect.manifest)
            return opening.store.prepare(effect.manifest)

        def prepared(result: object) -> None:
            if self._opening is None:  # it is over, and what was opened has been suspended
                return
            self._intake, self._opening = opening.intake, None
            if isinstance(result, Exception):
                self._clean_up()
                self._cannot(result)
            else:
                self._prepared(effect.manifest, result)

        self._workshop.start(prepare, prepared)

    def _open(self, manifest: Manifest) -> tuple[Intake, Store | StreamSink]:
        tools = Tools(
            self.connection,
            self._workshop,
            self.party,
            self._tell,
            self._done_elsewhere,
            self._job_failed,
        )
        if not manifest.columns.stream:
            store = self._open_store(self.peer)
            return FileIntake(store, manifest, tools), store
        if self._open_stream is None or self._offer is None:
            raise StorageError("streams are not taken here")
        sink = self._open_stream(self.peer, self._offer)
        return StreamIntake(sink, tools), sink

    def _tell(self, event: Event) -> None:
        self._events.append(event)

    def _cannot(self, error: Exception) -> None:
        """There is no place for it, or not yet."""
        if isinstance(error, FullError):
            self._events.append(Paused(self.peer, error.needed))
            self._decline(messages.CODE_FULL, _needed(error), error)
        elif isinstance(error, SecurecpError):
            self._decline(messages.CODE_NO_ROOM, "it cannot be stored", error)
        else:
            raise error

    def _prepared(self, manifest: Manifest, holdings: object) -> None:
        self.started_at = self._now
        if self._limit is not None:
            self._credit = Credit(self._limit, self._now, self.connection.bytes_received)
        self._content.begin(holdings)
        if self.party.kept:
            self._events.append(Resumed(self.peer, self.party.kept, manifest.size))

    def _published(self, report: Report) -> None:
        self._report = report
        lost = [entry for entry, _ in report.failed]
        self.party.published(report.published, report.size, int(self._wall_clock()), lost)

    def _give_up(self, error: StorageError) -> None:
        if isinstance(error, FullError):
            self._job_failed(error)
        else:
            self._stop(error, transport.CLOSE_FAILED, "the receiver's disk cannot take it")

    def _job_failed(self, error: SecurecpError) -> None:
        if not isinstance(error, FullError):
            super()._job_failed(error)
        elif not self.over and self._refusal is None:
            if self.party.manifest.columns.stream:  # it cannot go on another time
                self._abort(messages.CODE_STORAGE, "the disk is full", error)
                return
            self._events.append(Paused(self.peer, error.needed))
            self._abort(messages.CODE_FULL, _needed(error), error)

    def _conclude(self) -> None:
        """The receipt has arrived, or has been sent for long enough: all is on our disk."""
        assert self._complete is not None
        assert self._report is not None
        manifest, receipt = self.party.manifest, self._complete.receipt
        report, columns = self._report, manifest.columns
        failed = (*self._complete.failed, *report.failed)
        files = sum(columns.kinds[entry] == FILE for entry, _ in failed)
        self._events.append(
            Done(
                size=receipt.size,
                sent=self.connection.bytes_sent,
                seconds=self._now - self.started_at,
                files=receipt.files,
                digest=receipt.content_digest,
                skipped=receipt.skipped - files,
                failed=tuple((b"/".join(manifest.path(entry)), reason) for entry, reason in failed),
                peer=self.peer,
                saved=self.party.saved,
                present=len(report.present),
                renamed=tuple((b"/".join(manifest.path(e)), name) for e, name in report.renamed),
                transfer_id=receipt.transfer_id,
                manifest_digest=receipt.manifest_digest,
                names=top_names(manifest),
            )
        )
        if self.connection.control_idle or self.peer_is_done:
            self._workshop.start(self._content.finished, _nothing)
        self._intake = None
        self._finish()

    def _gone(self, error: SecurecpError) -> None:
        if self.over:
            return
        if self._refusal is not None:
            self.fail(self._refusal)
        elif self._complete is not None:
            self._conclude()
        elif self._publishing:  # it arrives all the same, and they do not choose whether we say so
            self.waits = True
        else:
            self.fail(error)

    def _clean_up(self) -> None:
        """Also of what is still being opened: the next in the workshop may want the same."""
        if self._intake is not None:
            self._intake.end()
        elif self._opening is not None:
            self._workshop.start(self._opening.suspend, _nothing)
        self._intake = self._opening = None

    handlers: ClassVar[Handlers] = {
        Consent: _consent,
        Prepare: _prepare,
        Publish: _publish,
        Complete: _completed,
        Declined: _declined,
        Aborted: _aborted,
        **dict.fromkeys(CONTENT_EFFECTS, _take),
    }


class _Opening:
    """A store that is made ready in the workshop, and suspended there if it ends before."""

    intake: Intake | None = None
    store: Store | StreamSink | None = None

    def suspend(self) -> None:
        """Behind `prepare`, whatever became of that."""
        if self.store is not None:
            self.store.suspend()


def _nothing(_: None | Exception) -> None:
    """There is nothing to be done about it."""


def _needed(error: FullError) -> str:
    return f"{error.needed} bytes are needed"
