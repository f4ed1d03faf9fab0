"""What the table shows of rivals, and how the laboratory carries their signals."""

import sys
from collections.abc import Callable

import pytest

from tests.lab.matrix import CELLS
from tests.lab.needs import needs_lab
from tests.lab.pairs import Outcome
from tests.lab.rivals.courier import Courier, Deliver, Free, Tcp
from tests.lab.rivals.meeting import Meeting, unable
from tests.lab.rivals.table import ENOUGH, hopeless, shown
from tests.lab.topology import Lab


def test_successes_and_times_are_shown() -> None:
    assert shown([Outcome(False, "none"), Outcome(False, "none")]) == "0/2"
    good = [Outcome(True, "direct", each) for each in (0.1, 0.2, 0.4)]
    assert shown([*good, Outcome(False, "none")]) == "3/4, 200 / 400 ms"


def test_who_has_only_failed_is_not_tried_forever() -> None:
    failed = Outcome(False, "none")
    assert not hopeless([failed] * (ENOUGH - 1))
    assert hopeless([failed] * ENOUGH)
    assert not hopeless([Outcome(True, "direct", 0.1), *[failed] * ENOUGH])


@pytest.mark.parametrize("name", ["easy/no-udp", "only-443/easy", "same-lan-no-server"])
def test_rivals_are_not_tried_where_they_lack_a_relay_or_a_server(name: str) -> None:
    assert unable(CELLS[name])


GREETING = """
import json, sys
say = lambda **message: print(json.dumps(message), flush=True)
say(event="ready")
sys.stdin.readline()
say(event="signal", signal="hello")
assert json.loads(sys.stdin.readline()) == "hello"
say(event="connected")
sys.stdin.readline()
"""
SILENT = """
import json
print(json.dumps({"event": "ready"}), flush=True)
raise SystemExit("no such road")
"""


@needs_lab()
def test_signals_are_carried_as_by_a_server_half_way() -> None:
    outcome = _met(GREETING, lambda deliver, _: Free(deliver, 0.2))
    assert outcome.good and outcome.seconds is not None
    assert 0.2 <= outcome.seconds < 2.0


@needs_lab()
def test_signals_are_carried_over_tcp() -> None:
    outcome = _met(GREETING, Tcp, delay=0.02)
    assert outcome.good and outcome.seconds is not None
    assert 0.08 <= outcome.seconds < 2.0


@needs_lab()
def test_an_end_that_dies_is_a_failure_with_its_last_words() -> None:
    outcome = _met(SILENT, Tcp)
    assert not outcome.good
    assert "no such road" in outcome.story


def _met(
    script: str, courier: Callable[[Deliver, Lab], Courier], delay: float | None = None
) -> Outcome:
    with Lab(delay) as lab:
        lab.public("a")
        lab.public("b")
        meeting = Meeting(
            lab, [sys.executable, "-c", script], lambda deliver: courier(deliver, lab)
        )
        try:
            return meeting.run("a", stun=False)
        finally:
            meeting.close()
