"""A secret in the program's hands: it does not print, does not pickle, compares in constant time.

Python cannot wipe memory, and this class does not claim to. What it prevents is the accident:
a passphrase or a secret key in a log line, a traceback with locals, a pickle, an f-string.
"""

import hmac
from typing import NoReturn


class Secret:
    """Some bytes that only `reveal` gives away."""

    __slots__ = ("__value",)

    def __init__(self, value: bytes | str) -> None:
        if isinstance(value, str):  # a terminal's bytes that are not UTF-8 arrive as surrogates
            value = value.encode("utf-8", "surrogateescape")
        self.__value = bytes(value)

    def reveal(self) -> bytes:
        """The bytes themselves, for the one call that needs them."""
        return self.__value

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value, other.__value)

    __hash__ = None  # type: ignore[assignment]  # a hash would be a comparison that leaks

    def __repr__(self) -> str:
        return "<redacted>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not copied, pickled or sent elsewhere")
