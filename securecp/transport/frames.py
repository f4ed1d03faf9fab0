"""Frames inside a sealed datagram (SPEC §6).

A datagram holds either exactly one CHUNK, or one or more of the other frames. CHUNK stands in a
fixed-width encoding (valid msgpack all the same), so that the hot loops of `seal.py` and
`opening.py` write and read it with one `struct` call; all others go through the strict decoder.

    CHUNK     93 02 cf offset-u64 c5 length-u16 | content
    others    [kind, …], [kind, …], …             canonical msgpack, one after another
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from securecp import codec
from securecp.errors import ProtocolError

PADDING, ACK, CHUNK, CONTROL, WINDOW, PING, CHALLENGE, RESPONSE, CLOSE = range(9)

CHUNK_HEAD = struct.Struct(">BBBQBH")
CHUNK_HEAD_LENGTH = 14
CHUNK_MARKS = (0x93, CHUNK, 0xCF, 0xC5)

ACK_RANGES = 32
REASON_LENGTH = 200
CONTENT_LIMIT = 1 << 63
CONTROL_OVERHEAD = 16
"""Most that a CONTROL frame adds to the bytes that it carries."""
COUNTER_LIMIT = 1 << 62
DELAY_LIMIT = 1 << 32
MOST_FRAMES = 32
"""In one datagram; more cost more to read than they can mean (TR-11)."""


# Codes of CLOSE.
CLOSE_DONE = 0
"""All is well; there is nothing more to say."""
CLOSE_PROTOCOL = 1
"""The peer broke the protocol."""
CLOSE_FAILED = 2
"""We cannot go on."""
CLOSE_REFUSED = 3
"""We do not deal with this peer."""
CLOSE_CANCELLED = 4
"""We were told to stop."""


class Ack(NamedTuple):
    """What has been received: half-open counter ranges, highest first, and the delay in µs."""

    ranges: tuple[tuple[int, int], ...]
    delay: int


class Control(NamedTuple):
    """Bytes of the ordered control stream."""

    offset: int
    data: bytes


class Window(NamedTuple):
    """How far the peer may send: end of the control stream, and bytes of new content in all."""

    control: int
    content: int


class Ping(NamedTuple):
    """Asks for an ACK, nothing more."""


class Challenge(NamedTuple):
    """Asks the peer to answer on the path that this arrived on."""

    token: bytes


class Response(NamedTuple):
    """Answers a challenge."""

    token: bytes


class Close(NamedTuple):
    """The end of the connection, with a code of SPEC §6.6 and a reason for people."""

    code: int
    reason: str


class Padding(NamedTuple):
    """Zero bytes without meaning, to make a datagram as long as a probe needs."""

    length: int


Frame = Ack | Control | Window | Ping | Challenge | Response | Close | Padding


def encode(frame: Frame) -> bytes:
    """One frame as canonical msgpack."""
    match frame:
        case Ack():
            return codec.encode([ACK, frame.delay, *_relative(frame.ranges)])
        case Control():
            return codec.encode([CONTROL, frame.offset, frame.data])
        case Window():
            return codec.encode([WINDOW, frame.control, frame.content])
        case Ping():
            return codec.encode([PING])
        case Challenge():
            return codec.encode([CHALLENGE, frame.token])
        case Response():
            return codec.encode([RESPONSE, frame.token])
        case Close():
            return codec.encode([CLOSE, frame.code, frame.reason])
        case Padding():
            return codec.encode([PADDING, bytes(frame.length)])


def parse(data: memoryview | bytes) -> list[Frame]:
    """All frames of one opened datagram but a CHUNK; any bytes parse or raise ProtocolError."""
    items = codec.decode_all(data, most=MOST_FRAMES)
    if not items:
        raise ProtocolError("datagram without a frame")
    frames = [_frame(item) for item in items]
    if sum(type(frame) is Ack for frame in frames) > 1:
        raise ProtocolError("two ACKs in one datagram")
    return frames


def is_ack_eliciting(frames: Iterable[Frame]) -> bool:
    """Whether the receiver of these frames owes an ACK: CONTROL, WINDOW, PING and CHALLENGE.

    Nobody waits for a RESPONSE but who sent the CHALLENGE, and they ask again: if it asked for an
    ACK, a peer that sends challenges and no ACKs would fill our ledger (TR-11).
    """
    return any(isinstance(frame, Control | Window | Ping | Challenge) for frame in frames)


def _frame(item: object) -> Frame:
    match item:
        case [int(kind), *fields] if type(kind) is int and 0 <= kind < len(_PARSERS):
            frame = _PARSERS[kind](fields)
            if frame is not None:
                return frame
    raise ProtocolError("unknown or malformed frame")


def _relative(ranges: tuple[tuple[int, int], ...]) -> list[int]:
    """Largest counter, then alternately lengths and gaps, as they lie below it."""
    out = [ranges[0][1] - 1]
    upper = ranges[0][1]
    for start, end in ranges:
        if end != upper:
            out.append(upper - end)
        out.append(end - start)
        upper = start
    return out


def _parse_ack(fields: list[object]) -> Ack | None:
    numbers = [field for field in fields if type(field) is int and 0 <= field < COUNTER_LIMIT]
    if len(numbers) != len(fields) or len(fields) < 3 or len(fields) % 2 == 0:
        return None
    delay, largest, *lengths = numbers
    if delay >= DELAY_LIMIT or (len(lengths) + 1) // 2 > ACK_RANGES or 0 in lengths:
        return None
    ranges = []
    end = largest + 1
    for at in range(0, len(lengths), 2):
        start = end - lengths[at]
        ranges.append((start, end))
        end = start - (lengths[at + 1] if at + 1 < len(lengths) else 0)
    if ranges[-1][0] < 0:
        return None
    return Ack(tuple(ranges), delay)


def _parse_control(fields: list[object]) -> Control | None:
    match fields:
        case [int(offset), bytes(data)] if type(offset) is int:
            if data and 0 <= offset and offset + len(data) < CONTENT_LIMIT:
                return Control(offset, data)
    return None


def _parse_window(fields: list[object]) -> Window | None:
    match fields:
        case [int(control), int(content)] if type(control) is int and type(content) is int:
            if 0 <= control < 1 << 64 and 0 <= content < 1 << 64:
                return Window(control, content)
    return None


def _parse_ping(fields: list[object]) -> Ping | None:
    return None if fields else Ping()


def _parse_challenge(fields: list[object]) -> Challenge | None:
    token = _token(fields)
    return None if token is None else Challenge(token)


def _parse_response(fields: list[object]) -> Response | None:
    token = _token(fields)
    return None if token is None else Response(token)


def _token(fields: list[object]) -> bytes | None:
    match fields:
        case [bytes(token)] if len(token) == 8:
            return token
    return None


def _parse_close(fields: list[object]) -> Close | None:
    match fields:
        case [int(code), str(reason)] if type(code) is int:
            if 0 <= code < 256 and len(reason) <= REASON_LENGTH:
                return Close(code, reason)
    return None


def _parse_padding(fields: list[object]) -> Padding | None:
    match fields:
        case [bytes(data)] if data == bytes(len(data)):
            return Padding(len(data))
    return None


def _no_frame(fields: list[object]) -> None:
    """CHUNK never stands among other frames."""


_PARSERS = (
    _parse_padding,
    _parse_ack,
    _no_frame,
    _parse_control,
    _parse_window,
    _parse_ping,
    _parse_challenge,
    _parse_response,
    _parse_close,
)
