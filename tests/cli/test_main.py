"""The entry: quick where people wait, one line for every mistake, no traceback ever."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from securecp.cli import commands, failures
from securecp.errors import NotReachedError
from tests.cli.program import COMMAND, call, is_one_line_and_a_hint, keygen, run

HEAVY = ("cryptography", "rich", "msgpack", "tomlkit", "nacl", "blake3", "asyncio", "platformdirs")


def test_version_is_the_packages_and_takes_no_heavy_import() -> None:
    done = run("--version")
    assert done.stdout == f"securecp {version('securecp')}\n"
    assert loaded("--version").isdisjoint({*HEAVY, "click", "ctypes"})


def loaded(*arguments: str) -> set[str]:
    """The top-level packages that a command line imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stderr.splitlines()
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if "|" in line}


@pytest.mark.parametrize("command", [[], ["id"], ["contacts"], ["send"], ["receive"], ["demo"]])
def test_help_takes_no_heavy_import(command: list[str]) -> None:
    assert loaded(*command, "--help").isdisjoint(HEAVY)


def test_help_shows_examples_and_every_command() -> None:
    done = call("--help")
    assert done.returncode == 0
    assert "securecp send holiday/ --to alice" in done.stdout
    for name in ("keygen", "id", "contacts", "send", "receive", "demo"):
        assert name in done.stdout
        assert "Examples:" in call(name, "--help").stdout or name in {"id", "demo"}


def test_the_help_of_the_group_is_the_help_of_the_commands() -> None:
    for name, (_, words) in commands._COMMANDS.items():
        command = commands.securecp.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None and command.help
        assert words


def test_the_command_alone_shows_help_and_is_a_usage_error() -> None:
    done = call()
    assert done.returncode == 2
    assert "Commands:" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["snd"], "did you mean send?"),
        (["contacts", "vrfy"], "did you mean verify?"),
        (["contacts", "zzz"], "securecp contacts --help"),
        (["id", "--no-such"], "securecp id --help"),
        (["send"], "securecp send --help"),
        (["send", "x"], "--to"),
        (["send", "x", "--to", "a", "--timeout", "soon"], "soon"),
        (["contacts", "add", "bob"], "KEY"),
    ],
)
def test_usage_errors_are_one_line_with_a_hint_and_exit_2(arguments: list[str], words: str) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert is_one_line_and_a_hint(done.stderr)
    assert len(done.stderr.splitlines()) == 2
    assert words in done.stderr


def test_cl01_what_was_typed_comes_back_harmless() -> None:
    done = call("\x1b]0;owned\x07\r\n")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr and "\r" not in done.stderr
    assert is_one_line_and_a_hint(done.stderr)


def test_with_json_an_error_is_also_an_event() -> None:
    done = call("id", "--json", "--home", "/nonexistent/home")
    assert done.returncode == 6
    assert done.stdout.startswith('{"event": "error", "code": 6, "message": "there is no identity')
    assert is_one_line_and_a_hint(done.stderr)


def test_cl08_a_bug_shows_its_place_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_option: object) -> object:
        canary = "CANARY-SECRET"
        raise ZeroDivisionError(f"while using {canary}")

    monkeypatch.setattr("securecp.cli.home.find", broken)
    for debug in ("", "1"):
        monkeypatch.setenv("SECURECP_DEBUG", debug)
        done = call("id")
        assert done.returncode == 1
        assert is_one_line_and_a_hint(done.stderr)
        assert "unexpected ZeroDivisionError at test_main.py:" in done.stderr
        assert "CANARY" not in done.stderr + done.stdout
        assert ("called by" in done.stderr and "options.py" in done.stderr) == bool(debug)


def test_the_errors_of_every_layer_keep_their_words_and_code() -> None:
    assert failures.explain(NotReachedError("nobody there", "Look again.")) == (
        "nobody there", "look again", 4,
    )  # fmt: skip
    assert failures.explain(KeyboardInterrupt()).code == 5
    assert failures.explain(PermissionError(13, "x", b"/a\x1b")).message == (
        '"/a\\x1b": permission denied'
    )
    assert failures.explain(MemoryError()).message == "not enough memory"


def test_hs18_no_option_or_variable_logs_a_key(tmp_path: Path) -> None:
    names = {"SSLKEYLOGFILE", "SECURECP_DEBUG", "SECURECP_KEYLOG", "PYTHONDEVMODE"}
    log = tmp_path / "log"
    env = dict.fromkeys(names, str(log))
    done = run("keygen", "--no-passphrase", home=tmp_path / "a", env=env)
    secret = (tmp_path / "a" / "identity.key").read_text().splitlines()[-1]
    assert secret.startswith("AGE-SECRET-KEY-PQ-1")
    assert secret not in done.stdout + done.stderr
    shown = run("id", "--json", "-v", home=tmp_path / "a", env=env)
    assert secret not in shown.stdout + shown.stderr
    assert not log.exists()


def test_cl16_a_module_in_the_current_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "keys.py").write_text("raise SystemExit(99)")
    (tmp_path / "click.py").write_text("raise SystemExit(99)")
    done = subprocess.run([COMMAND, "--help"], cwd=tmp_path, stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_cl08_the_process_leaves_no_core_and_is_not_dumpable(tmp_path: Path) -> None:
    code = (
        "import ctypes, resource, sys\n"
        "from securecp.cli import process\n"
        "process.harden()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "0 0\n"


def test_cl08_the_command_hardens_itself_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from securecp.cli import main, process

    order: list[str] = []
    for name in ("plain_streams", "quiet_threads", "catch_signals", "harden"):
        monkeypatch.setattr(process, name, lambda name=name: order.append(name))

    def run_nothing(_typed: list[str]) -> int:
        order.append("run")
        return 0

    monkeypatch.setattr(main, "run", run_nothing)
    assert main.main(["id"]) == 0
    assert order == ["plain_streams", "quiet_threads", "catch_signals", "harden", "run"]


def test_cl07_no_option_or_variable_takes_a_passphrase() -> None:
    for name in ("keygen", "id", "send", "receive"):
        told = call(name, "--help").stdout
        assert "--passphrase-file" in told and "--passphrase-fd" in told
        assert "--passphrase " not in told and "--password" not in told
        assert call(name, "--passphrase", "x").returncode == 2
    sources = Path(commands.__file__).parent.glob("*.py")
    variables = {"SECURECP_HOME", "SECURECP_DEBUG"}
    for source in sources:
        text = source.read_text()
        assert "envvar" not in text
        for word in text.replace('"', " ").replace("`", " ").split():
            if word.startswith("SECURECP_"):
                assert word.strip(".,;:)(") in variables, source


def test_cl13_a_closed_standard_output_ends_the_command_with_one_line(tmp_path: Path) -> None:
    keygen(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [COMMAND, "--home", str(tmp_path), "id"],
        stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert done.returncode == 5
    assert is_one_line_and_a_hint(done.stderr)
