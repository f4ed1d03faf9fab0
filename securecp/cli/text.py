"""Foreign text made fit for a terminal: every name, reason and argument passes here first.

A file name may hold an escape sequence, a right-to-left override, a carriage return that rewrites
the prompt, or bytes that are no text at all. What leaves here is one line of harmless characters;
whatever is not harmless stands there as an escape, so that nothing hides (SPEC §10.5).

This is display text only. It is never parsed back and never used as a path.
"""

import re
import unicodedata

REMOTE_LIMIT = 200
"""Characters of foreign text that are shown; the middle of what is longer is cut."""

_CUT = "…"
_MARKS_IN_A_ROW = 3
"""Combining marks after one character; more of them climb over the lines above."""

_PLAIN = re.compile(r"[\x20-\x7e]*")

_INVISIBLE = re.compile(
    "["
    "\u00a0\u034f\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u202f\u205f\u2800\u3000"
    "\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff"
    "]"
)
"""Blank or zero-width although Unicode calls them letters, marks or spaces."""

_REFUSED_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def safe_text(value: bytes | str, limit: int = REMOTE_LIMIT) -> str:
    """`value` as one printable line of at most `limit` characters, everything doubtful escaped.

    Bytes are read as UTF-8. Other bytes become `\\xNN`, doubtful characters `\\uNNNN`.
    """
    text = _decode(value, limit)
    if len(text) <= limit and _PLAIN.fullmatch(text):
        return text
    if len(text) > 2 * limit:  # the middle is cut anyway: work on bounded text
        head, tail = _tokens(text[:limit]), _tokens(text[-limit:])
        return _join_cut(head, tail, limit)
    tokens = _tokens(text)
    if sum(map(len, tokens)) <= limit:
        return "".join(tokens)
    return _join_cut(tokens, tokens, limit)


def quoted(value: bytes | str, limit: int = REMOTE_LIMIT) -> str:
    """Foreign text within double quotes, so that it cannot pass for words of ours."""
    return '"' + safe_text(value, limit).replace('"', '\\"') + '"'


def listed(values: list[bytes] | tuple[bytes, ...], most: int = 3) -> str:
    """The first few names, quoted, and how many more there are."""
    shown = ", ".join(quoted(value, 80) for value in values[:most])
    more = len(values) - most
    return f"{shown} and {more:,} more" if more > 0 else shown


def _decode(value: bytes | str, limit: int) -> str:
    if isinstance(value, str):
        return value
    # Four bytes are the longest character, so both ends stay whole.
    reach = 4 * limit
    if len(value) > 2 * reach:
        value = value[:reach] + value[-reach:]
    return value.decode("utf-8", "surrogateescape")


def _tokens(text: str) -> list[str]:
    """One string for each character: itself or its escape."""
    tokens = []
    marks = _MARKS_IN_A_ROW  # a mark at the start would sit on our own text
    for character in text:
        if unicodedata.category(character) in {"Mn", "Me"}:
            marks += 1
            harmless = marks <= _MARKS_IN_A_ROW and not _INVISIBLE.match(character)
        else:
            harmless = _is_harmless(character)
            marks = 0
        tokens.append(character if harmless else _escape(character))
    return tokens


def _is_harmless(character: str) -> bool:
    if " " <= character <= "~":
        return True
    if unicodedata.category(character) in _REFUSED_CATEGORIES:
        return False
    return not _INVISIBLE.match(character)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _join_cut(head: list[str], tail: list[str], limit: int) -> str:
    """As many whole tokens from both ends as fit around the cut."""
    room = limit - len(_CUT)
    front = _take(head, (room + 1) // 2)
    back = _take(tail[::-1], room - sum(map(len, front)))
    return "".join(front) + _CUT + "".join(back[::-1])


def _take(tokens: list[str], room: int) -> list[str]:
    taken = []
    for token in tokens:
        room -= len(token)
        if room < 0:
            break
        taken.append(token)
    return taken
