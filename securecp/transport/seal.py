"""Seal whole bursts in place: the hot loop of sending (SPEC §5).

`Sealer` owns a buffer of one volley; the content source fills the payload slots of it, then every
datagram gets its header and CHUNK head in one `pack_into` and is sealed where it stands. Nothing
here knows of frames but the fixed layout of CHUNK, of loss, or of windows.

Where the path loses hardly anything, a whole burst is one such datagram, cut into fragments
(`fragments.py`): one AEAD call instead of 44 at stride 1,472, a third of the time.

Cost on a 2.8 GHz core at stride 1,472, AES-256-GCM: 2.1 µs a datagram.
"""

from functools import cached_property

from securecp.transport.fragments import Cutter, whole_length
from securecp.transport.frames import CHUNK_HEAD_LENGTH, CHUNK_MARKS, COUNTER_LIMIT
from securecp.transport.layout import HEAD, VOLLEY, Layout
from securecp.transport.ratchet import Aead, Ratchet
from securecp.transport.wire import (
    DATA,
    HEADER,
    HEADER_LENGTH,
    LARGEST_DATAGRAM,
    TAG_LENGTH,
    SessionKeys,
    per_call,
)

PHASE_DATAGRAMS = 1 << 20
PHASE_SECONDS = 120.0


class Sealer:
    """Our direction: draws counters, keys and bursts; a counter is never used twice."""

    def __init__(self, keys: SessionKeys, now: float) -> None:
        self._ratchet = Ratchet(keys.send_root, aes=keys.ours.aes and keys.theirs.aes)
        self._aead: Aead = self._ratchet.draw()
        self._index = keys.their_index
        self._phase = 0
        self._phase_counter = 0
        self._phase_since = now
        self.next_counter = 0
        self._layouts: dict[int, Layout] = {}
        self._cutter: tuple[int, Cutter] | None = None

    @cached_property
    def _buffer(self) -> memoryview:
        """One volley; not before we send: what a recorded call makes us keep is small (HS-02)."""
        return memoryview(bytearray(VOLLEY * LARGEST_DATAGRAM))

    def layout(self, stride: int) -> Layout:
        """The slices of our buffer at this stride, as many datagrams as a volley has."""
        layout = self._layouts.get(stride)
        if layout is None:
            if len(self._layouts) >= 4:
                self._layouts.clear()
            count = VOLLEY * per_call(stride)
            layout = self._layouts[stride] = Layout(self._buffer[: count * stride], stride)
        return layout

    def skip(self) -> int:
        """Leave one counter out, so that an ACK for it shows a receiver that lies (TR-02)."""
        counter = self.next_counter
        self.next_counter += 1
        return counter

    def trains(self, now: float, stride: int, offset: int, length: int) -> memoryview:
        """Seal content in the slots of `layout(whole_length(stride))` as CHUNKs, and cut those.

        `length` fills some slots completely. Returns the fragments end to end, all of `stride`.
        """
        whole = whole_length(stride)
        sealed = self.content(now, whole, offset, length, last=per_call(stride) - 1)
        if self._cutter is None or self._cutter[0] != stride:
            self._cutter = (stride, Cutter(self._buffer, stride))
        return memoryview(self._cutter[1].cut(len(sealed) // whole))

    def content(
        self, now: float, stride: int, offset: int, length: int, *, last: int = 0
    ) -> memoryview:
        """Seal `length` content bytes, already in the slots of `layout(stride)`, as CHUNKs.

        Returns the datagrams end to end; all but the last are `stride` bytes. `last` is the number
        of the last fragment that each will be cut into.
        """
        layout = self.layout(stride)
        slot = layout.slot_length
        count, rest = divmod(length, slot)
        counter = self._advance(now, count + bool(rest))
        pack, encrypt = HEAD.pack_into, self._aead.encrypt_into
        buffer, index, phase = self._buffer, self._index, self._phase
        first, second, third, fourth = CHUNK_MARKS
        at = 0
        for nonce, plain, header, sealed in layout.views[:count]:
            pack(
                buffer, at, DATA, phase, last, index, counter,
                first, second, third, offset, fourth, slot,
            )  # fmt: skip
            encrypt(nonce, plain, header, sealed)
            at += stride
            counter += 1
            offset += slot
        if rest:
            pack(
                buffer, at, DATA, phase, 0, index, counter,
                first, second, third, offset, fourth, rest,
            )  # fmt: skip
            at = self._seal_at(at, CHUNK_HEAD_LENGTH + rest)
        return buffer[:at]

    def frames(self, now: float, plain: bytes) -> memoryview:
        """Seal one datagram of encoded frames."""
        counter = self._advance(now, 1)
        HEADER.pack_into(self._buffer, 0, DATA, self._phase, 0, self._index, counter)
        self._buffer[HEADER_LENGTH : HEADER_LENGTH + len(plain)] = plain
        return self._buffer[: self._seal_at(0, len(plain))]

    def _seal_at(self, at: int, length: int) -> int:
        body = at + HEADER_LENGTH
        end = body + length
        data = self._buffer
        self._aead.encrypt_into(
            data[at + 4 : body], data[body:end], data[at:body], data[body : end + TAG_LENGTH]
        )
        return end + TAG_LENGTH

    def _advance(self, now: float, count: int) -> int:
        """The first of `count` fresh counters, after a change of key if one is due."""
        counter = self.next_counter
        if counter + count >= COUNTER_LIMIT:
            raise OverflowError("no counters are left")
        if (
            counter - self._phase_counter >= PHASE_DATAGRAMS
            or now - self._phase_since >= PHASE_SECONDS
        ):
            self._aead = self._ratchet.draw()
            self._phase = (self._phase + 1) & 0xFF
            self._phase_counter, self._phase_since = counter, now
        self.next_counter = counter + count
        return counter
