"""The receiver's states behind its yes, to the signed receipt (SPEC §8.6; `consenting.py` before).

    PREPARING ──prepared──► RECEIVING ──all files settled, FINISHED──► PUBLISHING ──published──►
                   └──────► STREAMING ──all pieces appended, FINISHED──┘                COMPLETE

ABORT and `abort` lead to ABORTED from anywhere but the ends. Each file has states of its own:

    OPEN ──every chunk good──► GOOD
      └─mismatch─► RETRYING ──RESTART──► FORGETTING ──none being verified, AGAIN──► OPEN
    we cannot, or will not, store it: DROPPED, and DROP is sent
    FAILED leads to FAILED from each of them

Bytes and digests come in any order and are matched chunk by chunk. Chunks that may be here already
(HAVE) are compared with the told digests like any other; one that differs is sent for (WANT), and
is then like any other. Nothing is published before every file is good or failed and the content
digest agrees.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from securecp.errors import ProtocolError
from securecp.transfer import messages
from securecp.transfer.chunks import Arrivals
from securecp.transfer.consenting import Consenting, Limits, State
from securecp.transfer.effects import (
    AppendData,
    Complete,
    Effect,
    ExpectContent,
    FileFailed,
    FilesReady,
    ForgetContent,
    GoodChunks,
    MissedChunk,
    Publish,
    VerifyChunks,
    WaiveContent,
    ZeroChunks,
)
from securecp.transfer.entries import FILE, LINK
from securecp.transfer.holdings import Holdings
from securecp.transfer.manifest import Chunk
from securecp.transfer.party import Party, Routes
from securecp.transfer.receipt import Receipt, Sign
from securecp.transfer.streaming import Assembly

__all__ = ["Limits", "Receiver", "State"]

# Where each file stands.
OPEN, GOOD, RETRYING, FORGETTING, FAILED, DROPPED = range(6)
_COMING = (OPEN, RETRYING)


_NOTHING = Holdings()


class Receiver(Consenting):
    """One transfer, seen by who gets the files.

    `ours` and `theirs` are public keys (32 bytes); `sign` signs with our identity.
    """

    def __init__(
        self, *, ours: bytes, theirs: bytes, sign: Sign, limits: Limits | None = None
    ) -> None:
        super().__init__(limits)
        self._ours = ours
        self._theirs = theirs
        self._sign = sign
        self._to_verify: list[Chunk] = []
        self._ready: list[int] = []
        self._restarted: set[int] = set()
        self._quieting: dict[int, int] = {}
        """Files to be forgotten or dropped once none of these many chunks is being verified."""
        self._failed: dict[int, str] = {}
        self._failed_files = 0
        self._unwanted: set[int] = set()
        """What we did not want from the beginning."""
        self._refused: dict[int, str] = {}
        """What we cannot store, and why."""
        self._wanted: list[int] = []
        """Chunks to ask for in the next WANT."""
        self.kept = 0
        """Bytes that may have been here before."""
        self._assembly = Assembly()
        self._finished: bytes | None = None
        """The content digest that the sender told, and that agrees with ours."""

    # What the session tells us.

    def prepared(
        self,
        holdings: Holdings = _NOTHING,
        known: Callable[[int], bytes | None] = lambda _: None,
    ) -> None:
        """The destination is ready: content may come, but for what is there.

        `known(number)` is the digest of a chunk that is here, if it need not be read for that.
        """
        self._must_be(State.PREPARING)
        manifest = self._manifest
        if manifest.columns.stream:
            self.state = State.STREAMING
            self._put(messages.Accept())
            return
        self.state = State.RECEIVING
        self._files = bytearray(len(manifest.entries))
        self._unsettled = manifest.files
        self._known = known
        self._arrivals = Arrivals(manifest, self._to_verify.append)
        if manifest.size:
            self._effects.append(ExpectContent(0, manifest.size))
        self._take_stock(holdings)
        columns = manifest.columns
        for entry, kind in enumerate(columns.kinds):
            if self._files[entry] == OPEN and not columns.size(entry):
                if kind == FILE:
                    self._settle(entry)
                elif kind == LINK:
                    self._files[entry] = GOOD
        self._put(messages.Accept())

    def stored(self, offset: int, length: int) -> None:
        """`length` bytes of content space were handed to the disk; each only once."""
        if self.state is State.RECEIVING:
            self._arrivals.stored(offset, length, self._is_open)

    def streamed(self, offset: int, data: bytearray) -> None:
        """Bytes of the stream have come, each only once."""
        if self.state is State.STREAMING:
            self._assembly.store(offset, data)
            self._append()

    @property
    def held(self) -> int:
        """Bytes of the stream that are here and could not be appended yet."""
        return self._assembly.held

    @property
    def streamed_size(self) -> int:
        """Bytes of the stream that have been appended."""
        return self._assembly.size

    def verified(self, number: int, digest: bytes) -> bool:
        """The digest of a chunk as it is here; True if that is what was sent, and counts."""
        if self.state is not State.RECEIVING:
            return False
        chunk = self._arrivals.answered(number)
        entry = chunk.entry
        if entry in self._quieting:
            self._quieting[entry] -= 1
            self._act_if_quiet(entry)
        elif self._files[entry] != OPEN:
            return False
        elif digest != self._arrivals.digests.of(number):
            self._differs(chunk)
        else:
            if self._arrivals.good(chunk):
                self._settle(entry)
                self._publish_if_done()
            return True
        return False

    @property
    def saved(self) -> int:
        """Bytes that need not come: they were here, or are zeros."""
        return 0 if self._manifest.columns.stream else self._arrivals.saved

    def had(self, number: int) -> bool:
        """Whether the chunk was here before, as far as is known."""
        return self._arrivals.had(number)

    def refuse(self, entry: int, reason: str) -> None:
        """This file or link cannot be stored here any more; the others are not touched."""
        if self.state is not State.RECEIVING or self._files[entry] in (FAILED, DROPPED):
            return
        if self._manifest.columns.kinds[entry] not in (FILE, LINK):
            raise ValueError("only files and links are refused")
        self._unsettle(entry)
        self._files[entry] = DROPPED
        self._refused[entry] = reason
        self._waive(entry)
        self._put(messages.Drop((entry,), messages.DROP_UNABLE))

    def published(self, files: int, size: int, time: int, lost: Sequence[int] = ()) -> None:
        """`files` files of `size` bytes are flushed under their final names, at unix `time`.

        `lost` are entries that were to be published and could not: the sender names them.
        """
        if self.state is State.ABORTED:
            return
        self._must_be(State.PUBLISHING)
        manifest, content = self._manifest, self._finished
        skipped = manifest.files - files
        most = self._assembly.size if manifest.columns.stream else manifest.size
        if content is None or skipped < self._failed_files or not 0 <= size <= most:
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
        kinds = manifest.columns.kinds
        named = [entry for entry in lost if kinds[entry] in (FILE, LINK)]
        self._put_drops(named, messages.DROP_UNABLE)
        self._put(
            messages.Received(
                files, skipped, size, time, manifest.digest, content, receipt.signature
            )
        )
        self.state = State.COMPLETE
        failed = tuple(each for each in self._failed.items() if each[0] not in self._unwanted)
        self._effects.append(Complete(receipt, failed))

    def effects(self) -> list[Effect]:
        if self.state is State.RECEIVING:
            self._compare()
            self._want()
            self._announce_ready()
            if self._to_verify:
                self._effects.append(VerifyChunks(tuple(self._to_verify)))
                self._to_verify.clear()
        return super().effects()

    # What the sender tells us.

    def _digests(self, message: messages.Digests) -> None:
        self._arrivals.told(message.first, message.digests, self._is_open)

    def _restart(self, message: messages.Restart) -> None:
        entry = message.entry
        may = entry < len(self._files) and self._files[entry] in (OPEN, RETRYING, DROPPED)
        if not may or entry in self._restarted or not self._manifest.chunks(entry):
            raise ProtocolError("RESTART of something that cannot be restarted")
        self._want()
        self._restarted.add(entry)
        self._arrivals.forget(entry)
        self._finished = None
        if self._files[entry] == DROPPED:
            return  # it crosses our DROP, which FAILED will answer
        self._files[entry] = FORGETTING
        self._quieting[entry] = self._arrivals.asked(entry)
        self._act_if_quiet(entry)

    def _file_failed(self, message: messages.Failed) -> None:
        entry = message.entry
        if entry >= len(self._files) or self._manifest.columns.kinds[entry] not in (FILE, LINK):
            raise ProtocolError("FAILED for something that is no file")
        if self._files[entry] == FAILED:
            raise ProtocolError("FAILED twice for one file")
        self._unsettle(entry)
        self._files[entry] = FAILED
        self._failed[entry] = self._refused.get(entry, message.reason)
        self._failed_files += self._manifest.columns.kinds[entry] == FILE
        self._arrivals.close(entry)
        self._waive(entry)
        self._finished = None
        self._quieting[entry] = self._arrivals.asked(entry)
        self._act_if_quiet(entry)

    def _zeros(self, message: messages.Zeros) -> None:
        for numbers in message.spans:
            if numbers.stop > self._manifest.chunk_count:
                raise ProtocolError("ZEROS for a chunk that does not exist")
            for counts, here in self._by_state(numbers):
                self._arrivals.zeros(here, counts=counts)
                if counts:
                    self._effects.append(ZeroChunks(here))
                    self._effects.append(WaiveContent(*self._manifest.span(here)))

    def _by_state(self, numbers: range) -> Iterator[tuple[bool, range]]:
        """Runs of chunks whose files are all open, or (False) all dropped; about 1 µs a file."""
        files, start, before = self._files, numbers.start, None
        for entry, here in self._manifest.by_file(numbers):
            counts = files[entry] == OPEN
            if not (counts or files[entry] == DROPPED) or entry in self._restarted:
                raise ProtocolError("ZEROS for a file that is not open")
            if before not in (None, counts):
                yield bool(before), range(start, here.start)
                start = here.start
            before = counts
        yield bool(before), range(start, numbers.stop)

    def _told_all(self, message: messages.Finished) -> None:
        if self._finished is not None or self._arrivals.untold:
            raise ProtocolError("FINISHED too early, or twice")
        if self._arrivals.digests.content() != message.digest:
            raise ProtocolError("the content digest does not match")
        self._finished = message.digest
        self._publish_if_done()

    def _piece(self, message: messages.Piece) -> None:
        if self._finished is not None:
            raise ProtocolError("a PIECE after the end")
        self._assembly.told(message)
        self._append()

    def _ended(self, message: messages.Finished) -> None:
        if self._finished is not None:
            raise ProtocolError("FINISHED twice")
        if self._assembly.digest() != message.digest:
            raise ProtocolError("the content digest does not match")
        self._finished = message.digest
        self._append()

    def _append(self) -> None:
        """Give out what is whole; after the last of it there is nothing more."""
        data = self._assembly.take()
        if data:
            self._effects.append(AppendData(tuple(data)))
        if self._finished is not None and self._assembly.complete:
            if self._assembly.held:
                raise ProtocolError("more content than was told")
            self.state = State.PUBLISHING
            self._effects.append(Publish())

    def _abort_late(self, message: messages.Abort) -> None:
        """Once publishing has begun, all of it arrives."""
        if any(isinstance(effect, Publish) for effect in self._effects):
            self._peer_aborted(message)

    def _too_late(self, _: messages.Message) -> None:
        """A file failed at the sender after all was verified here: it has arrived nevertheless."""

    # What follows.

    def _is_open(self, entry: int) -> bool:
        return self._files[entry] == OPEN

    def _take_stock(self, holdings: Holdings) -> None:
        """Tell the sender what it need not send, and what is not wanted."""
        manifest, arrivals = self._manifest, self._arrivals
        arrivals.hold(holdings.chunks)
        for entry in holdings.drops:
            if manifest.columns.kinds[entry] not in (FILE, LINK):
                raise ValueError("only files and links are dropped")
            self._files[entry] = DROPPED
            self._unwanted.add(entry)
            arrivals.release(entry)
            self._waive(entry)
        for numbers in arrivals.held():
            start, end = manifest.span(numbers)
            self.kept += end - start
            self._effects.append(WaiveContent(start, end))
        for message in messages.spans(arrivals.held(), messages.Have):
            self._put(message)
        self._put_drops(sorted(self._unwanted), messages.DROP_UNWANTED)

    def _put_drops(self, entries: Sequence[int], code: int) -> None:
        for first in range(0, len(entries), messages.DROP_LIMIT):
            self._put(messages.Drop(tuple(entries[first : first + messages.DROP_LIMIT]), code))

    def _waive(self, entry: int) -> None:
        """Nothing of the file is to be stored any more."""
        size = self._manifest.columns.size(entry)
        if size:
            start = self._manifest.offset(entry)
            self._effects.append(WaiveContent(start, start + size))

    def _differs(self, chunk: Chunk) -> None:
        """What is here is not what was told: if it came so, all of the file has to come again."""
        if self._arrivals.missed(chunk):
            self._differs_from_held(chunk)
        else:
            self._files[chunk.entry] = RETRYING
            self._put(messages.Retry((chunk.number,)))

    def _differs_from_held(self, chunk: Chunk) -> None:
        self._wanted.append(chunk.number)
        self._effects.append(MissedChunk(chunk.number))
        self._effects.append(ExpectContent(chunk.offset, chunk.offset + chunk.length))

    def digest_of(self, number: int) -> bytes:
        """The digest of a chunk, as it was told."""
        return self._arrivals.digests.of(number)

    def _compare(self) -> None:
        """Chunks that were here, and whose digests are known and told."""
        good: list[int] = []
        for compared in self._arrivals.compare(self._is_open, self._known):
            good += compared.good
            for chunk in compared.missed:
                self._arrivals.missed(chunk)
                self._differs_from_held(chunk)
            if compared.complete:
                self._settle(compared.entry)
        if good:
            self._effects.append(GoodChunks(tuple(good)))
            self._publish_if_done()

    def _want(self) -> None:
        """Ask for what was held and differs, of files that are still to come."""
        manifest = self._manifest
        wanted = [n for n in self._wanted if self._files[manifest.chunk(n).entry] in _COMING]
        self._wanted.clear()
        for first in range(0, len(wanted), messages.RETRY_LIMIT):
            self._put(messages.Want(tuple(wanted[first : first + messages.RETRY_LIMIT])))

    def _unsettle(self, entry: int) -> None:
        """A file that was good is not any more."""
        if self._files[entry] == GOOD and self._manifest.columns.kinds[entry] == FILE:
            self._unsettled += 1

    def _settle(self, entry: int) -> None:
        self._files[entry] = GOOD
        self._unsettled -= 1
        self._ready.append(entry)

    def _act_if_quiet(self, entry: int) -> None:
        """A digest of what is forgotten must not be taken for one of what comes next."""
        if self._quieting[entry]:
            return
        del self._quieting[entry]
        if self._files[entry] == DROPPED:
            return
        if self._files[entry] == FAILED:
            self._unsettled -= self._manifest.columns.kinds[entry] == FILE
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
        State.IDLE: {
            messages.Offer: Consenting._offered,
            messages.OtherOffer: Consenting._other_offer,
            messages.Abort: Party._peer_aborted,
        },
        State.LISTING: {messages.Page: Consenting._page, messages.Abort: Party._peer_aborted},
        State.ASKING: {messages.Abort: Party._peer_aborted},
        State.PREPARING: {messages.Abort: Party._peer_aborted},
        State.RECEIVING: {
            messages.Zeros: _zeros,
            messages.Digests: _digests,
            messages.Restart: _restart,
            messages.Failed: _file_failed,
            messages.Finished: _told_all,
            messages.Abort: Party._peer_aborted,
        },
        State.STREAMING: {
            messages.Piece: _piece,
            messages.Finished: _ended,
            messages.Abort: Party._peer_aborted,
        },
        State.PUBLISHING: {
            messages.Failed: _too_late,
            messages.Finished: _too_late,
            messages.Abort: _abort_late,
        },
        State.COMPLETE: {
            messages.Failed: _too_late,
            messages.Finished: _too_late,
            messages.Abort: _too_late,
        },
    }
