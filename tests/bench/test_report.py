"""Lines are read as they were written; pages keep their words; pictures are well-formed."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench import jobs, report, results, svg
from tests.bench.items import ITEMS
from tests.bench.links import Counters
from tests.bench.peers.peer import Peer
from tests.bench.process import Usage
from tests.bench.results import Line

PEER = Peer("scp", lambda _: "", control="bbr")
LINK = Counters(0.5, 70_000_000, 900_000, 3, 12, 49.0, 1.5, 0.001)
RESULT = jobs.Result(6.5, Usage(1.0, 30 << 20), Usage(2.0, 40 << 20), other_cpu=0.1, link=LINK)


@pytest.fixture
def lines(tmp_path: Path) -> list[Line]:
    path = tmp_path / "made" / "jobs.jsonl"
    own = PEER._replace(name="securecp", control="")
    for run in (1, 2):
        for peer in (PEER, own):
            results.write(path, ITEMS["64m-wan"], peer, run, RESULT)
    return results.read([path, tmp_path / "absent"])


def test_a_job_is_read_as_it_was_written(lines: list[Line]) -> None:
    assert [(line.peer, line.run) for line in lines] == [
        ("scp (bbr)", 1), ("securecp", 1), ("scp (bbr)", 2), ("securecp", 2),
    ]  # fmt: skip
    assert lines[0][3:7] == (6.5, (1.0, 2.0), (30 << 20, 40 << 20), 70_000_000)
    assert (lines[0].late_share, lines[0].queue_ms) == (0.001, 49.0)
    assert lines[0].revision


def test_only_marked_places_of_a_page_change(lines: list[Line]) -> None:
    kept = "more\n<!-- measured: bulk -->\nkept\n<!-- end -->\n"
    page = f"words\n<!-- measured: links -->\nold\n<!-- end -->\n{kept}"
    once = report.filled(page, lines)
    assert once.startswith("words\n<!-- measured: links -->\n")
    assert "old" not in once
    assert "| securecp | 2/2 | 6.50" in once
    assert once.endswith(kept)
    assert report.filled(once, lines) == once


def test_the_page_in_docs_has_a_place_for_every_figure() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "performance.md").read_text()
    marked = {name for _, name, _ in report.MARKED.findall(page)}
    assert marked == {"goals", "machine", *report.SECTIONS}


def test_a_section_is_drawn_only_if_it_was_measured(lines: list[Line]) -> None:
    assert "6.50" in report.drawn(report.SECTIONS["links"], lines)
    assert not report.drawn(report.SECTIONS["bulk"], lines)


def test_a_picture_is_well_formed_and_to_scale() -> None:
    bars = [
        svg.Bar("a <&> b", 2.0, "2.00", ours=True),
        svg.Bar("half", 1.0, "1.00"),
        svg.Bar("lost", None, "given up"),
    ]
    picture = ElementTree.fromstring(svg.draw("T", "n", [svg.Group("g", bars)]))
    space = "{http://www.w3.org/2000/svg}"
    drawn = {
        box.get("class"): float(box.get("width", ""))
        for box in picture.iter(f"{space}rect")
        if box.get("class") != "paper"
    }
    assert drawn == {"ours": svg.LONGEST, "bar": svg.LONGEST / 2, "open": svg.LONGEST}
    assert "a <&> b" in {element.text for element in picture.iter(f"{space}text")}


def test_a_picture_of_nothing_is_still_one() -> None:
    ElementTree.fromstring(svg.draw("T", "n", [svg.Group("g", [])]))
