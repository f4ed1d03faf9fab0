"""Opens a direct path through both NATs, by probes that only the two can make (SPEC §12.6, §12.7).

    open     the called one: openers to all endpoints, as soon as it knows them
    start    probes, once the peer has shown that it is there now: SYNC, ANSWER or PING has come;
             what is heard from elsewhere is an endpoint as well (learnt)
    guess    one NAT easy, the other hard: `guessing.py`, a little later
    valid    a PONG for a PING of ours has come from where we sent it

Its keys are made of secrets of both sides for this round, so whatever a probe says, the peer said
it now. It never sends to an endpoint that neither an authentic letter nor an authentic probe named;
and what it sends before `start` dies after two hops (RV-05, RV-09).
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat.actions import Shoot
from securecp.nat.guessing import LOW_TTL, Fan, Guesser
from securecp.nat.pairs import Pair, Pairs
from securecp.nat.probe import Ping, ProbeKeys

FAREWELL_AFTER = 0.01
_PINGS_KEPT = 4_096
_LOW_TTL_FOR = 0.2
"""Seconds for which a repair round stays near home: both sides have opened their NATs by then."""
_AGAIN = 0.02
"""Seconds within which an endpoint that speaks to us is not probed once more."""


class Valid(NamedTuple):
    """Datagrams go both ways between our door and their endpoint."""

    endpoint: Endpoint
    kind: str
    rtt: float


class Puncher:
    """One round of probing, for one peer."""

    def __init__(self, keys: ProbeKeys, *, gently: bool = False) -> None:
        """`gently`: low TTL first, as an earlier round was spoiled."""
        self.keys = keys
        self.pairs = Pairs()
        self.guesser: Guesser | None = None
        self.fan: Fan | None = None
        self.valid: list[Valid] = []
        self.probes = 0
        """PINGs sent, guesses included."""
        self._gently = gently
        self._opened = False
        self._shots: list[Shoot] = []
        self._pings: dict[int, tuple[Endpoint, float]] = {}
        self._target: Endpoint | None = None
        """Where the fan probes, and at whose address ports are guessed."""
        self._full_at = float("-inf")

    # what is tried

    def add(self, now: float, endpoints: Iterable[tuple[Endpoint, str]]) -> None:
        """More endpoints of the peer, each with the kind of its candidate."""
        for endpoint, kind in endpoints:
            pair = self.pairs.add(endpoint, kind)
            if pair is None:
                continue
            if self.started:
                pair.next_at = now
            elif self._opened:
                self._ping(now, endpoint, LOW_TTL)

    def open(self, now: float) -> None:
        """Openers only: our NAT is ready for the peer's first probe, whenever it comes."""
        self._opened = True
        for pair in self.pairs:
            self._ping(now, pair.endpoint, LOW_TTL)

    def start(self, now: float) -> None:
        """Probes, until there is a path."""
        if self.started:
            return
        self.pairs.start(now)
        if self._gently:
            self._full_at = now + _LOW_TTL_FOR

    @property
    def started(self) -> bool:
        """Whether probes are on their way."""
        return self.pairs.started_at is not None

    def guess(
        self, now: float, target: Endpoint, seen: list[int], entropy: Callable[[int], bytes]
    ) -> None:
        """Guess ports at this address (the port of `target` does not count)."""
        if self.guesser is None:
            self._target = target
            self.guesser = Guesser(now, seen, entropy)

    def spread(self, now: float, target: Endpoint, vias: tuple[int, ...]) -> None:
        """Probe `target` from all of these doors."""
        if self.fan is None:
            self._target = target
            self.fan = Fan(now, vias)

    def doubt(self, now: float, endpoint: Endpoint) -> None:
        """This path has fallen silent: none to that address is one until a PONG comes again."""
        self.valid = [valid for valid in self.valid if valid.endpoint.address != endpoint.address]
        for pair in self.pairs:
            if pair.endpoint == endpoint or (
                pair.valid and pair.endpoint.address == endpoint.address
            ):
                self.pairs.again(pair, now)

    def again(self, now: float) -> None:
        """Our own network has changed: whatever was tried or found is tried again."""
        self.valid.clear()
        for pair in self.pairs:
            self.pairs.again(pair, now)

    def rest(self, but: Endpoint | None = None) -> None:
        """There is a path: try nothing more, or only this one; but answer."""
        self.pairs.rest(but)
        self._stop_guessing()

    def _stop_guessing(self) -> None:
        if self.guesser is not None:
            self.guesser.stop()
        if self.fan is not None:
            self.fan.stop()

    # what comes

    def receive(self, now: float, endpoint: Endpoint, datagram: bytes) -> None:
        """A probe; ProtocolError if it is not one of the peer's, or came before."""
        probe = self.keys.open(datagram)
        self.start(now)
        pair = self.pairs.learn(endpoint, self._kind(endpoint))
        if pair is None:
            raise ProtocolError("too many endpoints of one peer")
        if isinstance(probe, Ping):
            pair.credit -= 1
            self._shots.append(Shoot(endpoint, self.keys.pong(probe.counter, endpoint)))
        else:
            asked = self._pings.pop(probe.txid, None)
            if asked is None:
                raise ProtocolError("a PONG for no PING of ours")
            if asked[0] == endpoint:
                self._answered(now, pair, now - asked[1])
        if not pair.valid and now - pair.probed_at >= _AGAIN:
            pair.next_at = min(pair.next_at, now)

    def _kind(self, endpoint: Endpoint) -> str:
        """How an endpoint is called that no letter named."""
        target = self._target
        at_guess = target is not None and endpoint.address == target.address
        guessed = (self.guesser is not None and at_guess) or (
            self.fan is not None and endpoint.via in self.fan.vias
        )
        return "guessed" if guessed else "learnt"

    def _answered(self, now: float, pair: Pair, rtt: float) -> None:
        pair.answered += 1
        pair.rtt = min(pair.rtt, rtt)
        if pair.answered == 1:
            self.valid.append(Valid(pair.endpoint, pair.kind, pair.rtt))
            self._stop_guessing()
            pair.next_at = now + FAREWELL_AFTER

    # what goes

    def shots(self, now: float) -> list[Shoot]:
        """Probes to send now."""
        for pair in self.pairs.due(now):
            low = now < self._full_at and not pair.heard
            self._ping(now, pair.endpoint, LOW_TTL if low else None)
        if self._target is not None:
            if self.guesser is not None:
                for port in self.guesser.due(now):
                    self._ping(now, self._target._replace(port=port))
            if self.fan is not None:
                for via, ttl in self.fan.due(now):
                    self._ping(now, self._target._replace(via=via), ttl)
        shots, self._shots = self._shots, []
        return shots

    def _ping(self, now: float, endpoint: Endpoint, ttl: int | None = None) -> None:
        if self.keys.spent:
            return
        counter, datagram = self.keys.ping()
        self._pings[counter] = endpoint, now
        if len(self._pings) > _PINGS_KEPT:
            del self._pings[next(iter(self._pings))]
        self.probes += 1
        self._shots.append(Shoot(endpoint, datagram, ttl))

    def deadline(self) -> float | None:
        """When `shots` is due next."""
        if self._shots:
            return float("-inf")
        times = [self.pairs.deadline()]
        if self.guesser is not None:
            times.append(self.guesser.deadline())
        if self.fan is not None:
            times.append(self.fan.deadline())
        return min((time for time in times if time is not None), default=None)
