"""Frames: exact bytes, one encoding each, and a parser that takes anything or says no."""

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from securecp import codec
from securecp.errors import ProtocolError
from securecp.transport.frames import (
    ACK_RANGES,
    CHUNK,
    CHUNK_HEAD,
    CHUNK_HEAD_LENGTH,
    CHUNK_MARKS,
    CONTENT_LIMIT,
    CONTROL_OVERHEAD,
    COUNTER_LIMIT,
    DELAY_LIMIT,
    MOST_FRAMES,
    REASON_LENGTH,
    Ack,
    Challenge,
    Close,
    Control,
    Frame,
    Padding,
    Ping,
    Response,
    Window,
    encode,
    is_ack_eliciting,
    parse,
)

TOKEN = b"8 bytes!"

EXACT: list[tuple[Frame, str]] = [
    (Padding(0), "92 00 c4 00"),
    (Padding(300), "92 00 c5 012c" + "00" * 300),
    (Ack(((5, 8),), 1_000), "94 01 cd03e8 07 03"),
    (Ack(((90, 100), (50, 60), (0, 1)), 0), "98 01 00 63 0a 1e 0a 31 01"),
    (Control(0, b"a"), "93 03 00 c4 01 61"),
    (Control(1 << 40, b"ab"), "93 03 cf0000010000000000 c4 02 6162"),
    (Window(1 << 20, (1 << 64) - 1), "93 04 ce00100000 cfffffffffffffffff"),
    (Ping(), "91 05"),
    (Challenge(TOKEN), "92 06 c4 08" + TOKEN.hex()),
    (Response(TOKEN), "92 07 c4 08" + TOKEN.hex()),
    (Close(0, ""), "93 08 00 a0"),
    (Close(255, "é"), "93 08 ccff a2 c3a9"),
]


@pytest.mark.parametrize(("frame", "expected"), EXACT, ids=lambda value: str(value)[:30])
def test_each_frame_has_its_bytes(frame: Frame, expected: str) -> None:
    data = bytes.fromhex(expected)
    assert encode(frame) == data
    assert parse(data) == [frame]


@st.composite
def acks(draw: st.DrawFn) -> Ack:
    count = draw(st.integers(1, ACK_RANGES))
    numbers = draw(
        st.lists(
            st.integers(1, 1 << draw(st.sampled_from([3, 8, 50]))),
            min_size=2 * count,
            max_size=2 * count,
        )
    )
    end = sum(numbers) + draw(st.integers(0, 100))
    ranges = []
    for length, gap in zip(numbers[::2], numbers[1::2], strict=True):
        ranges.append((end - length, end))
        end -= length + gap
    return Ack(tuple(ranges), draw(st.integers(0, DELAY_LIMIT - 1)))


def control(offset: int, data: bytes) -> Control:
    return Control(min(offset, CONTENT_LIMIT - 1 - len(data)), data)


FRAMES: st.SearchStrategy[Frame] = st.one_of(
    acks(),
    st.builds(control, st.integers(0, CONTENT_LIMIT), st.binary(min_size=1, max_size=300)),
    st.builds(Window, st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1)),
    st.just(Ping()),
    st.builds(Challenge, st.binary(min_size=8, max_size=8)),
    st.builds(Response, st.binary(min_size=8, max_size=8)),
    st.builds(Close, st.integers(0, 255), st.text(max_size=REASON_LENGTH)),
    st.builds(Padding, st.integers(0, 70)),
)


