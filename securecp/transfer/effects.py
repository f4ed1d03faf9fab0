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


class SkipContent(NamedTuple):
    """This range need not be sent, or no more of it: it is there, is zeros, or will not come."""

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


class StreamAccepted(NamedTuple):
    """The stream may flow: queue content from 0 on as it is read, and cut it into pieces."""


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
    """Let content from `start` to `end` come in, also if we did not want it before."""

    start: int
    end: int


class WaiveContent(NamedTuple):
    """Nothing of this range is to come, and what comes all the same is dropped unread."""

    start: int
    end: int


class ZeroChunks(NamedTuple):
    """These are zeros: nothing will be stored for them."""

    chunks: range


class ForgetContent(NamedTuple):
    """Whatever came of this range is to be stored anew."""

    start: int
    end: int


class GoodChunks(NamedTuple):
    """These were here, and are what is sent."""

    numbers: tuple[int, ...]


class MissedChunk(NamedTuple):
    """What was here before is not what is sent: it counts no more, and comes anew."""

    number: int


class VerifyChunks(NamedTuple):
    """Digest these as they are here, in a worker, and answer each with `verified(number, …)`.

    What cannot be read is answered with an empty digest.
    """

    chunks: tuple[Chunk, ...]


class AppendData(NamedTuple):
    """The next bytes of the stream, verified."""

    data: tuple[memoryview, ...]


class FilesReady(NamedTuple):
    """Every chunk of these files has been verified; nothing of them is stored any more."""

    entries: tuple[int, ...]


class FileFailed(NamedTuple):
    """This file or link will not come: drop what came of it, also if it was ready."""

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
    | SkipContent
    | DigestChunks
    | RestartSource
    | StreamAccepted
    | Delivered
    | Consent
    | Prepare
    | ExpectContent
    | WaiveContent
    | ForgetContent
    | ZeroChunks
    | GoodChunks
    | MissedChunk
    | VerifyChunks
    | AppendData
    | FilesReady
    | FileFailed
    | Publish
    | Complete
    | Declined
    | Aborted
)
