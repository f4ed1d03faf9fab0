"""One authenticated connection: routes between the parts, owns no algorithm (SPEC §5 to §7).

    received burst ─► seal.Opener ─► content ─► sink          frames ─► recovery, control, acks
    transmit       ◄─ seal.Sealer ◄─ source, resend, new      frames ◄─ control, acks, mtu

What it is not: it does not know files, messages or sockets. `now` is in seconds on any clock that
only moves forward; deadlines are on the same clock.
"""

from collections.abc import Callable
from typing import NamedTuple

from securecp.errors import ProtocolError
from securecp.transport.acks import Acks
from securecp.transport.congestion import Controller
from securecp.transport.content import ContentReceiver, ContentSender, ContentSink, ContentSource
from securecp.transport.control import ControlReceiver, ControlSender
from securecp.transport.cubic import Cubic
from securecp.transport.flight import Record
from securecp.transport.frames import (
    CONTROL_OVERHEAD,
    Ack,
    Challenge,
    Close,
    Control,
    Frame,
    Padding,
    Ping,
    Response,
    Window,
    encode,
    is_ack_eliciting,
    parse,
)
from securecp.transport.mtu import MtuSearch
from securecp.transport.pacing import Pacer
from securecp.transport.ranges import RangeCapError
from securecp.transport.recovery import Outcome, Recovery
from securecp.transport.seal import Opened, Opener, Sealer
from securecp.transport.timers import Timer, Timers
from securecp.transport.wire import OVERHEAD, Burst, Endpoint, SessionKeys

IDLE_TIMEOUT = 25.0
"""Silence after which the peer counts as gone."""
KEEPALIVE = 5.0
STALL_TIMEOUT = 120.0
"""How long a peer may keep its windows shut while we have something to send."""
OLD_KEY_RTTS = 3
BLACK_HOLE_PROBES = 3
RESPONSES = 8
FRAMES_LIMIT = 16_384
"""Longest datagram of frames; only content goes longer."""
CLOSE_COPIES = 2
_SKIP_EVERY = 128
"""Bursts between two counters left out, on average."""
_BUSY_BURST = 8

CLOSE_DONE = 0
CLOSE_PROTOCOL = 1
CLOSE_FAILED = 2
CLOSE_REFUSED = 3
CLOSE_CANCELLED = 4


class ControlReceived(NamedTuple):
    """The next bytes of the peer's control stream."""

    data: bytes


class Closed(NamedTuple):
    """The connection is over, by the peer (`remote`) or by us."""

    code: int
    reason: str
    remote: bool


class Lost(NamedTuple):
    """Nothing authentic has come from the peer for too long."""


ConnectionEvent = ControlReceived | Closed | Lost


class _AckItem(NamedTuple):
    below: int


class _WindowItem(NamedTuple):
    """A WINDOW frame: if it is lost, a new one is due."""


