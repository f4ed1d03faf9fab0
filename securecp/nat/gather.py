"""Asks STUN servers, through each of our doors, how we are seen; and keeps the answers true.

    round      each server endpoint once, back to back, then again after 60, 60, 120, 240, 480 ms to
               whoever has not answered; 1,200 ms after that the round is over
    silence    a door without any answer asks again 30 s later
    keepalive  an idle door asks one server endpoint again each 20 s ±20 %; twice as often once the
               endpoint seen has changed in between, as the NAT forgets faster than that

A round asks in the order listed, so that the ports of a sequential NAT come in that order. Asking
the same server endpoint again takes no new port, it only keeps the old one.

An answer is believed if it bears a transaction that is under way, comes from the server endpoint
asked, on the door it was asked from, and names an endpoint that can be ours (DG-15). Each request
has a transaction of its own, so that its round-trip time is certain. Whatever is believed is a
hint: the worst that a lying server can do is to have probes sent nowhere.
"""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from itertools import chain
from math import inf
from typing import Final, NamedTuple

from securecp.endpoint import Endpoint
from securecp.errors import ProtocolError
from securecp.nat import stun
from securecp.nat.sampling import Nat, NatView, Sample, classify

WAITS: Final = (0.06, 0.06, 0.12, 0.24, 0.48, 1.2)
"""Seconds from each request to what follows: the next one, or the end of the round."""
SILENCE: Final = sum(WAITS)
RETEST: Final = 30.0
KEEPALIVE: Final = 20.0
KEEPALIVE_FLOOR: Final = 5.0
JITTER: Final = 0.2
MOST_SERVERS: Final = 16
"""Server endpoints that are asked; a list may come from a server that wants us to ask others."""


class Door(NamedTuple):
    """A socket of ours: its number, 4 or 6, and its local port."""

    via: int
    family: int
    port: int


class Reflexive(NamedTuple):
    """A door is seen at `endpoint`, for the first time or no more at `before`."""

    via: int
    endpoint: Endpoint
    before: Endpoint | None = None


class _Question:
    """One server endpoint, asked from one door."""

    __slots__ = ("next_at", "open", "order", "rtt", "seen", "seen_from", "server", "tries")

    def __init__(self, server: Endpoint, order: int) -> None:
        self.server = server
        self.order = order
        self.tries = 0
        self.next_at = inf
        self.open: dict[bytes, float] = {}
        """Transactions of this time of asking, and when each was sent."""
        self.seen: Endpoint | None = None
        self.seen_from = -inf
        """When the request left that `seen` answers."""
        self.rtt = inf

    def begin(self, now: float) -> None:
        self.tries = 0
        self.next_at = now
        self.open.clear()

    @property
    def under_way(self) -> bool:
        return self.next_at != inf

    def due(self, now: float) -> bool:
        return self.tries < len(WAITS) and self.next_at <= now

    def spent(self, now: float) -> bool:
        return self.tries == len(WAITS) and self.next_at <= now

    def ask(self, now: float, transaction: bytes) -> bytes:
        self.open[transaction] = now
        self.next_at = now + WAITS[self.tries]
        self.tries += 1
        return stun.encode_request(transaction)

    def answered(self, now: float, sent_at: float, seen: Endpoint) -> None:
        self.next_at = inf
        self.open = {key: at for key, at in self.open.items() if at > sent_at}
        self.rtt = now - sent_at
        self.seen_from = sent_at
        self.seen = seen


