"""BLAKE3 of chunks, read back from the disk in worker threads, and copies that keep to theirs.

Measured: 1 MiB in 0.35 ms, reading included; a file of 4 KiB, opened and closed, 12 µs. Hashing and
reading release the interpreter lock, so this runs on a core of its own.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Sequence

from blake3 import blake3

from securecp.disk.calls import at
from securecp.disk.descent import Descent
from securecp.disk.spans import read_span, write_span
from securecp.transfer.manifest import CHUNK, Chunk, Manifest

_OPEN_DIRECTORIES = 6


class Digester:
    """Digests for any number of threads; each at work has descriptors and a buffer of its own.

    `descent()` makes the thread's way down; `opener(entry, descent)` opens a file to read.
    """

    def __init__(
        self, descent: Callable[[int], Descent], opener: Callable[[int, Descent], int]
    ) -> None:
        self._descent = descent
        self._opener = opener
        self._idle: list[_Lane] = []
        self._age = 0
        self._closed = False

    def digest(self, chunk: Chunk) -> bytes:
        """BLAKE3 of the chunk's bytes as they are now, fewer if the file ends early; or OSError."""
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        try:
            lane = self._idle.pop()
        except IndexError:
            lane = _Lane(self._descent(_OPEN_DIRECTORIES), self._opener)
        try:
            return lane.digest(chunk, self._age)
        finally:
            self._idle.append(lane)
            if self._closed:  # while we were at work
                self.close()

    def forget(self) -> None:
        """Open every file anew from here on: one of them has been replaced."""
        self._age += 1

    def close(self) -> None:
        """Close everything; a thread that is at work closes what it holds when it is done."""
        self._closed = True
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()


class _Lane:
    """One thread's buffer and open file; the next chunk is mostly of the same file."""

    def __init__(self, descent: Descent, opener: Callable[[int, Descent], int]) -> None:
        self._descent = descent
        self._opener = opener
        self._buffer = memoryview(bytearray(0))
        self._entry = -1
        self._age = 0
        self._file = -1

    def digest(self, chunk: Chunk, age: int) -> bytes:
        if chunk.entry != self._entry or age != self._age:
            self._leave()
            self._age = age
            self._file = self._opener(chunk.entry, self._descent)
            self._entry = chunk.entry
        if len(self._buffer) < chunk.length:
            self._buffer = memoryview(bytearray(chunk.length))
        slot = self._buffer[: chunk.length]
        got = read_span(self._file, chunk.start, [slot], chunk.length)
        return blake3(slot[:got]).digest()

    def close(self) -> None:
        self._leave()
        self._descent.close()

    def _leave(self) -> None:
        if self._entry >= 0:
            at.close(self._file)
            self._entry = -1


def copy_chunks(
    file: int, manifest: Manifest, numbers: Sequence[int], digests: Sequence[bytes], part: int
) -> list[int]:
    """Copy chunks that have these digests to their place in a part; what is hashed is written.

    Returns the numbers of those that are others by now, or cannot be read. OSError is the part's.
    """
    buffer = memoryview(bytearray(CHUNK))

    def copied(chunk: Chunk, digest: bytes) -> bool:
        piece = buffer[: chunk.length]
        try:
            got = read_span(file, chunk.start, [piece], chunk.length)
        except OSError:
            return False
        if got < chunk.length or blake3(piece).digest() != digest:
            return False
        write_span(part, chunk.start, [piece], chunk.length)
        return True

    return [
        number
        for number, digest in zip(numbers, digests, strict=True)
        if not copied(manifest.chunk(number), digest)
    ]
