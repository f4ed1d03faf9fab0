"""What is sent: files and folders, or a stream; looked at once, for all recipients."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from securecp.errors import SourceError

if TYPE_CHECKING:
    from securecp.disk.memory import Memories, Memory
    from securecp.disk.stdin import SharedStream, StreamSource
    from securecp.session import Session, Workshop
    from securecp.transport.connection import Connection


class Sources(Protocol):
    """Where the sessions of a sending program have their content from."""

    once: bool
    """Whether what has been sent cannot be read again."""
    problems: Sequence[tuple[bytes, str]]
    """File paths that are left out, each with the reason."""

    def open(self, peers: Sequence[bytes], ring: Callable[[], None]) -> None:
        """Look at what there is; SourceError. `ring` wakes the loop."""

    def session(
        self, connection: "Connection", workshop: "Workshop", now: float, ours: bytes
    ) -> "Session":
        """A session that offers it."""

    def forget(self, peer: bytes) -> None:
        """There is an outcome for this recipient: no session will come any more."""

    def close(self) -> None:
        """Nobody needs it any more."""


class Files:
    """Paths, walked once; what is known of their content is shared by all recipients."""

    once = False

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        scanning: Mapping[str, Any] = MappingProxyType({}),
        memories: "Memories | None" = None,
        verify: bool = False,
    ) -> None:
        """`scanning`: further arguments of `disk.scan`. `verify`: trust no memory."""
        self._paths = paths
        self._scanning = scanning
        self._memories = memories
        self._verify = verify
        self._memory: Memory | None = None
        self.problems: Sequence[tuple[bytes, str]] = ()

    def open(self, _peers: Sequence[bytes], _ring: Callable[[], None]) -> None:
        """Walk the paths."""
        from securecp.disk import source  # noqa: F401  while HELLOs are on their way
        from securecp.disk.tree import scan

        self._found = found = scan(self._paths, **self._scanning)
        if not len(found.manifest.entries):
            if not found.problems:
                raise SourceError("nothing to send: everything is excluded")
            path, reason = found.problems[0]
            raise SourceError(f"nothing to send: {os.fsdecode(path)}: {reason}")
        _ = found.manifest.digest  # made and kept now: nothing slow comes between REPLY and offer
        self.problems = self._found.problems
        if self._memories is not None:
            self._memory = self._memories.open(self._found)

    def session(
        self, connection: "Connection", workshop: "Workshop", now: float, ours: bytes
    ) -> "Session":
        """Offers the files."""
        from securecp.disk.source import TreeSource
        from securecp.sending import SendSession

        source = TreeSource(
            self._found, memory=self._memory, verify=self._verify, to=connection.peer
        )
        return SendSession(
            connection,
            workshop,
            now,
            manifest=self._found.manifest,
            source=source,
            ours=ours,
            entropy=os.urandom,
        )

    def forget(self, peer: bytes) -> None:
        """Sessions close what they had."""

    def close(self) -> None:
        """The same."""


class Stream:
    """A descriptor that is read once, at the pace of the slowest recipient."""

    once = True
    problems: Sequence[tuple[bytes, str]] = ()

    def __init__(self, descriptor: int, name: bytes) -> None:
        """The descriptor stays its owner's; `name` is what the stream is called there."""
        self._descriptor = descriptor
        self._name = name
        self._shared: SharedStream | None = None
        self._readers: dict[bytes, StreamSource] = {}

    def open(self, peers: Sequence[bytes], ring: Callable[[], None]) -> None:
        """Begin to read."""
        from securecp.disk.stdin import SharedStream
        from securecp.transfer.entries import STREAM, Entries, Entry
        from securecp.transfer.manifest import Manifest

        entries = Entries()
        entries.add(Entry(STREAM, 0, self._name, 0, 0o644, 0))
        self._manifest = Manifest(entries)
        self._shared = SharedStream(self._descriptor)
        self._readers = {peer: self._shared.reader(ring) for peer in peers}

    def session(
        self, connection: "Connection", workshop: "Workshop", now: float, ours: bytes
    ) -> "Session":
        """Offers the stream."""
        from securecp.sending import SendStreamSession

        return SendStreamSession(
            connection,
            workshop,
            now,
            manifest=self._manifest,
            source=_Lent(self._readers[connection.peer]),
            ours=ours,
            entropy=os.urandom,
        )

    def forget(self, peer: bytes) -> None:
        """This recipient holds the others up no longer."""
        if (reader := self._readers.pop(peer, None)) is not None:
            reader.close()

    def close(self) -> None:
        """Stop reading."""
        if self._shared is not None:
            self._shared.close()


class _Lent:
    """A reader as one session has it: another may have it after that one."""

    def __init__(self, reader: "StreamSource") -> None:
        self._reader = reader
        self.fill = reader.fill
        self.peek = reader.peek
        self.release = reader.release

    @property
    def available(self) -> int:
        return self._reader.available

    @property
    def ended(self) -> bool:
        return self._reader.ended

    @property
    def error(self) -> SourceError | None:
        return self._reader.error

    @property
    def idle_since(self) -> float | None:
        return self._reader.idle_since

    def close(self) -> None:
        """Its owner closes it."""
