"""The exception tree; each error carries what the face needs to explain it.

    SecurecpError                 exit 1, something failed
    ├── ProtocolError             the peer broke the protocol: drop the datagram or close
    ├── StorageError              our disk: read-only, gone
    │   └── FullError             exit 5, no room is left; goes on when there is some
    ├── SourceError               a file to send is missing or unreadable
    ├── DeclinedError             exit 3, the peer said no
    ├── NotReachedError           exit 4, nobody answered
    ├── InterruptedTransferError  exit 5, cut off; the same command goes on
    ├── TrustError                exit 6, a key is not the one that was expected
    └── PartialError              exit 7, done but for the files that are named

Misuse of our own interfaces is a bug and raises `ValueError`, `TypeError` or `AssertionError`.
`keys` has an exception tree of its own (`keys.errors`), so that it stands alone.
"""

from typing import ClassVar


class SecurecpError(Exception):
    """Something failed: one line for the person, and a hint at what to do."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ProtocolError(SecurecpError):
    """The peer's bytes break the protocol; theirs, never ours."""


class StorageError(SecurecpError):
    """The destination cannot take the files."""


class FullError(StorageError):
    """It has no room; what has been stored stays, and the transfer can go on."""

    exit_code = 5

    def __init__(self, message: str, hint: str = "", *, needed: int = 0) -> None:
        super().__init__(message, hint)
        self.needed = needed
        """Bytes that are missing."""


class SourceError(SecurecpError):
    """A file to send cannot be read."""


class DeclinedError(SecurecpError):
    """The peer declined the offer."""

    exit_code = 3


class NotReachedError(SecurecpError):
    """Nobody answered at the endpoint."""

    exit_code = 4


class InterruptedTransferError(SecurecpError):
    """The transfer was cut off before the receipt."""

    exit_code = 5


class TrustError(SecurecpError):
    """A key is not the one that was expected."""

    exit_code = 6


class PartialError(SecurecpError):
    """Everything arrived but the files that are named."""

    exit_code = 7
