"""Room on the destination's file system, and what to say when the disk refuses."""

import errno
import os

from securecp.disk.names import shown
from securecp.errors import FullError, StorageError

GIB = 1 << 30

_REASONS = {
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.ENOENT: "the destination is gone",
    errno.ELOOP: "a folder in the destination was replaced by a link",
    errno.ENOTDIR: "a folder in the destination was replaced by something else",
    errno.ESTALE: "a folder or part in the destination was replaced by another",
    errno.EFBIG: "the file system does not take files that large",
    errno.EIO: "the disk reports an error",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open",
}
_HINTS = {
    errno.EROFS: "Choose another folder with --into.",
    errno.EACCES: "Choose a folder you may write to with --into.",
    errno.EPERM: "Choose a folder you may write to with --into.",
    errno.EFBIG: "Choose a folder on another file system with --into.",
}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_OF_ONE_FILE = {
    *(errno.EIO, errno.EFBIG, errno.ESTALE, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODATA),
    *(errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG, errno.ENOTDIR),
}


def default_reserve(total: int) -> int:
    """Bytes to leave free on a file system of `total` bytes.

    The larger of 1 GiB and 5 %, but at most a tenth: otherwise nothing at all could be received on
    a small one. So 10 % up to 10 GiB, 1 GiB up to 20 GiB, and 5 % from there.
    """
    return min(max(GIB, total // 20), total // 10)


def free(descriptor: int) -> tuple[int, int, int] | None:
    """(bytes we may use, bytes in all, block size) of a file system; None where it cannot tell."""
    if not hasattr(os, "fstatvfs") or descriptor < 0:
        return None
    found = os.fstatvfs(descriptor)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, found.f_frsize


def check_room(
    descriptor: int, size: int, entries: int, reserve: int | None, *, here: int = 0
) -> int:
    """Refuse what would leave less than `reserve` bytes free; returns the reserve that applies.

    `here` are bytes of `size` that need no room any more. Each entry is counted with one block more
    than its bytes, for its rounding and its name.
    """
    found = free(descriptor)
    if found is None:
        return 0
    available, total, block = found
    kept = default_reserve(total) if reserve is None else reserve
    needed = max(0, size - here) + entries * block
    if needed + kept > available:
        raise FullError(
            f"not enough room: {needed:,} bytes are needed, "
            f"{max(0, available - kept):,} are free beside a reserve of {kept:,}",
            "Free some space, or choose a folder on another disk with --into.",
            needed=needed,
        )
    return kept


def check_reserve(descriptor: int, reserve: int, missing: int) -> None:
    """Stop before the reserve is used up by us and others together."""
    found = free(descriptor)
    if found is not None and found[0] < reserve:
        raise FullError(
            f"the disk is nearly full, {missing:,} bytes are still needed",
            "Free some space and run the same command again.",
            needed=missing,
        )


def storage_error(error: OSError, name: bytes = b"", missing: int = 0) -> StorageError:
    """The one line and the hint for an error of the operating system.

    `name` is the file concerned; `missing` the bytes still to be written.
    """
    about = f"cannot store {shown(name)}: " if name else "cannot store: "
    if error.errno in _FULL:
        why = "the disk is full" if error.errno == errno.ENOSPC else "the disk quota is used up"
        return FullError(
            f"{about}{why}, {missing:,} bytes are still needed",
            "Free some space and run the same command again.",
            needed=missing,
        )
    return StorageError(about + reason(error), _HINTS.get(error.errno or 0, ""))


def concerns_one_file(error: OSError) -> bool:
    """Whether other files may still be stored: not so when the disk is full, gone or read-only."""
    return error.errno in _OF_ONE_FILE


def reason(error: OSError) -> str:
    """Why the operating system refused, in words for a person."""
    if error.errno in _FULL:
        return "the disk is full"
    return _REASONS.get(error.errno or 0, error.strerror or str(error))


def unreadable(error: OSError) -> str:
    """Why a file to send cannot be read, in words for a person."""
    words = {
        errno.ENOENT: "no such file or folder",
        errno.EACCES: "no permission to read it",
        errno.EPERM: "no permission to read it",
        errno.ENOTDIR: "part of its path is not a folder",
        errno.ELOOP: "it is a link, and links are not followed",
        errno.ENAMETOOLONG: "its name is too long",
    }
    return words.get(error.errno or 0, error.strerror or str(error))
