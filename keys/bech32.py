"""Bech32 (BIP 173): bytes as text with a type in front and a checksum behind.

    age1 qy352euf…  x4st2y
    │  │ └ 5 bits  └ 6 characters of checksum: finds any 4 wrong characters, and all but
    │  └ separator                            one in 10^9 of the rest
    └ human-readable part, the type

As age does, without the limit of 90 characters, which concerns the checksum's guarantee for
longer texts only. It is not Bech32m: the lengths of our texts are fixed, so an inserted or lost
`q` before a final `p` is caught by length.
"""

from keys.errors import MalformedKeyError

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
CHECKSUM_LENGTH = 6

_VALUES = {character: value for value, character in enumerate(CHARSET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def _feedback(top: int) -> int:
    result = 0
    for bit, term in enumerate(_GENERATOR):
        if top >> bit & 1:
            result ^= term
    return result


_FEEDBACK = tuple(_feedback(top) for top in range(32))


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        check = (check & 0x1FFFFFF) << 5 ^ value ^ _FEEDBACK[check >> 25]
    return check


def _expand(kind: str) -> list[int]:
    codes = kind.lower().encode()
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


def encode(kind: str, data: bytes) -> str:
    """`data` as text of the type `kind`; upper case if `kind` is."""
    bits = len(data) * 8
    padding = -bits % 5
    number = int.from_bytes(data) << padding
    values = [number >> shift & 31 for shift in range(bits + padding - 5, -1, -5)]
    check = _polymod(_expand(kind) + values + [0] * CHECKSUM_LENGTH) ^ 1
    values += [check >> shift & 31 for shift in range(25, -1, -5)]
    text = kind.lower() + "1" + "".join(CHARSET[value] for value in values)
    return text.upper() if kind.isupper() else text


def decode(text: str) -> tuple[str, bytes]:
    """The type, in the case of the text, and the bytes; `MalformedKeyError` says what is wrong."""
    if text != text.lower() and text != text.upper():
        raise MalformedKeyError("a key is not written in mixed case", "Copy it once more, whole.")
    kind, separator, rest = text.rpartition("1")
    if not kind or not separator or not all("!" <= character <= "~" for character in kind):
        raise MalformedKeyError("this is not a key", "A public key looks like age1… .")
    if len(rest) < CHECKSUM_LENGTH:
        raise MalformedKeyError("the key is cut short", "Copy it once more, whole.")
    values = [_VALUES.get(character, -1) for character in rest.lower()]
    if -1 in values:
        position = len(kind) + 2 + values.index(-1)
        raise MalformedKeyError(
            f"character {position} of the key cannot stand in a key", "Copy it once more, whole."
        )
    if _polymod(_expand(kind) + values) != 1:
        raise MalformedKeyError(
            "the checksum of the key is wrong: it was mistyped or cut", "Copy it once more, whole."
        )
    return kind, _pack(values[:-CHECKSUM_LENGTH])


def _pack(values: list[int]) -> bytes:
    """Groups of 5 bits as bytes; what is left over must be fewer than 5 bits, all zero."""
    number = 0
    for value in values:
        number = number << 5 | value
    length, left = divmod(len(values) * 5, 8)
    if left >= 5 or number & ((1 << left) - 1):
        raise MalformedKeyError("the key ends in stray bits", "Ask for the key once more.")
    return (number >> left).to_bytes(length)
