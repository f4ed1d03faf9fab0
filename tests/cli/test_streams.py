"""Whatever the locale, nothing crashes and nothing that a terminal obeys leaves."""

import io
import json
import subprocess
import sys

import pytest

from securecp.cli.failures import OutputClosedError
from securecp.cli.output import Output, write_line

SCRIPT = """
import sys
from securecp.cli import process
from securecp.cli.output import Output
from securecp.cli.text import quoted
process.plain_streams()
output = Output()
odd = "caf\\u00e9 \\u65e5 \\u20ac \\u009b \\x1b".encode()
for name in (b"\\xff\\xfe", odd, b"\\xed\\xb0\\x80", b"x" * 900):
    output.result(quoted(name))
    output.warning(quoted(name))
output.event("offer", names=["caf\\u00e9", "\\u20ac"])
"""

LOCALES = [
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C.UTF-8"},
    {"PYTHONIOENCODING": "utf-8:strict"},
    {"PYTHONIOENCODING": "cp1252:strict"},
    {"PYTHONIOENCODING": "iso2022_jp:strict"},
    {"PYTHONIOENCODING": "latin-1:surrogateescape"},
]


@pytest.mark.parametrize("env", LOCALES, ids=lambda env: "-".join(env.values()))
def test_cl05_odd_names_never_crash_the_output_in_any_locale(env: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    for stream in (done.stdout, done.stderr):
        assert not {byte for byte in stream if byte < 0x20 and byte != 0x0A}
        assert 0x7F not in stream
        if "utf-8" not in " ".join(env.values()).lower():
            assert stream.isascii(), "no byte that an old code page would give a meaning"
        assert r"\xff\xfe" in stream.decode()
    last = done.stdout.splitlines()[-1]
    assert last.isascii()
    assert json.loads(last)["names"] == ["café", "€"]


def test_results_go_to_stdout_and_words_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.result("key")
    output.note("doing")
    output.warning("odd")
    captured = capsys.readouterr()
    assert captured.out == "key\n"
    assert captured.err == "doing\nsecurecp: odd\n"


def test_quiet_and_json_keep_to_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    for output in (Output(quiet=True), Output(as_json=True)):
        output.note("doing")
        output.advice("next")
        output.detail("more")
        output.warning("odd")
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == "securecp: odd\n"


def test_advice_is_for_people_at_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    Output().advice("next")
    assert capsys.readouterr().err == ""


class ClosedPipe(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_cl13_a_closed_stdout_stops_and_a_closed_stderr_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("securecp.cli.output.discard_stdout", lambda: None)
    with pytest.raises(OutputClosedError) as caught:
        write_line(ClosedPipe(), "x")
    assert caught.value.exit_code == 5
    closed = ClosedPipe()
    monkeypatch.setattr(sys, "stderr", closed)
    write_line(closed, "x")
