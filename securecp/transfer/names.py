"""Names of offered files, one component at a time: what is refused, and why (SPEC §8.3).

A name is the bytes the sender's file system has for one component. It is never split, joined,
normalised or expanded: a path is a list of components from here to the last `openat`. So most of
what is refused would be harmless to us; it is refused for the next program that meets the name.
What is merely odd is accepted and pointed out before consent (`offer.py`).
"""

import re
from urllib.parse import unquote_to_bytes

COMPONENT_LIMIT = 255
"""Bytes of one name; what Linux file systems hold."""

_HARMLESS = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_ ()+,=@.-]{0,254}")
"""Names that no rule below can refuse; the quick way out."""
_REFUSED = re.compile(rb"[\x00-\x1f\x7f/\\]|\xc2[\x80-\x9f]")
_DRIVE = re.compile(rb"[A-Za-z]:")
_ESCAPED = re.compile(rb"%[0-9A-Fa-f]{2}")
_SPECIAL = (b"", b".", b"..", b"~")
OUR_PREFIX = b".securecp-"
"""Partial files in the destination are called so; nothing that is offered may be."""
_OVERLONG = ((b"\xc0\xae", b"."), (b"\xc0\xaf", b"/"), (b"\xc1\x9c", b"\\"))
"""Two-byte spellings that careless UTF-8 decoders take for ASCII."""


def problem(name: bytes) -> str | None:
    """Why `name` may not be offered, in a few words; None if it may."""
    if _HARMLESS.fullmatch(name):
        return None
    if len(name) > COMPONENT_LIMIT:
        return f"a name longer than {COMPONENT_LIMIT} bytes"
    if name in _SPECIAL:
        return "a name that means another place" if name else "an empty name"
    refused = _REFUSED.search(name)
    if refused:
        return "a separator in a name" if refused[0] in (b"/", b"\\") else "a control character"
    if name.startswith(OUR_PREFIX):
        return "a name that securecp keeps for itself"
    if name[1:2] == b":" and _DRIVE.match(name):
        return "a drive letter"
    if b"%" in name and _leads_elsewhere(name):
        return "a disguised path"
    return None


def shown(name: bytes) -> str:
    """`name` for an error message: printable ASCII, at most 80 characters."""
    text = repr(name)[2:-1]
    return text if len(text) <= 80 else f"{text[:77]}..."


def _leads_elsewhere(name: bytes) -> bool:
    """Whether percent forms, unescaped once or twice, spell a path that leaves its folder.

    `a%2Fb` alone is what wget calls its files, so a hidden separator is odd but not refused.
    """
    for _ in range(2):
        if not _ESCAPED.search(name):
            return False
        name = unquote_to_bytes(name)
        for overlong, plain in _OVERLONG:
            name = name.replace(overlong, plain)
        parts = re.split(rb"[/\\]", name)
        if _DRIVE.match(name) or not parts[0] or any(part in _SPECIAL[1:] for part in parts):
            return True
        if any(byte < 0x20 or byte == 0x7F for byte in name):
            return True
    return False
