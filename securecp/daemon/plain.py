"""Foreign text in files of ours: one line, nothing in it that a terminal would obey.

The face hands in its own `safe_text`; without it everything beyond ASCII is an escape.
"""

import re
from collections.abc import Callable

from keys.errors import printable

Show = Callable[[bytes | str], str]

LONGEST = 200

_DANGEROUS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(value: bytes | str) -> str:
    """Foreign text as one short line of ASCII."""
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    return printable(text, LONGEST)


def one_line(text: str) -> bytes:
    """What is written, whoever made it: no control character and no line break within it."""
    line = _DANGEROUS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return line.encode("utf-8", "backslashreplace") + b"\n"
