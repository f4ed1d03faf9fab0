"""What a sender remembers of an offer: the digests it has told, and of which state of each file.

A file is compared by device, inode number, size, and both times. If all are what they were when its
content was offered, it need not be read again: not for another recipient, not after a meeting that
was cut off, not days later. A memory is found by the digest of the manifest, so another offer never
sees it, and it is gone when all have the files or after 14 days.

It only saves work. A memory that is torn, foreign, in use or not writable is as good as none.
"""

import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from securecp.disk.calls import at
from securecp.disk.found import Scan
from securecp.disk.log import Log
from securecp.disk.stamps import Stamp, offered
from securecp.disk.state import StateFolder
from securecp.errors import StorageError
from securecp.transfer.manifest import Chunk

SAVE_BYTES = 64 << 20
SAVE_SECONDS = 10.0
LIFETIME = 14 * 24 * 3600.0
"""Seconds after the last save that a memory is kept."""

_MAGIC = b"securecp memo 01"
_SUFFIX = b".memory"
_STAMPS = b"\1"
"""A block of entries, each with the state that digests in later blocks are of."""
_DIGESTS = b"\2"
"""A block of digests of consecutive chunks, after the number of the first."""
_STAMP = struct.Struct(">IQQQqq")
_FIRST = struct.Struct(">I")
_BLOCK = 20_000
"""Items in a block; what is longest then takes 900 kB."""
_DIGEST = 32


