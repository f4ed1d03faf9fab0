"""`securecp receive`: wait for files from contacts."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from securecp.cli import destination, endpoints, options, ui
from securecp.cli.personal import to_receiver
from securecp.errors import InterruptedTransferError, SecurecpError

if TYPE_CHECKING:
    from keys.errors import KeysError
    from keys.identity import PublicKey
    from securecp.cli.book import Book
    from securecp.cli.consent import Consent
    from securecp.cli.narrate import Narrator
    from securecp.cli.passphrase import Passphrase
    from securecp.disk.settle import Conflict
    from securecp.net.dial import ReceiveOptions


@click.command(
    epilog="""\b
Examples:
  securecp receive                                  from any contact, asking each time
  securecp receive --from alice --into ~/inbox --once
  securecp receive --listen 127.0.0.1:4400 --yes --json
"""
)
@click.option("--from", "name", metavar="NAME", help="Only from this contact.")
@click.option("--into", type=click.Path(path_type=Path), metavar="DIR", help="Where files go.")
@click.option("--into-anywhere", is_flag=True, help="Allow a home or system folder.")
@click.option(
    "--listen", default="0.0.0.0:4400", show_default=True, metavar="HOST:PORT",
    help="Where to wait.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="End after one transfer, with its exit code.")
@click.option("--yes", is_flag=True, help="Accept without asking (never for `accept = never`).")
@click.option(
    "--on-conflict", type=click.Choice(["rename", "skip", "overwrite"]), default="rename",
    show_default=True, help="If a file of that name is there.",
)  # fmt: skip
@options.limit
@options.passphrase
@options.common
def receive(
    face: options.Face,
    *,
    name: str | None,
    into: Path | None,
    into_anywhere: bool,
    listen: str,
    once: bool,
    yes: bool,
    on_conflict: "Conflict",
    limit: int | None,
    passphrase: "Passphrase",
) -> int:
    """Wait for files from contacts.

    Only contacts are answered; for everyone else nobody seems to be here. Unless the contact is
    set to `accept = always` or --yes is given, each offer is shown and you are asked.
    """
    from securecp.net.bind import bind

    # First of all, so that whoever calls while we get ready is heard when we are.
    with closing(bind(endpoints.to_listen(listen))) as udp:
        identity = face.home.identity(passphrase)
        book = _book(face, identity.public)
        choose = chooser(face, book, into, anywhere=into_anywhere)
        from securecp.cli.consent import Consent
        from securecp.net.dial import ReceiveOptions

        consent = Consent(book, face.output, choose, yes=yes)
        _advise(face, book, yes=yes)
        wanted = ReceiveOptions(
            identity=identity,
            allowed=consent.allowed,
            policy=consent.policy,
            into=choose,
            socket=udp,
            once=once,
            conflict=on_conflict,
            only=bytes(book.contacts.lookup(name).key) if name is not None else None,
            limit=limit,
        )
        return _wait(wanted, _narrator(face, book, choose), consent)


def _book(face: options.Face, own: "PublicKey") -> "Book":
    from securecp.cli.book import Book

    def trouble(error: "KeysError") -> None:
        face.output.warning(f"nobody is allowed for now: {error.message}")

    return Book(face.home.contacts_file, own, trouble=trouble)


def _narrator(face: options.Face, book: "Book", choose: Callable[[bytes], Path]) -> "Narrator":
    from securecp.cli.narrate import Narrator

    return Narrator(
        face.output,
        sending=False,
        name_of=book.name_of,
        text_of=book.text_of,
        folder_of=lambda peer: os.fsencode(choose(peer)),
    )


def chooser(
    face: options.Face, book: "Book", into: Path | None, *, anywhere: bool
) -> Callable[[bytes], Path]:
    """Which folder a peer's files go to: `--into`, the contact's own, or the usual one.

    What can be judged now is judged now, before anyone calls.
    """
    usual = face.home.received

    def approved(folder: Path) -> Path:
        folder = Path(os.path.abspath(folder))  # noqa: PTH100  links stay as they are
        if not anywhere:
            destination.check(folder, ours=usual)
        destination.prepare(folder)
        return folder

    if into is not None:
        chosen = approved(into)
        return lambda _peer: chosen
    default = approved(usual)

    def choose(peer: bytes) -> Path:
        contact = book.contact(peer)
        if contact is None or contact.into is None:
            return default
        return approved(Path(contact.into).expanduser())

    for contact in book.contacts:
        choose(bytes(contact.key))
    return choose


def _advise(face: options.Face, book: "Book", *, yes: bool) -> None:
    if not len(book.contacts):
        face.output.note("nobody may send you anything yet: securecp contacts add NAME age1…")
    elif not yes and not ui.can_ask() and any(one.accept == "ask" for one in book.contacts):
        face.output.note("no terminal to ask: offers are declined unless the contact's accept is")
        face.output.note("always, or --yes is given")


def _wait(wanted: "ReceiveOptions", narrator: "Narrator", consent: "Consent") -> int:
    from securecp.events import Done, Event, Failed
    from securecp.net import dial

    def emit(event: Event) -> None:
        if isinstance(event, Failed | Done):
            consent.withdraw()
        narrator(event)

    try:
        return dial.receive(wanted, emit, consent.ask)
    except KeyboardInterrupt:
        raise InterruptedTransferError("interrupted", "the same command waits again") from None
    except SecurecpError as error:
        raise (to_receiver(error, narrator.peer_name) if narrator.peer else error) from None
    finally:
        consent.withdraw()
        narrator.close()
