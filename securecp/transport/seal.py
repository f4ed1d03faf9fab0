"""Seal and open whole bursts in place: the hot loops of sending and receiving (SPEC §5).

`Sealer` owns a buffer of one burst; the content source fills the payload slots of it, then every
datagram gets its header and CHUNK head in one `pack_into` and is sealed where it stands.
`Opener` opens a received burst where the socket put it, drops what does not verify or was seen
before, and sorts the rest into runs of content and other plaintexts. Nothing here knows of frames
but the fixed layout of CHUNK, of loss, or of windows.

    datagram   header 16 | CHUNK head 14 | slot … | tag 16
                ad, nonce  └────── sealed in place ──────┘

Where the path loses hardly anything, a whole burst is one such datagram, cut into fragments
(`fragments.py`): one AEAD call instead of 44 at stride 1,472, a third of the time.

Cost on a 2.8 GHz core at stride 1,472, AES-256-GCM: seal 2.1 µs, open 2.6 µs a datagram; what is
avoided is an object, a slice or a packed nonce per datagram (0.1 to 0.2 µs each).
"""

import struct
from functools import cached_property

from cryptography.exceptions import InvalidTag

from securecp.transport.fragments import Assembly, Cutter, numbers, whole_length
from securecp.transport.frames import CHUNK_HEAD_LENGTH, CHUNK_MARKS, COUNTER_LIMIT
from securecp.transport.ratchet import Aead, Ratchet
from securecp.transport.replay import ReplayWindow
from securecp.transport.wire import (
    DATA,
    HEADER,
    HEADER_LENGTH,
    LARGEST_DATAGRAM,
    OVERHEAD,
    TAG_LENGTH,
    Burst,
    SessionKeys,
    per_call,
)

VOLLEY = 4
"""What is chosen, filled, sealed and entered in the ledger as one, in system calls."""
CHUNK_OVERHEAD = OVERHEAD + CHUNK_HEAD_LENGTH
PHASE_DATAGRAMS = 1 << 20
PHASE_SECONDS = 120.0
EARLIEST_PHASE_DATAGRAMS = 1 << 19
EARLIEST_PHASE_SECONDS = 60.0
"""A peer that changes keys oftener than this has its datagrams dropped (TR-18)."""

_HEAD = struct.Struct(">BBHIQBBBQBH")
_CHUNK = struct.Struct(">BBBQBH")
_LAYOUTS_KEPT = 32


class Layout:
    """The slices of each datagram in one buffer at one stride, made once and used for ever."""

    __slots__ = ("bodies", "data", "short", "slot_length", "slots", "views")

    def __init__(self, data: memoryview, stride: int) -> None:
        self.data = data
        self.slot_length = stride - CHUNK_OVERHEAD
        self.views: list[tuple[memoryview, memoryview, memoryview, memoryview]] = []
        """Per datagram: nonce, plaintext, header, plaintext with tag."""
        self.slots: list[memoryview] = []
        self.short = 0
        """How many datagrams are shorter than a header and a tag: the last, if any."""
        for at in range(0, len(data), stride):
            end = min(at + stride, len(data))
            body = at + HEADER_LENGTH
            if end - body < TAG_LENGTH:
                self.short = 1
                break
            plain = data[body : end - TAG_LENGTH]
            self.views.append((data[at + 4 : body], plain, data[at:body], data[body:end]))
            self.slots.append(plain[CHUNK_HEAD_LENGTH:])
        self.bodies = [sealed for _, _, _, sealed in self.views]


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
        pack, encrypt = _HEAD.pack_into, self._aead.encrypt_into
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


