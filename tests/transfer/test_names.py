"""Names that lead anywhere but into their folder, or deceive the next program, are refused."""

import re
from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from securecp import codec
from securecp.errors import ProtocolError
from securecp.transfer import names
from securecp.transfer.manifest import Manifest, ManifestReader
from tests.transfer.pair import file

LITERAL = [
    b"",
    b".",
    b"..",
    b"~",
    b"/",
    b"//",
    b"\\",
    b"\\\\",
    b"/etc/passwd",
    b"../etc/passwd",
    b"a/b",
    b"a//b",
    b"a/",
    b"a\\",
    b"a\\b",
    b"..\\..\\windows",
    b"./a",
    b"~/.ssh/authorized_keys",
    b"~root/.bashrc",
    b"C:",
    b"c:",
    b"C:\\Windows",
    b"C:/Windows",
    b"C:relative",
    b"Z:stream",
    b"\\\\server\\share",
    b"//server/share",
    b"\\\\?\\C:\\x",
    b"\\\\.\\PhysicalDrive0",
    b"\\\\.\\pipe\\x",
    b"/dev/null",
    b"/dev/fd/0",
    b"/proc/self/environ",
    b"\\Device\\HarddiskVolume1",
    b"file:///etc/passwd",
    b"a" * 256,
    "ä".encode() * 128,
    b".securecp-0123456789abcdef.part",
    b".securecp-",
]
PARTS = [b"..", b".", b"~", b"", b"C:", b"etc"]
SEPARATORS = [b"/", b"\\", b"%2f", b"%2F", b"%5c", b"%5C", b"%252f", b"%255C", b"%c0%af", b"%C1%9C"]
DISGUISED_DOTS = [b"%2e%2e", b"%2E%2e", b".%2e", b"%2e.", b"%252e%252e", b"%c0%ae%c0%ae", b"%2e"]


def corpus() -> Iterator[bytes]:
    yield from LITERAL
    for control in (*range(0x20), 0x7F):
        yield bytes([control])
        yield b"a" + bytes([control]) + b"b"
        yield b"name.txt" + bytes([control])
    for control in range(0x80, 0xA0):  # C1: a terminal takes U+009B for ESC [
        yield b"a" + chr(control).encode() + b"b"
    for escape in (b"%00", b"%0a", b"%0D", b"%1b", b"%2500", b"%7f"):
        yield b"a" + escape + b"b"
    yield from DISGUISED_DOTS
    for separator, first in product(SEPARATORS, (b"..", b"", *DISGUISED_DOTS)):
        yield first + separator + b"etc"
        yield b"a" + separator + (first or b"..") + separator + b"etc"
    for separator, part in product(SEPARATORS[:2], PARTS):
        yield part + separator
        yield separator + part
    for drive in b"AZaz":
        yield bytes([drive]) + b":"
        yield b"%" + f"{drive:02x}".encode() + b"%3a"


CORPUS = sorted(set(corpus()))
HARMLESS = [
    b"a",
    b"a b",
    b" ",
    b"...",
    b"..a",
    b"a..",
    b".a",
    b".bashrc",
    b"~a",
    b"a~",
    b"-rf",
    b"12:30 notes.txt",
    b"ab:c",
    b"100%",
    b"100%25",
    b"50%20off",
    b"a%2Fb",
    b"index.html?u=http%3A%2F%2Fx",
    b"CON",
    b"nul.txt",
    b"trailing.",
    b"trailing ",
    b"*?<>|\"'`$(rm)",
    b"\xff\xfe",
    b"\x9b",
    b"\xc0\xae",
    b"a" * 255,
    "grün.txt".encode(),
    "\u202egpj.exe".encode(),
    "a\u200bb".encode(),
    "\u2028".encode(),
    "日本語".encode(),
    "ª\u00a0".encode(),
]


def test_fs01_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 300


@pytest.mark.parametrize("name", CORPUS, ids=names.shown)
def test_fs01_hostile_names_are_refused(name: bytes) -> None:
    assert names.problem(name)
    with pytest.raises(ValueError):
        Manifest([file("good", 1), file(name, 1)])
    reader = ManifestReader()
    with pytest.raises(ProtocolError) as refusal:
        reader.page(codec.encode([2, 0, [list(file("good", 1)), list(file(name, 1))]]))
    assert refusal.value.message.isascii() and refusal.value.message.isprintable()
    assert len(refusal.value.message) <= 200


@pytest.mark.parametrize("name", HARMLESS, ids=names.shown)
def test_fs12_other_names_are_kept_exactly(name: bytes) -> None:
    assert names.problem(name) is None
    sent = Manifest([file(name, 1)])
    reader = ManifestReader()
    for page in sent.pages():
        reader.page(page)
    assert reader.finish().path(0) == (name,)


@given(st.binary(max_size=300))
@example(b"a%2f%2")
@example(b"%%%%")
def test_fs01_what_passes_is_one_component(name: bytes) -> None:
    if names.problem(name) is None:
        assert 0 < len(name) <= 255
        assert name not in (b".", b"..", b"~")
        assert not set(name) & set(b"/\\\x7f") and min(name) >= 0x20


@given(st.binary(max_size=300))
def test_fs12_a_name_in_an_error_is_printable(name: bytes) -> None:
    shown = names.shown(name)
    assert shown.isascii() and len(shown) <= 80
    assert shown == "" or shown.isprintable()


@given(st.one_of(st.binary(max_size=300), st.text("aZ9_ .-~:%/(2fF\\", max_size=300)))
@example(b"a" * 255)
@example(b"a" * 256)
@example(b"a\n")
def test_the_quick_way_out_lets_nothing_through(name: bytes | str) -> None:
    name = name if isinstance(name, bytes) else name.encode()
    quick = names.problem(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(names, "_HARMLESS", re.compile(rb"(?!)"))
        assert names.problem(name) == quick
