"""Consent: who may ask, how often, and what the person sees before they answer."""

import signal
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest

from keys.contactsfile import ContactsFile
from keys.identity import Identity
from keys.policy import Contact, Verified
from securecp.cli import question, ui
from securecp.cli.book import Book
from securecp.cli.consent import Consent, Patience
from securecp.cli.output import Output
from securecp.events import Offered
from securecp.session import Decision
from tests.cli.program import Terminal, keygen, meet, run

OURS = Identity.generate(lambda n: b"o" * n)
THEIRS = Identity.generate(lambda n: b"t" * n)
PEER = bytes(THEIRS.public)
STRANGER = bytes(Identity.generate(lambda n: b"s" * n).public)
FOLDER = Path("/srv/in")
OFFER = Offered(PEER, 3, 1_200_000_000, (b"holiday", b"\x1b[2K\rfree money"), (b"holiday/.bashrc",))


def into(_peer: bytes) -> Path:
    return FOLDER


class Desk(NamedTuple):
    file: ContactsFile
    book: Book
    asked: list[str]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    file = ContactsFile(tmp_path / "home" / "contacts.toml", OURS.public)
    file.edit(lambda known: known.add(Contact("alice", THEIRS.public)))
    return Desk(file, Book(file.path, OURS.public), [])


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "can_ask", lambda: True)


def consent(desk: Desk, *, yes: bool = False) -> Consent:
    return Consent(desk.book, Output(quiet=True), into, yes=yes, clock=lambda: 0.0)


def test_cl12_strangers_and_blocked_contacts_are_not_allowed_and_never_asked_about(
    desk: Desk, terminal: None
) -> None:
    allows = consent(desk)
    assert allows.allowed(PEER)
    assert not allows.allowed(STRANGER)
    assert consent(desk, yes=True).policy(Offered(STRANGER, 1, 1, ())) is Decision.DECLINE
    desk.file.edit(lambda known: known.block("alice"))
    assert not allows.allowed(PEER), "at once, in a command that runs already"
    assert allows.policy(OFFER) is Decision.DECLINE


@pytest.mark.parametrize(
    ("accept", "yes", "decision"),
    [
        ("always", False, Decision.ACCEPT),
        ("ask", False, Decision.ASK),
        ("ask", True, Decision.ACCEPT),
        ("never", False, Decision.DECLINE),
        ("never", True, Decision.DECLINE),
    ],
)
def test_the_contacts_word_and_yes_decide(
    desk: Desk, terminal: None, accept: str, yes: bool, decision: Decision
) -> None:
    desk.file.edit(lambda known: known.update("alice", accept=accept))
    assert consent(desk, yes=yes).policy(OFFER) is decision


def test_cl12_without_a_terminal_the_answer_is_no(desk: Desk) -> None:
    assert not ui.can_ask()
    assert consent(desk).policy(OFFER) is Decision.DECLINE
    assert ui.answer("Accept?") == ""
    assert not consent(desk).ask(OFFER)
    assert not ui.typed("Type yes:", "yes")


def test_what_was_accepted_before_goes_on_unasked_but_not_for_who_may_send_nothing(
    desk: Desk,
) -> None:
    again = OFFER._replace(approved=True)
    assert consent(desk).policy(again) is Decision.ACCEPT, "nor does it need a terminal"
    desk.file.edit(lambda known: known.update("alice", accept="never"))
    assert consent(desk).policy(again) is Decision.DECLINE
    desk.file.edit(lambda known: known.block("alice"))
    assert consent(desk).policy(again) is Decision.DECLINE


def test_cl12_the_fourth_question_within_a_minute_is_not_asked(desk: Desk, terminal: None) -> None:
    now = 100.0
    decides = Consent(desk.book, Output(quiet=True), into, yes=False, clock=lambda: now)
    answers = [decides.policy(OFFER) for _ in range(5)]
    assert answers == [Decision.ASK] * 3 + [Decision.DECLINE] * 2
    now += 59.9
    assert decides.policy(OFFER) is Decision.DECLINE
    now += 0.2
    assert decides.policy(OFFER) is Decision.ASK


