"""Failures in the person's own terms: the layers below say "the peer", the face says who it is."""

from securecp.cli.text import safe_text
from securecp.errors import DeclinedError, InterruptedTransferError, NotReachedError, SecurecpError

AGAIN = "the same command starts the transfer again"


def to_sender(error: SecurecpError, name: str) -> SecurecpError:
    """The same error for who sends to `name`."""
    if isinstance(error, DeclinedError):
        _, colon, reason = error.message.partition(": ")
        error.message = f"{name} declined" + (f': "{safe_text(reason)}"' if colon else "")
    elif isinstance(error, NotReachedError):
        error.message = error.message.replace("nobody answered", f"no answer from {name}")
    return _named(error, name, AGAIN)


def to_receiver(error: SecurecpError, name: str) -> SecurecpError:
    """The same error for who receives from `name`."""
    if isinstance(error, DeclinedError):
        error.message = f"declined the offer of {name}"
    return _named(error, name, f"{name} can start it again")


def _named(error: SecurecpError, name: str, again: str) -> SecurecpError:
    error.message = error.message.replace("the peer", name)
    if isinstance(error, InterruptedTransferError) and not error.hint:
        error.hint = again
    return error
