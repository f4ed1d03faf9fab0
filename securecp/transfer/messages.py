"""The messages of a transfer: canonical msgpack arrays, each with its type first (SPEC §8.2).

    sender                                  receiver
      OFFER, PAGE…         ──────────────►
                           ◄──────────────    HAVE…  DROP…   what need not be sent
                           ◄──────────────    ACCEPT  or  DECLINE
      ZEROS…  DIGESTS…     ──────────────►    (content flows beside the messages)
                           ◄──────────────    WANT            these are not what is here: send them
                           ◄──────────────    RETRY           these did not match
                           ◄──────────────    DROP            a file that cannot be stored here
      RESTART  or  FAILED  ──────────────►                    a file anew, or not at all
                           ◄──────────────    AGAIN           forgotten, send its content
      FINISHED             ──────────────►    (of a stream: after its last PIECE)
                           ◄──────────────    RECEIPT
      ABORT  may come from either side at any time

This file knows what a message may hold, not when it may come. No message makes the receiver read,
list, unpack, run or overwrite anything: there is none that could say so (MF-15, MF-19). What the
receiver says of its files is "send" or "do not send", and only of what is offered (MF-09, MF-16).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from securecp import codec
from securecp.errors import ProtocolError
from securecp.transfer.entries import ENTRY_LIMIT, SIZE_LIMIT

VERSION = 2
VERSION_LIMIT = 2**32 - 1
TRANSFER_ID_LENGTH = 16
DIGEST_LENGTH = 32
SIGNATURE_LENGTH = 64
REASON_LIMIT = 200
"""Characters of remote text; whoever shows it escapes it."""
DIGESTS_LIMIT = 1_024
"""Chunk digests in one DIGESTS."""
RETRY_LIMIT = 1_024
"""Chunks in one RETRY or WANT."""
SPANS_LIMIT = 1_024
"""Runs of chunks in one HAVE or ZEROS."""
DROP_LIMIT = 1_024
"""Entries in one DROP."""
PIECE_LIMIT = 1 << 20
"""Bytes of one piece of a stream."""
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
CODE_VERSION = 6
"""The offer is of another version than the receiver knows."""
CODE_FULL = 7
"""No room is left; it goes on when there is some. The reason begins with the bytes needed."""
CODE_SUPERSEDED = 8
"""A newer session of the same transfer goes on."""

# Codes of DROP.
DROP_UNWANTED = 0
"""The name is taken and stays as it is, or such things are not taken."""
DROP_UNABLE = 1
"""It cannot be stored there."""


class Offer(NamedTuple):
    """What is offered, in figures; the pages follow at once."""

    transfer_id: bytes
    entries: int
    files: int
    size: int
    pages: int
    digest: bytes
    """Of the manifest."""


class OtherOffer(NamedTuple):
    """An offer of another version: nothing more of it is understood."""

    version: int
    raw: bytes


class Page(NamedTuple):
    """A piece of the manifest, kept raw: `ManifestReader` checks it, and digests are over bytes."""

    raw: bytes


class Accept(NamedTuple):
    """The receiver takes the whole offer: content may flow."""


class Decline(NamedTuple):
    """The receiver takes nothing."""

    code: int
    reason: str


class Digests(NamedTuple):
    """BLAKE3 of consecutive chunks, from number `first` on."""

    first: int
    digests: bytes


class Retry(NamedTuple):
    """Chunks whose bytes were all there and did not match their digests."""

    chunks: tuple[int, ...]


class Restart(NamedTuple):
    """Forget this file's bytes and digests; new digests follow, content after AGAIN."""

    entry: int


class Failed(NamedTuple):
    """This file will not come."""

    entry: int
    reason: str


class Finished(NamedTuple):
    """Every chunk has its digest, or its file has failed."""

    digest: bytes
    """Of the content."""


class Received(NamedTuple):
    """The receipt (`receipt.py`): flushed, published, signed."""

    files: int
    skipped: int
    size: int
    time: int
    manifest_digest: bytes
    content_digest: bytes
    signature: bytes


class Abort(NamedTuple):
    """The side that sends it has stopped."""

    code: int
    reason: str


class Again(NamedTuple):
    """The receiver has forgotten the file that was restarted: its content may be sent."""

    entry: int


class Have(NamedTuple):
    """Chunks that may be there already: tell their digests, do not send them."""

    spans: tuple[range, ...]


class Want(NamedTuple):
    """Chunks of HAVE whose told digests are not those of what is there: send them."""

    chunks: tuple[int, ...]


class Drop(NamedTuple):
    """Files and links that are not to come; FAILED comes back for each."""

    entries: tuple[int, ...]
    code: int


class Zeros(NamedTuple):
    """Chunks that hold only zeros: no content and no digests follow, unless their file restarts."""

    spans: tuple[range, ...]


class Piece(NamedTuple):
    """The next bytes of a stream: where they begin, how many, and their BLAKE3."""

    offset: int
    length: int
    digest: bytes


Message: TypeAlias = (
    Offer
    | OtherOffer
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
    | Have
    | Want
    | Drop
    | Zeros
    | Piece
)


