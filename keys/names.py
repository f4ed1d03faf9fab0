"""Names of contacts and groups: letters, digits, `-` and `_`, at most 32, first a letter or digit.

So a name is never an option (`--help`), a path (`a/b`, `..`), an address (`host:1`), a list
(`a,b`), a TOML table inside another (`a.b`), or text that moves the cursor. Names of one book
differ at a glance: case, and the pairs that look alike in common type (`l I 1`, `O 0`, `rn m`,
`vv w`, `_ -`), do not tell two people apart.
"""

import re
from collections.abc import Iterable

from keys.errors import NameRefusedError, printable

LONGEST_NAME = 32

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_ALIKE = str.maketrans({"I": "l", "1": "l", "0": "o", "_": "-"})


def check_name(name: str) -> str:
    """The name itself, or `NameRefusedError` with what is wrong about it."""
    if not _NAME.fullmatch(name):
        raise NameRefusedError(
            f"{printable(name)} is not a name we accept" if name else "the name is empty",
            "A name has up to 32 letters a-z, digits, - and _, and begins with a letter or digit.",
        )
    if name.lower().startswith("age1"):
        raise NameRefusedError(f"{printable(name)} looks like a key, not like a name")
    return name


def skeleton(name: str) -> str:
    """Equal for names that people may take for one another."""
    return name.translate(_ALIKE).lower().replace("rn", "m").replace("vv", "w")


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, if one is near."""
    import difflib  # only when someone mistyped

    by_case = {known.lower(): known for known in names}
    found = difflib.get_close_matches(name[:64].lower(), by_case, n=1, cutoff=0.6)
    return by_case[found[0]] if found else None
