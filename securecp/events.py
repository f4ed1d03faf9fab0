"""What a session reports while it runs, as frozen values; the face words them (SPEC §10.3)."""

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


class PathChanged(NamedTuple):
    """The session goes on by another path."""

    peer: bytes
    path: str
    endpoint: str


class Silent(NamedTuple):
    """The peer does not answer any more; we wait, and try other paths."""

    peer: bytes


class Back(NamedTuple):
    """It does again."""

    peer: bytes


class Offered(NamedTuple):
    """An offer was made: how many files, how many bytes, and the top-level names."""

    peer: bytes
    files: int
    size: int
    names: tuple[bytes, ...]
    remarkable: tuple[bytes, ...] = ()
    """File paths worth a warning before consent: dot-names, executables, odd characters."""


class Progress(NamedTuple):
    """`moved` of `size` content bytes have arrived; `rate` in bytes per second."""

    moved: int
    size: int
    rate: float


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


class Failed(NamedTuple):
    """The transfer ended without success; `code` is the process's exit code."""

    code: int
    message: str
    hint: str = ""


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
    | Progress
    | Done
    | Failed
)
