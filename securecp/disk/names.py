"""Names in the destination: hidden parts, numbered names, and the last check before the disk.

The manifest has refused hostile names long before; the check here does not trust that it did.
"""

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

COMPONENT_LIMIT = 255
"""Bytes in a component (SPEC §9; NAME_MAX nearly everywhere)."""
DISPLAY_LIMIT = 200

_TRIES = 5
_PART = re.compile(rb"\.securecp-[0-9a-f]{16}\.part")
_STEM = re.compile(r"(?s)(.+?)((?:\.tar)?\.[^. ]{1,16})")


class PartNames:
    """A fresh name for the part with each number: 8 digits of the transfer, 8 unpredictable ones.

    The first eight say whose a part is when nobody is at work on it. `tag` and `key` are given when
    the names of an earlier session are wanted again.
    """

    def __init__(self, tag: bytes = b"", key: bytes = b"") -> None:
        # Names follow from one secret instead of being remembered: a million cost no memory.
        self.tag = tag or secrets.token_hex(4).encode()
        self._key = key or secrets.token_bytes(32)
        self.attempts: dict[int, int] = {}
        """Numbers whose first name could not be used: how many names were given up."""

    def of(self, number: int) -> bytes:
        """Name of part `number`; about 1 µs."""
        attempt = self.attempts.get(number, 0) if self.attempts else 0
        seed = self._key + (number + (attempt << 64)).to_bytes(10, "big")
        digest = hashlib.blake2b(seed, digest_size=4)
        return b".securecp-%b%b.part" % (self.tag, digest.hexdigest().encode())

    def make(self, number: int, maker: Callable[[bytes], T]) -> tuple[bytes, T]:
        """Have the part made by `maker`; its name is another if something else has the first."""
        for _ in range(_TRIES):
            name = self.of(number)
            try:
                return name, maker(name)
            except FileExistsError:
                self.attempts[number] = self.attempts.get(number, 0) + 1
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def tag_of(name: bytes) -> bytes:
    """The digits of the transfer in a part's name."""
    return name[10:18]


def is_part(name: bytes) -> bool:
    """Whether the name is one that `PartNames` could have made."""
    return _PART.fullmatch(name) is not None


def is_component(name: bytes) -> bool:
    """Whether the name stays in its directory: one component, none of ours, no special meaning."""
    return (
        0 < len(name) <= COMPONENT_LIMIT
        and b"/" not in name
        and b"\0" not in name
        and name not in (b".", b"..")
        and not is_part(name)  # it would look like ours to remove
    )


def numbered(name: bytes, number: int) -> bytes:
    """`name (number).ext`, shortened to fit a component; the extension stays, so it still opens."""
    text = name.decode("utf-8", "surrogateescape")
    match = _STEM.fullmatch(text)
    stem, extension = match.groups() if match else (text, "")
    suffix = f" ({number}){extension}".encode("utf-8", "surrogateescape")
    encoded = stem.encode("utf-8", "surrogateescape")
    while len(encoded) > COMPONENT_LIMIT - len(suffix):
        stem = stem[:-1]  # whole characters only
        encoded = stem.encode("utf-8", "surrogateescape")
    return encoded + suffix


def shown(name: bytes) -> str:
    """The name as it may stand in a message: unprintable characters escaped, cut when long."""
    text = name.decode("utf-8", "backslashreplace")
    safe = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
    return safe if len(safe) <= DISPLAY_LIMIT else safe[: DISPLAY_LIMIT - 1] + "…"
