"""Publishing: what was verified gets its names, in an order that any crash may cut (SPEC §9.4).

    settle what is there already ─► complete the parts ─► flush them ─► journal
      ─► names ─► links ─► directories: modes, flush, names ─► flush ─► journal

A crash leaves each file either a part that the journal knows, or a file under its name that is
known by its inode number; the next session makes one of it, never two.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from securecp.disk import attributes, finals, flush, links, space
from securecp.disk.base import Base
from securecp.disk.calls import at
from securecp.disk.descent import Descent
from securecp.disk.finals import Finals
from securecp.disk.layout import Layout
from securecp.disk.parts import Parts
from securecp.disk.records import FinalRecord
from securecp.disk.saving import Saving
from securecp.disk.settle import Conflict, settle
from securecp.transfer.entries import LINK, Entries

_OPEN_DIRECTORIES = 8
_WORTH_A_LOOK = 128 << 10
"""Bytes of a file that takes longer to read than to stat, by far."""


class Report(NamedTuple):
    """What publishing came to; entries are indices in the manifest."""

    published: int
    """Files under their final names, flushed; also those that were there already."""
    size: int
    """Their bytes."""
    skipped: tuple[int, ...]
    """Entries whose names were taken, under `skip`."""
    renamed: tuple[tuple[int, bytes], ...]
    """Entries (files, links and directories) that got another name than offered."""
    failed: tuple[tuple[int, str], ...]
    """Entries that could not be published, each with the reason."""
    present: tuple[int, ...] = ()
    """Files that were there before us, the same to the last byte."""
    links: int = 0
    """Symbolic links that were made, or were there already."""


class _Existing(Protocol):
    """Files that chunks are copied from: `Base` or `Finals`."""

    def copy(
        self, entry: int, numbers: list[int], digests: list[bytes], part: int, /
    ) -> list[int]: ...


class Held(NamedTuple):
    """Verified chunks that are not in the part: numbers and digests, and where they are."""

    source: "_Existing"
    numbers: list[int]
    digests: list[bytes]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that publishing needs to know."""

    entries: Entries
    root: int
    layout: Layout
    parts: Parts
    base: Base
    finals: Finals
    saving: Saving | None
    ready: list[int]
    held: Mapping[int, list[Held]]
    uneven: set[int]
    """Entries whose parts may not have their size yet."""
    links: set[int]
    """Links that are wanted."""
    conflict: Conflict
    umask: int
    executable: bool


