"""What a connection is made of, and what its way in tells its way out.

`incoming.py` and `outgoing.py` work on the same parts, each of which knows one thing alone;
`connection.py` makes them and is what others see.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from securecp.endpoint import Endpoint
from securecp.transport.acks import Acks
from securecp.transport.content import ContentReceiver, ContentSender
from securecp.transport.control import ControlReceiver, ControlSender
from securecp.transport.frames import Window
from securecp.transport.mtu import MtuSearch
from securecp.transport.pacing import Pacer
from securecp.transport.path import Path, Retired
from securecp.transport.recovery import Recovery
from securecp.transport.seal import Sealer
from securecp.transport.timers import Timers
from securecp.transport.trains import TrainPolicy
from securecp.transport.validation import Validation


@dataclass(slots=True)
class Due:
    """What is to be said with the next datagram of frames."""

    advertised: Window
    """What the peer was last told it may send."""
    ping: bool
    window: bool = False
    responses: list[bytes] = field(default_factory=list)
    """Tokens of challenges to answer."""
    elsewhere: dict[Endpoint, list[bytes]] = field(default_factory=dict)
    """Tokens of challenges that came from endpoints not in use, and are answered there."""
    probes: int = 0
    """Datagrams that may leave past the congestion window, since a PTO has expired."""

    def __bool__(self) -> bool:
        return self.ping or self.window or bool(self.responses)


@dataclass(slots=True)
class Parts:
    """One of each; what belongs to the path in use is that path's own, for it is used so often."""

    due: Due
    sealer: Sealer
    acks: Acks
    timers: Timers
    control_out: ControlSender
    control_in: ControlReceiver
    content_out: ContentSender
    content_in: ContentReceiver
    validation: Validation
    path: Path
    retired: list[Retired] = field(default_factory=list)
    """What is in flight on paths that we have left, oldest first."""
    recovery: Recovery = field(init=False)
    pacer: Pacer = field(init=False)
    mtu: MtuSearch = field(init=False)
    trains: TrainPolicy = field(init=False)
    skipped: list[int] = field(default_factory=list)
    """Counters left out, on whichever path."""
    delivered_before: int = 0
    """Bytes acknowledged on paths that we have left."""

    def __post_init__(self) -> None:
        self.use(self.path)

    @property
    def delivered(self) -> int:
        """Bytes acknowledged, on whichever path."""
        return self.delivered_before + self.recovery.meter.delivered

    def use(self, path: Path) -> None:
        """Send on this path from now on."""
        self.path = path
        self.recovery, self.pacer = path.recovery, path.pacer
        self.mtu, self.trains = path.mtu, path.trains
        self.recovery.share(self.skipped)


class AckItem(NamedTuple):
    """An ACK; once it is acknowledged itself, the peer knows of all below this counter."""

    below: int


class WindowItem(NamedTuple):
    """A WINDOW; if it is lost, a new one is due."""


class ControlItem(NamedTuple):
    """Bytes of the control stream."""

    start: int
    end: int
