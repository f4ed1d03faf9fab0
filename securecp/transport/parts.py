"""What a connection is made of, and what its way in tells its way out.

`incoming.py` and `outgoing.py` work on the same parts, each of which knows one thing alone;
`connection.py` makes them and is what others see.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from securecp.transport.acks import Acks
from securecp.transport.content import ContentReceiver, ContentSender
from securecp.transport.control import ControlReceiver, ControlSender
from securecp.transport.frames import Window
from securecp.transport.mtu import MtuSearch
from securecp.transport.pacing import Pacer
from securecp.transport.recovery import Recovery
from securecp.transport.seal import Sealer
from securecp.transport.timers import Timers
from securecp.transport.trains import TrainPolicy


@dataclass(slots=True)
class Due:
    """What is to be said with the next datagram of frames."""

    advertised: Window
    """What the peer was last told it may send."""
    ping: bool
    window: bool = False
    responses: list[bytes] = field(default_factory=list)
    """Tokens of challenges to answer."""
    probes: int = 0
    """Datagrams that may leave past the congestion window, since a PTO has expired."""

    def __bool__(self) -> bool:
        return self.ping or self.window or bool(self.responses)


@dataclass(frozen=True, slots=True)
class Parts:
    """One of each."""

    due: Due
    sealer: Sealer
    acks: Acks
    recovery: Recovery
    pacer: Pacer
    timers: Timers
    mtu: MtuSearch
    control_out: ControlSender
    control_in: ControlReceiver
    content_out: ContentSender
    content_in: ContentReceiver
    trains: TrainPolicy


class AckItem(NamedTuple):
    """An ACK; once it is acknowledged itself, the peer knows of all below this counter."""

    below: int


class WindowItem(NamedTuple):
    """A WINDOW; if it is lost, a new one is due."""


class ControlItem(NamedTuple):
    """Bytes of the control stream."""

    start: int
    end: int
