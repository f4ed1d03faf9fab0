"""contacts: what scripts and people type, and what is refused, with the reason."""

import json
from pathlib import Path

import pytest

from tests.cli.program import Terminal, call, is_one_line_and_a_hint, keygen, meet, run


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("keys")
    return {name: keygen(root / name) for name in ("bob", "carol")}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    keygen(tmp_path / "a")
    return tmp_path / "a"


def listed(home: Path) -> list[dict[str, object]]:
    lines = call("contacts", "list", "--json", home=home).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_add_takes_policy_folder_and_endpoints(home: Path, keys: dict[str, str]) -> None:
    meet(
        home, "bob", keys["bob"], "--accept", "always", "--endpoint", "192.0.2.7",
        "--endpoint", "[2001:db8::7]:9", "--into", "/tmp/from-bob", "--max-size", "5GB",
    )  # fmt: skip
    (bob,) = listed(home)
    assert bob["name"] == "bob" and bob["key"] == keys["bob"]
    assert bob["accept"] == "always" and bob["into"] == "/tmp/from-bob"
    assert bob["endpoints"] == ["192.0.2.7:4400", "[2001:db8::7]:9"]
    assert bob["max_size"] == 5_000_000_000


def test_set_changes_and_forgets(home: Path, keys: dict[str, str]) -> None:
    meet(home, "bob", keys["bob"], "--endpoint", "192.0.2.7:1")
    assert call("contacts", "set", "bob", "--accept", "never", home=home).returncode == 0
    assert call("contacts", "set", "bob", "--no-endpoint", home=home).returncode == 0
    (bob,) = listed(home)
    assert bob["accept"] == "never" and bob["endpoints"] == []
    assert call("contacts", "set", "bob", home=home).returncode == 2
    clash = call("contacts", "set", "bob", "--into", "/tmp/x", "--no-into", home=home)
    assert clash.returncode == 2


def test_rename_block_unblock_remove(home: Path, keys: dict[str, str]) -> None:
    meet(home, "bob", keys["bob"])
    assert call("contacts", "rename", "bob", "robert", home=home).returncode == 0
    assert call("contacts", "block", "robert", home=home).returncode == 0
    assert listed(home)[0]["blocked"] is True
    refused = call("send", __file__, "--to", "robert", "--at", "127.0.0.1:9", home=home)
    assert refused.returncode == 6 and "blocked" in refused.stderr
    assert call("contacts", "unblock", "robert", home=home).returncode == 0
    assert listed(home)[0]["blocked"] is False
    assert call("contacts", "remove", "robert", home=home).returncode == 0
    assert listed(home) == []


def test_adding_the_same_again_is_no_error(home: Path, keys: dict[str, str]) -> None:
    meet(home, "bob", keys["bob"])
    meet(home, "bob", keys["bob"])
    assert len(listed(home)) == 1


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("age1qqqq", "cut short"),
        ("hello", "not a public key"),
        ("ssh-ed25519 AAAA", "spaces"),
        ("", "empty"),
        ("AGE-SECRET-KEY-PQ-1" + "Q" * 58, "secret key"),
    ],
)
def test_kc04_a_malformed_key_says_what_is_wrong(home: Path, key: str, words: str) -> None:
    done = call("contacts", "add", "bob", key, home=home)
    assert done.returncode == 6
    assert is_one_line_and_a_hint(done.stderr)
    assert words in done.stderr
    assert not key or len(key) < 8 or key not in done.stderr
    assert listed(home) == []


def test_kc04_one_mistyped_character_is_noticed(home: Path, keys: dict[str, str]) -> None:
    key = keys["bob"]
    wrong = key[:20] + ("q" if key[20] != "q" else "p") + key[21:]
    done = call("contacts", "add", "bob", wrong, home=home)
    assert done.returncode == 6
    assert is_one_line_and_a_hint(done.stderr)


def test_kc04_our_own_key_is_no_contact(home: Path) -> None:
    own = call("id", home=home).stdout.strip()
    done = call("contacts", "add", "me", own, home=home)
    assert done.returncode == 6
    assert "your own key" in done.stderr


