"""Timers: the earliest wins, and an expired one is gone."""

from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.transport.timers import Timer, Timers


def test_nothing_set_means_no_wake_up() -> None:
    assert Timers().next() is None
    assert Timers().expired(1e9) == []


def test_expiry_takes_out_what_is_due_in_order() -> None:
    timers = Timers()
    timers.set(Timer.ACK, 2.0)
    timers.set(Timer.LOSS, 3.0)
    timers.set(Timer.IDLE, 9.0)
    assert timers.expired(1.9) == []
    assert timers.expired(3.0) == [Timer.LOSS, Timer.ACK]
    assert timers.expired(3.0) == []
    assert timers.next() == 9.0


def test_setting_earlier_never_postpones() -> None:
    timers = Timers()
    timers.set_earlier(Timer.ACK, 5.0)
    timers.set_earlier(Timer.ACK, 7.0)
    assert timers.at(Timer.ACK) == 5.0
    timers.set(Timer.ACK, 7.0)
    assert timers.at(Timer.ACK) == 7.0
    timers.clear_all()
    assert timers.next() is None


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(Timer), st.one_of(st.none(), st.floats(0, 100))), max_size=30
    ),
    st.floats(0, 100),
)
def test_behaves_like_a_dictionary(steps: list[tuple[Timer, float | None]], now: float) -> None:
    timers, model = Timers(), dict[Timer, float]()
    for timer, at in steps:
        if at is None:
            timers.clear(timer)
            model.pop(timer, None)
        else:
            timers.set(timer, at)
            model[timer] = at
        assert timers.next() == min(model.values(), default=None)
        assert timers.is_set(timer) == (timer in model)
    due = sorted(timer for timer, at in model.items() if at <= now)
    assert timers.expired(now) == due
    assert timers.next() == min((at for at in model.values() if at > now), default=None)