class Opened:
    """What one or several bursts held, once verified."""

    __slots__ = ("content", "counters", "end", "frames", "wholes")

    def __init__(self) -> None:
        self.counters: list[tuple[int, int]] = []
        """Half-open runs of counters, in the order of arrival."""
        self.content: list[tuple[int, list[memoryview]]] = []
        """Contiguous runs of content: offset and slices, none of them empty."""
        self.frames: list[tuple[int, memoryview]] = []
        """Counter and plaintext of every datagram that is not a CHUNK."""
        self.end = -1
        """Where the last run of content ends."""
        self.wholes = 0
        """Datagrams among them that had come in fragments."""

    def sort(self, counter: int, plain: memoryview) -> None:
        """Put one opened datagram where it belongs."""
        if len(plain) > CHUNK_HEAD_LENGTH:
            first, second, third, offset, fourth, length = _CHUNK.unpack_from(plain)
            slot = plain[CHUNK_HEAD_LENGTH:]
            if (first, second, third, fourth) == CHUNK_MARKS and length == len(slot):
                if offset == self.end:
                    self.content[-1][1].append(slot)
                else:
                    self.content.append((offset, [slot]))
                self.end = offset + length
                return
        self.frames.append((counter, plain))


class Opener:
    """Their direction: keys by phase, and the window of counters seen."""

    def __init__(self, keys: SessionKeys, now: float) -> None:
        self._ratchet = Ratchet(keys.receive_root, aes=keys.ours.aes and keys.theirs.aes)
        self._aead: Aead = self._ratchet.draw()
        self._following: Aead = self._ratchet.draw()
        self._previous: Aead | None = None
        self._previous_until = now
        self._phase = 0
        self._phase_counter = 0
        self._phase_since = now
        self._replay = ReplayWindow()
        self._layouts: dict[tuple[int, int], Layout] = {}
        self._assembly = Assembly()
        self._plains: list[memoryview] = []
        """Where trains are opened, up to `VOLLEY` side by side; made when they come."""
        self.dropped = 0
        """Datagrams that did not verify or had been seen."""

    def open(
        self, now: float, burst: Burst, keep_old_key: float, opened: Opened | None = None
    ) -> Opened:
        """Open every datagram in place; an old key lives for `keep_old_key` seconds.

        What it holds is added to `opened`, if that is given.
        """
        if opened is None:
            opened = Opened()
        data, stride = burst.data, burst.stride
        if stride < OVERHEAD:
            self.dropped += 1
            return opened
        if now >= self._previous_until:
            self._previous = None
        layout = self._layout(data, stride)
        self.dropped += layout.short
        count = len(layout.views)
        end = max(count - 1, 0) * stride
        phases = data[1 : end + 2 : stride].tobytes()
        lasts = data[3 : end + 4 : stride].tobytes()
        alike = phases.count(self._phase) == count == lasts.count(0)
        train = count > 1 and lasts[0] == count - 1
        if train and self._open_train(opened, layout, stride, now, keep_old_key):
            return opened
        done = 0
        while done < count:
            at = done * stride
            counter = int.from_bytes(data[at + 8 : at + HEADER_LENGTH])
            if alike and self._replay.fresh(counter, count - done):
                done = self._open_run(opened, layout, stride, done, counter)
            else:
                self._open_one(opened, layout, done, now, keep_old_key)
                done += 1
        return opened

    def _open_run(
        self, opened: Opened, layout: Layout, stride: int, begin: int, counter: int
    ) -> int:
        """The common case: from datagram `begin` on, consecutive fresh counters, the current key.

        Returns how many are dealt with; fewer than all if a counter is out of turn.
        """
        data, slots = layout.data, layout.slots
        unpack, decrypt = _HEAD.unpack_from, self._aead.decrypt_into
        content = opened.content
        run, end, at = counter, opened.end, begin * stride
        marks = CHUNK_MARKS
        slices = content[-1][1] if content else []
        views = layout.views[begin:] if begin else layout.views
        for number, (nonce, plain, header, sealed) in enumerate(views, begin):
            try:
                decrypt(nonce, sealed, header, plain)
            except InvalidTag:
                self._accept(opened, run, counter)
                self.dropped += 1
                counter += 1
                run = counter
                at += stride
                continue
            fields = unpack(data, at)
            _, _, zero, _, found, one, two, three, offset, four, length = fields
            if found != counter or zero:
                self._accept(opened, run, counter)
                opened.end = end
                if zero or self._replay.seen(found):
                    self.dropped += 1
                else:
                    self._accept(opened, found, found + 1)
                    opened.sort(found, plain)
                return number + 1
            slot = slots[number]
            if (one, two, three, four) == marks and 0 < length == len(slot):
                if offset != end:
                    slices = []
                    content.append((offset, slices))
                slices.append(slot)
                end = offset + length
            else:
                opened.frames.append((counter, plain))
            counter += 1
            at += stride
        self._accept(opened, run, counter)
        opened.end = end
        return len(layout.views)

    def _open_train(
        self, opened: Opened, layout: Layout, stride: int, now: float, keep_old_key: float
    ) -> bool:
        """The common case of fragments: all of one datagram, in order. False if it is not so."""
        data, views = layout.data, layout.views
        end = (len(views) - 1) * stride
        if data[2 : end + 3 : stride].tobytes() != numbers(len(views)):
            return False
        sealed = b"".join(layout.bodies)
        if len(sealed) > LARGEST_DATAGRAM or opened.wholes >= VOLLEY:
            return False
        if opened.wholes == len(self._plains):
            self._plains.append(memoryview(bytearray(LARGEST_DATAGRAM)))
        plain = self._plains[opened.wholes][: len(sealed) - TAG_LENGTH]
        if not self._open_sealed(opened, views[0][2], sealed, plain, now, keep_old_key):
            return False
        opened.wholes += 1
        return True

    def _open_one(
        self, opened: Opened, layout: Layout, number: int, now: float, keep_old_key: float
    ) -> None:
        """The careful way: any key phase, any counter, perhaps a fragment."""
        header: bytes | memoryview
        sealed: bytes | memoryview
        _, plain, header, sealed = layout.views[number]
        if header[3]:
            counter = int.from_bytes(header[8:])
            if self._replay.seen(counter) or self._key(header[1], counter, now) is None:
                self.dropped += 1
                return
            whole = self._assembly.add(counter, bytes(header), bytes(sealed))
            if whole is None:
                return
            header, sealed = whole
            plain = memoryview(bytearray(len(sealed) - TAG_LENGTH))
        elif header[2]:
            self.dropped += 1
            return
        if not self._open_sealed(opened, header, sealed, plain, now, keep_old_key):
            self.dropped += 1

    def _open_sealed(
        self,
        opened: Opened,
        header: bytes | memoryview,
        sealed: bytes | memoryview,
        plain: memoryview,
        now: float,
        keep_old_key: float,
    ) -> bool:
        """Open one datagram into `plain`, turn the key if it shows that, sort it; or False."""
        counter = int.from_bytes(header[8:])
        aead = self._key(header[1], counter, now)
        if aead is None or self._replay.seen(counter):
            return False
        try:
            aead.decrypt_into(header[4:], sealed, header, plain)
        except InvalidTag:
            return False
        if aead is self._following:
            self._turn(now, counter, keep_old_key)
        self._accept(opened, counter, counter + 1)
        opened.sort(counter, plain)
        return True

    def _key(self, phase: int, counter: int, now: float) -> Aead | None:
        if phase == self._phase:
            return self._aead
        if phase == (self._phase + 1) & 0xFF:
            early = counter - self._phase_counter < EARLIEST_PHASE_DATAGRAMS
            if early and now - self._phase_since < EARLIEST_PHASE_SECONDS:
                return None
            return self._following
        if phase == (self._phase - 1) & 0xFF:
            return self._previous
        return None

    def _turn(self, now: float, counter: int, keep_old_key: float) -> None:
        """The peer has changed its key, and this datagram proves it."""
        self._previous, self._previous_until = self._aead, now + keep_old_key
        self._aead, self._following = self._following, self._ratchet.draw()
        self._phase = (self._phase + 1) & 0xFF
        self._phase_counter, self._phase_since = counter, now

    def _accept(self, opened: Opened, first: int, end: int) -> None:
        if end > first:
            self._replay.mark(first, end - first)
            runs = opened.counters
            if runs and runs[-1][1] == first:
                runs[-1] = (runs[-1][0], end)
            else:
                runs.append((first, end))

    def _layout(self, data: memoryview, stride: int) -> Layout:
        """Slices of a received burst; the socket hands out the same views again and again."""
        key = (id(data), stride)
        layout = self._layouts.get(key)
        if layout is None:
            if len(self._layouts) >= _LAYOUTS_KEPT:
                self._layouts.clear()
            layout = self._layouts[key] = Layout(data, stride)
        return layout
