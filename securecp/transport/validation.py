"""Where the peer is known to receive: trust, and the challenges that earn it (RFC 9000 §8.2).

    unknown ── its newest datagram comes from there ──► candidate ── RESPONSE thence ──► trusted
                        up to 3 CHALLENGEs, then 5 s of rest ──┘             30 s ──► unknown

Anybody who has the keys, or copies datagrams on their way, can make them come from an endpoint that
is not the peer's. So a candidate gets no more bytes than came from it, and nothing but challenges
(TR-12, DG-05). This file decides nothing about which path is used (`paths.py`).
"""

import hmac
import math
from collections.abc import Callable
from typing import NamedTuple

from securecp.endpoint import Endpoint
from securecp.transport.wire import BASE_DATAGRAM, OVERHEAD

TRUSTED_FOR = 30.0
TRUSTED = 16
CANDIDATES = 4
"""More at once are not needed; the oldest gives way."""
CHALLENGES = 3
PATIENCE = 3
"""PTOs after which a candidate is given up."""
REST = 5.0
"""Seconds before a candidate that was given up may be challenged anew."""
SMALLEST_PTO = 0.333
"""The path may be longer than the one in use (kInitialRtt)."""
SMALLEST_CHALLENGE = OVERHEAD + 12
"""A datagram with a CHALLENGE alone. What asks for an ACK is never shorter, so that it pays for it;
nor is a RESPONSE longer."""


class Challenged(NamedTuple):
    """A CHALLENGE to send now: where, with which token, and how long its datagram may be."""

    endpoint: Endpoint
    token: bytes
    size: int


class _Candidate:
    __slots__ = ("credit", "ends_at", "next_at", "pto", "sent", "token")

    def __init__(self, token: bytes, now: float, pto: float) -> None:
        self.token = token
        self.credit = 0
        """Bytes that came from there, less those sent there."""
        self.sent = 0
        self.pto = pto
        self.next_at = now
        self.ends_at = now + PATIENCE * pto

    @property
    def able(self) -> bool:
        """Whether another challenge is allowed, be it due or not."""
        return self.sent < CHALLENGES and self.credit >= SMALLEST_CHALLENGE

    def deadline(self, now: float) -> float:
        """What is due already only waits for the socket."""
        if self.able and now < self.next_at:
            return min(self.next_at, self.ends_at)
        return self.ends_at if now < self.ends_at else self.ends_at + REST


class Validation:
    """Endpoints of one peer."""

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._trusted: dict[Endpoint, float] = {}
        """Until when."""
        self.candidates: dict[Endpoint, _Candidate] = {}

    def trust(self, now: float, endpoint: Endpoint) -> None:
        """The peer receives there: known by a RESPONSE, by probes, or since we used it."""
        self._trusted.pop(endpoint, None)
        self._trusted[endpoint] = now + TRUSTED_FOR
        self.candidates.pop(endpoint, None)
        if len(self._trusted) > TRUSTED:
            del self._trusted[next(iter(self._trusted))]

    def trusts(self, now: float, endpoint: Endpoint) -> bool:
        """Whether the peer may be followed there at once."""
        return now < self._trusted.get(endpoint, -math.inf)

    def begin(self, now: float, endpoint: Endpoint, pto: float) -> None:
        """The peer seems to be at an endpoint that is not trusted: challenge it."""
        self.expire(now)
        if endpoint in self.candidates:
            return
        if len(self.candidates) >= CANDIDATES:
            del self.candidates[next(iter(self.candidates))]
        self.candidates[endpoint] = _Candidate(self._entropy(8), now, max(pto, SMALLEST_PTO))

    def came(self, endpoint: Endpoint, size: int) -> None:
        """So many bytes came from there, and something of them verified."""
        candidate = self.candidates.get(endpoint)
        if candidate is not None:
            candidate.credit += size

    def spent(self, endpoint: Endpoint, size: int) -> None:
        """So many bytes went there, and no challenge."""
        self.came(endpoint, -size)

    def answered(self, now: float, endpoint: Endpoint, token: bytes) -> None:
        """A RESPONSE came from there; it counts if it answers the challenge that went there."""
        candidate = self.candidates.get(endpoint)
        if candidate is not None and hmac.compare_digest(candidate.token, token):
            self.trust(now, endpoint)

    def challenge(self, now: float) -> Challenged | None:
        """The next challenge that is due."""
        for endpoint, candidate in self.candidates.items():
            if candidate.able and candidate.next_at <= now:
                size = min(candidate.credit, BASE_DATAGRAM)
                candidate.credit -= size
                candidate.sent += 1
                candidate.next_at = now + candidate.pto
                return Challenged(endpoint, candidate.token, size)
        return None

    def expire(self, now: float) -> None:
        """Give candidates up, and forget them when they have rested."""
        for endpoint, candidate in list(self.candidates.items()):
            if now >= candidate.ends_at:
                candidate.sent = CHALLENGES
            if now >= candidate.ends_at + REST:
                del self.candidates[endpoint]

    def deadline(self, now: float) -> float:
        """When a challenge will be due, or a candidate is to be given up or forgotten."""
        return min(
            (candidate.deadline(now) for candidate in self.candidates.values()), default=math.inf
        )
