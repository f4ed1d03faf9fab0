"""`securecp doctor`: what stands between us and others, and the one thing to change."""

from typing import TYPE_CHECKING

import click

from securecp.cli import options

if TYPE_CHECKING:
    from keys.identity import Identity
    from securecp.cli.passphrase import Passphrase
    from securecp.nat.report import Report

_NOT_REACHED = 4


@click.command(
    epilog="""\b
Examples:
  securecp doctor                this machine, its network and the servers
  securecp doctor --to alice     also calls her: what both see, what was tried
  securecp doctor --json
"""
)
@click.option("--to", "name", metavar="NAME", help="Try to reach this contact, too.")
@options.passphrase
@options.common
def doctor(face: options.Face, *, name: str | None, passphrase: "Passphrase") -> int:
    """Find out what stands between me and others, and what to change.

    Only this network, its router, the servers in the settings, and with --to the contact, are
    asked. With --to the exit code is 4 if they were not reached.
    """
    from securecp.cli.diagnosis import as_fields, lines

    report = _examine(face, name, passphrase)
    if face.output.as_json:
        face.output.document(as_fields(report))
    else:
        for line in lines(report):
            face.output.result(line)
    reached = report.encounter is None or report.encounter.way is not None
    return 0 if reached else _NOT_REACHED


def _examine(face: options.Face, name: str | None, passphrase: "Passphrase") -> "Report":
    settings = face.home.config()
    whom: tuple[Identity, str, bytes] | None = None
    if name is not None:
        from securecp.cli.book import Book
        from securecp.cli.recipients import named

        identity = face.home.identity(passphrase)
        contact = named(Book(face.home.contacts_file, identity.public).contacts, name)
        whom = identity, contact.name, bytes(contact.key)
    from securecp.net.doctor import examine

    return examine(
        servers=settings.servers,
        lan=settings.lan,
        port_mapping=settings.port_mapping,
        relay=settings.relay,
        whom=whom,
        timeout=settings.send_timeout,
        tell=face.output.note,
    )
