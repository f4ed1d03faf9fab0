"""The server's key on disk: `server.key` in its home, made at the first start (SPEC §13.1).

    # securecp server: whoever has this file can pose as this server
    # public key: scpserver1…
    SCPSERVER-SECRET-1…

It has no passphrase: a server starts by itself. What it protects is who is asked, not what is sent:
whoever steals it can see addresses and sizes, and deny service, but can open nothing.
"""

from collections.abc import Callable
from pathlib import Path

from keys import bech32
from keys.errors import KeyFileError, KeysError
from keys.files import PrivateDirectory
from keys.secret import Secret
from securecp.nat.serveraddress import KEY_LENGTH, key_text
from securecp.noise.keypairs import KeyPair

NAME = "server.key"
PREFIX = "SCPSERVER-SECRET-"
LARGEST_FILE = 4_096


def load_or_create(folder: Path, entropy: Callable[[int], bytes]) -> KeyPair:
    """The key pair in the folder; KeysError says what is wrong with the file."""
    with PrivateDirectory(folder, create=True) as directory:
        data = directory.read(NAME, limit=LARGEST_FILE, secret=True)
        if data is None:
            seed = Secret(entropy(KEY_LENGTH))
            with directory.locked():
                # Whoever starts at the same moment may have been first: then theirs counts.
                directory.replace(NAME, _format(seed).reveal(), overwrite=False)
            data = directory.read(NAME, limit=LARGEST_FILE, secret=True)
    return KeyPair.from_seed(_parse(Secret(data or b""), folder / NAME).reveal())


def _format(seed: Secret) -> Secret:
    public = key_text(KeyPair.from_seed(seed.reveal()).public)
    head = (
        "# securecp server: whoever has this file can pose as this server; keep it to yourself\n"
        f"# public key: {public}\n"
    )
    return Secret((head + bech32.encode(PREFIX, seed.reveal()) + "\n").encode())


def _parse(text: Secret, path: Path) -> Secret:
    lines = [
        line
        for line in text.reveal().decode("ascii", "replace").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    damaged = KeyFileError(
        f"{path} is no server key",
        "Restore it from a copy; if there is none, remove it: clients then need the new address.",
    )
    if len(lines) != 1:
        raise damaged
    try:
        kind, seed = bech32.decode(lines[0])
    except KeysError:
        raise damaged from None
    if kind != PREFIX or len(seed) != KEY_LENGTH:
        raise damaged
    return Secret(seed)
