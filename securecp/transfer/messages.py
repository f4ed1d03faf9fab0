"""The messages of a transfer: canonical msgpack arrays, each with its type first (SPEC §8.2).

    sender                                  receiver
      OFFER, PAGE…         ──────────────►
                           ◄──────────────    ACCEPT  or  DECLINE
      DIGESTS…             ──────────────►    (content flows beside the messages)
                           ◄──────────────    RETRY           these did not match
      RESTART  or  FAILED  ──────────────►                    a file anew, or not at all
                           ◄──────────────    AGAIN           forgotten, send its content
      FINISHED             ──────────────►
                           ◄──────────────    RECEIPT
      ABORT  may come from either side at any time

This file knows what a message may hold, not when it may come. No message makes the receiver read,
list, unpack, run or overwrite anything: there is none that could say so (MF-15, MF-19).
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import ClassVar, TypeAlias

from securecp import codec
from securecp.errors import ProtocolError
from securecp.transfer.entries import ENTRY_LIMIT, SIZE_LIMIT

VERSION = 1
TRANSFER_ID_LENGTH = 16
DIGEST_LENGTH = 32
SIGNATURE_LENGTH = 64
REASON_LIMIT = 200
"""Characters of remote text; whoever shows it escapes it."""
DIGESTS_LIMIT = 1_024
"""Chunk digests in one DIGESTS."""
RETRY_LIMIT = 1_024
"""Chunks in one RETRY."""
CODE_LIMIT = 255
CHUNK_LIMIT = 2**43 + ENTRY_LIMIT
"""No manifest has more chunks."""
TIME_LIMIT = 2**63 - 1

# Codes of DECLINE and ABORT: what the other side may tell its user apart from the reason's words.
CODE_DECLINED = 1
"""The person, or the contact's policy, said no."""
CODE_TOO_MUCH = 2
"""More entries or bytes than the receiver takes from this contact."""
CODE_NO_ROOM = 3
"""The destination has no room, or cannot be written."""
CODE_INTERRUPTED = 4
"""The person stopped it."""
CODE_STORAGE = 5
"""A disk failed on the way."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered, in figures; the pages follow at once."""

    type: ClassVar[int] = 1
    transfer_id: bytes
    entries: int
    files: int
    size: int
    pages: int
    digest: bytes
    """Of the manifest."""


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of the manifest, kept raw: `ManifestReader` checks it, and digests are over bytes."""

    type: ClassVar[int] = 2
    raw: bytes


@dataclass(frozen=True, slots=True)
class Accept:
    """The receiver takes the whole offer: content may flow."""

    type: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Decline:
    """The receiver takes nothing."""

    type: ClassVar[int] = 4
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Digests:
    """BLAKE3 of consecutive chunks, from number `first` on."""

    type: ClassVar[int] = 5
    first: int
    digests: bytes


@dataclass(frozen=True, slots=True)
class Retry:
    """Chunks whose bytes were all there and did not match their digests."""

    type: ClassVar[int] = 6
    chunks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Restart:
    """Forget this file's bytes and digests; new digests follow, content after AGAIN."""

    type: ClassVar[int] = 7
    entry: int


@dataclass(frozen=True, slots=True)
class Failed:
    """This file will not come."""

    type: ClassVar[int] = 8
    entry: int
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Every chunk has its digest, or its file has failed."""

    type: ClassVar[int] = 9
    digest: bytes
    """Of the content."""


@dataclass(frozen=True, slots=True)
class Received:
    """The receipt (`receipt.py`): flushed, published, signed."""

    type: ClassVar[int] = 10
    files: int
    skipped: int
    size: int
    time: int
    manifest_digest: bytes
    content_digest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Abort:
    """The side that sends it has stopped."""

    type: ClassVar[int] = 11
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Again:
    """The receiver has forgotten the file that was restarted: its content may be sent."""

    type: ClassVar[int] = 12
    entry: int


Message: TypeAlias = (
    Offer
    | Page
    | Accept
    | Decline
    | Digests
    | Retry
    | Restart
    | Failed
    | Finished
    | Received
    | Abort
    | Again
)


def encode(message: Message) -> bytes:
    """The message as msgpack, without the length before it."""
    match message:
        case Page(raw):
            return raw
        case Offer():
            return codec.encode((message.type, VERSION, *astuple(message)))
        case _:
            return codec.encode((message.type, *astuple(message)))


def parse(raw: bytes) -> Message:
    """Read one message, or raise `ProtocolError`; a page's entries are left for later."""
    if raw[:2] == _PAGE_HEAD:
        return Page(raw)  # decoded once, by the reader of the manifest
    fields = codec.array(codec.decode(raw), 1, 9)
    kind = fields.pop(0)
    known = _PARSERS.get(kind) if type(kind) is int else None
    if known is None:
        raise ProtocolError("a message of an unknown type")
    count, parser = known
    return parser(codec.array(fields, count))


