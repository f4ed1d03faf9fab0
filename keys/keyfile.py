"""The identity on disk (SPEC §3.1).

    # securecp identity
    # created: 2026-01-31T12:00:00+00:00
    # public key: age1…
    AGE-SECRET-KEY-PQ-1…

The form of `age-keygen`'s files; comment lines mean nothing. With a passphrase the same text
stands inside an age file (`keys.passphrase`). Which of the two it is, the first line says.
Modes, owners, links, crashes: `keys.files`.
"""

import os
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from keys.errors import KeyFileError
from keys.files import PrivateDirectory
from keys.identity import Identity
from keys.secret import Secret

LARGEST_FILE = 65_536

_INTRODUCTION = b"age-encryption.org/v1\n"
_ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"


def create(
    path: Path,
    identity: Identity,
    *,
    passphrase: Secret | None = None,
    force: bool = False,
    created: datetime | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> None:
    """Write the identity to `path`, making its directory 0700 if there is none.

    An existing file is refused without `force`; with it, the old identity is lost for ever.
    """
    text = _format(identity, created or datetime.now(UTC))
    data = text.reveal() if passphrase is None else _seal(text, passphrase, entropy)
    with PrivateDirectory(path.parent, create=True) as directory, directory.locked():
        if not directory.replace(path.name, data, overwrite=force):
            raise KeyFileError(
                f"there is an identity in {path} already",
                "securecp id shows it; --force replaces it, and nobody who knows the old "
                "public key will reach you again",
            )


def load(path: Path, ask: Callable[[], Secret] | None = None) -> Identity:
    """The identity in `path`; `ask` gives the passphrase, and is called only if there is one."""
    content = _read(path)
    if not _is_sealed(content):
        return _parse(content, path)
    if ask is None:
        raise KeyFileError(
            f"{path} is sealed under a passphrase, and none was given",
            "Run it in a terminal, or use --passphrase-file.",
        )
    from keys.passphrase import open_sealed

    return _parse(open_sealed(content.reveal(), ask()), path)


def is_sealed(path: Path) -> bool:
    """Whether the identity in `path` is under a passphrase."""
    return _is_sealed(_read(path))


def change_passphrase(
    path: Path,
    ask: Callable[[], Secret] | None,
    new: Secret | None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> None:
    """Seal the same identity under `new`, or none; the old file stays until the new is whole."""
    create(path, load(path, ask), passphrase=new, force=True, entropy=entropy)


def _is_sealed(content: Secret) -> bool:
    return content.reveal().startswith(_INTRODUCTION)


def _read(path: Path) -> Secret:
    if not path.parent.is_dir():
        raise _missing(path)
    with PrivateDirectory(path.parent) as directory:
        data = directory.read(path.name, limit=LARGEST_FILE, secret=True)
    if data is None:
        raise _missing(path)
    return Secret(data)


def _missing(path: Path) -> KeyFileError:
    return KeyFileError(f"there is no identity in {path}", "securecp keygen")


def _format(identity: Identity, created: datetime) -> Secret:
    head = (
        "# securecp identity: whoever has this file is you; keep it to yourself\n"
        f"# created: {created.isoformat(timespec='seconds')}\n"
        f"# public key: {identity.public}\n"
    )
    return Secret(head.encode() + identity.secret_text().reveal() + b"\n")


def _seal(text: Secret, passphrase: Secret, entropy: Callable[[int], bytes]) -> bytes:
    from keys.passphrase import seal

    return seal(text, passphrase, entropy)


def _parse(text: Secret, path: Path) -> Identity:
    """Comment lines, empty lines, and exactly one secret key."""
    if text.reveal().startswith(_ARMOR):
        raise KeyFileError(
            f"{path} is an armored age file, which securecp does not read",
            f"age -d {shlex.quote(str(path))}, then seal it again without -a",
        )
    return Identity.parse(_only_line(text, path))


def _only_line(text: Secret, path: Path) -> Secret:
    lines = [
        Secret(line)
        for line in text.reveal().split(b"\n")
        if line.strip() and not line.startswith(b"#")
    ]
    if len(lines) != 1:
        raise KeyFileError(
            f"{path} should hold one secret key, and does not", "Restore it from a copy."
        )
    return lines[0]
