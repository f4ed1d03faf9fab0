"""What a session reports while it runs, as frozen values; the face words them (SPEC §10.3).

Many transfers may run at once in one program. What concerns one of them bears its `peer` and its
`transfer`: a number from 1 on that it keeps when it goes on in another session. 0 is the program
as a whole, and what a session does not know itself: the shell puts the number there.
"""

from typing import NamedTuple


class Listening(NamedTuple):
    """We wait for contacts at `endpoint` ("HOST:PORT")."""

    endpoint: str


class Reaching(NamedTuple):
    """We look for the peer, or (`peer` empty) wait to be found: by so many servers, and the LAN."""

    peer: bytes
    servers: int
    lan: bool


class ServerState(NamedTuple):
    """A server can be reached, or cannot, for this reason."""

    server: str
    up: bool
    reason: str = ""


class Reached(NamedTuple):
    """A way to the peer was found `seconds` after we began: the first, or the first direct one."""

    peer: bytes
    path: str
    endpoint: str
    seconds: float


class Connected(NamedTuple):
    """The peer (32-byte public key) has proved itself; `path` says how it is reached."""

    peer: bytes
    path: str
    endpoint: str
    transfer: int = 0


class PathChanged(NamedTuple):
    """The session goes on by another path."""

    peer: bytes
    path: str
    endpoint: str
    transfer: int = 0


class Silent(NamedTuple):
    """The peer does not answer any more; we wait, and try other paths."""

    peer: bytes
    transfer: int = 0


class Back(NamedTuple):
    """It does again."""

    peer: bytes
    transfer: int = 0


class Offered(NamedTuple):
    """An offer was made: how many files, how many bytes, and the top-level names."""

    peer: bytes
    files: int
    size: int
    names: tuple[bytes, ...]
    remarkable: tuple[bytes, ...] = ()
    """File paths worth a warning before consent: dot-names, executables, odd characters."""
    transfer_id: bytes = b""
    """16 bytes of chance that the sender drew: another for each session."""
    manifest_digest: bytes = b""
    """Names the same files, sizes and times for ever; with the peer it is what can be resumed."""
    reasons: tuple[tuple[str, ...], ...] = ()
    """Why each of `remarkable` is."""
    stream: bool = False
    """One file whose length nobody knows yet; it cannot be resumed."""
    links: int = 0
    """How many symbolic links there are."""
    entries: int = 0
    """Files, folders and links together."""
    remarkable_total: int = 0
    """How many are remarkable, as only so many are named."""
    approved: bool = False
    """It was accepted before and goes on from where it was: nobody need be asked again."""
    transfer: int = 0


class Resumed(NamedTuple):
    """`kept` of `size` content bytes are there already, of an earlier session or of other files."""

    peer: bytes
    kept: int
    size: int
    transfer: int = 0


class Waiting(NamedTuple):
    """The peer is away, or has no room; the transfer goes on when that has changed.

    `left` is how many seconds remain until we give up.
    """

    peer: bytes
    reason: str
    left: float
    transfer: int = 0


class Paused(NamedTuple):
    """The receiver's disk is full, `needed` bytes are missing; it goes on by itself with room."""

    peer: bytes
    needed: int
    transfer: int = 0


class Verifying(NamedTuple):
    """`done` of `size` bytes that are there already have been read again."""

    peer: bytes
    done: int
    size: int
    transfer: int = 0


class Progress(NamedTuple):
    """`moved` of `size` content bytes are there; `rate` in bytes per second.

    What was there before and what holds only zeros counts as moved. A stream has `size` 0.
    """

    moved: int
    size: int
    rate: float
    peer: bytes = b""
    transfer_id: bytes = b""
    transfer: int = 0


class Done(NamedTuple):
    """The transfer is complete: published, flushed, and the receipt is authentic."""

    size: int
    sent: int
    """Datagram bytes that went out for it, retransmissions and headers included."""
    seconds: float
    files: int
    digest: bytes
    skipped: int = 0
    failed: tuple[tuple[bytes, str], ...] = ()
    """File paths that did not make it, each with the reason."""
    receipt: bytes = b""
    """The receiver's signed receipt as `Receipt.encode` gives it, for the sender to keep."""
    peer: bytes = b""
    saved: int = 0
    """Content bytes that were not sent: they were there, or are zeros."""
    present: int = 0
    """Files that were there already, the same to the byte."""
    renamed: tuple[tuple[bytes, bytes], ...] = ()
    """File paths as offered, and the names that they got instead."""
    transfer_id: bytes = b""
    manifest_digest: bytes = b""
    names: tuple[bytes, ...] = ()
    """What it is called at the top."""
    transfer: int = 0


class Failed(NamedTuple):
    """The transfer ended without success; `code` is the process's exit code."""

    code: int
    message: str
    hint: str = ""
    peer: bytes = b""
    resumable: bool = False
    """The same command goes on where this one ended."""
    transfer_id: bytes = b""
    transfer: int = 0


Event = (
    Listening
    | Reaching
    | ServerState
    | Reached
    | Connected
    | PathChanged
    | Silent
    | Back
    | Offered
    | Resumed
    | Waiting
    | Paused
    | Verifying
    | Progress
    | Done
    | Failed
)
