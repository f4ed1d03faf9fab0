"""Symbolic links in an offer: where they may lead, what they cost, and that they are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp import codec
from securecp.errors import ProtocolError
from securecp.transfer import links
from securecp.transfer.manifest import LINK, Entry, Manifest, ManifestReader
from securecp.transfer.offer import summarise
from tests.transfer.pair import TRANSFER, Pair, file, folder


def link(name: bytes, target: bytes, parent: int = 0) -> Entry:
    return Entry(LINK, parent, name, 0, 0o777, 7, target)


GOOD = [
    (b"a", 1),
    (b"./a", 1),
    (b"a/b", 1),
    (b"a", 2),
    (b"../a", 2),
    (b"../../a/b/c", 3),
    (b"./../a", 2),
    (b"...", 1),
    (b"a" * 255, 1),
    (b"\xff\xfe", 1),
    (b"-rf", 1),
    (b"/".join([b"a"] * 60), 64),
]
BAD = [
    (b"", 1),
    (b"/", 1),
    (b"/etc/passwd", 1),
    (b"/a", 5),
    (b"a/", 1),
    (b"a//b", 1),
    (b".", 1),
    (b"..", 1),
    (b"../a", 1),
    (b"..", 2),
    (b"../..", 3),
    (b"../../a", 2),
    (b"a/..", 2),
    (b"a/../b", 2),
    (b"up/../../../etc", 3),
    (b"a\0b", 1),
    (b"a\nb", 1),
    (b"a\x1b[2J", 1),
    (b"a\x7f", 1),
    (b"\xc2\x9b", 1),
    (b"a\\b", 1),
    (b"~", 1),
    (b"~/.ssh", 1),
    (b"C:", 1),
    (b"..%2f..%2fetc", 1),
    (b".securecp-part", 1),
    (b"a/.securecp-x/b", 1),
    (b"a" * 256, 1),
    (b"/".join([b"a"] * 3_000), 1),
]


@pytest.mark.parametrize(("target", "depth"), GOOD)
def test_fs02_targets_inside_the_offer_are_taken(target: bytes, depth: int) -> None:
    assert links.problem(target, depth) is None


@pytest.mark.parametrize(("target", "depth"), BAD)
def test_fs02_targets_that_may_lead_elsewhere_are_refused(target: bytes, depth: int) -> None:
    assert links.problem(target, depth)


@given(
    st.lists(st.sampled_from([b"..", b".", b"a", b"b", b"", b"...", b"a\\"]), max_size=8),
    st.integers(1, 6),
)
def test_fs02_no_target_that_is_taken_leads_out(parts: list[bytes], depth: int) -> None:
    target = b"/".join(parts)
    if links.problem(target, depth) is not None:
        return
    place = [b"x"] * (depth - 1)
    for part in target.split(b"/"):
        if part == b"..":
            place.pop()  # IndexError: it has left
        elif part != b".":
            place.append(part)
    assert place and not target.startswith(b"/")


def test_fs02_one_bad_link_refuses_the_whole_offer() -> None:
    rows = [list(file("good", 1))[:6], list(link(b"l", b"../../etc/passwd"))]
    with pytest.raises(ProtocolError, match="out of what is offered"):
        ManifestReader().page(codec.encode([2, 0, rows]))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param([2, 0, b"l", 0, 0o777, 0], id="without a target"),
        pytest.param([2, 0, b"l", 0, 0o777, 0, b""], id="with an empty one"),
        pytest.param([2, 0, b"l", 0, 0o777, 0, "a"], id="with text"),
        pytest.param([2, 0, b"l", 0, 0o777, 0, b"a", 0], id="with a field more"),
        pytest.param([2, 0, b"l", 1, 0o777, 0, b"a"], id="with a size"),
        pytest.param([2, 0, b"l", 0, 0o644, 0, b"a"], id="with a mode"),
        pytest.param([0, 0, b"f", 1, 0o644, 0, b"a"], id="a file with a target"),
        pytest.param([1, 0, b"d", 0, 0o755, 0, b"a"], id="a folder with a target"),
        pytest.param([3, 0, b"s", 0, 0o644, 0, b"a"], id="a stream with a target"),
        pytest.param([4, 0, b"x", 0, 0o644, 0], id="of an unknown kind"),
    ],
)
def test_fs03_entries_have_the_fields_of_their_kind(row: list[object]) -> None:
    with pytest.raises(ProtocolError):
        ManifestReader().page(codec.encode([2, 0, [row]]))


def test_a_link_is_no_folder_to_put_things_into() -> None:
    with pytest.raises(ValueError, match="outside"):
        Manifest([folder("d"), link(b"l", b"d"), file("a", 1, 2)])
    with pytest.raises(ValueError, match="one name"):
        Manifest([file("l", 1), link(b"l", b"a")])


def test_fs02_targets_are_capped_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "TARGETS_LIMIT", 10)
    Manifest([link(b"l", b"aaaaa"), link(b"m", b"aaaaa")])
    with pytest.raises(ValueError, match="together"):
        Manifest([link(b"l", b"aaaaa"), link(b"m", b"aaaaaa")])


def test_links_survive_the_wire_and_cost_no_content() -> None:
    entries = [folder("d"), file("a", 5, 1), link(b"l", b"../a", 1), link(b"m", b"d/l")]
    manifest = Manifest(entries)
    reader = ManifestReader()
    for page in manifest.pages():
        reader.page(page)
    received = reader.finish()
    assert list(received.entries) == entries
    assert received.digest == manifest.digest
    assert [received.columns.target(index) for index in range(4)] == [b"", b"", b"../a", b"d/l"]
    assert (received.files, received.size, received.chunk_count) == (1, 5, 1)
    assert received.columns.links == 2
    assert received.entries[2] == entries[2]


def test_mf02_another_target_is_another_manifest() -> None:
    one, two = (Manifest([file("a", 1), link(b"l", target)]) for target in (b"a", b"b"))
    assert one.digest != two.digest


def test_mf20_links_are_counted_and_shown_with_where_they_lead() -> None:
    summary = summarise(Manifest([file("a", 1), link(b"l", "a\u202eb".encode())]), TRANSFER)
    assert summary.links == 1 and summary.files == 1 and summary.entries == 2
    (remark,) = summary.remarks
    assert remark.path == (b"l",) and remark.reasons == (r"is a link to a\xe2\x80\xaeb",)


def test_a_tree_with_links_arrives() -> None:
    pair = Pair([folder("d"), file("a", 30, 1), link(b"l", b"a", 1)]).run()
    assert pair.delivered and pair.published == pair.files
    receipt = pair.of_delivered().receipt
    assert (receipt.files, receipt.skipped, receipt.size) == (1, 0, 30)
