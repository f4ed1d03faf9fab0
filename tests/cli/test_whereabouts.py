"""What a person hears of servers and paths: what they need, once, and in time."""

from securecp.cli.whereabouts import Servers, Words
from securecp.events import Back, PathChanged, ServerState, Silent

PEER = b"p" * 32
SERVER = "ws://reach.example:4480"


def notes(words: Words, *events: PathChanged | Silent | Back) -> list[str]:
    told = (words.of(event, "bob")[0] for event in events)
    return [note for note in told if note]


def path(kind: str, port: int = 1) -> PathChanged:
    return PathChanged(PEER, kind, f"192.0.2.1:{port}")


def test_a_change_of_path_is_told_if_it_is_one_of_kind() -> None:
    words = Words()
    words.connected("relayed")
    changes = path("relayed", 2), path("direct"), path("direct", 2), path("lan")
    assert notes(words, *changes) == ["now directly", "now on this network"]


def test_f33_while_nobody_answers_only_that_is_told_and_then_how_it_goes_on() -> None:
    words = Words()
    words.connected("direct")
    events = Silent(PEER), path("relayed"), path("direct"), path("relayed"), Back(PEER)
    assert notes(words, *events) == [
        "no answer from bob; waiting …",
        "bob answers again through a server",
    ]
    assert notes(words, path("direct")) == ["now directly"]


def test_f06_servers_are_of_interest_while_nobody_is_connected() -> None:
    servers = Servers()
    down, up = ServerState(SERVER, False, "the server hung up"), ServerState(SERVER, True)
    assert servers.of(up, connected=False)[0] == ""
    assert servers.of(down, connected=False)[0] == f"server {SERVER}: the server hung up"
    assert servers.of(up, connected=False)[0] == f"server {SERVER} is there again"
    assert servers.of(down, connected=True) == ("", f"server {SERVER}: the server hung up")
    assert servers.of(up, connected=True)[0] == ""
