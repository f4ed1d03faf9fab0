"""The loop: budgets, what is kept when the socket is full, and being called from other threads."""

import itertools
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest

from securecp.endpoint import Burst
from securecp.net import driver as module
from securecp.net.driver import READS, SOON, STREAM, WRITES, Driver
from securecp.net.udp import UdpSocket
from tests.net.fakes import HERE, THERE, FakeUdp, burst_to


class Script:
    """A machine that sends what it was given and notes what happens to it."""

    def __init__(self, *bursts: Burst) -> None:
        self.log: list[str] = []
        self.received: list[bytes] = []
        self.woken: list[float] = []
        self.bursts = iter(bursts)
        self.due: float | None = None
        self.turns = 0
        self.asked = 0
        self.on_turn: Callable[[], None] = lambda: None

    def receive(self, now: float, *bursts: Burst) -> None:
        for burst in bursts:
            self.log.append("receive")
            self.received.append(bytes(burst.data))

    def wake(self, now: float) -> None:
        self.log.append("wake")
        self.woken.append(now)
        self.due = None

    def transmit(self, now: float) -> Burst | None:
        burst = next(self.bursts, None)
        if burst is not None:
            self.log.append("transmit")
        return burst

    def deadline(self) -> float | None:
        return self.due

    def patience(self) -> float:
        self.asked += 1
        return 0.0005

    def advance(self, now: float) -> None:
        self.log.append("advance")
        self.turns += 1
        self.on_turn()


class Rig:
    """A driver on a fake socket."""

    def __init__(self, machine: Script, receive: Callable[[], Burst | None] = lambda: None) -> None:
        self.udp = FakeUdp(receive)
        self.machine = machine
        self.now = 0.0
        self.driver = Driver(cast(UdpSocket, self.udp), machine, lambda: self.now)

    def turn(self, count: int = 1) -> None:
        self.driver.run(lambda: self.machine.turns >= count)

    def close(self) -> None:
        self.driver.close()
        self.udp.close()


@pytest.fixture
def rigs() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(*arguments: Any) -> Rig:
        made.append(Rig(*arguments))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def pieces(*names: bytes) -> list[Burst]:
    return [burst_to(THERE, name, len(name)) for name in names]


def test_tr21_neither_reading_nor_writing_starves_the_other(rigs: Callable[..., Rig]) -> None:
    """Both have more to do than fits; in each turn each gets its share, and timers ring."""
    incoming = itertools.repeat(*pieces(b"in"))
    machine = Script()
    machine.bursts = itertools.repeat(*pieces(b"out"))
    rig = rigs(machine, lambda: next(incoming))
    machine.due = 0.0
    rig.turn(3)
    assert max(READS, WRITES) <= 64
    assert machine.log.count("receive") == 3 * READS
    assert machine.log.count("transmit") == 3 * WRITES
    assert machine.log[: READS + 3] == ["receive"] * READS + ["wake", "advance", "transmit"]


def trickle(rigs: Callable[..., Rig], count: int, apart: float) -> Script:
    """One datagram a turn, so many of them, so far apart; each turn ends with a sleep."""
    machine = Script()
    machine.due = 0.0
    arrivals: list[Burst | None] = []
    rig = rigs(machine, lambda: arrivals.pop() if arrivals else None)

    def next_turn() -> None:
        rig.now += apart
        machine.due = rig.now + 0.001
        arrivals.extend([None, *pieces(b"in")])

    machine.on_turn = next_turn
    next_turn()
    rig.turn(count)
    assert len(machine.received) == count
    return machine


def test_a_stream_of_single_datagrams_is_let_gather(rigs: Callable[..., Rig]) -> None:
    assert trickle(rigs, STREAM + 4, SOON / 2).asked > 0


def test_nothing_waits_for_company_that_does_not_come(rigs: Callable[..., Rig]) -> None:
    """Neither the first few datagrams nor those that come now and then."""
    assert trickle(rigs, STREAM, SOON / 2).asked == 0
    assert trickle(rigs, 3 * STREAM, 2 * SOON).asked == 0


def test_dg01_a_flood_of_empty_datagrams_uses_the_budget_up(rigs: Callable[..., Rig]) -> None:
    """Timers ring and our own datagrams leave all the same."""
    machine = Script(*pieces(*[b"ours"] * 5))
    empty = Burst(THERE, memoryview(b""), 1)
    rig = rigs(machine, lambda: empty)
    for turn in range(1, 6):
        machine.due = rig.now = float(turn)
        rig.turn(turn)
    assert machine.log.count("receive") == 5 * READS
    assert machine.woken == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert rig.udp.sent == [b"ours"] * 5


def test_dg01_on_a_real_socket_too() -> None:
    left, right = UdpSocket(HERE), UdpSocket(HERE, offload=False)
    machine = Script()
    driver = Driver(right, machine)
    try:
        for _ in range(100):
            left._socket.sendto(b"", right.endpoint[:2])
        left.send(burst_to(right.endpoint, b"at last", 7))
        driver.run(lambda: b"at last" in machine.received)
        assert machine.received[:-1] == [b""] * (len(machine.received) - 1)
        assert machine.turns <= 2 + 100 // READS
    finally:
        driver.close()
        left.close()
        right.close()


