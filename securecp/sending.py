"""A session of who has the files: the sender's effects, carried out (SPEC §8.5)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Protocol

from securecp.events import Resumed, Verifying
from securecp.offering import SMALL, OfferSession, verify
from securecp.session import PROGRESS_EVERY, Handlers, Workshop, groups
from securecp.streaming import SendStreamSession
from securecp.transfer.effects import (
    Aborted,
    Declined,
    Delivered,
    DigestChunks,
    RestartSource,
    SendContent,
    SkipContent,
)
from securecp.transfer.holdings import zero_digest
from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.passing import PassingDigests
from securecp.transfer.sender import Sender
from securecp.transport.connection import Connection
from securecp.transport.ranges import RangeSet

__all__ = ["SendSession", "SendStreamSession", "Source"]

REASON_OTHER_SIZE = "it changed while it was sent"
DIGEST_BYTES = 8 << 20
DIGEST_CHUNKS = 64
"""Chunks of one job in the workshop, so that results come back little by little."""


class Source(Protocol):
    """Where the files come from: the disk, or memory in the simulator."""

    @property
    def changed(self) -> set[int]:
        """Entries of which not everything could be read as it was offered."""

    def fill(self, offset: int, slots: list[memoryview]) -> None: ...
    def digest(self, chunk: Chunk) -> bytes | None: ...
    def unchanged(self, entry: int) -> bool: ...
    def renew(self, entry: int) -> bool: ...

    def known(self, chunk: Chunk) -> bytes | None:
        """The digest that was learned before, if the file has not been touched since."""

    def holes(self) -> tuple[range, ...]:
        """Numbers of chunks that lie wholly in holes: ascending, and none twice."""

    def learned(self, number: int, digest: bytes) -> None:
        """The chunk's digest has been told."""

    def due(self, now: float) -> bool:
        """Whether what was learned had better be saved."""

    def save(self) -> None: ...

    def finish(self) -> None:
        """All has been delivered: what was learned is of no use any more."""

    def close(self) -> None: ...


class SendSession(OfferSession):
    """Offers a manifest to the peer and sees it through to the receipt."""

    party: Sender

    def __init__(
        self,
        connection: Connection,
        workshop: Workshop,
        now: float,
        *,
        manifest: Manifest,
        source: Source,
        ours: bytes,
        entropy: Callable[[int], bytes],
    ) -> None:
        super().__init__(connection, workshop, now)
        self._source = source
        self._holes = RangeSet((hole.start, hole.stop) for hole in self._source.holes())
        self._saving = False
        self._reread = 0
        """Bytes that the receiver may have and that were read for their digests alone."""
        self._told_at = now
        self._passing = PassingDigests(manifest)
        self._sent = 0
        """Content bytes that the party has been told of."""
        transfer_id = entropy(16)
        self.party = Sender(
            manifest,
            transfer_id=transfer_id,
            ours=ours,
            theirs=self.peer,
            verify=verify,
            withdraw=connection.withdraw_content,
            holes=self._source.holes(),
        )
        connection.source = self
        self._offer(transfer_id)

    def advance(self, now: float) -> None:
        if not self.over:
            self._sent = self.connection.content_out.sent
            self.party.content_sent(self._sent)
        super().advance(now)
        if not self.over and not self._saving and self._source.due(now):
            self._saving = True
            self._workshop.start(self._source.save, self._saved)

    def _saved(self, _: None | Exception) -> None:
        """What cannot be remembered is read again another time."""
        self._saving = False

    def deadline(self) -> float | None:
        """At once if content has left whose digests can follow it."""
        behind = not self.over and self._sent != self.connection.content_out.sent
        return self._now if behind else None

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        """The connection's source: from the disk, and past the digests."""
        self._source.fill(offset, slots)
        if not self._source.changed:
            self._passing.note(offset, slots)

    def _progress(self) -> tuple[int, int]:
        return self.connection.content_out.acked, self.party.manifest.size

    def _send(self, effect: SendContent) -> None:
        self._begin()
        acked = self.connection.content_out.acked
        self.connection.send_content(effect.start, effect.end)
        self._skipped += self.connection.content_out.acked - acked

    def _skip(self, effect: SkipContent) -> None:
        self._begin()
        acked = self.connection.content_out.acked
        self.connection.skip_content(effect.start, effect.end)
        self._skipped += self.connection.content_out.acked - acked

    def _begin(self) -> bool:
        if not super()._begin():
            return False
        if self.party.manifest.size - self.party.saved <= SMALL:
            self.connection.hold = False
        if self.party.kept:
            self._events.append(Resumed(self.peer, self.party.kept, self.party.manifest.size))
        return True

    def _digest(self, effect: DigestChunks) -> None:
        passed, unknown = self._passing.part(effect.chunks)
        others: list[Chunk] = []
        for chunk in unknown:
            digest = self._known(chunk)
            if digest is None:
                others.append(chunk)
            else:
                passed.append((chunk, digest))
        self._digested(passed)
        sizes = ((chunk, chunk.length) for chunk in others)
        for group in groups(sizes, DIGEST_BYTES, DIGEST_CHUNKS):
            self._done_elsewhere(partial(_digest_all, self._source, group), self._read)

    def _known(self, chunk: Chunk) -> bytes | None:
        """The digest of a chunk that need not be read."""
        if self._holes.total and chunk.number in self._holes:
            return zero_digest(chunk.length)
        return self._source.known(chunk)

    def _read(self, results: Sequence[tuple[Chunk, bytes | None]]) -> None:
        """Digests from the workshop; the person sees what has to be read before it can go on."""
        for chunk, _ in results:
            if self.party.had(chunk.number):
                self._reread += chunk.length
        if self._reread and self._now - self._told_at >= PROGRESS_EVERY:
            self._told_at = self._now
            self._events.append(Verifying(self.peer, self._reread, self.party.kept))
        self._digested(results)

    def _restart(self, effect: RestartSource) -> None:
        chunks = self.party.manifest.chunks(effect.entry)
        self._holes.remove(chunks.start, chunks.stop)
        self._passing.forget(effect.entry)
        if not self._source.renew(effect.entry):
            self.party.fail(effect.entry, REASON_OTHER_SIZE)

    def _digested(self, results: Sequence[tuple[Chunk, bytes | None]]) -> None:
        for chunk, digest in results:
            # Not with the chunk at its end: others of the file may be read again after that one.
            if self.party.completes(chunk) and not self._source.unchanged(chunk.entry):
                self.party.changed(chunk.entry)
            if self.party.digest(chunk.number, digest) and digest is not None:
                self._source.learned(chunk.number, digest)

    def _delivered(self, effect: Delivered) -> None:
        self._source.finish()
        self._done(effect, self.party.saved, self.party.already)

    def _clean_up(self) -> None:
        self._source.close()

    handlers: ClassVar[Handlers] = {
        SendContent: _send,
        SkipContent: _skip,
        DigestChunks: _digest,
        RestartSource: _restart,
        Delivered: _delivered,
        Declined: OfferSession._declined,
        Aborted: OfferSession._aborted,
    }


def _digest_all(source: Source, chunks: list[Chunk]) -> list[tuple[Chunk, bytes | None]]:
    return [(chunk, source.digest(chunk)) for chunk in chunks]