def reason(text: str) -> str:
    """`text` cut to what a message may hold, and free of what UTF-8 cannot say."""
    return text.encode("utf-8", "replace").decode("utf-8")[:REASON_LIMIT]


_PAGE_HEAD = bytes([0x93, Page.type])


def _offer(fields: list[object]) -> Offer:
    codec.integer(fields[0], VERSION, VERSION)
    offer = Offer(
        codec.binary(fields[1], TRANSFER_ID_LENGTH),
        codec.integer(fields[2], 0, 2**64 - 1),  # the receiver's limits decline more politely
        codec.integer(fields[3], 0, 2**64 - 1),
        codec.integer(fields[4], 0, SIZE_LIMIT),
        codec.integer(fields[5], 0, 2**64 - 1),
        codec.binary(fields[6], DIGEST_LENGTH),
    )
    if offer.files > offer.entries or offer.pages > offer.entries:
        raise ProtocolError("an offer's figures contradict one another")
    return offer


def _digests(fields: list[object]) -> Digests:
    first = codec.integer(fields[0], 0, CHUNK_LIMIT)
    digests = codec.binary(fields[1], DIGEST_LENGTH, DIGESTS_LIMIT * DIGEST_LENGTH)
    if len(digests) % DIGEST_LENGTH:
        raise ProtocolError("a digest is cut short")
    return Digests(first, digests)


def _retry(fields: list[object]) -> Retry:
    chunks = codec.array(fields[0], 1, RETRY_LIMIT)
    return Retry(tuple(codec.integer(chunk, 0, CHUNK_LIMIT) for chunk in chunks))


def _received(fields: list[object]) -> Received:
    return Received(
        codec.integer(fields[0], 0, ENTRY_LIMIT),
        codec.integer(fields[1], 0, ENTRY_LIMIT),
        codec.integer(fields[2], 0, SIZE_LIMIT),
        codec.integer(fields[3], 0, TIME_LIMIT),
        codec.binary(fields[4], DIGEST_LENGTH),
        codec.binary(fields[5], DIGEST_LENGTH),
        codec.binary(fields[6], SIGNATURE_LENGTH),
    )


def _entry(value: object) -> int:
    return codec.integer(value, 0, ENTRY_LIMIT - 1)


def _code_and_reason(fields: list[object]) -> tuple[int, str]:
    return codec.integer(fields[0], 0, CODE_LIMIT), codec.text(fields[1], REASON_LIMIT)


_PARSERS: dict[int, tuple[int, Callable[[list[object]], Message]]] = {
    Offer.type: (7, _offer),
    Accept.type: (0, lambda _: Accept()),
    Decline.type: (2, lambda fields: Decline(*_code_and_reason(fields))),
    Digests.type: (2, _digests),
    Retry.type: (1, _retry),
    Restart.type: (1, lambda fields: Restart(_entry(fields[0]))),
    Failed.type: (2, lambda f: Failed(_entry(f[0]), codec.text(f[1], REASON_LIMIT))),
    Finished.type: (1, lambda fields: Finished(codec.binary(fields[0], DIGEST_LENGTH))),
    Received.type: (7, _received),
    Abort.type: (2, lambda fields: Abort(*_code_and_reason(fields))),
    Again.type: (1, lambda fields: Again(_entry(fields[0]))),
}
"""Type to the number of fields after it, and their parser; PAGE is apart."""