def test_kc06_another_key_for_a_known_name_is_refused_with_both_fingerprints(
    home: Path, keys: dict[str, str]
) -> None:
    meet(home, "bob", keys["bob"], "--accept", "always")
    known = listed(home)[0]["fingerprint"]
    done = call("contacts", "add", "bob", keys["carol"], home=home)
    assert done.returncode == 6
    assert is_one_line_and_a_hint(done.stderr)
    assert str(known) in done.stderr
    assert listed(home)[0]["key"] == keys["bob"]
    assert call("contacts", "add", "bob", keys["carol"], "--replace", home=home).returncode == 0
    bob = listed(home)[0]
    assert bob["key"] == keys["carol"]
    assert str(bob["fingerprint"]) in done.stderr
    assert bob["accept"] == "ask", "a new key must earn trust anew"


def test_an_unknown_contact_names_the_nearest(home: Path, keys: dict[str, str]) -> None:
    meet(home, "robert", keys["bob"])
    for command in (
        ["contacts", "show", "robrt"],
        ["send", __file__, "--to", "robrt"],
        ["receive", "--from", "robrt", "--listen", "127.0.0.1:0"],
    ):
        done = call(*command, home=home)
        assert done.returncode == 6, command
        assert "hint: did you mean robert?" in done.stderr


@pytest.mark.parametrize("name", ["-x", "--help", "a/b", "a:b", "..", "age1x", "a b", "é", ""])
def test_cl10_names_that_could_be_options_paths_or_keys_are_refused(
    home: Path, keys: dict[str, str], name: str
) -> None:
    done = call("contacts", "add", "--", name, keys["bob"], home=home)
    assert done.returncode == 2, done.stderr
    assert is_one_line_and_a_hint(done.stderr)
    assert listed(home) == []


def test_verify_shows_both_sides_the_same_code_and_records_it(tmp_path: Path) -> None:
    alice, bob = keygen(tmp_path / "a"), keygen(tmp_path / "b")
    meet(tmp_path / "a", "bob", bob)
    meet(tmp_path / "b", "alice", alice)
    ours = call("contacts", "verify", "bob", "--yes", home=tmp_path / "a")
    theirs = call("contacts", "verify", "alice", "--yes", home=tmp_path / "b")
    assert ours.returncode == 0
    assert ours.stdout == theirs.stdout
    assert len("".join(ours.stdout.split())) == 40
    verified = listed(tmp_path / "a")[0]["verified"]
    assert isinstance(verified, dict) and verified["how"] == "pair-code"


def test_verify_records_nothing_without_a_typed_yes(home: Path, keys: dict[str, str]) -> None:
    meet(home, "bob", keys["bob"])
    assert run("contacts", "verify", "bob", home=home, stdin="yes\n").returncode == 1
    with Terminal("contacts", "verify", "bob", home=home) as terminal:
        terminal.until("every digit agrees:")
        terminal.type("\n")
        assert terminal.ended() == 1
    assert listed(home)[0]["verified"] is None
    with Terminal("contacts", "verify", "bob", home=home) as terminal:
        terminal.until("every digit agrees:")
        terminal.type("yes\n")
        assert terminal.ended() == 0
    assert listed(home)[0]["verified"] is not None


def test_fs13_a_contacts_folder_may_not_be_one_that_programs_obey(
    home: Path, keys: dict[str, str], nobodys_home: Path
) -> None:
    for folder in (str(nobodys_home), str(nobodys_home / ".ssh"), "/etc", "/"):
        done = call("contacts", "add", "bob", keys["bob"], "--into", folder, home=home)
        assert done.returncode == 2, folder
        assert "--into-anywhere" in done.stderr
    meet(home, "bob", keys["bob"], "--into", "/etc/x", "--into-anywhere")


