"""One authenticated connection: what others see of it, and what the clock says (SPEC §5 to §7).

    received burst ─► opener ─► incoming.py ─► events, sink
                                    │ due
    transmit       ◄─ sealer ◄─ outgoing.py ◄─ source, write, send_content

What it is not: it does not know files, messages or sockets. `now` is in seconds on any clock that
only moves forward; deadlines are on the same clock.
"""

from collections.abc import Callable
from typing import NamedTuple

from securecp.endpoint import Burst, Endpoint
from securecp.errors import ProtocolError
from securecp.transport.acks import Acks
from securecp.transport.bbr import Bbr
from securecp.transport.congestion import Controller
from securecp.transport.content import ContentReceiver, ContentSender, ContentSink, ContentSource
from securecp.transport.control import ControlReceiver, ControlSender
from securecp.transport.frames import (
    CLOSE_CANCELLED,
    CLOSE_DONE,
    CLOSE_FAILED,
    CLOSE_PROTOCOL,
    CLOSE_REFUSED,
    REASON_LENGTH,
    Close,
    Window,
)
from securecp.transport.incoming import Closed, ControlReceived, Incoming
from securecp.transport.mtu import MtuSearch
from securecp.transport.opening import Opened, Opener
from securecp.transport.outgoing import KEEPALIVE, Outgoing
from securecp.transport.pacing import Pacer
from securecp.transport.parts import ControlItem, Due, Parts
from securecp.transport.ranges import RangeCapError
from securecp.transport.recovery import Recovery
from securecp.transport.seal import Sealer
from securecp.transport.timers import Timer, Timers
from securecp.transport.trains import TrainPolicy
from securecp.transport.wire import SessionKeys

__all__ = [
    "CLOSE_CANCELLED",
    "CLOSE_DONE",
    "CLOSE_FAILED",
    "CLOSE_PROTOCOL",
    "CLOSE_REFUSED",
    "Closed",
    "Connection",
    "ConnectionEvent",
    "ControlReceived",
    "Lost",
]

IDLE_TIMEOUT = 25.0
"""Silence after which the peer counts as gone."""
STALL_TIMEOUT = 120.0
"""How long a live peer may let us wait without taking or acknowledging anything (TR-08, TR-09)."""
OLD_KEY_RTTS = 3
BLACK_HOLE_PROBES = 3
CLOSE_COPIES = 2


class Lost(NamedTuple):
    """The peer has been silent for too long, or has kept us waiting for too long."""


ConnectionEvent = ControlReceived | Closed | Lost