def test_tr22_a_burst_that_the_socket_did_not_take_is_sent_before_any_other(
    rigs: Callable[..., Rig],
) -> None:
    machine = Script(*pieces(b"first", b"second"))
    rig = rigs(machine)
    rig.udp.taken.extend([0, 0, None])
    rig.turn(1)
    assert machine.log.count("transmit") == 1
    rig.turn(2)
    assert machine.log.count("transmit") == 1
    assert rig.udp.sent == []
    rig.turn(3)
    assert rig.udp.sent == [b"first", b"second"]


def test_tr22_only_the_rest_of_a_burst_is_sent_again(rigs: Callable[..., Rig]) -> None:
    machine = Script(burst_to(THERE, b"aabbcc", 2), *pieces(b"dd"))
    rig = rigs(machine)
    rig.udp.taken.extend([2, 2, None, None])
    rig.turn(3)
    assert rig.udp.sent == [b"aa", b"bb", b"cc", b"dd"]
    assert machine.log.count("transmit") == 2


def test_a_full_socket_is_waited_for_and_not_polled(
    rigs: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading goes on meanwhile."""
    waits: list[tuple[int, float]] = []

    def wait(
        readers: list[int], writers: list[Any], _: list[Any], timeout: float
    ) -> tuple[list[int], list[int], list[int]]:
        waits.append((len(writers), timeout))
        return [], [], []

    monkeypatch.setattr(select, "select", wait)
    rig = rigs(Script(*pieces(b"stuck")))
    rig.udp.taken.extend([0] * 5)
    rig.turn(4)
    assert waits == [(1, module.LONGEST_SLEEP)] * 4


def test_a_full_socket_is_not_polled_for_what_only_sending_settles(
    rigs: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A datagram that is due stays due until it has left."""
    waits: list[float] = []

    def wait(*arguments: Any) -> tuple[list[int], list[int], list[int]]:
        waits.append(arguments[3])
        return [], [], []

    monkeypatch.setattr(select, "select", wait)
    machine = Script(*pieces(b"stuck"))
    machine.on_turn = lambda: setattr(machine, "due", -1.0)
    rig = rigs(machine)
    rig.udp.taken.extend([0] * 5)
    rig.turn(4)
    assert waits
    assert set(waits) == {module.FULL_SLEEP}


def test_it_sleeps_until_the_deadline_and_no_longer(
    rigs: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    machine = Script()
    rig = rigs(machine)

    def wait(*arguments: Any) -> tuple[list[int], list[int], list[int]]:
        waits.append(arguments[3])
        rig.now += arguments[3]
        return [], [], []

    monkeypatch.setattr(select, "select", wait)
    machine.due = 0.25
    rig.turn(2)
    assert waits == [0.25, module.LONGEST_SLEEP][: len(waits)]
    assert machine.woken == [0.25]


def test_a_deadline_in_the_past_is_no_negative_sleep(rigs: Callable[..., Rig]) -> None:
    machine = Script()
    rig = rigs(machine)
    rig.now = 5.0
    machine.on_turn = lambda: setattr(machine, "due", 4.0)
    rig.turn(3)
    assert len(machine.woken) == 2


def test_another_thread_can_ring(rigs: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the bell this would sleep for a minute."""
    monkeypatch.setattr(module, "LONGEST_SLEEP", 60.0)
    machine = Script()
    rig = rigs(machine)
    asleep, rung = threading.Event(), threading.Event()
    machine.on_turn = asleep.set

    def ring() -> None:
        asleep.wait(10)
        rung.set()
        rig.driver.notify()

    thread = threading.Thread(target=ring)
    thread.start()
    rig.driver.run(rung.is_set)
    thread.join()
    assert machine.turns <= 3


def test_ringing_ten_thousand_times_neither_blocks_nor_piles_up(rigs: Callable[..., Rig]) -> None:
    rig = rigs(Script())
    for _ in range(10_000):
        rig.driver.notify()
    rig.turn(2)
    assert rig.machine.turns == 2


def test_ringing_after_the_end_touches_nobody(rigs: Callable[..., Rig]) -> None:
    """A question that is answered too late must not write into a file that got our number."""
    driver = rigs(Script()).driver
    driver.close()
    with ExitStack() as stack:
        ends = [stack.enter_context(end) for _ in range(8) for end in socket.socketpair()]
        driver.notify()
        for end in ends:
            end.setblocking(False)
            with pytest.raises(BlockingIOError):
                end.recv(1)


def test_flush_sends_what_there_is_and_returns(rigs: Callable[..., Rig]) -> None:
    rig = rigs(Script(*pieces(*[b"bye"] * (2 * WRITES + 3))))
    rig.driver.flush(1.0)
    assert len(rig.udp.sent) == 2 * WRITES + 3
    assert "receive" not in rig.machine.log


def test_flush_gives_up_in_time(rigs: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    rig = rigs(Script(*pieces(b"bye")))

    def wait(*arguments: Any) -> tuple[list[int], list[int], list[int]]:
        rig.now += max(arguments[3], 0.01)
        return [], [], []

    monkeypatch.setattr(select, "select", wait)
    rig.udp.taken.extend([0] * 1_000)
    rig.driver.flush(0.2)
    assert rig.udp.sent == []
    assert rig.now <= 0.2 + module.LONGEST_SLEEP
