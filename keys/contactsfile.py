"""contacts.toml: read by everyone, changed by one at a time, by hand as well (SPEC §3.3).

    read      text → `Contacts`, or an error and nobody is allowed
    change    lock → read → new value → new text (`keys.rewrite`) → backup of the old → replace

The lock keeps other securecp processes out, not an editor. So the file is compared once more just
before it is replaced, and if someone saved it meanwhile, the change starts again from theirs.
"""

import shlex
from collections.abc import Callable
from pathlib import Path

from keys.contacts import Contacts
from keys.errors import ContactsError, FileFailedError, KeysError
from keys.files import PrivateDirectory
from keys.identity import PublicKey

LARGEST_FILE = 8 << 20
MOST_ATTEMPTS = 5


class ContactsFile:
    """The contacts file at `path`; `own` is our key, which is refused as a contact."""

    def __init__(self, path: Path, own: PublicKey | None = None) -> None:
        self.path = path
        self.backup = path.with_name(path.name + ".bak")
        """The previous content."""
        self._own = own
        self._kept: tuple[Contacts, tuple[int, ...] | None] | None = None
        """What was read last, and what the file looked like then."""

    def load(self) -> Contacts:
        """The contacts as the file has them now, none without a file; damaged: `ContactsError`."""
        if not self.path.parent.is_dir():
            return Contacts(own=self._own)
        with PrivateDirectory(self.path.parent) as directory:
            return self._parse(self._read(directory), directory)

    def current(self) -> Contacts:
        """`load`, but read again only if the file is another: cheap enough for every caller."""
        stamp = self._look()
        kept = self._kept  # one value, looked at once: other threads may be here
        if kept is None or kept[1] != stamp:
            self._kept = None  # if it is damaged now, what it said before counts no more
            kept = self._kept = self.load(), stamp
        return kept[0]

    def edit(self, change: Callable[[Contacts], Contacts]) -> Contacts:
        """Put what `change` makes of the contacts into the file; it may be called more than once.

        What `change` raises comes through, and the file stays as it was. The directory is made,
        0700, if there is none.
        """
        with PrivateDirectory(self.path.parent, create=True) as directory, directory.locked():
            for _ in range(MOST_ATTEMPTS):
                before = self._read(directory)
                old = self._parse(before, directory)
                new = change(old)
                if new == old:
                    return new
                after = self._rewritten(before, old, new)
                if self._save(directory, before, after.encode()):
                    return new
        raise ContactsError(
            f"{self.path} is being changed all the time", "Close it in the editor first."
        )

    def _rewritten(self, before: bytes | None, old: Contacts, new: Contacts) -> str:
        from keys import rewrite  # tomlkit is slow to import, and reading does not need it

        text = rewrite.BEGINNING if before is None else before.decode()
        after = rewrite.rewritten(text, old, new)
        if after is None:
            raise ContactsError(
                f"cannot make this change in {self.path} without disturbing what is written there",
                "Make it by hand, in an editor.",
            )
        return after

    def _save(self, directory: PrivateDirectory, before: bytes | None, after: bytes) -> bool:
        """Replace the file unless it is no longer `before`; whether it was replaced."""
        if len(after) > LARGEST_FILE:
            raise ContactsError(f"{self.path} would be larger than {LARGEST_FILE} bytes")
        if before is not None:
            directory.replace(self.backup.name, before, overwrite=True)
        return directory.replace(
            self.path.name,
            after,
            overwrite=before is not None,
            unchanged=lambda: self._read(directory) == before,
        )

    def _look(self) -> tuple[int, ...]:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise FileFailedError(f"cannot read {self.path}: {error.strerror}") from error
        return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size

    def _read(self, directory: PrivateDirectory) -> bytes | None:
        return directory.read(self.path.name, limit=LARGEST_FILE, secret=False)

    def _parse(self, data: bytes | None, directory: PrivateDirectory) -> Contacts:
        if data is None:
            if restore := self._restore(directory):
                raise ContactsError(
                    f"{self.path} is gone, but its backup is there",
                    f"{restore}, or remove the backup to begin anew",
                )
            return Contacts(own=self._own)
        try:
            if not data.endswith(b"\n"):
                raise ContactsError(
                    "its last line has no end, so it may be cut short",
                    "If it is whole, add a line break at its end.",
                )
            return Contacts.parse(data.decode(), self._own)
        except UnicodeDecodeError:
            restore = self._restore(directory)
            raise ContactsError(f"{self.path} is not usable: it is not UTF-8", restore) from None
        except KeysError as error:
            restore = self._restore(directory)
            hints = [error.hint, f"Or go back to the copy: {restore}" if restore else ""]
            raise ContactsError(
                f"{self.path} is not usable: {error.message}",
                " ".join(hint for hint in hints if hint),
            ) from None

    def _restore(self, directory: PrivateDirectory) -> str:
        """The command that goes back to the backup; empty if there is none."""
        if directory.read(self.backup.name, limit=LARGEST_FILE, secret=False) is None:
            return ""
        return f"cp {shlex.quote(str(self.backup))} {shlex.quote(str(self.path))}"
