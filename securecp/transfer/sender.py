"""The sender of files, between its offer and the receipt (SPEC §8.5; `offering.py` has these two).

From FINISHED a RETRY or a failed file leads back to SENDING.

Content and digests flow side by side: the first by offsets through the transport, the second from
a worker through this stream. A file restarts once, after a RETRY or because its source has changed:

    restart wanted ─► digests under way come back ─► RESTART, new digests ─► AGAIN ─► content again

Then it fails. What the receiver may have (HAVE) is digested and told first, and sent only if it
says that it has another (WANT); what lies in holes is told to be zeros.
"""

import re
from collections.abc import Callable, Iterator
from typing import ClassVar

from securecp.errors import ProtocolError
from securecp.transfer import messages
from securecp.transfer.digesting import COMPARED, HAVE, PLAIN, WANTED, ZERO, Digesting, Run
from securecp.transfer.effects import (
    DigestChunks,
    Effect,
    RestartSource,
    SendContent,
    SkipContent,
)
from securecp.transfer.entries import FILE, LINK
from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.offering import Offering, State
from securecp.transfer.party import Party, Routes
from securecp.transfer.receipt import Verify

__all__ = ["REASON_CHANGED", "REASON_UNABLE", "REASON_UNREADABLE", "Sender", "State"]

REASON_CHANGED = "it changed while it was sent"
REASON_UNREADABLE = "it cannot be read"
REASON_UNWANTED = "it is not wanted there"
REASON_UNABLE = "it cannot be stored there"
_DROPPED = {messages.DROP_UNWANTED: REASON_UNWANTED, messages.DROP_UNABLE: REASON_UNABLE}
_SAVED = bytes(1 if mark in (HAVE, COMPARED, ZERO) else 0 for mark in range(256))
_NOT_PLAIN = re.compile(rb"[^\x00]")


