"""What a receiver remembers of transfers that are not over: journals in a folder of our own state.

One log (`log`, `records`) for each peer, manifest and destination, named by a keyed digest of the
three: whoever has the identity finds it again, nobody else learns from the name whose it is. All of
it may be lost at any time: then a transfer begins anew, and its old parts are swept a day later.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from securecp.disk import log, records, space
from securecp.disk.leftovers import remove_parts
from securecp.disk.log import Log
from securecp.disk.names import PartNames
from securecp.disk.records import Header, Remembered
from securecp.disk.state import StateFolder
from securecp.errors import StorageError
from securecp.transfer.manifest import Manifest

MAGIC = b"securecp jour 01"
AGE = 14 * 24 * 3600.0
"""Seconds after which a transfer that nobody has gone on with is given up."""
_SUFFIX = b".journal"
_ID = 16


class Unfinished(NamedTuple):
    """A transfer that was approved and has not come to its end."""

    peer: bytes
    digest: bytes
    """Of the manifest."""
    destination: Path
    names: tuple[bytes, ...]
    """At the top, the first few."""
    size: int
    kept: int
    """Bytes that need not come again."""
    at: float
    """When it was approved, seconds since 1970."""
    id: str


class Journal:
    """The journal of one transfer, locked while it is open. Methods raise OSError.

    `before` is what it says from earlier sessions.
    """

    def __init__(self, log: Log, header: Header, before: Remembered) -> None:
        self.id = log.name[: -len(_SUFFIX)].decode()
        self.header = header
        self.before = before
        self._log = log

    @property
    def names(self) -> PartNames:
        """How parts of this transfer are called."""
        return PartNames(self.id[:8].encode(), self.header.key)

    def append(self, blocks: Iterable[bytes], *, durable: bool) -> None:
        """Write blocks, and with `durable` have them on the disk before returning."""
        self._log.append(*blocks)
        if durable:
            self._log.sync()

    def remove(self) -> None:
        """The transfer is over: forget it."""
        self._log.remove()

    def close(self) -> None:
        self._log.close()


class Journals:
    """All journals of one identity, in `folder`; StorageError from anything. For any thread."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self._key = key
        try:
            self._folder = StateFolder(folder)
        except OSError as error:
            raise _cannot(error) from error

    def open(self, peer: bytes, manifest: Manifest, destination: Path) -> Journal:
        """The journal of this transfer, begun if there is none."""
        name = self._name(peer, manifest.digest, destination)
        where = _path(destination)
        try:
            found = Log.open(self._folder, name, self._key, MAGIC)
            assert found is not None
            try:
                return self._opened(found, peer, manifest, where)
            except BaseException:
                found.close()
                raise
        except OSError as error:
            raise _cannot(error) from error

    def approved(self, peer: bytes, manifest_digest: bytes, destination: Path) -> bool:
        """Whether somebody has said yes to this very transfer, and it has not been completed.

        A yes is for one delivery: a manifest says names and sizes, and other bytes fit it as well.
        """
        before = self._read(self._name(peer, manifest_digest, destination))
        header = before.header
        if header is None or before.complete:
            return False
        return (header.peer, header.digest) == (peer, manifest_digest)

    def unfinished(self) -> list[Unfinished]:
        """Transfers that can go on, the latest first."""
        found = []
        for name in self._names():
            before = self._read(name)
            header = before.header
            if header is None or before.complete:
                continue
            destination = Path(os.fsdecode(header.destination))
            found.append(
                Unfinished(
                    header.peer,
                    header.digest,
                    destination,
                    header.names,
                    header.size,
                    before.kept,
                    header.at / 1_000,
                    name[: -len(_SUFFIX)].decode(),
                )
            )
        return sorted(found, key=lambda each: each.at, reverse=True)

    def discard(self, identifier: str) -> bool:
        """Give a transfer up: remove its parts and forget it; False if there is no such transfer.

        StorageError if it is being received.
        """
        name = identifier.encode("ascii", "replace") + _SUFFIX
        if name not in self._names():
            return False
        try:
            found = Log.open(self._folder, name, self._key, MAGIC, create=False)
            if found is None:
                return False
            try:
                self._remove_parts(name, Remembered(found.blocks))
            finally:
                found.remove()
        except OSError as error:
            raise _cannot(error) from error
        return True

    def forget(self, identifier: str) -> None:
        """The receipt has arrived: nothing of the transfer need be remembered."""
        with contextlib.suppress(OSError, StorageError):
            name = identifier.encode() + _SUFFIX
            found = Log.open(self._folder, name, self._key, MAGIC, create=False)
            if found is not None:
                found.remove()

    def expire(self, now: float) -> None:
        """Give up what nobody has gone on with for 14 days; `now` in seconds since 1970."""
        for name in self._names():
            with contextlib.suppress(OSError, StorageError):
                if self._folder.status(name).st_mtime < now - AGE:
                    self.discard(name[: -len(_SUFFIX)].decode())

    def tags(self) -> frozenset[bytes]:
        """The digits in names of parts that are still wanted."""
        return frozenset(name[:8] for name in self._names())

    def close(self) -> None:
        self._folder.close()

    def _opened(self, log: Log, peer: bytes, manifest: Manifest, where: bytes) -> Journal:
        before = Remembered(log.blocks)
        header = before.header
        this = (peer, manifest.digest, where, len(manifest.entries))
        if header is None or (*header[:3], header.entries) != this:
            log.clear()
            before = Remembered(())
            header = _new(peer, manifest, where)
            log.append(records.header(header))
        log.blocks = []
        return Journal(log, header, before)

    def _remove_parts(self, name: bytes, before: Remembered) -> None:
        if before.header is not None:
            remove_parts(before.header, before, PartNames(name[:8], before.header.key))

    def _read(self, name: bytes) -> Remembered:
        try:
            return Remembered(log.read(self._folder, name, self._key, MAGIC))
        except OSError:
            return Remembered(())

    def _names(self) -> list[bytes]:
        try:
            return [name for name in self._folder.names() if name.endswith(_SUFFIX)]
        except OSError:
            return []

    def _name(self, peer: bytes, digest: bytes, destination: Path) -> bytes:
        data = b"".join(
            len(field).to_bytes(4, "big") + field for field in (peer, digest, _path(destination))
        )
        return blake3(data, key=self._key).hexdigest(_ID).encode() + _SUFFIX


def _new(peer: bytes, manifest: Manifest, where: bytes) -> Header:
    entries = manifest.columns
    tops = []
    for index in range(len(entries)):
        if not entries.parent(index):
            tops.append(entries.name(index))
        if len(tops) == records.SHOWN_NAMES:
            break
    now = int(time.time() * 1_000)
    return Header(
        peer,
        manifest.digest,
        where,
        tuple(tops),
        manifest.size,
        len(entries),
        secrets.token_bytes(32),
        max(0, now),
    )


def _path(destination: Path) -> bytes:
    return os.fsencode(destination.resolve())


def _cannot(error: OSError) -> StorageError:
    return StorageError(f"cannot keep a journal of the transfer: {space.reason(error)}")
