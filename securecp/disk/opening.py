"""Before anything comes: what is here already of an offer, and the directories for the rest.

    the names that exist (`base`) ─► the journal ─► room ─► directories ─► parts of earlier sessions

All of it is made ready, or nothing new is left of it.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from securecp.disk import holding, space, sweep
from securecp.disk.base import SAME_SIZE, Base
from securecp.disk.calls import at
from securecp.disk.claims import Claims
from securecp.disk.finals import Finals
from securecp.disk.holding import Holding
from securecp.disk.journal import Journal, Journals
from securecp.disk.layout import Layout
from securecp.disk.names import PartNames
from securecp.disk.parts import Parts
from securecp.disk.records import Remembered
from securecp.disk.recovery import Recovery
from securecp.disk.saving import Saving
from securecp.disk.settle import Conflict
from securecp.errors import StorageError
from securecp.transfer.entries import FILE, LINK
from securecp.transfer.holdings import Holdings
from securecp.transfer.manifest import Manifest

_NOT_NAMELESS = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.ENOSYS}


class Opening:
    """Makes everything ready for one offer; `run`, and `undo` if that raises."""

    layout: Layout
    parts: Parts
    holding: Holding
    finals: Finals

    def __init__(
        self,
        manifest: Manifest,
        root: int,
        *,
        conflict: Conflict,
        reserve: int | None,
        symlinks: bool,
        verify: bool,
    ) -> None:
        self._manifest = manifest
        self._entries = manifest.columns
        self._root = root
        self._conflict = conflict
        self._symlinks = symlinks
        self._verify = verify
        self._before = Remembered(())
        self._names = PartNames()
        self._tags: frozenset[bytes] = frozenset()
        self._laid_out = False
        self.reserve = reserve
        self.base = Base(root, manifest)
        self.journal: Journal | None = None
        self.saving: Saving | None = None
        self.here = 0
        """Bytes that need no room any more."""
        self.uneven: set[int] = set()
        """Entries whose parts may not have their size."""

    def open_journal(self, journals: Journals, peer: bytes, destination: Path) -> None:
        """Go on with what the journal says, or begin it."""
        self.journal = journals.open(peer, self._manifest, destination)
        self._before = self.journal.before
        self._names = self.journal.names
        self._tags = journals.tags()

    def run(self) -> Holdings:
        """Lay out directories and find what is here; OSError, or StorageError if it cannot fit."""
        if self._may_be_there():
            self.base.look()
        claims = self._check_room()
        root, entries = self._root, self._entries
        merge = self._conflict != "rename"
        self.layout = Layout(root, entries, self._names, merge=merge, before=self._before)
        self.parts = Parts(entries, self.layout, self._names)
        self.holding = Holding(self._manifest)
        self.finals = Finals(self._manifest, {}, self.layout.places, root)
        self._laid_out = True
        merged = self.layout.make()
        sweep.hold(root, time.time(), map(self.layout.walk.take, merged), self._tags)
        self._recover(claims)
        if any(self.base.files):
            self.holding.add_base(self.base)
        return Holdings(self.holding.held(), tuple(self._drops()))

    def undo(self) -> None:
        """Close everything, and remove what is new."""
        fresh = self._before.header is None
        if self._laid_out:
            if fresh:
                self.parts.remove_all()
                self.layout.remove()
            self.parts.close()
            self.layout.walk.close()
            self.finals.close()
        self.base.close()
        if self.journal is not None:
            with suppress(OSError):
                if fresh:
                    self.journal.remove()
                self.journal.close()

    def _may_be_there(self) -> bool:
        """Whether anything at the top has its name already: else there is nothing to compare."""
        parent = self._entries.parent
        tops = (entry for entry in range(len(self._entries)) if not parent(entry))
        for entry in tops:
            with suppress(OSError):
                at.status(self._root, self._entries.name(entry))
                return True
        return False

    def _check_room(self) -> Claims:
        """Refuse what does not fit, before anything is made; what a journal claims has its room."""
        claims = None
        self.here = self._same_size()
        if self._before.header is not None:
            claims = self._claims()
            self.here += claims.size()
        size, count = self._manifest.size, len(self._entries)
        self.reserve = space.check_room(self._root, size, count, self.reserve, here=self.here)
        return claims or self._claims()

    def _claims(self) -> Claims:
        claims = Claims(self._manifest)
        claims.replay(self._before.chunks)
        return claims

    def _same_size(self) -> int:
        """Bytes of files that seem to be there already, where they would be the offered ones."""
        entries = self._entries
        if not any(self.base.files):
            return 0
        alike = (entry for entry, there in enumerate(self.base.files) if there == SAME_SIZE)
        merge = self._conflict != "rename"
        return sum(entries.size(entry) for entry in alike if merge or not entries.parent(entry))

    def _recover(self, claims: Claims) -> None:
        """Go on with what an earlier session has left, as far as it is still as it was left."""
        if self.journal is None:
            return
        found = Recovery(self._before, self._entries, self.layout, self.parts, self._names)
        if self._before.header is not None:
            found.look()
            found.clean()
            self.finals.records = found.finals
            self.holding.recover(claims, found, verify=self._verify)
            self.uneven.update(claims.entries(), found.sizes)
        self.saving = Saving(
            self.journal, self._manifest, claims, self.layout, self.parts, self._root
        )
        self.saving.begin(
            lost=holding.claims_lost(claims, found), doubted=holding.claims_doubted(claims, found)
        )

    def _drops(self) -> Iterator[int]:
        """Entries that are not wanted: links, unless the user wants them, and taken names."""
        if self._conflict != "skip" and LINK not in self._entries.kinds:
            return
        for entry, kind in enumerate(self._entries.kinds):
            if kind == LINK:
                if not self._symlinks:
                    yield entry
            elif kind == FILE and self._conflict == "skip" and self._is_taken(entry):
                yield entry

    def _is_taken(self, entry: int) -> bool:
        """Whether another file has the name: only to spare everybody the bytes."""
        parent = self._entries.parent(entry)
        if parent in self.layout.unseen or entry in self.finals.records:
            return False
        with suppress(OSError):
            at.status(self.layout.walk.take(parent), self._entries.name(entry))
            return True
        return False


def pin(destination: Path, journals: Journals | None = None) -> int:
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
        wanted = frozenset() if journals is None else journals.tags()
        sweep.hold(root, time.time(), [root], wanted)
        _probe(root)
    except OSError as error:
        at.close(root)
        raise space.storage_error(error, shown) from error
    return root


def _probe(root: int) -> None:
    """Make a file, so that an error shows before anybody is asked."""
    try:
        at.close(at.create_nameless(root))
    except OSError as error:
        if error.errno not in _NOT_NAMELESS:
            raise
        name, descriptor = PartNames().make(0, partial(at.create, root))
        at.close(descriptor)
        at.remove(root, name)


def current_umask() -> int:
    """The process's umask; reading it means setting it for an instant."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
