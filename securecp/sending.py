"""A session of who has the files: the sender's effects, carried out (SPEC §8.5)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Protocol

from keys.xeddsa import verify
from securecp.errors import SecurecpError
from securecp.events import Done, Offered
from securecp.session import Handlers, Session, Workshop, declined, groups
from securecp.transfer.effects import (
    Aborted,
    Declined,
    Delivered,
    DigestChunks,
    RestartSource,
    SendContent,
)
from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.offer import top_names
from securecp.transfer.passing import PassingDigests
from securecp.transfer.sender import Sender
from securecp.transport import connection as transport
from securecp.transport.connection import Connection

REASON_OTHER_SIZE = "it changed while it was sent"
DIGEST_BYTES = 8 << 20
SMALL = 256 << 10
"""Bytes of content that wait for no better path."""
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
    def close(self) -> None: ...


class SendSession(Session):
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
        self._passing = PassingDigests(manifest)
        self._sent = 0
        """Content bytes that the party has been told of."""
        self._started = False
        transfer_id = entropy(16)
        self.party = Sender(
            manifest,
            transfer_id=transfer_id,
            ours=ours,
            theirs=self.peer,
            verify=verify,
            withdraw=connection.withdraw_content,
        )
        connection.source = self
        offered = Offered(self.peer, manifest.files, manifest.size, top_names(manifest))
        self._events.append(offered)
        self.party.start()

    def advance(self, now: float) -> None:
        if not self.over:
            self._sent = self.connection.content_out.sent
            self.party.content_sent(self._sent)
        super().advance(now)

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
        if not self._started:
            self._started = True
            self.started_at = self._now
            if self.party.manifest.size <= SMALL:
                self.connection.hold = False
        self.connection.send_content(effect.start, effect.end)

    def _digest(self, effect: DigestChunks) -> None:
        passed, others = self._passing.part(effect.chunks)
        self._digested(passed)
        sizes = ((chunk, chunk.length) for chunk in others)
        for group in groups(sizes, DIGEST_BYTES, DIGEST_CHUNKS):
            self._done_elsewhere(partial(_digest_all, self._source, group), self._digested)

    def _restart(self, effect: RestartSource) -> None:
        self._passing.forget(effect.entry)
        if not self._source.renew(effect.entry):
            self.party.fail(effect.entry, REASON_OTHER_SIZE)

    def _declined(self, effect: Declined) -> None:
        self.connection.close(transport.CLOSE_DONE)
        self.fail(declined(effect.code, effect.reason))

    def _aborted(self, effect: Aborted) -> None:
        self.connection.close(transport.CLOSE_DONE)
        self.fail(SecurecpError(f"the peer gave up: {effect.reason}"))

    def _digested(self, results: Sequence[tuple[Chunk, bytes | None]]) -> None:
        for chunk, digest in results:
            # Not with the chunk at its end: others of the file may be read again after that one.
            if self.party.completes(chunk) and not self._source.unchanged(chunk.entry):
                self.party.changed(chunk.entry)
            self.party.digest(chunk.number, digest)

    def _delivered(self, effect: Delivered) -> None:
        manifest, receipt = self.party.manifest, effect.receipt
        failed = tuple((b"/".join(manifest.path(entry)), reason) for entry, reason in effect.failed)
        self._events.append(
            Done(
                size=receipt.size,
                sent=self.connection.bytes_sent,
                seconds=self._now - self.started_at,
                files=receipt.files,
                digest=receipt.content_digest,
                skipped=receipt.skipped - len(failed),
                failed=failed,
                receipt=effect.encoded,
            )
        )
        self.connection.close(transport.CLOSE_DONE)
        self._finish()

    def _clean_up(self) -> None:
        self._source.close()

    handlers: ClassVar[Handlers] = {
        SendContent: _send,
        DigestChunks: _digest,
        RestartSource: _restart,
        Delivered: _delivered,
        Declined: _declined,
        Aborted: _aborted,
    }


def _digest_all(source: Source, chunks: list[Chunk]) -> list[tuple[Chunk, bytes | None]]:
    return [(chunk, source.digest(chunk)) for chunk in chunks]
