"""The link is away, for long, in virtual time: both sides wait, and go on by themselves (F-33).

The sender is the real delivery over the simulator's network; the receiver's disk is in memory.
"""

from typing import Any, cast

import pytest

from securecp.endpoint import Burst
from securecp.errors import InterruptedTransferError, NotReachedError, SecurecpError
from securecp.events import Back, Connected, Event, Progress, Resumed, Silent, Waiting
from securecp.net.delivery import Delivery, Recipient
from securecp.session import Session
from securecp.transport.connection import Connection
from securecp.transport.exchange import CallFailed
from tests.sim.direct import end_parameters
from tests.sim.options import LinkOptions, Options, Scale
from tests.sim.peer import RIGHT
from tests.sim.station import SendStation
from tests.sim.whole import Whole

RATE = 60_000.0
SIZE = 600_000
CHUNK = 16 << 10
HOUR = 3600.0
CUT_AT = 4.0


class Delivering(SendStation):
    """What `net.dial` does with a delivery, in virtual time."""

    def __init__(self, wait: float, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.told: list[tuple[float, Event]] = []
        self.delivery = Delivery(
            1,
            Recipient(bytes(self.peer), (RIGHT,)),
            cast(Any, self),
            lambda event: self.told.append((self.world.clock.now, event)),
            timeout=10.0,
            wait=wait,
            chance=self.rng.random,
        )

    def begin(self) -> None:
        self.delivery.call(self.host.now)
        self.host.settle()

    # the line

    def call(self, *asked: Any) -> Any:
        if asked:
            self.validated.add(RIGHT)
            now, _, timeout = asked
            self.exchange.call(now, self.peer, RIGHT, timeout)
        return 1

    def stop_calling(self, _: Recipient) -> None:
        self.exchange.stop_calling(bytes(self.peer))

    def hang_up(self, _: Recipient) -> None:
        self.exchange.hang_up(bytes(self.peer))

    def _meet(self, connection: Connection, now: float) -> Session | None:
        return super()._meet(connection, now) if self.delivery.wants(now) else None

    def expects(self, _: Recipient) -> bool:
        return bool(self.hub._early)

    def leave(self, _: Recipient) -> None:
        self.stop_calling(_)

    def not_reached(self, _: Recipient) -> SecurecpError:
        return NotReachedError("nobody answered")

    # the station

    def receive(self, now: float, burst: Burst) -> None:
        super().receive(now, burst)
        self.delivery.turn(now)

    def wake(self, now: float) -> None:
        super().wake(now)
        self.delivery.turn(now)

    def deadline(self) -> float | None:
        times = [super().deadline(), self.delivery.deadline()]
        return min((time for time in times if time is not None), default=None)

    def _tell(self, session: Session, event: Event) -> None:
        super()._tell(session, event)
        self.delivery.tell(self.host.now, session, event)

    def _over(self, session: Session) -> None:
        if session.failure is not None:
            self.failures.append(session.failure)
        self.delivery.ended(self.host.now, session)

    def _call_failed(self, _: CallFailed) -> None:
        self.delivery.call_failed(self.host.now)


class Journey:
    """A transfer of ten seconds over a link that is cut in the middle of it."""

    def __init__(
        self, cut: float, *, wait: float = HOUR, seed: int = 1, dies: bool = False
    ) -> None:
        away = (CUT_AT, CUT_AT + cut)
        link = LinkOptions(delay=0.01, rate=RATE, queue=12_000, outages=(away,))
        self.whole = Whole(
            Options(
                seed=seed, size=SIZE, forth=link, back=link, calm_at=1e6, scale=Scale(chunk=CHUNK)
            )
        )
        whole, self.cut = self.whole, cut
        ours, theirs = whole._identities
        self.sender = Delivering(
            wait,
            whole.tree,
            whole.options.disk,
            whole.memory,
            whole.world,
            whole.left,
            ours,
            theirs,
            end_parameters(whole.options)[0],
        )
        whole.sender = self.sender
        whole.left.restart(self.sender)
        whole.world.clock.at(0.0, self.sender.begin)
        if dies:
            whole.world.clock.at(CUT_AT + cut / 2, whole._crash_receiver)

    def run(self, limit: float) -> float:
        """To the end, or the limit; the time."""
        with self.whole._scaled():
            self.whole.world.run(lambda: self.sender.delivery.over, limit)
        return self.whole.world.clock.now

    def heard(self, kind: type) -> list[tuple[float, Any]]:
        return [(at, event) for at, event in self.sender.told if isinstance(event, kind)]

    def assert_whole(self) -> None:
        outcome = self.sender.delivery.outcome
        assert outcome is not None and outcome.done is not None, outcome
        assert any(store.published is not None for store in self.whole.stores)


@pytest.mark.parametrize("cut", [2.0, 10.0])
def test_f33_a_short_cut_is_hardly_noticed(cut: float) -> None:
    journey = Journey(cut)
    ended = journey.run(60.0 + cut)
    journey.assert_whole()
    assert ended < SIZE / RATE + cut + 8
    assert not journey.heard(Waiting)
    assert len(journey.heard(Connected)) == 1, "the same session"


def test_f33_a_minute_is_waited_for() -> None:
    journey = Journey(60.0)
    ended = journey.run(120.0)
    journey.assert_whole()
    assert ended < SIZE / RATE + 60 + 20
    assert journey.heard(Silent) and journey.heard(Back)
    assert len(journey.heard(Connected)) == 1, "the same session"


@pytest.mark.parametrize("seed", range(1, 4))
def test_f33_ten_minutes_are_waited_for_and_nothing_is_sent_twice(seed: int) -> None:
    journey = Journey(600.0, seed=seed)
    ended = journey.run(700.0)
    journey.assert_whole()
    assert ended < CUT_AT + 600 + SIZE / RATE + 20
    waiting = journey.heard(Waiting)
    assert waiting[0][0] < CUT_AT + 75 and waiting[-1][1].left > HOUR - 650
    (at, resumed), *_ = journey.heard(Resumed)
    assert at > CUT_AT + 600
    assert resumed.kept > SIZE // 4, "what came before the cut need not come again"
    moved = [event.moved for at, event in journey.heard(Progress) if at > CUT_AT + 600]
    assert moved[0] >= resumed.kept
    assert len(journey.heard(Connected)) == 2


@pytest.mark.parametrize("seed", range(1, 4))
def test_f01_the_receiver_dies_while_the_link_is_away(seed: int) -> None:
    journey = Journey(100.0, seed=seed, dies=True)
    journey.run(300.0)
    journey.assert_whole()


def test_the_receiver_dies_and_is_back_at_once() -> None:
    """It is called beside the silent session, which has nobody left at its other end."""
    journey = Journey(0.0)
    journey.whole.world.clock.at(CUT_AT, journey.whole._crash_receiver)
    ended = journey.run(100.0)
    journey.assert_whole()
    assert ended < SIZE / RATE + 15
    assert not journey.heard(Back) and journey.heard(Silent)


def test_patience_has_an_end() -> None:
    journey = Journey(10_000.0, wait=300.0)
    ended = journey.run(2_000.0)
    outcome = journey.sender.delivery.outcome
    assert outcome is not None and isinstance(outcome.error, InterruptedTransferError)
    assert 300 <= ended - CUT_AT <= 310


def test_without_patience_the_session_alone_is_waited_for() -> None:
    journey = Journey(10_000.0, wait=0.0)
    ended = journey.run(2_000.0)
    outcome = journey.sender.delivery.outcome
    assert outcome is not None and isinstance(outcome.error, InterruptedTransferError)
    assert 60 <= ended <= 80
    assert len(journey.heard(Connected)) == 1