class _Watch:
    """A door, its questions, and what is known of it."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.questions: dict[Endpoint, _Question] = {}
        self.anchor: Endpoint | None = None
        """The server endpoint that answered first: keepalives go to it, and changes show there."""
        self.shown: Endpoint | None = None
        self.interval = KEEPALIVE
        self.next_at = inf
        """The next keepalive, or the next test of a silent door."""
        self.quiet_since = inf
        """When the first request of a silence left; not set once there is an answer."""
        self.over = False
        """The round has ended."""

    def begin(self, now: float, anchor: Endpoint | None = None) -> None:
        """A new round; with an anchor that has just answered, it comes first."""
        self.anchor = anchor
        self.over = False
        self.next_at = inf
        # Its port is the first that the NAT has given out since the change.
        ordered = sorted(self.questions.values(), key=lambda question: question.server != anchor)
        for order, question in enumerate(ordered):
            question.order = order
            question.seen = None
            question.begin(now)
        self.questions = {question.server: question for question in ordered}

    def samples(self) -> list[Sample]:
        return [
            Sample(question.server, question.seen, question.order)
            for question in self.questions.values()
            if question.seen
        ]


class Gatherer:
    """Rounds, keepalives and views of all doors; `entropy(n)` gives n random bytes."""

    def __init__(
        self,
        now: float,
        doors: Iterable[Door],
        servers: Sequence[Sequence[Endpoint]],
        entropy: Callable[[int], bytes],
    ) -> None:
        """`servers`: each one's endpoints, in the order in which they are to be asked."""
        self._entropy = entropy
        self._servers: list[Endpoint] = []
        self._watches: dict[int, _Watch] = {}
        self._events: list[Reflexive] = []
        for endpoint in chain.from_iterable(servers):
            self._list(endpoint)
        for door in doors:
            self.resample(now, door)

    def _list(self, endpoint: Endpoint) -> bool:
        """Note a server endpoint, its address written as sockets write it; False if known."""
        address = str(ip_address(endpoint.address))
        server = Endpoint(address, endpoint.port)
        if server in self._servers or len(self._servers) >= MOST_SERVERS:
            return False
        self._servers.append(server)
        return True

    def add_servers(self, now: float, endpoints: Iterable[Endpoint]) -> None:
        """Ask these as well, from every door."""
        for endpoint in endpoints:
            if self._list(endpoint):
                for watch in self._watches.values():
                    self._join(now, watch, self._servers[-1])

    def resample(self, now: float, door: Door) -> None:
        """Ask all servers from this door, which may be a new one, from the beginning."""
        watch = self._watches.get(door.via)
        if watch is None:
            watch = self._watches[door.via] = _Watch(door)
        watch.quiet_since = inf
        watch.begin(now)
        for server in self._servers:
            self._join(now, watch, server)

    def restart(self, now: float) -> None:
        """The network has changed: all that was known is old."""
        for watch in self._watches.values():
            watch.interval = KEEPALIVE
            watch.quiet_since = inf
            watch.begin(now)

    def forget(self, via: int) -> None:
        """The door is closed."""
        self._watches.pop(via, None)

    def active(self, now: float, via: int) -> None:
        """Other datagrams have left through this door, and keep its binding as well as ours."""
        watch = self._watches.get(via)
        if watch and watch.anchor and watch.over:
            watch.next_at = now + self._jittered(watch.interval)

    @staticmethod
    def _join(now: float, watch: _Watch, server: Endpoint) -> None:
        family = 6 if ":" in server.address else 4
        key = server._replace(via=watch.door.via)
        if family == watch.door.family and key not in watch.questions:
            question = watch.questions[key] = _Question(key, len(watch.questions))
            question.begin(now)
            watch.over = False

    def transmit(self, now: float) -> tuple[Endpoint, bytes] | None:
        """The next request, and where it goes; None if nothing is due."""
        for watch in self._watches.values():
            for question in watch.questions.values():
                if question.due(now):
                    if watch.anchor is None:
                        watch.quiet_since = min(watch.quiet_since, now)
                    return question.server, question.ask(now, self._entropy(stun.TRANSACTION))
        return None

    def receive(self, now: float, endpoint: Endpoint, datagram: bytes | memoryview) -> bool:
        """Whether this is an answer to a question of ours; all else changes nothing."""
        watch = self._watches.get(endpoint.via)
        question = watch.questions.get(endpoint) if watch else None
        if watch is None or question is None:
            return False
        try:
            answer = stun.parse(datagram)
        except ProtocolError:
            return False
        sent_at = question.open.get(answer.transaction)
        if sent_at is None or not isinstance(answer, stun.Response):
            return False
        seen = answer.endpoint._replace(via=endpoint.via)
        if not believable(seen, question.server):
            return False
        before = question.seen
        question.answered(now, sent_at, seen)
        self._learn(now, watch, question, before)
        return True

    def _learn(
        self, now: float, watch: _Watch, question: _Question, before: Endpoint | None
    ) -> None:
        watch.quiet_since = inf
        if watch.anchor is None:
            watch.anchor = question.server
        moved = before is not None and before != question.seen
        if question.server == watch.anchor and question.seen and question.seen != watch.shown:
            self._events.append(Reflexive(watch.door.via, question.seen, watch.shown))
            watch.shown = question.seen
        if not watch.over:
            self._conclude(now, watch)
        elif moved:
            # What the other servers saw is as old: ask them all, to have one view again.
            watch.interval = max(watch.interval / 2, KEEPALIVE_FLOOR)
            watch.begin(now, watch.anchor)
        else:
            watch.next_at = now + self._jittered(watch.interval)

    def _conclude(self, now: float, watch: _Watch) -> None:
        """End the round if nothing is under way any more."""
        if any(question.under_way for question in watch.questions.values()):
            return
        watch.over = True
        if watch.anchor and not watch.questions[watch.anchor].seen:
            watch.anchor = next((sample.server for sample in watch.samples()), None)
        pause = self._jittered(watch.interval) if watch.anchor else RETEST
        watch.next_at = now + pause if watch.questions else inf

    def _jittered(self, seconds: float) -> float:
        """Within ±20 %, so that nobody's keepalives beat in time."""
        share = int.from_bytes(self._entropy(2)) / 0xFFFF
        return seconds * (1 + JITTER * (2 * share - 1))

    def wake(self, now: float) -> None:
        """End what has waited long enough, and begin what is due."""
        for watch in self._watches.values():
            spent = [question for question in watch.questions.values() if question.spent(now)]
            for question in spent:
                question.next_at = inf
            if spent and watch.over:
                watch.begin(now)  # a keepalive without an answer: ask everybody
            elif spent:
                self._conclude(now, watch)
            if watch.next_at <= now:
                self._again(now, watch)

    @staticmethod
    def _again(now: float, watch: _Watch) -> None:
        watch.next_at = inf
        if watch.anchor is None:
            watch.begin(now)
        else:
            watch.questions[watch.anchor].begin(now)

    def deadline(self) -> float | None:
        """When `wake` or `transmit` has something to do; None if never."""
        times = [watch.next_at for watch in self._watches.values()]
        for watch in self._watches.values():
            times += [question.next_at for question in watch.questions.values()]
        earliest = min(times, default=inf)
        return None if earliest == inf else earliest

    def events(self) -> list[Reflexive]:
        """What has changed since the last call."""
        events, self._events = self._events, []
        return events

    @property
    def done(self) -> bool:
        """Whether the round of every door has ended."""
        return all(watch.over or not watch.questions for watch in self._watches.values())

    def concluded(self, via: int) -> bool:
        """Whether the round of this door has ended, or it has nobody to ask."""
        watch = self._watches.get(via)
        return watch is None or watch.over or not watch.questions

    def samples(self, via: int) -> list[Sample]:
        """The answers of this door's round, in the order of asking."""
        watch = self._watches.get(via)
        return watch.samples() if watch else []

    def view(self, via: int) -> NatView:
        """What the answers come to, so far."""
        watch = self._watches.get(via)
        if watch is None:
            return NatView(Nat.UNKNOWN)
        samples = watch.samples()
        if not samples and watch.over and watch.questions:
            return NatView(Nat.NO_UDP)
        return classify(samples, watch.door.port, asked=len(watch.questions))

    def blocked(self, now: float) -> bool:
        """Whether every door that asks has heard nothing for as long as a round takes."""
        asking = [watch for watch in self._watches.values() if watch.questions]
        return bool(asking) and all(now - watch.quiet_since >= SILENCE for watch in asking)

    def rtt(self, server: Endpoint) -> float | None:
        """Seconds to a server endpoint and back, over the fastest door; None if it is silent."""
        address = str(ip_address(server.address))
        times = [
            question.rtt
            for watch in self._watches.values()
            for question in watch.questions.values()
            if question.server[:2] == (address, server.port)
        ]
        fastest = min(times, default=inf)
        return None if fastest == inf else fastest


def believable(seen: Endpoint, server: Endpoint) -> bool:
    """Whether a server may have seen us there: no more than a sanity check of its answer.

    Only a server within a private network sees private endpoints, such as one on this machine.
    """
    ours, theirs = ip_address(seen.address), ip_address(server.address)
    if seen.port == 0 or ours.version != theirs.version:
        return False
    if ours.is_multicast or ours.is_unspecified or (ours.is_reserved and not ours.is_loopback):
        return False
    return ours.is_global or not theirs.is_global