def test_cl12_one_contacts_questions_do_not_use_up_anothers() -> None:
    patience = Patience()
    assert [patience.allows(b"a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert patience.allows(b"b", 0.0)


def test_cl12_a_contacts_file_that_turns_bad_allows_nobody_and_says_so_once(desk: Desk) -> None:
    told: list[str] = []
    book = Book(desk.file.path, OURS.public, trouble=lambda error: told.append(error.message))
    assert book.contact(PEER) is not None
    good = desk.file.path.read_text()
    desk.file.path.write_text(good + "[contacts.")
    assert book.contact(PEER) is None
    assert book.contact(PEER) is None
    assert len(told) == 1
    desk.file.path.write_text(good)
    assert book.contact(PEER) is not None


def place(*taken: bytes, conflict: str = "rename", free: int | None = None) -> question.Place:
    return question.Place('"/srv/in"', conflict, taken, free)


def test_cl04_the_question_is_one_line_with_the_size_before_the_names() -> None:
    contact = Contact("alice", THEIRS.public)
    assert question.lines(OFFER, contact, place()) == [
        'alice (key not verified) offers 3 files, 1.2 GB: "holiday", "\\x1b[2K\\x0dfree money"',
        "  look twice at 1 name:",
        '    "holiday/.bashrc"',
        '  into "/srv/in"',
    ]
    known = Contact("alice", THEIRS.public, verified=Verified(date(2026, 1, 1), "qr"))
    long = Offered(PEER, 1, 5, (b"begin" + b"x" * 10_000 + b"\r\nend",))
    line, where = question.lines(long, known, place(free=10**9))
    assert line.startswith('alice offers 1 file, 5 bytes: "beginxxx')
    assert line.endswith('\\x0d\\x0aend"')
    assert len(line) < 130
    assert where == '  into "/srv/in", 1.0 GB are free'


def test_mf20_a_dangerous_name_in_a_long_list_is_shown_before_yes() -> None:
    """Totals, what is taken, five names with reasons, how many more there are, the room."""
    names = tuple(b"holiday/%d/.bashrc" % number for number in range(1_000))
    offer = Offered(
        PEER, 100_000, 3 * 10**9, (b"holiday", b"notes.txt"), names,
        reasons=(("hidden",),) * 999 + (("hidden", "executable"),),
        links=2, entries=100_103, remarkable_total=40_000,
    )  # fmt: skip
    alice = Contact("alice", THEIRS.public)
    assert question.lines(offer, alice, place(b"holiday", free=10**9)) == [
        "alice (key not verified) offers 100,000 files, 101 folders, 2 links, 3.0 GB:"
        ' "holiday", "notes.txt"',
        '  there already (it gets another name): "holiday"',
        "  look twice at 40,000 names:",
        '    "holiday/0/.bashrc": hidden',
        '    "holiday/1/.bashrc": hidden',
        '    "holiday/2/.bashrc": hidden',
        '    "holiday/3/.bashrc": hidden',
        '    "holiday/4/.bashrc": hidden',
        "    and 39,995 more; l lists them",
        '  into "/srv/in", where it does not fit: only 1.0 GB are free',
    ]
    listed = list(question.whole_list(offer))
    assert listed[:4] == ["At the top:", '  "holiday"', '  "notes.txt"', "Look twice at:"]
    assert listed[-2] == '  "holiday/999/.bashrc": hidden, executable'
    assert listed[-1] == "  and 39,000 more that the offer is too long to list"


def test_of_a_stream_the_question_says_that_nobody_knows_its_size() -> None:
    stream = Offered(PEER, 1, 0, (b"backup.tar",), stream=True, entries=1)
    (line, where) = question.lines(stream, Contact("alice", THEIRS.public), question.one_file("-"))
    assert line.endswith('offers 1 file, size not known: a stream: "backup.tar"')
    assert where == "  into standard output"


@pytest.mark.parametrize(
    ("conflict", "words"),
    [
        ("rename", '  there already (they get other names): "a", "b"'),
        ("skip", '  there already (they are left out): "a", "b"'),
        ("overwrite", '  there already (they are replaced): "a", "b"'),
        ("ask", '  there already: "a", "b"'),
    ],
)
def test_what_becomes_of_names_that_are_taken_is_said(conflict: str, words: str) -> None:
    alice, where = Contact("alice", THEIRS.public), place(b"a", b"b", conflict=conflict)
    assert question.lines(OFFER, alice, where)[1] == words
    assert ("[o]verwrite" in question.choices(where, "alice")) == (conflict == "ask")
    assert "[o]verwrite" not in question.choices(place(conflict=conflict), "alice")


def test_names_that_are_taken_are_looked_for_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    offer = OFFER._replace(names=(b"holiday", b"new", b"dangling"))
    found = question.look(tmp_path, "rename", offer)
    assert found.taken == (b"holiday", b"dangling")
    assert found.free is not None and found.free > 0
    assert question.look(tmp_path / "gone", "rename", offer)[2:] == ((), None)


def typing(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Somebody who types these, one after another; what was asked."""
    asked: list[str] = []
    left = list(answers)

    def answer(question: str, *, given_up: object) -> str:
        asked.append(question)
        return left.pop(0)

    monkeypatch.setattr(ui, "answer", answer)
    return asked


@pytest.mark.parametrize(
    ("answer", "yes"),
    [
        ("y", True), ("yes", True), ("a", True), ("always", True),
        ("", False), ("n", False), ("ye", False), ("r", False), ("o", False), ("s", False),
    ],
)  # fmt: skip
def test_cl12_the_default_is_no_and_only_whole_words_count(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: str, yes: bool
) -> None:
    typing(monkeypatch, answer)
    assert consent(desk).ask(OFFER) is yes
    accept = "always" if answer.startswith("a") else "ask"
    assert desk.file.load().lookup("alice").accept == accept


def test_always_is_accepted_once_if_the_contacts_cannot_be_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typing(monkeypatch, "a")
    monkeypatch.setattr(desk.book, "accept_always", raises(PermissionError(13, "denied")))
    assert consent(desk).ask(OFFER)
    assert "accepted this once" in capsys.readouterr().err


def test_always_is_given_to_the_key_that_was_seen_not_to_whoever_has_the_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the question stands, the contact gets another key: a new one, or somebody else's."""
    new = Identity.generate(lambda n: b"n" * n).public

    def answer(*_: object, **__: object) -> str:
        desk.file.edit(lambda known: known.add(Contact("alice", new), replace_key=True))
        return "a"

    monkeypatch.setattr(ui, "answer", answer)
    assert not consent(desk).ask(OFFER)
    assert desk.file.load().lookup("alice").accept == "ask"
    assert "no contact any more" in capsys.readouterr().err


def test_what_was_said_of_one_offers_names_does_not_hold_for_the_next(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: None
) -> None:
    (tmp_path / "holiday").mkdir()
    typing(monkeypatch, "o")
    asking = Consent(
        desk.book, Output(quiet=True), lambda _: tmp_path, yes=True, conflict_of=lambda _: "ask"
    )
    first = OFFER._replace(manifest_digest=b"1" * 32)
    assert asking.ask(first) and asking.chosen(PEER) == "overwrite"
    assert asking.policy(first._replace(approved=True)) is Decision.ACCEPT
    assert asking.chosen(PEER) == "overwrite", "it goes on"
    assert asking.policy(OFFER._replace(manifest_digest=b"2" * 32)) is Decision.ACCEPT
    assert asking.chosen(PEER) is None


def raises(error: Exception) -> Callable[[bytes], None]:
    def fail(_: bytes) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("answer", "conflict"),
    [("r", "rename"), ("skip", "skip"), ("o", "overwrite"), ("y", None), ("", None), ("a", None)],
)
def test_where_names_are_taken_the_answer_says_what_becomes_of_them(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, conflict: str | None
) -> None:
    (tmp_path / "holiday").mkdir()
    asked = typing(monkeypatch, answer)
    asking = Consent(
        desk.book, Output(quiet=True), lambda _: tmp_path, yes=False, conflict_of=lambda _: "ask"
    )
    assert asking.ask(OFFER) is (conflict is not None or answer == "a")
    assert asking.chosen(PEER) == conflict
    assert "[r]ename, [s]kip, [o]verwrite" in asked[0]


def test_the_list_comes_in_pages_and_then_the_question_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ui, "rows", lambda: 13)
    offer = OFFER._replace(names=tuple(b"%d" % number for number in range(25)), remarkable=())
    asked = typing(monkeypatch, "l", "", "q", "l", "", "", "y")
    assert consent(desk).ask(offer)
    shown = capsys.readouterr().err
    assert [text.partition(" ")[0] for text in asked] == [
        "Accept?", "Enter", "Enter", "Accept?", "Enter", "Enter", "Accept?",
    ]  # fmt: skip
    assert shown.count('  "9"\n') == 2 and shown.count('  "24"\n') == 1
    assert shown.count("No name needs a second look.") == 1


def test_a_question_that_nobody_needs_any_more_is_given_up(
    desk: Desk, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = consent(desk)
    waits = threading.Event()

    def nothing_typed() -> bool:
        waits.set()
        return False

    monkeypatch.setattr(ui, "_line_waits", nothing_typed)
    answers: list[bool] = []
    asked = [OFFER._replace(transfer=number) for number in (1, 2)]
    threads = [
        threading.Thread(target=lambda offer=offer: answers.append(asking.ask(offer)))
        for offer in asked
    ]
    threads[0].start()
    assert waits.wait(5)
    threads[1].start()
    asking.withdraw(7)
    threads[0].join(0.3)
    assert answers == [], "it was about another"
    asking.withdraw(1)
    threads[0].join(5)
    assert answers == [False]
    asking.leave()
    threads[1].join(5)
    assert answers == [False, False], "nor does one that waited its turn hold us up"


class Scene(NamedTuple):
    alice: Path
    bob: Path
    into: Path
    file: Path


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    alice, bob = keygen(tmp_path / "a"), keygen(tmp_path / "b")
    meet(tmp_path / "a", "bob", bob)
    meet(tmp_path / "b", "alice", alice)
    file = tmp_path / "free\u202emoney\udc9b31m.pdf"
    file.write_bytes(b"x" * 1234)
    return Scene(tmp_path / "a", tmp_path / "b", tmp_path / "in", file)


def asked(scene: Scene, answer: str, early: str = "") -> tuple[int, int, bytes]:
    """Bob at a terminal gets an offer of Alice's and types `answer`; both codes, and his screen.

    `early` is what he types before the offer comes.
    """
    options = ["receive", "--listen", "127.0.0.1:0", "--into", str(scene.into), "--once"]
    with Terminal(*options, home=scene.bob) as bob:
        bob.until("Ctrl-C")
        endpoint = bob.shown.split(b"waiting at ")[1].split(b";")[0].decode()
        bob.type(early)
        results: list[int] = []

        def send() -> None:
            done = run("send", str(scene.file), "--to", "bob", "--at", endpoint, home=scene.alice)
            results.append(done.returncode)

        sender = threading.Thread(target=send)
        sender.start()
        bob.until("l lists all: ")
        bob.type(answer)
        code = bob.ended()
        sender.join(30)
    return results[0], code, bob.shown


@pytest.mark.parametrize("answer", ["\n", "maybe\n"])
def test_cl12_only_a_clear_yes_accepts(scene: Scene, answer: str) -> None:
    sender, receiver, screen = asked(scene, answer)
    assert (sender, receiver) == (3, 3)
    assert list(scene.into.iterdir()) == []
    assert b"declined" in screen


def test_cl12_a_yes_that_was_typed_before_the_question_does_not_count(scene: Scene) -> None:
    sender, receiver, _ = asked(scene, "\n", early="y\n")
    assert (sender, receiver) == (3, 3)
    assert list(scene.into.iterdir()) == []


def test_cl01_an_accepted_offer_with_a_hostile_name_obeys_nothing(scene: Scene) -> None:
    sender, receiver, screen = asked(scene, "y\n")
    assert (sender, receiver) == (0, 0)
    question = screen.split(b"alice (key not verified) offers ")[1].split(b"Accept?")[0]
    assert question.startswith(b'1 file, 1.2 kB: "free\\u202emoney\\x9b31m.pdf"\r\n')
    assert b"\x9b" not in screen and "\u202e".encode() not in screen
    assert b"received 1 file, 1.2 kB from alice" in screen
    assert (scene.into / scene.file.name).read_bytes() == b"x" * 1234


def test_cl13_ctrl_c_at_the_question_ends_both_sides(scene: Scene) -> None:
    options = ["receive", "--listen", "127.0.0.1:0", "--into", str(scene.into), "--once"]
    with Terminal(*options, home=scene.bob) as bob:
        bob.until("Ctrl-C")
        endpoint = bob.shown.split(b"waiting at ")[1].split(b";")[0].decode()
        results: list[int] = []

        def send() -> None:
            done = run("send", str(scene.file), "--to", "bob", "--at", endpoint, home=scene.alice)
            results.append(done.returncode)

        sender = threading.Thread(target=send)
        sender.start()
        bob.until("l lists all: ")
        bob.process.send_signal(signal.SIGINT)
        assert bob.ended() == 5
        sender.join(30)
    assert results == [5]
    assert b"Traceback" not in bob.shown
