"""Consent: who may ask, how often, and what the person sees before they answer."""

import signal
import threading
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest

from keys.contactsfile import ContactsFile
from keys.identity import Identity
from keys.policy import Contact, Verified
from securecp.cli import ui
from securecp.cli.book import Book
from securecp.cli.consent import Consent, Patience, question_lines
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
    assert not ui.confirm("Accept?")
    assert not ui.typed("Type yes:", "yes")


def test_more_than_the_contact_may_send_is_declined_unasked(desk: Desk, terminal: None) -> None:
    desk.file.edit(lambda known: known.update("alice", accept="always", max_size=1_199_999_999))
    assert consent(desk, yes=True).policy(OFFER) is Decision.DECLINE
    desk.file.edit(lambda known: known.update("alice", max_size=1_200_000_000))
    assert consent(desk, yes=True).policy(OFFER) is Decision.ACCEPT


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


def test_cl04_the_question_is_one_line_with_the_size_before_the_names() -> None:
    contact = Contact("alice", THEIRS.public)
    assert question_lines(OFFER, contact, FOLDER) == [
        'alice (key not verified) offers 3 files, 1.2 GB: "holiday", "\\x1b[2K\\x0dfree money"',
        '  look twice at "holiday/.bashrc"',
        '  into "/srv/in"',
    ]
    known = Contact("alice", THEIRS.public, verified=Verified(date(2026, 1, 1), "qr"))
    long = Offered(PEER, 1, 5, (b"begin" + b"x" * 10_000 + b"\r\nend",))
    line, where = question_lines(long, known, FOLDER)
    assert line.startswith('alice offers 1 file, 5 bytes: "beginxxx')
    assert line.endswith('\\x0d\\x0aend"')
    assert len(line) < 130
    assert where == '  into "/srv/in"'


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
    thread = threading.Thread(target=lambda: answers.append(asking.ask(OFFER)))
    thread.start()
    assert waits.wait(5)
    asking.withdraw()
    thread.join(5)
    assert answers == [False]


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
        bob.until("[y/N] ")
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
    question = screen.split(b"alice (key not verified) offers ")[1].split(b"[y/N]")[0]
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
        bob.until("[y/N] ")
        bob.process.send_signal(signal.SIGINT)
        assert bob.ended() == 5
        sender.join(30)
    assert results == [5]
    assert b"Traceback" not in bob.shown
