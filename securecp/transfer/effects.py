"""What a sender or a receiver wants done, as frozen values: the session does it (SPEC §8.5, §8.6).

Effects are given in order and are to be carried out in order, before the next `outgoing`: a message
that tells the peer of an effect never leaves before it. Chunks and files come in batches, since a
tree of 100,000 small files has as many of each.
"""

from dataclasses import dataclass
from typing import TypeAlias

from securecp.transfer.manifest import Chunk, Manifest
from securecp.transfer.offer import Summary
from securecp.transfer.receipt import Receipt

# Of the sender.


@dataclass(frozen=True, slots=True)
class SendContent:
    """Queue content space from `start` to `end`; also again, after a restart."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DigestChunks:
    """Digest these in a worker, in order, and answer each with `digest(number, …)`.

    After the last chunk of a file (`manifest.ends_file`) look whether the file is what was scanned;
    if not, call `changed(entry)` before that chunk's `digest`.
    """

    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class RestartSource:
    """Open the file anew, and from now on take its present state as the one to compare with."""

    entry: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receipt is authentic: all is published at the receiver but `receipt.skipped` files."""

    receipt: Receipt
    encoded: bytes
    """The receipt as it is to be kept."""
    failed: tuple[tuple[int, str], ...]
    """Entries we could not send, each with the reason."""


# Of the receiver.


@dataclass(frozen=True, slots=True)
class Consent:
    """All of the offer is here: answer with `accept` or `decline`."""

    summary: Summary


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make the destination ready, then call `prepared`, or `decline` if it cannot be."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class ExpectContent:
    """Let content from `start` to `end` come in."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ForgetContent:
    """Whatever came of this range is to be stored anew."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class VerifyChunks:
    """Digest these as stored, in a worker, and answer each with `verified(number, …)`."""

    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class FilesReady:
    """Every chunk of these files has been verified; nothing of them is stored any more."""

    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FileFailed:
    """The sender cannot send this file: drop what came of it, also if it was ready."""

    entry: int
    reason: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Flush and publish what is ready, then call `published`."""


@dataclass(frozen=True, slots=True)
class Complete:
    """The receipt is on its way; the transfer is over when it has been acknowledged."""

    receipt: Receipt
    failed: tuple[tuple[int, str], ...]


# Of both.


@dataclass(frozen=True, slots=True)
class Declined:
    """The receiver said no; for the receiver itself, its limits did."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Aborted:
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
