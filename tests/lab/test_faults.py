"""Real programs through what goes wrong with networks, servers and machines, and at the start."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from securecp.server import keyfile
from tests.lab.faults import FAULTS, HARD, Fault
from tests.lab.matrix import home
from tests.lab.needs import needs_lab
from tests.lab.pairs import acquaint, sending_to
from tests.lab.programs import Program, settings_of
from tests.lab.ride import Scene, ride
from tests.lab.routers import Router
from tests.lab.topology import Lab

pytestmark = needs_lab()

SHORT = [fault for fault in FAULTS.values() if fault.short]
CONTENT = 4.0
"""Seconds that content takes in one of these tests, if nothing happens."""
NOT_REACHED = 4
EASY = Router()


def _id(fault: Fault) -> str:
    return f"{fault.ids.split(',')[0].replace('-', '').lower()}-{fault.name}"


@pytest.mark.parametrize("fault", SHORT, ids=_id)
def test_a_transfer_goes_on(fault: Fault) -> None:
    outcome = ride(replace(fault.ride, seconds=min(CONTENT, fault.ride.seconds)))
    assert outcome.good, outcome.story


@contextmanager
def scene(left: Router | None, right: Router | None) -> Iterator[Scene]:
    """Two homes that know each other, and a server."""
    with Lab(delay=0.020, rate=10e6) as lab, ExitStack() as stack:
        made = Scene(lab, "a", "b")
        stack.callback(made.close)
        home(lab, "a", left)
        home(lab, "b", right)
        acquaint(lab)
        made.serve()
        made.configure(made.url())
        yield made


def content(lab: Lab, node: str, text: str) -> Path:
    file = lab.home(node) / "content"
    file.write_text(text)
    return file


def receive(made: Scene, node: str, *more: str) -> Program:
    into = made.lab.home(node) / "into"
    return Program(made.lab, node, "receive", "--yes", "--into", str(into), *more)


def send(made: Scene, node: str, to: str, *more: str) -> Program:
    file = content(made.lab, node, f"from {node}")
    return Program(made.lab, node, "send", str(file), "--to", sending_to(to), *more)


def test_rl11_without_the_relay_two_hard_routers_are_not_passed_and_it_says_why() -> None:
    with scene(HARD, HARD) as made, receive(made, "b", "--once", "--no-relay") as receiver:
        receiver.until("reaching")
        with send(made, "a", "b", "--no-relay", "--timeout", "5") as sender:
            assert sender.ended() == NOT_REACHED
            assert sender.find("connected") is None
            assert sender.until("error").event["code"] == NOT_REACHED


def test_rv14_a_server_with_another_key_is_told_in_one_line_and_not_used() -> None:
    with scene(EASY, EASY) as made:
        made.servers["srv"].stop()
        (settings_of(made.lab, "srv") / keyfile.NAME).unlink()
        made.serve()  # and our settings have the key that it had
        with send(made, "a", "b", "--timeout", "4") as sender:
            assert sender.ended() == NOT_REACHED
            told = [one.event for one in sender.seen if one.name == "server"]
            assert [(one["up"], one["reason"]) for one in told] == [
                (False, "no server with this key is there (HTTP 404)")
            ]


def test_f20_both_call_at_once_and_both_get_what_is_theirs() -> None:
    with scene(EASY, EASY) as made, ExitStack() as stack:
        receivers = {node: stack.enter_context(receive(made, node, "--once")) for node in "ab"}
        for each in receivers.values():
            each.until("reaching")
        senders = [
            stack.enter_context(send(made, node, to)) for node, to in (("a", "b"), ("b", "a"))
        ]
        assert [each.ended() for each in (*senders, *receivers.values())] == [0] * 4
        for node, other in (("a", "b"), ("b", "a")):
            assert (made.lab.home(node) / "into/content").read_text() == f"from {other}"
