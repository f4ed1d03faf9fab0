"""What a person is shown before saying yes: totals, and every path worth a second look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.transfer import names, offer
from securecp.transfer.manifest import Manifest
from securecp.transfer.offer import remarks_on, summarise, top_names
from tests.transfer.pair import TRANSFER, file, folder

ODD = {
    b".bashrc": "hidden",
    b".ssh": "hidden",
    b"...": "hidden",
    b"-rf": "dash",
    b"~a": "tilde",
    b" a": "space",
    b"a ": "space or dot",
    b"a.": "space or dot",
    b"a\xc2\xa0": "space",
    b"12:30": "colon",
    b"file.txt:stream": "colon",
    b"*": "wildcards",
    b"what?": "wildcards",
    b"`rm`": "wildcards",
    b'a"b': "wildcards",
    b"a|b": "wildcards",
    b"a%2Fb": "percent",
    b"a%5cb": "percent",
    b"CON": "reserved",
    b"nul.txt": "reserved",
    b"Com1": "reserved",
    b"lpt9.log": "reserved",
    b"aux": "reserved",
    "COM¹".encode(): "reserved",
    b"conin$": "reserved",
    b"\xff": "UTF-8",
    b"\xc0\xae": "UTF-8",
    b"a\x9bb": "UTF-8",
    b"\xed\xa0\x80": "UTF-8",
    "a\u202egpj.exe".encode(): "invisible",
    "\u200bx".encode(): "invisible",
    "a\u2066b".encode(): "invisible",
    "a\ufeffb".encode(): "invisible",
    "a\u00adb".encode(): "invisible",
    "a\u2028b".encode(): "invisible",
    "a\u3000b".encode(): "invisible",
    "a\u3164b".encode(): "invisible",
    "a\ufe0fb".encode(): "invisible",
    "a\U000e0041b".encode(): "invisible",
    "a\ue000b".encode(): "invisible",
    "etc\u2215passwd".encode(): "part of a path",
    "\uff0e\uff0e".encode(): "part of a path",
    "a\uff0fb".encode(): "part of a path",
}
PLAIN = [
    b"a",
    b"_",
    b"0",
    b"README.md",
    b"holiday 2024 (1).jpg",
    b"tar.gz",
    b"console.log",
    b"common.txt",
    b"[draft] a, b; c!",
    b"a%20b",
    b"100%",
    "grün".encode(),
    "日本語.txt".encode(),
    "naïve café.pdf".encode(),
    "Ωmega".encode(),
]


@pytest.mark.parametrize(("name", "reason"), ODD.items(), ids=map(names.shown, ODD))
def test_mf20_odd_names_are_pointed_out(name: bytes, reason: str) -> None:
    assert any(reason in each for each in remarks_on(name))
    assert summarise(Manifest([file(name, 1)]), TRANSFER).remarkable == 1


@pytest.mark.parametrize("name", PLAIN, ids=names.shown)
def test_plain_names_are_not(name: bytes) -> None:
    assert remarks_on(name) == ()


@given(st.binary(min_size=1, max_size=60) | st.text(min_size=1, max_size=60).map(str.encode))
def test_fs12_every_name_that_does_not_print_plainly_is_pointed_out(name: bytes) -> None:
    if names.problem(name) is None and not remarks_on(name):
        assert name.decode("utf-8").isprintable()


@given(st.text(st.sampled_from("aB0._- ~:%*\u200b\u202e\u00e9ä日"), min_size=1, max_size=12))
def test_the_quick_way_agrees_with_the_long_one(text: str) -> None:
    long = tuple(reason for reason, applies in offer._checks(text) if applies)
    assert remarks_on(text.encode()) == long


def test_mf20_a_dangerous_entry_in_a_long_list_is_shown() -> None:
    entries = [folder("photos")]
    entries += [file(f"{number}.jpg", 10, 1) for number in range(5_000)]
    entries += [folder(".ssh", 1), file("authorized_keys", 10, 5_002), file("run", 1, 1, 0o755)]
    summary = summarise(Manifest(entries), TRANSFER)
    assert (summary.entries, summary.files, summary.size) == (5_004, 5_002, 50_011)
    assert summary.names == (b"photos",) and summary.top == 1
    assert summary.remarkable == 2
    assert [(remark.path, remark.reasons) for remark in summary.remarks] == [
        ((b"photos", b".ssh"), ("is hidden",)),
        ((b"photos", b"run"), ("is executable",)),
    ]


def test_mf20_lists_are_cut_but_counts_are_not() -> None:
    summary = summarise(Manifest([file(f".{n}", 1) for n in range(1_500)]), TRANSFER)
    assert len(summary.names) == len(summary.remarks) == 1_000
    assert summary.top == summary.remarkable == 1_500


def test_mf20_depth_and_special_bits_are_pointed_out() -> None:
    deep = [folder(f"{level}", level) for level in range(20)]
    summary = summarise(Manifest([*deep, file("s", 1, 0, 0o4644)]), TRANSFER)
    assert [(len(r.path), r.reasons) for r in summary.remarks] == [
        (16, ("is 16 or more folders deep",)),
        (1, ("has special permission bits, which are dropped",)),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "A"),
        ("straße", "STRASSE"),
        ("é", "e\u0301"),
        ("ﬁ", "fi"),
        ("a", "a."),
        ("a", "a "),
        ("Ⅻ", "xii"),
        ("İ", "i\u0307"),
        ("ς", "Σ"),
        ("\u2126", "ω"),
    ],
)
def test_fs10_names_that_collide_elsewhere_are_pointed_out(one: str, other: str) -> None:
    together = summarise(Manifest([file(one, 1), file(other, 1)]), TRANSFER)
    assert any("letter case" in reason for reason in together.remarks[-1].reasons)
    apart = summarise(Manifest([folder("d"), file(one, 1), file(other, 1, 1)]), TRANSFER)
    assert not any("letter case" in reason for r in apart.remarks for reason in r.reasons)


def test_what_is_shown_is_a_pure_function() -> None:
    manifest = Manifest([file("b", 1), file("a", 2), folder("c"), file("d", 3, 3)])
    summary = summarise(manifest, TRANSFER)
    assert summary == summarise(manifest, TRANSFER)
    assert summary.names == (b"b", b"a", b"c")
    assert (summary.transfer_id, summary.digest) == (TRANSFER, manifest.digest)


def test_the_sender_is_shown_the_same_names_at_the_top() -> None:
    entries = [folder(b"b"), file(b"a", 1), file(b"inside", 1, parent=1), file(b"c", 1)]
    manifest = Manifest(entries)
    assert top_names(manifest) == summarise(manifest, TRANSFER).names == (b"b", b"a", b"c")


def test_many_names_at_the_top_are_cut_for_the_sender_as_well() -> None:
    manifest = Manifest([file(b"%d" % number, 1) for number in range(offer.TOP_LIMIT + 1)])
    assert top_names(manifest) == summarise(manifest, TRANSFER).names
    assert len(top_names(manifest)) == offer.TOP_LIMIT
