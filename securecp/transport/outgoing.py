"""What goes out: the next burst, chosen and sealed.

    first    a datagram of frames: ACK, WINDOW, RESPONSEs, PING, CONTROL    if any of them is due
    then     a probe of the path MTU                                        if there is more to send
    then     a volley of CHUNKs: what was lost, then what is new            if window and pace allow

ACK, WINDOW, RESPONSE and PING leave whatever the congestion window says: they are few and small,
and the peer waits for them. CONTROL goes before CHUNKs, and both keep to window and pace.

A volley is what up to four system calls send, decided on as one: deciding costs as much time as
sealing. On a path that loses hardly anything it is sealed as up to four datagrams and cut into
trains of fragments (`fragments.py`).
"""

from collections.abc import Callable

from securecp.endpoint import Endpoint
from securecp.transport.flight import Record
from securecp.transport.fragments import whole_length
from securecp.transport.frames import (
    CONTROL_OVERHEAD,
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
)
from securecp.transport.layout import CHUNK_OVERHEAD, VOLLEY
from securecp.transport.parts import AckItem, ControlItem, Parts, WindowItem
from securecp.transport.timers import Timer
from securecp.transport.trains import FEWEST_FRAGMENTS
from securecp.transport.validation import SMALLEST_CHALLENGE
from securecp.transport.wire import OVERHEAD, per_call

KEEPALIVE = 2.5
"""Seconds without a datagram that asks for an ACK, after which a PING is due."""
FRAMES_LIMIT = 16_384
"""Longest datagram of frames but for probes; only content goes longer."""
_SKIP_EVERY = 128
"""Bursts between two counters left out, on average."""
_BUSY_BURST = 8
"""Datagrams worth a system call while others are in flight."""
_PROBE_WORTH = 8
"""Bytes of content still to be sent for each byte of a probe."""
_PADDING_OVERHEAD = 5
"""Array, kind and length before the bytes of a PADDING of 256 to 65,535 bytes; one less below."""