class Sender(Offering):
    """One transfer, seen by who has the files."""

    def __init__(
        self,
        manifest: Manifest,
        *,
        transfer_id: bytes,
        ours: bytes,
        theirs: bytes,
        verify: Verify,
        withdraw: Callable[[int, int], bool] = lambda _start, _end: True,
        holes: tuple[range, ...] = (),
    ) -> None:
        """`withdraw(start, end)` stops the content of a file; True when none is under way.

        `holes` are numbers of chunks that hold only zeros: ascending, and none twice.
        """
        super().__init__(manifest, transfer_id=transfer_id, ours=ours, theirs=theirs, verify=verify)
        self._withdraw = withdraw
        self._digesting = Digesting(manifest)
        self._holes = holes
        self._have_end = 0
        """Behind the last chunk that the receiver may have."""
        self._drops: dict[int, int] = {}
        """Files and links that are not to come, each with its code."""
        self.kept = 0
        """Bytes that the receiver may have had before."""
        self.saved = 0
        """Bytes that need not be sent: the receiver has them, or they are zeros."""
        self._run = Run()
        self._failed: dict[int, str] = {}
        self._restarted: set[int] = set()
        self._held: set[int] = set()
        """Restarted files whose digests or content under way have yet to come back or arrive."""
        self._forgetting: set[int] = set()
        """Restarted files whose AGAIN has yet to come."""
        self._finished: dict[bytes, int] = {}
        """Content digests we have told, each with the number of entries that had failed then."""

    # What the session tells us.

    def digest(self, number: int, digest: bytes | None) -> bool:
        """The worker's answer for one chunk: 32 bytes, or None if it cannot be read.

        True if it is told.
        """
        chunk = self._digesting.returned(number)
        if self.state is not State.SENDING:
            return False
        if chunk.entry in self._held:
            self._restart_if_quiet(chunk.entry)
        elif chunk.entry in self._failed:
            return False
        elif digest is None:
            self.fail(chunk.entry, REASON_UNREADABLE)
        else:
            self._digesting.keep(chunk, digest)
            if not self._run.add(number, digest):
                self._flush()
                self._run.add(number, digest)
            return True
        return False

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
        if self.manifest.columns.kinds[entry] not in (FILE, LINK):
            raise ValueError("only files and links fail")
        if entry in self._failed or self.state not in (State.SENDING, State.FINISHED):
            return
        self._failed[entry] = messages.reason(reason)
        self._digesting.digests.fail(entry)
        self._held.discard(entry)
        self._leave(entry)
        start, end = self._extent(entry)
        if start < end:
            self._effects.append(SkipContent(start, end))
        self._flush()
        self._put(messages.Failed(entry, self._failed[entry]))
        self.state = State.SENDING

    @property
    def already(self) -> int:
        """Files that the receiver had: all of their chunks, and all the same."""
        manifest, marks = self.manifest, self._digesting.marks
        count = 0
        for entry, kind in enumerate(manifest.columns.kinds):
            if kind == FILE:
                chunks = manifest.chunks(entry)
                same = marks.count(COMPARED, chunks.start, chunks.stop)
                count += bool(chunks) and same == len(chunks)
        return count

    def had(self, number: int) -> bool:
        """Whether the receiver may have the chunk, and waits for its digest alone."""
        return self._digesting.marks[number] in (HAVE, COMPARED)

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
        self._leave(entry)
        self._held.add(entry)
        self.state = State.SENDING
        self._restart_if_quiet(entry)

    def _restart_if_quiet(self, entry: int) -> None:
        """Neither a digest nor content of the old state must pass for one of the new: wait.

        What is overtaken by RESTART would come after it, and be taken for the beginning of the new.
        """
        gone = self._withdraw(*self._extent(entry))
        if not gone or self._digesting.busy_with(entry):
            return
        self._held.remove(entry)
        self._forgetting.add(entry)
        self._effects.append(RestartSource(entry))
        self._flush()
        self._put(messages.Restart(entry))
        self._digesting.again(entry)

    def _leave(self, entry: int) -> None:
        """No chunk of the file is what it was: not here, and not there."""
        marks, chunks = self._digesting.marks, self.manifest.chunks(entry)
        saved = marks[chunks.start : chunks.stop].translate(_SAVED)
        self.saved -= self.manifest.weight(entry, saved)
        self._digesting.drop(entry)

    def _extent(self, entry: int) -> tuple[int, int]:
        """Begin and end of the file in content space."""
        starts = self.manifest.columns.starts
        return starts[entry], starts[entry + 1]

    # Messages that are made when there is room for them.

    def _go_on(self) -> None:
        self._flush()
        self._finish_if_done()

    def _flush(self) -> None:
        if self._run.digests:
            self._put(messages.Digests(self._run.first, bytes(self._run.digests)))
            self._run = Run()

    def _finish_if_done(self) -> None:
        if self._digesting.done and not self._held:
            digest = self._digesting.digests.content()
            self._finished[digest] = len(self._failed)
            self._put(messages.Finished(digest))
            self.state = State.FINISHED

    # What the receiver tells us.

    def _have(self, message: messages.Have) -> None:
        marks = self._digesting.marks
        for numbers in message.spans:
            if numbers.start < self._have_end or numbers.stop > len(marks):
                raise ProtocolError("HAVE for chunks that do not exist, or out of order")
            self._have_end = numbers.stop
            marks[numbers.start : numbers.stop] = bytes([HAVE]) * len(numbers)
            start, end = self.manifest.span(numbers)
            self.kept += end - start

    def _dropped(self, message: messages.Drop) -> None:
        kinds = self.manifest.columns.kinds
        for entry in message.entries:
            if entry >= len(kinds) or kinds[entry] not in (FILE, LINK):
                raise ProtocolError("DROP for something that is no file")
            if entry in self._failed:
                continue
            self._drops[entry] = message.code
            self._forgetting.discard(entry)
            if self.state is not State.ASKING:
                self.fail(entry, _DROPPED[message.code])

    def _accepted(self, accept: messages.Accept) -> None:
        super()._accepted(accept)
        self.saved = self.kept
        if self.manifest.size:
            self._effects.append(SkipContent(0, self.manifest.size))
        for entry, code in self._drops.items():
            self.fail(entry, _DROPPED[code])
        for message in messages.spans(self._zeros(), messages.Zeros):
            self._put(message)
        for numbers in self._plain(0, self.manifest.chunk_count):
            self._effects.append(SendContent(*self.manifest.span(numbers)))

    def _zeros(self) -> Iterator[range]:
        """Runs of chunks that are told to be zeros: what lies in holes and is to come."""
        manifest = self.manifest
        for hole in self._holes:
            for numbers in self._plain(hole.start, hole.stop):
                yield numbers
                start, end = manifest.span(numbers)
                self.saved += end - start
                for _, here in manifest.by_file(numbers):
                    self._digesting.zeros(here)

    def _plain(self, start: int, stop: int) -> Iterator[range]:
        """Runs of chunks within these that are to be sent."""
        marks = self._digesting.marks
        while (start := marks.find(PLAIN, start, stop)) >= 0:
            other = _NOT_PLAIN.search(marks, start, stop)
            end = other.start() if other else stop
            yield range(start, end)
            start = end

    def _want(self, message: messages.Want) -> None:
        manifest, marks = self.manifest, self._digesting.marks
        wanted: list[range] = []
        for number in message.chunks:
            if number >= len(marks):
                raise ProtocolError("WANT for a chunk that does not exist")
            chunk = manifest.chunk(number)
            if any(chunk.entry in left for left in (self._failed, self._held, self._forgetting)):
                continue  # it crosses our FAILED or RESTART
            if marks[number] != COMPARED:
                raise ProtocolError("WANT for a chunk that was not told and compared, or twice")
            marks[number] = WANTED
            self.saved -= chunk.length
            if wanted and wanted[-1].stop == number:
                wanted[-1] = range(wanted[-1].start, number + 1)
            else:
                wanted.append(range(number, number + 1))
        for numbers in wanted:
            self._effects.append(SendContent(*manifest.span(numbers)))

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
            self._effects.append(SendContent(*self._extent(message.entry)))

    def _received(self, message: messages.Received) -> None:
        failed = self._finished.get(message.content_digest)
        if failed is None:
            raise ProtocolError("a receipt for other content, or too early")
        manifest = self.manifest
        missing = manifest.files - message.files
        known = list(self._failed.items())
        # What failed here after that FINISHED has arrived; what could not be published has not.
        late = [each for each in known[failed:] if self._drops.get(each[0]) == messages.DROP_UNABLE]
        failures = known[:failed] + late
        files = sum(manifest.columns.kinds[entry] == FILE for entry, _ in failures)
        if (
            message.skipped != missing
            or missing < files
            or message.size > manifest.size
            or (not missing and message.size != manifest.size)
        ):
            raise ProtocolError("a receipt that does not fit the offer")
        told = (each for each in failures if self._drops.get(each[0]) != messages.DROP_UNWANTED)
        self._deliver(message, tuple(told))

    routes: ClassVar[Routes] = {
        State.IDLE: {},
        State.LISTING: {messages.Decline: Offering._declined, messages.Abort: Party._peer_aborted},
        State.ASKING: {
            messages.Have: _have,
            messages.Drop: _dropped,
            messages.Accept: _accepted,
            messages.Decline: Offering._declined,
            messages.Abort: Party._peer_aborted,
        },
        State.SENDING: {
            messages.Want: _want,
            messages.Drop: _dropped,
            messages.Retry: _retry,
            messages.Again: _forgotten,
            messages.Received: _received,
            messages.Abort: Party._peer_aborted,
        },
        State.FINISHED: {
            messages.Want: _want,
            messages.Drop: _dropped,
            messages.Retry: _retry,
            messages.Again: _forgotten,
            messages.Received: _received,
            messages.Abort: Party._peer_aborted,
        },
        State.DELIVERED: {},
    }
