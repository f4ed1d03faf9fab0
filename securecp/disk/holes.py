"""Chunks that lie wholly in holes of sparse files: zeros that need not be read, nor sent.

The file system is asked (SEEK_DATA, SEEK_HOLE), twice for each run of data; a hole of a TiB costs
no more than one of a MiB. Where it does not know, there is no hole.
"""

import errno
import os

from securecp.transfer.entries import CHUNK

LEAST = 64 << 10
"""Bytes of a file that is worth a look: small ones have their data in odd places."""

_SEEK_DATA: int | None = getattr(os, "SEEK_DATA", None)
_SEEK_HOLE: int | None = getattr(os, "SEEK_HOLE", None)


def is_sparse(found: os.stat_result) -> bool:
    """Whether there may be holes: fewer blocks are there than the size needs."""
    if _SEEK_DATA is None:
        return False
    return found.st_size >= LEAST and found.st_blocks * 512 < found.st_size


def holes(descriptor: int, size: int) -> list[range]:
    """Chunks of the file, counted from its first, that lie in holes; OSError is for the caller."""
    if _SEEK_DATA is None or _SEEK_HOLE is None:
        return []
    found = []
    chunk, count = 0, -(-size // CHUNK)
    while chunk < count:
        data = _seek(descriptor, chunk * CHUNK, _SEEK_DATA, size)
        # The last chunk may be short: it is a hole if the hole reaches the end.
        last = count if data >= size else data // CHUNK
        if last > chunk:
            found.append(range(chunk, last))
        if last < count:
            data = _seek(descriptor, data, _SEEK_HOLE, size)
        chunk = max(last + 1, -(-data // CHUNK))
    return found


def _seek(descriptor: int, position: int, whence: int, size: int) -> int:
    try:
        return os.lseek(descriptor, position, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole from here on
            return size
        raise
