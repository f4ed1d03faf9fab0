"""What a session reports while it runs, as frozen values; the face words them, scripts read them.

`name` is the `"event"` of the JSON line that the command line prints for it (SPEC §10).
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Listening:
    """We wait for contacts at `endpoint` ("HOST:PORT")."""

    name: ClassVar[str] = "listening"
    endpoint: str


@dataclass(frozen=True, slots=True)
class Connected:
    """The peer (32-byte public key) has proved itself; `path` says how it is reached."""

    name: ClassVar[str] = "connected"
    peer: bytes
    path: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class Offered:
    """An offer was made: how many files, how many bytes, and the top-level names."""

    name: ClassVar[str] = "offer"
    peer: bytes
    files: int
    size: int
    names: tuple[bytes, ...]
    remarkable: tuple[bytes, ...] = ()
    """File paths worth a warning before consent: dot-names, executables, odd characters."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`moved` of `size` content bytes have arrived; `rate` in bytes per second."""

    name: ClassVar[str] = "progress"
    moved: int
    size: int
    rate: float


@dataclass(frozen=True, slots=True)
class Done:
    """The transfer is complete: published, flushed, and the receipt is authentic."""

    name: ClassVar[str] = "done"
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


@dataclass(frozen=True, slots=True)
class Failed:
    """The transfer ended without success; `code` is the process's exit code."""

    name: ClassVar[str] = "error"
    code: int
    message: str
    hint: str = ""


Event = Listening | Connected | Offered | Progress | Done | Failed
