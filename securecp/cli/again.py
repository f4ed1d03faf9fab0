"""The command that was typed, written so that a shell runs it once more (SPEC §10.4).

Who stops a transfer, or loses it, is shown the very words that go on with it. They hold names that
came from anywhere, so they obey the rules of `cli.text`: what is not harmless stands as an escape,
here in the form `$'…'` that shells read back as the same bytes.
"""

import os
import shlex
import shutil
import sys
from pathlib import Path

import click

from securecp.cli.text import safe_text

LONGEST = 900
"""Characters of a command that are worth showing; a longer one the shell's history has."""
_SAME = "the same command goes on where it stopped"
TYPED = "securecp.typed"
"""Where the group keeps the arguments, in click's context."""
_LETTERS = frozenset(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _@%+=:,./-()[]{}#~^&;<>|*?$!"
)


def command() -> str:
    """What was typed; empty if that is not known, or too long to be read."""
    context = click.get_current_context(silent=True)
    typed = context.meta.get(TYPED) if context is not None else None
    if typed is None:
        return ""
    text = " ".join([_program(), *map(shell_word, typed)])
    return text if len(text) <= LONGEST else ""


def going_on(*, resumable: bool = True, stream: bool = False) -> str:
    """The hint for who was cut off: what to type, and what that does."""
    if stream:
        return "a stream cannot be resumed: send it again from its beginning"
    typed = command()
    if resumable:
        return f"to go on where it stopped: {typed}" if typed else _SAME
    return f"to try again: {typed}" if typed else "the same command tries again"


def shell_word(text: str) -> str:
    """One argument as a shell reads it, in harmless characters alone."""
    if safe_text(text, len(text) + 1) == text and (text.isascii() or _shows_all()):
        return shlex.quote(text)
    return "$'" + "".join(map(_letter, os.fsencode(text))) + "'"


def _letter(byte: int) -> str:
    # Three octal digits, and not \\xNN: some shells read on after two hexadecimal ones.
    return chr(byte) if byte in _LETTERS else f"\\{byte:03o}"


def _shows_all() -> bool:
    """Whether the terminal gets more than ASCII (`process.plain_streams`)."""
    encoding = (getattr(sys.stderr, "encoding", None) or "ascii").lower()
    return encoding.replace("-", "") == "utf8"


def _program() -> str:
    """`securecp` if that is what runs; else where it is."""
    called = Path(sys.argv[0])
    if called.name != "securecp":
        return "securecp"
    found = shutil.which("securecp")
    if found is not None and os.path.realpath(found) == os.path.realpath(called):
        return "securecp"
    return shell_word(str(called.absolute()))