TYPES: dict[type[Message], int] = {
    Offer: 1,
    OtherOffer: 1,
    Page: 2,
    Accept: 3,
    Decline: 4,
    Digests: 5,
    Retry: 6,
    Restart: 7,
    Failed: 8,
    Finished: 9,
    Received: 10,
    Abort: 11,
    Again: 12,
    Have: 13,
    Want: 14,
    Drop: 15,
    Zeros: 16,
    Piece: 17,
}
"""What stands first in each of them."""


def encode(message: Message) -> bytes:
    """The message as msgpack, without the length before it."""
    match message:
        case Page(raw) | OtherOffer(_, raw):
            return raw
        case Have(spans) | Zeros(spans):
            pairs = [(span.start, len(span)) for span in spans]
            return codec.encode((TYPES[type(message)], pairs))
        case Offer():
            return codec.encode((TYPES[Offer], VERSION, *message))
        case _:
            return codec.encode((TYPES[type(message)], *message))


def parse(raw: bytes) -> Message:
    """Read one message, or raise `ProtocolError`; a page's entries are left for later."""
    if raw[:2] == _PAGE_HEAD:
        return Page(raw)  # decoded once, by the reader of the manifest
    fields = codec.array(codec.decode(raw), 1, _FIELDS)
    kind = fields.pop(0)
    if type(kind) is int and kind == TYPES[Offer] and fields and fields[0] != VERSION:
        return OtherOffer(codec.integer(fields[0], 0, VERSION_LIMIT), raw)
    known = _PARSERS.get(kind) if type(kind) is int else None
    if known is None:
        raise ProtocolError("a message of an unknown type")
    count, parser = known
    return parser(codec.array(fields, count))


def reason(text: str) -> str:
    """`text` cut to what a message may hold, and free of what UTF-8 cannot say."""
    return text.encode("utf-8", "replace").decode("utf-8")[:REASON_LIMIT]


def spans(ranges: Iterable[range], kind: type[Have] | type[Zeros]) -> Iterator[Have | Zeros]:
    """As many messages as that needs."""
    batch: list[range] = []
    for each in ranges:
        batch.append(each)
        if len(batch) == SPANS_LIMIT:
            yield kind(tuple(batch))
            batch.clear()
    if batch:
        yield kind(tuple(batch))


_FIELDS = 32
"""Of any message; offers of other versions may have more than ours."""
_PAGE_HEAD = bytes([0x93, TYPES[Page]])


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


def _numbers(value: object, most: int, limit: int) -> tuple[int, ...]:
    """Numbers below or at `limit`, none of them twice."""
    numbers = tuple(codec.integer(each, 0, limit) for each in codec.array(value, 1, most))
    if len(set(numbers)) != len(numbers):
        raise ProtocolError("a number stands in a message twice")
    return numbers


def _spans(value: object) -> tuple[range, ...]:
    """Runs of chunks: ascending, none twice."""
    found: list[range] = []
    end = 0
    for pair in codec.array(value, 1, SPANS_LIMIT):
        first, count = codec.array(pair, 2)
        first = codec.integer(first, end, CHUNK_LIMIT)
        end = first + codec.integer(count, 1, CHUNK_LIMIT - first)
        found.append(range(first, end))
    return tuple(found)


def _drop(fields: list[object]) -> Drop:
    entries = _numbers(fields[0], DROP_LIMIT, ENTRY_LIMIT - 1)
    return Drop(entries, codec.integer(fields[1], DROP_UNWANTED, DROP_UNABLE))


def _piece(fields: list[object]) -> Piece:
    return Piece(
        codec.integer(fields[0], 0, SIZE_LIMIT),
        codec.integer(fields[1], 1, PIECE_LIMIT),
        codec.binary(fields[2], DIGEST_LENGTH),
    )


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
    TYPES[Offer]: (7, _offer),
    TYPES[Accept]: (0, lambda _: Accept()),
    TYPES[Decline]: (2, lambda fields: Decline(*_code_and_reason(fields))),
    TYPES[Digests]: (2, _digests),
    TYPES[Retry]: (1, _retry),
    TYPES[Restart]: (1, lambda fields: Restart(_entry(fields[0]))),
    TYPES[Failed]: (2, lambda f: Failed(_entry(f[0]), codec.text(f[1], REASON_LIMIT))),
    TYPES[Finished]: (1, lambda fields: Finished(codec.binary(fields[0], DIGEST_LENGTH))),
    TYPES[Received]: (7, _received),
    TYPES[Abort]: (2, lambda fields: Abort(*_code_and_reason(fields))),
    TYPES[Again]: (1, lambda fields: Again(_entry(fields[0]))),
    TYPES[Have]: (1, lambda fields: Have(_spans(fields[0]))),
    TYPES[Want]: (1, lambda fields: Want(_numbers(fields[0], RETRY_LIMIT, CHUNK_LIMIT))),
    TYPES[Drop]: (2, _drop),
    TYPES[Zeros]: (1, lambda fields: Zeros(_spans(fields[0]))),
    TYPES[Piece]: (3, _piece),
}
"""Type to the number of fields after it, and their parser; PAGE is apart."""
