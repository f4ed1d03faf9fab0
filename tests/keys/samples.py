"""Identities that are the same in every run, and a directory that may hold private files."""

from functools import cache
from hashlib import shake_256
from random import Random

from keys.identity import Identity
from keys.policy import Contact
from keys.secret import Secret


@cache
def identity(name: str) -> Identity:
    return Identity(Secret(shake_256(name.encode()).digest(32)))


def contact(name: str, **fields: object) -> Contact:
    return Contact(name, identity(name).public, **fields)  # type: ignore[arg-type]


class Entropy:
    """Repeatable randomness that says how much of it was used."""

    def __init__(self, seed: int = 1) -> None:
        self._random = Random(seed)
        self.used = 0

    def __call__(self, count: int) -> bytes:
        self.used += count
        return self._random.randbytes(count)
