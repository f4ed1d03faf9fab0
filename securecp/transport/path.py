"""What is known of one path: what is in flight on it, how fast it is, how long a datagram may be.

A path is an endpoint: our door and their address (SPEC §7.11). One of them is in use. A path that
we leave falls in two: what is in flight on it retires and goes on to take ACKs; what we have learnt
of it stays as it was, in case we come back.
"""

import copy

from securecp.endpoint import Endpoint
from securecp.transport.acks import MAX_DELAY
from securecp.transport.congestion import Controller
from securecp.transport.mtu import MtuSearch
from securecp.transport.pacing import Pacer
from securecp.transport.recovery import Recovery
from securecp.transport.rtt import Rtt
from securecp.transport.trains import TrainPolicy

LONGEST_WAIT = 0.25
"""Seconds for which what was in flight on a path left may still be acknowledged before it goes out
again on the new one; its PTO, if that is less."""
LATE_FOR = 3.0
"""Seconds after that in which an ACK for it still saves the copy."""


class Path:
    """The parts of a connection that belong to one path."""

    __slots__ = ("controller", "endpoint", "mtu", "pacer", "recovery", "trains")

    def __init__(self, endpoint: Endpoint, controller: Controller, rtt: Rtt, largest: int) -> None:
        self.endpoint = endpoint
        self.controller = controller
        self.recovery = Recovery(controller, rtt)
        self.pacer = Pacer()
        self.mtu = MtuSearch(largest)
        self.trains = TrainPolicy()

    def leave(self, now: float, end: int) -> "Retired":
        """From counter `end` on we send elsewhere: part with what is in flight, keep the rest."""
        recovery = self.recovery
        recovery.retire(end, _Nobody())
        self.recovery = Recovery(self.controller, copy.copy(recovery.rtt))
        self.pacer = Pacer()
        self.mtu.interrupt()
        return Retired(recovery, now)


class Retired:
    """What was in flight on a path when we left it; what becomes of it teaches nobody anything."""

    __slots__ = ("gone_at", "lost_at", "mtu", "recovery", "trains")

    def __init__(self, recovery: Recovery, now: float) -> None:
        self.recovery = recovery
        self.lost_at = now + min(recovery.rtt.pto(MAX_DELAY), LONGEST_WAIT)
        """When all that is left of it counts as lost."""
        self.gone_at = self.lost_at + LATE_FOR
        self.mtu = MtuSearch(0)
        self.trains = TrainPolicy()

    def deadline(self) -> float:
        """When something becomes lost, or all of it is forgotten."""
        if not len(self.recovery.flight):
            return self.gone_at
        loss = self.recovery.loss_deadline()
        return self.lost_at if loss is None else min(loss, self.lost_at)


class _Nobody:
    """A controller that is told and forgets: how a path left does is nothing to the new one."""

    window = 0
    pacing_rate = 1.0

    def _ignore(self, *_: object, **__: object) -> None:
        """Nothing."""

    on_sent = on_ack = on_loss = on_spurious_loss = _ignore
    on_persistent_congestion = on_datagram_size = _ignore
