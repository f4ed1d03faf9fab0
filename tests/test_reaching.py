"""Which way a session takes, when it leaves one, and when a meeting ends."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from securecp.endpoint import Endpoint
from securecp.nat.actions import RANK_IPV4, RANK_UDP_RELAY, RANK_WEBSOCKET, Way
from securecp.nat.reach import Found
from securecp.reaching import LAST_WORDS, LEAVE_AGAIN, LONGEST_WORDS, Paths
from securecp.transport.connection import Heard, Moved, Quiet
from tests.keys.samples import identity

SESSION, PEER = b"s" * 16, bytes(identity("peer").public)
DIRECT = Way("direct", Endpoint("11.0.1.1", 50_000), RANK_IPV4, 0.04)
UDP = Way("relayed", Endpoint("11.0.113.1", 4_480, 17), RANK_UDP_RELAY)
WEBSOCKET = Way("relayed", Endpoint("11.0.113.1", 4_480, 16), RANK_WEBSOCKET)


@dataclass
class Traversal:
    """As much of a `Reach` as paths look at."""

    found: list[Found] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    meetings: dict[bytes, Any] = field(default_factory=dict)

    def call(self, _now: float, _peer: bytes) -> bytes:
        return SESSION

    def wake(self, _now: float) -> None:
        pass

    def events(self) -> list[Found]:
        found, self.found = self.found, []
        return found

    def deadline(self) -> float | None:
        return None

    def quiet(self, _now: float, _session: bytes) -> None:
        self.told.append("quiet")

    def heard(self, _session: bytes) -> None:
        self.told.append("heard")

    def settled(self, _session: bytes, _endpoint: Endpoint) -> None:
        pass

    def end(self, _session: bytes) -> None:
        self.told.append("end")


@dataclass(eq=False)
class Wire:
    """As much of a connection."""

    endpoint: Endpoint
    peer: bytes = PEER
    closed: bool = False
    hold: bool = False
    moves: list[Endpoint] = field(default_factory=list)

    def trust(self, _now: float, _endpoint: Endpoint) -> None:
        pass

    def move(self, _now: float, endpoint: Endpoint, _rtt: float | None = None) -> None:
        self.moves.append(endpoint)
        self.endpoint = endpoint


@dataclass
class Keys:
    """As much of a session's keys."""

    initiator: bool
    peer: bytes = PEER
    mark: bytes = SESSION[:12]


class Bench:
    """One session that has been met, by the first of these ways."""

    def __init__(self, *ways: Way, caller: bool = True) -> None:
        self.now = 10.0
        self.reach = Traversal()
        self.doubts = 0
        self.calls: list[tuple[Endpoint | None, Endpoint]] = []
        reach: Any = self.reach
        exchange: Any = self
        self.paths = Paths(reach, exchange, on_doubt=self._doubt)
        self.caller = caller
        if caller:
            self.paths.call(self.now, PEER, 60.0)
        self.finds(*ways)
        wire: Any = Wire(ways[0].endpoint)
        self.wire: Wire = wire
        keys: Any = Keys(caller)
        self.paths.connected(self.now, wire, keys, ways[0].endpoint)

    # as the exchange

    def call(self, _now: float, _peer: Any, endpoint: Endpoint, *_: Any, **__: Any) -> None:
        self.calls.append((None, endpoint))

    def move_call(self, _now: float, _peer: Any, endpoint: Endpoint, old: Endpoint) -> None:
        self.calls.append((old, endpoint))

    def _doubt(self) -> None:
        self.doubts += 1

    def finds(self, *ways: Way) -> None:
        self.reach.found.append(Found(SESSION, PEER, self.caller, ways))
        self.paths.advance(self.now)

    def follows(self, way: Way) -> None:
        """The peer moves, and our connection follows."""
        self.wire.endpoint = way.endpoint
        self.says(Moved(way.endpoint))

    def says(self, event: Quiet | Heard | Moved) -> None:
        wire: Any = self.wire
        self.paths.network(self.now, wire, event)

    def waits(self, seconds: float) -> None:
        """Be woken whenever it is asked for."""
        until = self.now + seconds
        while (due := self.paths.deadline()) is not None and due <= until:
            assert due > self.now, "it wakes without end"
            self.now = due
            self.paths.advance(self.now)
        self.now = until
        self.paths.advance(self.now)


