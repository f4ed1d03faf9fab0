"""config: what people type, where it goes, and that a file nobody understands is not guessed at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from keys.files import PrivateDirectory
from securecp.cli.config import NO_SERVER
from securecp.cli.home import Home
from securecp.nat.serveraddress import ServerAddress
from tests.cli.program import call, is_one_line_and_a_hint
from tests.cli.test_main import HEAVY, loaded

URLS = [str(ServerAddress(n % 2 == 1, f"h{n}.example", 4480, bytes([n]) * 32)) for n in range(5)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def shown(home: Path) -> dict[str, dict[str, object]]:
    done = call("config", "show", "--json", home=home)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["path"] == str(home / "config.toml")
    found: dict[str, dict[str, object]] = document["settings"]
    return found


def ok(home: Path, *arguments: str) -> str:
    done = call("config", *arguments, home=home)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_without_a_file_everything_is_default_and_a_server_is_suggested(home: Path) -> None:
    done = call("config", "show", home=home)
    assert done.returncode == 0
    assert done.stderr == f"{NO_SERVER}\n"
    assert all("  default  " in line for line in done.stdout.splitlines())
    assert "receive.listen       default  0.0.0.0:4400" in done.stdout
    assert not home.exists(), "looking makes nothing"


def test_what_is_set_is_shown_with_its_origin_and_unset_goes_back(home: Path) -> None:
    ok(home, "set", "relay", "false")
    ok(home, "set", "send.timeout", "60")
    assert "limit: is now 2M" in ok(home, "set", "limit", "2M")
    assert shown(home)["relay"] == {"value": False, "origin": "file"}
    assert shown(home)["send.timeout"] == {"value": 60, "origin": "file"}
    assert shown(home)["lan"] == {"value": True, "origin": "default"}
    assert "limit                file     2M" in ok(home, "show")
    ok(home, "unset", "limit")
    ok(home, "unset", "limit")
    assert shown(home)["limit"] == {"value": None, "origin": "default"}


def test_servers_are_added_listed_and_removed_by_number_or_url(home: Path) -> None:
    for url in URLS[:3]:
        assert f"{url}: added" in ok(home, "add-server", url)
    assert "is there already" in ok(home, "add-server", URLS[0])
    listing = call("config", "show", home=home)
    assert f"server 2             file     {URLS[1]}\n" in listing.stdout
    assert listing.stderr == ""
    assert f"{URLS[1]}: removed" in ok(home, "remove-server", "2")
    ok(home, "remove-server", URLS[2])
    assert shown(home)["servers"] == {"value": URLS[:1], "origin": "file"}
    for which in ("0", "2", URLS[2]):
        done = call("config", "remove-server", which, home=home)
        assert done.returncode == 2
        assert is_one_line_and_a_hint(done.stderr)
        assert "securecp config show" in done.stderr
    ok(home, "remove-server", "1")
    assert shown(home)["servers"] == {"value": [], "origin": "default"}


def test_a_fifth_server_is_refused_and_the_four_stay(home: Path) -> None:
    for url in URLS[:4]:
        ok(home, "add-server", url)
    done = call("config", "add-server", URLS[4], home=home)
    assert done.returncode == 2
    assert is_one_line_and_a_hint(done.stderr)
    assert shown(home)["servers"]["value"] == URLS[:4]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["set", "reley", "false"], "did you mean relay?"),
        (["unset", "reley"], "did you mean relay?"),
        (["set", "relay", "perhaps"], "relay is true or false"),
        (["set", "receive", "x"], "receive.listen"),
        (["set", "servers", URLS[0]], "add-server"),
        (["set", "limit", "20Mb"], "20Mbit"),
        (["set", "receive.listen", "a b\x1b"], "no HOST:PORT"),
        (["set", "receive.into", "/etc"], "belongs to the system"),
        (["add-server", "ws://h.example"], "no key behind #"),
        (["add-server", URLS[0][:-1]], "key is damaged"),
        (["ad-server", "x"], "did you mean add-server?"),
        (["set", "limit"], "VALUE"),
    ],
)
def test_mistakes_are_one_line_and_a_hint_and_change_nothing(
    home: Path, arguments: list[str], words: str
) -> None:
    done = call("config", *arguments, home=home)
    assert done.returncode == 2
    assert is_one_line_and_a_hint(done.stderr)
    assert words in done.stderr
    assert "\x1b" not in done.stderr
    assert not (home / "config.toml").exists()


def test_a_file_with_a_mistake_is_no_settings_and_is_not_touched(home: Path) -> None:
    ok(home, "set", "relay", "false")
    file = home / "config.toml"
    wrong = file.read_text().replace("relay", "reley")
    file.write_text(wrong)
    for arguments in (["show"], ["set", "lan", "true"], ["add-server", URLS[0]]):
        done = call("config", *arguments, home=home)
        assert done.returncode == 2
        assert is_one_line_and_a_hint(done.stderr)
        assert f"{file} is not usable: line 2: there is no setting" in done.stderr
        assert "did you mean relay?" in done.stderr
    assert file.read_text() == wrong
    assert ok(home, "path").strip() == str(file)


def test_a_file_that_others_can_write_is_refused_and_one_they_can_read_is_not(home: Path) -> None:
    ok(home, "set", "relay", "false")
    file = home / "config.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    assert shown(home)["relay"]["value"] is False
    file.chmod(0o666)
    done = call("config", "show", home=home)
    assert done.returncode == 6
    assert f"hint: chmod go-w {file}" in done.stderr


def test_a_change_starts_again_if_someone_saves_the_file_meanwhile(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok(home, "set", "limit", "2M")
    write = PrivateDirectory._write
    saved: list[str] = []

    def slowly(directory: PrivateDirectory, name: str, data: bytes) -> None:
        write(directory, name, data)
        if not saved:
            saved.append("by the editor")
            (home / "config.toml").write_text("# by the editor\nlan = false\n")

    monkeypatch.setattr(PrivateDirectory, "_write", slowly)
    ok(home, "set", "relay", "false")
    assert (home / "config.toml").read_text() == "# by the editor\nlan = false\nrelay = false\n"


def test_a_relative_folder_becomes_a_whole_path_and_one_in_the_home_keeps_its_tilde(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    ok(home, "set", "receive.into", "inbox")
    assert shown(home)["receive.into"]["value"] == str(tmp_path / "inbox")
    ok(home, "set", "receive.into", "~/inbox")
    assert Home(home, home, home).config().receive_into == "~/inbox"


def test_with_json_a_change_shows_the_setting_as_it_is_now(home: Path) -> None:
    done = call("config", "set", "lan", "false", "--json", home=home)
    assert json.loads(done.stdout) == {"name": "lan", "value": False, "origin": "file"}
    done = call("config", "add-server", URLS[0], "--json", home=home)
    assert json.loads(done.stdout) == {"name": "servers", "value": URLS[:1], "origin": "file"}
    assert done.stderr == ""


def test_every_command_shows_an_example() -> None:
    for command in ("show", "path", "add-server", "remove-server", "set", "unset"):
        told = call("config", command, "--help").stdout
        assert "Example" in told and f"securecp config {command}" in told
    told = call("config", "--help").stdout
    assert "receive.on_conflict" in told and "securecp config add-server ws://" in told


def test_help_is_quick_and_an_absent_file_costs_no_import(home: Path) -> None:
    assert loaded("config", "--help").isdisjoint(HEAVY)
    home.mkdir(mode=0o700)
    code = (
        "import sys, pathlib\n"
        "from securecp.cli.home import Home\n"
        "home = pathlib.Path(sys.argv[1])\n"
        "Home(home, home, home).config()\n"
        "print(*sys.modules)"
    )
    for text, unwanted in (
        (None, {"tomlkit", "tomllib", "securecp.nat.serveraddress", "asyncio", "difflib"}),
        ("lan = false\n", {"tomlkit", "securecp.nat.serveraddress", "asyncio", "difflib"}),
        (f'servers = ["{URLS[0]}"]\n', {"tomlkit", "cryptography", "asyncio", "difflib"}),
    ):
        if text is not None:
            (home / "config.toml").write_text(text)
        done = subprocess.run(
            [sys.executable, "-c", code, str(home)], capture_output=True, text=True, check=True
        )
        assert unwanted.isdisjoint(done.stdout.split()), text