class _ControlItem(NamedTuple):
    start: int
    end: int


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
        largest = min(keys.ours.largest_datagram, keys.theirs.largest_datagram)
        self._entropy = entropy
        self._sealer = Sealer(keys, now, largest)
        self._opener = Opener(keys, now)
        self._acks = Acks()
        self._mtu = MtuSearch(largest)
        self._recovery = Recovery(controller if controller is not None else Cubic())
        self._pacer = Pacer()
        self._timers = Timers()
        self._control_out = ControlSender(keys.theirs.control_window)
        self._control_in = ControlReceiver()
        self.content_out = ContentSender(keys.theirs.content_window)
        self.content_in = ContentReceiver(keys.ours.content_window)
        self._responses: list[bytes] = []
        self._advertised = Window(keys.ours.control_window, keys.ours.content_window)
        self._window_due = False
        self._ping_due = keys.initiator
        self._probes_due = 0
        self._close: Close | None = None
        self._close_copies = 0
        self._events: list[ConnectionEvent] = []
        self._bursts_to_skip = self._draw_skip()
        self._stalled_since: float | None = None
        self.bytes_sent = 0
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

    def expect_content(self, start: int, end: int) -> None:
        """Let the peer send this range; anything outside is a breach of protocol."""
        self.content_in.expect(start, end)

    def forget_content(self, start: int, end: int) -> None:
        """Take this range anew, though it has come before."""
        self.content_in.forget(start, end)

    def close(self, code: int = CLOSE_DONE, reason: str = "") -> None:
        """Tell the peer that this is the end; closed once that has been transmitted."""
        if self._close is None and not self.closed:
            self._close = Close(code, reason[:200])
            self._close_copies = CLOSE_COPIES

    def events(self) -> list[ConnectionEvent]:
        """What has happened since the last call."""
        events, self._events = self._events, []
        return events

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

    def receive(self, now: float, burst: Burst) -> None:
        """A burst for our index has come, from anywhere; what does not verify leaves no trace."""
        if self.closed:
            return
        opened = self._opener.open(now, burst, OLD_KEY_RTTS * self._recovery.rtt.smoothed)
        if not opened.counters:
            return
        self.established = True
        self._timers.set(Timer.IDLE, now + IDLE_TIMEOUT)
        if self._close is not None:
            return
        try:
            self._take(now, opened)
        except RangeCapError:
            return
        except ProtocolError as error:
            self.close(CLOSE_PROTOCOL, error.message)
            self._events.append(Closed(CLOSE_PROTOCOL, error.message, remote=False))

    def _take(self, now: float, opened: Opened) -> None:
        eliciting = bool(opened.content)
        for offset, slices in opened.content:
            self.content_in.receive(offset, slices)
        for _, plain in opened.frames:
            frames = parse(plain)
            eliciting = is_ack_eliciting(frames) or eliciting
            for frame in frames:
                self._on_frame(now, frame)
                if self.closed:
                    return
        self._acks.note(now, opened.counters, eliciting=eliciting)
        self._judge_windows()
        if self._acks.due_at is not None:
            self._timers.set(Timer.ACK, self._acks.due_at)

    def _on_frame(self, now: float, frame: Frame) -> None:
        match frame:
            case Ack():
                outcome = self._recovery.on_ack(now, frame, self._sealer.next_counter)
                self._settle(outcome)
            case Control():
                data = self._control_in.receive(frame.offset, frame.data)
                if data:
                    self._events.append(ControlReceived(data))
            case Window():
                self._control_out.limit = max(self._control_out.limit, frame.control)
                self.content_out.limit = max(self.content_out.limit, frame.content)
            case Challenge():
                if len(self._responses) < RESPONSES:
                    self._responses.append(frame.token)
            case Close():
                self.closed = True
                self._timers.clear_all()
                self._events.append(Closed(frame.code, frame.reason, remote=True))
            case Ping() | Response() | Padding():
                pass

    def _judge_windows(self) -> None:
        """A WINDOW is due when a quarter of what we advertised has been used up."""
        control = self._control_in.limit - self._advertised.control
        content = self.content_in.limit - self._advertised.content
        if control * 4 >= self.keys.ours.control_window or content * 4 >= self.content_in.window:
            self._window_due = True

    def _settle(self, outcome: Outcome) -> None:
        """Carry what recovery found to those whom it concerns."""
        for record, bits in outcome.acked:
            self._on_acked(record, bits)
        for record, bits in outcome.late:
            for start, end in record.content_of(bits) if record.length else ():
                self.content_out.on_acked(start, end)
        for part in outcome.lost:
            self._on_lost(*part)
        if outcome.acked and self._recovery.probes == 0:
            self._probes_due = 0
        self._timers.clear(Timer.PACE)

    def _on_acked(self, record: Record, bits: int) -> None:
        if record.length:
            for start, end in record.content_of(bits):
                self.content_out.on_acked(start, end)
        if record.probe and self._mtu.acked(record.probe):
            self._recovery.controller.on_datagram_size(self._mtu.size)
        for item in record.items:
            match item:
                case _ControlItem():
                    self._control_out.acked(item.start, item.end)
                case _AckItem():
                    self._acks.known(item.below)

    def _on_lost(self, record: Record, bits: int) -> None:
        if record.length:
            for start, end in record.content_of(bits):
                self.content_out.on_lost(start, end)
        if record.probe:
            self._mtu.lost(record.probe)
        for item in record.items:
            match item:
                case _ControlItem():
                    self._control_out.lost(item.start, item.end)
                case _WindowItem():
                    self._window_due = True

    # what the clock says

    def wake(self, now: float) -> None:
        """Deal with every deadline that has passed."""
        for timer in self._timers.expired(now):
            match timer:
                case Timer.IDLE:
                    self._lose()
                    return
                case Timer.LOSS:
                    self._settle(self._recovery.on_loss_timer(now))
                case Timer.PROBE:
                    self._probe(now)
                case Timer.KEEPALIVE:
                    self._keep_alive(now)
        self._rearm()

    def deadline(self) -> float | None:
        """When `wake` is due next."""
        return None if self.closed else self._timers.next()

    def _lose(self) -> None:
        self.closed = True
        self._timers.clear_all()
        self._events.append(Lost())

    def _keep_alive(self, now: float) -> None:
        self._ping_due = True
        self._timers.set(Timer.KEEPALIVE, now + KEEPALIVE)
        if not self.content_out.blocked:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now
        elif now - self._stalled_since > STALL_TIMEOUT:
            self._lose()

    def _probe(self, now: float) -> None:
        """PTO: send again what has waited longest, past the congestion window (RFC 9002 §6.2.4)."""
        self._recovery.on_probe_timer()
        if self._recovery.probes >= BLACK_HOLE_PROBES and self._mtu.black_hole(now):
            self._recovery.controller.on_datagram_size(self._mtu.size)
        self._probes_due = 2
        oldest = self._recovery.flight.oldest()
        if oldest is None:
            return
        for item in oldest.items:
            if isinstance(item, _ControlItem):
                self._control_out.lost(item.start, item.end)
        if oldest.length:
            bits = oldest.missing & -oldest.missing
            for start, end in oldest.content_of(bits):
                self.content_out.on_lost(start, end)

    def _rearm(self) -> None:
        for timer, at in (
            (Timer.LOSS, self._recovery.loss_deadline()),
            (Timer.PROBE, self._recovery.probe_deadline()),
        ):
            if at is None:
                self._timers.clear(timer)
            else:
                self._timers.set(timer, at)

    # what goes out

    def transmit(self, now: float) -> Burst | None:
        """The next burst, or None; its bytes are valid until the next call."""
        if self.closed:
            return None
        if self._close is not None:
            return self._send_close(now)
        data = self._send_frames(now)
        stride = len(data) if data is not None else 0
        if data is None:
            data = self._send_mtu_probe(now)
            stride = len(data) if data is not None else 0
        if data is None:
            data = self._send_content(now)
            stride = self._mtu.size
        if data is None:
            self._rearm()
            return None
        self.bytes_sent += len(data)
        return Burst(self.endpoint, data, stride)

    def _send_close(self, now: float) -> Burst:
        assert self._close is not None
        frames: list[Frame] = [self._close]
        ack = self._acks.frame(now)
        if ack is not None:
            frames.insert(0, ack)
        data = self._sealer.frames(now, b"".join(map(encode, frames)))
        self._close_copies -= 1
        if self._close_copies == 0:
            self.closed = True
            self._timers.clear_all()
        self.bytes_sent += len(data)
        return Burst(self.endpoint, data, len(data))

    def _send_frames(self, now: float) -> memoryview | None:
        """One datagram of all frames that are due, if any is."""
        ack_due = self._acks.due_at is not None and self._acks.due_at <= now
        control_due = self._control_due(now)
        probe_due = self._probes_due > 0 and not self.content_out.pending
        ping_due = self._ping_due or probe_due
        if not (ack_due or control_due or ping_due or self._window_due or self._responses):
            return None
        frames: list[Frame] = []
        items: list[object] = []
        ack = self._acks.frame(now)
        self._timers.clear(Timer.ACK)
        if ack is not None:
            frames.append(ack)
            items.append(_AckItem(ack.ranges[0][0]))
        if self._window_due:
            self._window_due = False
            self._advertised = Window(self._control_in.limit, self.content_in.limit)
            frames.append(self._advertised)
            items.append(_WindowItem())
        frames.extend(map(Response, self._responses))
        self._responses.clear()
        if ping_due:
            self._ping_due = False
            frames.append(Ping())
        plain = b"".join(map(encode, frames))
        eliciting = is_ack_eliciting(frames)
        if control_due:
            room = min(self._mtu.size, FRAMES_LIMIT) - OVERHEAD - len(plain) - CONTROL_OVERHEAD
            start, data = self._control_out.take(room)
            plain += encode(Control(start, data))
            items.append(_ControlItem(start, start + len(data)))
            eliciting = True
        if not eliciting:
            return self._sealer.frames(now, plain)
        return self._send_eliciting(now, plain, tuple(items))

    def _control_due(self, now: float) -> bool:
        if not self._control_out.pending:
            return False
        if self._probes_due:
            return True
        if self._recovery.flight.bytes >= self._recovery.controller.window:
            return False
        if now < self._pacer.ready_at:
            self._timers.set_earlier(Timer.PACE, self._pacer.ready_at)
            return False
        return True

    def _send_eliciting(
        self, now: float, plain: bytes, items: tuple[object, ...], *, probe: int = 0
    ) -> memoryview:
        """Seal a datagram of frames that asks for an ACK, and enter it in the ledger."""
        counter = self._sealer.next_counter
        data = self._sealer.frames(now, plain)
        record = Record(counter, 1, len(data), len(data), now)
        record.items = items
        record.probe = probe
        self._enter(now, record)
        return data

    def _enter(self, now: float, record: Record) -> None:
        self._recovery.sent(record)
        self._pacer.on_sent(now, record.size, self._recovery.controller.pacing_rate)
        self._probes_due = max(0, self._probes_due - 1)
        self._timers.set(Timer.KEEPALIVE, now + KEEPALIVE)

    def _send_mtu_probe(self, now: float) -> memoryview | None:
        if not self.established or not self._recovery.rtt.sampled:
            return None
        size = self._mtu.probe(now)
        if size is None:
            return None
        ping = encode(Ping())
        padding = size - OVERHEAD - len(ping) - _PADDING_OVERHEAD
        return self._send_eliciting(now, ping + encode(Padding(padding)), (), probe=size)

    def _send_content(self, now: float) -> memoryview | None:
        """A burst of CHUNKs as long as window, pace and credit allow."""
        out = self.content_out
        if not out.pending or out.source is None:
            self._recovery.app_limited = True
            self._recovery.meter.on_app_limited(self._recovery.flight.bytes)
            return None
        stride = self._mtu.size
        layout = self._sealer.layout(stride)
        count = min(self._allowed(now, stride), len(layout.views))
        if not count:
            return None
        self._bursts_to_skip -= 1
        if self._bursts_to_skip <= 0:
            self._bursts_to_skip = self._draw_skip()
            self._recovery.skipped(self._sealer.skip())
        start, end = out.take(count * layout.slot_length)
        length = end - start
        full, rest = divmod(length, layout.slot_length)
        slots = layout.slots[:full]
        if rest:
            slots.append(layout.slots[full][:rest])
        out.source.fill(start, slots)
        counter = self._sealer.next_counter
        data = self._sealer.content(now, stride, start, length)
        record = Record(counter, len(slots), stride, len(data), now)
        record.offset, record.length, record.slot = start, length, layout.slot_length
        self._enter(now, record)
        return data

    def _allowed(self, now: float, stride: int) -> int:
        """Datagrams of content that may leave now."""
        if self._probes_due:
            return self._probes_due
        controller = self._recovery.controller
        paced = self._pacer.allowed(now, controller.pacing_rate, stride)
        if not paced:
            self._timers.set_earlier(Timer.PACE, self._pacer.ready_at)
            return 0
        in_flight = self._recovery.flight.bytes
        room = (controller.window - in_flight) // stride
        self._recovery.app_limited = False
        if room >= paced:
            return paced
        if not in_flight:
            return max(room, 1)
        return room if room >= min(paced, _BUSY_BURST) else 0

    def _draw_skip(self) -> int:
        return 1 + int.from_bytes(self._entropy(2)) % (2 * _SKIP_EVERY)


_PADDING_OVERHEAD = 5
"""Array, kind and length before the bytes of a PADDING of 256 to 65,535 bytes."""
