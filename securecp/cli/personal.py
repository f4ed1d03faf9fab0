"""Failures in the person's own terms: the layers below say "the peer", the face says who it is."""

from collections.abc import Callable

from securecp.cli import again, units
from securecp.cli.text import safe_text
from securecp.errors import (
    DeclinedError,
    FullError,
    InterruptedTransferError,
    NotReachedError,
    SecurecpError,
)


def to_sender(error: SecurecpError, name: str, *, stream: bool = False) -> SecurecpError:
    """The same error for who sends to `name`."""
    if isinstance(error, DeclinedError):
        _, colon, reason = error.message.partition(": ")
        error.message = f"{name} declined" + (f': "{safe_text(reason)}"' if colon else "")
    elif isinstance(error, NotReachedError):
        error.message = error.message.replace("nobody answered", f"no answer from {name}")
    elif isinstance(error, FullError) and error.needed:
        error.message = f"{name}'s disk is full: {units.size(error.needed)} more are needed"
    return _named(error, name, lambda: again.going_on(stream=stream))


def to_receiver(error: SecurecpError, name: str, *, stream: bool = False) -> SecurecpError:
    """The same error for who receives from `name`."""
    if isinstance(error, DeclinedError):
        error.message = f"declined the offer of {name}"
    goes_on = f"it goes on when {name} sends the same again"
    return _named(error, name, lambda: f"{name} must send it again" if stream else goes_on)


def _named(error: SecurecpError, name: str, hint: Callable[[], str]) -> SecurecpError:
    error.message = error.message.replace("the peer", name)
    if isinstance(error, InterruptedTransferError | FullError) and not error.hint:
        error.hint = hint()
    return error
