"""Targets of symbolic links: which may be offered, and why others are refused (SPEC §8.3).

A link may lead to something that is offered beside or below it, or, by `..` at the beginning, above
it: never out of the offer, and never to its top itself, which is somebody's whole folder. This is
judged by the text alone. `..` behind a name is refused, since the name may be a link as well, and
then the text says nothing about where it leads.
"""

from securecp.transfer import names

TARGET_LIMIT = 4_096
"""Bytes of one target."""
TARGETS_LIMIT = 64 << 20
"""Bytes of all targets of an offer: they are kept in memory before anybody has agreed."""


def problem(target: bytes, depth: int) -> str | None:
    """Why a link may not lead there; `depth` is how many components its own file path has."""
    if not 0 < len(target) <= TARGET_LIMIT:
        return "a link without a target, or with too long a one"
    level, named = depth - 1, False
    for part in target.split(b"/"):
        if part == b".":
            continue
        if part == b"..":
            level -= 1
            if named or level < 0:
                return "a link that may lead out of what is offered"
            continue
        wrong = names.problem(part)
        if wrong:
            return f"a link whose target has {wrong}"
        level, named = level + 1, True
    return None if level > 0 else "a link to the folder that all is stored in"
