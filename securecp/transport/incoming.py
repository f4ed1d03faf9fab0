"""What comes in: the frames and content of opened bursts, each carried to the part it concerns.

    opened burst ─► content ─► content_in ─► sink
                 └► frames  ─► ACK ─► recovery ─► acked, late, lost ─► control_out, content_out, mtu
                            └► CONTROL ─► control_in ─► event        WINDOW, CLOSE
                            └► CHALLENGE, RESPONSE: where they came from counts

It sends nothing: what a datagram asks for is noted in `due` and leaves with `outgoing.py`.
"""

from typing import NamedTuple

from securecp.endpoint import Endpoint
from securecp.transport.flight import Part, Record
from securecp.transport.frames import (
    CONTENT_LIMIT,
    Ack,
    Challenge,
    Close,
    Control,
    Frame,
    Response,
    Window,
    is_ack_eliciting,
    parse,
)
from securecp.transport.opening import Opened
from securecp.transport.parts import AckItem, ControlItem, Parts, WindowItem
from securecp.transport.path import Path, Retired
from securecp.transport.recovery import Outcome
from securecp.transport.timers import Timer
from securecp.transport.wire import BASE_DATAGRAM, LARGEST_DATAGRAM, Parameters

RESPONSES = 8
"""Challenges that are remembered until they are answered (TR-11)."""
LISTEN = 0.5
LISTEN_RTTS = 2
"""Seconds, and round trips more, that content may be silent before we ask whether we are heard."""


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
        for counter, plain in opened.frames:
            frames = parse(plain)
            eliciting = is_ack_eliciting(frames) or eliciting
            for frame in frames:
                if isinstance(frame, Close):
                    self.events.append(Closed(frame.code, frame.reason, remote=True))
                    return
                self._on_frame(now, frame, opened.origins.get(counter))
        estimate = parts.recovery.rtt
        rtt = estimate.smoothed if estimate.sampled else 0.0
        parts.acks.note(now, opened.counters, eliciting=eliciting, rtt=rtt)
        self.judge_windows()
        if parts.acks.due_at is not None:
            parts.timers.set(Timer.ACK, parts.acks.due_at)
        if opened.content:
            parts.timers.set(Timer.LISTEN, now + LISTEN + LISTEN_RTTS * rtt)

    def _on_frame(self, now: float, frame: Frame, origin: Endpoint | None) -> None:
        parts = self._parts
        match frame:
            case Ack():
                self._on_ack(now, frame)
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
                self._owe_response(frame.token, origin)
            case Response():
                parts.validation.answered(now, origin or parts.path.endpoint, frame.token)
            case _:  # PING, PADDING
                pass

    def _on_ack(self, now: float, ack: Ack) -> None:
        parts = self._parts
        next_counter = parts.sealer.next_counter
        outcome = parts.recovery.on_ack(now, ack, next_counter)
        if outcome.acked:
            parts.due.probes = 0
        self.settle(now, outcome, parts.path)
        for retired in parts.retired:
            self.settle(now, retired.recovery.on_ack(now, ack, next_counter), retired)

    def _owe_response(self, token: bytes, origin: Endpoint | None) -> None:
        """A RESPONSE goes where its CHALLENGE came from: nothing else would prove anything."""
        due = self._parts.due
        if len(due.responses) + sum(map(len, due.elsewhere.values())) >= RESPONSES:
            return
        if origin is None:
            due.responses.append(token)
        else:
            due.elsewhere.setdefault(origin, []).append(token)

    def judge_windows(self) -> None:
        """A WINDOW is due when a quarter of what we advertised has been used up."""
        parts, ours = self._parts, self._ours
        control = parts.control_in.limit - parts.due.advertised.control
        content = parts.content_in.limit - parts.due.advertised.content
        if control * 4 >= ours.control_window > 0 or content * 4 >= ours.content_window > 0:
            parts.due.window = True

    def settle(self, now: float, outcome: Outcome, path: Path | Retired) -> None:
        """Carry what the recovery of a path found to those whom it concerns."""
        parts = self._parts
        for record, bits in outcome.acked:
            self._on_acked(record, bits, path)
        for record, bits in outcome.late:
            for start, end in record.content_of(bits) if record.length else ():
                parts.content_out.on_late(start, end)
        for part in outcome.lost:
            self._on_lost(now, part, path)

    def _on_acked(self, record: Record, bits: int, path: Path | Retired) -> None:
        parts = self._parts
        if record.length:
            path.trains.on_acked(record.bytes_of(bits))
            for start, end in record.content_of(bits):
                parts.content_out.on_acked(start, end)
        if record.probe:
            if path.mtu.acked(record.probe):
                path.recovery.controller.on_datagram_size(path.mtu.size)
        elif record.stride > BASE_DATAGRAM:
            path.mtu.long_acked()
        for item in record.items:
            match item:
                case ControlItem():
                    parts.control_out.acked(item.start, item.end)
                case AckItem():
                    parts.acks.known(item.below)

    def _on_lost(self, now: float, part: Part, path: Path | Retired) -> None:
        parts = self._parts
        record, bits = part
        if record.length:
            path.trains.on_lost(record.bytes_of(bits), LARGEST_DATAGRAM // record.stride)
            for start, end in record.content_of(bits):
                parts.content_out.on_lost(start, end)
        if record.probe:
            path.mtu.lost(record.probe)
        elif record.stride > BASE_DATAGRAM and path.mtu.long_lost(now, record.sent_at):
            self.fall_back(now, path)
        for item in record.items:
            match item:
                case ControlItem():
                    parts.control_out.lost(item.start, item.end)
                case WindowItem():
                    parts.due.window = True

    def fall_back(self, now: float, path: Path | Retired) -> None:
        """Long datagrams seem to vanish: send short ones from now on."""
        if path.mtu.black_hole(now):
            path.recovery.controller.on_datagram_size(path.mtu.size)
