"""Strict canonical msgpack: whatever anybody sends us as msgpack comes through here.

Each value has exactly one encoding, and anything else is a `ProtocolError`: non-minimal lengths and
integers, floats, extension types, timestamps, duplicate keys, invalid UTF-8, bytes left over.
Digests and signatures are taken over the bytes that were sent all the same, never over values.

    walk       structure only: depth, claimed lengths, forbidden types; makes no object
    unpack     msgpack's own decoder, a new one for each message
    compare    encode again: the very same bytes, or it was not canonical

The walk comes first since msgpack's decoder makes room for what an array header claims before it
sees the items: 2.5 KiB of nested headers would take 256 MiB (DG-10).
"""

from typing import Any, TypeAlias

import msgpack

from securecp.errors import ProtocolError

LIMIT = 65_536
"""Bytes in one message, and items in one array."""
DEPTH_LIMIT = 8
"""Arrays and maps inside one another, the outermost counted."""
MAP_LIMIT = 256
"""Entries in one map."""

Value: TypeAlias = "bool | int | str | bytes | list[Value] | dict[str | int, Value] | None"

if msgpack.version < (1, 2, 4):  # the floor in pyproject.toml, held at run time too
    raise ImportError("securecp needs msgpack 1.2.4 or later")


def encode(value: Any) -> bytes:
    """Encode a `Value` (a tuple counts as a list); anything else is our bug: `TypeError`."""
    data: bytes = msgpack.packb(value, use_bin_type=True)
    return data


def decode(data: bytes | memoryview, *, limit: int = LIMIT) -> Any:
    """Read the one value that fills `data`, or raise `ProtocolError`."""
    if len(data) > limit:
        raise ProtocolError(f"a message of {len(data)} bytes exceeds the limit of {limit}")
    data = bytes(data)
    if _walk(data, 0) != len(data):
        raise ProtocolError("bytes after the end of a message")
    return _unpack(data)


def decode_all(data: bytes | memoryview, *, limit: int = LIMIT, most: int = LIMIT) -> list[Any]:
    """Read the values that stand in `data` one after another, or raise `ProtocolError`.

    No more than `most` of them, and the rest is not even looked at.
    """
    if len(data) > limit:
        raise ProtocolError(f"{len(data)} bytes of messages exceed the limit of {limit}")
    data = bytes(data)
    values: list[Any] = []
    position = 0
    while position < len(data):
        if len(values) >= most:
            raise ProtocolError(f"more than {most} messages in one")
        end = _walk(data, position)
        values.append(_unpack(data[position:end]))
        position = end
    return values


def integer(value: object, low: int, high: int) -> int:
    """An int (never a bool) from `low` to `high`, both included."""
    if type(value) is not int or not low <= value <= high:
        raise ProtocolError(f"expected an integer from {low} to {high}")
    return value


def binary(value: object, low: int, high: int | None = None) -> bytes:
    """A byte string of `low` to `high` bytes; of exactly `low` when `high` is left out."""
    if type(value) is not bytes or not low <= len(value) <= (low if high is None else high):
        raise ProtocolError("expected a byte string of another length")
    return value


def text(value: object, limit: int) -> str:
    """A string of at most `limit` characters; showing it safely is for whoever shows it."""
    if type(value) is not str or len(value) > limit:
        raise ProtocolError(f"expected a string of at most {limit} characters")
    return value


def array(value: object, low: int, high: int | None = None) -> list[Any]:
    """A list of `low` to `high` items; of exactly `low` when `high` is left out."""
    if type(value) is not list or not low <= len(value) <= (low if high is None else high):
        raise ProtocolError("expected an array of another length")
    return value


def _unpack(data: bytes) -> Any:
    """Decode what the walk has passed; a new decoder each time, so no error can leave one bent."""
    try:
        value = msgpack.unpackb(
            data, raw=False, strict_map_key=False, object_pairs_hook=_map, max_ext_len=0
        )
        canonical = encode(value) == data
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"a message is not msgpack: {type(error).__name__}") from None
    except msgpack.UnpackException as error:
        raise ProtocolError(f"a message is not msgpack: {type(error).__name__}") from None
    if not canonical:
        raise ProtocolError("a message is not in its canonical encoding")
    return value


def _map(pairs: list[tuple[object, Any]]) -> dict[Any, Any]:
    for key, _ in pairs:
        if type(key) is not str and type(key) is not int:
            raise ProtocolError("a map key is neither text nor integer")
    return dict(pairs)  # a key that came twice is there once, so its encoding is not canonical


def _size_table() -> list[int]:
    """Bytes of an item by its first byte; 0: a length follows, or the type is refused."""
    sizes = [0] * 256
    sizes[0x00:0x80] = [1] * 128  # positive fixint
    sizes[0xA0:0xC0] = [1 + length for length in range(32)]  # fixstr
    sizes[0xE0:0x100] = [1] * 32  # negative fixint
    sizes[0xC0] = sizes[0xC2] = sizes[0xC3] = 1  # nil, false, true
    sizes[0xCC:0xD0] = sizes[0xD0:0xD4] = [2, 3, 5, 9]  # uint, int
    return sizes


_SIZES = _size_table()
_STRINGS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_CONTAINERS = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
"""First byte to the number of length bytes that follow."""


def _walk(data: bytes, position: int) -> int:
    """Where the item at `position` ends; checks depth and lengths without making any object.

    About 0.1 µs an item: a manifest page costs 1 ms here, an acknowledgement 1 to 2 µs.
    """
    length = len(data)
    sizes = _SIZES
    missing = 1  # items still to come in the innermost container
    outer: list[int] = []  # the same for the containers around it
    while missing:
        if position >= length:
            raise ProtocolError("a message is cut short")
        first = data[position]
        missing -= 1
        size = sizes[first]
        if size:
            position += size
        elif first in _STRINGS:
            position += _string_size(data, position, _STRINGS[first])
        else:
            position, items = _container(data, position, first)
            outer.append(missing)
            if len(outer) > DEPTH_LIMIT:
                raise ProtocolError("a message is nested too deeply")
            missing = items
        while not missing and outer:
            missing = outer.pop()
    if position > length:
        raise ProtocolError("a message is cut short")
    return position


def _string_size(data: bytes, position: int, width: int) -> int:
    start = position + 1 + width
    if start > len(data):
        raise ProtocolError("a message is cut short")
    return 1 + width + int.from_bytes(data[position + 1 : start], "big")


def _container(data: bytes, position: int, first: int) -> tuple[int, int]:
    """Where the items of an array or map begin, and how many there are (a map's pair is two)."""
    if 0x80 <= first < 0xA0:
        start, count, is_map = position + 1, first & 0x0F, first < 0x90
    elif first in _CONTAINERS:
        start = position + 1 + _CONTAINERS[first]
        if start > len(data):
            raise ProtocolError("a message is cut short")
        count, is_map = int.from_bytes(data[position + 1 : start], "big"), first >= 0xDE
    else:
        raise ProtocolError(f"a message holds the refused type {first:#04x}")
    if count > (MAP_LIMIT if is_map else LIMIT):
        raise ProtocolError("an array or map is too long")
    return start, count * 2 if is_map else count
