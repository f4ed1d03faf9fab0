"""Who waits: many at once, who is turned out, what is told of whom, and how it is stopped."""

import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from securecp.errors import (
    DeclinedError,
    InterruptedTransferError,
    SecurecpError,
    TrustError,
)
from securecp.events import Connected, Done, Failed, Offered, Progress
from securecp.net import attend
from securecp.net.running import Running
from securecp.session import Decision
from tests.net.waiting import PATIENCE, Receiver, Sender, identity, started, write

CROWD = 20


def peer(name: str) -> bytes:
    return bytes(identity(name).public)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_f48_twenty_senders_at_once_each_get_their_own(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "in")
    before = open_files()
    senders = [
        Sender(receiver, name=f"sender {number}", paths=[write(tmp_path / f"of {number}", 300_000)])
        for number in range(CROWD)
    ]
    with started(receiver, *senders):
        digests = {one.ended()[0].done.digest for one in senders}
        done = [receiver.until(Done) for _ in range(CROWD)]
        assert receiver.transfers() == []
    assert {event.digest for event in done} == digests and len(digests) == CROWD
    assert sorted(event.transfer for event in done) == list(range(1, CROWD + 1))
    assert {event.peer for event in done} == {peer(f"sender {number}") for number in range(CROWD)}
    for event in receiver.events:
        if isinstance(event, Connected | Offered | Progress | Done):
            assert event.transfer and event.peer, "who reads them can tell them apart"
    assert len(os.listdir(tmp_path / "in")) == CROWD
    assert open_files() <= before


def test_f48_one_sender_gives_the_same_to_twenty(tmp_path: Path) -> None:
    receivers = [
        Receiver(tmp_path / f"in {number}", name=f"receiver {number}", once=True)
        for number in range(CROWD)
    ]
    path = write(tmp_path / "file", 300_000)
    sender = Sender(*receivers, paths=[path])
    with started(*receivers, sender):
        outcomes = sender.ended()
        assert all(receiver.ended() == 0 for receiver in receivers)
    assert [outcome.number for outcome in outcomes] == list(range(1, CROWD + 1))
    assert {outcome.done.digest for outcome in outcomes} == {outcomes[0].done.digest}
    for receiver in receivers:
        assert (receiver.into / "file").read_bytes() == path.read_bytes()


def test_one_recipient_who_declines_keeps_nobody_else_from_it(tmp_path: Path) -> None:
    willing = Receiver(tmp_path / "in", name="bob", once=True)
    other = Receiver(tmp_path / "out", name="carol", policy=lambda _: Decision.DECLINE)
    sender = Sender(willing, other, paths=[write(tmp_path / "file", 1000)])
    with started(willing, other, sender):
        first, second = sender.ended()
        assert first.done is not None and isinstance(second.error, DeclinedError)
    told = next(event for event in sender.events if isinstance(event, Failed))
    assert (told.code, told.peer, told.transfer, told.resumable) == (3, peer("carol"), 2, False)


def test_once_a_refused_offer_ends_nothing_that_is_under_way(tmp_path: Path) -> None:
    """Neither what runs nor what the person is asked about; when nothing is, it ends it all."""
    answer = threading.Event()

    def ask(_: Offered) -> bool:
        return answer.wait(PATIENCE)

    def policy(offered: Offered) -> Decision:
        return Decision.ASK if offered.peer == peer("alice") else Decision.DECLINE

    bob = Receiver(tmp_path / "in", once=True, policy=policy, ask=ask)
    alice = Sender(bob, paths=[write(tmp_path / "wanted", 1000)])
    carol = Sender(bob, name="carol", paths=[write(tmp_path / "unwanted", 1000)])
    with started(bob, alice):
        bob.until(Offered)
        with started(carol):
            assert isinstance(carol.ended()[0].error, DeclinedError)
            assert bob.until(Failed).peer == peer("carol")
        answer.set()
        assert alice.ended()[0].done is not None
        assert bob.ended() == 0
    assert os.listdir(tmp_path / "in") == ["wanted"]
    bob = Receiver(tmp_path / "in", once=True, policy=policy)
    carol = Sender(bob, name="carol", paths=[tmp_path / "unwanted"])
    with started(bob, carol), pytest.raises(DeclinedError):
        bob.ended()


