"""Datagrams laid end to end in one buffer, and the slices of each (SPEC §5).

    datagram   header 16 | CHUNK head 14 | slot … | tag 16
                ad, nonce  └────── sealed in place ──────┘

Made once for each buffer and stride, for the hot loops of `seal.py` and `opening.py`: an object, a
slice or a packed nonce for each datagram would cost 0.1 to 0.2 µs each.
"""

import struct

from securecp.transport.frames import CHUNK_HEAD_LENGTH
from securecp.transport.wire import HEADER_LENGTH, OVERHEAD, TAG_LENGTH

VOLLEY = 4
"""What is chosen, filled, sealed and entered in the ledger as one, in system calls."""
CHUNK_OVERHEAD = OVERHEAD + CHUNK_HEAD_LENGTH
HEAD = struct.Struct(">BBHIQBBBQBH")
"""The header of a datagram and the head of its CHUNK."""


class Layout:
    """The slices of each datagram in one buffer at one stride, made once and used for ever."""

    __slots__ = ("bodies", "data", "short", "slot_length", "slots", "views")

    def __init__(self, data: memoryview, stride: int) -> None:
        self.data = data
        self.slot_length = stride - CHUNK_OVERHEAD
        self.views: list[tuple[memoryview, memoryview, memoryview, memoryview]] = []
        """Per datagram: nonce, plaintext, header, plaintext with tag."""
        self.slots: list[memoryview] = []
        self.short = 0
        """How many datagrams are shorter than a header and a tag: the last, if any."""
        for at in range(0, len(data), stride):
            end = min(at + stride, len(data))
            body = at + HEADER_LENGTH
            if end - body < TAG_LENGTH:
                self.short = 1
                break
            plain = data[body : end - TAG_LENGTH]
            self.views.append((data[at + 4 : body], plain, data[at:body], data[body:end]))
            self.slots.append(plain[CHUNK_HEAD_LENGTH:])
        self.bodies = [sealed for _, _, _, sealed in self.views]
