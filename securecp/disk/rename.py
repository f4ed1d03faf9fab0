"""A safe name for one that may not be offered, the same every time (`--rename-unsafe`).

Nothing is lost that a person needs to know the file again: control bytes become their pictures, a
separator or colon an underscore, a name with a meaning gets one in front.
"""

import re
from collections.abc import Iterable

from securecp.disk.names import COMPONENT_LIMIT, numbered
from securecp.transfer import names

_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_OTHERS = re.compile(rb"[\\/]|\xc2[\x80-\x9f]")
_DRIVE = re.compile(rb"([A-Za-z]):")
_EXTENSION = re.compile(r"(?s)(.+?)((?:\.tar)?\.[^. ]{1,16})")
_PICTURE = 0x2400
_PICTURE_OF_DELETE = 0x2421


def safe(name: bytes) -> bytes:
    """A name that may be offered; `name` itself if it may."""
    if not names.problem(name):
        return name
    name = _OTHERS.sub(b"_", _CONTROLS.sub(_picture, name))
    name = _DRIVE.sub(rb"\1_", name, count=1) if _DRIVE.match(name) else name
    if name in (b"", b".", b"..", b"~") or name.startswith(names.OUR_PREFIX):
        name = b"_" + name
    name = fitted(name)
    if names.problem(name):  # what is left are percent forms
        name = name.replace(b"%", b"_")
    return name


class SafeNames:
    """Safe names in one directory: each is given once, and none that is there already."""

    def __init__(self, there: Iterable[bytes]) -> None:
        self._taken = set(there)
        self._numbers: dict[bytes, int] = {}

    def of(self, name: bytes) -> bytes:
        """`safe(name)`, numbered if another has that name."""
        found = wanted = safe(name)
        number = self._numbers.get(wanted, 0)  # many may be alike: not all numbers are tried again
        while found in self._taken:
            number += 1
            found = numbered(wanted, number)
        self._numbers[wanted] = number
        self._taken.add(found)
        return found


def fitted(name: bytes) -> bytes:
    """The name cut at a whole character so that it fits a component; the extension stays."""
    if len(name) <= COMPONENT_LIMIT:
        return name
    text = name.decode("utf-8", "surrogateescape")
    match = _EXTENSION.fullmatch(text)
    stem, extension = match.groups() if match else (text, "")
    suffix = extension.encode("utf-8", "surrogateescape")
    if len(suffix) >= COMPONENT_LIMIT:
        stem, suffix = text, b""
    while len(encoded := stem.encode("utf-8", "surrogateescape")) > COMPONENT_LIMIT - len(suffix):
        stem = stem[:-1]
    return encoded + suffix


def _picture(match: re.Match[bytes]) -> bytes:
    byte = match[0][0]
    return chr(_PICTURE_OF_DELETE if byte == 0x7F else _PICTURE + byte).encode()
