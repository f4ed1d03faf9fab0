"""A file or a tree as one stream of bytes.

    | length of the path, u16 | size, u64 | path | contents |   ...

A lone file has an empty path: the receiver writes it to the destination itself. Paths are believed:
both ends are ours.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HEAD = struct.Struct(">HQ")


def walk(source: Path) -> Iterator[tuple[bytes, Path]]:
    if source.is_file():
        yield b"", source
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(source)).encode(), path


def chunks(source: Path, size: int) -> Iterator[bytes]:
    """Chunks of about `size` bytes; small files are gathered."""
    gathered = bytearray()
    for name, path in walk(source):
        gathered += HEAD.pack(len(name), path.stat().st_size) + name
        with path.open("rb", buffering=0) as file:
            while True:
                if len(gathered) >= size:
                    yield bytes(gathered)
                    gathered.clear()
                data = file.read(size - len(gathered))
                if not data:
                    break
                if not gathered and len(data) == size:
                    yield data
                else:
                    gathered += data
    if gathered:
        yield bytes(gathered)


def total(source: Path) -> int:
    return sum(HEAD.size + len(name) + path.stat().st_size for name, path in walk(source))


class Sink:
    """Writes such a stream to files as it comes."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._held = b""
        self._left = 0
        self._file: BinaryIO | None = None
        self._made: set[Path] = set()

    def feed(self, data: bytes) -> None:
        if self._file and not self._held and self._left > len(data):  # the common case
            self._file.write(data)
            self._left -= len(data)
            return
        self._held += data
        position = 0
        while (moved := self._step(position)) != position:
            position = moved
        self._held = self._held[position:]

    def close(self) -> None:
        if self._left or self._held:
            raise SystemExit("the stream ended early")
        if self._file:
            self._file.close()

    def _step(self, position: int) -> int:
        """Take one part of a file, or one head, from `position` on; where the next begins."""
        if self._file and self._left:
            part = self._held[position : position + self._left]
            self._file.write(part)
            self._left -= len(part)
            return position + len(part)
        if len(self._held) - position < HEAD.size:
            return position
        length: int
        size: int
        length, size = HEAD.unpack_from(self._held, position)
        end = position + HEAD.size + length
        if len(self._held) < end:
            return position
        self._open(self._held[end - length : end].decode(), size)
        return end

    def _open(self, name: str, size: int) -> None:
        if self._file:
            self._file.close()
        path = self._target / name if name else self._target
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        self._file, self._left = path.open("wb", buffering=0), size