class Publisher:
    """One publication. OSError means that nothing was published, or not for certain."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._failed: list[tuple[int, str]] = []
        self._skipped: list[int] = []
        self._renamed: list[tuple[int, bytes]] = []
        self._names: dict[int, bytes] = {}
        """Names that larger files got, where a journal wants to know."""
        self._existing = Descent(plan.base.directories, _OPEN_DIRECTORIES, pinned=plan.root)
        self._whole: set[int] = set()
        """Entries at the top that are there with all that is below them."""

    def run(self) -> Report:
        """Publish all that is ready."""
        try:
            return self._run()
        finally:
            self._existing.close()

    def _run(self) -> Report:
        plan = self._plan
        if plan.saving is not None and plan.saving.damaged:
            raise OSError("an earlier flush has failed")
        before = self._published_before()
        present = self._present(before)
        parts = self._completed({*before, *present})
        try:
            self._flush(parts, before, present)
        except OSError:
            if plan.saving is not None:
                plan.saving.damaged = True
            raise
        if plan.saving is not None:
            plan.saving.publishing()
        plan.parts.close()
        settled = [entry for entry in parts if self._settle(entry)]
        linked = self._link()
        self._reveal(many=len(plan.ready) > flush.FEW)
        if plan.saving is not None:
            plan.saving.published(self._finals(before))
        done = [*before, *present, *settled]
        return Report(
            len(done),
            sum(map(plan.entries.size, done)),
            tuple(sorted(self._skipped)),
            tuple(self._renamed),
            tuple(self._failed),
            tuple(sorted(present)),
            linked,
        )

    # What is there already

    def _published_before(self) -> list[int]:
        """Files that an earlier session gave their names, and that are still what they were."""
        plan = self._plan
        before: list[int] = []
        if not plan.finals.records:
            return before
        for entry in plan.ready:
            record = plan.finals.records.get(entry)
            if record is None or plan.parts.inode(entry) or not plan.finals.unchanged(entry):
                continue
            before.append(entry)
            if record.name != plan.entries.name(entry):
                self._renamed.append((entry, record.name))
        return before

    def _present(self, before: Iterable[int]) -> set[int]:
        """Files that were there before us and are the same.

        In a tree that gets a name of its own (`rename`) they count only if all of it is there.
        """
        plan = self._plan
        ready = set(plan.ready).difference(before)
        same: dict[int, bool] = {}

        def identical(entry: int) -> bool:
            if entry not in same:
                same[entry] = (
                    self._link_is_there(entry)
                    if plan.entries.kinds[entry] == LINK
                    else entry in ready
                    and not plan.parts.inode(entry)
                    and self._all_held(entry)
                    and plan.base.identical(entry)
                )
            return same[entry]

        if not any(plan.base.files) and not plan.base.directories:
            return set()
        self._whole = whole = plan.base.whole_trees(identical)
        for top in whole & plan.layout.unseen:
            plan.layout.give_up(top)
        return {
            entry
            for entry in ready
            if (plan.base.top(entry) in whole or self._stays(entry)) and identical(entry)
        }

    def _stays(self, entry: int) -> bool:
        """Whether the file goes where the existing one is: beside it, it would be a second one."""
        parent = self._plan.entries.parent(entry)
        if not parent:
            return True
        base, layout = self._plan.base.directories, self._plan.layout.places
        return parent in base and base[parent].identity == layout[parent].identity

    def _all_held(self, entry: int) -> bool:
        held = self._plan.held.get(entry, ())
        chunks = self._plan.entries.first_chunks[entry : entry + 2]
        base = self._plan.base
        return sum(len(h.numbers) for h in held if h.source is base) == chunks[1] - chunks[0]

    def _link_is_there(self, entry: int) -> bool:
        plan = self._plan
        parent = plan.entries.parent(entry)
        if entry not in plan.links:
            return True  # nobody wants it
        if parent and parent not in plan.base.directories:
            return False
        try:
            directory = self._existing.take(parent)
        except OSError:
            return False
        return links.same(directory, plan.entries.name(entry), plan.entries.target(entry))

    # Parts

    def _completed(self, others: set[int]) -> list[int]:
        """The files that get their names now, with everything in their parts."""
        plan = self._plan
        inode = plan.parts.inode
        odd = plan.uneven.union(plan.held)
        return [
            entry
            for entry in plan.ready
            if entry not in others
            and ((inode(entry) and entry not in odd) or self._complete(entry))
        ]

    def _complete(self, entry: int) -> bool:
        """Have all of the file in its part, and nothing else; False if it cannot be."""
        plan = self._plan
        held = plan.held.get(entry, ())
        size = plan.entries.size(entry)
        if size and not held and entry not in plan.uneven:
            raise ValueError("a file is ready of which nothing was stored")
        try:
            part = plan.parts.take(entry)
            for some in held:
                if some.source.copy(entry, some.numbers, some.digests, part):
                    self._failed.append((entry, "what was here of it has changed meanwhile"))
                    return False
            if os.fstat(part).st_size != size:
                os.ftruncate(part, size)
        except OSError as error:
            if not space.concerns_one_file(error):
                raise
            self._failed.append((entry, space.reason(error)))
            return False
        return True

    def _flush(self, parts: list[int], before: list[int], present: set[int]) -> None:
        plan = self._plan
        count = len(parts) + len(before) + len(present)
        if count > flush.FEW and plan.layout.sync_all():
            return
        for entry in parts:
            flush.sync_file(plan.parts.take(entry))
        if plan.saving is not None:
            plan.saving.keep_names(parts, plan.layout.walk, sync=True)
        for entry in before:
            finals.flush(plan.finals.records[entry], plan.layout.walk)
        for entry in present:
            self._flush_existing(entry)

    def _flush_existing(self, entry: int) -> None:
        directory = self._existing.take(self._plan.entries.parent(entry))
        name = self._plan.entries.name(entry)
        descriptor = at.open_file(directory, name, at.status(directory, name).st_ino)
        try:
            flush.sync_file(descriptor)
        finally:
            at.close(descriptor)

    def _settle(self, entry: int) -> bool:
        """One part to its name: mode and time through a descriptor that is surely ours."""
        plan = self._plan
        _, parent, wanted, _, mode, mtime_ns, _ = plan.entries[entry]
        mode = attributes.file_mode(mode, plan.umask, executable=plan.executable)
        try:
            directory = plan.layout.walk.take(parent)
            part = plan.parts.name(entry)
            descriptor = at.open_file(directory, part, plan.parts.inode(entry))
            attributes.apply(descriptor, mode, mtime_ns)
            at.close(descriptor)
            name = settle(directory, part, wanted, plan.conflict)
        except OSError as error:
            self._failed.append((entry, space.reason(error)))
            return False
        plan.parts.settled(entry)
        if name is None:
            self._skipped.append(entry)
            return False
        if name != wanted:
            self._renamed.append((entry, name))
        if plan.saving is not None and plan.entries.size(entry) >= _WORTH_A_LOOK:
            self._names[entry] = name
        return True

    # What comes after files

    def _link(self) -> int:
        plan = self._plan
        if not plan.links:
            return 0
        whole = {entry for entry in plan.links if plan.base.top(entry) in self._whole}
        wanted = plan.links - whole
        made = links.make_all(
            plan.entries, plan.layout.walk, plan.parts.names, plan.conflict, wanted=wanted
        )
        self._renamed += made.renamed
        self._skipped += made.skipped
        self._failed += made.failed
        return made.made + len(made.present) + len(whole)

    def _reveal(self, *, many: bool) -> None:
        plan = self._plan
        plan.parts.remove_all()
        plan.layout.finish(plan.umask)
        plan.layout.sync(everything=many)
        self._renamed += plan.layout.reveal()

    def _finals(self, before: list[int]) -> Iterable[FinalRecord]:
        """Larger files under their names, as they are left.

        Small ones are found again by their inode numbers, and read, which costs little more.
        """
        plan = self._plan
        for entry in before:
            yield plan.finals.records[entry]
        for entry, name in self._names.items():
            parent = plan.entries.parent(entry)
            try:
                found = at.status(plan.layout.walk.take(parent), name)
            except OSError:
                continue
            times = found.st_mtime_ns, found.st_ctime_ns
            yield FinalRecord(entry, parent, found.st_ino, *times, name)