class Memories:
    """All memories of one identity, in one folder; nothing is written before there is a need."""

    def __init__(self, folder: Path, key: bytes, *, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._key = key
        self._now = now

    def open(self, scan: Scan) -> "Memory":
        """What is remembered of this offer; never fails."""
        name = blake3(scan.manifest.digest, key=self._key).hexdigest(16).encode() + _SUFFIX
        memory = Memory(scan, lambda create: self._log(name, create=create))
        self.expire()
        memory.load()
        return memory

    def expire(self) -> None:
        """Remove what is too old; also the files of memories that nothing can read any more."""
        try:
            folder = self._open(create=False)
            if folder is None:
                return
            try:
                for name in folder.names():
                    old = self._now() - folder.status(name).st_mtime > LIFETIME
                    if old and name.endswith(_SUFFIX):
                        folder.remove(name)
            finally:
                folder.close()
        except OSError:
            pass  # another time

    def _open(self, *, create: bool) -> StateFolder | None:
        if not create:
            try:
                at.close(at.pin(os.fsencode(self._folder)))
            except FileNotFoundError:
                return None
        return StateFolder(self._folder)

    def _log(self, name: bytes, *, create: bool) -> "tuple[StateFolder, Log] | None":
        folder = self._open(create=create)
        if folder is None:
            return None
        try:
            log = Log.open(folder, name, self._key, _MAGIC, create=create)
        except BaseException:
            folder.close()
            raise
        if log is None:
            folder.close()
            return None
        return folder, log


class Memory:
    """The memory of one offer, shared by all its recipients in one run.

    `learn` and `save` may run in another thread than the rest.
    """

    def __init__(
        self, scan: Scan, opener: "Callable[[bool], tuple[StateFolder, Log] | None]"
    ) -> None:
        self._scan = scan
        self._manifest = scan.manifest
        self._opener = opener
        self._stamps: dict[int, Stamp] = {}
        self._digests = bytearray()
        self._known = bytearray()
        """By chunk, whether its digest is remembered."""
        self._fresh: list[int] = []
        """Chunks that are not saved yet."""
        self._saved_stamps: dict[int, Stamp] = {}
        self._size = 0
        """Bytes of the log that are ours, as we left it."""
        self._open: tuple[StateFolder, Log] | None = None
        self._useless = False
        self._waiting: set[bytes] = set()
        self._users = 0
        self._changing = threading.Lock()
        self._writing = threading.Lock()

    # One recipient's use of it.

    def attach(self, recipient: bytes) -> None:
        self._waiting.add(recipient)
        self._users += 1

    def finished(self, recipient: bytes) -> None:
        """This one has it all; when nobody waits any more, it is forgotten."""
        self._waiting.discard(recipient)
        if not self._waiting:
            self.forget()

    def detach(self) -> None:
        """Save what has been learned, unless all have it; the last one closes the file."""
        self._users -= 1
        if self._waiting:
            self.save()
        if not self._users:
            with self._writing:
                self._close()

    # Digests.

    def remembers(self, entry: int, stamp: Stamp) -> bool:
        """Whether there may be digests of this state of the file."""
        return self._stamps.get(entry) == stamp

    def known(self, number: int) -> bytes | None:
        """The digest of a chunk in the state that is remembered of its file."""
        if number >= len(self._known) or not self._known[number]:
            return None
        start = number * _DIGEST
        return bytes(self._digests[start : start + _DIGEST])

    def learn(self, chunk: Chunk, digest: bytes, stamp: Stamp) -> None:
        """The digest of a chunk was told; the file was in this state before it was read."""
        if self._useless:
            return
        with self._changing:
            known = self._stamps.get(chunk.entry)
            if known != stamp:
                if known is not None and known.changed_at >= stamp.changed_at:
                    return  # another recipient's source has seen a later state
                self._begin(chunk.entry, stamp)
            if not self._known[chunk.number]:
                self._remember(chunk.number, digest)
                self._fresh.append(chunk.number)

    # The file.

    def load(self) -> None:
        """Read what an earlier run has left, as far as it is of the files as they are now."""
        try:
            self._open = self._opener(False)
            if self._open is None:
                return
            for block in self._open[1].blocks:
                self._read(block)
        except (OSError, StorageError):
            self._useless = True
            return
        self._size = self._open[1].size
        self._saved_stamps = dict(self._stamps)
        for entry, stamp in self._saved_stamps.items():
            if stamp != offered(self._scan, entry):
                self._drop(entry)

    def save(self) -> None:
        """Write what is new, durably; a failure ends the remembering, nothing else."""
        with self._writing:
            if not self._fresh or self._useless:
                return
            try:
                log = self._log()
                with self._changing:
                    blocks = list(self._blocks())
                    self._fresh = []
                log.append(*blocks)
                log.sync()
                self._size = log.size
            except (OSError, StorageError):
                self._useless = True

    def forget(self) -> None:
        """Remove the file, if there is one."""
        with self._writing:
            self._fresh = []
            if not self._size:
                return
            try:
                self._open = self._open or self._opener(False)
                if self._open is not None:
                    self._open[1].remove()
            except (OSError, StorageError):
                pass  # it expires
            self._close()
            self._size = 0
            self._saved_stamps = {}

    def _log(self) -> Log:
        if self._open is None:
            self._open = self._opener(True)
            assert self._open is not None
        log = self._open[1]
        if log.size != self._size:  # not as we left it
            log.clear()
            self._size = log.size
            self._saved_stamps = {}
            with self._changing:
                self._fresh = [number for number, known in enumerate(self._known) if known]
        return log

    def _close(self) -> None:
        if self._open is not None:
            folder, log = self._open
            log.close()
            folder.close()
            self._open = None

    # What is in it.

    def _begin(self, entry: int, stamp: Stamp) -> None:
        """Remember another state of a file: what was known of it is of no use."""
        if not self._known:
            self._known = bytearray(self._manifest.chunk_count)
            self._digests = bytearray(self._manifest.chunk_count * _DIGEST)
        self._drop(entry)
        self._stamps[entry] = stamp

    def _drop(self, entry: int) -> None:
        if self._stamps.pop(entry, None) is not None:
            mine = self._manifest.chunks(entry)
            self._known[mine.start : mine.stop] = bytes(len(mine))

    def _remember(self, first: int, digests: bytes) -> None:
        count = len(digests) // _DIGEST
        self._digests[first * _DIGEST : (first + count) * _DIGEST] = digests
        self._known[first : first + count] = b"\1" * count

    def _blocks(self) -> Iterator[bytes]:
        """All that is fresh: states of files first, then digests of consecutive chunks."""
        fresh = sorted(number for number in set(self._fresh) if self._known[number])
        yield from self._stamp_blocks(fresh)
        start = 0
        for place in range(1, len(fresh) + 1):
            run = place - start
            if place == len(fresh) or fresh[place] != fresh[start] + run or run == _BLOCK:
                first = fresh[start]
                digests = self._digests[first * _DIGEST : (first + run) * _DIGEST]
                yield _DIGESTS + _FIRST.pack(first) + digests
                start = place

    def _stamp_blocks(self, fresh: list[int]) -> Iterator[bytes]:
        rows = []
        last = -1
        for number in fresh:
            if number < last:
                continue
            entry = self._manifest.chunk(number).entry
            last = self._manifest.chunks(entry).stop
            stamp = self._stamps[entry]
            if self._saved_stamps.get(entry) != stamp:
                self._saved_stamps[entry] = stamp
                rows.append(_STAMP.pack(entry, *stamp))
        for start in range(0, len(rows), _BLOCK):
            yield _STAMPS + b"".join(rows[start : start + _BLOCK])

    def _read(self, block: bytes) -> None:
        kind, body = block[:1], block[1:]
        if kind == _STAMPS and not len(body) % _STAMP.size:
            for entry, *fields in _STAMP.iter_unpack(body):
                if entry < len(self._scan.inodes):
                    self._begin(entry, Stamp(*fields))
        elif kind == _DIGESTS and len(body) > _FIRST.size:
            (first,) = _FIRST.unpack_from(body)
            digests = body[_FIRST.size :]
            if self._known and first + len(digests) // _DIGEST <= len(self._known):
                self._remember(first, digests[: len(digests) // _DIGEST * _DIGEST])
