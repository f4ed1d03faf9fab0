"""Names in the destination: hidden parts, numbered names, and the last check before the disk.

The manifest has refused hostile names long before; the check here does not trust that it did.
"""

import hashlib
import re
import secrets

COMPONENT_LIMIT = 255
"""Bytes in a component (SPEC §9; NAME_MAX nearly everywhere)."""
DISPLAY_LIMIT = 200

_PART = re.compile(rb"\.securecp-[0-9a-f]{16}\.part")
_STEM = re.compile(r"(?s)(.+?)((?:\.tar)?\.[^. ]{1,16})")


class PartNames:
    """A fresh, unpredictable part name for each number."""

    def __init__(self) -> None:
        # Names follow from one secret instead of being remembered: a million cost no memory.
        self._key = secrets.token_bytes(32)

    def of(self, number: int) -> bytes:
        """Name of part `number`; about 1 µs."""
        digest = hashlib.blake2b(self._key + number.to_bytes(8, "big"), digest_size=8)
        return b".securecp-%b.part" % digest.hexdigest().encode()


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
