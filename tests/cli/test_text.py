"""Foreign text becomes harmless before anyone sees it."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securecp.cli.text import listed, quoted, safe_text

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ZERO_WIDTH = "\u00ad\u034f\u115f\u180e\u200b\u200c\u200d\u2060\u3164\ufe0f\ufeff\uffa0\U000e0061"


HIDDEN = set(BIDI + ZERO_WIDTH)


def is_harmless(text: str) -> bool:
    """Python's own judgement (no control, format, surrogate, private or unassigned character)."""
    return text.isprintable() and HIDDEN.isdisjoint(text)


def test_cl01_no_code_point_leaves_raw_that_a_terminal_might_obey() -> None:
    for start in range(0, sys.maxunicode + 1, 64):
        text = "a" + "".join(map(chr, range(start, min(start + 64, sys.maxunicode + 1))))
        shown = safe_text(text, limit=10_000)
        assert is_harmless(shown), hex(start)


def test_cl01_every_single_byte_is_harmless() -> None:
    for byte in range(256):
        shown = safe_text(b"a" + bytes([byte]) + b"b")
        assert is_harmless(shown)
        assert shown.startswith("a")
        assert shown.endswith("b")
        if byte < 0x20 or byte >= 0x7F:
            assert shown == f"a\\x{byte:02x}b"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        (b"\xc2\x9b31m", r"\u009b31m"),
        ("caf\u00e9".encode(), "café"),
        ("日本.txt", "日本.txt"),
        ("x\u202egnp.exe", r"x\u202egnp.exe"),
        ("pay\u200bpal", r"pay\u200bpal"),
        ("\udcff\ud800", r"\xff\ud800"),
        ("a\u00a0b", r"a\u00a0b"),
        ("line\r\nsecond", r"line\x0d\x0asecond"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_cl03_doubtful_characters_stand_as_escapes(raw: bytes | str, shown: str) -> None:
    assert safe_text(raw) == shown


def test_cl03_combining_marks_do_not_pile_up_nor_sit_on_our_text() -> None:
    assert safe_text("e\u0301" + "\u0301" * 5).count("\u0301") == 3
    assert safe_text("\u0301e") == r"\u0301e"


def test_cl04_long_names_are_cut_in_the_middle_and_keep_both_ends() -> None:
    shown = safe_text(b"begin-" + b"x" * 10_000 + b"-end.pdf")
    assert len(shown) == 200
    assert shown.startswith("begin-")
    assert shown.endswith("-end.pdf")
    assert "…" in shown


def test_cl04_a_cut_never_splits_an_escape() -> None:
    for length in range(1, 120):
        shown = safe_text("\x1b" * length, limit=50)
        assert shown.replace("\\x1b", "").replace("…", "") == ""


@settings(derandomize=True, max_examples=300)
@given(st.one_of(st.text(max_size=600), st.binary(max_size=2500)), st.integers(8, 300))
def test_cl05_any_text_is_short_printable_and_encodable(value: bytes | str, limit: int) -> None:
    shown = safe_text(value, limit)
    assert len(shown) <= limit
    assert is_harmless(shown)
    shown.encode("utf-8", "strict")


@settings(derandomize=True, max_examples=200)
@given(st.text(max_size=300))
def test_cl05_bytes_and_the_name_python_makes_of_them_look_alike(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    assert safe_text(raw) == safe_text(raw.decode("utf-8", "surrogateescape"))


def test_cl02_quotes_inside_cannot_end_the_quotation() -> None:
    assert quoted('a" accepted "b') == '"a\\" accepted \\"b"'


def test_listed_names_say_how_many_more() -> None:
    assert listed([b"a"]) == '"a"'
    assert listed([b"a", b"b", b"c", b"d", b"\n"]) == '"a", "b", "c" and 2 more'


def test_cl01_huge_text_costs_little() -> None:
    assert len(safe_text(b"\x1b" * 50_000_000)) <= 200
