"""ReplayWindow against a plain set of counters."""

from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.transport.replay import ReplayWindow

SIZE = 32
steps = st.lists(st.tuples(st.integers(-40, 80), st.integers(1, SIZE), st.booleans()), max_size=40)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(steps)
def test_tr10_behaves_like_a_set_of_counters(done: list[tuple[int, int, bool]]) -> None:
    window, marked, following = ReplayWindow(SIZE), set[int](), 0

    def seen(counter: int) -> bool:
        return counter < following - SIZE or counter in marked

    for step, count, mark in done:
        first = max(0, following + step)
        run = range(first, first + count)
        assert window.fresh(first, count) == (not any(seen(counter) for counter in run))
        if mark:
            window.mark(first, count)
            marked |= set(run)
            following = max(following, first + count)
        assert window.next == following
        for counter in range(max(0, following - 2 * SIZE), following + 5):
            assert window.seen(counter) == seen(counter)


def test_tr10_a_run_is_refused_the_second_time() -> None:
    window = ReplayWindow()
    assert window.fresh(7, 64)
    window.mark(7, 64)
    assert not window.fresh(7, 64)
    assert not window.fresh(70, 1)
    assert window.fresh(71, 64)
    assert window.fresh(0, 7)


def test_tr10_what_is_older_than_the_window_counts_as_seen() -> None:
    window = ReplayWindow()
    window.mark(65_536 + 10, 1)
    assert not window.fresh(10, 1)
    assert window.seen(10)
    assert window.fresh(11, 1)


def test_a_far_jump_forgets_the_last_lap() -> None:
    window = ReplayWindow(SIZE)
    window.mark(0, SIZE)
    window.mark(1_000_000, 1)
    assert window.fresh(1_000_000 - SIZE + 1, SIZE - 1)
    assert not window.fresh(1_000_000 - SIZE, 1)


def test_counters_near_the_end_of_their_field_work() -> None:
    window = ReplayWindow()
    window.mark(2**64 - 2, 2)
    assert window.seen(2**64 - 1)
    assert not window.seen(2**64 - 3)
