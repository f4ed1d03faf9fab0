"""The internet as a process: moves packets between TUN devices, late, in part, or not at all.

Started by usernet, which hands it one device for each node, and may change everything at run time.
A router like others: the TTL goes down, and what is at its end dies here. No ICMP.

Packets come with the kernel's offload header, 10 bytes: a burst that a program sent by one call
stays one piece (gso_type 5), and checksums are left to whoever needs them. So a piece is up to
64 KiB and this loop runs once for it. Loss still acts on single datagrams: they are cut out of the
piece. A queue that is full drops it whole. TCP comes segment by segment.

    offload header 10 | IP header 20 or 40 | UDP header 8 | datagrams of gso_size, the last shorter

`python -m tests.lab speed` measures it. On 2 small cores that also sent and received: 240 MB/s in
bursts, 22 MB/s one by one, 127 MB/s of TCP; 0.5 ms late in the median.
"""

import gc
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

OFFLOAD = 10
UDP_BURST = 5
PIECE = 65_536 + OFFLOAD
TURN = 64
"""Pieces of one device before the others have their turn."""


@dataclass
class Conditions:
    """What befalls packets, of all links or of one: seconds, shares of 1, bytes per second."""

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    rate: float = 0.0
    """Each way; 0 is as fast as it goes."""
    queue: float = 0.1
    """Seconds of it that wait where the rate is the limit; more is dropped."""
    up: bool = True


@dataclass
class Link:
    """The link of one node."""

    device: int
    addresses: set[bytes]
    prefixes: set[bytes]
    """IPv6, of 8 bytes."""
    conditions: Conditions = field(default_factory=Conditions)
    sent_until: float = 0.0
    """When the link is through with what it was given towards us …"""
    received_until: float = 0.0
    """… and with what we gave it."""
    ways: "dict[bytes, Way]" = field(default_factory=dict)
    """By destination; worked out at its first packet, forgotten when anything changes."""


class Way(NamedTuple):
    """From one link to another, all conditions together."""

    to: Link | None
    """None: there is no such address, or a link is cut."""
    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    slow: bool = False
    """One of the links has a rate."""


NOWHERE = Way(None)


