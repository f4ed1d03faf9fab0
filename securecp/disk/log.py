"""An append-only file of authenticated blocks: what a journal and a memory are made of (SPEC §9.7).

    16 bytes   magic: what kind of log, and the version of its blocks
    then       length (4 bytes, big endian) ‖ payload ‖ MAC (32 bytes), again and again

The MAC is BLAKE3, keyed, over the MAC before it, the length and the payload; before the first block
stands the MAC of the magic and the file's name. So blocks cannot be changed, left out, put in order
or moved to another log. Reading ends at the first block that is torn or wrong: what stands before
it is what was written, and what follows is overwritten. No content of such a file is an error.
"""

import contextlib
import os
from collections.abc import Callable
from typing import Self

from blake3 import blake3

from securecp.disk.calls import at
from securecp.disk.state import StateFolder

MAGIC_LENGTH = 16
BLOCK_LIMIT = 1 << 20
"""Bytes of one payload."""
SIZE_LIMIT = 1 << 30
"""Bytes of a log that is read; 1 TiB of chunks take 40 MiB."""
_LENGTH = 4
_MAC = 32
Found = tuple[list[bytes], int, bytes]


class Log:
    """One log, locked while it is open; OSError from anything, StorageError if it is in use.

    `blocks` are the payloads found when it was opened, oldest first.
    """

    def __init__(self, folder: StateFolder, name: bytes, descriptor: int, key: bytes, magic: bytes):
        assert len(magic) == MAGIC_LENGTH and len(key) == 32
        self.name = name
        self._folder = folder
        self._descriptor = descriptor
        self._key = key
        self._magic = magic
        self.blocks, self._end, self._mac = scan(descriptor, name, key, magic)
        self._durable = self._end
        self._named = False
        self._clean = False

    @classmethod
    def open(
        cls, folder: StateFolder, name: bytes, key: bytes, magic: bytes, *, create: bool = True
    ) -> Self | None:
        """Open or begin the log; None if there is none and it is not to be made."""
        descriptor = folder.open(name, create=create)
        return None if descriptor is None else cls(folder, name, descriptor, key, magic)

    @property
    def size(self) -> int:
        """Bytes that count, from the beginning of the file."""
        return self._end

    def append(self, *payloads: bytes) -> None:
        """Write blocks behind the last good one; durable after `sync`.

        If that fails, what was written of them is overwritten by the next try.
        """
        out = bytearray()
        mac = self._mac
        if not self._end:
            out += self._magic
        for payload in payloads:
            assert 0 < len(payload) <= BLOCK_LIMIT
            block = len(payload).to_bytes(_LENGTH, "big") + payload
            mac = _mac(self._key, mac, block)
            out += block + mac
        if not self._clean:
            os.ftruncate(self._descriptor, self._end)  # what is torn must not come back
        self._clean = False
        _write(self._descriptor, out, self._end)
        self._clean = True
        self._end += len(out)
        self._mac = mac

    def sync(self) -> None:
        """Make all that was appended durable; an error is for good (`flush`).

        Nobody must go on behind what may never reach the disk: it is taken away again.
        """
        try:
            os.fsync(self._descriptor)
            if not self._named:
                self._folder.sync()
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._durable)
            raise
        self._durable = self._end
        self._named = True

    def clear(self) -> None:
        """Forget every block, on the disk with the next `append`."""
        self.blocks, self._end, self._mac = parse(b"", self.name, self._key, self._magic)
        self._durable = 0
        self._clean = False

    def remove(self) -> None:
        """Remove the file, then let go of it."""
        self._folder.remove(self.name)
        self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            at.close(self._descriptor)
            self._descriptor = -1


def read(folder: StateFolder, name: bytes, key: bytes, magic: bytes) -> list[bytes]:
    """The blocks of a log that somebody else may have in use; empty if there is none."""
    descriptor = folder.open(name, create=False, lock=False)
    if descriptor is None:
        return []
    try:
        return scan(descriptor, name, key, magic)[0]
    finally:
        at.close(descriptor)


def parse(data: bytes, name: bytes, key: bytes, magic: bytes) -> Found:
    """The same as `scan` for the bytes of a file."""
    stream = memoryview(data)

    def pull(count: int) -> bytes:
        nonlocal stream
        piece, stream = bytes(stream[:count]), stream[count:]
        return piece

    return _scan(pull, name, key, magic)


def scan(descriptor: int, name: bytes, key: bytes, magic: bytes) -> Found:
    """The blocks that count, where the last of them ends (0: not even the magic), and its MAC.

    Nothing is read behind the first that does not count, however large the file is.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    return _scan(lambda count: _read(descriptor, count), name, key, magic)


def _scan(pull: Callable[[int], bytes], name: bytes, key: bytes, magic: bytes) -> Found:
    mac = _mac(key, magic, name)
    if pull(MAGIC_LENGTH) != magic:
        return [], 0, mac
    blocks: list[bytes] = []
    end = MAGIC_LENGTH
    while end < SIZE_LIMIT:
        head = pull(_LENGTH)
        length = int.from_bytes(head, "big")
        if len(head) < _LENGTH or not 0 < length <= BLOCK_LIMIT:
            break
        rest = pull(length + _MAC)
        proved = _mac(key, mac, head + rest[:length])
        if proved != rest[length:]:
            break
        blocks.append(rest[:length])
        end, mac = end + _LENGTH + length + _MAC, proved
    return blocks, end, mac


def _mac(key: bytes, before: bytes, block: bytes) -> bytes:
    return blake3(before + block, key=key).digest()


def _read(descriptor: int, count: int) -> bytes:
    data = os.read(descriptor, count)
    while len(data) < count and (more := os.read(descriptor, count - len(data))):
        data += more
    return data


def _write(descriptor: int, data: bytearray, position: int) -> None:
    os.lseek(descriptor, position, os.SEEK_SET)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