class Connection:
    """Both directions between us and one peer at one endpoint."""

    def __init__(
        self,
        keys: SessionKeys,
        endpoint: Endpoint,
        now: float,
        entropy: Callable[[int], bytes],
        *,
        controller: Controller | None = None,
    ) -> None:
        self.keys = keys
        self.index = keys.our_index
        self.endpoint = endpoint
        self.established = False
        """Whether a datagram of the peer has verified."""
        self.closed = False
        self.bytes_sent = 0
        self.bytes_received = 0
        """Of bursts of which anything verified; heads of fragments only if all came in one."""
        largest = min(keys.ours.largest_datagram, keys.theirs.largest_datagram)
        self.content_out = ContentSender(keys.theirs.content_window)
        self.content_in = ContentReceiver(keys.ours.content_window)
        self._control_out = ControlSender(keys.theirs.control_window)
        self._control_in = ControlReceiver(keys.ours.control_window)
        self._opener = Opener(keys, now)
        self._sealer = Sealer(keys, now)
        self._acks = Acks()
        self._recovery = Recovery(controller if controller is not None else Bbr())
        self._timers = Timers()
        self._mtu = MtuSearch(largest)
        advertised = Window(keys.ours.control_window, keys.ours.content_window)
        self._due = Due(advertised, ping=keys.initiator)
        parts = Parts(
            due=self._due,
            sealer=self._sealer,
            acks=self._acks,
            recovery=self._recovery,
            pacer=Pacer(),
            timers=self._timers,
            mtu=self._mtu,
            control_out=self._control_out,
            control_in=self._control_in,
            content_out=self.content_out,
            content_in=self.content_in,
            trains=TrainPolicy(),
        )
        self._incoming = Incoming(parts, keys.ours)
        self._outgoing = Outgoing(parts, entropy)
        self._events: list[ConnectionEvent] = []
        self._close: Close | None = None
        self._close_copies = 0
        self._progress: tuple[int, int] | None = None
        self._timers.set(Timer.IDLE, now + IDLE_TIMEOUT)
        self._timers.set(Timer.KEEPALIVE, now + KEEPALIVE)

    # what the application says

    @property
    def source(self) -> ContentSource | None:
        """Fills payload slots with content to send."""
        return self.content_out.source

    @source.setter
    def source(self, source: ContentSource) -> None:
        self.content_out.source = source

    @property
    def sink(self) -> ContentSink | None:
        """Takes content that arrives."""
        return self.content_in.sink

    @sink.setter
    def sink(self, sink: ContentSink) -> None:
        self.content_in.sink = sink

    @property
    def peer(self) -> bytes:
        """The peer's public key."""
        return self.keys.peer

    def control_room(self) -> int:
        """Bytes that `write` takes now without piling up."""
        return self._control_out.room

    @property
    def control_idle(self) -> bool:
        """Whether the peer has acknowledged everything written."""
        return self._control_out.idle

    def write(self, data: bytes) -> None:
        """Append to the control stream."""
        self._control_out.write(data)

    def send_content(self, start: int, end: int) -> None:
        """Queue a range of content space, also one that was sent before."""
        self.content_out.queue(start, end)

    def withdraw_content(self, start: int, end: int) -> bool:
        """Send no more of a range that was queued; whether nothing of it is in flight any more."""
        self.content_out.withdraw(start, end)
        return not self._recovery.flight.carries(start, end)

    def expect_content(self, start: int, end: int) -> None:
        """Let the peer send this range; anything outside is a breach of protocol."""
        self.content_in.expect(start, end)

    def forget_content(self, start: int, end: int) -> None:
        """Take this range anew, though it has come before."""
        self.content_in.forget(start, end)

    def close(self, code: int = CLOSE_DONE, reason: str = "") -> None:
        """Tell the peer that this is the end; closed once that has been transmitted."""
        if self._close is None and not self.closed:
            # A file name in it may hold what is no text.
            text = reason.encode(errors="replace").decode()
            self._close = Close(code, text[:REASON_LENGTH])
            self._close_copies = CLOSE_COPIES

    def events(self) -> list[ConnectionEvent]:
        """What has happened since the last call.

        Control that nobody asks for here stays within one window: the peer may send no more.
        """
        events, self._events = self._events, []
        if events:
            self._control_in.consume()
            self._incoming.judge_windows()
        return events

    def grant_content(self, total: int) -> None:
        """Let the peer send `total` bytes of content in all, instead of a window of ours."""
        self.content_in.granted = total
        self._incoming.judge_windows()

    @property
    def rtt(self) -> float:
        """Smoothed round-trip time in seconds."""
        return self._recovery.rtt.smoothed

    @property
    def in_flight(self) -> int:
        """Bytes sent and neither acknowledged nor lost."""
        return self._recovery.flight.bytes

    @property
    def datagram_size(self) -> int:
        """Bytes of the longest datagram that the path is known to carry."""
        return self._mtu.size

    # what the network says

    def receive(self, now: float, *bursts: Burst) -> None:
        """Bursts for our index have come, from anywhere; what does not verify leaves no trace."""
        if self.closed:
            return
        opened, length = Opened(), 0
        keep_old_key = OLD_KEY_RTTS * self._recovery.rtt.smoothed
        for burst in bursts:
            last = opened.counters[-1:]
            self._opener.open(now, burst, keep_old_key, opened)
            if opened.counters[-1:] != last:
                length += len(burst.data)
        if not opened.counters:
            return
        self.established = True
        self._timers.set(Timer.IDLE, now + IDLE_TIMEOUT)
        if self._close is not None:
            return
        came = self.content_in.came
        try:
            self._incoming.take(now, opened)
        except RangeCapError:
            pass
        except ProtocolError as error:
            self.close(CLOSE_PROTOCOL, error.message)
            self._incoming.events.append(Closed(CLOSE_PROTOCOL, error.message, remote=False))
        self.bytes_received += max(length, self.content_in.came - came)
        self._report()

    def _report(self) -> None:
        """Pass on what the way in has to report; a CLOSE of the peer is the end."""
        for event in self._incoming.events:
            self._events.append(event)
            if isinstance(event, Closed) and event.remote:
                self._end()
        self._incoming.events.clear()

    def transmit(self, now: float) -> Burst | None:
        """The next burst, or None; its bytes are valid until the next call."""
        if self.closed:
            return None
        if self._close is not None:
            data = self._outgoing.close(now, self._close)
            stride = len(data)
            self._close_copies -= 1
            if not self._close_copies:
                self._end()
        else:
            burst = self._outgoing.next(now)
            if burst is None:
                self._rearm(now)
                return None
            data, stride = burst
        self.bytes_sent += len(data)
        return Burst(self.endpoint, data, stride)

    # what the clock says

    def wake(self, now: float) -> None:
        """Deal with every deadline that has passed."""
        for timer in self._timers.expired(now):
            match timer:
                case Timer.IDLE:
                    self._events.append(Lost())
                    self._end()
                    return
                case Timer.STALL:
                    self._on_stall()
                case Timer.LOSS:
                    self._incoming.settle(now, self._recovery.on_loss_timer(now))
                case Timer.PROBE:
                    self._probe(now)
                case Timer.KEEPALIVE:
                    self._due.ping = True
                    self._timers.set(Timer.KEEPALIVE, now + KEEPALIVE)
        self._rearm(now)

    def deadline(self) -> float | None:
        """When `wake` is due next."""
        return None if self.closed else self._timers.next()

    def _end(self) -> None:
        self.closed = True
        self._timers.clear_all()

    def _probe(self, now: float) -> None:
        """PTO: send again what has waited longest, past the congestion window (RFC 9002 §6.2.4)."""
        recovery = self._recovery
        recovery.on_probe_timer(now)
        if recovery.probes >= BLACK_HOLE_PROBES:
            self._incoming.fall_back(now)
        self._due.probes = 2
        oldest = recovery.flight.oldest()
        if oldest is None:
            return
        for item in oldest.items:
            if isinstance(item, ControlItem):
                self._control_out.lost(item.start, item.end)
        if oldest.length:
            for start, end in oldest.content_of(oldest.missing & -oldest.missing):
                self.content_out.again(start, end)

    def _on_stall(self) -> None:
        if self._close is None and self._progress == self._progress_now():
            self._events.append(Lost())
            self.close(CLOSE_FAILED, "no progress")

    def _progress_now(self) -> tuple[int, int] | None:
        """What moves while the peer takes what we have for it; None if we wait for nothing."""
        if self.content_out.unfinished or not self._control_out.idle:
            return self.content_out.acked, self._control_out.acknowledged
        if len(self._recovery.flight):
            return -1, self._recovery.meter.delivered
        return None

    def _rearm(self, now: float) -> None:
        """Set the timers that follow from the state of others."""
        timers, recovery = self._timers, self._recovery
        for timer, at in (
            (Timer.LOSS, recovery.loss_deadline()),
            (Timer.PROBE, recovery.probe_deadline()),
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