class Forwarder:
    """All links, and the pieces that are under way."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._links: dict[str, Link] = {}
        self._weather = Conditions()
        self._queue: list[tuple[float, int, int, bytearray, memoryview]] = []
        self._count = 0
        self._random = random.Random()

    def run(self) -> None:
        control = self._control.fileno()
        while True:
            wait = self._release()
            devices = {link.device: link for link in self._links.values()}
            ready, _, _ = select.select([control, *devices], [], [], wait)
            for handle in ready:
                if handle != control:
                    self._drain(devices[handle])
                elif not self._obey():
                    return

    def _release(self) -> float | None:
        """Write what is due; seconds until the next is."""
        queue = self._queue
        while queue:
            now = time.monotonic()
            if queue[0][0] > now:
                return queue[0][0] - now
            _, _, device, head, body = heapq.heappop(queue)
            with suppress(OSError):  # the device has gone down
                os.writev(device, (head, body))
        return None

    def _drain(self, link: Link) -> None:
        device, ways = link.device, link.ways
        for _ in range(TURN):
            try:
                piece = os.read(device, PIECE)
            except OSError:
                return
            if piece[OFFLOAD] >> 4 == 4:
                destination, start, ttl = piece[26:30], 30, 18
            else:
                destination, start, ttl = piece[34:50], 50, 17
            way = ways.get(destination) or self._way(link, destination)
            if way.to is None or piece[ttl] <= 1:
                continue
            if way.loss:
                piece = self._lose(piece, start, way.loss)
                if not piece:
                    continue
            head = bytearray(piece[:start])
            head[ttl] -= 1
            if ttl == 18:  # the checksum of IPv4's header, which goes up as the TTL goes down
                value = (head[20] << 8 | head[21]) + 0x100
                value = (value & 0xFFFF) + (value >> 16)
                head[20], head[21] = value >> 8, value & 0xFF
            self._send(link, way, head, memoryview(piece)[start:])

    def _send(self, link: Link, way: Way, head: bytearray, body: memoryview) -> None:
        assert way.to is not None
        if not (way.delay or way.jitter or way.slow):
            with suppress(OSError):
                os.writev(way.to.device, (head, body))
            return
        due = time.monotonic()
        if way.slow:
            size = len(head) + len(body) - OFFLOAD
            through = self._squeeze(link, way.to, due, size)
            if through is None:
                return
            due = through
        due += way.delay + (way.jitter and way.jitter * self._random.random())
        self._count += 1
        heapq.heappush(self._queue, (due, self._count, way.to.device, head, body))

    def _squeeze(self, source: Link, target: Link, now: float, size: int) -> float | None:
        """When a piece is through both links' rates; None if a queue is full."""
        up, down = source.conditions, target.conditions
        up_rate, down_rate = up.rate or self._weather.rate, down.rate or self._weather.rate
        sent = max(now, source.sent_until) + (size / up_rate if up_rate else 0.0)
        if up_rate and sent - now > up.queue + size / up_rate:
            return None
        received = max(sent, target.received_until) + (size / down_rate if down_rate else 0.0)
        if down_rate and received - sent > down.queue + size / down_rate:
            source.sent_until = sent
            return None
        source.sent_until, target.received_until = sent, received
        return received

    def _lose(self, piece: bytes, start: int, loss: float) -> bytes:
        """The piece without the datagrams that are lost; empty if all are."""
        chance = self._random.random
        if piece[1] & 0x7F != UDP_BURST:
            return b"" if chance() < loss else piece
        stride = struct.unpack_from("=H", piece, 4)[0]
        offsets = range(start + 8, len(piece), stride)
        kept = [offset for offset in offsets if chance() >= loss]
        if len(kept) == len(offsets):
            return piece
        return _cut(piece, start, stride, kept) if kept else b""

    def _way(self, link: Link, destination: bytes) -> Way:
        target = next((one for one in self._links.values() if destination in one.addresses), None)
        if target is None:
            network = destination[:8] if len(destination) == 16 else b""
            target = next((one for one in self._links.values() if network in one.prefixes), None)
        link.ways[destination] = way = NOWHERE if target is None else self._between(link, target)
        return way

    def _between(self, source: Link, target: Link) -> Way:
        all_three = (self._weather, source.conditions, target.conditions)
        if not all(each.up for each in all_three):
            return NOWHERE
        kept = 1.0
        for each in all_three:
            kept *= 1.0 - each.loss
        return Way(
            target,
            sum(each.delay for each in all_three),
            sum(each.jitter for each in all_three),
            1.0 - kept,
            any(each.rate for each in all_three),
        )

    def _obey(self) -> bool:
        """One wish from usernet, answered when it is fulfilled; False when usernet is gone."""
        words, handles, _, _ = socket.recv_fds(self._control, 65_536, 1)
        if not words:
            return False
        wish: dict[str, Any] = json.loads(words)
        name = wish.get("link", "")
        match wish["do"]:
            case "join":
                os.set_blocking(handles[0], False)
                self._links[name] = Link(handles[0], *_places(wish))
            case "move":
                self._links[name].addresses, self._links[name].prefixes = _places(wish)
            case "conditions":
                concerned = self._links[name].conditions if name else self._weather
                for what, value in wish["conditions"].items():
                    setattr(concerned, what, value)
        for link in self._links.values():
            link.ways.clear()
        self._control.send(b"done")
        return True


def _places(wish: dict[str, Any]) -> tuple[set[bytes], set[bytes]]:
    return {packed(one) for one in wish["addresses"]}, {packed(one)[:8] for one in wish["prefixes"]}


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _cut(piece: bytes, start: int, stride: int, kept: list[int]) -> bytes:
    """A burst of only the datagrams at these offsets, its lengths and checksums right again."""
    data = b"".join(piece[offset : offset + stride] for offset in kept)
    head = bytearray(piece[: start + 8])
    if len(data) <= stride:
        head[1] = 0  # no longer a burst; the checksum is still the kernel's to fill in
    before: int = struct.unpack_from("!H", head, start + 4)[0]
    struct.pack_into("!H", head, start + 4, 8 + len(data))
    # Until the kernel fills it in, it is the checksum of the pseudo header, which has the length.
    partial = struct.unpack_from("!H", head, start + 6)[0] + 8 + len(data) + (before ^ 0xFFFF)
    struct.pack_into("!H", head, start + 6, _folded(partial))
    if start == 30:
        struct.pack_into("!H", head, 12, 28 + len(data))
        struct.pack_into("!H", head, 20, 0)
        struct.pack_into(
            "!H", head, 20, _folded(sum(struct.unpack_from("!10H", head, 10))) ^ 0xFFFF
        )
    else:
        struct.pack_into("!H", head, 14, 8 + len(data))
    return bytes(head) + data


def _folded(value: int) -> int:
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def main() -> None:
    gc.disable()  # no cycles are made here, and a collection would make packets late
    with socket.socket(fileno=int(sys.argv[1])) as control:
        Forwarder(control).run()


if __name__ == "__main__":
    main()
