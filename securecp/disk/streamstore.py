"""A stream received into a file, and any one file under a name that our own user chose (`-o FILE`).

The bytes come in order, each piece verified before, and go to a hidden part as everything does
(`store`, SPEC §9); the file gets its name when the stream has ended and all of it is flushed. It
cannot be resumed, since nobody could tell the sender's program to begin again: what is left of a
stream that broke off is removed.
"""

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from securecp.disk import attributes, flush, space
from securecp.disk.calls import at
from securecp.disk.names import PartNames, is_component, shown
from securecp.disk.settle import Conflict, settle
from securecp.disk.spans import write_span
from securecp.disk.store import Report, Store, _current_umask, _pin
from securecp.errors import StorageError
from securecp.transfer.entries import FILE, STREAM, Entries
from securecp.transfer.holdings import Holdings
from securecp.transfer.manifest import Manifest

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_LOOK_EVERY = 64 << 20
_FLUSH_EVERY = 64 << 20
"""Bytes written before they are flushed, so that the end of a long stream is not a long wait."""


class StreamStore:
    """One stream on its way into a destination directory, which must exist.

    `name` is the exact name to give it, instead of the one it is offered with.
    """

    resumable = False
    error: StorageError | None = None
    backlog = 0
    """Bytes in memory: everything is written at once."""

    def __init__(
        self,
        destination: Path,
        *,
        conflict: Conflict = "rename",
        reserve: int | None = None,
        executable: bool = True,
        umask: int | None = None,
        name: bytes | None = None,
    ) -> None:
        self._conflict = conflict
        self._reserve = reserve
        self._executable = executable
        self._umask = _current_umask() if umask is None else umask
        self._name = name
        self._part = PartNames().of(0)
        self._lock = threading.Lock()
        self._file = -1
        self._inode = 0
        self._size = self._looked = self._saved = 0
        self._closed = False
        self._root = _pin(destination)

    def prepare(self, manifest: Manifest) -> Holdings:
        """Refuse what is no stream or has no room, then make the part."""
        entries = manifest.columns
        if list(entries.kinds) != [STREAM]:
            raise StorageError("the offer is not one stream")
        if self._name is None:
            self._name = entries.name(0)
        if not is_component(self._name):
            raise StorageError(f"the offer holds a name that is not stored: {shown(self._name)}")
        self._mode = entries.mode(0)
        self._reserve = space.check_room(self._root, 0, 1, self._reserve)
        try:
            if self._conflict == "skip" and self._is_taken():
                raise StorageError(f"there is something already: {shown(self._name)}")
            self._file = at.create(self._root, self._part)
            self._inode = os.fstat(self._file).st_ino
        except OSError as error:
            raise self._explained(error) from error
        return Holdings()

    def append(self, data: "Buffer") -> None:
        """Write the next bytes, which have been verified."""
        piece = memoryview(data)
        if self._file < 0:
            raise ValueError("not prepared, or over")
        try:
            write_span(self._file, self._size, [piece], piece.nbytes)
        except OSError as error:
            self.error = self._explained(error)
            raise self.error from error
        self._size += piece.nbytes
        if self._size - self._looked >= _LOOK_EVERY:
            self._look()

    @property
    def unsaved(self) -> int:
        """Bytes that a power cut could take."""
        return self._size - self._saved

    def due(self, now: float) -> bool:  # noqa: ARG002 - the same for every store
        """Whether it is time for a `checkpoint`: by bytes alone, since nothing is resumed."""
        return self.unsaved >= _FLUSH_EVERY

    def checkpoint(self) -> None:
        """Flush what has been written; if that fails, it is not tried again (any thread)."""
        with self._lock:
            if self.error is not None:
                raise self.error
            size = self._size
            if self._file < 0:
                return
            try:
                os.fsync(self._file)
            except OSError as error:
                self.error = self._explained(error)
                raise self.error from error
            self._saved = size

    def publish(self) -> Report:
        """The stream has ended well: flush it, give it its name, flush that."""
        mode = attributes.file_mode(self._mode, self._umask, executable=self._executable)
        with contextlib.suppress(OSError, AttributeError):  # the time is that of its arrival
            os.fchmod(self._file, mode)
        self.checkpoint()
        with self._lock:
            assert self._name is not None
            try:
                name = self._settle(self._name)
                flush.sync_directory(self._root)
            except OSError as error:
                raise self._explained(error) from error
            finally:
                self._release()
        if name is None:
            return Report(0, 0, (0,), (), ())
        renamed = ((0, name),) if name != self._name else ()
        return Report(1, self._size, (), renamed, ())

    def suspend(self) -> None:
        """There is nothing to go on from: remove it."""
        self.abandon()

    def abandon(self) -> None:
        """Remove the part, if it is still ours; harmless when done."""
        with self._lock:
            self._release()

    def _settle(self, wanted: bytes) -> bytes | None:
        found = at.status(self._root, self._part)
        if found.st_ino != self._inode:
            raise FileNotFoundError("the part is gone")
        name = settle(self._root, self._part, wanted, self._conflict)
        self._inode = 0  # it is a file now, or has gone: nothing of ours to remove
        return name

    def _is_taken(self) -> bool:
        """Only to spare everybody the bytes; what decides is that names are taken exclusively."""
        assert self._name is not None
        try:
            at.status(self._root, self._name)
        except FileNotFoundError:
            return False
        return True

    def _look(self) -> None:
        """Stop before the reserve is used up by us and others together."""
        self._looked = self._size
        found = space.free(self._root)
        if found is not None and found[0] < (self._reserve or 0):
            self.error = StorageError(
                "the disk is nearly full, and how much of the stream is to come is not known",
                "Free some space and have it sent again.",
            )
            raise self.error

    def _explained(self, error: OSError) -> StorageError:
        """Never a `FullError`: waiting for room does not help a stream that is removed."""
        explained = space.storage_error(error, self._name or b"")
        return StorageError(explained.message, explained.hint)

    def _release(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._file >= 0:
            at.close(self._file)
            self._file = -1
        if self._inode:
            with contextlib.suppress(OSError):
                if at.status(self._root, self._part).st_ino == self._inode:
                    at.remove(self._root, self._part)
        at.close(self._root)


class NamedStore(Store):
    """A store for an offer of exactly one file, which gets the name that our user chose."""

    def __init__(self, destination: Path, name: bytes, **options: Any) -> None:
        """`options` as those of `Store`."""
        super().__init__(destination, **options)
        self._chosen = name
        self._offered = b""

    def prepare(self, manifest: Manifest) -> Holdings:
        if list(manifest.columns.kinds) != [FILE]:
            raise StorageError(
                f"only one file can be stored as {shown(self._chosen)}, and no folder",
                "Choose a folder to receive into with --into.",
            )
        entry = manifest.entries[0]
        self._offered = entry.name
        entries = Entries()
        try:
            entries.add(entry._replace(name=self._chosen))
        except ValueError as error:
            raise StorageError(f"the output cannot have that name: {error}") from error
        # The digest stays that of the offer: by it the transfer is found again.
        renamed = Manifest._received(entries, manifest.page_count, manifest.digest)
        return super().prepare(renamed)

    def publish(self) -> Report:
        report = super().publish()
        if report.published and not report.renamed and self._chosen != self._offered:
            return report._replace(renamed=((0, self._chosen),))
        return report


def output_place(path: str) -> tuple[Path, bytes]:
    """Where `-o PATH` is: the directory, and the name in it; StorageError if it names no file."""
    place = Path(path)
    if not place.name or place.name == ".." or path.endswith(("/", "/.")):
        raise StorageError(
            "the output is not a file", "Choose a folder to receive into with --into."
        )
    return place.parent, os.fsencode(place.name)
