"""One authenticated connection: what others see of it, and what the clock says (SPEC §5 to §7).

    received burst ─► opener ─► incoming.py ─► events, sink
                                    │ due
    transmit       ◄─ sealer ◄─ outgoing.py ◄─ source, write, send_content
                       └── to the path in use: paths.py ◄─ move, and where the peer sends from

What it is not: it does not know files, messages or sockets. `now` is in seconds on any clock that
only moves forward; deadlines are on the same clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
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
from securecp.transport.opening import Opened, Opener
from securecp.transport.outgoing import KEEPALIVE, Outgoing
from securecp.transport.parts import Due, Parts
from securecp.transport.path import Path
from securecp.transport.paths import Paths
from securecp.transport.ranges import RangeCapError
from securecp.transport.recovery import Recovery
from securecp.transport.rtt import Rtt
from securecp.transport.seal import Sealer
from securecp.transport.timers import Timer, Timers
from securecp.transport.validation import Validation
from securecp.transport.waiting import STALL_TIMEOUT, Verdict, Waiting
from securecp.transport.wire import SessionKeys

__all__ = [
    "CLOSE_CANCELLED",
    "CLOSE_DONE",
    "CLOSE_FAILED",
    "CLOSE_PROTOCOL",
    "CLOSE_REFUSED",
    "STALL_TIMEOUT",
    "Closed",
    "Connection",
    "ConnectionEvent",
    "ControlReceived",
    "Heard",
    "Lost",
    "Moved",
    "Quiet",
]

IDLE_TIMEOUT = 70.0
"""Silence after which the peer counts as gone: a minute without a network is survived (F-33)."""
OLD_KEY_RTTS = 3
CLOSE_COPIES = 2
LAST_COPY_AFTER = 0.1
"""Seconds until another copy, if anybody still calls us: what loses one instant loses both."""


class Lost(NamedTuple):
    """The peer has been silent for too long, or has kept us waiting for too long."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Another path is in use, by our word or the peer's."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Quiet:
    """What we have sent on the path in use has had no answer for too long."""


@dataclass(frozen=True, slots=True)
class Heard:
    """It has, after we were `Quiet`."""


# Not tuples: tuples without fields are all equal to each other.
ConnectionEvent = ControlReceived | Closed | Lost | Moved | Quiet | Heard


