"""Datagrams on the wire: kinds by first byte, fixed layouts, and the values both ends agree on.

This file knows where bytes stand; what they mean is in `handshake.py`, `frames.py`, `layout.py`.
All integers are big-endian. First bytes 0 to 3 belong to STUN, everything of ours is 0x40 or more,
so that one socket serves all (SPEC §4.1).

    DATA     kind u8 | key phase u8 | zero u16 | receiver index u32 | counter u64 | sealed | tag 16
             └────────────────── associated data ──────────────────┘
                                      └──────── AEAD nonce ────────┘
"""

import struct
from typing import NamedTuple, Protocol

from securecp.endpoint import Burst
from securecp.errors import ProtocolError

VERSION = 1

HELLO_A = 0x41
HELLO_B = 0x42
REPLY = 0x43
COOKIE = 0x44
DATA = 0x50

HELLO_A_LENGTH = 1200
HELLO_B_LENGTH = 208
REPLY_LENGTH = 1200
COOKIE_LENGTH = 52

HEADER = struct.Struct(">BBHIQ")
HEADER_LENGTH = 16
TAG_LENGTH = 16
OVERHEAD = HEADER_LENGTH + TAG_LENGTH
SMALLEST_DATAGRAM = OVERHEAD
LARGEST_DATAGRAM = 65_507
"""Largest UDP payload over IPv4."""
MOST_DATAGRAMS = 64
"""Segments that the kernel takes in one call (UDP_MAX_SEGMENTS)."""
BASE_DATAGRAM = 1_200
"""Every path carries this (RFC 9000 §14)."""


def per_call(stride: int) -> int:
    """Datagrams of `stride` bytes that one system call sends."""
    return max(1, min(MOST_DATAGRAMS, LARGEST_DATAGRAM // stride))


class Channel(Protocol):
    """What the exchange needs of a connection.

    A channel made by the initiator sends a datagram that asks for an acknowledgement at once, and
    again until one comes: it is the key confirmation that the responder waits for (SPEC §4.6).
    """

    @property
    def index(self) -> int:
        """Ours: the receiver index of datagrams that reach us."""

    @property
    def established(self) -> bool:
        """A datagram of the peer has verified; false at first for both roles."""

    @property
    def closed(self) -> bool:
        """Nothing more will be sent or received; the exchange forgets the channel."""

    @property
    def heard_at(self) -> float:
        """When a datagram of the peer last verified."""

    def lose(self) -> None:
        """The peer is given up; it is told nothing."""

    def receive(self, now: float, *bursts: Burst) -> None: ...
    def wake(self, now: float) -> None: ...
    def transmit(self, now: float) -> Burst | None: ...
    def deadline(self) -> float | None: ...


class Parameters(NamedTuple):
    """What each side declares in its authenticated handshake payload (16 bytes, SPEC §4.4)."""

    aes: bool
    """AES-256-GCM is faster here than ChaCha20-Poly1305."""
    largest_datagram: int
    control_window: int
    """Bytes of control stream the peer may send beyond what we have consumed."""
    content_window: int
    """Bytes of content the peer may send beyond what we have stored."""

    def encode(self) -> bytes:
        return _PARAMETERS.pack(
            VERSION, self.aes, self.largest_datagram, self.control_window, self.content_window
        )

    @classmethod
    def parse(cls, data: bytes | memoryview) -> "Parameters":
        """Read 16 bytes; unknown flag bits are ignored, so that later versions can add some."""
        if len(data) != _PARAMETERS.size:
            raise ProtocolError("parameters have the wrong length")
        version, flags, largest, control, content = _PARAMETERS.unpack(data)
        if version != VERSION or not BASE_DATAGRAM <= largest <= LARGEST_DATAGRAM:
            raise ProtocolError("parameters out of range")
        return cls(bool(flags & 1), largest, control, content)


_PARAMETERS = struct.Struct(">BBHIQ")


class SessionKeys(NamedTuple):
    """The outcome of a handshake."""

    send_root: bytes
    receive_root: bytes
    our_index: int
    their_index: int
    peer: bytes
    """The peer's static public key, 32 bytes."""
    initiator: bool
    hash: bytes
    """The handshake hash: names this channel for anything bound to it."""
    ours: Parameters
    theirs: Parameters
    mark: bytes = b""
    """The initiator's 12 bytes: the first of the rendezvous session id, random if there is none."""

    def __repr__(self) -> str:
        """Say whose keys, never the keys: a dump must not open the session."""
        role = "initiator" if self.initiator else "responder"
        return f"<SessionKeys {role} {self.our_index:08x}>"
