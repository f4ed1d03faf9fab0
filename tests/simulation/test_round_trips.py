"""The round trips of a small transfer, counted in virtual time: exact, anywhere (SPEC §8.9)."""

import pytest

from securecp.session import Decision
from tests.sim import station
from tests.sim.options import LinkOptions, Options
from tests.sim.whole import Whole

ONE_WAY = 0.025


@pytest.fixture(autouse=True)
def _nothing_but_the_network_takes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station, "SLOWEST_JOB", 0.0)
    monkeypatch.setattr(station.ReceiveStation, "_policy", lambda *_: Decision.ACCEPT)


def trips(seed: int, size: int) -> tuple[dict[str, float], float]:
    """One-way trips until something was noted for the first time, and until all was over."""
    lines: list[str] = []
    link = LinkOptions(delay=ONE_WAY)
    whole = Whole(Options(seed, size, forth=link, back=link), log=lines.append)
    end = whole.run()
    noted: dict[str, float] = {}
    for line in lines:
        time, what = line.split(maxsplit=1)
        noted.setdefault(what, round(float(time) / ONE_WAY, 2))
    return noted, round(end / ONE_WAY, 2)


def paced(trips: int) -> object:
    """So many, and the moment for which pacing holds a datagram back."""
    return pytest.approx(trips, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_a_kilobyte_is_delivered_in_three_round_trips(seed: int) -> None:
    noted, end = trips(seed, 1_000)
    assert noted["receiver connected"] == 3, "HELLO, REPLY, and the first DATA with the offer"
    assert noted["sender connected"] == 4, "the yes"
    assert noted["sender done"] == paced(6), "content and digests, receipt"
    assert noted["receiver done"] == end == paced(7), "that the receipt has come"


def test_nothing_is_delivered_in_three_round_trips_as_well() -> None:
    noted, _ = trips(1, 0)
    assert noted["sender done"] == paced(6)
