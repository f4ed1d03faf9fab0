"""`--limit`: rates as people write them, and what is said of those that are none."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.cli.units import SLOWEST, parse_rate
from tests.cli.program import call, is_one_line_and_a_hint

STEPS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500k", 500_000), ("2M", 2_000_000), ("1.5MB/s", 1_500_000), ("20Mbit", 2_500_000),
        ("1k", 1_000), ("4096", 4_096), ("1 GB/s", 10**9), ("1Gbit/s", 125_000_000),
        ("8kbit", 1_000), ("2MiB/s", 2 << 20), ("512KiB", 512 << 10), ("100Mbps", 12_500_000),
        ("100MBps", 100_000_000), ("3m", 3_000_000), (" 2M ", 2_000_000), ("10 Mibit", 1_310_720),
        ("2000bytes", None), ("16 kbits/s", 2_000),
    ],
)  # fmt: skip
def test_rates_are_read_as_people_write_them(text: str, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="is no rate"):
            parse_rate(text)
    else:
        assert parse_rate(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "x", "fast", "-1M", "+1M", "1e6", "1,5M", "1.5.2M", "M", "5i", "5ib", "20Mb", "20Mb/s",
     "1M/h", "1M/min", "nan", "inf", "0x10", "١M", "2M\x1b[31m", "1Mbit/sps", "9" * 40, "1 M M"],
)  # fmt: skip
def test_what_may_be_misunderstood_is_no_rate(text: str) -> None:
    """`20Mb` is bits to some and bytes to others: nobody shall get an eighth of what they meant."""
    with pytest.raises(ValueError, match="is no rate"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["0", "0M", "999", "0.9k", "7kbit"])
def test_less_than_a_datagram_a_second_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too slow"):
        parse_rate(text)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    number=st.integers(1, 999_999),
    step=st.sampled_from(list(STEPS)),
    binary=st.booleans(),
    bits=st.sampled_from(["", "B", "bit"]),
    each=st.sampled_from(["", "/s"]),
    space=st.sampled_from(["", " "]),
)
def test_the_parts_of_a_rate_mean_the_same_in_every_combination(
    number: int, step: str, binary: bool, bits: str, each: str, space: str
) -> None:
    prefix = step + ("i" if binary and step else "")
    value = number * (1024 if binary else 1000) ** STEPS[step]
    expected = value // 8 if bits == "bit" else value
    text = f"{number}{space}{prefix}{bits}{each}"
    if expected < SLOWEST:
        with pytest.raises(ValueError, match="too slow"):
            parse_rate(text)
    else:
        assert parse_rate(text) == pytest.approx(expected, abs=1, rel=1e-12)


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_a_rate_or_one_error(text: str) -> None:
    try:
        rate = parse_rate(text)
    except ValueError:
        return
    assert rate >= SLOWEST


@pytest.mark.parametrize("command", [["send", "x", "--to", "bob"], ["receive"]])
@pytest.mark.parametrize("text", ["20Mb", "fast", "0"])
def test_a_bad_limit_is_one_line_and_a_hint(tmp_path: Path, command: list[str], text: str) -> None:
    done = call(*command, "--limit", text, home=tmp_path)
    assert done.returncode == 2
    assert is_one_line_and_a_hint(done.stderr)
    assert "--limit" in done.stderr
    assert "20Mbit" in done.stderr


@pytest.mark.parametrize("command", ["send", "receive"])
def test_help_shows_an_example_of_a_limit(command: str) -> None:
    shown = call(command, "--help").stdout
    assert "--limit RATE" in shown
    assert "20Mbit" in shown
