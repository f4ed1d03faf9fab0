"""The receiver's states, from offer to signed receipt (SPEC §8.6).

    IDLE ──OFFER──► LISTING ──last page──► ASKING ──accept──► PREPARING ──prepared──► RECEIVING
                       └ over our limits      └──────decline──────┴──► DECLINED           │
                         ──► DECLINED                        all files settled, FINISHED  │
                                                       COMPLETE ◄──published── PUBLISHING ◄┘

ABORT and `abort` lead to ABORTED from anywhere but the ends. Each file has states of its own:

    OPEN ──every chunk good──► GOOD
      └─mismatch─► RETRYING ──RESTART──► FORGETTING ──none being verified, AGAIN──► OPEN
    FAILED leads to FAILED from each of them

Bytes and digests come in any order and are matched chunk by chunk. Nothing is published before
every file is good or failed and the content digest agrees.
"""

from enum import Enum, auto
from typing import ClassVar, NamedTuple

from securecp.errors import ProtocolError
from securecp.transfer import messages
from securecp.transfer.chunks import Arrivals
from securecp.transfer.effects import (
    Complete,
    Consent,
    Declined,
    Effect,
    ExpectContent,
    FileFailed,
    FilesReady,
    ForgetContent,
    Prepare,
    Publish,
    VerifyChunks,
)
from securecp.transfer.entries import ENTRY_LIMIT, FILE, SIZE_LIMIT
from securecp.transfer.manifest import Chunk, Manifest, ManifestReader
from securecp.transfer.offer import summarise
from securecp.transfer.party import Party, Routes
from securecp.transfer.receipt import Receipt, Sign


class Limits(NamedTuple):
    """What we take at most from this contact; more is declined before anybody is asked."""

    entries: int = ENTRY_LIMIT
    size: int = SIZE_LIMIT


class State(Enum):
    """Where the receiver stands."""

    IDLE = auto()
    LISTING = auto()
    ASKING = auto()
    PREPARING = auto()
    RECEIVING = auto()
    PUBLISHING = auto()
    COMPLETE = auto()
    DECLINED = auto()
    ABORTED = auto()


# Where each file stands.
OPEN, GOOD, RETRYING, FORGETTING, FAILED = range(5)


