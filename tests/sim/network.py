"""One direction of a path: what happens to each datagram (after str0m's `netem`).

    MTU ─ outage ─ bursts of loss ─ loss ─ rate and queue ─ delay ─ reorder ─ corrupt ─ duplicate

Everything is drawn from the link's own `Random`, so that a change on one link leaves the other's
luck as it was. Every fault that strikes is counted by name ("sometimes" counters).
"""

from collections import Counter
from random import Random

from tests.sim.options import LinkOptions

Arrival = tuple[float, bytes]
LONGEST_BURST = 2.0
"""Seconds that a bad turn of the link may last."""


class Link:
    """Carries datagrams: tells when and in what state each arrives, if at all."""

    def __init__(self, options: LinkOptions, rng: Random, struck: Counter[str]) -> None:
        self.options = options
        self.struck = struck
        self._rng = rng
        self._bad = False
        self._bad_until = 0.0
        self._free_at = 0.0
        self._last_arrival = 0.0

    def carry(self, now: float, datagram: bytes) -> list[Arrival]:
        """The arrivals of a datagram that enters the link now: none, one or several."""
        fault = self._dropped(now, len(datagram))
        if fault:
            self.struck[fault] += 1
            return []
        arrival = self._arrival(self._departure(now, len(datagram)))
        options, rng = self.options, self._rng
        if options.corrupt and rng.random() < options.corrupt:
            self.struck["corrupt"] += 1
            datagram = self._corrupt(datagram)
        arrivals = [(arrival, datagram)]
        if options.duplicate and rng.random() < options.duplicate:
            self.struck["duplicate"] += 1
            for _ in range(rng.randint(1, options.copies)):
                arrivals.append((arrival + rng.random() * options.delay, datagram))
        return arrivals

    def _dropped(self, now: float, size: int) -> str:
        """The name of the fault that swallows this datagram, or nothing."""
        options, rng = self.options, self._rng
        if size > options.mtu:
            return "mtu"
        if any(begin <= now < end for begin, end in options.outages):
            return "outage"
        if options.bursts and self._burst_loss(now):
            return "bursts"
        if options.loss and rng.random() < options.loss:
            return "loss"
        if options.rate and (self._free_at - now) * options.rate + size > options.queue:
            return "queue"
        return ""

    def _burst_loss(self, now: float) -> bool:
        bursts = self.options.bursts
        assert bursts is not None
        # Per datagram, but a quiet link gets well with time, too.
        if self._bad and now > self._bad_until:
            self._bad = False
        turn = bursts.turns_good if self._bad else bursts.turns_bad
        if self._rng.random() < turn:
            self._bad = not self._bad
            self._bad_until = now + LONGEST_BURST
        return self._bad and self._rng.random() < bursts.loss

    def _departure(self, now: float, size: int) -> float:
        if not self.options.rate:
            return now
        self._free_at = max(now, self._free_at) + size / self.options.rate
        return self._free_at

    def _arrival(self, departure: float) -> float:
        """Jitter keeps the order; only reordering breaks it."""
        options, rng = self.options, self._rng
        arrival = departure + options.delay
        if options.jitter:
            arrival += rng.random() * options.jitter
        if options.reorder and rng.random() < options.reorder:
            self.struck["reorder"] += 1
            return arrival + rng.random() * options.reorder_delay
        self._last_arrival = max(self._last_arrival, arrival)
        return self._last_arrival

    def _corrupt(self, datagram: bytes) -> bytes:
        """Flip one to three bits; now and then cut the end off or add to it."""
        rng, edited = self._rng, bytearray(datagram)
        kind = rng.random()
        if kind < 0.1:
            return bytes(edited[: rng.randrange(len(edited) + 1)])
        if kind < 0.2:
            return bytes(edited) + rng.randbytes(rng.randint(1, 40))
        for _ in range(rng.randint(1, 3) if edited else 0):
            edited[rng.randrange(len(edited))] ^= 1 << rng.randrange(8)
        return bytes(edited)
