"""Transfers that were cut off and can be gone on with: what the journals on our disk say.

They are sealed with a key that comes of the identity. With a passphrase on it, they stay unread
unless the passphrase is given.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from securecp.cli import options, units
from securecp.cli.text import listed, quoted

if TYPE_CHECKING:
    from securecp.cli.passphrase import Passphrase
    from securecp.disk.journal import Journals, Unfinished

SHOWN = 8
"""Digits of an id that are shown; as many or more may be typed."""


class Found(NamedTuple):
    """What there is on the disk."""

    transfers: "list[Unfinished]"
    is_sealed: bool = False
    """There may be some, but not without the passphrase."""


def look(face: options.Face, passphrase: "Passphrase", *, ask: bool) -> Found:
    """All of them, the latest first; a passphrase is asked for only with `ask`."""
    from keys import keyfile

    if not face.home.transfers.is_dir() or not face.home.key_file.exists():
        return Found([])
    if not any(one.suffix == ".journal" for one in face.home.transfers.iterdir()):
        return Found([])
    if not ask and not passphrase.given and keyfile.is_sealed(face.home.key_file):
        return Found([], is_sealed=True)
    with journals(face, passphrase) as opened:
        return Found(opened.unfinished())


@contextmanager
def journals(face: options.Face, passphrase: "Passphrase") -> "Iterator[Journals]":
    """The journals, opened with our identity."""
    from securecp.cli.waiting import JOURNAL
    from securecp.disk.journal import Journals

    key = face.home.identity(passphrase).derive(JOURNAL)
    with closing(Journals(face.home.transfers, key)) as opened:
        yield opened


def line(one: "Unfinished", name: str) -> str:
    """`3fa29c01  from alice  512 MB of 1.2 GB  "a"  into "/home/bob/in"`."""
    amount = f"{units.size(one.kept)} of {units.size(one.size)}"
    folder = quoted(os.fsencode(one.destination), 200)
    return f"{one.id[:SHOWN]}  from {name}  {amount}  {listed(one.names)}  into {folder}"
