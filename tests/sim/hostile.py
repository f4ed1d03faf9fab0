"""Attackers as plug-ins: on the path (taps), beside it, and behind a valid key (ends)."""

import struct
from collections import deque
from random import Random

from securecp.endpoint import Burst, Endpoint
from securecp.transport.frames import (
    ACK_RANGES,
    CHUNK_HEAD,
    CHUNK_MARKS,
    Ack,
    Challenge,
    Frame,
    Ping,
    encode,
)
from securecp.transport.opening import Opener
from securecp.transport.ranges import RangeSet
from securecp.transport.seal import Sealer
from securecp.transport.wire import DATA, HEADER, SessionKeys
from tests.sim.host import Host
from tests.sim.invariants import Watcher
from tests.sim.world import World


class Replayer:
    """On the path: lets everything pass, and sends some of it again, at once and much later."""

    def __init__(self, world: World, rng: Random, share: float = 0.3, kept: int = 200) -> None:
        self._world = world
        self._rng = rng
        self._share = share
        self._kept: deque[tuple[Endpoint, Endpoint, bytes]] = deque(maxlen=kept)

    def passing(self, source: Endpoint, destination: Endpoint, datagram: bytes) -> list[bytes]:
        self._kept.append((source, destination, datagram))
        if self._rng.random() >= self._share:
            return [datagram]
        self._world.note("replayed")
        when = self._world.clock.now + self._rng.choice((0.0, 0.01, 1.0, 5.0))
        old = self._kept[self._rng.randrange(len(self._kept))]
        self._world.clock.at(when, lambda: self._world.inject(*old))
        return [datagram, datagram]


class Editor:
    """On the path: changes one byte of some datagrams, or their length, and sends both versions.

    The edited one comes first: a receiver that acts before it verifies would take it.
    """

    def __init__(self, world: World, rng: Random, share: float = 0.3) -> None:
        self._world = world
        self._rng = rng
        self._share = share

    def passing(self, source: Endpoint, destination: Endpoint, datagram: bytes) -> list[bytes]:
        rng = self._rng
        if rng.random() >= self._share:
            return [datagram]
        self._world.note("edited")
        edited = bytearray(datagram)
        kind = rng.random()
        if kind < 0.2:
            return [bytes(edited[: rng.randrange(1, len(edited))]), datagram]
        if kind < 0.3:
            return [bytes(edited) + rng.randbytes(8), datagram]
        # The header is worth more attention than the rest.
        position = rng.randrange(16) if kind < 0.8 else rng.randrange(len(edited))
        edited[position] ^= rng.randrange(1, 256)
        return [bytes(edited), datagram]


class OffPath(Watcher):
    """Beside the path: has somehow learned a live index, and spoofs the peer's endpoint.

    For each datagram that a host sends, it sends that host `count` of its own.
    """

    def __init__(self, world: World, victim: Host, peer: Endpoint, rng: Random, count: int) -> None:
        self._world = world
        self._victim = victim
        self._peer = peer
        self._rng = rng
        self._count = count
        self._index = 0

    def sent(self, host: Host, destination: Endpoint, datagram: bytes) -> None:
        if host is not self._victim and datagram[0] == DATA:
            self._index = HEADER.unpack_from(datagram)[3]
        if host is not self._victim or not self._index:
            return
        for _ in range(self._count):
            self._world.spoof(self._peer, self._victim, self._garbage(), self._rng.random() / 100)

    def _garbage(self) -> bytes:
        rng = self._rng
        counter = rng.choice((0, rng.randrange(200), 2**62, 2**64 - 1, rng.getrandbits(64)))
        head = HEADER.pack(DATA, rng.choice((0, 0, 1, 255)), 0, self._index, counter)
        return head + rng.randbytes(rng.choice((0, 15, 16, 40, 1_184)))


class Forger:
    """Behind a valid key: seals whatever it likes for the peer of `keys`."""

    def __init__(self, keys: SessionKeys, now: float = 0.0) -> None:
        self.sealer = Sealer(keys, now)
        self._now = now

    def raw(self, plain: bytes) -> bytes:
        """A datagram of any plaintext."""
        return bytes(self.sealer.frames(self._now, plain))

    def frames(self, *frames: Frame) -> bytes:
        """A datagram of frames."""
        return self.raw(b"".join(map(encode, frames)))

    def chunk(self, offset: int, data: bytes, length: int | None = None) -> bytes:
        """A CHUNK; `length` may lie."""
        first, second, third, fourth = CHUNK_MARKS
        size = len(data) if length is None else length
        return self.raw(CHUNK_HEAD.pack(first, second, third, offset, fourth, size) + data)

    def ack(self, *ranges: tuple[int, int], delay: int = 0) -> bytes:
        """An ACK of half-open counter ranges, highest first."""
        return self.frames(Ack(ranges, delay))

    def ranges(self, count: int) -> bytes:
        """An ACK of `count` ranges, as no honest encoder writes it."""
        plain = bytearray(b"\xdc" + struct.pack(">H", 2 * count + 2) + b"\x01\x00")
        plain += b"\xcd" + struct.pack(">H", 2 * count) + b"\x01" * (2 * count - 1)
        return self.raw(bytes(plain))


class Behind:
    """Base of ends behind a valid key: reads what comes, answers with what `answer` gives."""

    def __init__(self, keys: SessionKeys, peer: Endpoint, now: float) -> None:
        self.forger = Forger(keys, now)
        self.seen = RangeSet()
        self.bytes_received = 0
        self._opener = Opener(keys, now)
        self._peer = peer
        self._out: deque[bytes] = deque()

    def receive(self, now: float, burst: Burst) -> None:
        self.bytes_received += len(burst.data)
        opened = self._opener.open(now, burst, 1.0)
        for start, end in opened.counters:
            self.seen.add(start, end)
        if opened.counters:
            self._out.extend(self.answer())

    def answer(self) -> list[bytes]:
        """Datagrams to send for a burst that has come."""
        return []

    def wake(self, now: float) -> None:
        """Nothing is ever due."""

    def transmit(self, now: float) -> Burst | None:
        if not self._out:
            return None
        data = self._out.popleft()
        return Burst(self._peer, memoryview(data), len(data))

    def deadline(self) -> float | None:
        return None


class OptimisticReceiver(Behind):
    """Acknowledges all up to the highest counter it has seen, and `ahead` more, come or not."""

    ahead = 0

    def answer(self) -> list[bytes]:
        return [self.forger.ack((0, self.seen.last()[1] + self.ahead))]


class FrameFlooder(Behind):
    """Acknowledges as it should, with a flood of frames that each ask for a reply."""

    flood = 30
    most = 3_000

    def answer(self) -> list[bytes]:
        if self.forger.sealer.next_counter > self.most:
            return [self.forger.ack(*self.seen.descending(ACK_RANGES))]
        challenges = [Challenge(number.to_bytes(8)) for number in range(20)]
        flood = [self.forger.frames(Ping(), *challenges) for _ in range(self.flood)]
        return [self.forger.ack(*self.seen.descending(ACK_RANGES)), *flood]
