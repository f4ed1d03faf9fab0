"""`securecp send`: put files into the hands of a contact."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from securecp.cli import options
from securecp.cli.failures import UsageError
from securecp.cli.personal import AGAIN, to_sender
from securecp.cli.text import quoted
from securecp.errors import (
    InterruptedTransferError,
    PartialError,
    SecurecpError,
    SourceError,
    TrustError,
)

if TYPE_CHECKING:
    from keys.policy import Contact
    from securecp.cli.book import Book
    from securecp.cli.narrate import Narrator
    from securecp.cli.passphrase import Passphrase
    from securecp.endpoint import Endpoint
    from securecp.events import Done
    from securecp.net.dial import SendOptions
    from securecp.net.means import Means
    from securecp.net.pace import Congestion
    from securecp.net.traversal import Traversal


@click.command(
    epilog="""\b
Examples:
  securecp send holiday/ --to alice                 wherever she waits
  securecp send report.pdf notes/ --to alice --at 192.0.2.7:4400
  securecp send -- -odd-name --to alice             a name that begins with -
  securecp send disk.img --to alice --limit 2M      at most 2 MB/s (20Mbit counts bits)
"""
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--to", "name", required=True, metavar="NAME", help="The contact who gets the files.")
@click.option("--at", metavar="HOST:PORT", help="Where they wait; otherwise they are looked for.")
@click.option(
    "--timeout", type=click.FloatRange(0.1, 3600), metavar="SECONDS",
    help="How long to wait for an answer.  [default: 10 with --at, else 60]",
)  # fmt: skip
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
    name: str,
    at: str | None,
    timeout: float | None,
    congestion: "Congestion | None",
    background: bool | None,
    relay: bool | None,
    lan: bool | None,
    limit: int | None,
    passphrase: "Passphrase",
) -> int:
    """Send files and folders to a contact.

    They are looked for on this network and by the servers in the settings, and get the files
    directly if that can be. They are sealed so that only the contact's key opens them. "Delivered"
    is said when the other side has stored everything and signed for it.
    """
    from securecp.cli.book import Book
    from securecp.cli.narrate import Narrator
    from securecp.net.dial import SendOptions
    from securecp.net.pace import Pace

    present, missing = look(paths)
    settings = face.home.config()
    identity = face.home.identity(passphrase)
    book = Book(face.home.contacts_file, identity.public)
    contact = recipient(book, name)
    endpoints = whereabouts(contact, at)
    means = None if at is not None else settings.means(relay=relay, lan=lan)
    if not endpoints and means is None:
        raise UsageError(
            f"no way to find {contact.name}: no server, no address, and not on this network",
            "securecp config add-server URL, or --at HOST:PORT, or: securecp contacts set"
            f" {contact.name} --endpoint HOST:PORT",
        )
    for path, reason in missing:
        face.output.warning(f"left out: {quoted(path)}: {reason}")
    narrator = Narrator(
        face.output, sending=True, name_of=book.name_of, text_of=book.text_of, left_out=missing
    )
    narrator.peer = bytes(contact.key)
    if endpoints:
        face.output.note(f"calling {contact.name} …")
    done = _deliver(
        SendOptions(
            identity=identity,
            peer=bytes(contact.key),
            endpoints=endpoints,
            paths=present,
            timeout=timeout or settings.patience(typed=at is not None),
            pace=Pace(
                congestion or settings.send_congestion,
                settings.send_background if background is None else background,
                settings.limit if limit is None else limit,
            ),
            means=means,
            explain=lambda traversal: explain(face, traversal, means),
        ),
        narrator,
    )
    _keep_receipt(face, done)
    left_out = len(missing) + len(done.failed)
    if left_out:
        them = "1 was" if left_out == 1 else f"{left_out:,} were"
        raise PartialError(f"delivered, but {them} left out", "the lines above say which and why")
    return 0


def look(paths: tuple[str, ...]) -> tuple[list[Path], list[tuple[bytes, str]]]:
    """Which paths are there, and what is wrong with the others; an error if none is there."""
    present: list[Path] = []
    missing: list[tuple[bytes, str]] = []
    for path in paths:
        if path in {"", "-"}:
            raise UsageError(
                "standard input cannot be sent yet" if path else "a path is empty",
                "for a file of that name write ./-" if path else "",
            )
        try:
            os.lstat(path)
        except (OSError, ValueError) as error:
            missing.append((os.fsencode(path), _reason(error)))
        else:
            present.append(Path(path))
    if not present:
        first, reason = missing[0]
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise SourceError(f"cannot send {quoted(first)}: {reason}{more}", "check the spelling")
    return present, missing


def recipient(book: "Book", name: str) -> "Contact":
    """The contact of this name, if we may send to them."""
    if "," in name:
        raise UsageError("one contact at a time", "send once for each of them")
    contact = book.contacts.lookup(name)
    if contact.blocked:
        raise TrustError(f"{contact.name} is blocked", f"securecp contacts unblock {contact.name}")
    return contact


def whereabouts(contact: "Contact", at: str | None) -> "list[Endpoint]":
    """The endpoints that are known; there may be none."""
    from securecp.cli import endpoints

    if at is not None:
        return endpoints.to_reach(at)
    return [found for text in contact.endpoints for found in endpoints.to_reach(text)]


def explain(face: options.Face, traversal: "Traversal", means: "Means | None") -> None:
    """Nobody was reached: what stands in between, as `securecp doctor` shows it."""
    from securecp.cli.diagnosis import lines
    from securecp.net.doctor import report

    if means is not None and not face.output.as_json:
        for line in lines(report(traversal, means)):
            face.output.note(line)


def _deliver(wanted: "SendOptions", narrator: "Narrator") -> "Done":
    from securecp.net import dial

    try:
        return dial.send(wanted, narrator)
    except KeyboardInterrupt:
        raise InterruptedTransferError("interrupted", AGAIN) from None
    except SecurecpError as error:
        raise to_sender(error, narrator.peer_name) from None
    finally:
        narrator.close()


def _keep_receipt(face: options.Face, done: "Done") -> None:
    """A receipt that cannot be kept does not undo the delivery."""
    from securecp.cli import receipts
    from securecp.cli.failures import explain

    if not done.receipt:
        return
    try:
        path = receipts.keep(face.home.receipts, done.receipt)
    except OSError as error:
        face.output.warning(f"the receipt could not be kept: {explain(error).message}")
    else:
        face.output.detail(f"receipt in {path}")


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return "not a name that a file can have"
