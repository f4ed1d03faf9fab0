"""`securecp cancel`: stop a transfer that runs, or give one up that was cut off."""

from typing import TYPE_CHECKING

import click

from securecp.cli import options, ui, unfinished, units
from securecp.cli.failures import UsageError
from securecp.cli.text import quoted, safe_text
from securecp.errors import SecurecpError

if TYPE_CHECKING:
    from securecp.cli.passphrase import Passphrase
    from securecp.disk.journal import Unfinished

_SHORTEST = 4
"""Digits of an id that are enough, if they mean one transfer."""


@click.command(
    epilog="""\b
Examples:
  securecp cancel 4711.1            this transfer, as `securecp status` names it
  securecp cancel alice             all that run with her
  securecp cancel --all             all that run
  securecp cancel 3fa29c01          give up what was cut off, and remove its parts
"""
)
@click.argument("which", required=False, metavar="ID|NAME")
@click.option("--all", "everything", is_flag=True, help="All transfers that run.")
@click.option("--yes", is_flag=True, help="Give an unfinished one up without asking.")
@options.passphrase
@options.common
def cancel(
    face: options.Face, *, which: str | None, everything: bool, yes: bool, passphrase: "Passphrase"
) -> None:
    """Stop a transfer, or give an unfinished one up.

    What runs is stopped, and goes on when the same is sent again. What was cut off before is given
    up after a typed yes: its parts are removed from the disk, and it would begin anew.
    """
    if (which is None) != everything:
        raise UsageError("say which transfer, or --all", "securecp status lists them")
    stopped = _stop(face, which)
    if stopped or which is None:
        face.output.note(f"stopped {units.count(stopped, 'transfer')}; each can be gone on with")
        if face.output.as_json:
            face.output.document({"stopped": stopped, "given_up": 0})
        return
    given_up = _give_up(face, which, passphrase, yes=yes)
    if face.output.as_json:
        face.output.document({"stopped": 0, "given_up": given_up})


def _stop(face: options.Face, which: str | None) -> int:
    """Stop what runs and is meant; how many."""
    from securecp.daemon import asking

    state, stopped = face.home.state, 0
    for answer in asking.ask(state, do="status"):
        for row in asking.rows(answer):
            if which is None or which == row.id or _is_called(row.name, which):
                told = asking.ask(state, do="cancel", id=row.id)
                stopped += any(one.get("cancelled") == 1 for one in told)
    return stopped


def _give_up(face: options.Face, which: str, passphrase: "Passphrase", *, yes: bool) -> int:
    """Remove what was cut off and is meant; how many."""
    book = _names(face)
    found = unfinished.look(face, passphrase, ask=True).transfers
    meant = [one for one in found if _is_meant(one, which, book.get(one.peer, ""))]
    if not meant:
        raise SecurecpError(
            f"nothing that runs or is unfinished is called {quoted(which, 60)}",
            "securecp status lists them",
        )
    for one in meant:
        face.output.question(unfinished.line(one, safe_text(book.get(one.peer, "a stranger"))))
    what = f"{units.count(len(meant), 'transfer')}, {units.size(sum(one.kept for one in meant))}"
    if not yes and not ui.typed(f"Type yes to give up {what}:", "yes"):
        raise SecurecpError("nothing was given up", "type yes, or add --yes")
    with unfinished.journals(face, passphrase) as journals:
        given_up = sum(journals.discard(one.id) for one in meant)
    face.output.note(f"gave up {units.count(given_up, 'transfer')}; the parts are removed")
    return given_up


def _is_meant(one: "Unfinished", which: str, name: str) -> bool:
    by_id = len(which) >= _SHORTEST and one.id.startswith(which.lower())
    return by_id or _is_called(name, which)


def _is_called(name: str, which: str) -> bool:
    return bool(name) and name.lower() == which.lower()


def _names(face: options.Face) -> dict[bytes, str]:
    from keys.contactsfile import ContactsFile

    known = ContactsFile(face.home.contacts_file, face.home.own()).load()
    return {bytes(contact.key): contact.name for contact in known}
