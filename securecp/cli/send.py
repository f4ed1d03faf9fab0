"""`securecp send`: put files into the hands of contacts."""

from typing import TYPE_CHECKING

import click

from securecp.cli import options, outgoing, recipients
from securecp.cli.failures import UsageError
from securecp.cli.outgoing import Scanning, Wanted

if TYPE_CHECKING:
    from securecp.cli.passphrase import Passphrase
    from securecp.net.pace import Congestion


@click.command(
    epilog="""\b
Examples:
  securecp send holiday/ --to alice                 wherever she waits
  securecp send report.pdf notes/ --to alice,bob    each gets all of it
  securecp send thesis/ --to @family --exclude '*.tmp' --dry-run
  tar c src | securecp send - --name src.tar --to alice
  securecp send -- -odd-name --to alice             a name that begins with -
  securecp send disk.img --to alice --limit 2M      at most 2 MB/s (20Mbit counts bits)

\b
If it is cut off, the same command goes on where it stopped.
"""
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH... | -")
@click.option(
    "--to", "names", multiple=True, metavar="NAME[,NAME|@GROUP]",
    help="The contacts who get the files.",
)  # fmt: skip
@click.option("--name", "stream_name", metavar="NAME", help="What standard input (-) is called.")
@click.option(
    "--exclude", multiple=True, metavar="PATTERN",
    help="Leave out what matches, as in a .gitignore.",
)  # fmt: skip
@click.option(
    "--no-ignore-files", "ignore_files", flag_value=False, default=True,
    help="Take no notice of files called .securecpignore.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only list what would be sent.")
@click.option(
    "--symlinks/--no-symlinks", default=None, help="Send symbolic links that lead to what is sent."
)
@click.option("--rename-unsafe", is_flag=True, help="Rename what other systems refuse.")
@click.option("--verify", is_flag=True, help="When going on, read again what was sent already.")
@click.option("--at", metavar="HOST:PORT", help="Where they wait; otherwise they are looked for.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 3600), metavar="SECONDS",
    help="How long to wait for an answer.  [default: 10 with --at, else 60]",
)  # fmt: skip
@options.wait("If they go away, wait so long for them (90s, 10m, 1h).  [default: 1h]")
@click.option(
    "--congestion", type=click.Choice(["bbr", "cubic"]),
    help="How to find the rate that the path carries.  [default: bbr]",
)  # fmt: skip
@click.option(
    "--background/--no-background", default=None,
    help="Give way to all other traffic on the path.",
)  # fmt: skip
@options.means
@options.limit
@options.passphrase
@options.common
def send(
    face: options.Face,
    *,
    paths: tuple[str, ...],
    names: tuple[str, ...],
    stream_name: str | None,
    exclude: tuple[str, ...],
    ignore_files: bool,
    dry_run: bool,
    symlinks: bool | None,
    rename_unsafe: bool,
    verify: bool,
    at: str | None,
    timeout: float | None,
    wait: float | None,
    congestion: "Congestion | None",
    background: bool | None,
    relay: bool | None,
    lan: bool | None,
    limit: int | None,
    passphrase: "Passphrase",
) -> int:
    """Send files and folders to contacts.

    They are looked for on this network and by the servers in the settings, and get the files
    directly if that can be. They are sealed so that only the contact's key opens them. "Delivered"
    is said when the other side has stored everything and signed for it.
    """
    settings = face.home.config()
    scanning = Scanning(
        exclude, ignore_files, settings.send_symlinks if symlinks is None else symlinks,
        rename_unsafe,
    )  # fmt: skip
    wanted = Wanted(paths, names, stream_name, scanning, dry_run, verify)
    _check(wanted, symlinks=symlinks)
    if dry_run:
        return _preview(face, wanted)
    from securecp.cli.delivering import Delivering
    from securecp.net.pace import Pace

    pace = Pace(
        congestion or settings.send_congestion,
        settings.send_background if background is None else background,
        settings.limit if limit is None else limit,
    )
    return Delivering(face, wanted, passphrase).run(
        at=at,
        means=None if at is not None else settings.means(relay=relay, lan=lan),
        pace=pace,
        timeout=timeout or settings.patience(typed=at is not None),
        wait=settings.wait if wait is None else wait,
    )


def _check(wanted: Wanted, *, symlinks: bool | None) -> None:
    """What was typed goes together."""
    if not wanted.names and not wanted.dry_run:
        raise UsageError("nobody is named to get it", "add --to NAME; securecp contacts lists them")
    how = wanted.scanning
    if outgoing.is_stream(wanted.paths):
        outgoing.check_stream(
            wanted.stream_name,
            verify=wanted.verify,
            dry_run=wanted.dry_run,
            exclude=how.exclude,
            no_ignore_files=not how.ignore_files,
            symlinks=symlinks,
            rename_unsafe=how.rename_unsafe,
        )
    elif wanted.stream_name is not None:
        raise UsageError(
            "--name is for standard input alone", "files keep the names that they have"
        )


def _preview(face: options.Face, wanted: Wanted) -> int:
    from keys.contactsfile import ContactsFile

    present, missing = outgoing.look(wanted.paths)
    contacts = ContactsFile(face.home.contacts_file).load() if wanted.names else None
    to = recipients.find(contacts, wanted.names, face.output) if contacts is not None else []
    return outgoing.preview(
        face.output, present, missing, wanted.scanning, [contact.name for contact in to]
    )
