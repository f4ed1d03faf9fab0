"""Small ends: one that echoes, one that scripts datagrams, and the content that transfers carry."""

from collections import deque
from random import Random

from securecp.endpoint import Burst, Endpoint
from tests.sim.host import SimulationError


class Echo:
    """Sends every datagram back; the network model is tested with it."""

    def __init__(self) -> None:
        self.received: list[tuple[float, bytes]] = []
        self._out: deque[Burst] = deque()

    def receive(self, now: float, burst: Burst) -> None:
        data = bytes(burst.data)
        for begin in range(0, max(len(data), 1), max(burst.stride, 1)):
            self.received.append((now, data[begin : begin + burst.stride]))
        self._out.append(Burst(burst.endpoint, memoryview(data), burst.stride))

    def wake(self, now: float) -> None:
        """Nothing is ever due."""

    def transmit(self, now: float) -> Burst | None:
        return self._out.popleft() if self._out else None

    def deadline(self) -> float | None:
        return None


class Script:
    """Sends bursts at set times of its host's clock, and keeps what comes."""

    def __init__(self) -> None:
        self.received: list[tuple[float, bytes]] = []
        self.bursts: list[int] = []
        self._sends = deque[tuple[float, Endpoint, bytes, int]]()

    def plan(self, when: float, endpoint: Endpoint, data: bytes, stride: int) -> None:
        """Send a burst at `when`, not before what was planned earlier."""
        self._sends.append((when, endpoint, data, stride))

    def receive(self, now: float, burst: Burst) -> None:
        data = bytes(burst.data)
        self.bursts.append(len(data))
        for begin in range(0, len(data), burst.stride):
            self.received.append((now, data[begin : begin + burst.stride]))

    def wake(self, now: float) -> None:
        """What is due leaves with the next `transmit`."""

    def transmit(self, now: float) -> Burst | None:
        if self._sends and self._sends[0][0] <= now:
            _, endpoint, data, stride = self._sends.popleft()
            return Burst(endpoint, memoryview(data), stride)
        return None

    def deadline(self) -> float | None:
        return self._sends[0][0] if self._sends else None


class Content:
    """Pseudo-random bytes as source: any piece that is misplaced or mixed up shows."""

    def __init__(self, seed: int, size: int) -> None:
        self.size = size
        self._bytes = Random(f"content {seed}").randbytes(size)
        self.filled = 0

    def __getitem__(self, where: slice) -> bytes:
        return self._bytes[where]

    def fill(self, offset: int, slots: list[memoryview]) -> None:
        for slot in slots:
            end = offset + len(slot)
            if end > self.size or offset < 0:
                raise SimulationError(f"fill beyond the content: {offset} to {end}")
            slot[:] = self._bytes[offset:end]
            offset = end
            self.filled += len(slot)


class Sink:
    """Takes content and compares it at once; bytes come once and only where they are expected."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._came = bytearray(content.size)
        self.stored = 0

    def store(self, offset: int, slices: list[memoryview]) -> None:
        data = b"".join(slices)
        end = offset + len(data)
        if not data or offset < 0 or end > self._content.size:
            raise SimulationError(f"store outside the content: {offset} to {end}")
        if data != self._content[offset:end]:
            raise SimulationError(f"stored content differs from the source: {offset} to {end}")
        if self._came.find(1, offset, end) >= 0:
            raise SimulationError(f"stored twice: {offset} to {end}")
        self._came[offset:end] = b"\x01" * len(data)
        self.stored += len(data)

    @property
    def complete(self) -> bool:
        """Whether every byte has come."""
        return self.stored == self._content.size
