"""Zeros where something else may stand: what a hole of the sender's file is in an old part."""

from securecp.disk.spans import read_span, write_span


def clear(descriptor: int, start: int, length: int) -> None:
    """Have zeros from `start` on; what lies beyond the end of the file is left a hole."""
    piece = memoryview(bytearray(length))
    got = read_span(descriptor, start, [piece], length)
    if any(piece[:got]):
        piece[:] = bytes(length)
        write_span(descriptor, start, [piece[:got]], got)
