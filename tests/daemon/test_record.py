"""A line of the history is a record, an addition, or nothing: whatever the bytes are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.daemon.record import Hooked, Record, encode, names_of, parse
from tests.daemon.samples import ESCAPES, record

FULL = record(
    result="partial", code=7, reason="why", transfer="ab", content="cd", files=3, seconds=1.25,
    path="lan", names=("a", "ü\u202e"), more=2, folder="/in", hook=-9,
)  # fmt: skip


def test_what_was_written_comes_back() -> None:
    for item in (record(), FULL, Hooked("ab", -15)):
        assert parse(encode(item)) == item


def test_cl06_a_record_is_one_line_of_ascii() -> None:
    names, more = names_of([ESCAPES] * 12)
    line = encode(record(names=names, more=more, reason="a\nb\x1b[2J", folder="/in/\udcff"))
    assert line.isascii() and line.count(b"\n") == 1 and line.endswith(b"\n")
    assert not any(byte < 0x20 for byte in line[:-1])
    found = parse(line)
    assert isinstance(found, Record) and found.more == 2 and len(found.names) == 10


def test_the_largest_record_is_read_back() -> None:
    names, more = names_of(["\U0001f600".encode() * 60] * 20)
    item = record(names=names, more=more, reason="\U0001f600" * 500, folder="/" + "é" * 4_000)
    assert parse(encode(item)) == item


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2}, {"v": True}, {"v": None}, {"id": 1}, {"time": "yesterday"}, {"time": 5},
        {"time": "2026-01-01T00:00:00"}, {"result": "odd"}, {"direction": []}, {"files": -1},
        {"files": 1.5}, {"files": True}, {"bytes": 1 << 63}, {"seconds": -1}, {"seconds": "1"},
        {"names": "a"}, {"names": [1]}, {"names": ["a"] * 11}, {"folder": "x" * 5_000},
    ],
)  # fmt: skip
def test_a_line_that_is_not_wholly_understood_is_passed_over(change: dict[str, Any]) -> None:
    told = json.loads(encode(FULL)) | change
    assert parse(json.dumps(told).encode()) is None


def test_a_field_of_a_later_version_is_no_matter_and_a_missing_one_is() -> None:
    told = json.loads(encode(FULL))
    assert parse(json.dumps(told | {"later": [1]}).encode()) == FULL
    for field in ("id", "time", "direction", "key", "name", "result"):
        rest = {name: value for name, value in told.items() if name != field}
        assert parse(json.dumps(rest).encode()) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_nothing(data: bytes) -> None:
    parse(data)
    parse(encode(FULL)[:-3] + data)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.sampled_from([*Record._fields, "v", "of", "hook"]), VALUES)
def test_any_value_in_any_field_is_a_record_or_nothing(field: str, value: Any) -> None:
    told = json.loads(encode(FULL)) | {field: value}
    found = parse(json.dumps(told).encode())
    if found is not None:
        assert parse(encode(found)) == found


@pytest.mark.parametrize("line", [b"[" * 100_000, b"9" * 5_000, b'{"v":1,"of":[]}', b"\xff", b"{}"])
def test_hostile_lines_are_nothing(line: bytes) -> None:
    assert parse(line) is None
