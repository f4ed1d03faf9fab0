"""What is here before anything comes, and what zeros are known to be (SPEC §8.6).

Chunks that the receiver *may* have: of an earlier session, or of a file that has the name already.
They count only once their digests agree with what the sender tells.
"""

from functools import lru_cache
from typing import NamedTuple

from blake3 import blake3


class Holdings(NamedTuple):
    """What a store has of an offer, once it is prepared."""

    chunks: tuple[range, ...] = ()
    """Chunk numbers that may be here: ascending, and none twice."""
    drops: tuple[int, ...] = ()
    """Files and links that are not wanted: their names are taken and stay as they are, say."""


@lru_cache(maxsize=16)
def zero_digest(length: int) -> bytes:
    """BLAKE3 of so many zero bytes: of a chunk that lies in a hole."""
    return blake3(bytes(length)).digest()