@given(st.lists(FRAMES, min_size=1, max_size=12))
def test_what_is_encoded_is_what_is_parsed(frames: list[Frame]) -> None:
    data = b"".join(map(encode, frames))
    if sum(isinstance(frame, Ack) for frame in frames) > 1:
        with pytest.raises(ProtocolError):
            parse(data)
    else:
        assert parse(data) == frames
        assert parse(memoryview(bytearray(data))) == frames


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(b"".join(map(encode, draw(st.lists(FRAMES, max_size=4)))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@given(st.binary(max_size=60) | damaged())
@example(b"\x93\x04\xce\x00\x01\x00\x00\xcf\x80\x00\x00\x00\x00\x00\x00\x01")
def test_dg11_any_bytes_parse_or_are_refused_and_there_is_one_encoding(data: bytes) -> None:
    try:
        frames = parse(data)
    except ProtocolError:
        return
    assert b"".join(map(encode, frames)) == data


@given(st.lists(st.integers(0, 1 << 63) | st.integers(0, 4), max_size=70))
def test_tr03_any_ack_fields_give_descending_ranges_or_nothing(fields: list[int]) -> None:
    try:
        (ack,) = parse(codec.encode([1, *fields]))
    except ProtocolError:
        return
    assert isinstance(ack, Ack)
    assert 1 <= len(ack.ranges) <= ACK_RANGES
    assert all(0 <= start < end <= COUNTER_LIMIT for start, end in ack.ranges)
    for (above, _), (_, below) in zip(ack.ranges, ack.ranges[1:], strict=False):
        assert below < above


REFUSED: dict[str, object] = {
    "no kind": [],
    "a kind that is none": [9],
    "a negative kind": [-1],
    "a kind in text": ["5"],
    "true for PADDING": [False, b""],
    "true for ACK": [True, 0, 5, 1],
    "no array": 5,
    "a map": {5: 5},
    "CHUNK among other frames": [2, 1 << 40, b"x" * 300],
    "PADDING that is not zero": [0, b"\0\x01"],
    "PADDING in text": [0, "\0"],
    "PADDING of two": [0, b"", b""],
    "ACK of nothing": [1, 0],
    "ACK without a range": [1, 0, 5],
    "ACK that ends with a gap": [1, 0, 5, 1, 1],
    "ACK with an empty range": [1, 0, 5, 0],
    "ACK with an empty gap": [1, 0, 5, 1, 0, 1],
    "ACK below zero": [1, 0, 5, 7],
    "ACK below zero in its last range": [1, 0, 5, 2, 2, 3],
    "ACK with a negative length": [1, 0, 5, -1],
    "ACK with a negative delay": [1, -1, 5, 1],
    "ACK with too long a delay": [1, DELAY_LIMIT, 5, 1],
    "ACK beyond all counters": [1, 0, COUNTER_LIMIT, 1],
    "ACK with a length beyond all counters": [1, 0, 5, COUNTER_LIMIT],
    "ACK with true for one": [1, 0, 5, True],
    "ACK in text": [1, 0, "5", 1],
    "ACK with nil": [1, None, 5, 1],
    "CONTROL of nothing": [3, 0, b""],
    "CONTROL in text": [3, 0, "a"],
    "CONTROL below zero": [3, -1, b"a"],
    "CONTROL beyond its stream": [3, CONTENT_LIMIT - 1, b"a"],
    "CONTROL at true": [3, True, b"a"],
    "CONTROL with more": [3, 0, b"a", 0],
    "CONTROL with less": [3, 0],
    "WINDOW below zero": [4, -1, 0],
    "WINDOW below zero for content": [4, 0, -1],
    "WINDOW with true": [4, True, 0],
    "WINDOW with true for content": [4, 0, True],
    "WINDOW of one": [4, 0],
    "WINDOW of three": [4, 0, 0, 0],
    "PING with something": [5, 0],
    "CHALLENGE of 7 bytes": [6, b"7 bytes"],
    "CHALLENGE of 9 bytes": [6, b"9 bytes!!"],
    "CHALLENGE in text": [6, "8 bytes!"],
    "CHALLENGE of two": [6, TOKEN, TOKEN],
    "RESPONSE of nothing": [7],
    "RESPONSE of 7 bytes": [7, b"7 bytes"],
    "CLOSE without a reason": [8, 0],
    "CLOSE with a code below zero": [8, -1, ""],
    "CLOSE with too high a code": [8, 256, ""],
    "CLOSE with true": [8, True, ""],
    "CLOSE with bytes": [8, 0, b""],
    "CLOSE with too long a reason": [8, 0, "x" * (REASON_LENGTH + 1)],
}


@pytest.mark.parametrize("name", REFUSED)
def test_dg12_fields_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(ProtocolError):
        parse(codec.encode(REFUSED[name]))


NOT_CANONICAL = {
    "an array16 of one": "dc 0001 05",
    "an array32 of one": "dd 00000001 05",
    "a kind in two bytes": "91 cc05",
    "a signed kind": "91 d005",
    "a u64 of one": "93 04 cf0000000000000001 00",
    "a u16 of one": "94 01 00 cd0001 01",
    "a bin16 of one": "93 03 00 c5 0001 61",
    "a str8 of none": "93 08 00 d900",
    "an ext": "92 06 d7 00" + TOKEN.hex(),
    "a float": "93 04 ca00000000 00",
    "text that is no UTF-8": "93 08 00 a1 ff",
    "text with half a surrogate": "93 08 00 a3 eda080",
    "a CHUNK of zero bytes": "93 02 cf0000000000000000 c5 0000",
    "a frame cut short": "93 04 00",
    "a byte left over": "91 05 c1",
}


@pytest.mark.parametrize("name", NOT_CANONICAL)
def test_dg12_other_encodings_of_the_same_are_refused(name: str) -> None:
    with pytest.raises(ProtocolError):
        parse(bytes.fromhex(NOT_CANONICAL[name]))


def test_an_empty_datagram_of_frames_is_refused() -> None:
    with pytest.raises(ProtocolError):
        parse(b"")


@pytest.mark.parametrize("count", [MOST_FRAMES, MOST_FRAMES + 1, 30_000])
def test_tr11_a_datagram_holds_at_most_32_frames(count: int) -> None:
    data = encode(Ping()) * count
    if count <= MOST_FRAMES:
        assert parse(data) == [Ping()] * count
    else:
        with pytest.raises(ProtocolError, match="more than 32"):
            parse(data)


def test_tr11_the_rest_of_too_many_frames_is_not_even_looked_at() -> None:
    with pytest.raises(ProtocolError, match="more than 32"):
        parse(encode(Ping()) * MOST_FRAMES + b"\xc1")


def test_tr04_a_datagram_holds_at_most_one_ack() -> None:
    ack = encode(Ack(((0, 1),), 0))
    assert len(parse(ack + encode(Ping()))) == 2
    with pytest.raises(ProtocolError, match="two ACKs"):
        parse(ack + encode(Ping()) + ack)


def test_tr03_we_send_and_take_32_ranges() -> None:
    ranges = tuple((1_000 - 4 * number, 1_002 - 4 * number) for number in range(ACK_RANGES))
    ack = Ack(ranges, 5)
    assert parse(encode(ack)) == [ack]
    fields = codec.decode(encode(ack))
    with pytest.raises(ProtocolError):
        parse(codec.encode([*fields, 1, 1]))


def test_the_largest_ack_leaves_room_for_control() -> None:
    """One datagram of 1,200 bytes carries ACK, WINDOW, 8 RESPONSEs and some CONTROL."""
    top = COUNTER_LIMIT - 1
    step = COUNTER_LIMIT // 70
    ranges = tuple((top - 2 * n * step - step, top - 2 * n * step) for n in range(ACK_RANGES))
    longest: list[Frame] = [
        Ack(ranges, DELAY_LIMIT - 1),
        Window(CONTENT_LIMIT, CONTENT_LIMIT),
        *[Response(TOKEN)] * 8,
        Ping(),
    ]
    assert 1_200 - 32 - CONTROL_OVERHEAD - len(b"".join(map(encode, longest))) > 300


@given(st.integers(0, CONTENT_LIMIT - 70_000), st.integers(1, 65_535))
def test_control_costs_no_more_than_its_overhead(offset: int, length: int) -> None:
    assert len(encode(Control(offset, bytes(length)))) <= length + CONTROL_OVERHEAD


@given(st.integers(0, (1 << 64) - 1), st.binary(min_size=1, max_size=50))
def test_the_fixed_encoding_of_a_chunk_is_msgpack(offset: int, content: bytes) -> None:
    first, second, third, fourth = CHUNK_MARKS
    head = CHUNK_HEAD.pack(first, second, third, offset, fourth, len(content))
    assert len(head) == CHUNK_HEAD_LENGTH
    assert msgpack.unpackb(head + content) == [CHUNK, offset, content]


@pytest.mark.parametrize(
    ("frame", "eliciting"),
    [
        (Ack(((0, 1),), 0), False),
        (Control(0, b"a"), True),
        (Window(0, 0), True),
        (Ping(), True),
        (Challenge(TOKEN), True),
        (Response(TOKEN), False),
        (Close(0, ""), False),
        (Padding(9), False),
    ],
)
def test_what_asks_for_an_ack(frame: Frame, eliciting: bool) -> None:
    assert is_ack_eliciting([frame]) is eliciting
    assert is_ack_eliciting([Close(0, ""), frame]) is eliciting
    assert is_ack_eliciting([frame, Padding(1)]) is eliciting
