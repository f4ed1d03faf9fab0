"""Received files: content into hidden parts, digests back out, publishing when all is proved.

    prepare      check the offer and the room, lay out directories
    store        bytes of content space into parts, in any order          (the transfer's thread)
    digest       BLAKE3 of a chunk as the disk has it                      (worker threads)
    ready        every chunk of a file was verified;  failed: it will not come
    publish      flush, give the files their names, then the directories   (one worker thread)
    abandon      remove what we made, and nothing else

Nothing is reached by path: the destination is one descriptor from the start, so that renaming or
replacing it changes nothing (SPEC §9). Every error is a StorageError.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from securecp.disk import attributes, flush, offer, space, sweep
from securecp.disk.calls import at
from securecp.disk.descent import Descent
from securecp.disk.digests import Digester
from securecp.disk.layout import Layout
from securecp.disk.names import PartNames
from securecp.disk.parts import Parts
from securecp.disk.settle import Conflict, settle
from securecp.disk.spans import cut, write_span
from securecp.errors import StorageError
from securecp.transfer.manifest import FILE, Chunk, Manifest

_LOOK_EVERY = 64 << 20
"""Bytes stored between two looks at the free space."""

_WAITING, _READY, _FAILED, _DONE = range(4)


class Report(NamedTuple):
    """What publishing came to; entries are indices in the manifest."""

    published: int
    """Files under their final names, flushed."""
    size: int
    """Their bytes."""
    skipped: tuple[int, ...]
    """Entries whose names were taken, under `skip`."""
    renamed: tuple[tuple[int, bytes], ...]
    """Entries (files and directories) that got another name than offered."""
    failed: tuple[tuple[int, str], ...]
    """Entries that could not be published, each with the reason."""


class Store:
    """The files of one offer on their way into a destination directory, which must exist.

    `reserve` is the bytes to leave free (None: `space.default_reserve`), `executable` whether a
    published file may keep the user's execute bit, `umask` the process's unless given.
    """

    def __init__(
        self,
        destination: Path,
        *,
        conflict: Conflict = "rename",
        reserve: int | None = None,
        executable: bool = True,
        umask: int | None = None,
    ) -> None:
        self._conflict = conflict
        self._reserve = reserve
        self._executable = executable
        self._umask = _current_umask() if umask is None else umask
        self._lock = threading.Lock()
        self._names = PartNames()
        self._prepared = False
        self._closed = False
        self._first = self._end = self._file = 0  # the part written last, in content space
        self._stored = self._looked = 0
        self._root = _pin(destination)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abandon()

    def prepare(self, manifest: Manifest) -> None:
        """Refuse what cannot fit or must not be, then make the directories."""
        entries = manifest.columns
        offer.check(entries)
        self._reserve = space.check_room(self._root, manifest.size, len(entries), self._reserve)
        self._manifest = manifest
        self._entries = entries
        self._layout = Layout(self._root, entries, self._names, merge=self._conflict != "rename")
        self._parts = Parts(entries, self._layout, self._names)
        self._states = bytearray(len(entries))
        self._digester = Digester(
            lambda capacity: Descent(self._layout.places, capacity, pinned=self._root),
            self._parts.open_to_read,
        )
        self._prepared = True
        with self._explained():
            merged = self._layout.make()
            sweep.hold(self._root, time.time(), map(self._layout.walk.take, merged))

    def store(self, offset: int, slices: list[memoryview]) -> None:
        """Write one contiguous run of content space that begins at `offset`.

        Hot: once per burst. Beside `pwritev` 1 µs for 64 slices into the same file as last time.
        A file of 4 KiB costs 9 µs of Python here, 7 in `digest` and 14 in `publish`, beside about
        12, 9 and 12 µs of system calls on tmpfs (ext4 takes two to five times those).
        """
        length = sum(map(len, slices))
        try:
            if self._first <= offset and offset + length <= self._end:
                write_span(self._file, offset - self._first, slices, length)
            else:
                self._store_across(offset, slices, length)
        except OSError as error:
            raise self._storage_error(error, offset) from error
        self._stored += length
        if self._stored - self._looked >= _LOOK_EVERY:
            self._look()

    def digest(self, chunk: Chunk) -> bytes:
        """BLAKE3 of the chunk as stored; from any thread but not during `publish`."""
        try:
            return self._digester.digest(chunk)
        except OSError as error:
            raise self._storage_error(error, chunk.offset) from error

    def ready(self, entry: int) -> None:
        """All of the file has been stored and verified: publish it. Nothing may be stored after."""
        if self._states[entry] != _WAITING or self._entries.kinds[entry] != FILE:
            raise ValueError("not a file that is being received")
        self._states[entry] = _READY
        self._end = self._first

    def failed(self, entry: int) -> None:
        """The file will not come: its part goes, and late bytes of it are dropped."""
        if self._states[entry] in (_WAITING, _READY):
            self._states[entry] = _FAILED
            self._end = self._first
            self._parts.remove(entry)

    def publish(self) -> Report:
        """Flush all that is ready, give it its names, flush those; what is not ready goes.

        A file that cannot be published is reported; StorageError means that nothing was published
        or that what was published may not survive a power cut.
        """
        with self._lock:
            self._end = self._first
            self._digester.close()
            ready = [entry for entry, state in enumerate(self._states) if state == _READY]
            with self._explained():
                self._complete(ready)
                self._flush(ready)
            report = self._settle_all(ready)
            self._parts.remove_all()
            with self._explained():
                self._layout.finish(self._umask)
                self._layout.sync(everything=len(ready) > flush.FEW)
                renamed = self._layout.reveal()
                flush.sync_directory(self._root)
            self._layout.made.clear()
            self._release()
        return Report(
            report.published,
            report.size,
            report.skipped,
            (*report.renamed, *renamed),
            report.failed,
        )

    def abandon(self) -> None:
        """Remove the parts and empty directories that we made, and close; harmless when done."""
        with self._lock:
            if self._closed:
                return
            if self._prepared:
                self._parts.remove_all()
                self._layout.remove()
            self._release()

    # Steps of publishing

    def _complete(self, ready: list[int]) -> None:
        """Make the parts of empty files; others must have been stored."""
        for entry in ready:
            if self._parts.inode(entry):
                continue
            if self._entries.size(entry):
                raise ValueError("a file is ready of which nothing was stored")
            self._parts.take(entry)

    def _flush(self, ready: list[int]) -> None:
        if len(ready) > flush.FEW and self._layout.sync_all():
            return
        for entry in ready:
            os.fsync(self._parts.take(entry))

    def _settle_all(self, ready: list[int]) -> Report:
        published = size = 0
        failed: list[tuple[int, str]] = []
        self._parts.close()
        skipped: list[int] = []
        renamed: list[tuple[int, bytes]] = []
        for entry in ready:
            try:
                name = self._settle(entry)
            except OSError as error:
                failed.append((entry, space.reason(error)))
                continue
            if name is None:
                skipped.append(entry)
                continue
            published += 1
            size += self._entries.size(entry)
            if name != self._entries.name(entry):
                renamed.append((entry, name))
        return Report(published, size, tuple(skipped), tuple(renamed), tuple(failed))

    def _settle(self, entry: int) -> bytes | None:
        """One part to its name: mode and time through a descriptor that is surely ours."""
        _, parent, wanted, _, mode, mtime_ns = self._entries[entry]
        mode = attributes.file_mode(mode, self._umask, executable=self._executable)
        directory = self._layout.walk.take(parent)
        part = self._parts.name(entry)
        descriptor = at.open_file(directory, part, self._parts.inode(entry))
        attributes.apply(descriptor, mode, mtime_ns)
        at.close(descriptor)
        name = settle(directory, part, wanted, self._conflict)
        self._parts.settled(entry)
        self._states[entry] = _DONE
        return name

    # Storing

    def _store_across(self, offset: int, slices: Sequence[memoryview], length: int) -> None:
        """Cut the run at the borders of files; also selects the part for the next run."""
        starts = self._entries.starts
        entry = self._manifest.locate(offset)
        while True:
            first, end = starts[entry], starts[entry + 1]
            count = min(length, end - offset)
            mine, slices = cut(slices, count) if count < length else (list(slices), [])
            state = self._states[entry]
            if state == _WAITING:
                self._end = self._first  # if the next line fails, nothing is selected
                self._file = self._parts.take(entry)
                self._first, self._end = first, end
                write_span(self._file, offset - first, mine, count)
            elif state != _FAILED:
                raise ValueError("bytes for a file that was verified already")
            offset += count
            length -= count
            if not length:
                return
            entry += 1
            while starts[entry + 1] == offset:  # those that own no byte
                entry += 1

    def _look(self) -> None:
        """Stop before the reserve is used up by us and others together."""
        self._looked = self._stored
        found = space.free(self._root)
        if found is not None and found[0] < (self._reserve or 0):
            missing = max(0, self._manifest.size - self._stored)
            raise StorageError(
                f"the disk is nearly full, {missing:,} bytes are still needed",
                "Free some space and run the same command again.",
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._storage_error(error) from error

    def _storage_error(self, error: OSError, offset: int | None = None) -> StorageError:
        name = b""
        if offset is not None:
            name = self._entries[self._manifest.locate(offset)].name
        return space.storage_error(error, name, max(0, self._manifest.size - self._stored))

    def _release(self) -> None:
        self._closed = True
        if self._prepared:
            self._digester.close()
            self._parts.close()
            self._layout.walk.close()
        at.close(self._root)


def _pin(destination: Path) -> int:
    """Open the destination for good, prove that files can be made in it, sweep old parts."""
    shown = os.fsencode(destination)
    try:
        root = at.pin(shown)
    except FileNotFoundError:
        raise StorageError(
            f"the destination does not exist: {destination}", "Make the folder first."
        ) from None
    except NotADirectoryError:
        raise StorageError(f"the destination is not a folder: {destination}") from None
    except OSError as error:
        raise space.storage_error(error, shown) from error
    try:
        sweep.hold(root, time.time(), [root])
        probe = PartNames().of(0)
        at.close(at.create(root, probe))
        at.remove(root, probe)
    except OSError as error:
        at.close(root)
        raise space.storage_error(error, shown) from error
    return root


def _current_umask() -> int:
    """The process's umask; reading it means setting it for an instant."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
