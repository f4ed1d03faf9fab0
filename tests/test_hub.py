"""Sessions that begin with the REPLY: their words leave early, and nothing is told early."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from securecp.endpoint import Endpoint
from securecp.events import Connected, Event, Offered
from securecp.hub import Hub
from securecp.transport.exchange import Answered, CallFailed
from securecp.transport.exchange import Connected as Met

PEER, OTHER = b"p" * 32, b"q" * 32
HERE, THERE = Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 2)


@dataclass(eq=False)
class Wire:
    """As much of a connection and of its keys as the hub looks at."""

    peer: bytes = PEER
    endpoint: Endpoint = HERE
    closed: bool = False
    rtt: float = 0.333


class Meeting:
    """As much of a session."""

    def __init__(self, connection: Wire) -> None:
        self.connection = connection
        self.over = self.dropped = False
        self.turns = 0
        self.network: list[Any] = []
        self._events: list[Event] = [Offered(connection.peer, 1, 1, (b"name",))]

    def advance(self, _now: float) -> None:
        self.turns += 1

    def events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def deadline(self) -> float | None:
        return None

    def drop(self) -> None:
        self.over = self.dropped = True


@dataclass
class Bench:
    """A hub over an exchange that says what the test wants."""

    pending: list[Any] = field(default_factory=list)
    met: list[Meeting] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)
    over: list[Any] = field(default_factory=list)
    failed: list[CallFailed] = field(default_factory=list)

    def __post_init__(self) -> None:
        exchange: Any = self
        self.hub = Hub(
            exchange,
            self._meet,
            lambda _, event: self.told.append(event),
            self.over.append,
            self.failed.append,
        )

    def events(self) -> list[Any]:
        events, self.pending = self.pending, []
        return events

    def say(self, *events: Any) -> None:
        self.pending += events
        self.hub.advance(0.0)

    def _meet(self, connection: Any, _now: float) -> Any:
        self.met.append(Meeting(connection))
        return self.met[-1]


def answered(wire: Any) -> Any:
    return Answered(wire, wire, wire.endpoint)


def met(wire: Any) -> Any:
    return Met(wire, wire, wire.endpoint)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_session_works_from_the_reply_on_and_tells_nothing_before_the_peer_is_heard(
    bench: Bench,
) -> None:
    wire = Wire()
    bench.say(answered(wire))
    assert bench.met[0].turns == 1, "its offer can leave"
    assert bench.told == []
    bench.say(met(wire))
    assert len(bench.met) == 1
    assert [type(event) for event in bench.told] == [Connected, Offered]


def test_a_session_of_another_call_takes_its_place_without_a_word(bench: Bench) -> None:
    first, second, stranger = Wire(), Wire(), Wire(peer=OTHER)
    bench.say(answered(first), answered(stranger), answered(second))
    bench.say(met(second))
    assert [meeting.dropped for meeting in bench.met] == [True, False, False]
    assert bench.hub.sessions == [bench.met[1], bench.met[2]]  # type: ignore[comparison-overlap]
    assert {event.peer for event in bench.told if isinstance(event, Connected)} == {PEER}


def test_a_call_of_the_peer_takes_its_place_too(bench: Bench) -> None:
    bench.say(answered(Wire()))
    bench.say(met(Wire()))
    assert [meeting.dropped for meeting in bench.met] == [True, False]
    assert len(bench.told) == 2
    assert not bench.over


def test_it_goes_with_its_call_and_with_no_other(bench: Bench) -> None:
    bench.say(answered(Wire(endpoint=HERE)), answered(Wire(endpoint=THERE)))
    bench.say(CallFailed(PEER, HERE))
    assert [meeting.dropped for meeting in bench.met] == [True, False]
    assert bench.failed == [CallFailed(PEER, HERE)]
    assert not bench.told and not bench.over


def test_when_its_connection_dies_first_nobody_hears_of_it(bench: Bench) -> None:
    bench.say(answered(Wire()))
    bench.met[0].over = True
    bench.say()
    assert bench.hub.sessions == []
    assert not bench.told and not bench.over


def test_its_meeting_ends_with_it(bench: Bench) -> None:
    """Else a peer that is called for an hour leaves hundreds of them."""
    ended: list[Any] = []
    paths: Any = SimpleNamespace(
        advance=lambda _: None,
        connected=lambda *_: None,
        closed=lambda _, connection: ended.append(connection),
    )
    bench.hub.place(paths)
    wire = Wire()
    bench.say(answered(wire))
    bench.say(CallFailed(PEER, HERE))
    assert ended == [wire]


@pytest.mark.parametrize(
    ("rtts", "patience"),
    [([], 0.0), ([0.05], 0.001), ([0.008, 0.3], 0.0005), ([0.3, 0.002], 0.0), ([0.0001], 0.0)],
)
def test_what_comes_may_wait_for_a_small_part_of_the_shortest_round_trip(
    bench: Bench, rtts: list[float], patience: float
) -> None:
    for rtt in rtts:
        wire = Wire()
        wire.rtt = rtt
        bench.say(answered(wire))
    assert bench.hub.patience() == pytest.approx(patience)
