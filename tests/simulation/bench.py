"""A connection on the bench: a hostile peer with valid keys on the other side, and no network."""

from random import Random
from typing import Any

from securecp.endpoint import Burst
from securecp.transport.connection import Closed, Connection, ConnectionEvent
from securecp.transport.frames import Frame, Ping, parse
from securecp.transport.opening import Opener
from tests.sim.ends import Content
from tests.sim.hostile import Forger
from tests.sim.peer import LEFT, RIGHT, agreed_keys, parameters


class Recorder:
    """A sink that keeps what it was given."""

    def __init__(self) -> None:
        self.stored: list[tuple[int, bytes]] = []
        self.size = 0

    def store(self, offset: int, slices: list[memoryview]) -> None:
        self.stored.append((offset, b"".join(slices)))
        self.size += sum(map(len, slices))


class Bench:
    """`victim` is ours (at LEFT); `forger` seals for it, `read` opens what it sends."""

    def __init__(
        self, *, initiator: bool = True, ours: dict[str, Any] | None = None, **theirs: Any
    ) -> None:
        keys = agreed_keys(parameters(**(ours or {})), parameters(**theirs))
        own, other = keys if initiator else keys[::-1]
        self.now = 0.0
        self.victim = Connection(own, RIGHT, self.now, Random("bench").randbytes)
        self.sink = Recorder()
        self.victim.sink = self.sink
        self.victim.source = Content(0, 1 << 20)
        self.forger = Forger(other)
        self.events: list[ConnectionEvent] = []
        self.bytes_out = 0
        self._opener = Opener(other, self.now)

    def deliver(self, *datagrams: bytes) -> None:
        """Each as a burst of its own."""
        for datagram in datagrams:
            self.victim.receive(
                self.now, Burst(RIGHT, memoryview(bytearray(datagram)), max(len(datagram), 1))
            )
        self.events += self.victim.events()

    def drain(self) -> list[Frame]:
        """Let the victim send all it wants; the frames of it (CHUNKs are not among them)."""
        frames: list[Frame] = []
        while (burst := self.victim.transmit(self.now)) is not None:
            self.bytes_out += len(burst.data)
            copy = Burst(LEFT, memoryview(bytearray(burst.data)), burst.stride)
            for _, plain in self._opener.open(self.now, copy, 1.0).frames:
                frames += parse(plain)
        return frames

    def wait(self, until: float) -> list[Frame]:
        """Let time pass, with every wake-up in it."""
        frames = self.drain()
        while (deadline := self.victim.deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.victim.wake(self.now)
            self.events += self.victim.events()
            frames += self.drain()
        self.now = until
        return frames

    @property
    def closed_with(self) -> int | None:
        """The code that the victim has closed with by itself, or None while it goes on."""
        codes = [event.code for event in self.events if isinstance(event, Closed)]
        return codes[0] if codes else None

    def state(self) -> dict[str, object]:
        """All that a datagram which does not verify must leave as it was."""
        victim = self.victim
        recovery = victim._recovery
        rtt = recovery.rtt
        return {
            "counter": victim._sealer.next_counter,
            "replay": victim._opener._replay.next,
            "phase": victim._opener._phase,
            "timers": list(victim._timers._at),
            "rtt": (rtt.latest, rtt.smoothed, rtt.variance, rtt.minimum),
            "flight": recovery.flight.bytes,
            "window": recovery.controller.window,
            "acks": list(victim._acks._received),
            "content": list(victim.content_in._received),
            "control": victim._control_in.taken,
            "established": victim.established,
            "closed": victim.closed,
        }


def sending(size: int = 200_000) -> Bench:
    """A victim that has sent its first datagrams of content."""
    bench = Bench()
    bench.drain()
    bench.deliver(bench.forger.frames(Ping()))
    bench.victim.send_content(0, size)
    bench.drain()
    return bench


def accepted(bench: Bench, datagram: bytes) -> bool:
    """Whether the victim takes this datagram for genuine and new."""
    before = bench.victim._opener._replay.next
    bench.deliver(datagram)
    return bench.victim._opener._replay.next > before
