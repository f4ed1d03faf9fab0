"""Safe names: always allowed, always the same, and still a name that a person knows again."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.disk.rename import SafeNames, fitted, safe
from securecp.transfer import names
from tests.disk.legal import legal_names

_bytes = st.binary(min_size=1, max_size=400).filter(lambda name: b"/" not in name)
_odd = st.lists(
    st.sampled_from(
        [b"%2e", b"%", b".", b"~", b"\\", b"\n", b"C:", b"\xc2\x85", b".securecp-", b"a"]
    ),
    min_size=1,
    max_size=90,
).map(b"".join)


@given(_bytes | _odd)
def test_fs12_every_name_becomes_one_that_may_be_offered(name: bytes) -> None:
    found = safe(name)
    assert names.problem(found) is None
    assert safe(found) == found
    assert safe(name) == found
    assert names.problem(name) or found == name


@pytest.mark.parametrize("name", legal_names())
def test_names_that_may_be_offered_stay(name: bytes) -> None:
    assert safe(name) == name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (b"new\nline", "new\u240aline"),
        (b"\x00\x1b\x7f", "\u2400\u241b\u2421"),
        (b"back\\slash", "back_slash"),
        ("c1\x80\x9f".encode(), "c1__"),
        (b"C:autoexec", "C_autoexec"),
        (b"~", "_~"),
        (b".", "_."),
        (b"..", "_.."),
        (b"", "_"),
        (b".securecp-0123456789abcdef.part", "_.securecp-0123456789abcdef.part"),
        (b"%2e%2e%2fetc", "_2e_2e_2fetc"),
        (b"C%3a%5cx", "C_3a_5cx"),
        (b"\n%2e%2e%2f", "\u240a%2e%2e%2f"),
        (b"a" * 300 + b".tar.gz", "a" * 248 + ".tar.gz"),
        ("é".encode() * 130 + b".txt", "é" * 125 + ".txt"),
        (b"." + b"b" * 300, "." + "b" * 254),
    ],
)
def test_fs12_what_becomes_of_it(name: bytes, wanted: str) -> None:
    assert safe(name) == wanted.encode()


def test_invalid_bytes_are_kept_and_never_cut_in_two() -> None:
    assert safe(b"\xff\n\xfe") == b"\xff\xe2\x90\x8a\xfe"
    assert len(fitted(b"\xff" * 400)) == 255
    assert fitted("\U0001f600".encode() * 100) == "\U0001f600".encode() * 63


def test_clashes_are_numbered() -> None:
    here = SafeNames([b"a_b.txt", b"a\\b.txt"])
    assert here.of(b"a\\b.txt") == b"a_b (1).txt"
    assert here.of("a\x80b.txt".encode()) == b"a_b (2).txt"
    assert here.of(b"a\nb.txt") == "a\u240ab.txt".encode()


def test_very_many_that_are_alike_take_no_longer_each() -> None:
    here = SafeNames([])
    start = time.process_time()
    alike = itertools.islice(itertools.product("\x80\x81\x82\x83", repeat=7), 10_000)
    names_given = {here.of("".join(name).encode()) for name in alike}
    assert len(names_given) == 10_000
    assert time.process_time() - start < 2
