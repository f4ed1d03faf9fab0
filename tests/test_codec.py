"""Strict msgpack: one encoding for each value, one error for everything else."""

import contextlib
import importlib.util
import struct
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgpack import fallback

from securecp import codec
from securecp.errors import ProtocolError

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary()
KEYS = st.text() | st.integers(-(2**63), 2**64 - 1)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(KEYS, inner, max_size=20),
    max_leaves=30,
)


def depth(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 0


@given(VALUES)
def test_what_is_encoded_is_read_back(value: Any) -> None:
    if depth(value) <= codec.DEPTH_LIMIT:
        read = codec.decode(codec.encode(value))
        assert read == value
        assert codec.encode(read) == codec.encode(value)
    else:
        with pytest.raises(ProtocolError):
            codec.decode(codec.encode(value))


@given(st.binary(max_size=200))
@example(b"\xc1")
@example(b"\x91" * 10_000)
@example(b"\xa1\xff")
@example(b"\x81\x90\x01")
@example(b"\xd6\xff" + bytes(4))
@example(b"\x91")
@example(b"\x01\x02")
@example(b"\xdf\xff\xff\xff\xff")
def test_dg11_any_bytes_parse_or_raise_protocol_error(data: bytes) -> None:
    for read in (codec.decode, codec.decode_all):
        with contextlib.suppress(ProtocolError):
            read(data)


@given(VALUES, st.integers(0, 10_000), st.integers(0, 255))
def test_dg11_a_changed_byte_parses_or_raises_protocol_error(
    value: Any, where: int, byte: int
) -> None:
    data = bytearray(codec.encode(value))
    data[where % len(data)] = byte
    try:
        read = codec.decode(bytes(data))
    except ProtocolError:
        return
    assert codec.encode(read) == data


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x91" * 3_000 + b"\x90", id="StackError in msgpack"),
        pytest.param(b"\xc1", id="FormatError"),
        pytest.param(b"\x01\x01", id="ExtraData"),
        pytest.param(b"\xa2\xc3\x28", id="UnicodeDecodeError"),
        pytest.param(b"\xa3\xed\xa0\x80", id="a surrogate in UTF-8"),
        pytest.param(b"\x81\x90\x01", id="TypeError: an array as key"),
        pytest.param(b"\x81\x80\x01", id="TypeError: a map as key"),
        pytest.param(b"\xdb\xff\xff\xff\xff", id="ValueError: length"),
        pytest.param(b"", id="OutOfData: nothing"),
        pytest.param(b"\x92\x01", id="OutOfData: an item is missing"),
        pytest.param(b"\xc4", id="no length"),
        pytest.param(b"\xc4\x05abc", id="bytes are missing"),
        pytest.param(b"\xdc\x00", id="half a length"),
    ],
)
def test_dg11_every_failure_of_the_decoder_is_one_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.decode(data)


NOT_CANONICAL = {
    "uint8 for fixint": b"\xcc\x7f",
    "uint16 for uint8": b"\xcd\x00\xff",
    "uint32 for uint16": b"\xce\x00\x00\xff\xff",
    "uint64 for uint32": b"\xcf" + bytes(4) + b"\xff" * 4,
    "int8 for fixint": b"\xd0\xff",
    "int8 for positive": b"\xd0\x01",
    "int16 for int8": b"\xd1\xff\x80",
    "int32 for int16": b"\xd2\xff\xff\x80\x00",
    "int64 for int32": b"\xd3\xff\xff\xff\xff\x80\x00\x00\x00",
    "int64 for positive": b"\xd3" + bytes(7) + b"\x01",
    "str8 for fixstr": b"\xd9\x01a",
    "str16 for str8": b"\xda\x00\x20" + b"a" * 32,
    "str32 for str16": b"\xdb\x00\x00\x01\x00" + b"a" * 256,
    "bin16 for bin8": b"\xc5\x00\x01a",
    "bin32 for bin16": b"\xc6\x00\x00\x01\x00" + b"a" * 256,
    "array16 for fixarray": b"\xdc\x00\x01\x01",
    "array32 for array16": b"\xdd\x00\x00\x00\x10" + b"\x01" * 16,
    "map16 for fixmap": b"\xde\x00\x01\x01\x01",
    "map32 for map16": b"\xdf\x00\x00\x00\x10" + bytes(b for i in range(16) for b in (i, 0)),
    "same key twice": b"\x82\x01\x01\x01\x02",
    "same text key twice": b"\x82\xa1a\x01\xa1a\x01",
    "bytes as key": b"\x81\xc4\x01a\x01",
    "bool as key": b"\x81\xc3\x01",
    "nil as key": b"\x81\xc0\x01",
    "one and true as keys": b"\x82\x01\x00\xc3\x00",
    "float": b"\xca" + struct.pack(">f", 1.0),
    "double": b"\xcb" + struct.pack(">d", 1.0),
    "NaN": b"\xcb" + struct.pack(">d", float("nan")),
    "infinity": b"\xcb" + struct.pack(">d", float("inf")),
    "timestamp": b"\xd6\xff" + bytes(4),
    "timestamp 64": b"\xd7\xff" + bytes(8),
    "timestamp 96": b"\xc7\x0c\xff" + bytes(12),
    "fixext 1": b"\xd4\x01a",
    "fixext 2": b"\xd5\x01ab",
    "fixext 16": b"\xd8\x01" + bytes(16),
    "ext 8": b"\xc7\x01\x01a",
    "ext 16": b"\xc8\x00\x01\x01a",
    "ext 32": b"\xc9\x00\x00\x00\x01\x01a",
    "inside an array": b"\x92\x01\xcc\x01",
    "inside a map": b"\x81\x01\xcc\x01",
}


