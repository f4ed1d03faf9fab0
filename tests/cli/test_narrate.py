"""Events become words for people and one schema for scripts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.cli.narrate import Narrator, failed_lines
from securecp.cli.output import Output
from securecp.cli.ui import progress_words
from securecp.events import Connected, Done, Event, Failed, Listening, Offered, Progress

PEER = b"p" * 32


def narrator(output: Output, *, sending: bool = True) -> Narrator:
    ticks = iter(range(0, 10**6, 10))
    return Narrator(
        output,
        sending=sending,
        name_of=lambda _: "alice",
        text_of=lambda _: "age1x",
        clock=lambda: float(next(ticks)),
    )


EVENTS: list[Event] = [
    Listening("127.0.0.1:4400"),
    Connected(PEER, "direct", "127.0.0.1:1"),
    Offered(PEER, 3, 1_200_000, (b"a", b"b\x1b"), (b".bashrc",)),
    Progress(600_000, 1_200_000, 1e5),
    Done(1_200_000, 1_300_000, 2.0, 3, b"\x01" * 32, 1, ((b"x\xff", "gone\r"),)),
    Failed(3, "declined", "ask alice\x1b"),
]


def test_every_event_is_one_json_line_with_the_promised_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell = narrator(Output(as_json=True))
    for event in EVENTS:
        tell(event)
    captured = capsys.readouterr()
    assert captured.err == ""
    told = {line["event"]: line for line in map(json.loads, captured.out.splitlines())}
    assert told["listening"]["endpoint"] == "127.0.0.1:4400"
    assert told["connected"]["peer"] == "alice" and told["connected"]["path"] == "direct"
    assert told["connected"]["key"] == "age1x"
    assert told["offer"]["files"] == 3 and told["offer"]["bytes"] == 1_200_000
    assert told["offer"]["names"] == ["a", "b\\x1b"]
    assert told["offer"]["names_hex"] == ["61", "621b"]
    assert told["progress"]["bytes"] == 600_000 and told["progress"]["total"] == 1_200_000
    done = told["done"]
    assert (done["bytes"], done["bytes_sent"], done["seconds"]) == (1_200_000, 1_300_000, 2.0)
    assert (done["files"], done["digest"], done["skipped"]) == (3, "01" * 32, 1)
    assert told["error"]["hint"] == "ask alice\\x1b"
    assert done["failed"] == [{"reason": "gone\\x0d", "name": "x\\xff", "name_hex": "78ff"}]
    assert told["error"]["code"] == 3 and told["error"]["message"] == "alice declined"


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5), st.text(max_size=300))
def test_cl11_json_is_valid_and_exact_whatever_the_names(names: list[bytes], reason: str) -> None:
    fields = narrator(Output(as_json=True))._fields(Offered(PEER, 1, 1, tuple(names)))
    text = json.dumps(fields)
    assert text.isascii() and "\n" not in text
    back = json.loads(text)
    exact = back.get("names_hex") or [name.encode().hex() for name in back["names"]]
    assert [bytes.fromhex(name) for name in exact] == names
    json.dumps(narrator(Output())._fields(Failed(1, reason))).encode("ascii")


def test_cl02_remote_words_are_harmless_and_names_are_quoted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell = narrator(Output(verbose=True), sending=False)
    for event in EVENTS:
        tell(event)
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    assert "\x1b" not in shown and "\r" not in shown
    assert 'is offered 3 files, 1.2 MB: "a", "b\\x1b"' in shown
    assert "connected to alice (direct)" in shown
    assert 'securecp: left out: "x\\xff": gone\\x0d' in shown
    assert captured.out == "received 3 files, 1.2 MB from alice in 2.0 s (600 kB/s)\n"


def test_progress_is_told_rarely_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 100.0
    tell = Narrator(Output(), sending=True, name_of=str, text_of=str, clock=lambda: now)
    for moved in range(0, 1000, 10):
        tell(Progress(moved, 1000, 50.0))
        now += 0.1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("left")


def test_progress_words_hold_rate_and_time_left() -> None:
    assert progress_words(5 * 10**8, 10**9, 10**8) == "500 MB of 1.0 GB, 100 MB/s, 5.0 s left"
    assert progress_words(0, 10, 0.0) == "0 bytes of 10 bytes, 0 kB/s"


def test_many_failures_do_not_flood_the_screen() -> None:
    lines = failed_lines(tuple((b"%d" % n, "gone") for n in range(5000)))
    assert len(lines) == 21
    assert lines[-1] == "left out: 4,980 more"