class Connection:
    """Both directions between us and one peer, on one path at a time.

    `controller` makes what decides how fast we send; each path gets one of its own.
    """

    def __init__(
        self,
        keys: SessionKeys,
        endpoint: Endpoint,
        now: float,
        entropy: Callable[[int], bytes],
        *,
        controller: Callable[[], Controller] = Bbr,
    ) -> None:
        self.keys = keys
        self.index = keys.our_index
        self.heard_at = now
        """When anything of the peer last verified."""
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
        self._timers = Timers()
        advertised = Window(keys.ours.control_window, keys.ours.content_window)
        self._due = Due(advertised, ping=keys.initiator)
        self._parts = parts = Parts(
            due=self._due,
            sealer=self._sealer,
            acks=self._acks,
            timers=self._timers,
            control_out=self._control_out,
            control_in=self._control_in,
            content_out=self.content_out,
            content_in=self.content_in,
            validation=Validation(entropy),
            path=Path(endpoint, controller(), Rtt(), largest),
        )
        self._incoming = Incoming(parts, keys.ours)
        self._outgoing = Outgoing(parts, entropy)
        self._paths = Paths(
            parts,
            controller,
            self._incoming.settle,
            now,
            initiator=keys.initiator,
            largest=largest,
        )
        self._waiting = Waiting(parts, self._incoming, self._paths, now)
        self._events: list[ConnectionEvent] = []
        self._close: Close | None = None
        self._close_copies = 0
        self._last_copy_at: float | None = None
        self._timers.set(Timer.IDLE, now + IDLE_TIMEOUT)
        self._timers.set(Timer.KEEPALIVE, now + KEEPALIVE)

    @property
    def _recovery(self) -> Recovery:
        return self._parts.recovery

    # what the application says

    @property
    def endpoint(self) -> Endpoint:
        """The path in use: where everything goes."""
        return self._parts.path.endpoint

    def move(self, now: float, endpoint: Endpoint, rtt: float | None = None) -> None:
        """Send everything there from now on: it is known to lead to the peer, or is a relay.

        `rtt` is what is known of its round trip. The peer follows when it hears us from there.
        """
        if not self.closed and self._paths.move(now, endpoint, rtt):
            self._events.append(Moved(endpoint))

    def trust(self, now: float, endpoint: Endpoint) -> None:
        """Follow the peer there without a challenge, for a while: it has been validated."""
        self._parts.validation.trust(now, endpoint)

    @property
    def hold(self) -> bool:
        """Whether content waits; everything else goes on."""
        return self.content_out.held

    @hold.setter
    def hold(self, hold: bool) -> None:
        self.content_out.held = hold

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

    def skip_content(self, start: int, end: int) -> None:
        """Send nothing of a range: the peer has it, or will never need it."""
        self.content_out.skip(start, end)

    def withdraw_content(self, start: int, end: int) -> bool:
        """Send no more of a range that was queued; whether nothing of it is in flight any more."""
        self.content_out.withdraw(start, end)
        recoveries = [self._recovery, *(retired.recovery for retired in self._parts.retired)]
        return not any(recovery.flight.carries(start, end) for recovery in recoveries)

    def expect_content(self, start: int, end: int) -> None:
        """Let the peer send this range; anything outside is a breach of protocol."""
        self.content_in.expect(start, end)

    def forget_content(self, start: int, end: int) -> None:
        """Take this range anew, though it has come before."""
        self.content_in.forget(start, end)

    def waive_content(self, start: int, end: int) -> None:
        """Count a range as if it had come; what still comes of it is dropped unread."""
        self.content_in.waive(start, end)

    def close(self, code: int = CLOSE_DONE, reason: str = "") -> None:
        """Tell the peer that this is the end; closed once that has been transmitted."""
        if self._close is None and not self.closed:
            # A file name in it may hold what is no text.
            text = reason.encode(errors="replace").decode()
            self._close = Close(code, text[:REASON_LENGTH])
            self._close_copies = CLOSE_COPIES

    def lose(self) -> None:
        """End as if the idle time had passed: somebody needs the room."""
        if not self.closed:
            self._judge(Verdict.GONE)

    def events(self) -> list[ConnectionEvent]:
        """What has happened since the last call.

        Control that nobody asks for here stays within one window: the peer may send no more.
        """
        events, self._events = self._events, []
        if events:
            self._control_in.consume()
            self._incoming.judge_windows()
        return events

    def grant_content(self, total: int | None) -> None:
        """Let the peer send `total` bytes of content in all, instead of a window of ours (None)."""
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
        return self._parts.mtu.size

    # what the network says

    def receive(self, now: float, *bursts: Burst) -> None:
        """Bursts for our index have come, from anywhere; what does not verify leaves no trace."""
        if self.closed:
            return
        opened = Opened()
        length, newest = self._open(now, bursts, opened)
        if not opened.counters:
            return
        self.established = True
        self.heard_at = now
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
        if newest is not None and self._paths.on_newest(now, newest):
            self._events.append(Moved(newest))
        for endpoint, size in opened.elsewhere:
            self._parts.validation.came(endpoint, size)
        for verdict in self._waiting.heard():
            self._judge(verdict)
        self._report()

    def _open(
        self, now: float, bursts: tuple[Burst, ...], opened: Opened
    ) -> tuple[int, Endpoint | None]:
        """Open all of them: bytes of those that hold something, and where the newest came from."""
        opener, endpoint = self._opener, self._parts.path.endpoint
        length, newest = 0, None
        keep_old_key = OLD_KEY_RTTS * self._parts.recovery.rtt.smoothed
        for burst in bursts:
            last, highest, frames = opened.counters[-1:], opener.newest, len(opened.frames)
            opener.open(now, burst, keep_old_key, opened)
            if opened.counters[-1:] != last:
                length += len(burst.data)
                if opener.newest != highest:
                    newest = burst.endpoint
                if burst.endpoint != endpoint:
                    opened.note_origin(burst, frames)
        return length, newest

    def _report(self) -> None:
        """Pass on what the way in has to report; a CLOSE of the peer is the end."""
        for event in self._incoming.events:
            self._events.append(event)
            if isinstance(event, Closed) and event.remote:
                self._end()
        self._incoming.events.clear()

    def transmit(self, now: float) -> Burst | None:
        """The next burst, or None; its bytes are valid until the next call."""
        if self._close is not None:
            return self._transmit_close(now, self._close)
        if self.closed:
            return None
        endpoint = self._parts.path.endpoint
        if self._due.elsewhere or self._parts.validation.candidates:
            stray = self._outgoing.elsewhere(now)
            if stray is not None:
                endpoint, data = stray
                self.bytes_sent += len(data)
                return Burst(endpoint, data, len(data))
        burst = self._outgoing.next(now)
        if burst is None:
            self._waiting.rearm(now)
            return None
        data, stride = burst
        self.bytes_sent += len(data)
        return Burst(endpoint, data, stride)

    def _transmit_close(self, now: float, close: Close) -> Burst | None:
        """Two copies at once, and one a little later for whom an instant took both."""
        if self.closed:
            if self._last_copy_at is None or now < self._last_copy_at:
                return None
            self._last_copy_at = None
        else:
            self._close_copies -= 1
            if not self._close_copies:
                self._end()
                self._last_copy_at = now + LAST_COPY_AFTER
        data = self._outgoing.close(now, close)
        self.bytes_sent += len(data)
        return Burst(self.endpoint, data, len(data))

    # what the clock says

    def wake(self, now: float) -> None:
        """Deal with every deadline that has passed."""
        if not self.closed:
            for verdict in self._waiting.wake(now):
                self._judge(verdict)
                if self.closed:
                    return

    def deadline(self) -> float | None:
        """When `wake` is due next, or `transmit` with the last copy of our CLOSE."""
        return self._last_copy_at if self.closed else self._timers.next()

    def _judge(self, verdict: Verdict) -> None:
        match verdict:
            case Verdict.GONE:
                self._events.append(Lost())
                self._end()
            case Verdict.STALLED if self._close is None:
                self._events.append(Lost())
                self.close(CLOSE_FAILED, "no progress")
            case Verdict.QUIET:
                self._events.append(Quiet())
            case Verdict.HEARD:
                self._events.append(Heard())

    def _end(self) -> None:
        self.closed = True
        self._timers.clear_all()