def test_kc08_a_damaged_contacts_file_allows_nobody(home: Path, keys: dict[str, str]) -> None:
    meet(home, "bob", keys["bob"])
    (home / "contacts.toml").write_text("version = 1\n[contacts.bob\n")
    for command in (["contacts", "list"], ["receive", "--listen", "127.0.0.1:0"]):
        done = call(*command, home=home)
        assert done.returncode == 6
        assert is_one_line_and_a_hint(done.stderr)


def test_add_and_set_take_a_quota_and_what_happens_to_names_that_are_taken(
    home: Path, keys: dict[str, str]
) -> None:
    meet(home, "bob", keys["bob"], "--daily-quota", "2GiB", "--on-conflict", "skip")
    (bob,) = listed(home)
    assert bob["daily_quota"] == 2 << 30 and bob["on_conflict"] == "skip"
    shown = call("contacts", "show", "bob", home=home).stdout
    assert "daily quota  2.1 GB" in shown and "on conflict  skip" in shown
    done = call("contacts", "set", "bob", "--no-daily-quota", "--no-on-conflict", home=home)
    assert done.returncode == 0
    (bob,) = listed(home)
    assert bob["daily_quota"] is None and bob["on_conflict"] is None
    clash = call("contacts", "set", "bob", "--daily-quota", "1k", "--no-daily-quota", home=home)
    assert clash.returncode == 2
    for wrong in ("many", "-1", "1e9"):
        assert call("contacts", "set", "bob", "--daily-quota", wrong, home=home).returncode == 2


def grouped(home: Path) -> dict[str, list[str]]:
    lines = call("contacts", "group", "--json", home=home).stdout.splitlines()
    return {told["group"]: told["members"] for told in map(json.loads, lines)}


def test_a_group_is_made_shown_changed_and_removed(home: Path, keys: dict[str, str]) -> None:
    meet(home, "bob", keys["bob"])
    meet(home, "carol", keys["carol"])
    assert call("contacts", "group", home=home).returncode == 0
    made = call("contacts", "group", "family", "Carol", "bob", "BOB", home=home)
    assert made.returncode == 0 and made.stderr == "family: carol, bob\n"
    assert call("contacts", "group", home=home).stdout == "family  carol, bob\n"
    assert call("contacts", "group", "FAMILY", "bob", home=home).returncode == 0
    assert grouped(home) == {"family": ["bob"]}
    shown = json.loads(call("contacts", "show", "bob", "--json", home=home).stdout)
    assert shown["groups"] == ["family"]
    assert call("contacts", "group", "Family", "--remove", home=home).returncode == 0
    assert grouped(home) == {}


def test_groups_follow_their_members(home: Path, keys: dict[str, str]) -> None:
    meet(home, "bob", keys["bob"])
    meet(home, "carol", keys["carol"])
    assert call("contacts", "group", "family", "bob", "carol", home=home).returncode == 0
    assert call("contacts", "rename", "bob", "robert", home=home).returncode == 0
    assert call("contacts", "remove", "carol", home=home).returncode == 0
    assert grouped(home) == {"family": ["robert"]}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["family", "bbo"], 6, "did you mean bob?"),
        (["bob", "bob"], 6, "too much like bob"),
        (["a/b", "bob"], 2, "not a name"),
        (["@x", "bob"], 2, "not a name"),
        (["famili"], 6, "no group named famili"),
        (["famili", "--remove"], 6, "no group named famili"),
        (["friends", "bob", "--remove"], 2, "nothing else"),
        (["--remove"], 2, "nothing else"),
    ],
)
def test_kc05_a_group_that_cannot_be_meant_is_refused(
    home: Path, keys: dict[str, str], arguments: list[str], code: int, words: str
) -> None:
    meet(home, "bob", keys["bob"])
    assert call("contacts", "group", "friends", "bob", home=home).returncode == 0
    done = call("contacts", "group", *arguments, home=home)
    assert done.returncode == code, done.stderr
    assert is_one_line_and_a_hint(done.stderr) and words in done.stderr
    assert grouped(home) == {"friends": ["bob"]}
