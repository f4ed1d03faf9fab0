"""Where what comes goes: the files' effects of a receiver, carried out on a store (SPEC §8.6).

Of a session (`receiving.py`) this is what has to do with content; consent, the end and everything
else that files and streams have in common is there.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, NamedTuple, Protocol, TypeVar

from securecp.errors import SecurecpError, StorageError
from securecp.events import Event, Verifying
from securecp.keeping import Keeper, Saved
from securecp.session import PROGRESS_EVERY, Handlers, Workshop, groups
from securecp.transfer.effects import (
    AppendData,
    ExpectContent,
    FileFailed,
    FilesReady,
    ForgetContent,
    GoodChunks,
    MissedChunk,
    VerifyChunks,
    WaiveContent,
    ZeroChunks,
)
from securecp.transfer.entries import SIZE_LIMIT
from securecp.transfer.holdings import Holdings
from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.passing import PassingDigests
from securecp.transfer.receiver import Receiver
from securecp.transfer.streaming import PIECE
from securecp.transport.connection import Connection

T = TypeVar("T")

VERIFY_BYTES = 8 << 20
VERIFY_CHUNKS = 64


class Report(Protocol):
    """What publishing came to."""

    @property
    def published(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def skipped(self) -> tuple[int, ...]: ...
    @property
    def renamed(self) -> tuple[tuple[int, bytes], ...]: ...
    @property
    def present(self) -> tuple[int, ...]: ...
    @property
    def failed(self) -> tuple[tuple[int, str], ...]: ...


class Store(Protocol):
    """Where the files go: the disk, or memory in the simulator. StorageError from anything.

    `prepare`, `digest`, `checkpoint`, `publish` and `suspend` run in the workshop, one at a time;
    all else in the session's turn.
    """

    def prepare(self, manifest: Manifest) -> Holdings:
        """Make the destination ready; what is here already, of whatever origin."""

    def store(self, offset: int, slices: list[memoryview]) -> None: ...

    def known(self, number: int) -> bytes | None:
        """The digest of a chunk that is here and need not be read."""

    def digest(self, chunk: Chunk) -> bytes:
        """BLAKE3 of the chunk as it is here."""

    def zeros(self, chunks: range) -> None:
        """These are zeros: nothing will be stored for them."""

    def good(self, number: int, digest: bytes) -> None:
        """The chunk is what was sent: worth remembering."""

    def missed(self, number: int) -> None:
        """The chunk that was here is not what is sent: it counts no more, and comes anew."""

    def forget(self, entry: int) -> None:
        """Nothing of the file counts any more; it comes anew."""

    def ready(self, entry: int) -> None: ...
    def failed(self, entry: int) -> None: ...

    def broken(self) -> list[tuple[int, str]]:
        """Files that cannot be stored any more, since the last call, each with the reason."""

    @property
    def unsaved(self) -> int: ...
    def due(self, now: float) -> bool: ...
    def checkpoint(self) -> None: ...
    def publish(self) -> Report: ...

    def suspend(self) -> None:
        """Close; keep what is good for a later session, if anything is. Never raises."""

    def finished(self) -> None:
        """The sender has the receipt: nothing of the transfer need be remembered. Never raises."""


class StreamSink(Protocol):
    """Where a stream goes: a file or a pipe. StorageError from anything.

    `prepare`, `checkpoint`, `publish` and `suspend` run in the workshop.
    """

    def prepare(self, manifest: Manifest) -> object: ...

    def append(self, data: memoryview, /) -> None:
        """Take the next bytes, without waiting; they stay as they are."""

    @property
    def backlog(self) -> int:
        """Bytes that have nowhere to go yet."""

    @property
    def unsaved(self) -> int: ...
    def due(self, now: float) -> bool: ...
    def checkpoint(self) -> None: ...
    def publish(self) -> Report: ...
    def suspend(self) -> None: ...


class Tools(NamedTuple):
    """What an intake has of its session."""

    connection: Connection
    workshop: Workshop
    party: Receiver
    tell: Callable[[Event], None]
    elsewhere: "Elsewhere"
    failed: Callable[[SecurecpError], None]


class Elsewhere(Protocol):
    """Runs a job in the workshop; its result counts only while the session lives."""

    def __call__(self, job: Callable[[], T], then: Callable[[T], None], /) -> None: ...


class Intake:
    """What files and streams have in common."""

    handlers: ClassVar[Handlers] = {}

    def __init__(self, saved: Saved, tools: Tools) -> None:
        self._tools = tools
        self._connection = tools.connection
        self._party = tools.party
        self._keeper = Keeper(saved, tools.workshop, tools.failed)
        self._frozen: int | None = None
        """Content bytes in all that were granted when the store had enough for now."""
        self.skipped = 0
        """Content bytes that count as moved, though they need not flow."""

    def begin(self, _: object, /) -> None:
        """The store is ready: content may come. Stores of files give what they hold already."""

    def handle(self, effect: object) -> None:
        """Carry out one effect that has to do with content."""
        self.handlers[type(effect)](self, effect)

    def store(self, offset: int, slices: list[memoryview]) -> None:
        """One run of content has come."""
        raise NotImplementedError

    def refuse_broken(self) -> None:
        """Tell the party of files that cannot be stored any more."""

    def publish(self) -> Report:
        """In the workshop."""
        raise NotImplementedError

    def finished(self) -> None:
        """In the workshop: the sender has the receipt."""

    def progress(self) -> tuple[int, int]:
        """Content bytes that are here, and all of them."""
        raise NotImplementedError

    def turn(self, now: float) -> None:
        """See to checkpoints."""
        self._keeper.turn(now)

    def deadline(self, now: float) -> float | None:
        """When `turn` is due even if nothing comes."""
        return self._keeper.deadline(now)

    def grant(self, limit: int | None) -> None:
        """Let the peer send what `limit` allows, and the store can keep safe."""
        content, usual = self._connection.content_in, self._usual()
        if not self._keeper.full:
            self._frozen = None
        elif self._frozen is None:
            self._frozen = content.limit
        totals = [each for each in (limit, usual, self._frozen) if each is not None]
        total = min(totals, default=None)
        if total is not None or content.granted is not None:
            self._connection.grant_content(total)

    def _usual(self) -> int | None:
        """Content bytes in all, for want of memory; None: a window beyond what has come."""
        return None

    def end(self) -> None:
        """Nothing comes any more: keep what is good."""
        self._keeper.end()


class FileIntake(Intake):
    """Files, with what is here of them already."""

    def __init__(self, store: Store, manifest: Manifest, tools: Tools) -> None:
        super().__init__(store, tools)
        self._store = store
        self._manifest = manifest
        self._passing = PassingDigests(manifest)
        self._reread = 0
        """Bytes that were here before and have been read again."""
        self._since = 0.0
        self._now = 0.0

    def begin(self, holdings: object, /) -> None:
        assert isinstance(holdings, Holdings)
        self._party.prepared(holdings, self._store.known)

    def store(self, offset: int, slices: list[memoryview]) -> None:
        """To the disk, then to the books."""
        self._store.store(offset, slices)
        self._passing.note(offset, slices)
        self._party.stored(offset, sum(map(len, slices)))

    def refuse_broken(self) -> None:
        for entry, reason in self._store.broken():
            self._party.refuse(entry, reason)

    def publish(self) -> Report:
        return self._store.publish()

    def finished(self) -> None:
        self._store.finished()

    def progress(self) -> tuple[int, int]:
        return self._connection.content_in.stored, self._manifest.size

    def turn(self, now: float) -> None:
        self._now = now
        super().turn(now)

    # Content.

    def _expect(self, effect: ExpectContent) -> None:
        stored = self._connection.content_in.stored
        self._connection.expect_content(effect.start, effect.end)
        self.skipped += self._connection.content_in.stored - stored

    def _waive(self, effect: WaiveContent) -> None:
        stored = self._connection.content_in.stored
        self._connection.waive_content(effect.start, effect.end)
        self.skipped += self._connection.content_in.stored - stored

    def _zeros(self, effect: ZeroChunks) -> None:
        self._store.zeros(effect.chunks)

    def _good(self, effect: GoodChunks) -> None:
        digest_of, good = self._party.digest_of, self._store.good
        for number in effect.numbers:
            good(number, digest_of(number))

    def _missed(self, effect: MissedChunk) -> None:
        self._store.missed(effect.number)

    def _forget(self, effect: ForgetContent) -> None:
        self._connection.forget_content(effect.start, effect.end)
        entry = self._manifest.locate(effect.start)
        self._passing.forget(entry)
        self._store.forget(entry)

    # Chunks and files.

    def _verify(self, effect: VerifyChunks) -> None:
        """What was stored in order has been digested in passing; the rest is read back."""
        passed, unknown = self._passing.part(effect.chunks)
        results = [(chunk.number, digest) for chunk, digest in passed]
        others: list[Chunk] = []
        for chunk in unknown:
            digest = self._store.known(chunk.number)
            if digest is None:
                others.append(chunk)
            else:
                results.append((chunk.number, digest))
        self._verified(results)
        sizes = ((chunk, chunk.length) for chunk in others)
        for group in groups(sizes, VERIFY_BYTES, VERIFY_CHUNKS):
            job = partial(_digest_all, self._store, group)
            self._tools.elsewhere(job, partial(self._read, group))

    def _read(self, chunks: list[Chunk], results: list[tuple[int, bytes]]) -> None:
        """Digests from the workshop; the person sees how far it is with what was here before."""
        self._reread += sum(chunk.length for chunk in chunks if self._party.had(chunk.number))
        if self._reread and self._now - self._since >= PROGRESS_EVERY:
            self._since = self._now
            peer = self._connection.peer
            self._tools.tell(Verifying(peer, self._reread, self._party.kept))
        self._verified(results)

    def _verified(self, results: list[tuple[int, bytes]]) -> None:
        for number, digest in results:
            if self._party.verified(number, digest):
                self._store.good(number, digest)

    def _ready(self, effect: FilesReady) -> None:
        for entry in effect.entries:
            self._store.ready(entry)

    def _failed(self, effect: FileFailed) -> None:
        self._store.failed(effect.entry)

    handlers: ClassVar[Handlers] = {
        ExpectContent: _expect,
        WaiveContent: _waive,
        ForgetContent: _forget,
        ZeroChunks: _zeros,
        GoodChunks: _good,
        MissedChunk: _missed,
        VerifyChunks: _verify,
        FilesReady: _ready,
        FileFailed: _failed,
    }


class StreamIntake(Intake):
    """A stream; no more of it comes than there is room for."""

    def __init__(self, sink: StreamSink, tools: Tools) -> None:
        super().__init__(sink, tools)
        self._sink = sink

    def begin(self, _: object, /) -> None:
        self._connection.expect_content(0, SIZE_LIMIT)
        self._party.prepared()

    def store(self, offset: int, slices: list[memoryview]) -> None:
        """Keep it until its piece is whole."""
        self._party.streamed(offset, bytearray().join(slices))

    def publish(self) -> Report:
        return self._sink.publish()

    def progress(self) -> tuple[int, int]:
        return self._party.streamed_size, 0

    def _usual(self) -> int:
        """A window beyond what the sink has taken: as much is in memory at the most.

        A piece has to fit, or it would never be whole.
        """
        content = self._connection.content_in
        waiting = self._party.held + self._sink.backlog
        return content.came + max(content.window, 2 * PIECE) - waiting

    def _append(self, effect: AppendData) -> None:
        for data in effect.data:
            self._sink.append(data)

    handlers: ClassVar[Handlers] = {AppendData: _append}


def _digest_all(store: Store, chunks: list[Chunk]) -> list[tuple[int, bytes]]:
    return [(chunk.number, _digest(store, chunk)) for chunk in chunks]


def _digest(store: Store, chunk: Chunk) -> bytes:
    """What cannot be read is not what was sent, and has to come (again)."""
    try:
        return store.digest(chunk)
    except StorageError:
        return b""


CONTENT_EFFECTS = (*FileIntake.handlers, *StreamIntake.handlers)
"""What an intake takes."""
