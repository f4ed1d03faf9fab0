"""RangeSet against a plain set of integers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.transport.ranges import RangeCapError, RangeSet

Operation = tuple[str, int, int]
operations = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "remove", "pop"]),
        st.integers(0, 60),
        st.integers(0, 20),
    ),
    max_size=30,
)


def runs(values: set[int]) -> list[tuple[int, int]]:
    """The maximal runs of a set of integers."""
    found: list[tuple[int, int]] = []
    for value in sorted(values):
        if found and found[-1][1] == value:
            found[-1] = (found[-1][0], value + 1)
        else:
            found.append((value, value + 1))
    return found


def apply(ranges: RangeSet, model: set[int], operation: Operation) -> None:
    name, start, length = operation
    span = set(range(start, start + length))
    if name == "add":
        assert ranges.add_new(start, start + length) == runs(span - model)
        model |= span
    elif name == "remove":
        ranges.remove(start, start + length)
        model -= span
    elif model:
        limit = length or None
        first, end = runs(model)[0]
        expected = (first, min(end, first + limit) if limit else end)
        assert ranges.pop_first(limit) == expected
        model -= set(range(*expected))


@settings(derandomize=True, max_examples=400, deadline=None)
@given(operations, st.integers(0, 60), st.integers(0, 20))
def test_behaves_like_a_set_of_integers(done: list[Operation], start: int, length: int) -> None:
    ranges, model = RangeSet(), set[int]()
    for operation in done:
        apply(ranges, model, operation)
        assert list(ranges) == runs(model)
        assert ranges.total == len(model)
        assert len(ranges) == len(runs(model))
    span = set(range(start, start + length))
    assert ranges.covers(start, start + length) == (span <= model)
    assert ranges.missing(start, start + length) == runs(span - model)
    assert [value for value in range(90) if value in ranges] == sorted(model)
    assert all(ranges.covers(at, at) and not ranges.missing(at, at) for at in range(90))
    assert ranges.descending(3) == runs(model)[::-1][:3]
    assert ranges == RangeSet(runs(model))
    if model:
        assert (ranges.first(), ranges.last()) == (runs(model)[0], runs(model)[-1])


@settings(derandomize=True, max_examples=300, deadline=None)
@given(operations, st.integers(1, 4))
def test_tr05_an_add_beyond_the_cap_changes_nothing(done: list[Operation], cap: int) -> None:
    ranges, model = RangeSet(cap=cap), set[int]()
    for name, start, length in done:
        if name != "add":
            continue
        wanted = model | set(range(start, start + length))
        if len(runs(wanted)) > cap:
            with pytest.raises(RangeCapError):
                ranges.add(start, start + length)
        else:
            ranges.add(start, start + length)
            model = wanted
        assert list(ranges) == runs(model)
        assert ranges.total == len(model)


def test_an_add_that_joins_ranges_is_allowed_at_the_cap() -> None:
    ranges = RangeSet([(0, 1), (2, 3)], cap=2)
    ranges.add(1, 2)
    assert list(ranges) == [(0, 3)]


def test_taking_from_an_empty_set_is_an_index_error() -> None:
    for take in (RangeSet().first, RangeSet().last, RangeSet().pop_first):
        with pytest.raises(IndexError):
            take()


def test_clear_leaves_nothing() -> None:
    ranges = RangeSet([(0, 4), (6, 7)])
    ranges.clear()
    assert (list(ranges), ranges.total, bool(ranges)) == ([], 0, False)
