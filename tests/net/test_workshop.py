"""Slow jobs in other threads, whose results come back in the thread of the loop."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue

import pytest

from securecp.net import ciphers, workshop
from securecp.net.ciphers import aes_is_fast
from securecp.net.workshop import Workshop

PATIENCE = 10.0


class Bench:
    """A workshop whose bell can be waited for."""

    def __init__(self) -> None:
        self._rung: SimpleQueue[None] = SimpleQueue()
        self.workshop = Workshop(lambda: self._rung.put(None))
        self.results: list[object] = []

    def collect(self, count: int) -> list[object]:
        """Wait for `count` results."""
        for _ in range(count):
            self._rung.get(timeout=PATIENCE)
        self.workshop.collect()
        return self.results


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.workshop.close()


def test_jobs_are_done_in_turn_and_elsewhere(bench: Bench) -> None:
    threads: list[threading.Thread] = []
    for number in range(20):

        def job(number: int = number) -> int:
            threads.append(threading.current_thread())
            return number

        bench.workshop.start(job, bench.results.append)
    assert bench.collect(20) == list(range(20))
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


def test_results_come_only_when_they_are_collected(bench: Bench) -> None:
    seen: list[threading.Thread] = []
    bench.workshop.start(lambda: 1, lambda _: seen.append(threading.current_thread()))
    bench._rung.get(timeout=PATIENCE)
    assert seen == []
    bench.workshop.collect()
    assert seen == [threading.current_thread()]


def test_an_exception_is_a_result(bench: Bench) -> None:
    def fails() -> int:
        raise OSError("no")

    bench.workshop.start(fails, bench.results.append)
    bench.workshop.start(lambda: 2, bench.results.append)
    first, second = bench.collect(2)
    assert isinstance(first, OSError)
    assert second == 2


def test_a_question_that_is_never_answered_holds_nothing_up(bench: Bench) -> None:
    never = threading.Event()
    bench.workshop.start_aside(never.wait, bench.results.append)
    bench.workshop.start(lambda: "work", bench.results.append)
    assert bench.collect(1) == ["work"]
    never.set()
    assert bench.collect(1) == ["work", True]


def test_closing_waits_for_the_job_at_hand_and_begins_no_other() -> None:
    bench = Bench()
    begun, go = threading.Event(), threading.Event()
    done: list[int] = []

    def slow() -> None:
        begun.set()
        go.wait(PATIENCE)
        done.append(0)

    bench.workshop.start(slow, bench.results.append)
    for number in range(1, 100):
        bench.workshop.start(partial(done.append, number), bench.results.append)
    begun.wait(PATIENCE)
    closing = threading.Thread(target=bench.workshop.close)
    closing.start()
    while bench.workshop._shut_at is None:
        threading.Event().wait(0.001)
    go.set()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    assert done == [0]


def test_cl13_the_last_jobs_are_done_all_the_same() -> None:
    bench = Bench()
    begun, go = threading.Event(), threading.Event()
    done: list[str] = []

    def slow() -> None:
        begun.set()
        go.wait(PATIENCE)

    bench.workshop.start(slow, bench.results.append)
    begun.wait(PATIENCE)
    bench.workshop.shut()
    bench.workshop.start(partial(done.append, "digest"), bench.results.append)
    bench.workshop.start_last(partial(done.append, "checkpoint"))
    go.set()
    bench.workshop.close()
    assert done == ["checkpoint"]


def test_cl13_leaving_does_not_wait_for_a_job_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workshop, "LAST_PATIENCE", 0.05)
    bench = Bench()
    begun, never = threading.Event(), threading.Event()

    def endless() -> None:
        begun.set()
        never.wait(PATIENCE)

    bench.workshop.start(endless, bench.results.append)
    begun.wait(PATIENCE)
    before = time.monotonic()
    bench.workshop.close()
    assert time.monotonic() - before < PATIENCE / 2
    never.set()


@pytest.mark.parametrize("fast", [True, False])
def test_the_faster_cipher_is_found_by_the_clock(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AES is timed first."""
    ticks = iter(
        tick
        for cost in (1.0 if fast else 3.0, 2.0)
        for _ in range(ciphers._ROUNDS)
        for tick in (0.0, cost)
    )
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert aes_is_fast() is fast


def test_the_measurement_is_short() -> None:
    assert aes_is_fast() in {True, False}
    assert ciphers._LENGTH * ciphers._ROUNDS < 50_000
