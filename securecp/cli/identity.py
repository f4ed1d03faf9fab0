"""`securecp id`: show my public key."""

from typing import TYPE_CHECKING

import click

from securecp.cli import options

if TYPE_CHECKING:
    from securecp.cli.passphrase import Passphrase


@click.command(
    "id",
    epilog="""\b
Examples:
  securecp id               one line, to give to others
  securecp id --json        with card, fingerprint and home
""",
)
@click.option("--card", is_flag=True, help="Print the long form (1,959 characters).")
@options.passphrase
@options.common
def show_identity(face: options.Face, *, passphrase: "Passphrase", card: bool) -> None:
    """Show my public key, to give to others.

    It is no secret. Who has it can send me files once I have added theirs.
    """
    if not face.output.as_json and not card:
        public = face.home.public(passphrase)
        face.output.result(str(public))
        face.output.detail(f"fingerprint {public.fingerprint}")
        return
    identity = face.home.identity(passphrase)
    public = identity.public
    if face.output.as_json:
        face.output.document(
            {
                "public_key": str(public),
                "card": str(identity.card),
                "fingerprint": public.fingerprint,
                "home": str(face.home.settings),
            }
        )
    else:
        face.output.result(str(identity.card))
