"""Who may bring how much, and what follows when something has come in."""

import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from securecp.daemon.folders import destination
from securecp.daemon.history import History
from securecp.daemon.hook import Hook
from securecp.daemon.household import Household
from securecp.daemon.logfile import LogFile
from securecp.daemon.quota import DAY
from securecp.events import Listening, Progress
from securecp.session import Decision
from tests.daemon.samples import (
    ALICE,
    BOB,
    ESCAPES,
    Loop,
    Time,
    connected,
    done,
    failed,
    household,
    lines,
    name_of,
    offered,
)
from tests.keys.samples import contact, identity

ACCEPT, ASK, DECLINE = Decision.ACCEPT, Decision.ASK, Decision.DECLINE
PATIENCE = 20.0


class Home:
    """A household with everything that a test may want to look at."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.time = Time()
        self.told: list[str] = []
        self.people = {ALICE: contact("alice"), BOB: contact("bob")}

    def open(self, **more: Any) -> Household:
        return household(self.state, time=self.time, told=self.told, people=self.people, **more)

    def let(self, **fields: Any) -> None:
        self.people[ALICE] = contact("alice", **fields)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def come_in(house: Household, number: int = 1, peer: bytes = ALICE, size: int = 100) -> None:
    house(offered(number, peer, size))
    house(done(number, peer, size))


# may it come in?


def test_mb10_who_is_not_in_the_contacts_is_declined(home: Home) -> None:
    stranger = bytes(identity("eve").public)
    assert home.open().policy(offered(peer=stranger)) is DECLINE
    assert home.told == [], "nothing of a stranger is shown"


def test_mb10_without_a_policy_the_face_decides(home: Home) -> None:
    for decision in Decision:
        assert home.open(decision=decision).policy(offered()) is decision


def test_never_and_max_size_decline_whatever_the_face_would_say(home: Home) -> None:
    home.let(accept="never")
    assert home.open().policy(offered()) is DECLINE
    home.let(max_size=99)
    house = home.open()
    assert house.policy(offered(size=100)) is DECLINE
    assert house.policy(offered(size=99)) is ACCEPT
    assert home.told[-1] == "declined an offer from alice: more than 99 bytes (max_size)"


def test_mf21_the_quota_of_a_day_counts_what_has_come(home: Home) -> None:
    home.let(daily_quota=250)
    house = home.open()
    come_in(house, 1)
    come_in(house, 2)
    assert house.policy(offered(3, size=51)) is DECLINE
    assert "50 bytes that may still come today" in home.told[-1]
    assert house.policy(offered(4, size=50)) is ACCEPT
    home.time.now += DAY + 600
    assert house.policy(offered(5, size=250)) is ACCEPT


def test_mf21_the_quota_counts_what_is_on_its_way(home: Home) -> None:
    home.let(daily_quota=250)
    house = home.open()
    house(offered(1, size=200))
    assert house.policy(offered(2, size=100)) is DECLINE
    house(failed(1, code=3))
    assert house.policy(offered(3, size=100)) is ACCEPT


def test_mf21_a_transfer_that_goes_on_is_counted_once(home: Home) -> None:
    home.let(daily_quota=250)
    house = home.open()
    house(offered(1, size=200))
    house(Progress(150, 200, 1.0, ALICE, transfer=1))
    house(failed(1, code=5, why="the peer has gone silent"))
    again = offered(2, size=200, manifest_digest=offered(1).manifest_digest)
    assert house.policy(again) is ACCEPT
    assert house.policy(offered(3, size=200)) is DECLINE, "what is there counts"
    house(again)
    superseding = offered(4, size=200, manifest_digest=again.manifest_digest)
    assert house.policy(superseding) is ACCEPT


def test_mb06_the_quota_survives_a_restart_and_others_are_not_touched(home: Home) -> None:
    home.let(daily_quota=250)
    house = home.open()
    come_in(house, 1, size=200)
    house.close(wait=True)
    house = home.open()
    assert house.policy(offered(2, size=100)) is DECLINE
    assert house.policy(offered(3, BOB, size=1 << 40)) is ACCEPT


def test_mf21_a_quota_of_nothing_takes_nothing_not_even_empty_files(home: Home) -> None:
    home.let(daily_quota=0)
    assert home.open().policy(offered(size=0)) is DECLINE


def test_mf21_a_stream_is_stopped_where_it_may_not_go_on(home: Home) -> None:
    home.let(max_size=1_000)
    house, loop = home.open(), Loop()
    stream = offered(1, size=0, stream=True)
    assert house.policy(stream) is DECLINE, "nobody could stop it"
    house.control.begin(loop)  # type: ignore[arg-type]
    loop.rows = [type("Row", (), {"number": 1})]
    assert house.policy(stream) is ACCEPT
    house(stream)
    house(Progress(1_000, 0, 1.0, ALICE, transfer=1))
    assert loop.cancelled == []
    house(Progress(1_001, 0, 1.0, ALICE, transfer=1))
    house(Progress(1_002, 0, 1.0, ALICE, transfer=1))
    assert [number for number, _ in loop.cancelled] == [1]
    house.control.end()


def test_mb07_an_offer_that_keeps_failing_rests_and_says_so(home: Home) -> None:
    house = home.open()
    for number in (1, 2, 3):
        one = offered(number, manifest_digest=b"m" * 32)
        assert house.policy(one) is ACCEPT
        house(one)
        house(failed(number, why="it \x1b[2J cannot be stored"))
    assert "rests for an hour" in home.told[-1] and "\x1b" not in home.told[-1]
    assert house.policy(offered(4, manifest_digest=b"m" * 32)) is DECLINE
    assert house.policy(offered(5)) is ACCEPT, "other offers of theirs go on"
    assert house.policy(offered(6, BOB, manifest_digest=b"m" * 32)) is ACCEPT
    (resting,) = house._about()["resting"]
    assert resting["name"] == "alice" and resting["left"] == 3_600
    home.time.now += 3_601
    assert house.policy(offered(7, manifest_digest=b"m" * 32)) is ACCEPT


@pytest.mark.parametrize(("code", "resumable"), [(5, True), (5, False), (3, False), (1, True)])
def test_mb07_what_time_mends_does_not_count(home: Home, code: int, resumable: bool) -> None:
    house = home.open()
    for number in range(1, 9):
        house(offered(number, manifest_digest=b"m" * 32))
        house(failed(number, code=code, why="silent")._replace(resumable=resumable))
    assert house.policy(offered(9, manifest_digest=b"m" * 32)) is ACCEPT


# where it goes


def test_mb10_who_is_accepted_unseen_has_a_folder_of_their_own(tmp_path: Path) -> None:
    alice = contact("alice", accept="always")
    assert destination(tmp_path, alice) == tmp_path / "alice"
    (tmp_path / "alice").mkdir()
    assert destination(tmp_path, alice) == tmp_path / "alice"
    assert destination(tmp_path, contact("bob")) == tmp_path
    assert destination(tmp_path, contact("bob", accept="never")) == tmp_path


@pytest.mark.parametrize("kind", ["file", "link", "fifo"])
def test_mb10_what_another_contact_has_put_in_its_place_is_passed_by(
    tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "alice"
    if kind == "file":
        place.write_text("from bob")
    elif kind == "link":
        place.symlink_to("/etc")
    else:
        os.mkfifo(place)
    assert destination(tmp_path, contact("alice", accept="always")) == tmp_path / "alice.2"


# what follows


def hook_to(tmp_path: Path, script: str) -> Hook:
    program = tmp_path / "hook.py"
    program.write_text(f"#!{sys.executable}\n{script}")
    program.chmod(0o700)
    return Hook(str(program), timeout=20.0)


def test_a_transfer_that_has_come_in_starts_the_hook_and_its_end_is_recorded(home: Home) -> None:
    script = (
        "import os, sys\n"
        "out = open(sys.argv[2] + '.told', 'wb')\n"
        "out.write(repr(sys.argv[1:]).encode() + b'|' + sys.stdin.buffer.read())\n"
        "print('done\\n\\x1b[2J' + os.environ['SECURECP_PEER'])\n"
        "sys.exit(3)\n"
    )
    log = LogFile(home.state / "log")
    house = home.open(hook=hook_to(home.state, script), log=log)
    house(offered(names=(b"a.txt", ESCAPES)))
    house(done(names=(b"a.txt", ESCAPES), renamed=((b"a.txt", b"a (1).txt"),)))
    house.close(wait=True)
    told = (home.state / "in.told").read_bytes()
    assert told.endswith(b"|a (1).txt\0" + ESCAPES + b"\0")
    assert told.startswith(repr(["--", str(home.state / "in")]).encode())
    (record,) = History(home.state).read()
    assert record.hook == 3 and record.result == "done"
    text = (home.state / "log").read_text()
    assert 'hook peer="alice"' in text and "code=3" in text and "\x1b" not in text


def test_nothing_is_started_for_what_has_not_come_in(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook, started = hook_to(home.state, "pass"), []

    def start(*_: object) -> bool:
        started.append(1)
        return True

    monkeypatch.setattr(hook, "start", start)
    house = home.open(hook=hook)
    for number, code in enumerate((1, 3, 5, 6), 1):
        house(offered(number))
        house(failed(number, code=code))
    assert started == []
    house(offered(9))
    house(done(9))
    assert started == [1]
    house.close(wait=False)


def test_cl06_the_log_tells_of_everything_in_one_line_each(home: Home) -> None:
    house = home.open(log=LogFile(home.state / "log"), decision=ASK)
    house(Listening("[::]:4400"))
    house(connected())
    hostile = offered(1)._replace(names=(ESCAPES,))
    house(hostile)
    house(failed(1, why=ESCAPES.decode("latin-1")))
    home.let(max_size=1)
    house.policy(offered(2))
    come_in(house, 3)
    house.close(wait=True)
    words = [line.split()[1] for line in lines(home.state / "log")]
    assert words == ["listening", "connected", "offer", "failed", "declined", "offer", "done",
                     "stopped"]  # fmt: skip


def test_a_flood_of_failures_does_not_push_the_diary_out(home: Home) -> None:
    house = home.open()
    for number in range(1, 500):
        house(offered(number))
        house(failed(number, code=3))
    come_in(house, 600)
    house.close(wait=True)
    found = [one.result for one in History(home.state).read()]
    assert found[0] == "done" and found.count("declined") == 60


def test_f47_nothing_that_cannot_be_written_or_run_fails_a_transfer(home: Home) -> None:
    (home.state / "history.jsonl").mkdir()
    (home.state / "log").symlink_to("/dev/full")
    program = home.state / "gone"
    program.write_text("#!/nowhere/python\n")
    program.chmod(0o700)
    log = LogFile(home.state / "log")
    house = home.open(hook=Hook(str(program)), log=log)
    home.let(daily_quota=150)
    come_in(house)
    assert house.policy(offered(2, size=51)) is DECLINE, "the quota still counts"
    house.close(wait=True)
    assert log.lost > 0


def test_a_folder_that_cannot_be_told_is_no_reason_to_fail(home: Home) -> None:
    def refuse(_: bytes) -> Path:
        raise OSError("gone")

    house = Household(
        contact=home.people.get, name_of=name_of, text_of=str, state=home.state,
        otherwise=lambda _: ACCEPT, folder_of=refuse,
    )  # fmt: skip
    come_in(house)
    house.close(wait=True)
    assert [one.folder for one in History(home.state).read()] == [""]


def test_cl09_no_secret_stands_in_what_is_written(home: Home) -> None:
    """Neither key file text nor its bytes are ever near: this watches that it stays so."""
    secret = identity("bob").secret_text().reveal()
    house = home.open(log=LogFile(home.state / "log"))
    house(connected())
    come_in(house)
    house.record(RuntimeError(secret.decode()))
    house(offered(8))
    house.record(RuntimeError(secret.decode()))
    house.close(wait=True)
    for path in home.state.iterdir():
        if stat.S_ISREG(path.stat().st_mode):
            assert secret not in path.read_bytes()


def test_cl12_what_is_beyond_the_bounds_never_reaches_the_person(tmp_path: Path) -> None:
    asked: list[int] = []

    def ask(one: Any) -> Decision:
        asked.append(one.transfer)
        return ASK

    people = {ALICE: contact("alice", max_size=99), BOB: contact("bob", accept="never")}
    house = Household(
        contact=people.get, name_of=name_of, text_of=str, state=tmp_path, otherwise=ask,
        folder_of=lambda _: tmp_path,
    )  # fmt: skip
    stranger = bytes(identity("eve").public)
    for one in (offered(1, stranger), offered(2, BOB), offered(3, ALICE, 100)):
        assert house.policy(one) is DECLINE
    assert house.policy(offered(4, ALICE, 99)) is ASK
    assert asked == [4]
    house.close(wait=False)
