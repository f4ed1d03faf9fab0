"""Where a passphrase may come from: a prompt, a file descriptor or a file.

Never an argument and never the environment, since other programs can read both.
"""

import os
from pathlib import Path

from keys.secret import Secret
from securecp.cli import ui
from securecp.cli.failures import UsageError
from securecp.cli.text import quoted

_LONGEST = 4_096


class Passphrase:
    """The source that the person chose; a prompt unless they said otherwise."""

    def __init__(self, descriptor: int | None = None, file: Path | None = None) -> None:
        if descriptor is not None and file is not None:
            raise UsageError("--passphrase-fd and --passphrase-file exclude each other")
        self._descriptor = descriptor
        self._file = file

    @property
    def given(self) -> bool:
        """Whether there is a source other than the prompt."""
        return self._descriptor is not None or self._file is not None

    def ask(self) -> Secret:
        """The passphrase of a key file that exists."""
        if self.given:
            return self._read()
        return self._prompt("passphrase")

    def ask_new(self) -> Secret:
        """A passphrase for a new key file, typed twice; empty means none."""
        if self.given:
            passphrase = self._read()
            if not passphrase:
                raise UsageError("the passphrase is empty", "use --no-passphrase to have none")
            return passphrase
        passphrase = self._prompt("passphrase for the key file (empty for none)")
        if passphrase and self._prompt("once more") != passphrase:
            raise UsageError("the two passphrases differ", "nothing was written; try again")
        return passphrase

    def _prompt(self, words: str) -> Secret:
        if not ui.can_ask():
            raise UsageError(
                "a passphrase is needed, and there is no terminal to ask for it",
                "use --passphrase-file FILE or --passphrase-fd N",
            )
        try:
            return Secret(ui.secret(words))
        except EOFError:
            raise KeyboardInterrupt from None

    def _read(self) -> Secret:
        """The first line of the file or descriptor."""
        if self._file is not None:
            with self._file.open("rb") as file:
                data = file.read(_LONGEST + 1)
        else:
            assert self._descriptor is not None
            data = _read_descriptor(self._descriptor)
        line = data.split(b"\n", 1)[0].removesuffix(b"\r")
        if len(line) > _LONGEST:
            raise UsageError(f"the passphrase is longer than {_LONGEST} bytes")
        return Secret(line)


def _read_descriptor(number: int) -> bytes:
    data = b""
    try:
        while len(data) <= _LONGEST and b"\n" not in data:
            part = os.read(number, _LONGEST)
            if not part:
                break
            data += part
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise UsageError(
            f"cannot read a passphrase from descriptor {quoted(str(number))}: {reason.lower()}"
        ) from None
    return data
