"""`securecp contacts group`: several contacts under one name, for `send --to @NAME`."""

from typing import TYPE_CHECKING

import click

from securecp.cli import options
from securecp.cli.failures import UsageError

if TYPE_CHECKING:
    from keys.contacts import Contacts


@click.command(
    epilog="""\b
Examples:
  securecp contacts group family alice bob          make it, or change who is in it
  securecp contacts group family                    who is in it
  securecp contacts group                           all groups
  securecp contacts group family --remove
"""
)
@click.argument("name", required=False)
@click.argument("members", nargs=-1)
@click.option("--remove", is_flag=True, help="Forget the group; its members stay contacts.")
@options.common
def group(face: options.Face, *, name: str | None, members: tuple[str, ...], remove: bool) -> None:
    """Show, make, change or remove a group of contacts.

    MEMBERS are all who are in it from then on. A group is a list for sending; what a contact may
    do stands with the contact.
    """
    from keys.contactsfile import ContactsFile

    file = ContactsFile(face.home.contacts_file, face.home.own())
    if remove:
        if name is None or members:
            raise UsageError("--remove takes the name of a group, and nothing else")
        spelled = file.load().group_name(name)
        file.edit(lambda known: known.group(spelled, ()))
        _told(face, spelled, (), "removed")
    elif members and name is not None:
        known = file.edit(lambda known: known.group(name, _unique(known, members)))
        spelled = known.group_name(name)
        _told(face, spelled, known.groups[spelled], ", ".join(known.groups[spelled]))
    else:
        _show(face, file.load(), name)


def _unique(known: "Contacts", members: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, however often and in whatever case they were typed."""
    return tuple(dict.fromkeys(known.lookup(member).name for member in members))


def _show(face: options.Face, known: "Contacts", name: str | None) -> None:
    names = list(known.groups) if name is None else [known.group_name(name)]
    width = max((len(one) for one in names), default=0)
    for one in names:
        members = known.groups[one]
        if face.output.as_json:
            face.output.document({"group": one, "members": list(members)})
        else:
            face.output.result(f"{one:{width}}  {', '.join(members) or 'nobody'}")
    if not names:
        face.output.advice("no groups yet: securecp contacts group NAME MEMBER…")


def _told(face: options.Face, name: str, members: tuple[str, ...], what: str) -> None:
    if face.output.as_json:
        face.output.document({"group": name, "members": list(members)})
    else:
        face.output.note(f"{name}: {what}")
