"""A session in small: drives a `Store` as `receiving.py` does, without a peer or a network."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from blake3 import blake3

from securecp.disk import Report, Store
from securecp.disk.journal import Journals
from securecp.errors import StorageError
from securecp.transfer.entries import CHUNK, FILE
from securecp.transfer.holdings import Holdings
from securecp.transfer.manifest import Manifest

KEY = bytes(range(32))
PEER = b"p" * 32


class Session:
    """One meeting: `data` is what the sender has; `came` counts the bytes that had to come."""

    def __init__(
        self,
        into: Path,
        manifest: Manifest,
        data: bytes,
        journals: Journals | None,
        **options: Any,
    ) -> None:
        self.manifest = manifest
        self.data = data
        options.setdefault("reserve", 0)
        self.store = Store(into, journals=journals, peer=PEER, **options)
        self.came = 0
        self.reread = 0
        self.failed: set[int] = set()
        self.good: set[int] = set()
        self.compared_bad: set[int] = set()
        """Chunks that must come although they were held."""
        self._good: dict[int, int] = {}
        self.holdings: Holdings

    def prepare(self) -> Holdings:
        self.holdings = self.store.prepare(self.manifest)
        for entry in self.holdings.drops:
            self.fail(entry)
        for entry, row in enumerate(self.manifest.entries):
            if row.kind == FILE and not row.size and entry not in self.failed:
                self.store.ready(entry)
        return self.holdings

    @property
    def held(self) -> set[int]:
        return {number for some in self.holdings.chunks for number in some}

    def fail(self, entry: int) -> None:
        self.failed.add(entry)
        self.store.failed(entry)

    def told(self, number: int) -> bytes:
        chunk = self.manifest.chunk(number)
        return blake3(self.data[chunk.offset : chunk.offset + chunk.length]).digest()

    def compare(self, number: int) -> bool:
        """A chunk that may be here, against the digest that the sender tells."""
        digest = self.store.known(number)
        if digest is None:
            self.reread += 1
            try:
                digest = self.store.digest(self.manifest.chunk(number))
            except StorageError:
                digest = b""
        if digest != self.told(number):
            return False
        self._keep(number, digest)
        return True

    def send(self, number: int, pieces: int = 3) -> bool:
        """A chunk comes; True if it is right on the disk."""
        chunk = self.manifest.chunk(number)
        if chunk.entry in self.failed:
            return False
        step = max(1, chunk.length // pieces)
        for start in range(0, chunk.length, step):
            end = min(start + step, chunk.length)
            piece = self.data[chunk.offset + start : chunk.offset + end]
            self.store.store(chunk.offset + start, [memoryview(piece)])
        self.came += chunk.length
        digest = self.store.digest(chunk)
        for entry, _ in self.store.broken():
            self.fail(entry)
        if digest != self.told(number):
            return False
        self._keep(number, digest)
        return True

    def half(self, number: int) -> None:
        """Half of a chunk comes."""
        chunk = self.manifest.chunk(number)
        piece = self.data[chunk.offset : chunk.offset + (chunk.length + 1) // 2]
        self.store.store(chunk.offset, [memoryview(piece)])

    def restart(self, entry: int) -> None:
        self.store.forget(entry)
        self._good.pop(entry, None)

    def run(
        self,
        numbers: Iterable[int] | None = None,
        *,
        each: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Have everything here, or the chunks with these numbers: held ones are compared."""
        held = self.held
        for number in range(self.manifest.chunk_count) if numbers is None else numbers:
            entry = self.manifest.chunk(number).entry
            if entry not in self.failed and not (number in held and self.compare(number)):
                self.send(number)
            each(number)

    def finish(self) -> Report:
        report = self.store.publish()
        self.store.finished()
        return report

    def _keep(self, number: int, digest: bytes) -> None:
        self.store.good(number, digest)
        self.good.add(number)
        entry = self.manifest.chunk(number).entry
        self._good[entry] = self._good.get(entry, 0) + 1
        if self._good[entry] == len(self.manifest.chunks(entry)):
            self.store.ready(entry)


def transfer(
    into: Path, manifest: Manifest, data: bytes, journals: Journals | None, **options: Any
) -> tuple[Report, Session]:
    """A whole transfer, from whatever is there."""
    session = Session(into, manifest, data, journals, **options)
    try:
        session.prepare()
        session.run()
        return session.finish(), session
    finally:
        session.store.suspend()


CHUNKS = CHUNK
