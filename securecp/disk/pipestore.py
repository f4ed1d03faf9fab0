"""What is received into a program that reads our output (`receive -o -`), instead of into files.

    PipeStream    a stream: passed on as it comes, each piece verified before
    PipeStore     an offer of one file: held chunk by chunk, and passed on in order once verified

What has been passed on cannot be taken back: nothing here can be resumed, and there is no name that
a file could be kept from. A file that the sender begins anew goes on as long as the chunks that
were passed on come out the same again.
"""

from typing import TYPE_CHECKING

from blake3 import blake3

from securecp.disk.pipe import PipeSink
from securecp.disk.store import Report
from securecp.errors import StorageError
from securecp.transfer.entries import FILE, STREAM
from securecp.transfer.holdings import Holdings, zero_digest
from securecp.transfer.manifest import CHUNK, Chunk, Manifest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

LIMIT = 256 << 20
"""Bytes held at most; whoever grants content by `unsaved` stays far below."""

SIZE_LIMIT = 16 << 40
"""Bytes of a file, where no disk's room is the limit: each chunk is remembered (SPEC §8.8)."""

_COMING, _ZEROS, _GOOD, _GOOD_ZEROS = range(4)


class PipeStream:
    """The store of a stream: straight on."""

    resumable = False

    def __init__(self, sink: PipeSink) -> None:
        self._sink = sink
        self._claimed = False
        self._size = 0

    @property
    def backlog(self) -> int:
        """Bytes in memory until the reading program takes them."""
        return self._sink.backlog

    @property
    def unsaved(self) -> int:
        return self._sink.backlog

    @property
    def error(self) -> StorageError | None:
        return self._sink.error

    def prepare(self, manifest: Manifest) -> Holdings:
        """Take an offer that is one stream."""
        if list(manifest.columns.kinds) != [STREAM]:
            raise StorageError("only a stream can be passed on as one")
        self._sink.claim()
        self._claimed = True
        return Holdings()

    def append(self, data: "Buffer") -> None:
        """The next bytes, verified."""
        piece = bytes(data)
        self._sink.append(piece)
        self._size += len(piece)

    def due(self, now: float) -> bool:  # noqa: ARG002 - the same for every store
        """Whether `checkpoint` has something to say: that nobody reads any more."""
        return self._sink.error is not None

    def checkpoint(self) -> None:
        self._sink.check()

    def publish(self) -> Report:
        """Wait until the program has read it all."""
        self._sink.finish()
        return Report(1, self._size, (), (), ())

    def suspend(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        """Write no more. If nothing was written, another transfer may have the output."""
        if self._claimed:
            self._claimed = False
            self._sink.release()


class PipeStore:
    """The store of an offer of exactly one file: `receiving.Store` without a disk."""

    resumable = False

    def __init__(self, sink: PipeSink) -> None:
        self._sink = sink
        self._claimed = False
        self._manifest = Manifest([])
        self._states = bytearray()
        """By chunk."""
        self._blocks: dict[int, bytearray] = {}
        self._held = 0
        self._next = 0
        """The chunk that is passed on next."""
        self._passed: list[bytes] = []
        """Digests of those before it, and some behind: 32 bytes a chunk, should they come again."""
        self._unconfirmed = 0
        """Chunks that were passed on, and must prove the same before any other is, in a file that
        was begun anew."""
        self._error: StorageError | None = None
        self._failed = False

    @property
    def unsaved(self) -> int:
        """Bytes in memory, verified or not: no more content is granted while they are many."""
        return self._held + self._sink.backlog

    @property
    def backlog(self) -> int:
        return self.unsaved

    @property
    def error(self) -> StorageError | None:
        return self._error or self._sink.error

    def prepare(self, manifest: Manifest) -> Holdings:
        """Take an offer that is one file, or refuse it."""
        if list(manifest.columns.kinds) != [FILE]:
            raise StorageError(
                "only one file can be written to the output, and no folder",
                "Receive it into a folder with --into, or have it sent as a stream: "
                "tar c … | securecp send - --to …",
            )
        if manifest.size > SIZE_LIMIT:
            raise StorageError("the file is too large for the output; have it sent as a stream")
        self._sink.claim()
        self._claimed = True
        self._manifest = manifest
        self._states = bytearray(manifest.chunk_count)
        return Holdings()

    def store(self, offset: int, slices: list[memoryview]) -> None:
        """Keep bytes of the file until their chunk is verified."""
        self._check()
        if self._failed:
            return
        data = memoryview(b"".join(slices))
        while data:
            number, at = divmod(offset, CHUNK)
            if self._states[number] in (_GOOD, _GOOD_ZEROS):
                raise ValueError("bytes of a chunk that was verified already")
            block = self._block(number)
            count = min(len(data), len(block) - at)
            block[at : at + count] = data[:count]
            data = data[count:]
            offset += count

    def zeros(self, chunk_numbers: range) -> None:
        """These chunks are zeros and will not be stored."""
        for number in chunk_numbers:
            if self._states[number] == _COMING:
                self._states[number] = _ZEROS

    def known(self, number: int) -> bytes | None:
        """The digest of a chunk of zeros."""
        if self._states[number] not in (_ZEROS, _GOOD_ZEROS):
            return None
        return zero_digest(self._manifest.chunk(number).length)

    def digest(self, chunk: Chunk) -> bytes:
        """BLAKE3 of a chunk that is held."""
        block = self._blocks.get(chunk.number)
        if block is None:
            raise StorageError("the chunk is not in memory any more")
        return blake3(block).digest()

    def good(self, number: int, digest: bytes) -> None:
        """The chunk is verified: pass on what is next in order."""
        if self._states[number] in (_GOOD, _GOOD_ZEROS):
            return
        zeros = self._states[number] == _ZEROS
        self._states[number] = _GOOD_ZEROS if zeros else _GOOD
        if number < self._next:
            self._drop(number)
            if digest != self._passed[number]:
                self._error = StorageError(
                    "the file changed while it was sent, and part of it has been passed on already"
                )
            self._unconfirmed -= 1
        else:
            # Those behind the next one are verified in any order.
            self._passed.extend([b""] * (number + 1 - len(self._passed)))
            self._passed[number] = digest
        if not self._unconfirmed and self.error is None:
            self._pass_on()

    def missed(self, number: int) -> None:
        """Nothing is ever here before."""

    def forget(self, entry: int) -> None:  # noqa: ARG002 - there is only one
        """The file comes again from its beginning."""
        self._blocks.clear()
        self._held = 0
        self._states = bytearray(len(self._states))
        del self._passed[self._next :]
        self._unconfirmed = self._next

    def ready(self, entry: int) -> None:
        """All of it has been verified, so all of it has been passed on."""

    def failed(self, entry: int) -> None:
        """It will not come after all."""
        self.forget(entry)
        self._failed = True

    def broken(self) -> list[tuple[int, str]]:
        return []

    def due(self, now: float) -> bool:  # noqa: ARG002 - the same for every store
        """Whether `checkpoint` has something to say; nothing else does while nothing comes."""
        return self.error is not None

    def checkpoint(self) -> None:
        """Raise what has gone wrong."""
        self._check()

    def publish(self) -> Report:
        """Wait until the program has read it all."""
        self._check()
        if self._failed:
            return Report(0, 0, (), (), ())
        if self._next < len(self._states):
            raise ValueError("not everything has been verified")
        self._sink.finish()
        return Report(1, self._manifest.size, (), (), ())

    def suspend(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        """Write no more. If nothing was written, another transfer may have the output."""
        self._blocks.clear()
        self._held = 0
        if self._claimed:
            self._claimed = False
            self._sink.release()

    def finished(self) -> None:
        """The receipt has arrived: nothing was remembered."""

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def _block(self, number: int) -> bytearray:
        block = self._blocks.get(number)
        if block is None:
            length = self._manifest.chunk(number).length
            if self.unsaved + length > LIMIT:
                raise StorageError("the program that reads the output is too slow")
            block = self._blocks[number] = bytearray(length)
            self._held += length
            self._states[number] = _COMING
        return block

    def _drop(self, number: int) -> bytearray | None:
        block = self._blocks.pop(number, None)
        if block is not None:
            self._held -= len(block)
        return block

    def _pass_on(self) -> None:
        states = self._states
        while self._next < len(states) and states[self._next] in (_GOOD, _GOOD_ZEROS):
            block = self._drop(self._next)
            if states[self._next] == _GOOD_ZEROS:
                self._sink.append_zeros(self._manifest.chunk(self._next).length)
            elif block is not None:
                self._sink.append(block)
            self._next += 1
