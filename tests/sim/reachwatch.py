"""What must hold in every network, whatever it does: where a station sends to, how much, and when.

RV-05   never to an endpoint that no letter and no authentic probe has named, but for guesses at
        an address that the peer says is its own; private ones only on one public address
RV-09   nothing beyond two hops before the peer has shown that it is there now
DG-05   at most three times as much as has come from where only a probe has come from
rates   400 probes a second and session, 400 guesses besides
bounds  nothing that a peer or a server says makes a table grow beyond its limit
"""

from collections import Counter, defaultdict, deque
from collections.abc import Sequence

from securecp.endpoint import Endpoint
from securecp.nat import actions
from securecp.nat.candidate import is_private
from securecp.nat.envelope import Answer, Letter, Sync
from securecp.nat.guessing import FAN
from securecp.nat.leg import MOST as MOST_LEGS
from securecp.nat.meeting import MOST_CANDIDATES, Meeting
from securecp.nat.pairs import MOST as MOST_PAIRS
from securecp.nat.pairs import RATE
from securecp.nat.surroundings import FIRST_VIA
from tests.sim.clock import Clock
from tests.sim.finder import Finder, is_probe
from tests.sim.host import SimulationError
from tests.sim.nat import Place

BURST = 64


class Watch:
    """Follows some stations."""

    def __init__(self, clock: Clock, stun: Sequence[Sequence[Endpoint]]) -> None:
        self.clock = clock
        self.servers = {one[:2] for some in stun for one in some}
        self.letters: Counter[str] = Counter()
        self.finders: list[Finder] = []
        self._named: dict[str, set[Place]] = defaultdict(set)
        """By station: what its letters name."""
        self._came: dict[str, Counter[Place]] = defaultdict(Counter)
        self._went: dict[str, Counter[Place]] = defaultdict(Counter)
        self._begun: set[str] = set()
        """Who may probe: the other has written a SYNC, or an ANSWER to a secret of this call."""
        self._times: dict[tuple[str, bool], deque[float]] = defaultdict(deque)

    def follow(self, finder: Finder) -> None:
        self.finders.append(finder)
        finder.watches.append(self._look)
        finder.wrote = lambda letter: self._wrote(finder, letter)
        finder.came = lambda source: self._came[finder.name].update([source])

    def _wrote(self, finder: Finder, letter: Letter) -> None:
        self.letters[type(letter).__name__] += 1
        for candidate in getattr(letter, "candidates", ()):
            self._named[finder.name].add(candidate.endpoint)
        if isinstance(letter, Sync | Answer):
            self._begun.update(other.name for other in self.finders if other is not finder)

    def _look(self, finder: Finder, action: actions.Action) -> None:
        if isinstance(action, actions.Shoot) and is_probe(action.data):
            self._probe(finder, action)
        elif isinstance(action, actions.Shoot) and action.endpoint[:2] not in self.servers:
            raise SimulationError(f"{finder.name} sends to {action.endpoint}")
        self.bounds(finder)

    def _probe(self, finder: Finder, shot: actions.Shoot) -> None:
        name, place = finder.name, shot.endpoint[:2]
        came = self._came[name]
        others = set().union(*(self._named[o.name] for o in self.finders if o is not finder))
        addresses = {address for address, _ in others}
        if place not in others and place not in came and place[0] not in addresses:
            raise SimulationError(f"RV-05: {name} probes {place}, which nobody has named")
        if is_private(place[0]) and not self._neighbours():
            raise SimulationError(f"RV-05: {name} probes {place} in its own network")
        if name not in self._begun and not came and (shot.ttl is None or shot.ttl > 2):
            raise SimulationError(f"RV-09: {name} probes {place} before anybody is there")
        self._went[name][place] += 1
        if place[0] not in addresses and self._went[name][place] > 3 * came[place]:
            raise SimulationError(f"DG-05: {name} sends {place} more than came from there")
        guess = (place not in others and place not in came) or shot.endpoint.via >= FIRST_VIA
        self._rate(finder, guess=guess)

    def _rate(self, finder: Finder, *, guess: bool) -> None:
        times, now = self._times[finder.name, guess], self.clock.now
        times.append(now)
        while times[0] <= now - 1.0:
            times.popleft()
        meetings = max(len(finder.reach.meetings), 1)
        if len(times) > meetings * (RATE + (2 * FAN if guess else 0)) + BURST:
            raise SimulationError(f"{finder.name} sends {len(times)} probes a second")

    def _neighbours(self) -> bool:
        return len({finder.seen[0] for finder in self.finders}) == 1

    def bounds(self, finder: Finder) -> None:
        for meeting in finder.reach.meetings.values():
            _within(meeting)


def _within(meeting: Meeting) -> None:
    assert len(meeting.punchers) <= 3
    assert len(meeting.legs) <= MOST_LEGS + 1
    assert len(meeting.theirs) <= MOST_CANDIDATES
    assert all(len(list(puncher.pairs)) <= MOST_PAIRS for puncher in meeting.punchers)