def test_kc10_who_is_blocked_meanwhile_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within five seconds, that is: twice the time between two looks."""
    assert 2 * attend._POLL < 5
    monkeypatch.setattr(attend, "_POLL", 0.05)
    blocked: set[bytes] = set()
    asked = threading.Event()

    def ask(_: Offered) -> bool:
        asked.set()
        return not threading.Event().wait(PATIENCE)

    receiver = Receiver(
        tmp_path / "in",
        allowed=lambda key: key not in blocked,
        policy=lambda _: Decision.ASK,
        ask=ask,
    )
    sender = Sender(receiver, paths=[write(tmp_path / "file", 1000)], wait=60.0)
    with started(receiver, sender):
        assert asked.wait(PATIENCE)
        blocked.add(peer("alice"))
        (outcome,) = sender.ended()
        assert isinstance(outcome.error, TrustError)
        assert receiver.until(Failed).code == TrustError.exit_code


def test_f43_one_transfer_is_cancelled_and_the_others_go_on(tmp_path: Path) -> None:
    answers = {peer("alice"): threading.Event(), peer("carol"): threading.Event()}

    def ask(offered: Offered) -> bool:
        return answers[offered.peer].wait(PATIENCE)

    receiver = Receiver(tmp_path / "in", policy=lambda _: Decision.ASK, ask=ask)
    senders = [
        Sender(receiver, name=name, paths=[write(tmp_path / name, 1000)])
        for name in ("alice", "carol")
    ]
    with started(receiver, *senders):
        offers = {receiver.until(Offered).peer: None for _ in senders}
        assert len(offers) == 2
        rows = {row.peer: row for row in receiver.transfers()}
        assert {row.state for row in rows.values()} == {"asking"}
        assert rows[peer("alice")].names == (b"alice",) and rows[peer("alice")].size == 1000
        assert receiver.cancel(rows[peer("alice")].number)
        assert not receiver.cancel(99)
        (outcome,) = senders[0].ended()
        assert isinstance(outcome.error, InterruptedTransferError)
        told = receiver.until(Failed)
        assert (told.peer, told.code) == (peer("alice"), 5)
        answers[peer("carol")].set()
        assert senders[1].ended()[0].done is not None
        assert receiver.until(Done).peer == peer("carol")
        answers[peer("alice")].set()


def test_a_transfer_is_found_by_the_id_of_its_session(tmp_path: Path) -> None:
    forever = threading.Event()
    receiver = Receiver(
        tmp_path / "in", policy=lambda _: Decision.ASK, ask=lambda _: forever.wait(PATIENCE)
    )
    sender = Sender(receiver, paths=[write(tmp_path / "file", 1000)])
    with started(receiver, sender):
        offered = receiver.until(Offered)
        assert len(offered.transfer_id) == 16 and len(offered.manifest_digest) == 32
        running = receiver.running
        running.call(lambda: running.cancel_session(offered.peer, bytes(16)))
        running.call(lambda: running.cancel_session(offered.peer, offered.transfer_id))
        told = receiver.until(Failed)
        assert told.transfer_id == offered.transfer_id and told.resumable
        forever.set()


def test_stopping_ends_it_as_an_interrupt_would(tmp_path: Path) -> None:
    forever = threading.Event()
    receiver = Receiver(
        tmp_path / "in", policy=lambda _: Decision.ASK, ask=lambda _: forever.wait(PATIENCE)
    )
    sender = Sender(receiver, paths=[write(tmp_path / "file", 1000)])
    with started(receiver, sender):
        receiver.until(Offered)
        before = time.monotonic()
        receiver.running.stop()
        with pytest.raises(InterruptedTransferError):
            receiver.ended()
        (outcome,) = sender.ended()
        assert isinstance(outcome.error, InterruptedTransferError)
        assert time.monotonic() - before < 2.5, "CL-13"
        forever.set()


class Socket:
    """Somebody who takes part in the loop, with a socket of their own."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.running: Running | None = None
        self.turns = 0
        self.heard: list[bytes] = []
        self.ended = False

    def begin(self, running: Running) -> None:
        self.running = running
        running.watch(self.ours.fileno(), self._read)

    def turn(self, _: float) -> None:
        self.turns += 1

    def deadline(self) -> float | None:
        return None

    def end(self) -> None:
        assert self.running is not None
        self.running.unwatch(self.ours.fileno())
        self.ended = True

    def _read(self) -> None:
        assert self.running is not None
        self.heard.append(self.ours.recv(100))
        self.running.stop()


def test_a_control_socket_has_its_turn_in_the_loop(tmp_path: Path) -> None:
    control = Socket()
    receiver = Receiver(tmp_path / "in", control=control)
    with started(receiver):
        control.theirs.send(b"stop")
        with pytest.raises(InterruptedTransferError):
            receiver.ended()
    assert control.heard == [b"stop"] and control.ended and control.turns
    control.ours.close()
    control.theirs.close()


def test_mb07_a_bug_in_one_session_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    def policy(offered: Offered) -> Any:
        if offered.peer == peer("alice"):
            raise ZeroDivisionError
        return Decision.ACCEPT

    receiver = Receiver(tmp_path / "in", policy=policy)
    senders = [
        Sender(receiver, name=name, paths=[write(tmp_path / name, 1000)])
        for name in ("alice", "carol")
    ]
    with started(receiver, *senders):
        (outcome,) = senders[0].ended()
        assert type(outcome.error) is SecurecpError
        assert senders[1].ended()[0].done is not None
        failed = receiver.until(Failed, lambda event: event.peer == peer("alice"))
        assert failed.message.startswith("unexpected ZeroDivisionError at test_attend.py:")


def test_a_recipient_cannot_be_named_twice(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "in")
    sender = Sender(receiver, receiver, paths=[tmp_path])
    with started(sender), pytest.raises(ValueError, match="twice"):
        sender.ended()
    receiver.udp.close()
