"""The profile: its stages are still there, and stopwatches count each instant once."""

import pytest

from tests.bench import profile, stages


@pytest.mark.parametrize("name", [name for names in stages.STAGES.values() for name in names])
def test_every_stage_is_still_there(name: str) -> None:
    owner, attribute = stages.place(name)
    assert callable(getattr(owner, attribute))
    assert callable(getattr(*stages.place(stages.JOB)))


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_what_a_stage_spends_in_another_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(stages, "_clock", clock)
    watch = stages.Stopwatch()

    def inner() -> None:
        clock.now += 10

    wrapped = watch.wrap("inner", inner)

    def outer() -> None:
        clock.now += 1
        wrapped()
        clock.now += 2
        wrapped()

    watch.wrap("outer", outer)()
    assert watch.counts["inner"].own == 20
    assert watch.counts["inner"].calls == 2
    assert watch.counts["outer"].own == 3


def test_a_stage_that_fails_counts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(stages, "_clock", clock)
    watch = stages.Stopwatch()

    def fails() -> None:
        clock.now += 5
        raise ValueError

    with pytest.raises(ValueError):
        watch.wrap("stage", fails)()
    assert watch.counts["stage"].own == 5


def test_a_stopwatch_s_own_cost_is_known() -> None:
    watch = stages.Stopwatch()
    wrapped = watch.wrap("stage", lambda: None)
    for _ in range(1_000):
        wrapped()
    assert 0 < watch.overhead < 1e9


def test_a_real_transfer_gives_a_table_for_each_side(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["profile", "--size", "2M", "--mtu", "1500"])
    assert profile.main() == 0
    shown = capsys.readouterr().out
    assert "2,000,000 bytes" in shown
    sender, _, receiver = shown.partition("\nreceiver: ")
    assert "\nsender: " in sender
    for table in (sender, receiver):
        for stage in ("seal", "open", "system calls: send", stages.LOOP, profile.REST):
            assert f"\n{stage} " in table
    assert "disk: read" in sender
    assert "disk: write" in receiver
