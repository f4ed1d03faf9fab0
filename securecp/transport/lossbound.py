"""How losses bound what is in flight, when they mean that the path is full.

Loss alone says little: a radio link loses 5 % whatever we do, and giving way to that is what makes
loss-based controllers collapse. Two things do mean congestion, judged once a round trip:

    heavy      more than `CEILING` of a round is lost                 whatever the cause
    standing   more than `NOISE` is lost, and no datagram of the      we and others fill the queue
               round came through without waiting in a queue

Each takes `1 - BETA` off what was in flight; every round without it gives `GROWTH` back.
"""

import math

CEILING = 0.15
NOISE = 0.01
BETA = 0.85
GROWTH = 1 / 16
SMOOTHING = 1 / 8
FEWEST = 6
"""Datagrams lost that tell anything (as the draft has it for start-up)."""
ENOUGH = 40
"""Datagrams after which a verdict is due; fewer are carried into the next round."""


class LossBound:
    """Bytes that may be in flight as far as losses are concerned."""

    __slots__ = ("_acked", "_largest", "_lost", "least_rtt", "share", "value")

    def __init__(self) -> None:
        self.value = math.inf
        self.share = 0.0
        """What the path loses whatever we do, as far as we can tell: at most `CEILING`."""
        self.least_rtt = math.inf
        """Of the round so far."""
        self._acked = 0
        self._lost = 0
        self._largest = 0

    def on_ack(self, size: int, in_flight: int, rtt: float) -> None:
        """`size` bytes came through; `in_flight` were when the burst left."""
        self._acked += size
        self._largest = max(self._largest, in_flight)
        self.least_rtt = min(self.least_rtt, rtt)

    def on_loss(self, size: int) -> None:
        """`size` bytes did not; a negative size takes back what was no loss."""
        self._lost = max(0, self._lost + size)

    def judge(self, datagram: int, *, queued: bool) -> bool:
        """A round is over; True if it was one of congestion.

        `queued`: everything that came through in it has waited in a queue.
        """
        lost, total = self._lost, self._lost + self._acked
        told = lost >= FEWEST * datagram
        heavy = told and lost > CEILING * total
        standing = told and lost > NOISE * total and queued
        largest = self._largest
        self._largest, self.least_rtt = 0, math.inf
        if heavy or standing:
            self.value = BETA * min(self.value, largest)
            self.share *= 1 - SMOOTHING
        elif total < ENOUGH * datagram:
            return False
        else:
            self.value += GROWTH * self.value
            self.share += SMOOTHING * (min(lost / total, CEILING) - self.share)
        self._acked = self._lost = 0
        return heavy or standing

    def floor(self, least: float) -> None:
        """Bear no less than `least`."""
        self.value = max(self.value, least)

    def lift(self, most: float) -> None:
        """Forget the bound once it is past `most`: it binds no more."""
        if self.value > most:
            self.value = math.inf
