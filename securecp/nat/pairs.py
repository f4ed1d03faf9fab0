"""Endpoints that are tried for one peer, and when each is tried again (SPEC §12.6).

    opener     low TTL: opens our own NAT and dies on the way, so that it spoils nothing over there
    probe      every 50 ms for 1 s, 100 ms until 3 s, 500 ms until 8 s, then every 5 s;
               all together at most 400 a second
    farewell   once valid, three more: the earlier ones may have died at the peer's filter

A *pair* is a door of ours and an endpoint of the peer, as in RFC 8445. One that only a probe has
named, at an address that no letter names, gets no more than three times what came from it: whoever
sends from a false address gains nothing by it (DG-05).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from securecp.endpoint import Endpoint

PACE = ((1.0, 0.05), (3.0, 0.1), (8.0, 0.5), (float("inf"), 5.0))
"""Until so many seconds after the start: seconds between two probes."""
RATE = 400
"""Probes a second, to all endpoints together."""
FAREWELLS = 3
MOST = 32
CREDIT = 3
"""Datagrams to an endpoint that nobody vouches for, for each that comes from there."""


@dataclass(slots=True, eq=False)
class Pair:
    """One endpoint, and how far we have come with it."""

    endpoint: Endpoint
    kind: str
    """Where it is from: the kind of its candidate, `learnt` from a probe, or `guessed`."""
    next_at: float = float("inf")
    sent: int = 0
    probed_at: float = float("-inf")
    answered: int = 0
    heard: bool = False
    """Whether a probe of the peer has come from there."""
    rtt: float = float("inf")
    farewells: int = FAREWELLS
    credit: float = float("inf")
    """Datagrams that may go there yet."""

    @property
    def valid(self) -> bool:
        """Whether datagrams go both ways."""
        return self.answered > 0


class Pairs:
    """At most 32, in the order in which they are tried."""

    def __init__(self) -> None:
        self._pairs: dict[Endpoint, Pair] = {}
        self._addresses: set[str] = set()
        """Those that the peer's letters name."""
        self.started_at: float | None = None
        self._resting = False

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs.values())

    def find(self, endpoint: Endpoint) -> Pair | None:
        return self._pairs.get(endpoint)

    def add(self, endpoint: Endpoint, kind: str) -> Pair | None:
        """One that a letter names; None if it is known, or there is no room for it."""
        self._addresses.add(endpoint.address)
        return self._add(Pair(endpoint, kind))

    def learn(self, endpoint: Endpoint, kind: str) -> Pair | None:
        """The one from which a probe has come, new or not; None if there is no room."""
        pair = self._pairs.get(endpoint)
        if pair is None:
            pair = self._add(Pair(endpoint, kind))
            if pair is not None and endpoint.address not in self._addresses:
                pair.credit = 0
        if pair is not None:
            pair.heard = True
            pair.credit += CREDIT
        return pair

    def _add(self, pair: Pair) -> Pair | None:
        if pair.endpoint in self._pairs:
            return None
        if len(self._pairs) >= MOST:
            vain = [old for old in self._pairs.values() if not old.heard and not old.valid]
            if not vain:
                return None
            del self._pairs[max(vain, key=lambda old: old.sent).endpoint]
        self._pairs[pair.endpoint] = pair
        return pair

    def start(self, now: float) -> None:
        """Try all from now on."""
        self.started_at = now
        for pair in self._pairs.values():
            pair.next_at = min(pair.next_at, now)

    def due(self, now: float) -> list[Pair]:
        """Those to be probed now; each is set to its next time."""
        due = [pair for pair in self._pairs.values() if pair.next_at <= now]
        for pair in due:
            pair.next_at = float("inf")
        due = [pair for pair in due if pair.credit >= 1]
        for pair in due:
            self._sent(pair, now)
        return due

    def _sent(self, pair: Pair, now: float) -> None:
        pair.sent += 1
        pair.credit -= 1
        pair.probed_at = now
        if pair.valid:
            pair.farewells -= 1
        pair.next_at = self._next(pair, now)

    def _next(self, pair: Pair, now: float) -> float:
        if self._resting or (pair.valid and pair.farewells <= 0):
            return float("inf")
        age = 0.0 if self.started_at is None else now - self.started_at
        pace = next(every for until, every in PACE if age < until)
        return now + max(pace, len(self._pairs) / RATE)

    def again(self, pair: Pair, now: float) -> None:
        """Try this one as if we had just begun."""
        pair.answered, pair.farewells, pair.next_at = 0, FAREWELLS, now
        self.started_at = now
        self._resting = False

    def rest(self, but: Endpoint | None = None) -> None:
        """Enough: none is tried any more, except one; who asks is still asked back."""
        self._resting = True
        for pair in self._pairs.values():
            if pair.endpoint == but and not pair.valid:
                self._resting = False
            else:
                pair.next_at = float("inf")

    def deadline(self) -> float | None:
        """When the next is due."""
        earliest = min((pair.next_at for pair in self._pairs.values()), default=float("inf"))
        return None if earliest == float("inf") else earliest
