"""Where what comes is put: a folder for each peer, or one output for everything."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from securecp.events import Offered

if TYPE_CHECKING:
    from securecp.disk.settle import Conflict
    from securecp.errors import SecurecpError
    from securecp.net.attend import ReceiveOptions
    from securecp.receiving import Store, StreamSink


class Output(NamedTuple):
    """One place for whatever comes, in place of a folder: a pipe, or a file of a chosen name."""

    open_store: "Callable[[bytes], Store]"
    open_stream: "Callable[[bytes, Offered], StreamSink]"
    lasts: bool = False
    """Whether a file that was cut off can go on there in another session."""
    trouble: "Callable[[], SecurecpError | None]" = lambda: None
    """Why nothing can be put there any more."""


def is_approved(options: "ReceiveOptions", offered: Offered) -> bool:
    """Whether the very same was accepted before, for the same place."""
    journals = options.journals
    if journals is None or offered.stream or options.output is not None:
        return False
    into = options.into(offered.peer)
    return journals.approved(offered.peer, offered.manifest_digest, into)


def open_store(options: "ReceiveOptions", peer: bytes) -> "Store":
    """A store for files of this peer; called in the workshop."""
    from securecp.disk.store import Store

    if options.output is not None:
        return options.output.open_store(peer)
    return Store(
        options.into(peer),
        conflict=_conflict(options, peer),
        reserve=options.reserve,
        journals=options.journals,
        peer=peer,
        symlinks=options.symlinks,
        verify=options.verify,
    )


def open_stream(options: "ReceiveOptions", peer: bytes, offered: Offered) -> "StreamSink":
    """The same for a stream of theirs."""
    from securecp.disk.streamstore import StreamStore

    if options.output is not None:
        return options.output.open_stream(peer, offered)
    return StreamStore(
        options.into(peer), conflict=_conflict(options, peer), reserve=options.reserve
    )


def _conflict(options: "ReceiveOptions", peer: bytes) -> "Conflict":
    conflict = options.conflict
    return conflict(peer) if callable(conflict) else conflict
