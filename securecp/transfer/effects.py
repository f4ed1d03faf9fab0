"""What a sender or a receiver wants done, as frozen values: the session does it (SPEC §8.5, §8.6).

Effects are given in order and are to be carried out in order, before the next `outgoing`: a message
that tells the peer of an effect never leaves before it. Chunks and files come in batches, since a
tree of 100,000 small files has as many of each.
"""

from typing import NamedTuple, TypeAlias

from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.offer import Summary
from securecp.transfer.receipt import Receipt

# Of the sender.


class SendContent(NamedTuple):
    """Queue content space from `start` to `end`; also again, after a restart."""

    start: int
    end: int


class DigestChunks(NamedTuple):
    """Digest these, in any order, and answer each with `digest(number, …)`.

    Before the answer that `completes` a file look whether the file is what was scanned; if not,
    call `changed(entry)` first.
    """

    chunks: tuple[Chunk, ...]


class RestartSource(NamedTuple):
    """Open the file anew, and from now on take its present state as the one to compare with."""

    entry: int


class Delivered(NamedTuple):
    """The receipt is authentic: all is published at the receiver but `receipt.skipped` files."""

    receipt: Receipt
    encoded: bytes
    """The receipt as it is to be kept."""
    failed: tuple[tuple[int, str], ...]
    """Entries we could not send, each with the reason."""


# Of the receiver.


class Consent(NamedTuple):
    """All of the offer is here: answer with `accept` or `decline`."""

    summary: Summary


class Prepare(NamedTuple):
    """Make the destination ready, then call `prepared`, or `decline` if it cannot be."""

    manifest: Manifest


class ExpectContent(NamedTuple):
    """Let content from `start` to `end` come in."""

    start: int
    end: int


class ForgetContent(NamedTuple):
    """Whatever came of this range is to be stored anew."""

    start: int
    end: int


class VerifyChunks(NamedTuple):
    """Digest these as stored, in a worker, and answer each with `verified(number, …)`."""

    chunks: tuple[Chunk, ...]


class FilesReady(NamedTuple):
    """Every chunk of these files has been verified; nothing of them is stored any more."""

    entries: tuple[int, ...]


class FileFailed(NamedTuple):
    """The sender cannot send this file: drop what came of it, also if it was ready."""

    entry: int
    reason: str


class Publish(NamedTuple):
    """Flush and publish what is ready, then call `published`."""


class Complete(NamedTuple):
    """The receipt is on its way; the transfer is over when it has been acknowledged."""

    receipt: Receipt
    failed: tuple[tuple[int, str], ...]


# Of both.


class Declined(NamedTuple):
    """The receiver said no; for the receiver itself, its limits did."""

    code: int
    reason: str


class Aborted(NamedTuple):
    """The peer has stopped."""

    code: int
    reason: str


Effect: TypeAlias = (
    SendContent
    | DigestChunks
    | RestartSource
    | Delivered
    | Consent
    | Prepare
    | ExpectContent
    | ForgetContent
    | VerifyChunks
    | FilesReady
    | FileFailed
    | Publish
    | Complete
    | Declined
    | Aborted
)