@pytest.mark.parametrize("data", NOT_CANONICAL.values(), ids=NOT_CANONICAL)
def test_dg12_only_the_canonical_encoding_is_read(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.decode(data)
    with pytest.raises(ProtocolError):
        codec.decode_all(data)


def test_dg12_a_bool_is_not_an_integer() -> None:
    assert codec.integer(1, 0, 1) == 1
    for value in (True, False, None, "1", b"1", -1, 2, [1]):
        with pytest.raises(ProtocolError):
            codec.integer(value, 0, 1)


def test_dg12_schemas_hold_types_and_lengths() -> None:
    assert codec.binary(b"ab", 2) == b"ab"
    assert codec.binary(b"ab", 1, 3) == b"ab"
    assert codec.text("äb", 2) == "äb"
    assert codec.array([1, 2], 2) == [1, 2]
    assert codec.array([], 0, 2) == []
    for check in (
        lambda: codec.binary("ab", 2),
        lambda: codec.binary(b"ab", 3),
        lambda: codec.binary(b"abcd", 1, 3),
        lambda: codec.text(b"ab", 2),
        lambda: codec.text("abc", 2),
        lambda: codec.array((1, 2), 2),
        lambda: codec.array([1, 2], 3),
        lambda: codec.array([1, 2, 3], 1, 2),
    ):
        with pytest.raises(ProtocolError):
            check()


def fallback_value(data: bytes) -> Any:
    """The same rules by msgpack's Python decoder, or None."""
    unpacker = fallback.Unpacker(
        raw=False, strict_map_key=False, object_pairs_hook=pairs, max_buffer_size=codec.LIMIT
    )
    unpacker.feed(data)
    try:
        value = unpacker.unpack()
        canonical = fallback.Packer(use_bin_type=True).pack(value)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
        return None
    plain = depth(value) <= codec.DEPTH_LIMIT and not holds_others(value)
    return [value] if canonical == data and plain else None


def pairs(items: list[tuple[Any, Any]]) -> dict[Any, Any]:
    if any(type(key) not in (str, int) for key, _ in items) or len(items) > codec.MAP_LIMIT:
        raise ValueError("key")
    return dict(items)


def holds_others(value: object) -> bool:
    if isinstance(value, list):
        return any(map(holds_others, value))
    if isinstance(value, dict):
        return any(map(holds_others, value.values()))
    return not (value is None or isinstance(value, (bool, int, str, bytes)))


@given(
    st.binary(max_size=24)
    | VALUES.map(codec.encode)
    | st.tuples(VALUES.map(codec.encode), st.integers(0, 10_000), st.integers(0, 255)).map(
        lambda t: t[0][: t[1] % len(t[0])] + bytes([t[2]]) + t[0][t[1] % len(t[0]) + 1 :]
    )
)
@example(b"\xcb" + bytes(8))
@example(b"\x82\x01\x01\x01\x02")
def test_dg12_c_and_python_decoders_agree(data: bytes) -> None:
    try:
        ours: Any = [codec.decode(data)]
    except ProtocolError:
        ours = None
    theirs = fallback_value(data)
    assert ours == theirs
    assert repr(ours) == repr(theirs)  # 1 == True


def test_dg10_length_is_limited() -> None:
    assert codec.decode(codec.encode(bytes(65_533)))
    for read in (codec.decode, codec.decode_all):
        with pytest.raises(ProtocolError, match="limit"):
            read(codec.encode(bytes(65_534)))
        with pytest.raises(ProtocolError, match="limit of 10"):
            read(codec.encode(bytes(10)), limit=10)


def test_dg10_depth_is_limited() -> None:
    assert codec.decode(b"\x91" * 7 + b"\x90") == [[[[[[[[]]]]]]]]
    assert codec.decode(b"\x81\x01" * 7 + b"\x80")
    for data in (b"\x91" * 8 + b"\x90", b"\x81\x01" * 8 + b"\x80", b"\x91\x81\x01" * 4 + b"\x90"):
        with pytest.raises(ProtocolError, match="deep"):
            codec.decode(data)


def test_dg10_maps_and_arrays_are_limited() -> None:
    assert len(codec.decode(codec.encode(dict.fromkeys(range(256), 0)))) == 256
    with pytest.raises(ProtocolError, match="too long"):
        codec.decode(codec.encode(dict.fromkeys(range(257), 0)))
    assert len(codec.decode(codec.encode([0] * 65_533))) == 65_533
    with pytest.raises(ProtocolError, match="too long"):
        codec.decode(b"\xdd\x00\x01\x00\x01" + bytes(65_537), limit=100_000)


BOMBS = {
    "nested claims": b"\xdd\x00\x01\x00\x00" * 500,
    "nested 16-bit claims": b"\xdc\xff\xff" * 1_000,
    "nested claims that fit": (b"\xdc\xf0\x00" * 8) + bytes(65_000),
    "many claims": b"\xdc\xff\xff" + b"\xdc\xff\xff\x00" * 16_000,
    "deep": b"\x91" * 65_536,
    "deep maps": b"\x81\x01" * 32_000,
    "long string": b"\xdb\xff\xff\xff\xff" + bytes(1_000),
    "long bytes": b"\xc6\xff\xff\xff\xff" + bytes(1_000),
    "long array": b"\xdd\xff\xff\xff\xff" + bytes(60_000),
    "long map": b"\xdf\xff\xff\xff\xff" + bytes(60_000),
    "empty maps": codec.encode([{}] * 65_000),
    "empty arrays": codec.encode([[]] * 65_000),
    "pairs of maps": codec.encode([[{}, {}]] * 21_000),
    "maps one after another": b"\x80" * 65_536,
    "more than the limit": b"\x80" * 2**20,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_dg10_a_bomb_costs_little_memory(bomb: bytes) -> None:
    one_after_another = bomb == BOMBS["maps one after another"]
    tracemalloc.start()
    with contextlib.suppress(ProtocolError):
        (codec.decode_all if one_after_another else codec.decode)(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_dg13_an_error_leaves_nothing_behind() -> None:
    good = codec.encode([1, b"two", "three", {"four": None}])
    for bad in (*NOT_CANONICAL.values(), *BOMBS.values()):
        with contextlib.suppress(ProtocolError):
            codec.decode(bad)
        assert codec.decode(good) == [1, b"two", "three", {"four": None}]
        assert codec.decode_all(good * 2) == [codec.decode(good)] * 2


def test_dg13_an_old_msgpack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msgpack, "version", (1, 2, 3))
    spec = importlib.util.find_spec("securecp.codec")
    assert spec is not None and spec.loader is not None
    with pytest.raises(ImportError, match="msgpack"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_values_stand_one_after_another() -> None:
    assert codec.decode_all(b"") == []
    assert codec.decode_all(memoryview(b"\x01\x91\x02\xa1a")) == [1, [2], "a"]
    with pytest.raises(ProtocolError, match="short"):
        codec.decode_all(b"\x01\x91\x02\xa1")
    with pytest.raises(ProtocolError, match="after the end"):
        codec.decode(b"\x01\x02")


def test_dg10_values_one_after_another_are_counted() -> None:
    assert codec.decode_all(b"\x01" * 3, most=3) == [1, 1, 1]
    with pytest.raises(ProtocolError, match="more than 3"):
        codec.decode_all(b"\x01" * 3 + b"\xc1", most=3)


def test_what_we_cannot_encode_is_our_bug() -> None:
    for value in (object(), {1, 2}, 2**64):
        with pytest.raises((TypeError, OverflowError)):
            codec.encode(value)
