"""Where keys, contacts and state live on this machine.

    --home DIR or SECURECP_HOME     everything in one folder
    otherwise                       the places that this system has for settings, state, downloads

    identity.key  identity.pub      settings, private (0700)
    contacts.toml
    config.toml
    receipts/                       state: what peers signed for
    transfers/                      state: what is needed to go on with transfers that were cut off
    control/, history               state: of programs that run, and of transfers that are over
    received/                       the default destination; `securecp` in the downloads folder
                                    when no home was given

A contact's name is never part of a path.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keys.files import PrivateDirectory
from securecp.cli.failures import UsageError

if TYPE_CHECKING:
    from keys.identity import Identity, PublicKey
    from keys.secret import Secret
    from securecp.cli.passphrase import Passphrase
    from securecp.cli.settings import Settings

VARIABLE = "SECURECP_HOME"


@dataclass(frozen=True)
class Home:
    """The folders of one person on this machine."""

    settings: Path
    state: Path
    received: Path

    @property
    def key_file(self) -> Path:
        """The identity, by default unreadable to others."""
        return self.settings / "identity.key"

    @property
    def public_file(self) -> Path:
        """Our public key, so that it can be shown without the passphrase."""
        return self.settings / "identity.pub"

    @property
    def contacts_file(self) -> Path:
        """Whom we know."""
        return self.settings / "contacts.toml"

    @property
    def config_file(self) -> Path:
        """What holds unless the command line says otherwise."""
        return self.settings / "config.toml"

    @property
    def receipts(self) -> Path:
        """What peers signed for."""
        return self.state / "receipts"

    @property
    def transfers(self) -> Path:
        """Journals of what we receive, and in `sent` what we know of files that we send."""
        return self.state / "transfers"

    def identity(self, passphrase: "Passphrase") -> "Identity":
        """Our key pair; KeysError says what is wrong with the file."""
        from keys import keyfile

        return keyfile.load(self.key_file, passphrase.ask)

    def public(self, passphrase: "Passphrase") -> "PublicKey":
        """Our public key, without asking for a passphrase if that can be helped."""
        from keys import keyfile
        from keys.identity import PublicKey

        if keyfile.is_sealed(self.key_file) and not passphrase.given:
            with PrivateDirectory(self.settings) as directory:
                data = directory.read(self.public_file.name, limit=1_000, secret=False)
            if data is not None:
                return PublicKey.parse(data.decode("ascii", "replace").strip())
        return self.identity(passphrase).public

    def own(self) -> "PublicKey | None":
        """Our public key, if there is one and it can be read without asking."""
        from securecp.cli.passphrase import Passphrase

        if not self.key_file.exists():
            return None
        return self.public(Passphrase())

    def config(self) -> "Settings":
        """What the settings file says; without one, the defaults."""
        from securecp.cli.configfile import ConfigFile

        return ConfigFile(self.config_file).load()

    def create(self, identity: "Identity", passphrase: "Secret | None", *, force: bool) -> None:
        """Write the key file, then the public key beside it."""
        from keys import keyfile

        keyfile.create(self.key_file, identity, passphrase=passphrase, force=force)
        with PrivateDirectory(self.settings) as directory, directory.locked():
            data = f"{identity.public}\n".encode()
            directory.replace(self.public_file.name, data, overwrite=True)


def find(option: str | None) -> Home:
    """The home that was asked for, on the command line or in the environment, or the usual one."""
    chosen = option if option is not None else os.environ.get(VARIABLE)
    if chosen is None:
        return _usual()
    if not chosen:
        raise UsageError("the home folder has no name", f"give --home DIR, or unset {VARIABLE}")
    folder = Path(chosen).absolute()
    return Home(folder, folder, folder / "received")


def _usual() -> Home:
    from platformdirs import PlatformDirs

    places = PlatformDirs("securecp", appauthor=False)
    return Home(
        places.user_config_path,
        places.user_state_path,
        places.user_downloads_path / "securecp",
    )
