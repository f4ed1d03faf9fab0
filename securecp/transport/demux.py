"""Which session a burst belongs to, as far as that can be told without opening it (SPEC §4.1)."""

from securecp.endpoint import Burst
from securecp.transport.fragments import numbers
from securecp.transport.wire import DATA, SMALLEST_DATAGRAM

OURS = 0x40
"""First bytes below belong to STUN."""
OTHERS, OTHERS_MASK = 0x60, 0xE0
"""And those of 0x60 to 0x7f to probes, beacons and relays."""
_DATA_BYTE = bytes([DATA])
_KIND_AND_INDEX = (0, 4, 5, 6, 7)


def index_of(burst: Burst) -> bytes | None:
    """The receiver index that every datagram bears, so that the burst may go on in one piece.

    None if one is no DATA or bears another: GRO may join what a peer sends for two sessions, and
    what somebody else slips in between. And None for what is too short: alone, it spoils no other.
    """
    data, stride = burst.data, burst.stride
    if data[:1] != _DATA_BYTE or len(data) < SMALLEST_DATAGRAM:
        return None
    index = data[4:8].tobytes()
    if len(data) > stride:
        count = -(-len(data) // stride)
        # A train in turn: the index of each is proved with the whole, and no other datagram bears
        # these numbers.
        if data[3] and data[2::stride].tobytes() == numbers(count):
            last = (count - 1) * stride
            return index if data[last + 4 : last + 8] == index else None
        for place in _KIND_AND_INDEX:
            column = bytes(data[place::stride])
            if column.count(column[:1]) != count:
                return None
    return index
