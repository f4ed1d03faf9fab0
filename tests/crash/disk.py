"""A real directory whose every change is recorded; it shows the model's times and numbers.

    disk = Disk(place)                   what is in the place is durable
    with disk.watched(): …               the real programs run in it
    image = disk.record.crash(…)         what a power cut may leave
    Disk(place, image)                   the place again, as it is after that

The calls of `os` are the door: nothing in securecp goes to the disk by another one. Inode numbers,
times and chance are the model's, so that a state can be made again in another directory, and a run
is the same each time.
"""

import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from securecp.disk import at, flush, spans
from tests.crash.model import Change, Image, Kind, Naming, Node, Record, Stamp

TICK = 4_000_000
"""Nanoseconds that a kernel's clock for files stands still."""
_FAR = 1 << 40
_START = int(time.time()) * 1_000_000_000


class Disk:
    """The files below `place`. `coarse`: calls in one tick of the clock for files."""

    def __init__(
        self,
        place: Path,
        image: Image | None = None,
        *,
        coarse: int = 1,
        former: "Disk | None" = None,
    ) -> None:
        self.place = place
        self.fail_flush = 0
        """Which flush from now on fails, if it is not 0."""
        self._coarse = coarse
        self._nodes: dict[int, Node] = {}
        self._numbers = 1_000
        self.now = _START
        if former is not None:
            self._numbers, self.now = former._numbers, former.now + TICK
        if image is None:
            self.record = Record(self._node(Kind.DIRECTORY))
            self._adopt(place, self.record.root)
        else:
            self.record = self._restore(image)
        self.record.everything.append(0)

    # The place

    def _adopt(self, path: Path, node: Node) -> None:
        """Everything that is there is durable."""
        found = path.lstat()
        self._nodes[found.st_ino] = node
        node.stamps.append(Stamp(0, stat.S_IMODE(found.st_mode), found.st_mtime_ns, self.now))
        if path.is_symlink():
            return
        if path.is_file():
            node.changes.append(Change(0, 0, path.read_bytes()))
            return
        for inner in sorted(path.iterdir()):
            kind = Kind.LINK if inner.is_symlink() else Kind.DIRECTORY
            kind = Kind.FILE if inner.is_file() and kind is not Kind.LINK else kind
            child = self._node(kind)
            if kind is Kind.LINK:
                child.target = os.fsencode(inner.readlink())
            self._adopt(inner, child)
            self.record.namings.append(Naming(0, node, ((os.fsencode(inner.name), child),)))

    def _restore(self, image: Image) -> Record:
        shutil.rmtree(self.place, ignore_errors=True)
        root = next(iter(image.names))
        made: dict[Node, tuple[Node, bytes]] = {}
        record = Record(_copy(root, image))
        self.record = record
        self._make(os.fsencode(self.place), root, record.root, image, made)
        return record

    def _make(
        self,
        path: bytes,
        old: Node,
        new: Node,
        image: Image,
        made: dict[Node, tuple[Node, bytes]],
    ) -> None:
        stamp = image.stamps[old]
        if old.kind is Kind.LINK:
            os.symlink(old.target, path)  # noqa: PTH211 (bytes)
        elif old.kind is Kind.FILE:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(descriptor, image.content[old])
            os.fchmod(descriptor, stamp.mode)
            os.close(descriptor)
        else:
            os.mkdir(path, 0o700)  # noqa: PTH102
            for name, inner in image.names[old].items():
                self._make_inner(path + b"/" + name, name, inner, new, image, made)
            os.chmod(path, stamp.mode)  # noqa: PTH101
        self._nodes[os.lstat(path).st_ino] = new

    def _make_inner(
        self,
        path: bytes,
        name: bytes,
        old: Node,
        parent: Node,
        image: Image,
        made: dict[Node, tuple[Node, bytes]],
    ) -> None:
        if old in made:
            new, first = made[old]
            if old.kind is Kind.DIRECTORY:
                return  # a directory has one name; which of them is the journal's business
            os.link(first, path, follow_symlinks=False)
        else:
            new = _copy(old, image)
            made[old] = new, path
            self._make(path, old, new, image, made)
        self.record.namings.append(Naming(0, parent, ((name, new),)))

    # Steps

    def _node(self, kind: Kind, target: bytes = b"") -> Node:
        self._numbers += 1
        return Node(self._numbers, kind, target)

    def _step(self, what: str = "", node: Node | None = None) -> int:
        self.record.step += 1
        self.record.calls.append(f"{what} {node.number}" if node else what)
        if self.record.step % self._coarse == 0:
            self.now += TICK
        return self.record.step

    def _find(self, path: Any, dir_fd: int | None = None) -> Node | None:
        if isinstance(path, int):
            found = _REAL.fstat(path)
        else:
            try:
                found = _REAL.stat(path, dir_fd=dir_fd, follow_symlinks=False)
            except FileNotFoundError:
                return None
        return self._nodes.get(found.st_ino)

    def _parent(self, path: Any, dir_fd: int | None) -> tuple[Node | None, bytes]:
        head, name = os.path.split(os.fsencode(path))
        if dir_fd is not None and not head:
            return self._find(dir_fd), name
        return self._find(head or b".", dir_fd), name

    def _touch(self, node: Node | None, at: int, *, content: bool = False, **what: int) -> None:
        if node is None:
            return
        last = node.stamp
        mtime_ns = what.get("mtime_ns", self.now if content else last.mtime_ns)
        node.stamps.append(Stamp(at, what.get("mode", last.mode), mtime_ns, self.now))

    def _born(self, kind: Kind, path: Any, dir_fd: int | None, mode: int, real: int) -> None:
        directory, name = self._parent(path, dir_fd)
        if directory is None:
            return
        node = self._node(kind)
        at = self._step(f"make {name!r} in {directory.number}:", node)
        node.stamps.append(Stamp(at, mode, self.now, self.now))
        self._nodes[real] = node
        self.record.namings.append(Naming(at, directory, ((name, node),)))
        self._touch(directory, at, content=True)

    def _rename(self, names: list[tuple[bytes, Node | None]], directory: Node | None) -> None:
        if directory is None:
            return
        shown = ", ".join(f"{name!r}: {node.number if node else None}" for name, node in names)
        at = self._step(f"{shown} in", directory)
        self.record.namings.append(Naming(at, directory, tuple(names)))
        self._touch(directory, at, content=True)
        for _, node in names:
            self._touch(node, at)

    def _flush(self, node: Node | None, *, data: bool) -> None:
        if node is None:
            return
        self._flush_may_fail([node])
        at = self._step("flush data of" if data else "flush", node)
        self.record.flushes.append(at)
        (node.data_synced if data else node.synced).append(at)

    def _flush_may_fail(self, nodes: list[Node]) -> None:
        if not self.fail_flush:
            return
        self.fail_flush -= 1
        if not self.fail_flush:
            at = self._step("a flush fails")
            for node in nodes:
                node.failed.append(at)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    # The calls

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = _REAL.open(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_CREAT:
            assert flags & os.O_EXCL, "only new files are made here"
            self._born(Kind.FILE, path, dir_fd, mode, _REAL.fstat(descriptor).st_ino)
        elif flags & os.O_TMPFILE == os.O_TMPFILE:
            node = self._node(Kind.FILE)
            node.stamps.append(Stamp(self.record.step, mode, self.now, self.now))
            self._nodes[_REAL.fstat(descriptor).st_ino] = node
        return descriptor

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        _REAL.mkdir(path, mode, dir_fd=dir_fd)
        real = _REAL.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_ino
        self._born(Kind.DIRECTORY, path, dir_fd, mode, real)

    def symlink(self, target: Any, path: Any, *, dir_fd: int | None = None) -> None:
        _REAL.symlink(target, path, dir_fd=dir_fd)
        real = _REAL.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_ino
        self._born(Kind.LINK, path, dir_fd, 0o777, real)
        if real in self._nodes:
            self._nodes[real].target = os.fsencode(target)

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        node = self._find(path, dir_fd)
        _REAL.unlink(path, dir_fd=dir_fd)
        directory, name = self._parent(path, dir_fd)
        self._rename([(name, None)], directory)
        self._touch(node, self.record.step)

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        _REAL.rmdir(path, dir_fd=dir_fd)
        directory, name = self._parent(path, dir_fd)
        self._rename([(name, None)], directory)

    def link(self, path: Any, new: Any, *, src_dir_fd: int, dst_dir_fd: int, **others: Any) -> None:
        node = self._find(path, src_dir_fd)
        _REAL.link(path, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, **others)
        directory, name = self._parent(new, dst_dir_fd)
        self._rename([(name, node)], directory)

    def rename(self, path: Any, new: Any, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        node = self._find(path, src_dir_fd)
        _REAL.rename(path, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        directory, name = self._parent(new, dst_dir_fd)
        self._rename([(os.fsencode(path), None), (name, node)], directory)

    def rename_exclusively(self, parent: int, path: bytes, new: bytes) -> bool:
        if _REAL.exists(new, parent):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self.rename(path, new, src_dir_fd=parent, dst_dir_fd=parent)
        return True

    def write(self, descriptor: int, data: Any) -> int:
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        count = _REAL.write(descriptor, data)
        self._written(descriptor, position, bytes(data[:count]))
        return count

    def pwritev(self, descriptor: int, slices: Any, position: int) -> int:
        count = _REAL.pwritev(descriptor, slices, position)
        self._written(descriptor, position, b"".join(slices)[:count])
        return count

    def _written(self, descriptor: int, position: int, data: bytes) -> None:
        node = self._find(descriptor)
        if node is not None and node.kind is Kind.FILE:
            at = self._step(f"write {len(data)} bytes at {position} of", node)
            node.changes.append(Change(at, position, data))
            self._touch(node, at, content=True)

    def ftruncate(self, descriptor: int, size: int) -> None:
        _REAL.ftruncate(descriptor, size)
        node = self._find(descriptor)
        if node is not None:
            at = self._step(f"cut to {size}", node)
            node.changes.append(Change(at, size, None))
            self._touch(node, at, content=True)

    def fchmod(self, descriptor: int, mode: int) -> None:
        _REAL.fchmod(descriptor, mode)
        node = self._find(descriptor)
        self._touch(node, self._step("mode of", node), mode=mode)

    def utime(self, path: Any, *, ns: tuple[int, int], dir_fd: int | None = None, **_: Any) -> None:
        node = self._find(path, dir_fd)
        self._touch(node, self._step("times of", node), mtime_ns=ns[1])

    def fsync(self, descriptor: int) -> None:
        self._flush(self._find(descriptor), data=False)

    def fdatasync(self, descriptor: int) -> None:
        self._flush(self._find(descriptor), data=True)

    def syncfs(self) -> Callable[[int], int]:
        def call(_: int) -> int:
            try:
                self._flush_may_fail(list(self._nodes.values()))
            except OSError:
                return errno.EIO
            at = self._step("flush everything")
            self.record.everything.append(at)
            self.record.flushes.append(at)
            return 0

        return call

    def fstat(self, descriptor: int) -> os.stat_result:
        return self._shown(_REAL.fstat(descriptor))

    def stat(
        self, path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> os.stat_result:
        return self._shown(_REAL.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks))

    def inodes(self, directory: int) -> list[tuple[bytes, int]]:
        names = map(os.fsencode, os.listdir(directory))
        return [
            (name, self.stat(name, dir_fd=directory, follow_symlinks=False).st_ino)
            for name in names
        ]

    def _shown(self, found: os.stat_result) -> os.stat_result:
        node = self._nodes.get(found.st_ino)
        values = list(found[:10])
        if node is None:
            values[1] += _FAR
            times = found.st_mtime_ns, found.st_ctime_ns
        else:
            values[1] = node.number
            times = node.stamp.mtime_ns, node.stamp.ctime_ns
        return os.stat_result(
            values,
            {
                "st_mtime_ns": times[0],
                "st_ctime_ns": times[1],
                "st_mtime": times[0] / 1e9,
                "st_ctime": times[1] / 1e9,
                "st_blocks": found.st_blocks,
            },
        )

    @contextlib.contextmanager
    def watched(self, seed: int = 0) -> Iterator[None]:
        """Whatever runs inside is recorded."""
        chance = Random(f"watched {seed} {self._numbers}")
        names = (
            *("open", "mkdir", "symlink", "unlink", "rmdir", "link", "rename", "write", "pwritev"),
            *("ftruncate", "fchmod", "utime", "fsync", "fdatasync", "fstat", "stat"),
        )
        with contextlib.ExitStack() as stack:
            for name in names:
                stack.enter_context(mock.patch.object(os, name, getattr(self, name)))
            stack.enter_context(mock.patch.object(os, "replace", self.rename))
            stack.enter_context(mock.patch.object(spans, "_write", self.pwritev))
            stack.enter_context(mock.patch.object(flush, "_syncfs", self.syncfs))
            stack.enter_context(mock.patch.object(at, "inodes", self.inodes))
            stack.enter_context(
                mock.patch.object(at, "rename_exclusively", self.rename_exclusively)
            )
            stack.enter_context(mock.patch("secrets.token_bytes", chance.randbytes))
            stack.enter_context(
                mock.patch("secrets.token_hex", lambda count: chance.randbytes(count).hex())
            )
            yield


def _copy(old: Node, image: Image) -> Node:
    """The node as the crash left it, with nothing pending."""
    new = Node(old.number, old.kind, old.target)
    new.stamps.append(image.stamps[old]._replace(at=0))
    if old.kind is Kind.FILE:
        new.changes.append(Change(0, 0, image.content[old]))
    return new


class _Real:
    """The calls as they are when nobody watches."""

    open = staticmethod(os.open)
    mkdir = staticmethod(os.mkdir)
    symlink = staticmethod(os.symlink)
    unlink = staticmethod(os.unlink)
    rmdir = staticmethod(os.rmdir)
    link = staticmethod(os.link)
    rename = staticmethod(os.rename)
    write = staticmethod(os.write)
    pwritev = staticmethod(os.pwritev)
    ftruncate = staticmethod(os.ftruncate)
    fchmod = staticmethod(os.fchmod)
    fstat = staticmethod(os.fstat)
    stat = staticmethod(os.stat)

    def exists(self, name: bytes, parent: int) -> bool:
        try:
            self.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True


_REAL = _Real()
