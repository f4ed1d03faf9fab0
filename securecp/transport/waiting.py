"""What the clock says of a connection: what is overdue, and whom we wait for in vain (SPEC §7.2).

It sets the timers that follow from the state of other parts and acts on those that expire; what
that means to the application, `connection.py` says.
"""

from collections.abc import Iterator
from enum import Enum, auto

from securecp.transport.acks import MAX_DELAY
from securecp.transport.incoming import Incoming
from securecp.transport.outgoing import KEEPALIVE
from securecp.transport.parts import ControlItem, Parts
from securecp.transport.paths import Paths
from securecp.transport.timers import Timer

STALL_TIMEOUT = 120.0
"""How long a live peer may let us wait without taking or acknowledging anything (TR-08, TR-09)."""
BLACK_HOLE_PROBES = 3
QUIET_PTOS = 3
QUIET_TIME = 1.0
"""Seconds without an answer, and PTOs, that make us quiet."""
OVERSLEPT = 0.5
"""Seconds by which a wake-up may be late: beyond, we stood still, and answers wait to be read."""


class Verdict(Enum):
    """What waiting has come to."""

    GONE = auto()
    """Nothing authentic has come for the idle time."""
    STALLED = auto()
    """The peer lives, and nothing that we wait for moves."""
    QUIET = auto()
    """What we have sent on this path has had no answer for too long."""
    HEARD = auto()
    """It has, after all."""


class Waiting:
    """The timers of one connection but for those that only make `transmit` due."""

    def __init__(self, parts: Parts, incoming: Incoming, paths: Paths, now: float) -> None:
        self._parts = parts
        self._incoming = incoming
        self._paths = paths
        self._progress: tuple[int, int] | None = None
        self._quiet_at: float | None = None
        """Since when we have been quiet."""
        self._awake_at = now
        """When we stood still last: nobody was asked before that."""

    def wake(self, now: float) -> Iterator[Verdict]:
        """Deal with every deadline that has passed."""
        parts = self._parts
        for timer in parts.timers.expired(now):
            match timer:
                case Timer.IDLE:
                    yield Verdict.GONE
                case Timer.STALL:
                    if self._progress == self._progress_now():
                        yield Verdict.STALLED
                case Timer.LOSS:
                    outcome = parts.recovery.on_loss_timer(now)
                    self._incoming.settle(now, outcome, parts.path)
                case Timer.PROBE:
                    self._probe(now)
                case Timer.KEEPALIVE | Timer.LISTEN:
                    self._ask(now, timer)
                case Timer.QUIET:
                    yield from self._judge_quiet(now)
                case Timer.PATH:
                    self._paths.expire(now)
        self.rearm(now)

    def _ask(self, now: float, timer: Timer) -> None:
        """A PING, so that we hear whether the peer is there, and the peer where we are."""
        parts = self._parts
        if timer is Timer.KEEPALIVE:
            parts.timers.set(Timer.KEEPALIVE, now + KEEPALIVE)
            parts.due.ping = True
        elif parts.content_in.lacking:
            parts.due.ping = True

    def heard(self) -> Iterator[Verdict]:
        """Something has come: perhaps the answer that we have waited for."""
        if self._quiet_at is not None and self._parts.recovery.answered_at >= self._quiet_at:
            self._quiet_at = None
            yield Verdict.HEARD

    def _probe(self, now: float) -> None:
        """PTO: send again what has waited longest, past the congestion window (RFC 9002 §6.2.4)."""
        parts, recovery = self._parts, self._parts.recovery
        recovery.on_probe_timer(now)
        if recovery.probes >= BLACK_HOLE_PROBES:
            self._incoming.fall_back(now, parts.path)
        parts.due.probes = 2 if recovery.probes <= BLACK_HOLE_PROBES else 1
        oldest = recovery.flight.oldest()
        if oldest is None:
            return
        for item in oldest.items:
            if isinstance(item, ControlItem):
                parts.control_out.lost(item.start, item.end)
        if oldest.length:
            for start, end in oldest.content_of(oldest.missing & -oldest.missing):
                parts.content_out.again(start, end)

    def _quiet_from(self) -> float | None:
        """When we shall be quiet, if nothing answers until then."""
        recovery = self._parts.recovery
        since = recovery.unanswered_since()
        if since is None:
            return None
        patience = max(QUIET_PTOS * recovery.rtt.pto(MAX_DELAY), QUIET_TIME)
        return max(since, self._awake_at) + patience

    def _judge_quiet(self, now: float) -> Iterator[Verdict]:
        at = self._quiet_from()
        if at is None or now < at:
            return
        if now > at + OVERSLEPT:
            self._awake_at = now
            return
        self._paths.end_word()
        if self._quiet_at is None:
            self._quiet_at = now
            # Others may use another path now, and come back here: then not with what vanishes.
            self._incoming.fall_back(now, self._parts.path)
            yield Verdict.QUIET

    def _progress_now(self) -> tuple[int, int] | None:
        """What moves while the peer takes what we have for it; None if we wait for nothing."""
        parts = self._parts
        content, control = parts.content_out, parts.control_out
        if (content.unfinished and not content.held) or not control.idle:
            return content.acked, control.acknowledged
        if len(parts.recovery.flight):
            return -1, parts.delivered
        return None

    def rearm(self, now: float) -> None:
        """Set the timers that follow from the state of others."""
        parts = self._parts
        timers, recovery = parts.timers, parts.recovery
        for timer, at in (
            (Timer.LOSS, recovery.loss_deadline()),
            (Timer.PROBE, recovery.probe_deadline()),
            (Timer.QUIET, self._quiet_deadline(now)),
            (Timer.PATH, self._paths.deadline(now)),
        ):
            if at is None:
                timers.clear(timer)
            else:
                timers.set(timer, at)
        progress = self._progress_now()
        if progress is None:
            timers.clear(Timer.STALL)
        elif progress != self._progress or not timers.is_set(Timer.STALL):
            timers.set(Timer.STALL, now + STALL_TIMEOUT)
        self._progress = progress

    def _quiet_deadline(self, now: float) -> float | None:
        if self._quiet_at is not None and not self._paths.word_stands(now):
            return None
        return self._quiet_from()
