"""Transfers that go on in another session, over real sockets: under the same number, unasked."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from securecp.disk.journal import Journals
from securecp.disk.memory import Memories
from securecp.disk.store import Store
from securecp.errors import FullError, InterruptedTransferError
from securecp.events import Connected, Done, Failed, Offered, Paused, Progress, Resumed, Waiting
from securecp.net import delivery
from securecp.net.pace import Pace
from securecp.net.sources import Files
from securecp.session import Decision
from tests.net.waiting import Program, Receiver, Sender, identity, started, write

SIZE = 12 << 20
SLOW = Pace(limit=6 << 20)
KEY = bytes(32)


@contextmanager
def receiver(folder: Path, **options: Any) -> Iterator[Receiver]:
    journals = Journals(folder / "journals", KEY)
    one = Receiver(folder / "in", journals=journals, **options)
    with started(one):
        yield one
    journals.close()


def sender(to: Receiver, path: Path, **options: Any) -> Sender:
    memories = Memories(path.parent / "memories", KEY)
    return Sender(to, sources=Files([path], memories=memories), **{"pace": SLOW, **options})


def half_way(program: Program) -> Progress:
    return program.until(Progress, lambda event: event.moved > SIZE // 2)


def test_f43_what_was_cancelled_goes_on_under_its_number_and_unasked(tmp_path: Path) -> None:
    path = write(tmp_path / "file", SIZE)
    asked: list[Offered] = []

    def ask(offered: Offered) -> bool:
        asked.append(offered)
        return True

    with receiver(tmp_path, policy=lambda _: Decision.ASK, ask=ask) as bob:
        first = sender(bob, path)
        with started(first):
            half_way(bob)
            assert [row.state for row in bob.transfers()] == ["running"]
            first.running.stop()
            (outcome,) = first.ended()
            assert isinstance(outcome.error, InterruptedTransferError)
            told = bob.until(Failed)
            assert told.resumable and told.code == 5 and bob.transfers() == []
        second = sender(bob, path)
        with started(second):
            (outcome,) = second.ended()
        assert outcome.done is not None and outcome.done.saved >= SIZE // 4
        again = bob.until(Offered)
        assert again.approved and again.transfer == told.transfer == 1
        assert bob.until(Resumed).kept == outcome.done.saved
        assert bob.until(Done).transfer == 1
    assert len(asked) == 1
    assert (tmp_path / "in" / "file").read_bytes() == path.read_bytes()


def test_cl13_a_stop_takes_less_than_two_seconds_and_keeps_what_came(tmp_path: Path) -> None:
    path = write(tmp_path / "file", SIZE)
    with receiver(tmp_path) as bob:
        first = sender(bob, path)
        with started(first):
            half_way(bob)
            before = time.monotonic()
            bob.running.stop()
            with pytest.raises(InterruptedTransferError):
                bob.ended()
            assert time.monotonic() - before < 2.0
            assert isinstance(first.ended()[0].error, InterruptedTransferError)
    (kept,) = Journals(tmp_path / "journals", KEY).unfinished()
    assert kept.kept >= SIZE // 4, "the last checkpoint was made on leaving"


def test_a_newer_session_of_the_same_transfer_takes_over(tmp_path: Path) -> None:
    """Two programs of one sender do not take it from each other for ever (code 8)."""
    path = write(tmp_path / "file", SIZE)
    with receiver(tmp_path, once=True, wait=60.0) as bob:
        first, second = sender(bob, path, wait=60.0), sender(bob, path, wait=60.0)
        with started(first):
            half_way(bob)
            with started(second):
                (outcome,) = second.ended()
                assert outcome.done is not None and outcome.done.saved >= SIZE // 4
                (outcome,) = first.ended()
                assert isinstance(outcome.error, InterruptedTransferError)
                assert bob.ended() == 0
    assert {event.transfer for event in bob.events if isinstance(event, Progress | Done)} == {1}
    assert not [event for event in bob.events if isinstance(event, Waiting | Failed)]


class Dying(Sender):
    """A sender that goes without a word, as after kill -9."""

    def die(self) -> None:
        self.running.call(lambda: lose_all(self))


def test_a_session_that_is_lost_is_made_anew_by_the_sender(tmp_path: Path) -> None:
    path = write(tmp_path / "file", SIZE)
    with receiver(tmp_path, once=True) as bob:
        alice = Dying(
            bob,
            wait=60.0,
            pace=SLOW,
            sources=Files([path], memories=Memories(tmp_path / "memories", KEY)),
        )
        with started(alice):
            half_way(bob)
            alice.die()
            (outcome,) = alice.ended()
            assert outcome.done is not None and outcome.done.saved >= SIZE // 4
            assert bob.ended() == 0
    assert len([event for event in alice.events if isinstance(event, Waiting)]) == 1
    assert len([event for event in alice.events if isinstance(event, Connected)]) == 2


def test_f05_what_has_arrived_is_not_sent_again(tmp_path: Path) -> None:
    path = write(tmp_path / "file", SIZE)
    with receiver(tmp_path) as bob:
        for expected in (0, SIZE):
            alice = sender(bob, path, pace=Pace())
            with started(alice):
                (outcome,) = alice.ended()
            assert outcome.done is not None and outcome.done.saved == expected
        bob.until(Done)
        done = bob.until(Done)
        assert done.present == 1 or done.skipped == 1 or done.saved == SIZE
    assert os.listdir(tmp_path / "in") == ["file"]


def test_a_full_disk_is_told_once_however_often_it_is_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "file", SIZE)
    with receiver(tmp_path, reserve=1 << 60) as bob:
        for _ in range(3):
            alice = sender(bob, path)
            with started(alice):
                (outcome,) = alice.ended()
            assert isinstance(outcome.error, FullError) and outcome.error.needed > 0
        other = sender(bob, write(tmp_path / "other", 1000), name="carol")
        with started(other):
            other.ended()
        told = bob.until(Paused, lambda event: event.peer == bytes(identity("carol").public))
        assert told.needed
    mine = [event for event in bob.events if isinstance(event, Paused | Offered | Connected)]
    assert len(mine) == 6, "three of each of the two"


def test_a_full_disk_pauses_and_goes_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "file", SIZE)
    full = threading.Event()
    prepare, store = Store.prepare, Store.store

    def no_room() -> None:
        if full.is_set():
            raise FullError("the disk is full", needed=SIZE)

    def preparing(self: Store, manifest: Any) -> Any:
        no_room()
        return prepare(self, manifest)

    def storing(self: Store, offset: int, slices: list[memoryview]) -> None:
        no_room()
        store(self, offset, slices)

    monkeypatch.setattr(delivery, "FULL_PAUSE", 0.2)
    monkeypatch.setattr(Store, "prepare", preparing)
    monkeypatch.setattr(Store, "store", storing)
    with receiver(tmp_path, once=True, wait=60.0) as bob:
        alice = sender(bob, path, wait=60.0)
        with started(alice):
            half_way(bob)
            full.set()
            assert bob.until(Paused).needed == SIZE
            for _ in range(3):
                assert "full" in alice.until(Waiting).reason
            assert [row.state for row in alice.transfers()] == ["waiting"]
            full.clear()
            (outcome,) = alice.ended()
            assert outcome.done is not None and outcome.done.saved >= SIZE // 4
            assert bob.ended() == 0
    assert len([event for event in bob.events if isinstance(event, Paused)]) == 1
    assert (tmp_path / "in" / "file").read_bytes() == path.read_bytes()


def test_once_waits_for_who_was_cut_off_and_then_says_why(tmp_path: Path) -> None:
    path = write(tmp_path / "file", SIZE)
    with receiver(tmp_path, once=True, wait=0.3) as bob:
        alice = Dying(bob, pace=SLOW, sources=Files([path]))
        with started(alice):
            half_way(bob)
            alice.die()
            bob.running.call(lambda: lose_all(bob))  # as after the idle time
            assert bob.until(Waiting).left <= 0.3
            with pytest.raises(InterruptedTransferError):
                bob.ended()


def lose_all(program: Program) -> None:
    bench: Any = program.running._bench
    for session in bench._hub.sessions:
        session.connection.lose()
