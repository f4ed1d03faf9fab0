"""Patterns as regular expressions: `pathspec` reads a pattern, git's rules each of its components.

A component is read as by git's `wildmatch`; `*` is atomic up to what follows it, so that no name,
however chosen, takes long to match. A module of its own, since most offers need none of this.
"""

import re

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r" \t\n\r\f\v",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


class _Pattern(GitIgnoreSpecPattern):
    """`pathspec`'s reading of a pattern, with a stricter reading of each component."""

    __slots__ = ()

    @staticmethod
    def _translate_segment_glob(pattern: str, range_error: str) -> str:
        del range_error  # always an error here
        return translate(pattern)


def compiled(body: str) -> "re.Pattern[str]":
    """An expression that matches the whole of what the pattern names; `ValueError` if it cannot be
    understood. `body` has neither the sign before nor the slash behind it."""
    text, _ = _Pattern.pattern_to_regex(_sheltered(body))
    if text is None:
        raise ValueError("a pattern that cannot be understood")
    if text in (".", "/"):  # found anywhere: everything, and everything below a directory
        text = ".+" if text == "." else ".+/.+"
    elif text.endswith("/"):  # what is below, but not itself
        text += ".+"
    return re.compile(text, re.DOTALL)


def _sheltered(body: str) -> str:
    """What `pathspec` would strip or take for a sign is meant here: it has been looked at."""
    if body[0] in "#!":
        body = "\\" + body
    last = body[-1]
    if last.isspace():
        body = body[:-1]
        if (len(body) - len(body.rstrip("\\"))) % 2:
            body = body[:-1]
        body += f"[{last}]"
    return body


def translate(glob: str) -> str:
    """The expression for one component; `ValueError` if it cannot be understood."""
    runs = [""]  # what stands between stars
    position = 0
    while position < len(glob):
        char = glob[position]
        position += 1
        if char == "*":
            runs.append("")
        elif char == "?":
            runs[-1] += "[^/]"
        elif char == "[":
            part, position = _bracket(glob, position)
            runs[-1] += part
        else:
            if char == "\\":
                char, position = _escaped(glob, position)
            runs[-1] += re.escape(char)
    first, *others = runs
    if not others:
        return first
    middle = "".join(f"(?>[^/]*?{run})" for run in others[:-1] if run)
    return f"{first}{middle}[^/]*{others[-1]}"


def _escaped(glob: str, position: int) -> tuple[str, int]:
    if position >= len(glob):
        raise ValueError("a backslash at the end")
    return glob[position], position + 1


def _bracket(glob: str, position: int) -> tuple[str, int]:
    """What follows a `[`: the expression, and the place after its `]`."""
    negated = glob[position : position + 1] in ("!", "^")
    first = position = position + negated
    members = ""
    while position < len(glob):
        if glob[position] == "]" and position > first:
            return _set(members, negated=negated), position + 1
        named = _named(glob, position)
        if named:
            members += named[0]
            position = named[1]
        else:
            low, high, position = _range(glob, position)
            if low <= high:
                members += f"{re.escape(low)}-{re.escape(high)}"
    raise ValueError("[ without ]")


def _set(members: str, *, negated: bool) -> str:
    if negated:
        return f"[^/{members}]"
    return f"(?!/)[{members}]" if members else "(?!)"


def _named(glob: str, position: int) -> tuple[str, int] | None:
    """A class such as `[:alpha:]`, if one stands here."""
    if not glob.startswith("[:", position):
        return None
    end = glob.find("]", position + 2)
    if end < 0:
        raise ValueError("[ without ]")
    name = glob[position + 2 : end - 1]
    if end == position + 2 or glob[end - 1] != ":":
        return None
    if name not in _CLASSES:
        raise ValueError(f"no class of characters is called {name}")
    return _CLASSES[name], end + 1


def _range(glob: str, position: int) -> tuple[str, str, int]:
    """One character, or the first and last of a range."""
    low, position = _member(glob, position)
    if glob.startswith("-", position) and glob[position + 1 : position + 2] not in ("", "]"):
        high, position = _member(glob, position + 1)
        return low, high, position
    return low, low, position


def _member(glob: str, position: int) -> tuple[str, int]:
    if glob[position] == "\\":
        return _escaped(glob, position + 1)
    return glob[position], position + 1
