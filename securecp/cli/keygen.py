"""`securecp keygen`: make my identity."""

import os
from typing import TYPE_CHECKING

import click

from securecp.cli import options
from securecp.cli.failures import UsageError

if TYPE_CHECKING:
    from securecp.cli.passphrase import Passphrase


@click.command(
    epilog="""\b
Examples:
  securecp keygen                                   asks for a passphrase
  securecp keygen --no-passphrase                   for scripts and servers
  securecp keygen --passphrase-file secret.txt
"""
)
@click.option("--no-passphrase", is_flag=True, help="Protect the key file by its mode alone.")
@click.option("--force", is_flag=True, help="Replace an identity that exists; it is lost for ever.")
@options.passphrase
@options.common
def keygen(
    face: options.Face, *, passphrase: "Passphrase", no_passphrase: bool, force: bool
) -> None:
    """Make my identity and print its public key.

    The public key is my name: give it to the people who may send me files or get files from me.
    The secret key stays in a file that only I can read.
    """
    from keys.errors import KeyFileError
    from keys.identity import Identity

    if no_passphrase and passphrase.given:
        raise UsageError("--no-passphrase and a passphrase exclude each other")
    path = face.home.key_file
    if not force and path.exists():  # before anyone is asked for a passphrase
        raise KeyFileError(
            f"there is an identity in {path} already",
            "securecp id shows it; --force replaces it, and who knows the old key loses you",
        )
    sealed = None if no_passphrase else passphrase.ask_new() or None
    identity = Identity.generate(os.urandom)
    face.home.create(identity, sealed, force=force)
    if face.output.as_json:
        face.output.document({"public_key": str(identity.public), "file": str(path)})
    else:
        face.output.result(str(identity.public))
    face.output.advice(f"your secret key is in {path}; nobody else may have it")
    face.output.advice("next: give the line above to a friend, and type")
    face.output.advice("      securecp contacts add NAME age1…     with theirs")
