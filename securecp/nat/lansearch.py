"""Peers in our own network, without any server: who asks, and who answers (SPEC §12.10).

    caller   QUERY to the groups, five times a second for 5 s, each second for a minute, then every
             5 s; at once when somebody says HERE
    called   HERE when it begins to wait, ANSWER to a QUERY of a contact

The source of an ANSWER is where the peer is.
"""

from collections.abc import Callable, Collection

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat import beacon
from securecp.nat.actions import RANK_LAN, Action, AnswerLan, AskLan, Way
from securecp.nat.beacon import Asking, Ports, Waiting
from securecp.nat.tags import PairKeys

EVERY = ((5.0, 0.2), (60.0, 1.0), (float("inf"), 5.0))
"""Until so many seconds after the call: seconds between two queries."""
MOST_WAYS = 4
"""Ports and addresses of one peer: a machine has two of each, seldom more."""


class _Search:
    """A call by us."""

    def __init__(self, now: float, asking: Asking) -> None:
        self.asking = asking
        self.began_at = now
        self.next_at = now
        self.ways: tuple[Way, ...] = ()


class LanSearch:
    """Both sides of it; `actions` is drained by the station."""

    def __init__(
        self,
        entropy: Callable[[int], bytes],
        day: Callable[[], int],
        callers: Callable[[], Collection[PairKeys]] | None,
    ) -> None:
        """`callers`: who is answered, if anybody is."""
        self.actions: list[Action] = []
        self.ports = Ports(0, 0)
        """Of our main sockets."""
        self._entropy = entropy
        self._day = day
        self._callers = callers
        self._waiting = Waiting()
        self._searches: dict[bytes, _Search] = {}
        self.here()

    def here(self) -> None:
        """Tell everybody that we wait."""
        if self._callers is not None:
            self.actions.append(AskLan(beacon.here(self._entropy)))

    def search(self, now: float, session: bytes, pair: PairKeys) -> None:
        """Look for this contact."""
        self._searches[session] = _Search(now, Asking(pair, self._entropy))

    def end(self, session: bytes) -> None:
        """No more."""
        self._searches.pop(session, None)

    def rest(self, session: bytes) -> None:
        """It has a direct path: ask no more."""
        search = self._searches.get(session)
        if search is not None:
            search.next_at = float("inf")

    def doubt(self, now: float, session: bytes, endpoint: Endpoint | None) -> None:
        """The path in use is silent: if it was found here it is none; ask again."""
        search = self._searches.get(session)
        if search is not None:
            search.ways = tuple(way for way in search.ways if way.endpoint != endpoint)
            search.next_at = search.began_at = now

    def moved(self, now: float) -> None:
        """We are in another network."""
        self.here()
        for search in self._searches.values():
            search.ways = ()
            search.next_at = search.began_at = now

    def ways(self, session: bytes) -> tuple[Way, ...]:
        """Where the peer of this session was found."""
        search = self._searches.get(session)
        return search.ways if search is not None else ()

    def receive(self, now: float, endpoint: Endpoint, datagram: bytes) -> None:
        """A datagram of the beacon; ProtocolError if it is none."""
        match datagram[0] if datagram else -1:
            case beacon.QUERY:
                self._on_query(now, endpoint, datagram)
            case beacon.ANSWER:
                self._on_answer(endpoint, datagram)
            case beacon.HERE:
                for search in self._searches.values():
                    if search.asking.heard(now, datagram):
                        search.next_at = now
            case _:
                raise ProtocolError("a datagram of no known kind")

    def _on_query(self, now: float, endpoint: Endpoint, datagram: bytes) -> None:
        if self._callers is None:
            return
        query = self._waiting.match(now, datagram, self._callers(), self._day())
        if query is not None:
            self.actions.append(AnswerLan(endpoint, query.answer(self.ports)))

    def _on_answer(self, endpoint: Endpoint, datagram: bytes) -> None:
        for search in self._searches.values():
            try:
                search.asking.open(datagram)
            except ProtocolError:
                continue
            known = {way.endpoint for way in search.ways}
            if endpoint not in known and len(known) < MOST_WAYS:
                search.ways = (*search.ways, Way("lan", endpoint, RANK_LAN))
            return
        raise ProtocolError("an ANSWER is to no query of ours")

    def wake(self, now: float) -> None:
        """Ask where it is time."""
        for search in self._searches.values():
            if now >= search.next_at:
                age = now - search.began_at
                search.next_at = now + next(every for until, every in EVERY if age < until)
                self.actions.append(AskLan(search.asking.query(now, self._day())))

    def deadline(self) -> float | None:
        times = [one.next_at for one in self._searches.values() if one.next_at != float("inf")]
        return min(times, default=None)