@pytest.mark.parametrize("caller", [True, False])
def test_f34_a_silent_way_is_left_for_the_next_and_that_for_the_one_after(caller: bool) -> None:
    bench = Bench(DIRECT, UDP, WEBSOCKET, caller=caller)
    bench.says(Quiet())
    assert bench.wire.moves == [UDP.endpoint]
    bench.waits(LEAVE_AGAIN[0] - 0.1)
    assert len(bench.wire.moves) == 1
    bench.waits(0.2)
    assert bench.wire.moves[1:] == [WEBSOCKET.endpoint]
    bench.waits(LEAVE_AGAIN[1])
    assert bench.wire.moves[2:] == [DIRECT.endpoint]  # the one that was not tried for longest
    assert bench.reach.told.count("quiet") == bench.doubts == 3


def test_f34_what_answers_is_not_left() -> None:
    bench = Bench(DIRECT, UDP, WEBSOCKET)
    bench.says(Quiet())
    bench.says(Heard())
    bench.waits(30.0)
    assert bench.wire.moves == [UDP.endpoint]
    assert bench.reach.told == ["quiet", "heard"]


@pytest.mark.parametrize("caller", [True, False])
def test_f23_whose_silent_way_is_no_more_takes_what_is_found_at_once(caller: bool) -> None:
    bench = Bench(UDP, WEBSOCKET, caller=caller)
    bench.finds(WEBSOCKET)
    bench.says(Quiet())
    assert bench.wire.endpoint == WEBSOCKET.endpoint
    bench.finds()
    bench.finds(UDP)
    assert bench.wire.endpoint == UDP.endpoint


def test_f22_a_better_way_that_the_peer_has_left_is_tried_anew() -> None:
    """It was we who stood still: for the peer, that way was silent."""
    bench = Bench(DIRECT, UDP)
    bench.follows(UDP)
    assert bench.reach.told == ["quiet"]
    bench.finds(UDP)
    bench.finds(DIRECT, UDP)
    assert bench.wire.moves == [DIRECT.endpoint]


def test_whom_the_peer_leads_to_a_better_way_goes_along() -> None:
    bench = Bench(UDP, WEBSOCKET)
    bench.follows(DIRECT)
    bench.finds(DIRECT, UDP)
    assert bench.reach.told == []
    other = Bench(DIRECT, UDP, caller=False)
    other.follows(UDP)
    assert other.reach.told == []


def test_there_is_one_call_and_it_goes_on_where_the_peer_is_found() -> None:
    reach: Any = Traversal()
    bench = Bench(WEBSOCKET, caller=False)
    exchange: Any = bench
    paths = Paths(reach, exchange)
    paths.call(1.0, PEER, 60.0)
    for ways in ((WEBSOCKET,), (UDP, WEBSOCKET), (UDP, WEBSOCKET), (DIRECT, UDP, WEBSOCKET)):
        reach.found.append(Found(SESSION, PEER, True, ways))
        paths.advance(1.0)
    assert bench.calls == [
        (None, WEBSOCKET.endpoint),
        (WEBSOCKET.endpoint, UDP.endpoint),
        (UDP.endpoint, DIRECT.endpoint),
    ]


def test_who_was_called_does_not_choose_while_it_hears_the_peer() -> None:
    bench = Bench(UDP, caller=False)
    bench.finds(WEBSOCKET)
    bench.finds(DIRECT, WEBSOCKET)
    assert not bench.wire.moves
    other = Bench(UDP)
    other.finds(DIRECT, UDP)
    assert other.wire.moves == [DIRECT.endpoint]


def test_f33_without_another_way_it_waits_and_goes_on_asking() -> None:
    bench = Bench(DIRECT)
    bench.says(Quiet())
    bench.waits(60.0)
    assert not bench.wire.moves
    assert 8 < bench.doubts < 16


def test_a_meeting_ends_when_the_last_words_of_its_connection_have_left() -> None:
    bench = Bench(UDP)
    wire: Any = bench.wire
    bench.paths.closed(bench.now, wire)
    bench.paths.advance(bench.now)
    assert bench.reach.told == []
    bench.waits(0.5)
    wire.closed = True
    bench.paths.advance(bench.now)
    assert bench.reach.told == []
    bench.waits(LAST_WORDS)
    assert bench.reach.told == ["end"]


def test_a_meeting_ends_also_if_they_never_leave() -> None:
    bench = Bench(UDP)
    wire: Any = bench.wire
    bench.paths.closed(bench.now, wire)
    bench.waits(LONGEST_WORDS)
    assert bench.reach.told == ["end"]
