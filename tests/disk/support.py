"""Offers, content and deliveries for the tests of the disk."""

import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from blake3 import blake3

from securecp.disk import Report, Store
from securecp.transfer.manifest import DIRECTORY, FILE, Entry, Manifest

TIME = 1_600_000_000 * 10**9


def file(name: bytes, size: int, parent: int = 0, mode: int = 0o644, mtime_ns: int = TIME) -> Entry:
    return Entry(FILE, parent, name, size, mode, mtime_ns)


def folder(name: bytes, parent: int = 0, mode: int = 0o755, mtime_ns: int = TIME) -> Entry:
    return Entry(DIRECTORY, parent, name, 0, mode, mtime_ns)


def content(manifest: Manifest, seed: int = 0) -> bytes:
    """All of content space, the same for the same seed."""
    return random.Random(seed).randbytes(manifest.size)


def slices(data: bytes, size: int) -> list[memoryview]:
    view = memoryview(data)
    return [view[start : start + size] for start in range(0, len(view), size)]


def deliver(
    store: Store, manifest: Manifest, data: bytes, *, run: int = 65_536, size: int = 1_400
) -> None:
    """Store everything in runs of slices, check every digest, call every file ready.

    But for those that the store says are broken: somebody meddles with their parts.
    """
    broken: set[int] = set()
    for start in range(0, len(data), run):
        store.store(start, slices(data[start : start + run], size))
    for number in range(manifest.chunk_count):
        chunk = manifest.chunk(number)
        piece = data[chunk.offset : chunk.offset + chunk.length]
        digest = store.digest(chunk)
        broken.update(entry for entry, _ in store.broken())
        assert chunk.entry in broken or digest == blake3(piece).digest()
    for index, entry in enumerate(manifest.entries):
        if entry.kind == FILE:
            (store.failed if index in broken else store.ready)(index)


def receive(
    destination: Path,
    entries: Sequence[Entry],
    *,
    conflict: str = "rename",
    seed: int = 0,
    **options: int,
) -> Report:
    """One whole transfer."""
    manifest = Manifest(entries)
    store = Store(destination, conflict=conflict, reserve=0, **options)  # type: ignore[arg-type]
    with store:
        store.prepare(manifest)
        deliver(store, manifest, content(manifest, seed))
        return store.publish()


def tree(root: Path) -> dict[str, bytes | None]:
    """Every file path below `root` with its content; None for a directory, links as `-> target`."""
    found: dict[str, bytes | None] = {}
    for path in sorted(root.rglob("*")):
        key = str(path.relative_to(root))
        if path.is_symlink():
            found[key] = f"-> {path.readlink()}".encode()
        else:
            found[key] = None if path.is_dir() else path.read_bytes()
    return found


def expected(manifest: Manifest, data: bytes) -> dict[str, bytes | None]:
    """What `tree` finds when everything was published under its own name."""
    found: dict[str, bytes | None] = {}
    for index, entry in enumerate(manifest.entries):
        path = b"/".join(manifest.path(index)).decode("utf-8", "surrogateescape")
        start = manifest.offset(index)
        found[path] = None if entry.kind == DIRECTORY else data[start : start + entry.size]
    return dict(sorted(found.items()))


def parts(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.startswith(".securecp-")]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextlib.contextmanager
def ordinary_user() -> Iterator[Path]:
    """A folder of one's own, and no superuser's rights over the file system while inside."""
    place = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(place, 65_534, 65_534)
        os.setegid(65_534)
        os.seteuid(65_534)
    try:
        yield place
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
            os.setegid(0)
        for inner in place.rglob("*"):
            if inner.is_dir() and not inner.is_symlink():
                inner.chmod(0o700)
        shutil.rmtree(place)