class Receiver(Party):
    """One transfer, seen by who gets the files.

    `ours` and `theirs` are public keys (32 bytes); `sign` signs with our identity.
    """

    over: ClassVar[frozenset[Enum]] = frozenset({State.DECLINED, State.ABORTED})
    ends: ClassVar[frozenset[Enum]] = over | {State.COMPLETE}
    aborted = State.ABORTED

    def __init__(
        self, *, ours: bytes, theirs: bytes, sign: Sign, limits: Limits | None = None
    ) -> None:
        super().__init__()
        self.state = State.IDLE
        self._ours = ours
        self._theirs = theirs
        self._sign = sign
        self._limits = limits or Limits()
        self._reader = ManifestReader()
        self._pages = 0
        self._to_verify: list[Chunk] = []
        self._ready: list[int] = []
        self._restarted: set[int] = set()
        self._quieting: dict[int, int] = {}
        """Files to be forgotten or dropped once none of these many chunks is being verified."""
        self._failed: dict[int, str] = {}
        self._finished: bytes | None = None
        """The content digest that the sender told, and that agrees with ours."""

    @property
    def manifest(self) -> Manifest:
        """What was offered; only from `Consent` on."""
        return self._manifest

    # What the session tells us.

    def accept(self) -> None:
        """The person, or the contact's policy, said yes to all of it."""
        self._must_be(State.ASKING)
        self.state = State.PREPARING
        self._effects.append(Prepare(self._manifest))

    def decline(self, code: int, reason: str) -> None:
        """No: by the person, by policy, or for lack of room."""
        self._must_be(State.LISTING, State.ASKING, State.PREPARING)
        self._put(messages.Decline(code, messages.reason(reason)))
        self.state = State.DECLINED

    def prepared(self) -> None:
        """The destination is ready: content may come."""
        self._must_be(State.PREPARING)
        self.state = State.RECEIVING
        manifest = self._manifest
        self._files = bytearray(len(manifest.entries))
        self._unsettled = manifest.files
        self._arrivals = Arrivals(manifest, self._to_verify.append)
        if manifest.size:
            self._effects.append(ExpectContent(0, manifest.size))
        columns = manifest.columns
        for entry, kind in enumerate(columns.kinds):
            if kind == FILE and not columns.size(entry):
                self._settle(entry)
        self._put(messages.Accept())

    def stored(self, offset: int, length: int) -> None:
        """`length` bytes of content space were handed to the disk; each only once."""
        if self.state is State.RECEIVING:
            self._arrivals.stored(offset, length, self._is_open)

    def verified(self, number: int, digest: bytes) -> None:
        """The digest of a chunk as it was stored."""
        if self.state is not State.RECEIVING:
            return
        chunk = self._arrivals.answered(number)
        entry = chunk.entry
        if entry in self._quieting:
            self._quieting[entry] -= 1
            self._act_if_quiet(entry)
        elif self._files[entry] != OPEN:
            return
        elif digest != self._arrivals.digests.of(number):
            self._files[entry] = RETRYING
            self._put(messages.Retry((number,)))
        elif self._arrivals.good(chunk):
            self._settle(entry)
            self._publish_if_done()

    def published(self, files: int, size: int, time: int) -> None:
        """`files` files of `size` bytes are flushed under their final names, at unix `time`."""
        if self.state is State.ABORTED:
            return
        self._must_be(State.PUBLISHING)
        manifest, content = self._manifest, self._finished
        skipped = manifest.files - files
        if content is None or skipped < len(self._failed) or not 0 <= size <= manifest.size:
            raise ValueError("more was published than received")
        receipt = Receipt(
            self._theirs,
            self._ours,
            self._offer.transfer_id,
            manifest.digest,
            content,
            files,
            skipped,
            size,
            time,
        ).signed(self._sign)
        self._put(
            messages.Received(
                files, skipped, size, time, manifest.digest, content, receipt.signature
            )
        )
        self.state = State.COMPLETE
        self._effects.append(Complete(receipt, tuple(self._failed.items())))

    def effects(self) -> list[Effect]:
        if self.state is State.RECEIVING:
            self._announce_ready()
            if self._to_verify:
                self._effects.append(VerifyChunks(tuple(self._to_verify)))
                self._to_verify.clear()
        return super().effects()

    # What the sender tells us.

    def _offered(self, message: messages.Offer) -> None:
        self._offer = message
        self.state = State.LISTING
        limits = self._limits
        if message.entries > min(limits.entries, ENTRY_LIMIT):
            self._refuse(f"{message.entries} entries are more than {limits.entries}")
        elif message.size > limits.size:
            self._refuse(f"{message.size} bytes are more than {limits.size}")
        else:
            self._ask_if_listed()

    def _page(self, message: messages.Page) -> None:
        self._reader.page(message.raw)
        self._pages += 1
        if self._reader.read > self._offer.entries:
            raise ProtocolError("the offer has more entries than it said")
        self._ask_if_listed()

    def _digests(self, message: messages.Digests) -> None:
        self._arrivals.told(message.first, message.digests, self._is_open)

    def _restart(self, message: messages.Restart) -> None:
        entry = message.entry
        may = entry < len(self._files) and self._files[entry] in (OPEN, RETRYING)
        if not may or entry in self._restarted or not self._manifest.chunks(entry):
            raise ProtocolError("RESTART of something that cannot be restarted")
        self._restarted.add(entry)
        self._files[entry] = FORGETTING
        self._arrivals.forget(entry)
        self._finished = None
        self._quieting[entry] = self._arrivals.asked(entry)
        self._act_if_quiet(entry)

    def _file_failed(self, message: messages.Failed) -> None:
        entry = message.entry
        if entry >= len(self._files) or self._manifest.columns.kinds[entry] != FILE:
            raise ProtocolError("FAILED for something that is no file")
        if self._files[entry] == FAILED:
            raise ProtocolError("FAILED twice for one file")
        if self._files[entry] == GOOD:
            self._unsettled += 1
        self._files[entry] = FAILED
        self._failed[entry] = message.reason
        self._arrivals.close(entry)
        self._finished = None
        self._quieting[entry] = self._arrivals.asked(entry)
        self._act_if_quiet(entry)

    def _told_all(self, message: messages.Finished) -> None:
        if self._finished is not None or self._arrivals.untold:
            raise ProtocolError("FINISHED too early, or twice")
        files = self._files
        if self._arrivals.digests.content(lambda entry: files[entry] == FAILED) != message.digest:
            raise ProtocolError("the content digest does not match")
        self._finished = message.digest
        self._publish_if_done()

    def _too_late(self, _: messages.Message) -> None:
        """A file failed at the sender after all was verified here: it has arrived nevertheless."""

    # What follows.

    def _must_be(self, *states: State) -> None:
        if self.state not in states:
            raise ValueError(f"not while {self.state.name.lower()}")

    def _is_open(self, entry: int) -> bool:
        return self._files[entry] == OPEN

    def _refuse(self, reason: str) -> None:
        self.decline(messages.CODE_TOO_MUCH, reason)
        self._effects.append(Declined(messages.CODE_TOO_MUCH, reason))

    def _ask_if_listed(self) -> None:
        offer = self._offer
        if self._pages < offer.pages:
            return
        manifest = self._reader.finish()
        told = (offer.entries, offer.files, offer.size, offer.digest)
        if (len(manifest.entries), manifest.files, manifest.size, manifest.digest) != told:
            raise ProtocolError("the manifest is not what the offer said")
        self._manifest = manifest
        self.state = State.ASKING
        self._effects.append(Consent(summarise(manifest, offer.transfer_id)))

    def _settle(self, entry: int) -> None:
        self._files[entry] = GOOD
        self._unsettled -= 1
        self._ready.append(entry)

    def _act_if_quiet(self, entry: int) -> None:
        """A digest of what is forgotten must not be taken for one of what comes next."""
        if self._quieting[entry]:
            return
        del self._quieting[entry]
        if self._files[entry] == FAILED:
            self._unsettled -= 1
            self._announce_ready()
            self._effects.append(FileFailed(entry, self._failed[entry]))
            self._publish_if_done()
            return
        self._files[entry] = OPEN
        start = self._manifest.offset(entry)
        self._effects.append(ForgetContent(start, start + self._manifest.columns.size(entry)))
        self._put(messages.Again(entry))

    def _publish_if_done(self) -> None:
        if self._unsettled == 0 and self._finished is not None:
            self.state = State.PUBLISHING
            self._announce_ready()
            self._effects.append(Publish())

    def _announce_ready(self) -> None:
        """Before anything that depends on it, so that effects stay in order."""
        if self._ready:
            self._effects.append(FilesReady(tuple(self._ready)))
            self._ready.clear()

    routes: ClassVar[Routes] = {
        State.IDLE: {messages.Offer: _offered, messages.Abort: Party._peer_aborted},
        State.LISTING: {messages.Page: _page, messages.Abort: Party._peer_aborted},
        State.ASKING: {messages.Abort: Party._peer_aborted},
        State.PREPARING: {messages.Abort: Party._peer_aborted},
        State.RECEIVING: {
            messages.Digests: _digests,
            messages.Restart: _restart,
            messages.Failed: _file_failed,
            messages.Finished: _told_all,
            messages.Abort: Party._peer_aborted,
        },
        State.PUBLISHING: {
            messages.Failed: _too_late,
            messages.Finished: _too_late,
            messages.Abort: Party._peer_aborted,
        },
        State.COMPLETE: {
            messages.Failed: _too_late,
            messages.Finished: _too_late,
            messages.Abort: _too_late,
        },
    }
