"""What an edit is, and where all of them stand."""

from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

AREAS = (
    "keys",
    "handshake",
    "transport",
    "nat",
    "nat_paths",
    "server",
    "net",
    "transfer",
    "disk",
    "daemon",
    "cli",
)


class Edit(NamedTuple):
    """One security decision taken out: `old`, which occurs once in `path`, becomes `new`."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    """pytest's names of the tests of which at least one must fail."""


class EditError(Exception):
    """An edit that no longer applies: the code went on, the list did not."""


def apply(edit: Edit, source: str) -> str:
    """The source of `edit.path` without that decision."""
    found = source.count(edit.old)
    if found != 1:
        raise EditError(f"{edit.name}: {found} places in {edit.path} instead of one")
    changed = source.replace(edit.old, edit.new)
    try:
        compile(changed, edit.path, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise EditError(f"{edit.name}: {edit.path} is no longer Python: {error}") from None
    return changed


def edits() -> Iterator[Edit]:
    """All of them, in the order of `AREAS`."""
    for area in AREAS:
        yield from import_module(f"tests.sabotage.{area}").EDITS
