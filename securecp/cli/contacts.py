"""`securecp contacts`: whom I know, by which key, and what they may do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from securecp.cli import destination, endpoints, groups, options, tables, ui, units
from securecp.cli.commands import refuse_unknown
from securecp.cli.failures import UsageError
from securecp.errors import SecurecpError

if TYPE_CHECKING:
    from keys.contacts import Contacts
    from keys.contactsfile import ContactsFile
    from keys.policy import Contact


class _Group(click.Group):
    """Names the nearest command for one that does not exist."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            otherwise = "securecp contacts --help lists them"
            refuse_unknown(args[0], "contacts command", list(self.commands), otherwise)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Group,
    epilog="""\b
Examples:
  securecp contacts add alice age1…                 her public key, as `securecp id` shows it
  securecp contacts add bob age1… --endpoint 192.0.2.7:4400 --accept always
  securecp contacts verify alice                    compare a code aloud
  securecp contacts set bob --into ~/from-bob --accept always --daily-quota 20GB
  securecp contacts group family alice bob          then: securecp send … --to @family
  securecp contacts block eve
""",
)
def contacts() -> None:
    """Whom I know, by which key, and what they may do.

    Nobody else is answered. The file is contacts.toml in the home; it may also be edited by hand.
    """


def _policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `add` and `set` share."""
    for option in (
        click.option(
            "--into-anywhere", is_flag=True, help="Allow a home or system folder for --into."
        ),
        click.option(
            "--on-conflict",
            type=click.Choice(["rename", "skip", "overwrite"]),
            help="If a file of theirs has a name that is taken.",
        ),
        click.option(
            "--daily-quota", metavar="SIZE", help="Take so much within 24 hours, and no more."
        ),
        click.option(
            "--max-size", metavar="SIZE", help="Decline offers above it, for example 5GB."
        ),
        click.option(
            "--endpoint",
            "at",
            multiple=True,
            metavar="HOST:PORT",
            help="Where they wait; may be given several times.",
        ),
        click.option("--into", metavar="DIR", help="Where their files go."),
        click.option(
            "--accept",
            type=click.Choice(["ask", "always", "never"]),
            help="What their offers meet.",
        ),
    ):
        command = option(command)
    return command


@contacts.command()
@click.argument("name")
@click.argument("key")
@_policy_options
@click.option("--replace", "replace_key", is_flag=True, help="They have a new key: take it.")
@options.common
def add(face: options.Face, *, name: str, key: str, replace_key: bool, **policy: Any) -> None:
    """Add a contact, or take their new key.

    NAME is my name for them; KEY is their public key, age1…, as `securecp id` shows it to them.
    """
    from keys.errors import DuplicateContactError
    from keys.identity import parse_public
    from keys.policy import Contact

    public, card = parse_public(key)
    changes = _changes(**policy)
    contact = replace(Contact(name, public, card), **changes)
    before = _load(face)
    try:
        after = _file(face).edit(lambda known: known.add(contact, replace_key=replace_key))
    except DuplicateContactError as error:
        known = before.by_key(bytes(public))
        if known is None or known.name != error.existing or name.lower() != known.name.lower():
            raise
        if changes:
            raise
        face.output.note(f"{known.name} is there already, with this key")
        return
    _told(face, after.lookup(name), "added" if len(after) > len(before) else "has a new key")
    face.output.advice(f"next: securecp contacts verify {name}     (compare a code aloud)")


@contacts.command("set")
@click.argument("name")
@_policy_options
@click.option("--no-endpoint", is_flag=True, help="Forget where they wait.")
@click.option("--no-into", is_flag=True, help="Their files go to the usual folder.")
@click.option("--no-max-size", is_flag=True, help="No bound on their offers.")
@click.option("--no-daily-quota", is_flag=True, help="No bound on what they send in a day.")
@click.option("--no-on-conflict", is_flag=True, help="Names that are taken meet what is usual.")
@options.common
def change(face: options.Face, *, name: str, **typed: Any) -> None:
    """Change what a contact may do, or where they wait."""
    forgotten: dict[str, object] = {
        field: value for option, (field, value) in _FORGET.items() if typed.pop(option)
    }
    changes = _changes(**typed)
    if clash := forgotten.keys() & changes.keys():
        raise UsageError(f"{' and '.join(sorted(clash))} cannot be set and forgotten at once")
    if not forgotten and not changes:
        raise UsageError("nothing to change", "securecp contacts set --help shows what can be set")
    after = _file(face).edit(lambda known: known.update(name, **changes, **forgotten))
    _told(face, after.lookup(name), "changed")


@contacts.command("list")
@options.common
def show_all(face: options.Face) -> None:
    """List all contacts."""
    everyone = list(_load(face))
    if face.output.as_json:
        for contact in everyone:
            face.output.document(tables.as_fields(contact))
        return
    for line in tables.overview(everyone):
        face.output.result(line)
    if not everyone:
        face.output.advice("no contacts yet: securecp contacts add NAME age1…")


@contacts.command()
@click.argument("name")
@options.common
def show(face: options.Face, *, name: str) -> None:
    """Show everything about one contact."""
    from keys.fingerprint import pair_code

    known = _load(face)
    contact = known.lookup(name)
    own = face.home.own()
    code = pair_code(bytes(own), bytes(contact.key)) if own is not None else None
    member = [group for group, members in known.groups.items() if contact.name in members]
    if face.output.as_json:
        face.output.document({**tables.as_fields(contact), "pair_code": code, "groups": member})
        return
    for line in tables.details(contact, code, member):
        face.output.result(line)


@contacts.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="We have compared it: record that without asking.")
@options.common
def verify(face: options.Face, *, name: str, yes: bool) -> None:
    """Compare keys with a contact, aloud.

    Both sides see the same code exactly when each has the other's true key. Read it to each other,
    by voice or in person, half each.
    """
    from datetime import date

    from keys.fingerprint import pair_code

    contact = _load(face).lookup(name)
    own = face.home.own()
    if own is None:
        raise UsageError("there is no identity here to compare with", "securecp keygen")
    code = pair_code(bytes(own), bytes(contact.key))
    if face.output.as_json:
        face.output.document({"name": contact.name, "pair_code": code})
    else:
        for line in tables.code_lines(code):
            face.output.result(line)
    face.output.note(f"{contact.name} must see the same code: securecp contacts verify NAME")
    if not yes and not ui.typed("Type yes if every digit agrees:", "yes"):
        raise SecurecpError(
            f"{contact.name} stays unverified", "compare the whole code, then type yes or add --yes"
        )
    today = date.today()  # noqa: DTZ011  the person's own day
    _file(face).edit(lambda known: known.verify(contact.name, today, "pair-code"))
    face.output.note(f"{contact.name} is verified")


@contacts.command()
@click.argument("name")
@click.argument("new")
@options.common
def rename(face: options.Face, *, name: str, new: str) -> None:
    """Give a contact another name."""
    after = _file(face).edit(lambda known: known.rename(name, new))
    _told(face, after.lookup(new), f"was {name}")


@contacts.command()
@click.argument("name")
@options.common
def remove(face: options.Face, *, name: str) -> None:
    """Forget a contact; from then on they are a stranger."""
    gone = _load(face).lookup(name)
    _file(face).edit(lambda known: known.remove(name))
    _told(face, gone, "removed")


@contacts.command()
@click.argument("name")
@options.common
def block(face: options.Face, *, name: str) -> None:
    """Answer a contact no more, but remember the key."""
    after = _file(face).edit(lambda known: known.block(name))
    _told(face, after.lookup(name), "blocked")


@contacts.command()
@click.argument("name")
@options.common
def unblock(face: options.Face, *, name: str) -> None:
    """Answer a contact again."""
    after = _file(face).edit(lambda known: known.unblock(name))
    _told(face, after.lookup(name), "unblocked")


contacts.add_command(groups.group)


def _file(face: options.Face) -> "ContactsFile":
    from keys.contactsfile import ContactsFile

    return ContactsFile(face.home.contacts_file, face.home.own())


def _load(face: options.Face) -> "Contacts":
    return _file(face).load()


def _told(face: options.Face, contact: "Contact", what: str) -> None:
    if face.output.as_json:
        face.output.document(tables.as_fields(contact))
    else:
        face.output.note(f"{contact.name}: {what}")
        face.output.detail(f"key {contact.key}, fingerprint {contact.key.fingerprint}")


_FORGET: dict[str, tuple[str, object]] = {
    "no_endpoint": ("endpoints", ()),
    "no_into": ("into", None),
    "no_max_size": ("max_size", None),
    "no_daily_quota": ("daily_quota", None),
    "no_on_conflict": ("on_conflict", None),
}
"""Options that take a field back to what it is for anybody."""


def _changes(
    *, into: str | None, at: tuple[str, ...], into_anywhere: bool, **plain: str | None
) -> dict[str, Any]:
    """The options that were given, as fields of a contact."""
    changes: dict[str, Any] = {}
    for field, text in plain.items():
        if text is not None:
            changes[field] = _size(text) if field in {"max_size", "daily_quota"} else text
    if into is not None:
        changes["into"] = _folder(into, anywhere=into_anywhere)
    if at:
        changes["endpoints"] = tuple(endpoints.written(text) for text in at)
    return changes


def _size(text: str) -> int:
    try:
        return units.parse_size(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _folder(text: str, *, anywhere: bool) -> str:
    folder = Path(text).expanduser().absolute()
    if not anywhere:
        destination.check(folder)
    return str(folder)
