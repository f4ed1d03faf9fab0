"""What comes in: the frames and content of opened bursts, each carried to the part it concerns.

    opened burst ─► content ─► content_in ─► sink
                 └► frames  ─► ACK ─► recovery ─► acked, late, lost ─► control_out, content_out, mtu
                            └► CONTROL ─► control_in ─► event        WINDOW, CHALLENGE, CLOSE

It sends nothing: what a datagram asks for is noted in `due` and leaves with `outgoing.py`.
"""

from typing import NamedTuple

from securecp.transport.flight import Part, Record
from securecp.transport.frames import (
    CONTENT_LIMIT,
    Ack,
    Challenge,
    Close,
    Control,
    Frame,
    Window,
    is_ack_eliciting,
    parse,
)
from securecp.transport.opening import Opened
from securecp.transport.parts import AckItem, ControlItem, Parts, WindowItem
from securecp.transport.recovery import Outcome
from securecp.transport.timers import Timer
from securecp.transport.wire import BASE_DATAGRAM, LARGEST_DATAGRAM, Parameters

RESPONSES = 8
"""Challenges that are remembered until they are answered (TR-11)."""


class ControlReceived(NamedTuple):
    """The next bytes of the peer's control stream."""

    data: bytes


class Closed(NamedTuple):
    """The connection is over, by the peer (`remote`) or by us."""

    code: int
    reason: str
    remote: bool


class Incoming:
    """The way in of one connection; `events` is where it reports."""

    def __init__(self, parts: Parts, ours: Parameters) -> None:
        self._parts = parts
        self._ours = ours
        self.events: list[ControlReceived | Closed] = []

    def take(self, now: float, opened: Opened) -> None:
        """Act on what has been opened.

        ProtocolError if it breaks the protocol; RangeCapError, with nothing acknowledged, if it
        would take more memory than there is for gaps.
        """
        parts = self._parts
        eliciting = bool(opened.content)
        for offset, slices in opened.content:
            parts.content_in.receive(offset, slices)
        for _, plain in opened.frames:
            frames = parse(plain)
            eliciting = is_ack_eliciting(frames) or eliciting
            for frame in frames:
                if isinstance(frame, Close):
                    self.events.append(Closed(frame.code, frame.reason, remote=True))
                    return
                self._on_frame(now, frame)
        estimate = parts.recovery.rtt
        rtt = estimate.smoothed if estimate.sampled else 0.0
        parts.acks.note(now, opened.counters, eliciting=eliciting, rtt=rtt)
        self.judge_windows()
        if parts.acks.due_at is not None:
            parts.timers.set(Timer.ACK, parts.acks.due_at)

    def _on_frame(self, now: float, frame: Frame) -> None:
        parts = self._parts
        match frame:
            case Ack():
                next_counter = parts.sealer.next_counter
                self.settle(now, parts.recovery.on_ack(now, frame, next_counter))
            case Control():
                data = parts.control_in.receive(frame.offset, frame.data)
                if data:
                    self.events.append(ControlReceived(data))
            case Window():
                for out, limit in (
                    (parts.control_out, frame.control),
                    (parts.content_out, frame.content),
                ):
                    out.limit = max(out.limit, min(limit, CONTENT_LIMIT))
            case Challenge():
                if len(parts.due.responses) < RESPONSES:
                    parts.due.responses.append(frame.token)
            case _:  # PING, PADDING; RESPONSE, since we challenge nobody yet
                pass

    def judge_windows(self) -> None:
        """A WINDOW is due when a quarter of what we advertised has been used up."""
        parts, ours = self._parts, self._ours
        control = parts.control_in.limit - parts.due.advertised.control
        content = parts.content_in.limit - parts.due.advertised.content
        if control * 4 >= ours.control_window > 0 or content * 4 >= ours.content_window > 0:
            parts.due.window = True

    def settle(self, now: float, outcome: Outcome) -> None:
        """Carry what recovery found to those whom it concerns."""
        parts = self._parts
        for record, bits in outcome.acked:
            self._on_acked(record, bits)
        for record, bits in outcome.late:
            for start, end in record.content_of(bits) if record.length else ():
                parts.content_out.on_late(start, end)
        for part in outcome.lost:
            self._on_lost(now, part)
        if outcome.acked:
            parts.due.probes = 0

    def _on_acked(self, record: Record, bits: int) -> None:
        parts = self._parts
        if record.length:
            parts.trains.on_acked(record.bytes_of(bits))
            for start, end in record.content_of(bits):
                parts.content_out.on_acked(start, end)
        if record.probe:
            if parts.mtu.acked(record.probe):
                parts.recovery.controller.on_datagram_size(parts.mtu.size)
        elif record.stride > BASE_DATAGRAM:
            parts.mtu.long_acked()
        for item in record.items:
            match item:
                case ControlItem():
                    parts.control_out.acked(item.start, item.end)
                case AckItem():
                    parts.acks.known(item.below)

    def _on_lost(self, now: float, part: Part) -> None:
        parts = self._parts
        record, bits = part
        if record.length:
            parts.trains.on_lost(record.bytes_of(bits), LARGEST_DATAGRAM // record.stride)
            for start, end in record.content_of(bits):
                parts.content_out.on_lost(start, end)
        if record.probe:
            parts.mtu.lost(record.probe)
        elif record.stride > BASE_DATAGRAM and parts.mtu.long_lost(now, record.sent_at):
            self.fall_back(now)
        for item in record.items:
            match item:
                case ControlItem():
                    parts.control_out.lost(item.start, item.end)
                case WindowItem():
                    parts.due.window = True

    def fall_back(self, now: float) -> None:
        """Long datagrams seem to vanish: send short ones from now on."""
        if self._parts.mtu.black_hole(now):
            self._parts.recovery.controller.on_datagram_size(self._parts.mtu.size)
