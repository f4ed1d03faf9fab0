"""Events become words for people and one schema for scripts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securecp.cli import jsonlines
from securecp.cli.narrate import Narrator
from securecp.cli.output import Output
from securecp.cli.ui import progress_words
from securecp.cli.wording import done_lines, done_words, failed_lines, offer_words
from securecp.events import (
    Back,
    Connected,
    Done,
    Event,
    Failed,
    Listening,
    Offered,
    Paused,
    Progress,
    Resumed,
    Silent,
    Verifying,
    Waiting,
)

PEER = b"p" * 32
OTHER = b"o" * 32
NAMES = {PEER: "alice", OTHER: "carol"}


def narrator(output: Output, *, sending: bool = True) -> Narrator:
    ticks = iter(range(0, 10**6, 10))
    return Narrator(
        output,
        sending=sending,
        name_of=lambda peer: NAMES.get(peer, "alice"),
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
    fields = jsonlines.fields(Offered(PEER, 1, 1, tuple(names)), {})
    text = json.dumps(fields)
    assert text.isascii() and "\n" not in text
    back = json.loads(text)
    exact = back.get("names_hex") or [name.encode().hex() for name in back["names"]]
    assert [bytes.fromhex(name) for name in exact] == names
    json.dumps(jsonlines.fields(Failed(1, reason), {})).encode("ascii")
    renamed = tuple((name, b"\xff" + name) for name in names)
    done = jsonlines.fields(Done(1, 1, 1.0, 1, b"", renamed=renamed), {}, [(b"\x80", reason)])
    json.dumps(done).encode("ascii")


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


def told(capsys: pytest.CaptureFixture[str], *events: Event, sending: bool = True) -> list[str]:
    """What is said, line by line, on both streams; ten seconds pass with each look at the clock."""
    tell = narrator(Output(), sending=sending)
    for event in events:
        tell(event)
    captured = capsys.readouterr()
    return (captured.err + captured.out).splitlines()


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (
            Done(1_200_000_000, 0, 3.0, 5, b"", saved=1_100_000_000),
            "delivered 5 files, 1.2 GB to bob in 3.0 s (33.3 MB/s); 1.1 GB needed not be sent",
        ),
        (Done(300, 0, 0.01, 1, b""), "delivered 1 file, 300 bytes to bob in 0.0 s (30 kB/s)"),
        (
            Done(300, 0, 0.01, 1, b"", saved=300, present=1),
            "delivered 1 file, 300 bytes to bob: all of it was there already",
        ),
        (
            Done(300, 0, 0.01, 1, b"", saved=300),
            "delivered 1 file, 300 bytes to bob in 0.0 s; nothing was sent",
        ),
        (Done(0, 0, 0.01, 2, b""), "delivered 2 files, 0 bytes to bob in 0.0 s"),
    ],
)
def test_what_was_delivered_and_what_that_saved(done: Done, words: str) -> None:
    assert done_words(done, "bob", sending=True) == words


def test_what_else_became_of_the_files_is_a_line_each() -> None:
    done = Done(
        9, 9, 1.0, 9, b"", skipped=2, present=3, saved=1,
        renamed=((b"a\x1b", b"a\x1b (1)"), *((b"%d" % n, b"x") for n in range(9))),
    )  # fmt: skip
    lines = done_lines(done)
    assert lines[0] == '"a\\x1b" was taken: it is "a\\x1b (1)" now'
    assert lines[5:] == [
        "5 more have other names, too",
        "3 files were there already",
        "2 files skipped: already there",
    ]


def test_an_offer_is_counted_by_kind() -> None:
    offer = Offered(PEER, 3, 1_200_000, (b"a",), links=1, entries=6)
    assert offer_words(offer) == '3 files, 2 folders, 1 link, 1.2 MB: "a"'
    stream = Offered(PEER, 1, 0, (b"x.tar",), stream=True, entries=1)
    assert offer_words(stream) == '1 file, size not known: a stream: "x.tar"'


def test_who_goes_away_is_waited_for_in_one_line_and_welcomed_with_the_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = told(
        capsys,
        Connected(PEER, "direct", "192.0.2.1:1"),
        Waiting(PEER, "the peer has gone silent", 3600.0),
        Waiting(PEER, "the peer has gone silent", 3590.0),
        Connected(PEER, "direct", "192.0.2.1:2"),
        Resumed(PEER, 40 * 10**9, 100 * 10**9),
    )
    assert lines == [
        "connected to alice (direct)",
        "waiting for alice … (alice has gone silent)",
        "connected to alice (direct) again, after 20 s",
        "resuming: 40.0 GB of 100 GB are there",
    ]


def test_silence_that_becomes_waiting_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    events = Connected(PEER, "direct", "192.0.2.1:1"), Silent(PEER), Waiting(PEER, "silent", 9.0)
    assert told(capsys, *events) == [
        "connected to alice (direct)",
        "no answer from alice; waiting …",
    ]
    assert told(capsys, *events[:2], Back(PEER), Waiting(PEER, "", 9.0))[-1] == (
        "waiting for alice …"
    )


@pytest.mark.parametrize(("sending", "whose"), [(True, "alice's disk"), (False, "the disk")])
def test_a_full_disk_says_whose_it_is_and_how_much_is_needed_once(
    capsys: pytest.CaptureFixture[str], sending: bool, whose: str
) -> None:
    events = (
        Connected(PEER, "direct", "192.0.2.1:1"),
        Paused(PEER, 1_200_000_000),
        Waiting(PEER, "the disk is full", 3600.0),
        Paused(PEER, 1_100_000_000),
    )
    assert told(capsys, *events, sending=sending)[1:] == [
        f"{whose} is full: 1.2 GB more are needed; it goes on by itself"
    ]


def test_with_several_at_once_each_line_says_whom_it_is_about(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = told(
        capsys,
        Connected(PEER, "direct", "192.0.2.1:1", transfer=1),
        Connected(OTHER, "lan", "192.0.2.2:1", transfer=2),
        Resumed(OTHER, 5, 10, transfer=2),
        Resumed(PEER, 1, 10, transfer=1),
        Done(10, 10, 1.0, 1, b"", peer=OTHER, skipped=1, transfer=2),
        Resumed(PEER, 1, 10, transfer=1),
        sending=False,
    )
    assert lines[2:] == [
        "carol: resuming: 5 bytes of 10 bytes are there",
        "alice: resuming: 1 byte of 10 bytes are there",
        "carol: 1 file skipped: already there",
        "resuming: 1 byte of 10 bytes are there",
        "received 1 file, 10 bytes from carol in 1.0 s (0 kB/s)",
    ]


def test_a_failure_of_one_speaks_of_them_by_name_and_says_how_it_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = Failed(5, "the peer has gone silent", peer=PEER, resumable=True, transfer=1)
    assert told(capsys, gone, sending=False) == [
        "securecp: alice has gone silent",
        "hint: it goes on when alice sends the same again",
    ]


def test_the_new_events_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    tell = narrator(Output(as_json=True))
    for event in (
        Resumed(PEER, 4, 10, transfer=1),
        Waiting(PEER, "gone\x1b", 12.345, transfer=1),
        Paused(PEER, 77, transfer=1),
        Verifying(PEER, 3, 10, transfer=1),
        Done(10, 9, 1.0, 1, b"", peer=PEER, saved=4, present=1, renamed=((b"a", b"b"),)),
        Failed(5, "cut off", peer=PEER, resumable=True, transfer=1),
    ):
        tell(event)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    who = {"peer": "alice", "key": "age1x"}
    assert lines[:4] == [
        {"event": "resumed", **who, "kept": 4, "bytes": 10, "transfer": 1},
        {"event": "waiting", **who, "reason": "gone\\x1b", "left": 12.3, "transfer": 1},
        {"event": "paused", **who, "needed": 77, "transfer": 1},
        {"event": "verifying", **who, "done": 3, "total": 10, "transfer": 1},
    ]
    assert lines[4]["saved"] == 4 and lines[4]["present"] == 1
    assert lines[4]["renamed"] == [{"name": "a", "to": "b"}]
    assert lines[5]["resumable"] is True and lines[5]["peer"] == "alice"


def test_of_a_stream_nobody_knows_how_much_is_left() -> None:
    assert progress_words(5 * 10**8, 0, 10**8) == "500 MB, 100 MB/s"


def test_while_a_question_stands_nothing_else_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    tell = narrator(output)
    output.hold()
    output.question("Accept?")
    tell(Connected(PEER, "direct", "192.0.2.1:1"))
    assert capsys.readouterr().err == "Accept?\n"
    output.release()
    assert capsys.readouterr().err == "connected to alice (direct)\n"