class Outgoing:
    """The way out of one connection."""

    def __init__(self, parts: Parts, entropy: Callable[[int], bytes]) -> None:
        self._parts = parts
        self._entropy = entropy
        self.bursts_to_skip = self._draw_skip()
        """Bursts until a counter is left out."""

    def next(self, now: float) -> tuple[memoryview, int] | None:
        """The next burst and its stride, or None; the bytes are valid until the next call."""
        data = self._send_frames(now)
        if data is None:
            data = self._send_mtu_probe(now)
        if data is not None:
            return data, len(data)
        data = self._send_content(now)
        return None if data is None else (data, self._parts.mtu.size)

    def close(self, now: float, close: Close) -> memoryview:
        """A datagram that ends the connection."""
        ack = self._parts.acks.frame(now)
        plain = encode(close) if ack is None else encode(ack) + encode(close)
        return self._parts.sealer.frames(now, plain)

    def elsewhere(self, now: float) -> tuple[Endpoint, memoryview] | None:
        """A datagram for an endpoint that is not in use: RESPONSEs, or a CHALLENGE.

        Neither is in the ledger: who wants an answer asks again.
        """
        parts = self._parts
        if parts.due.elsewhere:
            endpoint, tokens = parts.due.elsewhere.popitem()
            plain = b"".join(encode(Response(token)) for token in tokens)
            parts.validation.spent(endpoint, OVERHEAD + len(plain))
        else:
            challenged = parts.validation.challenge(now)
            if challenged is None:
                return None
            endpoint = challenged.endpoint
            plain = _padded(encode(Challenge(challenged.token)), challenged.size)
        parts.recovery.strayed(parts.sealer.next_counter)
        return endpoint, parts.sealer.frames(now, plain)

    # frames

    def _send_frames(self, now: float) -> memoryview | None:
        """One datagram of all frames that are due, if any is."""
        parts, due = self._parts, self._parts.due
        if due.probes and not parts.content_out.pending:
            due.ping = True
        ack_due = parts.acks.due_at is not None and parts.acks.due_at <= now
        control_due = self._control_due(now)
        if not (ack_due or control_due or due):
            return None
        frames, items = self._collect(now)
        plain = b"".join(map(encode, frames))
        eliciting = is_ack_eliciting(frames)
        if control_due:
            length = min(parts.mtu.size, FRAMES_LIMIT) - OVERHEAD - CONTROL_OVERHEAD - len(plain)
            start, data = parts.control_out.take(length)
            plain += encode(Control(start, data))
            items.append(ControlItem(start, start + len(data)))
            eliciting = True
        if not eliciting:
            return parts.sealer.frames(now, plain)
        if OVERHEAD + len(plain) < SMALLEST_CHALLENGE:
            # From a new address it pays for the challenge that it makes the peer send.
            least = OVERHEAD + len(plain) + _PADDING_OVERHEAD - 1
            plain = _padded(plain, max(SMALLEST_CHALLENGE, least))
        return self._send_eliciting(now, plain, tuple(items))

    def _collect(self, now: float) -> tuple[list[Frame], list[object]]:
        """The small frames that are due, and what to remember of them until they are acked."""
        parts, due = self._parts, self._parts.due
        frames: list[Frame] = []
        items: list[object] = []
        ack = parts.acks.frame(now)
        parts.timers.clear(Timer.ACK)
        if ack is not None:
            frames.append(ack)
            items.append(AckItem(ack.ranges[0][0]))
        if due.window:
            due.window = False
            due.advertised = Window(parts.control_in.limit, parts.content_in.limit)
            frames.append(due.advertised)
            items.append(WindowItem())
        frames.extend(map(Response, due.responses))
        due.responses.clear()
        if due.ping:
            due.ping = False
            frames.append(Ping())
        return frames, items

    def _control_due(self, now: float) -> bool:
        parts, controller = self._parts, self._parts.recovery.controller
        if not parts.control_out.pending:
            return False
        if parts.due.probes:
            return True
        if parts.recovery.flight.bytes >= controller.window:
            return False
        if not parts.pacer.allowed(now, controller.pacing_rate, parts.mtu.size):
            parts.timers.set_earlier(Timer.PACE, parts.pacer.ready_at)
            return False
        return True

    def _send_eliciting(
        self, now: float, plain: bytes, items: tuple[object, ...], *, probe: int = 0
    ) -> memoryview:
        """Seal a datagram of frames that asks for an ACK, and enter it in the ledger."""
        counter = self._parts.sealer.next_counter
        data = self._parts.sealer.frames(now, plain)
        record = Record(counter, 1, len(data), len(data), now)
        record.items = items
        record.probe = probe
        self._enter(now, record)
        return data

    def _enter(self, now: float, record: Record) -> None:
        parts, recovery = self._parts, self._parts.recovery
        recovery.sent(record)
        rate = recovery.controller.pacing_rate
        parts.pacer.on_sent(now, record.size, rate, recovery.rtt.smoothed)
        parts.due.probes = max(0, parts.due.probes - record.count)
        parts.timers.set(Timer.KEEPALIVE, now + KEEPALIVE)

    # path MTU

    def _send_mtu_probe(self, now: float) -> memoryview | None:
        """A datagram longer than any before, while there is enough that could go so long.

        Probes take up to half a window: they must not wait until content leaves room, for it never
        does, nor may they hold content up (RFC 8899 §3). Nor may they cost more than they can save.
        """
        parts, recovery = self._parts, self._parts.recovery
        unsent = parts.content_out.unsent
        if not unsent or parts.content_out.held or not recovery.rtt.sampled:
            return None
        window = recovery.controller.window
        if recovery.flight.bytes >= window:
            return None
        size = parts.mtu.probe(now, min(window // 2, unsent // _PROBE_WORTH))
        if size is None:
            return None
        return self._send_eliciting(now, _padded(encode(Ping()), size), (), probe=size)

    # content

    def _send_content(self, now: float) -> memoryview | None:
        """A volley of CHUNKs as long as window, pace and credit allow."""
        parts, out = self._parts, self._parts.content_out
        if not out.pending or out.source is None:
            self._rest()
            return None
        stride = parts.mtu.size
        most = per_call(stride)
        count = min(self._allowed(now, stride), VOLLEY * most)
        if not count:
            return None
        if count > most:
            count -= count % most
        self._skip_now_and_then()
        if parts.trains.running and count >= most >= FEWEST_FRAGMENTS:
            whole = whole_length(stride)
            slot = whole - CHUNK_OVERHEAD
            length = count // most * slot
            if whole <= parts.mtu.largest and out.next_length(length) % slot == 0:
                return self._seal(now, whole, length, stride)
        return self._seal(now, stride, count * (stride - CHUNK_OVERHEAD))

    def _seal(self, now: float, each: int, most: int, cut: int = 0) -> memoryview:
        """At most so many bytes of content, in datagrams of `each` bytes, cut at `cut` if given."""
        parts = self._parts
        start, end = parts.content_out.take(most)
        length = end - start
        layout = parts.sealer.layout(each)
        full, rest = divmod(length, layout.slot_length)
        slots = layout.slots[:full]
        if rest:
            slots.append(layout.slots[full][:rest])
        parts.content_out.fill(start, slots)
        counter = parts.sealer.next_counter
        if cut:
            data = parts.sealer.trains(now, cut, start, length)
            each = len(data) // full
        else:
            data = parts.sealer.content(now, each, start, length)
        record = Record(counter, len(slots), each, len(data), now)
        record.offset, record.length, record.slot = start, length, layout.slot_length
        self._enter(now, record)
        return data

    def _rest(self) -> None:
        """No content may go; unless control waits for window or pace, the path has room left."""
        recovery = self._parts.recovery
        recovery.app_limited = not self._parts.control_out.pending
        if recovery.app_limited:
            recovery.meter.on_app_limited(recovery.flight.bytes)

    def _allowed(self, now: float, stride: int) -> int:
        """Datagrams of content that may leave now."""
        parts, controller = self._parts, self._parts.recovery.controller
        if parts.due.probes:
            return parts.due.probes
        parts.recovery.app_limited = False
        paced = parts.pacer.allowed(now, controller.pacing_rate, stride)
        if not paced:
            parts.timers.set_earlier(Timer.PACE, parts.pacer.ready_at)
            return 0
        in_flight = parts.recovery.flight.bytes
        room = (controller.window - in_flight) // stride
        if room >= paced:
            return paced
        if not in_flight:
            return max(room, 1)
        # Less than half a small window would wait for an ACK that the peer may hold back.
        worthwhile = min(paced, _BUSY_BURST, max(controller.window // (2 * stride), 1))
        return room if room >= worthwhile else 0

    def _skip_now_and_then(self) -> None:
        """Leave a counter out, so that an ACK for it exposes a peer that makes them up (TR-02)."""
        self.bursts_to_skip -= 1
        if self.bursts_to_skip <= 0:
            self.bursts_to_skip = self._draw_skip()
            self._parts.recovery.skipped(self._parts.sealer.skip())

    def _draw_skip(self) -> int:
        return 1 + int.from_bytes(self._entropy(2)) % (2 * _SKIP_EVERY)


def _padded(plain: bytes, size: int) -> bytes:
    """Frames with PADDING, for a datagram of `size` bytes; where that cannot be, of a few less."""
    spare = size - OVERHEAD - len(plain)
    if spare > 255 + _PADDING_OVERHEAD:
        return plain + encode(Padding(spare - _PADDING_OVERHEAD))
    shorter = _PADDING_OVERHEAD - 1
    return plain + encode(Padding(min(spare - shorter, 255))) if spare >= shorter else plain
