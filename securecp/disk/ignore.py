"""What is left out of an offer: patterns as in `.gitignore`, from files and the command line.

    --exclude                 before all files, relative to each path that is named
    .securecpignore           in any directory: the nearest that says something decides

Within one list the last pattern that matches decides; `!` takes back in. An excluded directory is
not entered, so nothing below it can be taken back.

`pathspec` translates the patterns. Which of them decides is found here: the walk comes from above
and asks for one entry at a time, so that a pattern never speaks for what lies below what it names
(`pathspec` is asked about whole paths, has to guess there, and differs from git in a few cases).

A pattern that cannot be understood is an error, not a pattern that matches nothing: it was written
to keep something back.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple, Self

IGNORE_FILE = b".securecpignore"
SIZE_LIMIT = 256 << 10
"""Bytes of a file of patterns."""
_ANYWHERE = re.compile(r"(?<![^/])\*{2,}(?![^/])")
_ANYWHERE_LIMIT = 4
"""`**` in one pattern: each multiplies the ways to match a deep path."""


class _Rule(NamedTuple):
    """One pattern."""

    excludes: bool
    folders_only: bool
    by_name: bool
    """Compared with the name alone, in whatever directory that is."""
    regex: "re.Pattern[str]"


class Rules:
    """One list of patterns. Measured: 0.3 µs an entry and pattern."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises `ValueError` that names the first line which cannot be understood."""
        rules = []
        for number, pattern in enumerate(patterns, 1):
            try:
                rule = _parse(pattern)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            if rule:
                rules.append(rule)
        self._rules = rules[::-1]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """The patterns of a file, one a line, beside comments."""
        text = decoded(raw.removeprefix(b"\xef\xbb\xbf"))
        return cls(_line(line) for line in text.split("\n"))

    def __bool__(self) -> bool:
        return bool(self._rules)

    def verdict(self, path: str | None, name: str, *, folder: bool) -> bool | None:
        """Whether the entry is excluded; None if no pattern matches.

        `path` is relative to where the patterns stand, None for that very directory.
        """
        for excludes, folders_only, by_name, regex in self._rules:
            if folders_only and not folder:
                continue
            subject = name if by_name else path
            if subject is not None and regex.fullmatch(subject):
                return excludes
        return None


class Filter:
    """All rules that hold in one directory."""

    __slots__ = ("_levels", "active")

    def __init__(self, levels: tuple[tuple[Rules, str | None], ...]) -> None:
        """`levels`: rules, each with the way to here from where they stand; the first decide."""
        self._levels = levels
        self.active = any(rules for rules, _ in levels)
        """Whether there is any pattern at all."""

    @classmethod
    def of(cls, exclude: Rules) -> "Filter":
        """For the paths that are named: `exclude` holds for their names, then for all below."""
        return cls(((exclude, None),))

    def excludes(self, name: bytes, *, folder: bool) -> bool:
        text = decoded(name)
        for rules, way in self._levels:
            path = None if way is None else way + text
            verdict = rules.verdict(path, text, folder=folder)
            if verdict is not None:
                return verdict
        return False

    def below(self, name: bytes) -> "Filter":
        """The rules in a directory of this one."""
        text = decoded(name) + "/"
        return Filter(
            tuple((rules, "" if way is None else way + text) for rules, way in self._levels)
        )

    def with_file(self, rules: Rules) -> "Filter":
        """The rules here, if this directory has a file of them: nearer than all other files."""
        return Filter((*self._levels[:1], (rules, ""), *self._levels[1:]))


NOTHING = Filter(())
"""Excludes nothing."""


def decoded(name: bytes) -> str:
    """A name as text, byte for byte the same when encoded again."""
    return name.decode("utf-8", "surrogateescape")


def _parse(pattern: str) -> _Rule | None:
    excludes = not pattern.startswith("!")
    body = pattern if excludes else pattern[1:]
    folders_only = body.endswith("/")
    body = body.removesuffix("/")
    if not body:
        return None
    body = _ANYWHERE.sub("**", body)
    if len(_ANYWHERE.findall(body)) > _ANYWHERE_LIMIT:
        raise ValueError(f"more than {_ANYWHERE_LIMIT} times **")
    from securecp.disk.globs import compiled  # 10 ms that most offers need not wait for

    return _Rule(excludes, folders_only, "/" not in body, compiled(body))


def _line(line: str) -> str:
    """The pattern in a line: nothing in a comment, no spaces at the end without a backslash."""
    if line.startswith("#"):
        return ""
    line = line.removesuffix("\r")
    kept = line.rstrip(" ")
    backslashes = len(kept) - len(kept.rstrip("\\"))
    return kept + " " if kept != line and backslashes % 2 else kept
