"""`securecp receive`: wait for files from contacts."""

import os
from collections.abc import Callable
from contextlib import ExitStack, closing
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
    from securecp.net.attend import ReceiveOptions
    from securecp.net.udp import UdpSocket


@click.command(
    epilog="""\b
Examples:
  securecp receive                                  from any contact, asking each time;
                                                    found on this network and by servers
  securecp receive --from alice --into ~/inbox --once
  securecp receive --listen 127.0.0.1:4400 --yes --json
"""
)
@click.option("--from", "name", metavar="NAME", help="Only from this contact.")
@click.option("--into", type=click.Path(path_type=Path), metavar="DIR", help="Where files go.")
@click.option("--into-anywhere", is_flag=True, help="Allow a home or system folder.")
@click.option(
    "--listen", metavar="HOST:PORT",
    help="Where to wait.  [default: 4400 on all addresses, or any port if that is taken]",
)  # fmt: skip
@click.option("--once", is_flag=True, help="End after one transfer, with its exit code.")
@click.option("--yes", is_flag=True, help="Accept without asking (never for `accept = never`).")
@click.option(
    "--on-conflict", type=click.Choice(["rename", "skip", "overwrite"]),
    help="If a file of that name is there.  [default: rename]",
)  # fmt: skip
@options.means
@options.limit
@options.passphrase
@options.common
def receive(
    face: options.Face,
    *,
    name: str | None,
    into: Path | None,
    into_anywhere: bool,
    listen: str | None,
    once: bool,
    yes: bool,
    on_conflict: "Conflict | None",
    relay: bool | None,
    lan: bool | None,
    limit: int | None,
    passphrase: "Passphrase",
) -> int:
    """Wait for files from contacts.

    Only contacts are answered; for everyone else nobody seems to be here. Unless the contact is
    set to `accept = always` or --yes is given, each offer is shown and you are asked.
    """
    settings = face.home.config()
    if listen is None and "receive.listen" in settings.given:
        listen = settings.receive_listen
    # First of all, so that whoever calls while we get ready is heard when we are.
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(udp)) for udp in _sockets(listen)]
        identity = face.home.identity(passphrase)
        book = _book(face, identity.public)
        choose = chooser(face, book, into, anywhere=into_anywhere, usual=settings.receive_into)
        from securecp.cli.consent import Consent
        from securecp.net.attend import ReceiveOptions

        consent = Consent(book, face.output, choose, yes=yes)
        _advise(face, book, yes=yes)
        only = bytes(book.contacts.lookup(name).key) if name is not None else None
        wanted = ReceiveOptions(
            identity=identity,
            allowed=consent.allowed,
            policy=consent.policy,
            into=choose,
            sockets=sockets,
            once=once,
            conflict=on_conflict or settings.receive_on_conflict,
            only=only,
            limit=settings.limit if limit is None else limit,
            means=settings.means(relay=relay, lan=_lan(lan, listen)),
            contacts=lambda: callers(book, only),
        )
        return _wait(wanted, _narrator(face, book, choose), consent)


def _sockets(listen: str | None) -> "list[UdpSocket]":
    """At the endpoint that was asked for; else IPv4 and IPv6, at the usual port if that is free."""
    from securecp.net.bind import bind, bind_both

    if listen is None:
        return bind_both(endpoints.DEFAULT_PORT)
    return [bind(endpoints.to_listen(listen))]


def _lan(said: bool | None, listen: str | None) -> bool | None:
    """Who waits at an address of this machine alone has nothing to say to its network."""
    if said is None and listen is not None and endpoints.is_loopback(listen):
        return False
    return said


def callers(book: "Book", only: bytes | None) -> list[bytes]:
    """Who may find us now."""
    keys = [bytes(contact.key) for contact in book.contacts if not contact.blocked]
    return keys if only is None else [key for key in keys if key == only]


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
    face: options.Face,
    book: "Book",
    into: Path | None,
    *,
    anywhere: bool,
    usual: str | None = None,
) -> Callable[[bytes], Path]:
    """Which folder a peer's files go to: `--into`, the contact's own, or the usual one.

    What can be judged now is judged now, before anyone calls.
    """
    ours = face.home.received

    def approved(folder: Path) -> Path:
        folder = Path(os.path.abspath(folder))  # noqa: PTH100  links stay as they are
        if not anywhere:
            destination.check(folder, ours=ours)
        destination.prepare(folder)
        return folder

    if into is not None:
        chosen = approved(into)
        return lambda _peer: chosen
    default = approved(ours if usual is None else Path(usual).expanduser())

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
    from securecp.net import attend

    def emit(event: Event) -> None:
        if isinstance(event, Failed | Done):
            consent.withdraw()
        narrator(event)

    try:
        return attend.receive(wanted, emit, consent.ask)
    except KeyboardInterrupt:
        raise InterruptedTransferError("interrupted", "the same command waits again") from None
    except SecurecpError as error:
        raise (to_receiver(error, narrator.peer_name) if narrator.peer else error) from None
    finally:
        consent.withdraw()
        narrator.close()
