"""What is to be sent, to whom, as it is typed; and what `--dry-run` shows of it."""

import json
from pathlib import Path

import pytest

from keys.contacts import Contacts
from keys.errors import ContactsError, UnknownContactError
from keys.identity import Identity
from keys.policy import Contact
from securecp.cli import recipients
from securecp.cli.failures import UsageError
from securecp.cli.output import Output
from securecp.errors import TrustError
from tests.cli.program import call, is_one_line_and_a_hint, keygen, meet

NAMES = ("alice", "bob", "carol", "mallory")


def key(name: str) -> Identity:
    return Identity.generate(lambda n: name[0].encode() * n)


@pytest.fixture
def contacts() -> Contacts:
    known = Contacts()
    for name in NAMES:
        known = known.add(Contact(name, key(name).public))
    known = known.group("family", ("carol", "bob")).group("bad", ("mallory",))
    return known.group("all", NAMES).block("mallory")


def found(contacts: Contacts, *typed: str) -> list[str]:
    return [one.name for one in recipients.find(contacts, typed, Output(quiet=True))]


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (["alice"], ["alice"]),
        (["alice,bob"], ["alice", "bob"]),
        (["alice, bob", "carol"], ["alice", "bob", "carol"]),
        (["@family"], ["carol", "bob"]),
        (["bob,@Family,bob"], ["bob", "carol"]),
    ],
)
def test_everyone_is_meant_once_in_the_order_of_typing(
    contacts: Contacts, typed: list[str], names: list[str]
) -> None:
    assert found(contacts, *typed) == names


def test_a_group_goes_on_without_its_blocked_members_and_says_so(
    contacts: Contacts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert found(contacts, "@all") == ["alice", "bob", "carol"]
    assert "not to mallory, who is blocked" in capsys.readouterr().err
    with pytest.raises(TrustError):
        found(contacts, "@bad")
    with pytest.raises(TrustError, match="mallory is blocked"):
        found(contacts, "alice,mallory")


def test_a_name_that_is_a_group_is_no_contact(contacts: Contacts) -> None:
    with pytest.raises(UsageError) as caught:
        found(contacts, "family")
    assert "--to @family" in caught.value.hint
    with pytest.raises(UnknownContactError):
        found(contacts, "@alice")
    with pytest.raises(UnknownContactError):
        found(contacts, "nobody")
    for nothing in ("", "alice,", ",", " "):
        with pytest.raises((UsageError, ContactsError)):
            found(contacts, nothing)


# standard input


@pytest.fixture
def home(tmp_path: Path) -> Path:
    mine = tmp_path / "mine"
    keygen(mine)
    for name in ("bob", "carol"):
        meet(mine, name, keygen(tmp_path / name))
    return mine


@pytest.mark.parametrize(
    ("arguments", "words", "hint"),
    [
        (["-"], "standard input has no name", "--name backup.tar"),
        (["-", "x", "--name", "n"], "standard input goes alone", "./-"),
        (["-", "--name", "a/b"], "cannot be used: a separator", "one plain name"),
        (["-", "--name", "n", "--verify"], "--verify means nothing", "its length"),
        (["-", "--name", "n", "--exclude", "x"], "--exclude means nothing", "its length"),
        (["-", "--name", "n", "--symlinks"], "--symlinks means nothing", ""),
        (["-", "--name", "n", "--rename-unsafe"], "--rename-unsafe means nothing", ""),
        (["-", "--name", "n", "--no-ignore-files"], "--no-ignore-files means nothing", ""),
        (["-", "--name", "n", "--dry-run"], "--dry-run means nothing", ""),
        (["x", "--name", "n"], "--name is for standard input alone", "names that they have"),
        (["x", "--wait", "soon"], "--wait: 'soon' is no time", "0 does not wait"),
        ([""], "a path is empty", ""),
        (["/", "--at", "h:1", "--to", "carol"], "--at says where one contact waits", ""),
    ],
)
def test_what_does_not_go_together_is_a_usage_error_with_a_hint(
    home: Path, arguments: list[str], words: str, hint: str
) -> None:
    done = call("send", *arguments, "--to", "bob", home=home)
    assert done.returncode == 2
    assert is_one_line_and_a_hint(done.stderr)
    assert words in done.stderr and hint in done.stderr


def test_somebody_must_be_named_unless_it_is_only_a_list(home: Path) -> None:
    done = call("send", "/etc/hostname", home=home)
    assert done.returncode == 2 and "--to NAME" in done.stderr
    assert call("send", "/etc/hostname", "--dry-run", home=home).returncode == 0


# --dry-run


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "out" / "trip"
    (root / "deep").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"x" * 1_500)
    (root / "b.tmp").write_bytes(b"x" * 9_999)
    (root / "deep" / "c.txt").write_bytes(b"")
    (root / "deep" / "secret").write_bytes(b"s")
    (root / "deep" / ".securecpignore").write_text("secret\n")
    (root / "link").symlink_to("a.txt")
    return root


def test_a_dry_run_lists_what_would_be_sent_and_what_would_not(home: Path, tree: Path) -> None:
    done = call(
        "send", str(tree), "gone", "--to", "bob,carol", "--exclude", "*.tmp", "--dry-run", home=home
    )
    assert done.returncode == 7, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "would send 3 files, 2 folders, 1.5 kB to bob, carol:"
    assert "  trip/a.txt  1.5 kB" in lines
    assert "  trip/deep/" in lines
    assert not any("b.tmp" in line or 'secret"' in line for line in lines)
    assert "excluded: 2 names by patterns" in lines
    assert 'left out: "gone": no such file' in lines
    assert any(line.startswith("left out: ") and "link" in line for line in lines)


def test_a_dry_run_in_json_is_one_event(home: Path, tree: Path) -> None:
    (tree / "odd\x1b").write_bytes(b"")
    done = call(
        "send", str(tree), "--symlinks", "--dry-run", "--no-ignore-files", "--json", home=home
    )
    (line,) = done.stdout.splitlines()[:1]
    plan = json.loads(line)
    assert plan["event"] == "plan" and plan["to"] == []
    assert (plan["files"], plan["folders"], plan["links"]) == (5, 2, 1)
    assert "trip/deep/secret" in plan["paths"]
    assert plan["excluded"] == 0
    (left_out,) = plan["failed"]
    assert left_out["name"].endswith("odd\\x1b")


def test_a_dry_run_names_what_would_be_renamed(home: Path, tree: Path) -> None:
    (tree / "a:b?").write_bytes(b"")
    done = call("send", str(tree), "--dry-run", "--rename-unsafe", home=home)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("renamed: ")]
    assert 'trip/a:b?" would be ' in line and line.endswith('trip/a_b?"')


def test_a_dry_run_needs_no_identity_and_tells_of_a_pattern_that_is_none(
    tmp_path: Path, tree: Path
) -> None:
    assert call("send", str(tree), "--dry-run", home=tmp_path / "nobody").returncode == 7
    done = call("send", str(tree), "--dry-run", "--exclude", "***[", home=tmp_path / "nobody")
    assert done.returncode == 1
    assert "--exclude" in done.stderr and is_one_line_and_a_hint(done.stderr)
    nothing = call("send", str(tree), "--dry-run", "--exclude", "*", home=tmp_path / "nobody")
    assert nothing.returncode == 1
    assert nothing.stderr.splitlines() == [
        "securecp: nothing to send", "hint: 1 name excluded by patterns",
    ]  # fmt: skip
