"""Modes and times as a received file may have them (SPEC §9).

Of the sender's mode only the user's `rwx` counts, given to group and others as far as the umask
lets a new file have it; setuid, setgid, sticky, owners and extended attributes do not exist here.
A time out of range is clamped. Nothing here ever fails a file: some file systems refuse both.
"""

import contextlib
import os

_EARLIEST = -(1 << 31)
"""Seconds: 1901, what every file system with negative times can hold."""
_LATEST = 253_402_300_799
"""Seconds: the end of the year 9999, after which other programs fail to show it."""
_REFUSED = (OSError, AttributeError, NotImplementedError, TypeError, OverflowError)
_NANO = 1_000_000_000


def file_mode(offered: int, umask: int, *, executable: bool) -> int:
    """The mode of a published file; a file is always readable for its owner."""
    user = (offered >> 6) & (0o7 if executable else 0o6) | 0o4
    return (user * 0o111) & ~umask & 0o777 | 0o400


def directory_mode(offered: int, umask: int) -> int:
    """The mode of a published directory; its owner can always look inside."""
    user = (offered >> 6) & 0o7 | 0o5
    return (user * 0o111) & ~umask & 0o777 | 0o500


def modified(mtime_ns: int) -> int:
    """The nearest modification time that can be set, nanoseconds since 1970."""
    return max(_EARLIEST * _NANO, min(mtime_ns, _LATEST * _NANO))


def apply(descriptor: int, mode: int, mtime_ns: int) -> None:
    """Set both through the descriptor, as far as the file system has them."""
    time = modified(mtime_ns)
    try:
        os.fchmod(descriptor, mode)
        os.utime(descriptor, ns=(time, time))
    except _REFUSED:
        with contextlib.suppress(*_REFUSED):  # perhaps it has times, but no modes
            os.utime(descriptor, ns=(time, time))
