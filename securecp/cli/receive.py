"""`securecp receive`: wait for files from contacts."""

import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from securecp.cli import destination, endpoints, onefile, options, ui

if TYPE_CHECKING:
    from keys.errors import KeysError
    from keys.identity import PublicKey
    from securecp.cli.book import Book
    from securecp.cli.passphrase import Passphrase
    from securecp.disk.settle import Conflict
    from securecp.net.udp import UdpSocket


@click.command(
    epilog="""\b
Examples:
  securecp receive                                  from any contact, asking each time;
                                                    found on this network and by servers
  securecp receive --from alice --into ~/inbox --once
  securecp receive --from alice -o - | tar x        what she sends with `send -`
  securecp receive --yes --exec ~/bin/arrived --log ~/securecp.log
  securecp receive --listen 127.0.0.1:4400 --yes --json

\b
If it is cut off, the same command goes on where it stopped, when they send again.
"""
)
@click.option("--from", "name", metavar="NAME", help="Only from this contact.")
@click.option("--into", type=click.Path(path_type=Path), metavar="DIR", help="Where files go.")
@click.option("--into-anywhere", is_flag=True, help="Allow a home or system folder.")
@click.option(
    "-o", "--output", metavar="FILE|-",
    help="Write one file here, or (-) its content to standard output; ends after that.",
)  # fmt: skip
@click.option(
    "--listen", metavar="HOST:PORT",
    help="Where to wait.  [default: 4400 on all addresses, or any port if that is taken]",
)  # fmt: skip
@click.option("--once", is_flag=True, help="End after one transfer, with its exit code.")
@click.option("--yes", is_flag=True, help="Accept without asking (never for `accept = never`).")
@click.option(
    "--on-conflict", type=click.Choice(["rename", "skip", "overwrite", "ask"]),
    help="If a file of that name is there.  [default: rename]",
)  # fmt: skip
@click.option("--symlinks/--no-symlinks", default=None, help="Make the symbolic links they send.")
@options.reserve
@click.option("--verify", is_flag=True, help="When going on, read again what is there already.")
@options.wait("With --once, wait so long for who goes away (90s, 10m, 1h).  [default: 1h]")
@click.option(
    "--exec", "hook", metavar="CMD",
    help="Run this program after each transfer (no shell; it gets the folder).",
)  # fmt: skip
@click.option("--log", type=click.Path(path_type=Path), metavar="FILE", help="Note what happens.")
@click.option("--notify/--no-notify", default=None, help="Show a notification on the desktop.")
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
    output: str | None,
    listen: str | None,
    once: bool,
    yes: bool,
    on_conflict: "Conflict | Literal['ask'] | None",
    symlinks: bool | None,
    reserve: int | None,
    verify: bool,
    wait: float | None,
    hook: str | None,
    log: Path | None,
    notify: bool | None,
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
    if output is not None:
        onefile.check(face.output, output, into, on_conflict)
    # First of all, so that whoever calls while we get ready is heard when we are.
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(udp)) for udp in _sockets(listen)]
        identity = face.home.identity(passphrase)
        book = _book(face, identity.public)
        if output is not None:
            into, into_anywhere = Path(output).parent, True
        choose = chooser(face, book, into, anywhere=into_anywhere, usual=settings.receive_into)
        from securecp.cli.waiting import Waiter, Wishes

        wishes = Wishes(
            once=once or output is not None,
            yes=yes,
            output=output,
            conflict=on_conflict or settings.receive_on_conflict,
            typed_conflict=on_conflict,
            symlinks=settings.receive_symlinks if symlinks is None else symlinks,
            reserve=settings.receive_reserve if reserve is None else reserve,
            verify=verify,
            wait=settings.wait if wait is None else wait,
            hook=settings.receive_exec if hook is None else hook,
            log=log if log is not None else _expanded(settings.receive_log),
            notify=settings.receive_notify if notify is None else notify,
            only=bytes(book.contacts.lookup(name).key) if name is not None else None,
            limit=settings.limit if limit is None else limit,
            means=settings.means(relay=relay, lan=_lan(lan, listen)),
        )
        waiter = Waiter(face, identity, book, choose, wishes)
        _advise(face, book, yes=yes)
        return waiter.run(sockets)


def _expanded(path: str | None) -> Path | None:
    return None if path is None else Path(path).expanduser()


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


def _book(face: options.Face, own: "PublicKey") -> "Book":
    from securecp.cli.book import Book

    def trouble(error: "KeysError") -> None:
        face.output.warning(f"nobody is allowed for now: {error.message}")

    return Book(face.home.contacts_file, own, trouble=trouble)


def chooser(
    face: options.Face,
    book: "Book",
    into: Path | None,
    *,
    anywhere: bool,
    usual: str | None = None,
) -> Callable[[bytes], Path]:
    """Which folder a peer's files go to: `--into`, the contact's own, or the usual one.

    In the usual one, who is not asked about has a folder of their own. What can be judged now is
    judged now, before anyone calls.
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
        from securecp.daemon import folders

        contact = book.contact(peer)
        if contact is None:
            return default
        if contact.into is not None:
            return approved(Path(contact.into).expanduser())
        folder = folders.destination(default, contact)
        if folder != default:
            destination.prepare(folder)
        return folder

    for contact in book.contacts:
        if contact.into is not None:
            choose(bytes(contact.key))
    return choose


def _advise(face: options.Face, book: "Book", *, yes: bool) -> None:
    if not len(book.contacts):
        face.output.note("nobody may send you anything yet: securecp contacts add NAME age1…")
    elif not yes and not ui.can_ask() and any(one.accept == "ask" for one in book.contacts):
        face.output.note("no terminal to ask: offers are declined unless the contact's accept is")
        face.output.note("always, or --yes is given")
