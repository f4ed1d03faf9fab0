"""Errors as people see them: one line that says what happened, one hint that says what to do.

Rules: no capital at the start, no full stop at the end, never a traceback, never a value of ours
that might be a secret. What the peer or the command line contributed is made harmless once more.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import click

from securecp.cli.text import quoted, safe_text
from securecp.errors import InterruptedTransferError, SecurecpError

_LONGEST_LINE = 1_000


class Failure(NamedTuple):
    """What the face needs of an error."""

    message: str
    hint: str
    code: int


class UsageError(SecurecpError):
    """What was typed cannot be meant; exit 2."""

    exit_code = 2


class OutputClosedError(InterruptedTransferError):
    """Nobody reads our standard output any more."""


def explain(error: BaseException) -> Failure:
    """Message, hint and exit code of any exception whatever."""
    message, hint, code = _explain(error)
    return Failure(_line(message), _line(_as_hint(hint)), code)


def _explain(error: BaseException) -> Failure:
    if isinstance(error, SecurecpError):
        return Failure(error.message, error.hint, error.exit_code)
    if isinstance(error, click.ClickException):
        return _of_click(error)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Failure("interrupted", "", 5)
    return _of_keys(error) or _of_system(error) or _unexpected(error)


def _of_click(error: click.ClickException) -> Failure:
    message = error.format_message().strip().replace("\n", " ").rstrip(".")
    hint = ""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"{error.ctx.command_path} --help shows what can be typed here"
    return Failure(message[:1].lower() + message[1:], hint, error.exit_code)


def _of_keys(error: BaseException) -> Failure | None:
    if "keys.errors" not in sys.modules:  # then nothing of it can have been raised
        return None
    from keys.errors import KeysError

    if not isinstance(error, KeysError):
        return None
    return Failure(str(error), getattr(error, "hint", ""), getattr(error, "exit_code", 1))


def _of_system(error: BaseException) -> Failure | None:
    if isinstance(error, MemoryError):
        return Failure("not enough memory", "", 1)
    if not isinstance(error, OSError) or error.errno is None:
        return None
    reason = os.strerror(error.errno)
    reason = reason[:1].lower() + reason[1:]
    if error.filename is None:
        return Failure(reason, "", 1)
    return Failure(f"{quoted(_as_text(error.filename))}: {reason}", "", 1)


def _unexpected(error: BaseException) -> Failure:
    """A bug of ours. Its own words may hold a secret, so only its kind and place show."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    hint = "this is a bug; please report it with `securecp --version` and what you typed"
    if os.environ.get("SECURECP_DEBUG"):
        steps = (f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
        hint = "called by " + " > ".join(steps)
    return Failure(f"unexpected {type(error).__name__}{place}", hint, 1)


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean …?`, or an empty string if nothing comes near."""
    import difflib

    known = list(known)
    folded = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return f"did you mean {folded[found[0]]}?" if found else ""


def _as_text(value: object) -> str | bytes:
    return value if isinstance(value, (str, bytes)) else str(value)


def _as_hint(text: str) -> str:
    """Hints begin small and end without a stop, whoever worded them."""
    if text[1:2] in {" ", "'"} or text[1:2].islower():
        text = text[:1].lower() + text[1:]
    return text.removesuffix(".").rstrip()


def _line(text: str) -> str:
    return safe_text(text, _LONGEST_LINE)
