"""keygen and id: one public key on stdout, a key file nobody else reads, refusals with a remedy."""

import json
import os
import stat
from pathlib import Path

import pytest

from securecp.cli.home import find
from tests.cli.program import Terminal, call, is_one_line_and_a_hint, keygen, run


def test_keygen_prints_the_public_key_and_nothing_else(tmp_path: Path) -> None:
    done = run("keygen", "--no-passphrase", home=tmp_path / "a")
    assert done.returncode == 0
    assert done.stdout.startswith("age1") and len(done.stdout) == 63
    assert done.stderr == ""
    assert call("id", home=tmp_path / "a").stdout == done.stdout


def test_id_json_has_key_card_fingerprint_and_home(tmp_path: Path) -> None:
    key = keygen(tmp_path / "a")
    told = json.loads(call("id", "--json", home=tmp_path / "a").stdout)
    assert told["public_key"] == key
    assert told["card"].startswith("age1pq1") and len(told["card"]) == 1959
    assert len(told["fingerprint"]) == 34
    assert told["home"] == str(tmp_path / "a")
    assert call("id", "--card", home=tmp_path / "a").stdout.strip() == told["card"]


def test_the_home_may_stand_before_or_after_the_command_or_in_the_environment(
    tmp_path: Path,
) -> None:
    key = keygen(tmp_path / "a")
    assert call("id", "--home", str(tmp_path / "a")).stdout.strip() == key
    assert run("id", env={"SECURECP_HOME": str(tmp_path / "a")}).stdout.strip() == key


def test_without_a_home_the_usual_places_are_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SECURECP_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    usual = find(None)
    assert usual.key_file == tmp_path / ".config" / "securecp" / "identity.key"
    assert usual.receipts.is_relative_to(tmp_path)
    assert usual.received.name == "securecp"


def test_kc01_key_file_is_made_private_in_a_private_folder(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "a"
    old = os.umask(0)
    try:
        keygen(home)
    finally:
        os.umask(old)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "identity.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_kc01_key_file_that_others_can_read_is_refused_with_the_remedy(
    tmp_path: Path, mode: int
) -> None:
    keygen(tmp_path)
    (tmp_path / "identity.key").chmod(mode)
    for command in (["id"], ["send", __file__, "--to", "bob"], ["receive"]):
        done = call(*command, home=tmp_path)
        assert done.returncode == 6
        assert is_one_line_and_a_hint(done.stderr)
        assert f"chmod 600 {tmp_path}/identity.key" in done.stderr
        assert done.stdout == ""


def test_kc01_key_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    keygen(tmp_path / "a")
    (tmp_path / "b").mkdir(mode=0o700)
    (tmp_path / "b" / "identity.key").symlink_to(tmp_path / "a" / "identity.key")
    done = call("id", home=tmp_path / "b")
    assert done.returncode == 6
    assert is_one_line_and_a_hint(done.stderr)


def test_an_identity_is_never_overwritten_without_force(tmp_path: Path) -> None:
    key = keygen(tmp_path)
    done = call("keygen", "--no-passphrase", home=tmp_path)
    assert done.returncode == 6
    assert is_one_line_and_a_hint(done.stderr)
    assert call("id", home=tmp_path).stdout.strip() == key
    assert call("keygen", "--no-passphrase", "--force", home=tmp_path).returncode == 0
    assert call("id", home=tmp_path).stdout.strip() != key


def test_no_identity_names_the_command_that_makes_one(tmp_path: Path) -> None:
    done = call("id", home=tmp_path / "nobody")
    assert done.returncode == 6
    assert "hint: securecp keygen" in done.stderr
    assert not (tmp_path / "nobody").exists()


def test_keygen_without_terminal_wants_to_be_told_about_the_passphrase(tmp_path: Path) -> None:
    done = call("keygen", home=tmp_path / "a")
    assert done.returncode == 2
    assert is_one_line_and_a_hint(done.stderr)
    assert not (tmp_path / "a" / "identity.key").exists()


def test_cl07_passphrase_comes_by_file_or_descriptor(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("correct horse\nnot this line\n")
    home = tmp_path / "a"
    made = call("keygen", "--passphrase-file", str(secret), home=home)
    assert made.returncode == 0, made.stderr
    assert b"AGE-SECRET-KEY" not in (home / "identity.key").read_bytes()
    assert call("id", home=home).stdout == made.stdout, "the public key needs no passphrase"
    card = run("id", "--card", "--passphrase-fd", "0", home=home, stdin="correct horse\n")
    assert card.stdout.startswith("age1pq1")
    wrong = run("id", "--card", "--passphrase-fd", "0", home=home, stdin="wrong\n")
    assert wrong.returncode == 6
    assert wrong.stderr.startswith("securecp: wrong passphrase\n")
    assert call("id", "--card", home=home).returncode == 2, "no terminal to ask"


def test_cl07_a_prompt_takes_the_passphrase_twice_and_does_not_show_it(tmp_path: Path) -> None:
    with Terminal("keygen", home=tmp_path / "a") as terminal:
        terminal.until("(empty for none): ")
        terminal.type("canary-phrase\n")
        terminal.until("once more: ")
        terminal.type("canary-phrase\n")
        assert terminal.ended() == 0
        assert b"canary" not in terminal.shown
        assert b"age1" in terminal.shown
    assert (tmp_path / "a" / "identity.key").read_bytes().startswith(b"age-encryption.org/v1")


def test_cl07_passphrases_that_differ_write_nothing(tmp_path: Path) -> None:
    with Terminal("keygen", home=tmp_path / "a") as terminal:
        terminal.until("(empty for none): ")
        terminal.type("one\n")
        terminal.until("once more: ")
        terminal.type("two\n")
        assert terminal.ended() == 2
        assert b"differ" in terminal.shown
    assert not (tmp_path / "a" / "identity.key").exists()


def test_ctrl_c_at_the_prompt_is_one_line_and_writes_nothing(tmp_path: Path) -> None:
    with Terminal("keygen", home=tmp_path / "a") as terminal:
        terminal.until("(empty for none): ")
        terminal.process.send_signal(2)
        assert terminal.ended() == 5
        assert b"securecp: interrupted" in terminal.shown
        assert b"Traceback" not in terminal.shown
    assert not (tmp_path / "a" / "identity.key").exists()
